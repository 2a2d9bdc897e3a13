// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* test_state.c - user/rules/state.c: found by name, found by number, freed once. */
#include "test.h"

#include <pthread.h>

#include "base/cleanup.h"
#include "rules/state.h"

#define N_THREADS 8

static void assert_no_state_is_left(void)
{
	assert_int_equal(state_count(STATE_RULE), 0);
	assert_int_equal(state_count(STATE_SERVER), 0);
	assert_int_equal(state_count(STATE_CLIENT), 0);
}

static void run_threads(void *(*body)(void *), void *arg)
{
	pthread_t threads[N_THREADS];

	for (int i = 0; i < N_THREADS; i++)
		assert_ok(pthread_create(&threads[i], NULL, body, arg));
	for (int i = 0; i < N_THREADS; i++)
		assert_ok(pthread_join(threads[i], NULL));
}

static void a_name_finds_the_state_that_was_made_for_it(void **state)
{
	struct server_state *first = state_open(STATE_SERVER, "web", "10.0.0.1:80", 0);
	struct server_state *again;

	(void)state;
	first->n_sessions = 7;
	again = state_open(STATE_SERVER, "web", "10.0.0.1:80", 0);

	assert_ptr_equal(again, first);
	assert_int_equal(again->n_sessions, 7);
	assert_int_equal(state_count(STATE_SERVER), 1);
	state_unref(&first->state);
	assert_int_equal(state_count(STATE_SERVER), 1);
	state_unref(&again->state);
	assert_no_state_is_left();
}

static void names_that_differ_in_any_part_are_different_states(void **state)
{
	struct state *states[] = {
		state_open(STATE_RULE, "web", NULL, 0),
		state_open(STATE_SERVER, "web", "10.0.0.1:80", 0),
		state_open(STATE_SERVER, "web", "10.0.0.1:80", 1),
		state_open(STATE_CLIENT, "web", "10.0.0.1:80", 0),
		state_open(STATE_SERVER, "web1", "0.0.0.1:80", 0),
		state_open(STATE_SERVER, "web1", "10.0.0.1:80", 0),
		state_open(STATE_SERVER, "we", "b10.0.0.1:80", 0),
		state_open(STATE_SERVER, "3 web", "10.0.0.1:80", 0),
		state_open(STATE_RULE, "web 0", NULL, 0),
	};

	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
		for (size_t j = 0; j < i; j++) {
			assert_ptr_not_equal(states[i], states[j]);
			assert_int_not_equal(states[i]->index, states[j]->index);
		}
	}
	assert_int_equal(state_count(STATE_RULE), 2);
	assert_int_equal(state_count(STATE_SERVER), 6);
	assert_int_equal(state_count(STATE_CLIENT), 1);
	for (size_t i = 0; i < ARRAY_SIZE(states); i++)
		state_unref(states[i]);
	assert_no_state_is_left();
}

static void a_number_finds_its_state_until_the_last_reference(void **state)
{
	struct server_state *s = state_open(STATE_SERVER, "web", "10.0.0.1:80", 0);
	struct server_state *reused;
	uint32_t index = s->state.index;

	(void)state;

	assert_int_not_equal(index, STATE_NONE);
	assert_ptr_equal(state_get(STATE_SERVER, index), s);
	state_ref(&s->state);
	state_unref(&s->state);
	assert_ptr_equal(state_get(STATE_SERVER, index), s);
	state_unref(&s->state);
	assert_no_state_is_left();

	reused = state_open(STATE_SERVER, "web", "10.0.0.2:80", 0);
	assert_int_equal(reused->state.index, index);
	assert_ptr_equal(state_get(STATE_SERVER, index), reused);
	state_unref(&reused->state);
}

static void a_session_keeps_the_state_for_a_rule_that_comes_back(void **state)
{
	struct server_state *old = state_open(STATE_SERVER, "web", "10.0.0.1:80", 0);
	struct server_state *back;

	(void)state;
	state_ref(&old->state);   /* the session's */
	state_unref(&old->state); /* the rule is removed ... */
	back = state_open(STATE_SERVER, "web", "10.0.0.1:80", 0); /* ... and added */

	assert_ptr_equal(back, old);
	state_unref(&back->state);
	state_unref(&old->state);
	assert_no_state_is_left();
}

