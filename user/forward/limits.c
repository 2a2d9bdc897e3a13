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

#define N_SHARDS 64

/* Only what makes the IP: addresses with different ports are the same here. */
struct ip {
	uint8_t bytes[16];
	uint32_t scope;
	uint32_t family;
};

struct entry {
	struct ip ip;
	uint64_t n_sessions;
	UT_hash_handle hh;
};

struct shard {
	pthread_mutex_t lock;
	struct entry *entries;
} __attribute__((aligned(64)));

struct limits {
	struct shard shards[N_SHARDS];
};

static struct ip ip_of(const struct addr *a)
{
	struct ip ip = { .family = a->sa.sa_family };
	unsigned int len;
	const uint8_t *bytes = addr_ip_bytes(a, &len);

	memcpy(ip.bytes, bytes, len);
	if (a->sa.sa_family == AF_INET6)
		ip.scope = a->in6.sin6_scope_id;
	return ip;
}

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
	else
		e->n_sessions++;
	pthread_mutex_unlock(&shard->lock);
	return r;
}

void limits_leave(struct limits *l, const struct addr *client)
{
	struct ip ip = ip_of(client);
	struct shard *shard = shard_of(l, &ip);
	struct entry *e;

	pthread_mutex_lock(&shard->lock);
	HASH_FIND(hh, shard->entries, &ip, sizeof(ip), e);
	assert(e && e->n_sessions > 0);
	if (--e->n_sessions == 0) {
		HASH_DEL(shard->entries, e);
		free(e);
	}
	pthread_mutex_unlock(&shard->lock);
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
