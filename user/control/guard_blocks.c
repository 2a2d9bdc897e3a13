// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* guard_blocks.c - see guard_blocks.h. */
#include "control/guard_blocks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "forward/blocks.h"
#include "kernel/guard.h"

#define NS_PER_MS 1000000ULL

/* Moves over those of @list that come before. Return: is it there? */
static bool find(const struct block *list, size_t n, size_t *at,
                 const struct network *network)
{
	while (*at < n && network_compare(&list[*at].network, network) < 0)
		++*at;
	return *at < n && network_compare(&list[*at].network, network) == 0;
}

/* Before the others are put in: there may be no place for both. */
static void remove_old(const struct guard_blocks *b, struct guard *guard,
                       const struct block *now, size_t n)
{
	for (size_t i = 0, at = 0; i < b->n; i++) {
		const struct network *network = &b->known[i].network;

		if (!find(now, n, &at, network))
			guard_unblock(guard, &network->ip, network->bits);
	}
}

int guard_blocks_sync(struct guard_blocks *b, struct guard *guard,
                      const struct blocks *blocks)
{
	size_t n, n_known = 0, at = 0, n_failed = 0;
	const struct block *now = blocks_get(blocks, &n);
	struct block *known = malloc((n + 1) * sizeof(*known));
	int error = 0;

	if (!known)
		return -ENOMEM;
	remove_old(b, guard, now, n);
	for (size_t i = 0; i < n; i++) {
		const struct network *network = &now[i].network;
		int r = 0;

		if (!find(b->known, b->n, &at, network) ||
		    b->known[at].effective_ms != now[i].effective_ms)
			r = guard_block(guard, &network->ip, network->bits,
			                now[i].effective_ms * NS_PER_MS);
		if (r == 0)
			known[n_known++] = now[i];
		else
			error = r, n_failed++;
	}
	if (n_failed > 0)
		log_warning("guard: %zu of %zu blocked networks are left to the "
		            "workers: %s",
		            n_failed, n, strerrordesc_np(-error));
	free(b->known);
	*b = (struct guard_blocks){ .known = known, .n = n_known };
	return 0;
}

void guard_blocks_fini(struct guard_blocks *b)
{
	free(b->known);
	*b = (struct guard_blocks){ 0 };
}
