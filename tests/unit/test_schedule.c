// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* test_schedule.c - user/rules/schedule.c: turns according to weights. */
#include "test.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "rules/config.h"
#include "rules/schedule.h"

/* A rule that is nothing but servers of these weights, ended by -1. */
static struct rule rule_of(const int *weights)
{
	struct rule rule = { .n_servers = 0 };

	while (weights[rule.n_servers] >= 0)
		rule.n_servers++;
	rule.servers = calloc(rule.n_servers ? rule.n_servers : 1,
	                      sizeof(*rule.servers));
	for (size_t i = 0; i < rule.n_servers; i++)
		rule.servers[i].weight = (unsigned int)weights[i];
	schedule_build(&rule);
	return rule;
}

static void rule_done(struct rule *rule)
{
	free(rule->servers);
	free(rule->schedule);
}

#define assert_schedule(expected, ...)                                                 \
	do {                                                                           \
		const int weights_given[] = { __VA_ARGS__, -1 };                       \
		struct rule rule_made = rule_of(weights_given);                        \
		char turns[256] = "";                                                  \
		for (size_t turn = 0; turn < rule_made.n_schedule; turn++)             \
			snprintf(turns + strlen(turns), sizeof(turns) - strlen(turns), \
			         "%u ", rule_made.schedule[turn]);                     \
		assert_string_equal(turns, expected);                                  \
		rule_done(&rule_made);                                                 \
	} while (0)

static void equal_weights_take_plain_turns(void **state)
{
	(void)state;
	assert_schedule("0 ", 1);
	assert_schedule("0 1 2 ", 1, 1, 1);
	assert_schedule("0 1 2 3 ", 7, 7, 7, 7);
}

static void a_heavy_server_is_spread_between_the_others(void **state)
{
	(void)state;
	assert_schedule("0 1 0 2 0 ", 3, 1, 1);
	assert_schedule("0 0 1 0 2 0 0 ", 5, 1, 1);
	assert_schedule("1 0 1 2 1 ", 1, 3, 1);
	assert_schedule("0 1 0 ", 2, 1);
}

static void weights_are_divided_by_their_common_factor(void **state)
{
	(void)state;
	assert_schedule("0 1 0 ", 200, 100);
	assert_schedule("0 1 0 2 0 ", 6, 2, 2);
}

static void weight_zero_gets_no_turn(void **state)
{
	(void)state;
	assert_schedule("1 2 ", 0, 1, 1);
	assert_schedule("0 2 ", 5, 0, 5, 0);
	assert_schedule("", 0, 0);
}

static void the_weight_sum_is_not_divided(void **state)
{
	const int weights[] = { 200, 0, 100, -1 };
	struct rule rule = rule_of(weights);

	(void)state;
	assert_int_equal(rule.weight_sum, 300);
	rule_done(&rule);
}

/* The same rule by its definition: every server earns, the richest pays. */
static void assert_smooth(const struct rule *rule)
{
	auto_free int64_t *credit = calloc(rule->n_servers, sizeof(*credit));
	auto_free unsigned int *n_turns = calloc(rule->n_servers, sizeof(*n_turns));
	unsigned int factor = (unsigned int)(rule->weight_sum / rule->n_schedule);

	for (size_t turn = 0; turn < rule->n_schedule; turn++) {
		size_t best = SIZE_MAX;

		for (size_t i = 0; i < rule->n_servers; i++) {
			credit[i] += rule->servers[i].weight;
			if (rule->servers[i].weight &&
			    (best == SIZE_MAX || credit[i] > credit[best]))
				best = i;
		}
		credit[best] -= (int64_t)rule->weight_sum;
		n_turns[best]++;
		assert_int_equal(rule->schedule[turn], best);
	}
	for (size_t i = 0; i < rule->n_servers; i++)
		assert_int_equal(n_turns[i] * factor, rule->servers[i].weight);
}

static void any_weights_are_smooth_and_each_server_gets_its_share(void **state)
{
	unsigned int seed = 1;

	(void)state;
	for (int round = 0; round < 200; round++) {
		int weights[13];
		size_t n = 1 + (unsigned int)rand_r(&seed) % 12;
		struct rule rule;

		for (size_t i = 0; i < n; i++)
			weights[i] = rand_r(&seed) % (round % 2 ? 257 : 5);
		weights[0]++;
		weights[0] %= 257;
		weights[n] = -1;
		rule = rule_of(weights);
		if (rule.n_schedule)
			assert_smooth(&rule);
		else
			assert_int_equal(rule.weight_sum, 0);
		rule_done(&rule);
	}
}

static void ten_thousand_servers_of_all_weights_are_scheduled(void **state)
{
	enum { N = 10000 };
	auto_free int *weights = calloc(N + 1, sizeof(*weights));
	struct rule rule;

	(void)state;
	for (int i = 0; i < N; i++)
		weights[i] = 1 + i % 16;
	weights[N] = -1;
	rule = rule_of(weights);
	assert_int_equal(rule.n_schedule, rule.weight_sum);
	assert_int_equal(rule.schedule[0], 15);
	assert_int_equal(rule.schedule[1], 31);
	rule_done(&rule);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(equal_weights_take_plain_turns),
		cmocka_unit_test(a_heavy_server_is_spread_between_the_others),
		cmocka_unit_test(weights_are_divided_by_their_common_factor),
		cmocka_unit_test(weight_zero_gets_no_turn),
		cmocka_unit_test(the_weight_sum_is_not_divided),
		cmocka_unit_test(any_weights_are_smooth_and_each_server_gets_its_share),
		cmocka_unit_test(ten_thousand_servers_of_all_weights_are_scheduled),
	};

	return test_run("schedule", tests, argc, argv);
}
