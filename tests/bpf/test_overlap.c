// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * test_overlap.c - retransmissions that begin with bytes that came before.
 *
 *      rawpeer <──TUN──> end[0] │ session 1 │ end[1] <──TCP──> server
 *
 * The test plays the client, which cuts its segments as a test wants them, the server,
 * and the daemon that relays what is passed up. Each test but the first goes on with
 * a long stream and ends with a FIN: a byte lost or repeated anywhere shifts the rest.
 */
#include "test.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/clock.h"
#include "dice.h"
#include "kernel/kernel.h"
#include "kernel/splice.h"
#include "rawpeer.h"
#include "tcp.h"

#define NUMBER 1
#define LIMIT (256U << 10)
#define STREAM (10U << 20)
#define PIECE 1400

/* The first overlap of most tests is where sequence numbers begin anew. */
#define FIRST_SEQ (0U - 75)

static struct {
	struct splice *sp;
	struct rawpeer peer;
	int end[2], server;
	uint32_t n_received; /* by the server, all as they should be */
	bool is_server_reading, has_end;

	char held[32768]; /* by the daemon */
	size_t offset, len;
	bool has_eof, has_ended;
} t;

/* ---- the daemon ------------------------------------------------------------ */

static bool is_relayed(void)
{
	return splice_n_passed(t.sp, NUMBER, 0) == splice_n_relayed(t.sp, NUMBER, 0);
}

static void relay(void)
{
	ssize_t n;

	if (t.has_ended)
		return;
	if (t.len == 0 && !t.has_eof) {
		n = recv(t.end[0], t.held, sizeof(t.held), MSG_DONTWAIT);
		t.offset = 0;
		t.len = n > 0 ? (size_t)n : 0;
		t.has_eof = n == 0 && is_relayed();
	}
	if (!splice_is_drained(t.sp, NUMBER, 0, t.end[1]))
		return;
	if (t.len > 0) {
		n = send(t.end[1], t.held + t.offset, t.len, MSG_NOSIGNAL);
		if (n <= 0)
			return;
		t.offset += (size_t)n;
		t.len -= (size_t)n;
		splice_relayed(t.sp, NUMBER, 0, (uint32_t)n);
	} else if (t.has_eof) {
		assert_ok(shutdown(t.end[1], SHUT_WR));
		t.has_ended = true;
	}
}

/* ---- the server ------------------------------------------------------------ */

static bool receive(void)
{
	static char got[RAWPEER_MAX];
	ssize_t n;

	if (!t.is_server_reading || t.has_end)
		return false;
	n = recv(t.server, got, sizeof(got), MSG_DONTWAIT);
	if (n < 0) {
		assert_int_equal(errno, EAGAIN);
		return false;
	}
	assert_memory_equal(got, rawpeer_bytes(t.n_received), (size_t)n);
	t.n_received += (uint32_t)n;
	t.has_end = n == 0;
	return true;
}

/* ---- all of them ----------------------------------------------------------- */

static void turn(bool has_moved)
{
	relay();
	if (!receive() && !has_moved)
		poll(NULL, 0, 1);
}

#define UNTIL(condition)                                            \
	do {                                                        \
		uint64_t give_up_ms = clock_ms() + TCP_PATIENCE_MS; \
		while (!(condition)) {                              \
			assert_true(clock_ms() < give_up_ms);       \
			turn(rawpeer_read(&t.peer));                \
		}                                                   \
	} while (0)

static void send_segment(uint32_t from, uint32_t until)
{
	rawpeer_send(&t.peer, from, until, 0);
}

/* The server has exactly that much, and TCP has acknowledged it. */
static void expect(uint32_t place)
{
	UNTIL((rawpeer_feed(&t.peer, place, PIECE),
	       t.n_received >= place && t.peer.n_acked >= place));
	assert_int_equal(t.n_received, place);
	assert_int_equal(t.peer.n_acked, place);
}

