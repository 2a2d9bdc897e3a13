// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* test_balance_modes.c - user/rules/balance.c: LC, RT, RD and HS. */
#include "test.h"

#include "balancing.h"
#include "base/cleanup.h"

/* ---- LC ---- */

static void lc_spreads_held_sessions_evenly(void **state)
{
	(void)state;
	make_rule(RULE_MODE_LC, 3, NULL);

	assert_held(9, 3, 3, 3);
}

static void lc_rotates_among_equals_from_the_second_on_as_g5_does(void **state)
{
	(void)state;
	make_rule(RULE_MODE_LC, 3, NULL);

	assert_clients_get("BCABCA");
}

static void lc_has_no_second_server_to_start_with_when_there_is_one(void **state)
{
	(void)state;
	make_rule(RULE_MODE_LC, 1, NULL);

	assert_clients_get("AA");
}

static void lc_takes_the_one_with_the_fewest(void **state)
{
	(void)state;
	make_rule(RULE_MODE_LC, 3, NULL);
	for (int i = 0; i < 9; i++)
		pick();

	balance_release(server(B));
	assert_int_equal(pick(), B);
	balance_release(server(A));
	assert_int_equal(pick(), A);
	release_all();
}

static void lc_with_one_of_two_servers_down_serves_every_client(void **state)
{
	(void)state;
	make_rule(RULE_MODE_LC, 2, NULL);
	is_down[B] = true;

	for (int i = 0; i < 500; i++)
		assert_clients_get("A");
	assert_int_equal(server(A)->n_sessions, 0);
	assert_int_equal(server(B)->n_sessions, 0);
}

static void lc_counts_sessions_per_weight(void **state)
{
	static const unsigned int weights[] = { 4, 1, 2 };

	(void)state;
	make_rule(RULE_MODE_LC, 3, weights);

	assert_held(70, 40, 10, 20);
}

/* ---- RT ---- */

static void respond(size_t at, uint64_t us)
{
	balance_responded(rule->state, server(at), us);
}

/* The first session of each server: it is there for the answer to be measured. */
static void measure(uint64_t a_us, uint64_t b_us, uint64_t c_us)
{
	const uint64_t us[] = { a_us, b_us, c_us };
	size_t at;

	for (size_t i = 0; i < rule->n_servers; i++) {
		at = pick_and_release();
		assert_int_equal(at, (i + 1) % rule->n_servers);
		respond(at, us[at]);
	}
}

static void rt_measures_each_server_first_from_the_second_on_as_g5_does(void **state)
{
	(void)state;
	make_rule(RULE_MODE_RT, 3, NULL);

	assert_int_equal(pick(), B);
	assert_int_equal(pick(), C);
	assert_int_equal(pick(), A);
	release_all();
}

static void rt_spreads_held_sessions_evenly_while_nobody_was_measured(void **state)
{
	(void)state;
	make_rule(RULE_MODE_RT, 3, NULL);

	assert_held(9, 3, 3, 3);
}

static void rt_spreads_held_sessions_evenly_among_equals(void **state)
{
	(void)state;
	make_rule(RULE_MODE_RT, 3, NULL);
	measure(700, 700, 700);

	assert_held(9, 3, 3, 3);
}

static void rt_avoids_a_slow_server(void **state)
{
	(void)state;
	make_rule(RULE_MODE_RT, 3, NULL);
	measure(2500000, 400, 400);

	for (int i = 0; i < RULE_SKIPPED_PICKS / 2; i++) {
		size_t at = pick_and_release();

		assert_int_not_equal(at, A);
		respond(at, 400);
	}
}

static void rt_weighs_response_time_by_sessions_held(void **state)
{
	(void)state;
	make_rule(RULE_MODE_RT, 3, NULL);
	measure(1000, 1000, 4000);

	/* 1000 x 4 sessions and 4000 x 1 session cost the same */
	assert_held(9, 4, 4, 1);
}

