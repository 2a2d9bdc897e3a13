// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * state.c - the registry of run-time states: by name, and by number.
 *
 * Names are a hash under the registry's lock: they are looked up when a
 * configuration is built. Numbers are looked up for every session, so the table
 * behind them is read without a lock: it grows by whole chunks, and a chunk never
 * moves or goes away.
 *
 * R1: a state whose count reached 0 is in neither table. The last reference is
 *     therefore given back under the lock, where state_open() finds names.
 * R2: a slot is written under the lock only, before its number is handed out.
 */
#include "rules/state.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/cleanup.h"
#include "rules/alloc.h"

#define uthash_fatal(message) alloc_checked(NULL)
#include <uthash.h>

#define CHUNK_BITS 10
#define CHUNK_LEN (1U << CHUNK_BITS)
#define N_CHUNKS 65536 /* 67 million states: memory ends first */

struct entry {
	UT_hash_handle hh;
	union {
		struct state state;
		struct rule_state rule;
		struct server_state server;
		struct client_state client;
	};
};

_Static_assert(offsetof(struct rule_state, state) == 0 &&
                       offsetof(struct server_state, state) == 0 &&
                       offsetof(struct client_state, state) == 0,
               "a state begins with its struct state");

struct chunk {
	struct state *slots[CHUNK_LEN]; /* atomic */
};

static struct {
	pthread_mutex_t lock; /* guards all but the reading of chunks */
	struct entry *entries;
	struct chunk *chunks[N_CHUNKS]; /* atomic */
	size_t n_chunks;
	uint32_t *free_indexes; /* a stack with room for every number */
	size_t n_free;
	unsigned int n_states[STATE_CLIENT + 1];
} registry = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* Unambiguous whatever the texts contain: the length says where the id ends. */
static char *make_key(enum state_kind kind, const char *rule_id, const char *part,
                      unsigned int nth)
{
	char *key;
	int len = asprintf(&key, "%d %u %zu %s%s", (int)kind, nth, strlen(rule_id),
	                   rule_id, part ? part : "");

	return alloc_checked(len < 0 ? NULL : key);
}

static void add_chunk(void)
{
	size_t at = registry.n_chunks;
	struct chunk *chunk;
	uint32_t *stack = registry.free_indexes;

	/* A table without room is memory without room. */
	chunk = alloc_checked(at < N_CHUNKS ? calloc(1, sizeof(*chunk)) : NULL);
	stack = alloc_checked(
	        reallocarray(stack, (at + 1) * CHUNK_LEN, sizeof(*stack)));

	/* Upside down, so that small numbers are used first; 0 is STATE_NONE. */
	for (uint32_t i = CHUNK_LEN; i-- > 0;)
		if (at > 0 || i > 0)
			stack[registry.n_free++] = (uint32_t)at * CHUNK_LEN + i;
	registry.free_indexes = stack;
	registry.n_chunks++;
	__atomic_store_n(&registry.chunks[at], chunk, __ATOMIC_RELEASE);
}

static struct state **find_slot(uint32_t index)
{
	struct chunk *chunk;

	assert(index != STATE_NONE && index >> CHUNK_BITS < N_CHUNKS);
	chunk = __atomic_load_n(&registry.chunks[index >> CHUNK_BITS],
	                        __ATOMIC_ACQUIRE);
	assert(chunk);
	return &chunk->slots[index & (CHUNK_LEN - 1)];
}

static void rule_state_init(struct rule_state *rule)
{
	uint64_t seed;

	if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		seed = (uintptr_t)rule; /* no secret: RD only wants to differ */
	rule->random_state = seed;
	pthread_mutex_init(&rule->lock, NULL);
}

/* Takes @key over; the registry's lock is held. */
static struct state *entry_new(enum state_kind kind, char *key, const char *name)
{
	struct entry *e = alloc_zeroed(1, sizeof(*e));

	if (registry.n_free == 0)
		add_chunk();
	e->state.kind = kind;
	e->state.key = key;
	e->state.name = alloc_checked(strdup(name));
	e->state.index = registry.free_indexes[--registry.n_free];
	if (kind == STATE_RULE)
		rule_state_init(&e->rule);

	HASH_ADD_KEYPTR(hh, registry.entries, key, strlen(key), e);
	registry.n_states[kind]++;
	/* R2 */
	__atomic_store_n(find_slot(e->state.index), &e->state, __ATOMIC_RELEASE);
	return &e->state;
}

/* The registry's lock is held. */
static void entry_free(struct entry *e)
{
	HASH_DEL(registry.entries, e);
	registry.n_states[e->state.kind]--;
	__atomic_store_n(find_slot(e->state.index), NULL, __ATOMIC_RELEASE);
	registry.free_indexes[registry.n_free++] = e->state.index;

	if (e->state.kind == STATE_RULE)
		pthread_mutex_destroy(&e->rule.lock);
	free(e->state.key);
	free(e->state.name);
	free(e);
}

void *state_open(enum state_kind kind, const char *rule_id, const char *part,
                 unsigned int nth)
{
	auto_free char *key = make_key(kind, rule_id, part, nth);
	struct state *s;
	struct entry *e;

	pthread_mutex_lock(&registry.lock);
	HASH_FIND_STR(registry.entries, key, e);
	s = e ? &e->state : entry_new(kind, take_ptr(key), part ? part : rule_id);
	state_ref(s);
	pthread_mutex_unlock(&registry.lock);
	return s;
}

void *state_get(enum state_kind kind, uint32_t index)
{
	struct state *s = __atomic_load_n(find_slot(index), __ATOMIC_ACQUIRE);

	assert(s && s->kind == kind);
	return s;
}

void state_ref(struct state *s)
{
	__atomic_fetch_add(&s->refs, 1, __ATOMIC_RELAXED);
}

void state_unref(struct state *s)
{
	uint32_t refs = __atomic_load_n(&s->refs, __ATOMIC_RELAXED);

	assert(refs > 0);
	while (refs > 1)
		if (__atomic_compare_exchange_n(&s->refs, &refs, refs - 1, false,
		                                __ATOMIC_RELEASE, __ATOMIC_RELAXED))
			return;

	/* R1: the last one, unless state_open() is quicker */
	pthread_mutex_lock(&registry.lock);
	if (__atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) == 0)
		entry_free(container_of(s, struct entry, state));
	pthread_mutex_unlock(&registry.lock);
}

unsigned int state_count(enum state_kind kind)
{
	unsigned int n;

	pthread_mutex_lock(&registry.lock);
	n = registry.n_states[kind];
	pthread_mutex_unlock(&registry.lock);
	return n;
}

bool client_state_enter(struct client_state *c, uint64_t max)
{
	uint64_t n = __atomic_load_n(&c->n_sessions, __ATOMIC_RELAXED);

	do {
		if (max > 0 && n >= max)
			return false;
	} while (!__atomic_compare_exchange_n(&c->n_sessions, &n, n + 1, true,
	                                      __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	return true;
}

void client_state_leave(struct client_state *c)
{
	uint64_t before = __atomic_fetch_sub(&c->n_sessions, 1, __ATOMIC_RELAXED);

	assert(before > 0);
	(void)before;
}
