// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * test_balance_threads.c - user/rules/balance.c: exact whatever the number of workers.
 *
 * The threads start together, so that they really meet in the rule's lock.
 */
#include "test.h"

#include <pthread.h>

#include "rules/balance.h"
#include "ruleset.h"

#define N_THREADS 8
#define N_SERVERS 3
#define MAXCONNS 2
#define N_ROUNDS 10000 /* per thread */

static struct rule *rule;
static struct addr client;
static pthread_barrier_t start;
static uint64_t n_picked[N_SERVERS]; /* atomic */
static uint64_t n_full;              /* atomic */
static uint64_t n_wrong;             /* atomic */

static void run_threads(enum rule_mode mode, uint64_t maxconns, void *(*body)(void *))
{
	static const char *const servers[N_SERVERS] = { "10.0.0.1:1", "10.0.0.2:1",
		                                        "10.0.0.3:1" };
	pthread_t threads[N_THREADS];

	rule = ruleset_rule("r", mode);
	client = ruleset_addr("127.0.0.1:5000");
	for (int i = 0; i < N_SERVERS; i++)
		ruleset_add_server(rule, servers[i], 1, maxconns);
	memset(n_picked, 0, sizeof(n_picked));
	n_full = n_wrong = 0;

	assert_ok(pthread_barrier_init(&start, NULL, N_THREADS));
	for (int i = 0; i < N_THREADS; i++)
		assert_ok(pthread_create(&threads[i], NULL, body, NULL));
	for (int i = 0; i < N_THREADS; i++)
		assert_ok(pthread_join(threads[i], NULL));
	pthread_barrier_destroy(&start);
}

static void assert_idle_and_free(void)
{
	for (int i = 0; i < N_SERVERS; i++) {
		assert_int_equal(rule->servers[i].state->n_sessions, 0);
		assert_int_equal(rule->servers[i].state->state.refs, 1);
	}
	ruleset_rule_free(rule);
	assert_int_equal(state_count(STATE_SERVER), 0);
}

static void count(uint64_t *counter)
{
	__atomic_fetch_add(counter, 1, __ATOMIC_RELAXED);
}

static const struct rule_server *pick(void)
{
	const struct rule_server *s = NULL;

	if (balance_pick(rule, &client, NULL, 0, 1000, &s) == BALANCE_PICKED)
		count(&n_picked[s - rule->servers]);
	else
		count(&n_full);
	return s;
}

/* Each thread holds two sessions at a time, so that full servers are the rule. */
static void *hammer(void *arg)
{
	(void)arg;

	pthread_barrier_wait(&start);
	for (int i = 0; i < N_ROUNDS; i++) {
		const struct rule_server *held[2] = { pick(), pick() };

		for (int h = 0; h < 2; h++) {
			uint64_t *n = held[h] ? &held[h]->state->n_sessions : NULL;

			if (n && __atomic_load_n(n, __ATOMIC_RELAXED) > MAXCONNS)
				count(&n_wrong);
			if (n)
				balance_release(held[h]->state);
		}
	}
	return NULL;
}

static void maxconns_is_never_exceeded_in_any_mode(void **state)
{
	(void)state;

	for (int mode = RULE_MODE_MS; mode < RULE_MODE_N; mode++) {
		uint64_t n_picks = 0;

		run_threads(mode, MAXCONNS, hammer);
		for (int i = 0; i < N_SERVERS; i++)
			n_picks += n_picked[i];
		assert_int_equal(n_wrong, 0);
		assert_int_equal(n_picks + n_full, 2 * N_THREADS * N_ROUNDS);
		assert_int_equal(rule->state->n_picks, 2 * N_THREADS * N_ROUNDS);
		assert_idle_and_free();
	}
}

static void *hold_one(void *arg)
{
	(void)arg;

	pthread_barrier_wait(&start);
	pick();
	return NULL;
}

static void of_many_at_once_as_many_are_served_as_there_is_room(void **state)
{
	(void)state;

	for (int mode = RULE_MODE_MS; mode < RULE_MODE_N; mode++) {
		run_threads(mode, MAXCONNS, hold_one);
		assert_int_equal(n_full, N_THREADS - N_SERVERS * MAXCONNS);
		for (int i = 0; i < N_SERVERS; i++) {
			assert_int_equal(n_picked[i], MAXCONNS);
			for (int held = 0; held < MAXCONNS; held++)
				balance_release(rule->servers[i].state);
		}
		assert_idle_and_free();
	}
}

static void *pick_and_release(void *arg)
{
	(void)arg;

	pthread_barrier_wait(&start);
	for (int i = 0; i < N_SERVERS * N_ROUNDS; i++)
		balance_release(pick()->state);
	return NULL;
}

static void rr_gives_each_server_the_same_number_of_sessions(void **state)
{
	(void)state;

	run_threads(RULE_MODE_RR, 0, pick_and_release);
	for (int i = 0; i < N_SERVERS; i++)
		assert_int_equal(n_picked[i], N_THREADS * N_ROUNDS);
	assert_int_equal(n_full, 0);
	assert_idle_and_free();
}

static void *hold_some(void *arg)
{
	(void)arg;

	pthread_barrier_wait(&start);
	for (int i = 0; i < 3 * N_SERVERS; i++)
		pick();
	return NULL;
}

static void lc_holds_the_same_number_of_sessions_on_each_server(void **state)
{
	(void)state;

	run_threads(RULE_MODE_LC, 0, hold_some);
	for (int i = 0; i < N_SERVERS; i++) {
		assert_int_equal(rule->servers[i].state->n_sessions, 3 * N_THREADS);
		for (int held = 0; held < 3 * N_THREADS; held++)
			balance_release(rule->servers[i].state);
	}
	assert_idle_and_free();
}

/* Everybody has the first server before anybody's connect to it fails. */
static void *fail_together(void *arg)
{
	const struct rule_server *s;

	(void)arg;

	pthread_barrier_wait(&start);
	s = pick();
	pthread_barrier_wait(&start);
	balance_failed(rule, s->state, 1000);
	balance_release(s->state);
	return NULL;
}

static void ms_moves_once_when_all_fail_together(void **state)
{
	(void)state;

	for (int round = 0; round < 100; round++) {
		run_threads(RULE_MODE_MS, 0, fail_together);
		assert_int_equal(n_picked[0], N_THREADS);
		assert_int_equal(rule->servers[0].state->n_failures, N_THREADS);
		assert_int_equal(rule->state->ms_server,
		                 rule->servers[1].state->state.index);
		assert_idle_and_free();
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(maxconns_is_never_exceeded_in_any_mode),
		cmocka_unit_test(of_many_at_once_as_many_are_served_as_there_is_room),
		cmocka_unit_test(rr_gives_each_server_the_same_number_of_sessions),
		cmocka_unit_test(lc_holds_the_same_number_of_sessions_on_each_server),
		cmocka_unit_test(ms_moves_once_when_all_fail_together),
	};

	return test_run("balance_threads", tests, argc, argv);
}