static void rt_weighs_response_time_by_weight(void **state)
{
	static const unsigned int weights[] = { 1, 1, 2 };

	(void)state;
	make_rule(RULE_MODE_RT, 3, weights);
	measure(1000, 1000, 1000);

	assert_held(20, 5, 5, 10);
}

static void rt_gives_a_server_that_never_answers_no_more_than_its_first(void **state)
{
	(void)state;
	make_rule(RULE_MODE_RT, 3, NULL);
	for (size_t i = 0; i < 3; i++)
		pick();
	respond(B, 900);
	respond(C, 900);

	for (int i = 0; i < RULE_SKIPPED_PICKS / 2; i++) {
		size_t at = pick();

		assert_int_not_equal(at, A);
		respond(at, 900);
	}
	assert_int_equal(server(A)->n_sessions, 1);
	release_all();
}

static void rt_gives_a_slow_server_one_chance_in_a_hundred_selections(void **state)
{
	size_t n_on_a = 0;

	(void)state;
	make_rule(RULE_MODE_RT, 2, NULL);
	measure(2500000, 400, 0);

	for (int i = 0; i < 10 * (RULE_SKIPPED_PICKS + 1); i++) {
		size_t at = pick_and_release();

		n_on_a += at == A;
		if (at == B)
			respond(B, 400);
	}
	assert_int_equal(n_on_a, 10);
}

static void rt_takes_a_server_back_that_became_fast(void **state)
{
	size_t n_on_a = 0;

	(void)state;
	make_rule(RULE_MODE_RT, 2, NULL);
	measure(2500000, 400, 0);

	for (int i = 0; i < 2 * RULE_SKIPPED_PICKS; i++) {
		size_t at = pick_and_release();

		n_on_a += at == A;
		respond(at, 400);
	}
	/* its old mean is forgotten: from its chance on it has half */
	assert_in_range(n_on_a, RULE_SKIPPED_PICKS / 2 - 2, RULE_SKIPPED_PICKS / 2 + 2);
}

static void a_response_time_is_a_mean_in_which_the_last_counts_a_quarter(void **state)
{
	(void)state;
	make_rule(RULE_MODE_RT, 1, NULL);
	pick_and_release();

	respond(A, 1000);
	assert_int_equal(server(A)->response_us, 1000);
	respond(A, 2000);
	assert_int_equal(server(A)->response_us, 1250);
	respond(A, 250);
	assert_int_equal(server(A)->response_us, 1000);
}

static void a_measured_response_time_is_never_zero_and_never_absurd(void **state)
{
	(void)state;
	make_rule(RULE_MODE_RT, 1, NULL);
	pick_and_release();

	respond(A, 0);
	assert_int_equal(server(A)->response_us, 1);
	respond(A, 0);
	assert_int_equal(server(A)->response_us, 1);
	respond(A, UINT64_MAX);
	assert_in_range(server(A)->response_us, 2, UINT32_MAX);
}

/* ---- RD ---- */

static void rd_draws_in_proportion_to_weight(void **state)
{
	static const unsigned int weights[] = { 1, 2, 5 };
	size_t counts[MAX_SERVERS];

	(void)state;
	make_rule(RULE_MODE_RD, 3, weights);
	rule->state->random_state = 1;

	/* five standard deviations of a binomial distribution, at the most */
	hold_sessions(8000, counts);
	assert_in_range(counts[A], 1000 - 148, 1000 + 148);
	assert_in_range(counts[B], 2000 - 194, 2000 + 194);
	assert_in_range(counts[C], 5000 - 217, 5000 + 217);
	release_all();
}

