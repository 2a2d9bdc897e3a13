// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * test_patience.c - user/forward/spliced.c: how long the daemon waits for the kernel.
 *
 *      client ──> end ──> │ queue │ ──/ /──> end ──> server
 *
 * The server's end is made to take nothing, though nothing in it is unacknowledged: that
 * is what a queue looks like whose kernel worker waits for its turn, or is dead.
 */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "forward/spliced.h"
#include "kernel/splice.h"
#include "rig.h"
#include "splicing.h"

#define LIMIT (64U << 10)
#define PIECE 4096

static struct {
	struct rig rig;
	struct splice *sp;
	struct rig_session a;
	uint64_t n_sent[2], n_received[2]; /* from client, from server */
} t;

/* ---- start and end --------------------------------------------------------- */

static void enter_namespace(void)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	auto_close int any = -1;

	if (unshare(CLONE_NEWNET) < 0)
		test_skip("no network namespaces: %s", strerror(errno));
	any = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_ok(ioctl(any, SIOCSIFFLAGS, &lo));
}

/* A socket with a TCP_NOTSENT_LOWAT of 0 takes this for it. */
static void let_0_be_0(void)
{
	auto_close int fd = open("/proc/sys/net/ipv4/tcp_notsent_lowat",
	                         O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "0", 1), 1);
}

static void set_lowat(int fd, int lowat)
{
	tcp_set_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, lowat);
}

static void start(void)
{
	const struct splice_options options = {
		.n_sessions = RIG_CAPACITY,
		.n_workers = 1,
	};
	const char *step;

	splicing_need();
	enter_namespace();
	memset(&t, 0, sizeof(t));
	assert_ok(splice_open(&options, &t.sp, &step));
	rig_start(&t.rig, RULE_MODE_RR, PIECE);
	assert_ok(spliced_attach(&t.rig.worker, t.sp));
	t.rig.rule->datapath = DATAPATH_SPLICE;
	t.rig.rule->splice_limit = LIMIT;
	tcp_set_option(t.rig.server_fd, SOL_SOCKET, SO_RCVBUF, PIECE);
	t.a = rig_connect(&t.rig);
	assert_true(t.a.s->end[CLIENT].is_spliced && t.a.s->end[SERVER].is_spliced);
	set_lowat(t.a.client, INT_MAX);
	set_lowat(t.a.server, INT_MAX);
	let_0_be_0();
	/* Twice the limit: then it is never taken for too small. */
	tcp_set_option(t.a.s->end[SERVER].fd, SOL_SOCKET, SO_SNDBUFFORCE, LIMIT);
}

static void end(void)
{
	rig_close(&t.a);
	rig_stop(&t.rig);
	splice_close(t.sp);
}

/* ---- who takes part -------------------------------------------------------- */

static void hold_up(bool on)
{
	set_lowat(t.a.s->end[SERVER].fd, on ? 0 : INT_MAX);
}

static void fill_pattern(char *bytes, uint64_t place, size_t n)
{
	for (size_t i = 0; i < n; i++)
		bytes[i] = (char)((place + i) % 251);
}

static void send_some(int from, size_t n)
{
	char bytes[PIECE];
	ssize_t r;

	fill_pattern(bytes, t.n_sent[from], n);
	r = send(from == CLIENT ? t.a.client : t.a.server, bytes, n, MSG_NOSIGNAL);
	if (r < 0)
		assert_int_equal(errno, EAGAIN);
	else
		t.n_sent[from] += (uint64_t)r;
}

static void receive_some(int from)
{
	char bytes[PIECE], expected[PIECE];
	ssize_t r = recv(from == CLIENT ? t.a.server : t.a.client, bytes, sizeof(bytes),
	                 0);

	if (r < 0) {
		assert_int_equal(errno, EAGAIN);
		return;
	}
	assert_true(r > 0);
	fill_pattern(expected, t.n_received[from], (size_t)r);
	assert_memory_equal(bytes, expected, (size_t)r);
	t.n_received[from] += (uint64_t)r;
}

static bool is_over(void)
{
	return session_n_live(&t.rig.forward.table) == 0;
}

/* What the client sends waits in the kernel's queue and, passed up, with the daemon;
 * behind that queue what the server sends. */
static void get_stuck(void)
{
	hold_up(true);
	rig_until(&t.rig, (send_some(CLIENT, PIECE), t.a.s->flow[CLIENT].is_draining));
	rig_until(&t.rig, (send_some(SERVER, 1), t.a.s->flow[SERVER].is_behind));
	assert_true(spliced_n_queued(&t.rig.worker, t.a.s, SERVER) > 0);
}

/* Bytes from the server come all the time. Were each a look, there are many. */
static void assert_it_waits_for(uint64_t ms)
{
	uint64_t until_ms = clock_ms() + ms;

	while (clock_ms() < until_ms) {
		send_some(SERVER, 1);
		poll(NULL, 0, 1);
		worker_turn(&t.rig.worker);
		assert_false(is_over());
	}
}

static void assert_all_arrives(void)
{
	hold_up(false);
	rig_until(&t.rig, (receive_some(CLIENT), receive_some(SERVER),
	                   t.n_received[CLIENT] == t.n_sent[CLIENT] &&
	                           t.n_received[SERVER] == t.n_sent[SERVER]));
	assert_int_equal(t.rig.worker.n_closed[CLOSE_KERNEL_FAULT], 0);
}

/* ---- the tests ------------------------------------------------------------- */

static void bytes_that_come_do_not_make_the_daemon_give_up_sooner(void **state)
{
	(void)state;
	start();
	get_stuck();

	assert_it_waits_for(1000);

	assert_all_arrives();
	end();
}

/* What it waited for that long may then come at any moment. */
static void time_with_a_reader_that_paused_does_not_count(void **state)
{
	(void)state;
	start();
	rig_until(&t.rig, (send_some(CLIENT, PIECE),
	                   splicing_n_unsent(t.a.s->end[SERVER].fd) > LIMIT / 2));
	get_stuck();

	assert_it_waits_for(6000);
	rig_until(&t.rig, (receive_some(CLIENT),
	                   splicing_n_unsent(t.a.s->end[SERVER].fd) == 0));
	assert_it_waits_for(1000);

	assert_all_arrives();
	end();
}

static void a_queue_that_stays_as_it_is_ends_the_session(void **state)
{
	uint64_t start_ms;

	(void)state;
	start();
	get_stuck();

	start_ms = clock_ms();
	while (!is_over()) {
		assert_true(clock_ms() < start_ms + 10 * TCP_PATIENCE_MS);
		worker_turn(&t.rig.worker);
	}
	assert_int_equal(t.rig.worker.n_closed[CLOSE_KERNEL_FAULT], 1);
	assert_true(clock_ms() >= start_ms + 4000);
	tcp_expect_reset(t.a.client);
	end();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_that_come_do_not_make_the_daemon_give_up_sooner),
		cmocka_unit_test(time_with_a_reader_that_paused_does_not_count),
		cmocka_unit_test(a_queue_that_stays_as_it_is_ends_the_session),
	};

	return test_run("patience", tests, argc, argv);
}
