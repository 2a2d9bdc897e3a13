// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * test_balance.c - user/rules/balance.c: which server gets the next session.
 *
 * What holds in every mode, then RR and MS. The modes that measure or draw are in
 * test_balance_modes.c, threads that pick at the same time in
 * test_balance_threads.c.
 */
#include "test.h"

#include "balancing.h"

/* ---- all modes ---- */

static void the_choice_is_counted_until_it_is_released(void **state)
{
	struct server_state *a;

	(void)state;
	make_rule(RULE_MODE_MS, 1, NULL);
	a = server(A);

	assert_int_equal(pick(), A);
	assert_int_equal(pick(), A);
	assert_int_equal(a->n_sessions, 2);
	assert_int_equal(a->state.refs, 3);
	balance_connected(rule, a);
	assert_int_equal(a->n_total, 1);
	fail_server(A);
	assert_int_equal(a->n_failures, 1);
	balance_release(a);
	balance_release(a);
	assert_int_equal(a->n_sessions, 0);
	assert_int_equal(a->state.refs, 1);
}

static void each_pick_is_one_selection(void **state)
{
	uint32_t tried[1];
	struct addr client = ruleset_addr(CLIENT);
	const struct rule_server *s = NULL;

	(void)state;
	make_rule(RULE_MODE_RR, 1, NULL);
	tried[0] = server(A)->state.index;

	pick_and_release();
	assert_int_equal(rule->state->n_picks, 1);
	assert_int_equal(balance_pick(rule, &client, tried, 1, now_ms, &s),
	                 BALANCE_EXHAUSTED);
	assert_null(s);
	assert_int_equal(rule->state->n_picks, 2);
}

static void weight_zero_gets_no_session_in_any_mode(void **state)
{
	static const unsigned int weights[] = { 0, 1, 0 };

	(void)state;

	for (int mode = RULE_MODE_MS; mode < RULE_MODE_N; mode++) {
		make_rule(mode, 3, weights);
		assert_held(9, 0, 9, 0);
		is_down[B] = true;
		assert_clients_get("-");
		free_rule(NULL);
	}
	make_rule(RULE_MODE_RR, 1, NULL);
}

static void without_any_weight_a_rule_is_exhausted_in_every_mode(void **state)
{
	static const unsigned int weights[] = { 0, 0 };

	(void)state;

	for (int mode = RULE_MODE_MS; mode < RULE_MODE_N; mode++) {
		make_rule(mode, 2, weights);
		assert_clients_get("--");
		free_rule(NULL);
	}
	make_rule(RULE_MODE_RR, 1, NULL);
}

static void maxconns_is_kept_and_told_apart_from_exhausted_in_every_mode(void **state)
{
	struct addr client = ruleset_addr(CLIENT);
	const struct rule_server *s;

	(void)state;

	for (int mode = RULE_MODE_MS; mode < RULE_MODE_N; mode++) {
		uint32_t tried[2];

		make_rule(mode, 0, NULL);
		ruleset_add_server(rule, "127.0.0.1:1", 1, 2);
		ruleset_add_server(rule, "127.0.0.1:2", 1, 3);
		for (size_t i = 0; i < 2; i++)
			tried[i] = server(i)->state.index;
		for (int i = 0; i < 5; i++)
			pick();
		assert_int_equal(server(A)->n_sessions, 2);
		assert_int_equal(server(B)->n_sessions, 3);

		s = NULL;
		assert_int_equal(balance_pick(rule, &client, NULL, 0, 0, &s),
		                 BALANCE_FULL);
		assert_int_equal(balance_pick(rule, &client, tried, 1, 0, &s),
		                 BALANCE_FULL);
		assert_int_equal(balance_pick(rule, &client, tried, 2, 0, &s),
		                 BALANCE_EXHAUSTED);
		assert_null(s);
		balance_release(server(B));
		assert_int_equal(pick(), B);
		release_all();
		free_rule(NULL);
	}
	make_rule(RULE_MODE_RR, 1, NULL);
}

static void when_all_are_down_each_is_tried_once_and_the_rule_comes_back(void **state)
{
	(void)state;

	for (int mode = RULE_MODE_MS; mode < RULE_MODE_N; mode++) {
		size_t n_tried;

		make_rule(mode, 3, NULL);
		is_down[A] = is_down[B] = is_down[C] = true;
		for (int client = 0; client < 5; client++) {
			assert_int_equal(connect_counting(CLIENT, &n_tried),
			                 NOBODY_LEFT);
			assert_int_equal(n_tried, 3);
		}
		is_down[B] = false;
		assert_clients_get("BBBBB");
		free_rule(NULL);
	}
	make_rule(RULE_MODE_RR, 1, NULL);
}

