// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* test_copy.c - user/forward/copy.c: bytes, ends and resets reach the other side. */
#include "test.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "dice.h"
#include "forward/relay.h"
#include "forward/session_close.h"
#include "rig.h"

#define BUFFER 4096
#define STREAM (2U << 20)

static struct rig rig;
static struct rig_session a; /* the session of most tests */

static int start(void **state)
{
	(void)state;

	rig_start(&rig, RULE_MODE_RR, BUFFER);
	a = rig_connect(&rig);
	return 0;
}

static int end(void **state)
{
	(void)state;

	rig_close(&a);
	rig_stop(&rig);
	return 0;
}

static uint64_t n_closed(enum close_reason reason)
{
	return rig.worker.n_closed[reason];
}

static bool is_over(void)
{
	return session_n_live(&rig.forward.table) == 0;
}

/* The byte at that place of a stream that repeats itself after a prime only. */
static char byte_at(size_t at)
{
	return (char)(at % 251);
}

/* One direction of a stream: what was sent, what came. */
struct stream {
	int from, to;
	size_t n_sent, n_received;
};

static void send_part(struct stream *st, size_t len)
{
	char part[8192];
	ssize_t n;

	if (len > STREAM - st->n_sent)
		len = STREAM - st->n_sent;
	for (size_t i = 0; i < len; i++)
		part[i] = byte_at(st->n_sent + i);
	n = send(st->from, part, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (n > 0)
		st->n_sent += (size_t)n;
}

static void receive_part(struct stream *st, size_t len)
{
	char part[8192];
	ssize_t n = recv(st->to, part, len, MSG_DONTWAIT);

	for (ssize_t i = 0; i < n; i++)
		if (part[i] != byte_at(st->n_received + (size_t)i))
			fail_msg("byte %zu is wrong", st->n_received + (size_t)i);
	if (n > 0)
		st->n_received += (size_t)n;
}

/* Little room everywhere. Less than this to receive in makes the kernel wait for its
 * timers. */
static void make_tight(struct rig_session *rs)
{
	const int ends[] = { rs->client, rs->s->end[CLIENT].fd, rs->s->end[SERVER].fd,
		             rs->server };

	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		tcp_set_option(ends[i], SOL_SOCKET, SO_SNDBUF, 4096);
		tcp_set_option(ends[i], SOL_SOCKET, SO_RCVBUF, 32768);
	}
}

/* The server does not read until bytes wait for it in the worker. */
static size_t block_the_server(void)
{
	size_t n = 0;

	make_tight(&a);
	for (int i = 0; i < 1000 && a.s->flow[CLIENT].len == 0; i++) {
		n += tcp_fill(a.client);
		rig_settle(&rig);
	}
	assert_true(a.s->flow[CLIENT].len > 0);
	return n;
}

/* epoll says once more that the client can be read from. */
static void client_is_reported(void)
{
	a.s->end[CLIENT].is_readable = true;
	assert_true(relay_of(a.s)->on_event(&rig.worker, a.s, CLIENT));
}

/* ---- bytes ------------------------------------------------------------------ */

static void bytes_reach_the_other_side(void **state)
{
	(void)state;

	tcp_send(a.client, "question", 8);
	rig_settle(&rig);
	tcp_expect(a.server, "question", 8);
	tcp_send(a.server, "answer", 6);
	rig_settle(&rig);
	tcp_expect(a.client, "answer", 6);
	assert_int_equal(a.s->flow[CLIENT].n_bytes, 8);
	assert_int_equal(a.s->flow[SERVER].n_bytes, 6);
	assert_true(a.s->first_byte_us >= a.s->connected_us);
}

static void what_the_client_sent_before_the_connect_is_not_lost(void **state)
{
	int client = tcp_connect(rig.port), server;

	(void)state;

	tcp_send(client, "early", 5);
	rig_settle(&rig);
	server = tcp_accept(rig.server_fd);
	rig_settle(&rig);
	tcp_expect(server, "early", 5);
	close(client);
	close(server);
	rig_settle(&rig);
}

