// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* test_copy_shares.c - user/forward/copy.c: whose turn it is, response times. */
#include "test.h"

#include <linux/sockios.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "forward/relay.h"
#include "rig.h"

#define BUFFER 4096
#define SHARE (256U << 10) /* as in copy.c */

static struct rig rig;
static struct rig_session a; /* the session of most tests */

static int start(void **state)
{
	(void)state;

	rig_start(&rig, RULE_MODE_RR, BUFFER);
	a = rig_connect(&rig);
	return 0;
}

static int start_rt(void **state)
{
	(void)state;

	rig_start(&rig, RULE_MODE_RT, BUFFER);
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

/* ---- fairness --------------------------------------------------------------- */

/* More bytes than a share wait in the worker's socket, and there is room for them. */
static void heap_up(struct rig_session *rs)
{
	const int large = 8 << 20;
	int n = 0;

	if (setsockopt(rs->s->end[CLIENT].fd, SOL_SOCKET, SO_RCVBUFFORCE, &large,
	               sizeof(large)) < 0 ||
	    setsockopt(rs->server, SOL_SOCKET, SO_RCVBUFFORCE, &large, sizeof(large)) <
	            0)
		test_skip("large socket buffers need CAP_NET_ADMIN");
	for (int i = 0; i < 100 && n < (int)(4 * SHARE); i++) {
		tcp_fill(rs->client);
		assert_ok(ioctl(rs->s->end[CLIENT].fd, SIOCINQ, &n));
	}
	assert_true(n >= (int)(4 * SHARE));
}

static void a_session_with_much_to_do_gets_a_share_and_is_ready_again(void **state)
{
	(void)state;
	heap_up(&a);

	a.s->end[CLIENT].is_readable = true;
	assert_true(relay_of(a.s)->on_ready(&rig.worker, a.s));
	assert_in_range(a.s->flow[CLIENT].n_bytes, SHARE, SHARE + BUFFER);
	assert_int_equal(rig.worker.ready.first, a.number);
	rig_settle(&rig);
	assert_true(a.s->flow[CLIENT].n_bytes > 2 * SHARE);
	assert_int_equal(rig.worker.ready.first, 0);
}

static void others_get_their_turn_before_a_busy_session_is_through(void **state)
{
	struct rig_session b = rig_connect(&rig);
	int n_left = 0;

	(void)state;
	heap_up(&a);
	tcp_send(b.client, "me too", 6);
	assert_true(tcp_wait(rig.worker.loop.epoll_fd, POLLIN));

	worker_turn(&rig.worker);
	tcp_expect(b.server, "me too", 6);
	assert_ok(ioctl(a.s->end[CLIENT].fd, SIOCINQ, &n_left));
	assert_true(n_left > 0);
	assert_int_equal(rig.worker.ready.first, a.number);
	rig_close(&b);
	rig_settle(&rig);
}

/* ---- response time ---------------------------------------------------------- */

static uint64_t response_us(void)
{
	return rig.rule->servers[0].state->response_us;
}

static void a_response_time_is_from_a_request_to_its_first_byte(void **state)
{
	uint64_t first;

	(void)state;
	assert_int_equal(a.s->request_us, 0);

	tcp_send(a.client, "question", 8);
	rig_settle(&rig);
	assert_true(a.s->request_us > 0);
	assert_int_equal(response_us(), 0);
	usleep(2000);
	tcp_send(a.server, "answer", 6);
	rig_settle(&rig);
	first = response_us();
	assert_true(first >= 2000);
	assert_int_equal(a.s->request_us, 0);
	usleep(2000);
	tcp_send(a.server, "and more of it", 14);
	rig_settle(&rig);
	assert_int_equal(response_us(), first);
}

static void a_server_that_speaks_first_is_not_measured(void **state)
{
	(void)state;

	tcp_send(a.server, "220 hello", 9);
	rig_settle(&rig);
	assert_int_equal(response_us(), 0);
	tcp_expect(a.client, "220 hello", 9);
}

static void a_request_is_complete_when_its_last_byte_was_sent(void **state)
{
	uint64_t before_us;

	(void)state;
	a.s->end[SERVER].is_writable = false;
	tcp_send(a.client, "question", 8);
	rig_settle(&rig);
	assert_int_equal(a.s->flow[CLIENT].len, 8);

	before_us = clock_us();
	a.s->end[SERVER].is_writable = true;
	assert_true(relay_of(a.s)->on_event(&rig.worker, a.s, SERVER));
	assert_int_equal(a.s->flow[CLIENT].len, 0);
	assert_true(a.s->request_us >= before_us);
}

static void other_modes_measure_nothing(void **state)
{
	(void)state;

	tcp_send(a.client, "question", 8);
	rig_settle(&rig);
	tcp_send(a.server, "answer", 6);
	rig_settle(&rig);
	assert_int_equal(a.s->request_us, 0);
	assert_int_equal(response_us(), 0);
}

#define SHARE_TEST(test) cmocka_unit_test_setup_teardown(test, start, end)
#define RESPONSE_TEST(test) cmocka_unit_test_setup_teardown(test, start_rt, end)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		SHARE_TEST(a_session_with_much_to_do_gets_a_share_and_is_ready_again),
		SHARE_TEST(others_get_their_turn_before_a_busy_session_is_through),
		RESPONSE_TEST(a_response_time_is_from_a_request_to_its_first_byte),
		RESPONSE_TEST(a_server_that_speaks_first_is_not_measured),
		RESPONSE_TEST(a_request_is_complete_when_its_last_byte_was_sent),
		SHARE_TEST(other_modes_measure_nothing),
	};

	return test_run("copy_shares", tests, argc, argv);
}