static void when_all_are_marked_the_one_marked_longest_is_tried(void **state)
{
	(void)state;

	for (int mode = RULE_MODE_MS; mode < RULE_MODE_N; mode++) {
		make_rule(mode, 3, NULL);
		fail_server(B);
		pick_and_release();
		fail_server(C);
		pick_and_release();
		fail_server(A);
		assert_int_equal(pick_and_release(), B);
		fail_server(B);
		assert_int_equal(pick_and_release(), C);
		fail_server(C);
		fail_server(A); /* in the same selection: the first in the list */
		assert_int_equal(pick_and_release(), B);
		fail_server(B);
		assert_int_equal(pick_and_release(), A);
		free_rule(NULL);
	}
	make_rule(RULE_MODE_RR, 1, NULL);
}

static void a_mark_lasts_for_exactly_a_hundred_selections(void **state)
{
	(void)state;

	for (int mode = RULE_MODE_RR; mode < RULE_MODE_N; mode++) {
		size_t n_on_b = 0;

		if (mode == RULE_MODE_HS) /* one client's server may be the other */
			continue;
		make_rule(mode, 2, NULL);
		fail_server(A);
		for (int i = 0; i < RULE_SKIPPED_PICKS; i++)
			n_on_b += pick_and_release() == B;
		assert_int_equal(n_on_b, RULE_SKIPPED_PICKS);
		assert_true(server(A)->is_marked);
		for (int i = 0; i < 64; i++)
			n_on_b -= pick_and_release() == A;
		assert_true(n_on_b < RULE_SKIPPED_PICKS);
		assert_false(server(A)->is_marked);
		free_rule(NULL);
	}
	make_rule(RULE_MODE_RR, 1, NULL);
}

static void a_moratorium_is_told_by_the_clock_and_not_by_selections(void **state)
{
	(void)state;
	make_rule(RULE_MODE_RR, 2, NULL);
	rule->moratorium_s = 3;

	fail_server(A);
	for (int i = 0; i < 3 * RULE_SKIPPED_PICKS; i++)
		assert_int_equal(pick_and_release(), B);
	now_ms -= 5; /* as another worker's clock may be */
	assert_int_equal(pick_and_release(), B);
	now_ms += 5 + 2999;
	assert_int_equal(pick_and_release(), B);
	now_ms += 1;
	assert_clients_get("ABAB");
}

static void a_connect_that_succeeds_clears_the_mark(void **state)
{
	(void)state;
	make_rule(RULE_MODE_RR, 2, NULL);

	fail_server(A);
	assert_int_equal(pick_and_release(), B);
	balance_connected(rule, server(A));
	assert_clients_get("ABAB");
}

/* ---- RR ---- */

static void rr_takes_servers_in_turn(void **state)
{
	(void)state;
	make_rule(RULE_MODE_RR, 3, NULL);

	assert_clients_get("ABCABC");
}

static void rr_passes_over_the_server_that_failed_and_no_other(void **state)
{
	size_t n_tried;

	(void)state;
	make_rule(RULE_MODE_RR, 3, NULL);
	is_down[A] = true;

	/* 101 selections: the first client's two, and then one for each client */
	assert_clients_get("BCBCBCBCB");
	for (int i = 9; i < 99; i++) {
		size_t at = connect_counting(CLIENT, &n_tried);

		assert_int_equal(at, i % 2 ? C : B);
		assert_int_equal(n_tried, 0);
		balance_release(server(at));
	}
	assert_int_equal(server(A)->n_failures, 1);
	for (int i = 0; i < 4; i++)
		balance_release(server(connect_client(CLIENT)));
	assert_int_equal(server(A)->n_failures, 2);
}

static void rr_with_one_of_two_servers_down_serves_every_client(void **state)
{
	(void)state;
	make_rule(RULE_MODE_RR, 2, NULL);
	is_down[A] = true;

	for (int i = 0; i < 500; i++)
		assert_clients_get("B");
}

static void rr_takes_a_server_back_into_its_turn(void **state)
{
	(void)state;
	make_rule(RULE_MODE_RR, 3, NULL);
	is_down[A] = true;
	assert_clients_get("BCB");
	is_down[A] = false;

	for (int i = 0; i < RULE_SKIPPED_PICKS; i++)
		pick_and_release();
	assert_int_equal(server(A)->n_total, 0);
	while (connect_client(CLIENT) != A)
		assert_true(rule->state->n_picks < 2 * RULE_SKIPPED_PICKS);
	release_all();
	assert_clients_get("BCABCA");
}

static void rr_gives_each_server_its_weight_in_every_cycle(void **state)
{
	static const unsigned int weights[] = { 3, 1, 2 };

	(void)state;
	make_rule(RULE_MODE_RR, 3, weights);

	for (int cycle = 0; cycle < 50; cycle++)
		assert_held(6, 3, 1, 2);
}

/* ---- MS ---- */

