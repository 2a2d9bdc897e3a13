// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * blocks.c - see blocks.h.
 *
 * Networks are disjoint or inside one another. Sorted, the one that a client would
 * follow is the innermost that has it, or is inside that one. So one search and a walk
 * outwards find all that have the client.
 */
#include "forward/blocks.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "rules/config.h"

#define NONE UINT32_MAX

_Static_assert(CONFIG_BLOCKS_MAX <= BLOCKS_MAX, "a file alone always fits");

struct set {
	struct block *blocks; /* owned; sorted */
	uint32_t *around;     /* owned; of each the next larger network, or NONE */
	size_t n;
};

struct blocks {
	pthread_rwlock_t lock; /* taken for writing by the main thread only */
	struct set set;
	size_t n; /* of set; atomic, so that nobody takes the lock for nothing */
};

/* ---- sets --------------------------------------------------------------------- */

static void set_fini(struct set *s)
{
	free(s->blocks);
	free(s->around);
}

/* Room for @n; empty. */
static int set_init(struct set *s, size_t n)
{
	*s = (struct set){
		.blocks = calloc(n + 1, sizeof(*s->blocks)),
		.around = calloc(n + 1, sizeof(*s->around)),
	};
	if (s->blocks && s->around)
		return 0;
	set_fini(s);
	return -ENOMEM;
}