static void a_state_that_was_freed_starts_anew(void **state)
{
	struct server_state *s = state_open(STATE_SERVER, "web", "10.0.0.1:80", 0);

	(void)state;
	s->n_failures = 3;
	s->is_marked = true;
	state_unref(&s->state);
	s = state_open(STATE_SERVER, "web", "10.0.0.1:80", 0);

	assert_int_equal(s->n_failures, 0);
	assert_false(s->is_marked);
	state_unref(&s->state);
	assert_no_state_is_left();
}

static void a_rule_begins_with_a_free_lock_and_its_own_random_numbers(void **state)
{
	struct rule_state *a = state_open(STATE_RULE, "a", NULL, 0);
	struct rule_state *b = state_open(STATE_RULE, "b", NULL, 0);

	(void)state;

	assert_ok(pthread_mutex_trylock(&a->lock));
	assert_ok(pthread_mutex_unlock(&a->lock));
	assert_true(a->random_state != b->random_state);
	assert_int_equal(a->n_picks, 0);
	assert_int_equal(a->ms_server, STATE_NONE);
	assert_int_equal(a->last_server, STATE_NONE);
	state_unref(&a->state);
	state_unref(&b->state);
	assert_no_state_is_left();
}

enum { N_MANY = 5000 };

static struct client_state *open_many(int nth)
{
	char text[32];

	snprintf(text, sizeof(text), "10.0.0.%d:*", nth);
	return state_open(STATE_CLIENT, "many", text, 0);
}

static void thousands_of_states_keep_their_numbers(void **state)
{
	static struct client_state *many[N_MANY];

	(void)state;

	for (int i = 0; i < N_MANY; i++)
		many[i] = open_many(i);
	for (int i = 0; i < N_MANY; i++)
		assert_ptr_equal(state_get(STATE_CLIENT, many[i]->state.index),
		                 many[i]);
	assert_int_equal(state_count(STATE_CLIENT), N_MANY);
	for (int i = 0; i < N_MANY; i++)
		state_unref(&many[i]->state);
	assert_no_state_is_left();
}

struct growth {
	struct server_state *held;
	bool is_over;  /* atomic */
	bool is_wrong; /* atomic */
};

static void *read_by_number(void *arg)
{
	struct growth *growth = arg;
	uint32_t index = growth->held->state.index;

	while (!__atomic_load_n(&growth->is_over, __ATOMIC_RELAXED))
		if (state_get(STATE_SERVER, index) != growth->held)
			__atomic_store_n(&growth->is_wrong, true, __ATOMIC_RELAXED);
	return NULL;
}

static void numbers_can_be_looked_up_while_the_table_grows(void **state)
{
	static struct client_state *many[N_MANY];
	struct growth growth = { .held = state_open(STATE_SERVER, "r", "s", 0) };
	pthread_t reader;

	(void)state;

	assert_ok(pthread_create(&reader, NULL, read_by_number, &growth));
	for (int i = 0; i < N_MANY; i++)
		many[i] = open_many(i);
	for (int i = 0; i < N_MANY; i++)
		state_unref(&many[i]->state);
	__atomic_store_n(&growth.is_over, true, __ATOMIC_RELAXED);
	assert_ok(pthread_join(reader, NULL));

	assert_false(growth.is_wrong);
	state_unref(&growth.held->state);
	assert_no_state_is_left();
}

/*
 * Few names and many threads: most unrefs are the last, and race with an open of
 * the same name. A freed state that is handed out again shows as a use after free
 * under a sanitizer, and as a lost count or a leak without.
 */
static void *open_and_unref(void *arg)
{
	uint64_t *n_entered = arg;

	for (unsigned int i = 0; i < 20000; i++) {
		const char *name = i % 2 ? "odd" : "even";
		struct client_state *c = state_open(STATE_CLIENT, name, "*:*", 0);

		client_state_enter(c, 0);
		__atomic_fetch_add(n_entered, 1, __ATOMIC_RELAXED);
		state_ref(&c->state);
		state_unref(&c->state);
		client_state_leave(c);
		state_unref(&c->state);
	}
	return NULL;
}

static void threads_that_open_and_free_one_name_neither_leak_nor_revive(void **state)
{
	uint64_t n_entered = 0;

	(void)state;

	run_threads(open_and_unref, &n_entered);
	assert_int_equal(n_entered, N_THREADS * 20000);
	assert_no_state_is_left();
}

