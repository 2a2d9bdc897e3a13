// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* test_timeouts.c - user/forward/worker.c: what becomes of sessions that are silent. */
#include "test.h"

#include "rig.h"

#define BUFFER 4096

static struct rig rig;
static struct rig_session a;

static int start(void **state)
{
	(void)state;

	rig_start(&rig, RULE_MODE_RR, BUFFER);
	return 0;
}

static int end(void **state)
{
	(void)state;

	rig_close(&a);
	rig_stop(&rig);
	return 0;
}

static void connect_with(unsigned int timeout_s, unsigned int fin_timeout_s)
{
	rig.rule->timeout_s = timeout_s;
	rig.rule->fin_timeout_s = fin_timeout_s;
	a = rig_connect(&rig);
}

static uint64_t due_ms(void)
{
	return a.s->timer.due_ms;
}

/* As if nothing had happened since @ms more milliseconds. */
static void grow_old(uint64_t ms)
{
	a.s->last_active_ms -= ms;
	worker_set_idle_timer(&rig.worker, a.s);
}

static uint64_t n_closed(enum close_reason reason)
{
	return rig.worker.n_closed[reason];
}

static void assert_closed_for(enum close_reason reason)
{
	rig_until(&rig, session_n_live(&rig.forward.table) == 0);
	assert_int_equal(n_closed(reason), 1);
}

static void without_timeouts_no_timer_is_armed(void **state)
{
	(void)state;
	connect_with(0, 0);

	assert_int_equal(wheel_wait_ms(&rig.worker.wheel, rig.worker.now_ms), -1);
	assert_ok(shutdown(a.client, SHUT_WR));
	rig_settle(&rig);
	assert_int_equal(a.s->state, SESSION_CLIENT_ENDED);
	assert_int_equal(wheel_wait_ms(&rig.worker.wheel, rig.worker.now_ms), -1);
}

static void a_silent_session_is_reset_when_its_timeout_is_over(void **state)
{
	(void)state;
	connect_with(5, 0);

	assert_int_equal(due_ms(),
	                 a.s->last_active_ms + 2500); /* a look at half of it */
	grow_old(3000);
	assert_int_equal(due_ms(), a.s->last_active_ms + 5000);
	grow_old(3000);
	assert_closed_for(CLOSE_IDLE_TIMEOUT);
	tcp_expect_reset(a.client);
	tcp_expect_reset(a.server);
}

static void bytes_in_either_direction_put_the_timeout_off(void **state)
{
	(void)state;
	connect_with(5, 0);

	for (int i = 0; i < 2; i++) {
		uint64_t was_active_ms = a.s->last_active_ms -= 3000;

		tcp_send(i == 0 ? a.client : a.server, "x", 1);
		rig_until(&rig, a.s->flow[i].n_bytes == 1);
		assert_true(a.s->last_active_ms > was_active_ms);
	}
	/* the timer was not touched; it finds out when it fires */
	wheel_set(&rig.worker.wheel, a.number, 0);
	rig_until(&rig, due_ms() > 0);
	assert_int_equal(due_ms(), a.s->last_active_ms + 2500);
	assert_int_equal(a.s->state, SESSION_RELAYING);
}

/* The daemon has no part in it: only the kernel knows. */
static void bytes_that_a_socket_still_sends_put_the_timeout_off(void **state)
{
	(void)state;
	connect_with(5, 0);

	a.s->end[CLIENT].n_unsent = 1000; /* at the last look; now it has none */
	grow_old(6000);
	rig_until(&rig, a.s->end[CLIENT].n_unsent == 0);
	assert_int_equal(a.s->last_active_ms, rig.worker.now_ms);
	assert_int_equal(a.s->state, SESSION_RELAYING);
	grow_old(6000);
	assert_closed_for(CLOSE_IDLE_TIMEOUT);
}

static void a_timeout_of_a_year_is_a_year(void **state)
{
	(void)state;
	connect_with(TIMEOUT_MAX_S, 0);

	assert_int_equal(due_ms(), a.s->last_active_ms + TIMEOUT_MAX_S * 500ULL);
	wheel_set(&rig.worker.wheel, a.number, 0);
	rig_until(&rig, due_ms() > 0);
	assert_int_equal(a.s->state, SESSION_RELAYING);
}

static void after_one_fin_the_fin_timeout_counts(void **state)
{
	(void)state;
	connect_with(3600, 5);

	assert_int_equal(due_ms(), a.s->last_active_ms + 1800000);
	assert_ok(shutdown(a.server, SHUT_WR));
	rig_settle(&rig);
	assert_int_equal(a.s->state, SESSION_SERVER_ENDED);
	assert_int_equal(due_ms(), a.s->last_active_ms + 2500);
	grow_old(6000);
	assert_closed_for(CLOSE_FIN_TIMEOUT);
}

static void after_one_fin_a_shorter_timeout_still_counts(void **state)
{
	(void)state;
	connect_with(5, 3600);

	assert_ok(shutdown(a.client, SHUT_WR));
	rig_settle(&rig);
	grow_old(6000);
	assert_closed_for(CLOSE_IDLE_TIMEOUT);
}

static void a_fin_timeout_works_without_a_timeout(void **state)
{
	(void)state;
	connect_with(0, 5);

	assert_ok(shutdown(a.client, SHUT_WR));
	rig_settle(&rig);
	grow_old(6000);
	assert_closed_for(CLOSE_FIN_TIMEOUT);
}

#define TIMEOUT_TEST(test) cmocka_unit_test_setup_teardown(test, start, end)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TIMEOUT_TEST(without_timeouts_no_timer_is_armed),
		TIMEOUT_TEST(a_silent_session_is_reset_when_its_timeout_is_over),
		TIMEOUT_TEST(bytes_in_either_direction_put_the_timeout_off),
		TIMEOUT_TEST(bytes_that_a_socket_still_sends_put_the_timeout_off),
		TIMEOUT_TEST(a_timeout_of_a_year_is_a_year),
		TIMEOUT_TEST(after_one_fin_the_fin_timeout_counts),
		TIMEOUT_TEST(after_one_fin_a_shorter_timeout_still_counts),
		TIMEOUT_TEST(a_fin_timeout_works_without_a_timeout),
	};

	return test_run("timeouts", tests, argc, argv);
}