/* Where @network is, or belongs. */
static size_t set_position(const struct set *s, const struct network *network)
{
	size_t from = 0, to = s->n;

	while (from < to) {
		size_t middle = from + (to - from) / 2;

		if (network_compare(&s->blocks[middle].network, network) < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

static struct block *set_find(const struct set *s, const struct network *network)
{
	size_t at = set_position(s, network);

	if (at == s->n || network_compare(&s->blocks[at].network, network) != 0)
		return NULL;
	return &s->blocks[at];
}

/* 0: never */
static uint64_t end_of(const struct block *block)
{
	return block->is_of_file ? 0 : block->until_ms;
}

static uint64_t later(uint64_t a_ms, uint64_t b_ms)
{
	if (a_ms == 0 || b_ms == 0)
		return 0;
	return a_ms > b_ms ? a_ms : b_ms;
}

/* What follows from the networks and their ends. */
static void set_link(struct set *s)
{
	for (size_t i = 0; i < s->n; i++) {
		struct block *block = &s->blocks[i];
		uint32_t around = i ? (uint32_t)i - 1 : NONE;

		while (around != NONE &&
		       !network_covers(&s->blocks[around].network, &block->network))
			around = s->around[around];
		s->around[i] = around;
		block->effective_ms = end_of(block);
		if (around != NONE)
			block->effective_ms = later(block->effective_ms,
			                            s->blocks[around].effective_ms);
	}
}

/* Keeps those that file or command still wants. */
static void set_compact(struct set *s)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++)
		if (s->blocks[i].is_of_file || s->blocks[i].is_of_command)
			s->blocks[n++] = s->blocks[i];
	s->n = n;
}

/* ---- changes: the main thread ------------------------------------------------- */

struct blocks *blocks_new(void)
{
	struct blocks *b = calloc(1, sizeof(*b));
	pthread_rwlockattr_t attr;

	if (!b)
		return NULL;
	/* The default lets readers that keep coming hold up the main thread. */
	pthread_rwlockattr_init(&attr);
	pthread_rwlockattr_setkind_np(&attr,
	                              PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	pthread_rwlock_init(&b->lock, &attr);
	pthread_rwlockattr_destroy(&attr);
	return b;
}

void blocks_free(struct blocks *b)
{
	if (!b)
		return;
	set_fini(&b->set);
	pthread_rwlock_destroy(&b->lock);
	free(b);
}

/* Takes @s over. Made beforehand: workers wait for no more than this. */
static void replace(struct blocks *b, struct set *s)
{
	struct set old;

	set_link(s);
	pthread_rwlock_wrlock(&b->lock);
	old = b->set;
	b->set = *s;
	pthread_rwlock_unlock(&b->lock);
	__atomic_store_n(&b->n, s->n, __ATOMIC_RELEASE);
	set_fini(&old);
}

/* What file and command no longer want leaves without memory being needed. */
static void drop_unwanted(struct blocks *b)
{
	pthread_rwlock_wrlock(&b->lock);
	set_compact(&b->set);
	set_link(&b->set);
	pthread_rwlock_unlock(&b->lock);
	__atomic_store_n(&b->n, b->set.n, __ATOMIC_RELEASE);
}

static int compare_blocks(const void *a, const void *b)
{
	const struct block *x = a, *y = b;

	return network_compare(&x->network, &y->network);
}

/* Sorts; of a network that is there twice there is one then, which is what both are. */
static void merge_equal(struct set *s)
{
	size_t n = 0;

	qsort(s->blocks, s->n, sizeof(*s->blocks), compare_blocks);
	for (size_t i = 0; i < s->n; i++) {
		struct block *block = &s->blocks[i];
		struct block *last = n ? &s->blocks[n - 1] : NULL;

		if (!last || compare_blocks(last, block) != 0) {
			s->blocks[n++] = *block;
			continue;
		}
		last->is_of_file = last->is_of_file || block->is_of_file;
		if (block->is_of_command) {
			last->is_of_command = true;
			last->until_ms = block->until_ms;
		}
	}
	s->n = n;
}

int blocks_set_file(struct blocks *b, const struct network *networks, size_t n)
{
	struct set s;
	int r = set_init(&s, b->set.n + n);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n; i++)
		s.blocks[s.n++] = (struct block){ .network = networks[i],
			                          .is_of_file = true };
	for (size_t i = 0; i < b->set.n; i++) {
		if (!b->set.blocks[i].is_of_command)
			continue;
		s.blocks[s.n] = b->set.blocks[i];
		s.blocks[s.n++].is_of_file = false;
	}
	merge_equal(&s);
	if (s.n > BLOCKS_MAX) {
		set_fini(&s);
		return -ENOSPC;
	}
	replace(b, &s);
	return 0;
}

int blocks_add(struct blocks *b, const struct network *network, uint64_t until_ms)
{
	const struct set *old = &b->set;
	size_t at = set_position(old, network);
	bool is_there = set_find(old, network) != NULL;
	struct set s;
	int r;

	if (!is_there && old->n >= BLOCKS_MAX)
		return -ENOSPC;
	r = set_init(&s, old->n + 1);
	if (r < 0)
		return r;
	s.n = old->n + !is_there;
	for (size_t i = 0; i < old->n; i++)
		s.blocks[i + (i >= at && !is_there)] = old->blocks[i];
	s.blocks[at].network = *network;
	s.blocks[at].is_of_command = true;
	s.blocks[at].until_ms = until_ms;
	replace(b, &s);
	return 0;
}

int blocks_remove(struct blocks *b, const struct network *network)
{
	struct block *block = set_find(&b->set, network);

	if (!block)
		return -ENOENT;
	if (!block->is_of_command)
		return -EPERM;
	pthread_rwlock_wrlock(&b->lock);
	block->is_of_command = false;
	block->until_ms = 0;
	pthread_rwlock_unlock(&b->lock);
	drop_unwanted(b);
	return 0;
}

static bool is_over(const struct block *block, uint64_t now_ms)
{
	return block->is_of_command && block->until_ms > 0 && block->until_ms <= now_ms;
}

bool blocks_expire(struct blocks *b, uint64_t now_ms)
{
	bool is_any = false;

	pthread_rwlock_wrlock(&b->lock);
	for (size_t i = 0; i < b->set.n; i++) {
		struct block *block = &b->set.blocks[i];

		if (!is_over(block, now_ms))
			continue;
		block->is_of_command = false;
		block->until_ms = 0;
		is_any = true;
	}
	pthread_rwlock_unlock(&b->lock);
	if (is_any)
		drop_unwanted(b);
	return is_any;
}

uint64_t blocks_next_ms(const struct blocks *b)
{
	uint64_t next_ms = 0;

	for (size_t i = 0; i < b->set.n; i++) {
		uint64_t until_ms = b->set.blocks[i].until_ms;

		if (until_ms > 0 && (next_ms == 0 || until_ms < next_ms))
			next_ms = until_ms;
	}
	return next_ms;
}

const struct block *blocks_get(const struct blocks *b, size_t *ret_n)
{
	*ret_n = b->set.n;
	return b->set.blocks;
}

/* ---- questions: any thread ---------------------------------------------------- */

static bool set_has(const struct set *s, const struct addr *client, uint64_t now_ms,
                    struct network *ret_by)
{
	const struct network alone = network_of(client);
	size_t at = set_position(s, &alone);
	uint32_t i;

	/* The last that is not after the client. */
	if (at < s->n && network_compare(&s->blocks[at].network, &alone) == 0)
		at++;
	for (i = at ? (uint32_t)at - 1 : NONE; i != NONE; i = s->around[i]) {
		const struct block *block = &s->blocks[i];

		if (!network_has(&block->network, client))
			continue;
		if (!block->is_of_file && is_over(block, now_ms))
			continue; /* a larger one may go on */
		*ret_by = block->network;
		return true;
	}
	return false;
}

bool blocks_has(struct blocks *b, const struct addr *client, uint64_t now_ms,
                struct network *ret_by)
{
	bool has;

	if (__atomic_load_n(&b->n, __ATOMIC_ACQUIRE) == 0)
		return false;
	pthread_rwlock_rdlock(&b->lock);
	has = set_has(&b->set, client, now_ms, ret_by);
	pthread_rwlock_unlock(&b->lock);
	return has;
}