static void references_of_many_threads_are_all_counted(void **state)
{
	struct client_state *odd = state_open(STATE_CLIENT, "odd", "*:*", 0);
	struct client_state *even = state_open(STATE_CLIENT, "even", "*:*", 0);
	uint64_t n_entered = 0;

	(void)state;

	run_threads(open_and_unref, &n_entered);
	assert_int_equal(odd->state.refs, 1);
	assert_int_equal(even->state.refs, 1);
	assert_int_equal(odd->n_sessions, 0);
	assert_int_equal(even->n_sessions, 0);
	state_unref(&odd->state);
	state_unref(&even->state);
	assert_no_state_is_left();
}

static void maxclients_counts_sessions_and_zero_is_no_limit(void **state)
{
	struct client_state *c = state_open(STATE_CLIENT, "r", "*:*", 0);

	(void)state;

	assert_true(client_state_enter(c, 2));
	assert_true(client_state_enter(c, 2));
	assert_false(client_state_enter(c, 2));
	assert_int_equal(c->n_sessions, 2);
	assert_true(client_state_enter(c, 0));
	client_state_leave(c);
	client_state_leave(c);
	assert_true(client_state_enter(c, 2));
	client_state_leave(c);
	client_state_leave(c);
	assert_int_equal(c->n_sessions, 0);
	state_unref(&c->state);
}

enum { MAX_CLIENTS = 3 };

struct crowd {
	struct client_state *client;
	uint64_t n_too_many; /* atomic */
	uint64_t n_entered;  /* atomic */
	uint64_t n_refused;  /* atomic */
};

static void *enter_and_leave(void *arg)
{
	struct crowd *crowd = arg;

	for (int i = 0; i < 20000; i++) {
		uint64_t n;

		if (!client_state_enter(crowd->client, MAX_CLIENTS)) {
			__atomic_fetch_add(&crowd->n_refused, 1, __ATOMIC_RELAXED);
			continue;
		}
		__atomic_fetch_add(&crowd->n_entered, 1, __ATOMIC_RELAXED);
		n = __atomic_load_n(&crowd->client->n_sessions, __ATOMIC_RELAXED);
		if (n > MAX_CLIENTS)
			__atomic_fetch_add(&crowd->n_too_many, 1, __ATOMIC_RELAXED);
		client_state_leave(crowd->client);
	}
	return NULL;
}

static void maxclients_is_exact_among_threads(void **state)
{
	struct crowd crowd = { .client = state_open(STATE_CLIENT, "r", "*:*", 0) };

	(void)state;

	run_threads(enter_and_leave, &crowd);
	assert_int_equal(crowd.n_too_many, 0);
	assert_int_equal(crowd.n_entered + crowd.n_refused, N_THREADS * 20000);
	assert_int_equal(crowd.client->n_sessions, 0);
	state_unref(&crowd.client->state);
	assert_no_state_is_left();
}

static void *enter_once(void *arg)
{
	struct crowd *crowd = arg;

	if (client_state_enter(crowd->client, MAX_CLIENTS))
		__atomic_fetch_add(&crowd->n_entered, 1, __ATOMIC_RELAXED);
	return NULL;
}

static void of_many_at_once_exactly_maxclients_get_in(void **state)
{
	struct crowd crowd = { .client = state_open(STATE_CLIENT, "r", "*:*", 0) };

	(void)state;

	run_threads(enter_once, &crowd);
	assert_int_equal(crowd.n_entered, MAX_CLIENTS);
	assert_int_equal(crowd.client->n_sessions, MAX_CLIENTS);
	state_unref(&crowd.client->state);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_finds_the_state_that_was_made_for_it),
		cmocka_unit_test(names_that_differ_in_any_part_are_different_states),
		cmocka_unit_test(a_number_finds_its_state_until_the_last_reference),
		cmocka_unit_test(a_session_keeps_the_state_for_a_rule_that_comes_back),
		cmocka_unit_test(a_state_that_was_freed_starts_anew),
		cmocka_unit_test(
		        a_rule_begins_with_a_free_lock_and_its_own_random_numbers),
		cmocka_unit_test(thousands_of_states_keep_their_numbers),
		cmocka_unit_test(numbers_can_be_looked_up_while_the_table_grows),
		cmocka_unit_test(
		        threads_that_open_and_free_one_name_neither_leak_nor_revive),
		cmocka_unit_test(references_of_many_threads_are_all_counted),
		cmocka_unit_test(maxclients_counts_sessions_and_zero_is_no_limit),
		cmocka_unit_test(maxclients_is_exact_among_threads),
		cmocka_unit_test(of_many_at_once_exactly_maxclients_get_in),
	};

	return test_run("state", tests, argc, argv);
}