static void bytes_keep_their_order_however_little_is_taken_at_once(void **state)
{
	struct stream up = { .from = a.client, .to = a.server };
	struct stream down = { .from = a.server, .to = a.client };
	struct dice dice = { 3 };
	const uint64_t give_up_ms = clock_ms() + 60000;
	bool was_blocked = false;

	(void)state;
	make_tight(&a);

	while (up.n_received < STREAM || down.n_received < STREAM) {
		assert_true(clock_ms() < give_up_ms);
		send_part(&up, 1 + dice_roll(&dice, 8192));
		send_part(&down, 1 + dice_roll(&dice, 8192));
		rig_turn(&rig);
		assert_in_range(rig_n_lent(&rig), 0, 2);
		was_blocked |= rig_n_lent(&rig) > 0;
		receive_part(&up, 1 + dice_roll(&dice, 8192));
		receive_part(&down, 1 + dice_roll(&dice, 8192));
	}
	assert_true(was_blocked);
	rig_settle(&rig);
	assert_int_equal(a.s->flow[CLIENT].n_bytes, STREAM);
	assert_int_equal(a.s->flow[SERVER].n_bytes, STREAM);
	assert_int_equal(rig_n_lent(&rig), 0);
}

static void while_one_side_does_not_read_the_other_direction_goes_on(void **state)
{
	(void)state;
	block_the_server();

	for (int i = 0; i < 10; i++) {
		tcp_send(a.server, "tick", 4);
		rig_settle(&rig);
		tcp_expect(a.client, "tick", 4);
	}
}

static void nothing_is_read_while_bytes_wait(void **state)
{
	uint64_t n_bytes;
	int n_before = 0, n_after = 0;

	(void)state;
	block_the_server();
	n_bytes = a.s->flow[CLIENT].n_bytes;
	assert_ok(ioctl(a.s->end[CLIENT].fd, SIOCINQ, &n_before));

	for (int i = 0; i < 10; i++)
		client_is_reported();
	assert_ok(ioctl(a.s->end[CLIENT].fd, SIOCINQ, &n_after));
	assert_int_equal(n_after, n_before);
	assert_int_equal(a.s->flow[CLIENT].n_bytes, n_bytes);
	assert_int_equal(rig_n_lent(&rig), 1);
}

static void an_idle_session_holds_no_buffer(void **state)
{
	static char sink[1 << 16];

	(void)state;
	block_the_server();
	assert_int_equal(rig_n_lent(&rig), 1);

	rig_until(&rig, recv(a.server, sink, sizeof(sink), MSG_DONTWAIT) < 0 &&
	                        a.s->flow[CLIENT].len == 0);
	assert_int_equal(rig_n_lent(&rig), 0);
	assert_int_equal(a.s->flow[CLIENT].buffer, 0);
}

static void an_urgent_byte_stays_in_the_stream(void **state)
{
	(void)state;

	for (int i = 0; i < 20; i++) {
		tcp_send(a.client, "ab", 2);
		assert_int_equal(send(a.client, "!", 1, MSG_OOB), 1);
		tcp_send(a.client, "cd", 2);
		rig_settle(&rig);
		tcp_expect(a.server, "ab!cd", 5);
	}
}

static void waiting_bytes_that_do_not_move_do_not_count_as_activity(void **state)
{
	uint64_t last_ms;

	(void)state;
	block_the_server();
	last_ms = a.s->last_active_ms = rig.worker.now_ms - 1000;

	/* epoll reports the client again, the server still takes nothing */
	for (int i = 0; i < 3; i++)
		client_is_reported();
	assert_int_equal(a.s->last_active_ms, last_ms);
}

/* ---- FIN -------------------------------------------------------------------- */

static void a_client_that_has_ended_still_gets_its_answer(void **state)
{
	(void)state;

	tcp_send(a.client, "question", 8);
	assert_ok(shutdown(a.client, SHUT_WR));
	rig_settle(&rig);
	tcp_expect(a.server, "question", 8);
	tcp_expect_end(a.server);
	assert_int_equal(a.s->state, SESSION_CLIENT_ENDED);

	tcp_send(a.server, "answer", 6);
	rig_settle(&rig);
	tcp_expect(a.client, "answer", 6);
	tcp_expect_silence(a.client);
	assert_ok(shutdown(a.server, SHUT_WR));
	rig_until(&rig, is_over());
	tcp_expect_end(a.client);
	assert_int_equal(n_closed(CLOSE_DONE), 1);
}

static void a_server_that_has_ended_is_still_sent_what_comes(void **state)
{
	(void)state;

	tcp_send(a.server, "bye", 3);
	assert_ok(shutdown(a.server, SHUT_WR));
	rig_settle(&rig);
	tcp_expect(a.client, "bye", 3);
	tcp_expect_end(a.client);
	assert_int_equal(a.s->state, SESSION_SERVER_ENDED);

	tcp_send(a.client, "more", 4);
	rig_settle(&rig);
	tcp_expect(a.server, "more", 4);
	tcp_expect_silence(a.server);
	assert_ok(shutdown(a.client, SHUT_WR));
	rig_until(&rig, is_over());
	tcp_expect_end(a.server);
	assert_int_equal(n_closed(CLOSE_DONE), 1);
}