static void go_on(uint32_t n)
{
	uint32_t place = t.n_received + n;
	uint64_t moved_ms = clock_ms();

	while (t.n_received < place) {
		uint32_t n_before = t.n_received;

		turn(rawpeer_feed(&t.peer, place, PIECE));
		if (t.n_received > n_before)
			moved_ms = clock_ms();
		assert_true(clock_ms() < moved_ms + TCP_PATIENCE_MS);
	}
	expect(place);
}

static void assert_counted(uint64_t n_trimmed)
{
	const struct g5x_totals *totals = splice_totals(t.sp);

	assert_int_equal(totals->trimmed, n_trimmed);
	assert_int_equal(totals->gaps, 0);
	assert_int_equal(splice_session(t.sp, NUMBER)->flow[0].n_gaps, 0);
}

/* After the FIN: does TCP take all for read, no byte more and none less? It says EIO
 * here only then. SIOCINQ is of no use: of a socket in a map it says something else. */
static bool is_all_read(int fd)
{
	struct tcp_zerocopy_receive nothing = { .address = 0 };
	socklen_t len = sizeof(nothing);

	return getsockopt(fd, IPPROTO_TCP, TCP_ZEROCOPY_RECEIVE, &nothing, &len) < 0 &&
	       errno == EIO;
}

static void expect_end(uint32_t place)
{
	UNTIL(t.has_end && t.peer.n_acked > place);
	assert_int_equal(t.n_received, place);
	assert_int_equal(t.peer.n_acked, place + 1);
	assert_true(is_all_read(t.end[0]));
}

/* The other direction works as well, and both end. */
static void answer_and_end(void)
{
	tcp_send(t.server, "answer", 6);
	assert_ok(shutdown(t.server, SHUT_WR));
	UNTIL(t.peer.n_received == 6);
	assert_false(t.peer.has_reset);
}

static void go_on_and_end(void)
{
	go_on(STREAM);
	assert_true(t.peer.window >= t.peer.first_window);
	assert_int_equal(splice_totals(t.sp)->gaps, 0);
	rawpeer_send(&t.peer, t.n_received, t.n_received, RAWPEER_FIN);
	expect_end(t.n_received);
	answer_and_end();
}

/* ---- start and end --------------------------------------------------------- */

static void need_what_is_tested(void)
{
	char reason[KERNEL_REASON_LEN];
	struct utsname name;
	int r = kernel_probe(reason, sizeof(reason));

	if (r == -EPERM || r == -ENOSYS || r == -ENOENT)
		test_skip("%s", reason);
	assert_ok(r);
	assert_ok(uname(&name));
	if (atoi(name.release) < 6)
		test_skip("Linux %s: TCP takes care of overlaps itself", name.release);
	r = rawpeer_open(&t.peer);
	if (r < 0)
		test_skip("no TUN in a network namespace: %s", strerror(-r));
}

static void connect_all(bool has_no_sequence)
{
	const struct splice_options options = {
		.n_sessions = NUMBER,
		.n_workers = 1,
		.has_no_sequence = has_no_sequence,
	};
	const char *step;

	memset(&t, 0, sizeof(t));
	need_what_is_tested();
	t.is_server_reading = true;
	assert_ok(splice_open(&options, &t.sp, &step));
	t.end[0] = rawpeer_connect(&t.peer, FIRST_SEQ);
	tcp_pair(&t.end[1], &t.server);
}

static void insert(void)
{
	const struct splice_pair pair = {
		.fd = { t.end[0], t.end[1] },
		.number = NUMBER,
		.limit = LIMIT,
		.rule = "overlap",
		.client = "",
		.listener = "",
		.server = "",
	};
	bool is_in[2];

	assert_ok(splice_insert(t.sp, &pair, is_in));
	assert_true(is_in[0] && is_in[1]);
}

static void start(void)
{
	connect_all(false);
	insert();
}

/* With resets: a FIN that nobody acknowledges would keep the namespace for minutes. */
static void end(void)
{
	splice_detach(t.sp, NUMBER);
	tcp_reset(t.end[0]);
	tcp_reset(t.end[1]);
	tcp_reset(t.server);
	splice_forget(t.sp, NUMBER);
	splice_close(t.sp);
	rawpeer_close(&t.peer);
}