static void ms_stays_with_the_first_server(void **state)
{
	(void)state;
	make_rule(RULE_MODE_MS, 3, NULL);

	assert_clients_get("AAAA");
}

static void ms_moves_on_when_it_fails_and_does_not_come_back(void **state)
{
	(void)state;
	make_rule(RULE_MODE_MS, 3, NULL);
	is_down[A] = true;

	assert_clients_get("BBBB");
	is_down[A] = false;
	for (int i = 0; i < 3 * RULE_SKIPPED_PICKS; i++)
		assert_clients_get("B");
	is_down[B] = true;
	assert_clients_get("CC");
	is_down[C] = true;
	assert_clients_get("AA");
}

static void ms_moves_once_for_concurrent_failures(void **state)
{
	(void)state;
	make_rule(RULE_MODE_MS, 3, NULL);

	for (int i = 0; i < 4; i++)
		assert_int_equal(pick(), A);
	for (int i = 0; i < 4; i++) {
		fail_server(A);
		balance_release(server(A));
	}
	assert_int_equal(rule->state->ms_server, server(B)->state.index);
	assert_clients_get("BB");
}

static void ms_does_not_move_for_a_late_failure_of_a_server_it_left(void **state)
{
	(void)state;
	make_rule(RULE_MODE_MS, 3, NULL);

	assert_int_equal(pick(), A); /* its connect takes long */
	is_down[A] = is_down[B] = true;
	assert_clients_get("CC");
	is_down[B] = false;
	balance_connected(rule, server(B)); /* so that B could be had */
	fail_server(A);
	balance_release(server(A));
	assert_clients_get("CC");
}

static void ms_lends_out_a_full_server_without_moving(void **state)
{
	(void)state;
	make_rule(RULE_MODE_MS, 3, NULL);
	rule->servers[A].maxconns = 1;

	assert_int_equal(pick(), A);
	assert_int_equal(pick(), B);
	balance_release(server(A));
	assert_int_equal(pick(), A);
	release_all();
}

static void ms_keeps_a_standby_whose_predecessor_was_only_marked(void **state)
{
	(void)state;
	make_rule(RULE_MODE_MS, 3, NULL);
	assert_clients_get("A");
	fail_server(B); /* as when A was full */
	is_down[A] = true;

	/* A fails; B, the next, is marked: C takes over, and keeps it */
	for (int i = 0; i < 3 * RULE_SKIPPED_PICKS; i++)
		assert_clients_get("C");
}

static void ms_starts_at_the_first_when_its_server_left_the_rule(void **state)
{
	(void)state;
	make_rule(RULE_MODE_MS, 3, NULL);
	is_down[A] = true;
	assert_clients_get("B");
	free_rule(NULL);

	make_rule(RULE_MODE_MS, 3, NULL);
	rule->state->ms_server = 4000; /* of nobody in this rule */
	assert_clients_get("AA");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		BALANCING_TEST(the_choice_is_counted_until_it_is_released),
		BALANCING_TEST(each_pick_is_one_selection),
		BALANCING_TEST(weight_zero_gets_no_session_in_any_mode),
		BALANCING_TEST(without_any_weight_a_rule_is_exhausted_in_every_mode),
		BALANCING_TEST(
		        maxconns_is_kept_and_told_apart_from_exhausted_in_every_mode),
		BALANCING_TEST(
		        when_all_are_down_each_is_tried_once_and_the_rule_comes_back),
		BALANCING_TEST(when_all_are_marked_the_one_marked_longest_is_tried),
		BALANCING_TEST(a_mark_lasts_for_exactly_a_hundred_selections),
		BALANCING_TEST(a_moratorium_is_told_by_the_clock_and_not_by_selections),
		BALANCING_TEST(a_connect_that_succeeds_clears_the_mark),
		BALANCING_TEST(rr_takes_servers_in_turn),
		BALANCING_TEST(rr_passes_over_the_server_that_failed_and_no_other),
		BALANCING_TEST(rr_with_one_of_two_servers_down_serves_every_client),
		BALANCING_TEST(rr_takes_a_server_back_into_its_turn),
		BALANCING_TEST(rr_gives_each_server_its_weight_in_every_cycle),
		BALANCING_TEST(ms_stays_with_the_first_server),
		BALANCING_TEST(ms_moves_on_when_it_fails_and_does_not_come_back),
		BALANCING_TEST(ms_moves_once_for_concurrent_failures),
		BALANCING_TEST(ms_does_not_move_for_a_late_failure_of_a_server_it_left),
		BALANCING_TEST(ms_lends_out_a_full_server_without_moving),
		BALANCING_TEST(ms_keeps_a_standby_whose_predecessor_was_only_marked),
		BALANCING_TEST(ms_starts_at_the_first_when_its_server_left_the_rule),
	};

	return test_run("balance", tests, argc, argv);
}
