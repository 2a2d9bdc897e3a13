// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* plan.c - see plan.h. */
#include "plan.h"

#include <string.h>

#define STEP 0x9e3779b97f4a7c15U

/* Of 64 sessions. */
static const struct {
	const char *name;
	unsigned int n;
} ways[WAY_N] = {
	[WAY_TALK] = { "talk", 18 },
	[WAY_HALF_CLOSE] = { "half-close", 12 },
	[WAY_AT_ONCE] = { "at once", 12 },
	[WAY_SERVER_FIRST] = { "server first", 6 },
	[WAY_CLIENT_RESETS] = { "client resets", 6 },
	[WAY_SERVER_RESETS] = { "server resets", 6 },
	[WAY_LEAVE] = { "leave", 4 },
};

/* splitmix64 */
static uint64_t mix(uint64_t x)
{
	x += STEP;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

const char *way_name(enum way way)
{
	return ways[way].name;
}

static enum way pick_way(unsigned int number)
{
	enum way way = 0;

	while (way < WAY_N - 1 && number >= ways[way].n)
		number -= ways[way++].n;
	return way;
}

/* Each power of two is as likely as any other. */
static uint32_t pick_size(uint64_t choice)
{
	uint32_t size = 1 + (uint32_t)((choice >> 8) % (2U << (choice % 18)));

	return size < PLAN_SIZE_MAX ? size : PLAN_SIZE_MAX;
}

void plan_init(struct plan *plan, uint64_t id)
{
	uint64_t choice = mix(id ^ 0x50a7);
	uint32_t n_resetters;

	*plan = (struct plan){
		.id = id,
		.way = pick_way(choice % 64),
		.is_slow = choice >> 8 & 1 && (choice >> 9) % 32 == 0,
		.n_bytes = { PLAN_ID_SIZE + pick_size(mix(choice + REQUEST)),
		             pick_size(mix(choice + ANSWER)) },
	};
	n_resetters = plan->n_bytes[plan->way == WAY_SERVER_RESETS ? ANSWER : REQUEST];
	plan->n_cut = (uint32_t)(mix(choice + 2) % n_resetters);
}

static uint64_t word(uint64_t id, enum direction direction, uint64_t number)
{
	if (direction == REQUEST && number == 0)
		return id;
	return mix(2 * id + direction) + number * STEP;
}

void plan_fill(uint64_t id, enum direction direction, uint64_t offset, char *to,
               size_t n)
{
	while (n > 0) {
		uint64_t bytes = word(id, direction, offset / 8);
		size_t skipped = offset % 8;
		size_t part = 8 - skipped < n ? 8 - skipped : n;

		memcpy(to, (char *)&bytes + skipped, part);
		to += part;
		offset += part;
		n -= part;
	}
}