/* ---- the tests ------------------------------------------------------------- */

/* The fact that check_sequence() of bpf/splice.bpf.c is there for. */
static void a_verdict_gets_an_overlap_twice_from_the_kernel(void **state)
{
	(void)state;
	connect_all(true);
	insert();

	send_segment(0, 100);
	send_segment(50, 150);
	rawpeer_wait_acked(&t.peer, 150);

	tcp_expect(t.server, rawpeer_bytes(0), 100);
	tcp_expect(t.server, rawpeer_bytes(50), 100);
	tcp_expect_silence(t.server);
	end();
}

static void an_overlap_arrives_once(void **state)
{
	(void)state;
	start();

	send_segment(0, 100);
	send_segment(50, 150);
	expect(150);
	assert_counted(1);

	go_on_and_end();
	assert_counted(1);
	end();
}

static void an_overlap_with_a_segment_that_came_too_early_arrives_once(void **state)
{
	(void)state;
	start();

	send_segment(0, 100);
	send_segment(150, 250);
	send_segment(100, 200);
	expect(250);
	assert_counted(1);

	go_on_and_end();
	end();
}

static void what_is_wholly_old_does_not_arrive_again(void **state)
{
	(void)state;
	start();

	send_segment(0, 100);
	send_segment(0, 100);
	send_segment(20, 90);
	send_segment(100, 101);
	expect(101);
	assert_counted(0); /* TCP drops it before */

	go_on_and_end();
	end();
}

/* Longer than what bpf_skb_adjust_room() takes off at once, which is 4095 bytes. */
static void an_overlap_may_be_as_long_as_a_segment(void **state)
{
	(void)state;
	start();

	send_segment(0, 30000);
	expect(30000);
	send_segment(30000 - 4095, 31000);
	send_segment(31000 - 4096, 32000);
	send_segment(0, 60000);
	send_segment(1, 1 + RAWPEER_MAX);
	expect(1 + RAWPEER_MAX);
	assert_counted(4);

	go_on_and_end();
	end();
}

static void an_overlap_in_what_came_before_the_insertion_arrives_once(void **state)
{
	(void)state;
	connect_all(false);

	send_segment(0, 100);
	send_segment(50, 150);
	rawpeer_wait_acked(&t.peer, 150);
	insert();
	expect(150);
	assert_counted(1);

	go_on_and_end();
	end();
}

/* What a daemon does that has copied for a while before it hands over. */
static void copy_before_insertion(uint32_t n)
{
	char bytes[100];

	send_segment(0, 100);
	rawpeer_wait_acked(&t.peer, 100);
	assert_int_equal(recv(t.end[0], bytes, n, 0), n);
	tcp_send(t.end[1], bytes, n);
	insert();
}

static void a_segment_read_in_part_before_the_insertion_arrives_once(void **state)
{
	(void)state;
	connect_all(false);

	copy_before_insertion(30);
	expect(100);
	assert_counted(1);

	go_on_and_end();
	end();
}

static void
an_overlap_with_what_was_read_before_the_insertion_arrives_once(void **state)
{
	(void)state;
	connect_all(false);

	copy_before_insertion(100);
	send_segment(50, 150);
	expect(150);
	assert_counted(1);

	go_on_and_end();
	end();
}

/* Until bytes are passed up. */
static void block_the_server(void)
{
	t.is_server_reading = false;
	UNTIL((rawpeer_feed(&t.peer, 64U << 20, PIECE),
	       splice_n_passed(t.sp, NUMBER, 0) > 0 &&
	               t.peer.n_acked == t.peer.n_sent));
}

static void an_overlap_in_what_is_passed_up_arrives_once(void **state)
{
	uint64_t n_redirected;
	uint32_t at;

	(void)state;
	start();

	block_the_server();
	at = t.peer.n_acked;
	send_segment(at, at + 100);
	send_segment(at + 50, at + 150);
	rawpeer_wait_acked(&t.peer, at + 150);
	assert_counted(1);
	assert_false(is_relayed());

	t.is_server_reading = true;
	expect(at + 150);
	n_redirected = splice_n_redirected(t.sp, NUMBER, 0);
	go_on_and_end();
	assert_true(splice_n_redirected(t.sp, NUMBER, 0) > n_redirected);
	end();
}