static void rd_shares_a_failed_servers_part_among_all_others(void **state)
{
	size_t counts[MAX_SERVERS] = { 0 };

	(void)state;
	make_rule(RULE_MODE_RD, 4, NULL);
	rule->state->random_state = 1;

	for (int i = 0; i < 6000; i++) {
		if (i % RULE_SKIPPED_PICKS == 0)
			fail_server(B);
		counts[pick_and_release()]++;
	}
	assert_int_equal(counts[B], 0);
	assert_in_range(counts[A], 2000 - 183, 2000 + 183);
	assert_in_range(counts[C], 2000 - 183, 2000 + 183);
	assert_in_range(counts[D], 2000 - 183, 2000 + 183);
}

static void rd_depends_on_nothing_but_its_state(void **state)
{
	size_t first[64];

	(void)state;
	make_rule(RULE_MODE_RD, 5, NULL);

	rule->state->random_state = 42;
	for (size_t i = 0; i < ARRAY_SIZE(first); i++)
		first[i] = pick_and_release();
	rule->state->random_state = 42;
	for (size_t i = 0; i < ARRAY_SIZE(first); i++)
		assert_int_equal(pick_and_release(), first[i]);
}

/* ---- HS ---- */

static void hs_hashes_as_g5_does(void **state)
{
	static const struct {
		const char *ip;
		uint64_t hash;
		unsigned int modulo[10]; /* 1 to 10 */
	} rows[] = {
		{ "127.0.0.1",
		  UINT64_C(3103677766370035898),
		  { 0, 0, 2, 2, 3, 2, 1, 2, 8, 8 } },
		{ "10.0.0.1",
		  UINT64_C(5075257819982821841),
		  { 0, 1, 2, 1, 1, 5, 6, 1, 2, 1 } },
		{ "192.168.1.100",
		  UINT64_C(2884483306433255798),
		  { 0, 0, 2, 2, 3, 2, 5, 6, 2, 8 } },
	};
	static const unsigned int modulo_2[] = { 0, 1, 0, 3, 4, 3, 2, 3, 0, 9 };
	static const unsigned int modulo_3[] = { 0, 0, 1, 0, 0, 4, 3, 4, 1, 0 };

	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_true(balance_hash(rows[i].ip) == rows[i].hash);
		for (unsigned int n = 1; n <= 10; n++)
			assert_int_equal(rows[i].hash % n, rows[i].modulo[n - 1]);
	}
	for (unsigned int n = 1; n <= 10; n++) {
		assert_int_equal(balance_hash("127.0.0.2") % n, modulo_2[n - 1]);
		assert_int_equal(balance_hash("127.0.0.3") % n, modulo_3[n - 1]);
	}
	make_rule(RULE_MODE_HS, 1, NULL);
}

static void hs_gives_one_ip_the_server_that_g5_gives_it(void **state)
{
	(void)state;
	make_rule(RULE_MODE_HS, 3, NULL);

	for (int i = 0; i < 10; i++) {
		assert_int_equal(pick_for("127.0.0.1:5000"), C);
		assert_int_equal(pick_for("127.0.0.1:5001"), C);
		assert_int_equal(pick_for("127.0.0.2:5000"), A);
		assert_int_equal(pick_for("127.0.0.3:5000"), B);
	}
	release_all();
}

static void hs_counts_through_weights(void **state)
{
	static const unsigned int weights[] = { 3, 0, 4, 3 };

	(void)state;
	make_rule(RULE_MODE_HS, 4, weights);

	/* modulo 10: 8, 9, 0, 1 */
	assert_int_equal(pick_for("127.0.0.1:5000"), D);
	assert_int_equal(pick_for("127.0.0.2:5000"), D);
	assert_int_equal(pick_for("127.0.0.3:5000"), A);
	assert_int_equal(pick_for("10.0.0.1:5000"), A);
	release_all();
	rule->servers[A].weight = 1;
	rule->servers[C].weight = 6;
	assert_int_equal(pick_for("10.0.0.1:5000"), C);
	release_all();
}

