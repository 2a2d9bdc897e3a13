/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * state.h - what is remembered about rules, servers and client patterns.
 *
 * A configuration is immutable and replaced as a whole; what happens at run time
 * belongs here, is found again by name, and so survives a reload:
 *
 *     rule     by its id                         round-robin position, version
 *     server   by rule id + address as written   sessions, failures, response time
 *     client   by rule id + pattern as written   sessions (for maxclients)
 *
 * A state is a number as well as a pointer: sessions keep the number, so that the
 * session slab holds no pointer. It lives while a rule of some configuration or a
 * session holds a reference.
 *
 * Threads: state_get() and state_unref() from any; state_open() too, but in
 * practice only the main thread builds configurations. Members say how they are
 * guarded. On a machine with weak ordering the counters are still exact: they are
 * only ever changed by atomic read-modify-write.
 */
#ifndef G5X_RULES_STATE_H
#define G5X_RULES_STATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum state_kind { STATE_RULE, STATE_SERVER, STATE_CLIENT };

#define STATE_NONE 0 /* no state has this number */

struct state {
	enum state_kind kind;
	uint32_t index; /* its number, from 1; reused after it is freed */
	uint32_t refs;  /* atomic */
	char *key;      /* owned by the registry */
	char *name;     /* owned, for people: the rule's id, else the part's text */
};

struct rule_state {
	struct state state;
	pthread_mutex_t lock;  /* guards the five below; held for one pick, no I/O */
	uint64_t n_picks;      /* selections so far: the clock of "skipped for 100" */
	uint64_t rr_position;  /* RR: next place in the rule's schedule */
	uint32_t last_server;  /* LC, RT: state number of the last choice */
	uint32_t ms_server;    /* MS: state number of the sticky server */
	uint64_t random_state; /* RD: generator */

	/* Which definition of the rule is current: changes with each change of its
	 * text, and when it is removed. Atomic. A session whose own copy differs is
	 * what `clean forwards` closes. */
	uint32_t version;
	uint64_t n_sessions; /* atomic; live sessions of this rule */
};

struct server_state {
	struct state state;
	uint64_t n_sessions; /* atomic; connecting and connected */
	uint64_t n_total;    /* atomic; sessions ever connected */
	uint64_t n_failures; /* atomic; connects that failed */

	/* All guarded by the rule's lock. */
	bool is_marked;         /* failed, and not chosen since its time was up */
	uint64_t marked_pick;   /* rule_state.n_picks when it failed */
	uint64_t marked_ms;     /* clock_ms() when it failed */
	uint64_t response_us;   /* RT: weighted mean; 0: not measured */
	uint64_t measured_pick; /* RT: n_picks at the last sample, or when it was
	                         * chosen to get one; 0: neither yet */
};

struct client_state {
	struct state state;
	uint64_t n_sessions; /* atomic; held against maxclients */
};

/**
 * state_open() - the state of that name, made if there is none; takes a reference
 * @rule_id: whose
 * @part:    the server's or client pattern's text; NULL for STATE_RULE
 * @nth:     tells apart equal parts of one rule: 0 for the first of that text
 *
 * Never fails: out of memory ends the program (at load only).
 */
void *state_open(enum state_kind kind, const char *rule_id, const char *part,
                 unsigned int nth);

/** state_get() - by number; lock-free; the caller must hold a reference to it */
void *state_get(enum state_kind kind, uint32_t index);

/** state_ref(), state_unref() - the last one frees it; any thread */
void state_ref(struct state *s);
void state_unref(struct state *s);

/** state_count() - how many of a kind exist; for tests that look for leaks */
unsigned int state_count(enum state_kind kind);

/**
 * client_state_enter() - count one session, unless @max are there already
 * @max: 0 for no limit
 *
 * Exact under concurrency: a refused attempt is never visible as a session, so it
 * cannot make another one fail. Each success is undone by client_state_leave().
 */
bool client_state_enter(struct client_state *c, uint64_t max);
void client_state_leave(struct client_state *c);

#endif /* G5X_RULES_STATE_H */