static void both_may_end_at_once(void **state)
{
	(void)state;

	tcp_send(a.client, "x", 1);
	tcp_send(a.server, "y", 1);
	assert_ok(shutdown(a.client, SHUT_WR));
	assert_ok(shutdown(a.server, SHUT_WR));
	rig_until(&rig, is_over());
	tcp_expect(a.client, "y", 1);
	tcp_expect_end(a.client);
	tcp_expect(a.server, "x", 1);
	tcp_expect_end(a.server);
	assert_int_equal(n_closed(CLOSE_DONE), 1);
}

static void a_fin_waits_for_all_bytes_before_it(void **state)
{
	static char sink[1 << 16];
	size_t n_sent, n_received = 0;
	ssize_t n;

	(void)state;
	n_sent = block_the_server();
	assert_ok(shutdown(a.client, SHUT_WR));
	rig_settle(&rig);
	assert_int_equal(a.s->state, SESSION_RELAYING);

	while (n_received < n_sent) {
		rig_turn(&rig);
		n = recv(a.server, sink, sizeof(sink), MSG_DONTWAIT);
		assert_true(n != 0); /* no end before the last byte */
		n_received += n > 0 ? (size_t)n : 0;
	}
	rig_settle(&rig);
	tcp_expect_end(a.server);
	assert_int_equal(a.s->state, SESSION_CLIENT_ENDED);
	assert_int_equal(a.s->flow[CLIENT].n_bytes, n_sent);
}

static void a_fin_with_the_last_bytes_is_not_missed(void **state)
{
	(void)state;

	for (int i = 0; i < 50; i++) {
		struct rig_session rs = rig_connect(&rig);

		tcp_send(rs.client, "last words", 10);
		assert_ok(shutdown(rs.client, SHUT_WR));
		rig_settle(&rig);
		tcp_expect(rs.server, "last words", 10);
		tcp_expect_end(rs.server);
		rig_close(&rs);
		rig_until(&rig, session_n_live(&rig.forward.table) == 1);
	}
	assert_int_equal(n_closed(CLOSE_DONE), 50);
}

/* ---- RST -------------------------------------------------------------------- */

static void a_reset_by_the_client_is_a_reset_for_the_server(void **state)
{
	(void)state;

	tcp_reset(take_fd(a.client));
	rig_until(&rig, is_over());
	tcp_expect_reset(a.server);
	assert_int_equal(n_closed(CLOSE_CLIENT_RESET), 1);
}

static void a_reset_by_the_server_is_a_reset_for_the_client(void **state)
{
	(void)state;

	tcp_reset(take_fd(a.server));
	rig_until(&rig, is_over());
	tcp_expect_reset(a.client);
	assert_int_equal(n_closed(CLOSE_SERVER_RESET), 1);
}

static void what_came_before_a_reset_is_delivered_before_the_reset(void **state)
{
	(void)state;

	tcp_send(a.server, "413 too large", 13);
	tcp_reset(take_fd(a.server));
	rig_until(&rig, is_over());
	tcp_expect(a.client, "413 too large", 13);
	tcp_expect_reset(a.client);
	assert_int_equal(n_closed(CLOSE_SERVER_RESET), 1);
}

static void an_answer_is_delivered_though_sending_to_its_server_fails(void **state)
{
	(void)state;

	tcp_send(a.client, "more and more", 13); /* the worker sees this one first */
	tcp_send(a.server, "413 too large", 13);
	tcp_reset(take_fd(a.server));
	rig_until(&rig, is_over());
	tcp_expect(a.client, "413 too large", 13);
	tcp_expect_reset(a.client);
	assert_int_equal(n_closed(CLOSE_SERVER_RESET), 1);
}

static void a_reset_that_a_send_found_is_not_passed_on_as_a_fin(void **state)
{
	char answer[2 * BUFFER];

	(void)state;
	memset(answer, 'a', sizeof(answer));

	tcp_send(a.client, "more and more", 13);    /* the worker sees this one first */
	tcp_send(a.server, answer, sizeof(answer)); /* no read is cut short */
	tcp_reset(take_fd(a.server));
	rig_until(&rig, is_over());
	tcp_expect(a.client, answer, sizeof(answer));
	tcp_expect_reset(a.client); /* nobody knows if that was all */
	assert_int_equal(n_closed(CLOSE_SERVER_RESET), 1);
}