/* The chunk with the overlap is the first one that is passed up. */
static void an_overlap_that_is_over_the_limit_arrives_once(void **state)
{
	uint32_t at = 0;

	(void)state;
	start();

	t.is_server_reading = false;
	while (is_relayed()) {
		at = t.peer.n_sent;
		send_segment(at > 350 ? at - 350 : 0, at + 7000);
		rawpeer_wait_acked(&t.peer, at);
		turn(true);
	}
	t.is_server_reading = true;
	expect(at + 7000);

	go_on_and_end();
	end();
}

static void a_fin_after_old_and_new_bytes_ends_the_stream(void **state)
{
	(void)state;
	start();

	go_on(100);
	rawpeer_send(&t.peer, 50, 150, RAWPEER_FIN);
	expect_end(150);
	assert_counted(1);
	answer_and_end();
	end();
}

static void a_fin_after_old_bytes_only_ends_the_stream(void **state)
{
	(void)state;
	start();

	go_on(100);
	rawpeer_send(&t.peer, 50, 100, RAWPEER_FIN);
	expect_end(100);
	answer_and_end();
	end();
}

static void urgent_bytes_are_bytes_like_others(void **state)
{
	(void)state;
	start();

	rawpeer_send(&t.peer, 0, 100, RAWPEER_URGENT);
	rawpeer_send(&t.peer, 50, 150, RAWPEER_URGENT);
	expect(150);
	assert_counted(1);
	rawpeer_send(&t.peer, 149, 151, RAWPEER_URGENT);
	rawpeer_send(&t.peer, 151, 152, RAWPEER_URGENT);
	expect(152);

	go_on_and_end();
	end();
}

/* Segments of any length from anywhere in the window, half of them with old bytes. */
static void a_stream_cut_anew_at_every_retransmission_arrives(void **state)
{
	struct dice dice = { .state = 4711 };

	(void)state;
	start();

	while (t.n_received < STREAM / 4) {
		uint32_t at = t.peer.n_acked;
		uint32_t back = (uint32_t)dice_roll(&dice, 9000);
		uint32_t ahead = (uint32_t)dice_roll(&dice, 9000);
		uint32_t len = 1 + (uint32_t)dice_roll(&dice, 12000);
		uint32_t from = at + ahead > back ? at + ahead - back : 0;

		send_segment(from, from + len);
		turn(rawpeer_read(&t.peer));
	}
	t.peer.n_sent = t.peer.n_acked;
	assert_true(splice_totals(t.sp)->trimmed > 100);

	go_on_and_end();
	end();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_verdict_gets_an_overlap_twice_from_the_kernel),
		cmocka_unit_test(an_overlap_arrives_once),
		cmocka_unit_test(
		        an_overlap_with_a_segment_that_came_too_early_arrives_once),
		cmocka_unit_test(what_is_wholly_old_does_not_arrive_again),
		cmocka_unit_test(an_overlap_may_be_as_long_as_a_segment),
		cmocka_unit_test(
		        an_overlap_in_what_came_before_the_insertion_arrives_once),
		cmocka_unit_test(
		        a_segment_read_in_part_before_the_insertion_arrives_once),
		cmocka_unit_test(
		        an_overlap_with_what_was_read_before_the_insertion_arrives_once),
		cmocka_unit_test(an_overlap_in_what_is_passed_up_arrives_once),
		cmocka_unit_test(an_overlap_that_is_over_the_limit_arrives_once),
		cmocka_unit_test(a_fin_after_old_and_new_bytes_ends_the_stream),
		cmocka_unit_test(a_fin_after_old_bytes_only_ends_the_stream),
		cmocka_unit_test(urgent_bytes_are_bytes_like_others),
		cmocka_unit_test(a_stream_cut_anew_at_every_retransmission_arrives),
	};

	return test_run("overlap", tests, argc, argv);
}
