// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* limits.c - see limits.h. */
#include "forward/limits.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define uthash_fatal(message) abort() /* not reached: HASH_NONFATAL_OOM below */
#define HASH_NONFATAL_OOM 1
#define uthash_nonfatal_oom(element) ((void)(element))
#include <uthash.h>

#include "forward/ip.h"

#define N_SHARDS 64

struct entry {
	struct ip ip;
	uint64_t n_sessions;
	UT_hash_handle hh;
};

/* Who wants to know when an address is full; each shard has it, under its lock. */
struct watcher {
	limits_full_fn fn; /* NULL: nobody */
	void *ctx;
	uint64_t max; /* 0: nobody is full */
};

struct shard {
	pthread_mutex_t lock;
	struct entry *entries;
	struct watcher watcher;
} __attribute__((aligned(64)));

struct limits {
	struct shard shards[N_SHARDS];
};

/* Neighbouring addresses land in different shards. */
static struct shard *shard_of(struct limits *l, const struct ip *ip)
{
	uint32_t h = 0;

	for (size_t i = 0; i < sizeof(ip->bytes); i++)
		h = h * 31 + ip->bytes[i];
	return &l->shards[h % N_SHARDS];
}

struct limits *limits_new(void)
{
	struct limits *l = aligned_alloc(64, sizeof(*l));

	if (!l)
		return NULL;
	memset(l, 0, sizeof(*l));
	for (int i = 0; i < N_SHARDS; i++)
		pthread_mutex_init(&l->shards[i].lock, NULL);
	return l;
}

void limits_free(struct limits *l)
{
	if (!l)
		return;
	for (int i = 0; i < N_SHARDS; i++) {
		struct entry *e, *next;

		HASH_ITER(hh, l->shards[i].entries, e, next)
		{
			HASH_DEL(l->shards[i].entries, e);
			free(e);
		}
		pthread_mutex_destroy(&l->shards[i].lock);
	}
	free(l);
}

/* Return: the entry of @ip, made if need be; NULL when out of memory. */
static struct entry *find_or_add(struct shard *shard, const struct ip *ip)
{
	struct entry *e;

	HASH_FIND(hh, shard->entries, ip, sizeof(*ip), e);
	if (e)
		return e;
	e = calloc(1, sizeof(*e));
	if (!e)
		return NULL;
	e->ip = *ip;
	HASH_ADD(hh, shard->entries, ip, sizeof(e->ip), e);
	if (!e->hh.tbl) { /* out of memory inside uthash: it was not added */
		free(e);
		return NULL;
	}
	return e;
}

static bool is_full(const struct watcher *watcher, const struct entry *e)
{
	return watcher->fn && watcher->max > 0 && e->n_sessions >= watcher->max;
}

static void tell(const struct watcher *watcher, const struct entry *e, bool full)
{
	const struct addr client = ip_addr(&e->ip);

	watcher->fn(watcher->ctx, &client, full);
}

int limits_enter(struct limits *l, const struct addr *client, uint64_t max)
{
	struct ip ip = ip_of(client);
	struct shard *shard = shard_of(l, &ip);
	struct entry *e;
	int r = 0;

	pthread_mutex_lock(&shard->lock);
	e = find_or_add(shard, &ip);
	if (!e)
		r = -ENOMEM;
	else if (max > 0 && e->n_sessions >= max)
		r = -EUSERS; /* max > 0, so the entry was there before */
	else if (++e->n_sessions == shard->watcher.max && shard->watcher.fn)
		tell(&shard->watcher, e, true);
	pthread_mutex_unlock(&shard->lock);
	return r;
}

void limits_leave(struct limits *l, const struct addr *client)
{
	struct ip ip = ip_of(client);
	struct shard *shard = shard_of(l, &ip);
	struct entry *e;
	bool was_full;

	pthread_mutex_lock(&shard->lock);
	HASH_FIND(hh, shard->entries, &ip, sizeof(ip), e);
	assert(e && e->n_sessions > 0);
	was_full = is_full(&shard->watcher, e);
	e->n_sessions--;
	if (was_full && !is_full(&shard->watcher, e))
		tell(&shard->watcher, e, false);
	if (e->n_sessions == 0) {
		HASH_DEL(shard->entries, e);
		free(e);
	}
	pthread_mutex_unlock(&shard->lock);
}

/* Under the shard's lock. Who was told of an address hears when that is no longer so. */
static void change_watcher(struct shard *shard, const struct watcher *next)
{
	const struct watcher *now = &shard->watcher;
	bool is_same = now->fn == next->fn && now->ctx == next->ctx;
	struct entry *e, *after;

	HASH_ITER(hh, shard->entries, e, after)
	{
		if (is_full(next, e))
			tell(next, e, true);
		else if (is_same && is_full(now, e))
			tell(next, e, false);
	}
	shard->watcher = *next;
}

void limits_on_full(struct limits *l, limits_full_fn fn, void *ctx, uint64_t max)
{
	const struct watcher watcher = { .fn = fn, .ctx = ctx, .max = max };

	for (int i = 0; i < N_SHARDS; i++) {
		pthread_mutex_lock(&l->shards[i].lock);
		change_watcher(&l->shards[i], &watcher);
		pthread_mutex_unlock(&l->shards[i].lock);
	}
}

size_t limits_n_addresses(struct limits *l)
{
	size_t n = 0;

	for (int i = 0; i < N_SHARDS; i++) {
		pthread_mutex_lock(&l->shards[i].lock);
		n += HASH_COUNT(l->shards[i].entries);
		pthread_mutex_unlock(&l->shards[i].lock);
	}
	return n;
}