static void a_whole_answer_ends_with_a_fin_though_its_server_then_reset(void **state)
{
	(void)state;

	tcp_send(a.client, "more and more", 13);
	tcp_send(a.server, "413 too large", 13);
	assert_ok(shutdown(a.server, SHUT_WR));
	tcp_reset(take_fd(a.server));
	rig_until(&rig, is_over());
	tcp_expect(a.client, "413 too large", 13);
	tcp_expect_end(a.client);
	assert_int_equal(n_closed(CLOSE_SERVER_RESET), 1);
}

static void
a_reset_right_behind_a_fin_is_seen_without_traffic_the_other_way(void **state)
{
	(void)state;

	tcp_send(a.server, "bye", 3);
	assert_ok(shutdown(a.server, SHUT_WR));
	tcp_reset(take_fd(a.server)); /* bytes, FIN and reset are one report */
	rig_until(&rig, is_over());
	tcp_expect(a.client, "bye", 3);
	assert_int_equal(n_closed(CLOSE_SERVER_RESET), 1);
}

static void a_reset_after_a_fin_of_the_same_side_ends_the_session(void **state)
{
	(void)state;

	assert_ok(shutdown(a.client, SHUT_WR));
	rig_settle(&rig);
	tcp_expect_end(a.server);
	tcp_reset(take_fd(a.client));
	rig_until(&rig, is_over());
	assert_true(tcp_wait(a.server, POLLHUP));
	assert_int_equal(send(a.server, "x", 1, MSG_NOSIGNAL), -1);
	assert_int_equal(n_closed(CLOSE_CLIENT_RESET), 1);
}

static void a_reset_is_seen_though_bytes_wait_for_the_other_side(void **state)
{
	(void)state;
	block_the_server();

	tcp_reset(take_fd(a.client));
	rig_until(&rig, is_over());
	assert_int_equal(n_closed(CLOSE_CLIENT_RESET), 1);
	assert_int_equal(rig_n_lent(&rig), 0);
}

static void closing_for_another_reason_resets_both(void **state)
{
	(void)state;

	session_close(&rig.worker, a.s, CLOSE_CLEANED);
	tcp_expect_reset(a.client);
	tcp_expect_reset(a.server);
	assert_int_equal(n_closed(CLOSE_CLEANED), 1);
}

#define COPY_TEST(test) cmocka_unit_test_setup_teardown(test, start, end)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		COPY_TEST(bytes_reach_the_other_side),
		COPY_TEST(what_the_client_sent_before_the_connect_is_not_lost),
		COPY_TEST(bytes_keep_their_order_however_little_is_taken_at_once),
		COPY_TEST(while_one_side_does_not_read_the_other_direction_goes_on),
		COPY_TEST(nothing_is_read_while_bytes_wait),
		COPY_TEST(an_idle_session_holds_no_buffer),
		COPY_TEST(an_urgent_byte_stays_in_the_stream),
		COPY_TEST(waiting_bytes_that_do_not_move_do_not_count_as_activity),
		COPY_TEST(a_client_that_has_ended_still_gets_its_answer),
		COPY_TEST(a_server_that_has_ended_is_still_sent_what_comes),
		COPY_TEST(both_may_end_at_once),
		COPY_TEST(a_fin_waits_for_all_bytes_before_it),
		COPY_TEST(a_fin_with_the_last_bytes_is_not_missed),
		COPY_TEST(a_reset_by_the_client_is_a_reset_for_the_server),
		COPY_TEST(a_reset_by_the_server_is_a_reset_for_the_client),
		COPY_TEST(what_came_before_a_reset_is_delivered_before_the_reset),
		COPY_TEST(an_answer_is_delivered_though_sending_to_its_server_fails),
		COPY_TEST(a_reset_that_a_send_found_is_not_passed_on_as_a_fin),
		COPY_TEST(a_whole_answer_ends_with_a_fin_though_its_server_then_reset),
		COPY_TEST(
		        a_reset_right_behind_a_fin_is_seen_without_traffic_the_other_way),
		COPY_TEST(a_reset_after_a_fin_of_the_same_side_ends_the_session),
		COPY_TEST(a_reset_is_seen_though_bytes_wait_for_the_other_side),
		COPY_TEST(closing_for_another_reason_resets_both),
	};

	return test_run("copy", tests, argc, argv);
}