static void hs_goes_on_in_list_order_while_its_server_fails(void **state)
{
	(void)state;
	make_rule(RULE_MODE_HS, 3, NULL);
	is_down[C] = true;

	/* 127.0.0.1 belongs to C, 127.0.0.2 to A, and that stays so */
	assert_clients_get("AAAA");
	assert_int_equal(server(C)->n_failures, 1);
	is_down[A] = true;
	assert_clients_get("BBBB");
	is_down[C] = false;
	for (int i = 0; i < RULE_SKIPPED_PICKS; i++)
		pick_and_release();
	assert_clients_get("CCCC");
}

static void hs_goes_on_in_list_order_while_its_server_is_full(void **state)
{
	(void)state;
	make_rule(RULE_MODE_HS, 3, NULL);
	rule->servers[C].maxconns = 1;

	assert_int_equal(pick(), C);
	assert_int_equal(pick(), A);
	balance_release(server(C));
	assert_int_equal(pick(), C);
	release_all();
}

static void hs_does_not_see_the_scope_of_a_link_local_client(void **state)
{
	struct addr client = ruleset_addr("[fe80::1]:5000");
	const struct rule_server *s, *scoped;

	(void)state;
	make_rule(RULE_MODE_HS, 7, NULL);

	assert_int_equal(balance_pick(rule, &client, NULL, 0, now_ms, &s), 0);
	assert_int_equal(place_of(s), balance_hash("fe80::1") % 7);
	for (uint32_t scope = 1; scope < 20; scope++) {
		client.in6.sin6_scope_id = scope;
		assert_int_equal(balance_pick(rule, &client, NULL, 0, now_ms, &scoped),
		                 BALANCE_PICKED);
		assert_ptr_equal(scoped, s);
	}
	release_all();
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		BALANCING_TEST(lc_spreads_held_sessions_evenly),
		BALANCING_TEST(lc_rotates_among_equals_from_the_second_on_as_g5_does),
		BALANCING_TEST(lc_has_no_second_server_to_start_with_when_there_is_one),
		BALANCING_TEST(lc_takes_the_one_with_the_fewest),
		BALANCING_TEST(lc_with_one_of_two_servers_down_serves_every_client),
		BALANCING_TEST(lc_counts_sessions_per_weight),
		BALANCING_TEST(
		        rt_measures_each_server_first_from_the_second_on_as_g5_does),
		BALANCING_TEST(
		        rt_spreads_held_sessions_evenly_while_nobody_was_measured),
		BALANCING_TEST(rt_spreads_held_sessions_evenly_among_equals),
		BALANCING_TEST(rt_avoids_a_slow_server),
		BALANCING_TEST(rt_weighs_response_time_by_sessions_held),
		BALANCING_TEST(rt_weighs_response_time_by_weight),
		BALANCING_TEST(
		        rt_gives_a_server_that_never_answers_no_more_than_its_first),
		BALANCING_TEST(
		        rt_gives_a_slow_server_one_chance_in_a_hundred_selections),
		BALANCING_TEST(rt_takes_a_server_back_that_became_fast),
		BALANCING_TEST(
		        a_response_time_is_a_mean_in_which_the_last_counts_a_quarter),
		BALANCING_TEST(a_measured_response_time_is_never_zero_and_never_absurd),
		BALANCING_TEST(rd_draws_in_proportion_to_weight),
		BALANCING_TEST(rd_shares_a_failed_servers_part_among_all_others),
		BALANCING_TEST(rd_depends_on_nothing_but_its_state),
		BALANCING_TEST(hs_hashes_as_g5_does),
		BALANCING_TEST(hs_gives_one_ip_the_server_that_g5_gives_it),
		BALANCING_TEST(hs_counts_through_weights),
		BALANCING_TEST(hs_goes_on_in_list_order_while_its_server_fails),
		BALANCING_TEST(hs_goes_on_in_list_order_while_its_server_is_full),
		BALANCING_TEST(hs_does_not_see_the_scope_of_a_link_local_client),
	};

	return test_run("balance_modes", tests, argc, argv);
}
