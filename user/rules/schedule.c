// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * schedule.c - smooth weighted round robin, worked out in advance.
 *
 * Each server earns its weight with every turn; who has most is next and pays the
 * sum of the weights; of equals the first. Weights 3 1 1 give 0 1 0 2 0, and equal
 * weights plain round robin.
 *
 * Servers of one weight earn the same, so among them it is always the turn of the
 * one served least, and of those the first: they take turns. It is enough to compare
 * one server of each weight, and there are few weights, however many servers.
 */
#include "rules/schedule.h"

#include <stdint.h>

#include "rules/alloc.h"
#include "rules/config.h"

/* The servers of one weight. */
struct group {
	unsigned int weight;
	const uint32_t *servers; /* positions in the rule, ascending */
	size_t n_servers;
	uint64_t n_turns; /* that went to any of them */
};

static unsigned int common_divisor(unsigned int a, unsigned int b)
{
	while (b) {
		unsigned int rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* Sorts servers by weight into @positions; returns how many groups they make. */
static size_t make_groups(const struct rule *rule, unsigned int divisor,
                          struct group groups[static SERVER_WEIGHT_MAX],
                          uint32_t *positions)
{
	size_t n_groups = 0, at = 0;
	size_t count[SERVER_WEIGHT_MAX + 1] = { 0 }, next[SERVER_WEIGHT_MAX + 1];

	for (size_t i = 0; i < rule->n_servers; i++)
		count[rule->servers[i].weight]++;
	for (unsigned int weight = 1; weight <= SERVER_WEIGHT_MAX; weight++) {
		next[weight] = at;
		if (!count[weight])
			continue;
		groups[n_groups++] = (struct group){
			.weight = weight / divisor,
			.servers = positions + at,
			.n_servers = count[weight],
		};
		at += count[weight];
	}
	for (size_t i = 0; i < rule->n_servers; i++) {
		unsigned int weight = rule->servers[i].weight;

		if (weight)
			positions[next[weight]++] = (uint32_t)i;
	}
	return n_groups;
}

static uint32_t take_turn(struct group *groups, size_t n_groups, uint64_t turn,
                          uint64_t sum)
{
	struct group *best = NULL;
	uint32_t best_server = 0;
	int64_t best_credit = 0;

	for (size_t i = 0; i < n_groups; i++) {
		struct group *g = &groups[i];
		uint64_t n_served = g->n_turns / g->n_servers;
		uint32_t server = g->servers[g->n_turns % g->n_servers];
		int64_t credit = (int64_t)(g->weight * turn - sum * n_served);

		if (best && (credit < best_credit ||
		             (credit == best_credit && server > best_server)))
			continue;
		best = g;
		best_server = server;
		best_credit = credit;
	}
	best->n_turns++;
	return best_server;
}

void schedule_build(struct rule *rule)
{
	struct group groups[SERVER_WEIGHT_MAX];
	uint32_t *positions;
	size_t n_groups;
	unsigned int divisor = 0;

	rule->weight_sum = 0;
	for (size_t i = 0; i < rule->n_servers; i++) {
		rule->weight_sum += rule->servers[i].weight;
		divisor = common_divisor(rule->servers[i].weight, divisor);
	}
	rule->n_schedule = divisor ? rule->weight_sum / divisor : 0;
	if (!rule->n_schedule)
		return;

	positions = alloc_zeroed(rule->n_servers, sizeof(*positions));
	n_groups = make_groups(rule, divisor, groups, positions);
	rule->schedule = alloc_zeroed(rule->n_schedule, sizeof(*rule->schedule));
	for (size_t turn = 0; turn < rule->n_schedule; turn++)
		rule->schedule[turn] = take_turn(groups, n_groups, turn + 1,
		                                 rule->n_schedule);
	free(positions);
}
