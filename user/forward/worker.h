/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * worker.h - one thread of the data plane and all that is its own.
 *
 * For the files of forward/ only. Everything in a worker belongs to its thread;
 * other threads reach it through worker_call().
 *
 * One turn of the loop: wait, handle events (what was asked by worker_call() is one of
 * them), give each session with work left another share (ready), fire timers.
 */
#ifndef G5X_FORWARD_WORKER_H
#define G5X_FORWARD_WORKER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/ilist.h"
#include "base/loop.h"
#include "base/pool.h"
#include "base/wheel.h"
#include "forward/forward.h"
#include "forward/looks.h"
#include "forward/rates.h"
#include "forward/session.h"

struct blocks;
struct match;
struct rule;
struct limits;
struct bypass;
struct splice;

/* What a session's socket is watched for, once and edge-triggered: see copy.c. */
#define WORKER_END_EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET)

/* A listening address; one for all workers. Made and freed by the main thread. */
struct listener {
	struct addr addr;
	struct port *ports; /* owned; one for each worker */
	bool is_kept;       /* while publishing: is in the new configuration too */
	uint64_t next_ns;   /* atomic; of rate_enter(), for clients of all workers */
};

/* A worker's own listening socket. */
struct port {
	struct source source; /* source.fd is owned; -1 once closed */
	struct worker *worker;
	struct listener *listener;
	const struct match *match; /* of the published configuration */
	bool is_manage; /* for management clients only: not held back by sessions */
	bool is_paused;
	struct port *next_paused;
};

/* What a configuration looks like to workers; immutable once published. */
struct snapshot {
	const struct config *config;
	struct listener **listeners; /* owned array; listeners outlive snapshots */
	struct match **matches;      /* owned; of listeners[i] */
	bool *is_manage;             /* owned; is listeners[i] for management only? */
	size_t n_listeners;
	const struct rule **rules; /* owned array; by number of the rule's state */
	size_t n_rules;
	struct rate source_rate;   /* of new connections of one client IP */
	struct rate listener_rate; /* ... of all clients of one listener */
};

/* The servers that a connecting client has tried without success. */
struct tried {
	uint32_t *servers; /* owned; numbers of their states */
	uint32_t n, capacity;
	uint32_t next_free;
};

struct worker {
	struct loop loop;
	struct wheel wheel; /* one timer for each session, by number */
	struct pool pool;
	uint32_t scratch; /* pool number of the buffer that everybody reads into */
	struct ilist ready;
	uint64_t now_us, now_ms; /* as of this turn */

	struct session *sessions; /* the table of all workers */
	struct session_table *table;
	const struct snapshot *snapshot;
	struct tried *tried; /* owned; of number n at [n]; [0] is not used */
	uint32_t n_tried, free_tried;

	/* Ports that wait for file descriptors, oldest first: see accept.h. */
	struct port *first_paused, *last_paused;
	uint64_t resume_ms; /* try again then */
	uint64_t
	        short_until_ms; /* a session got no descriptor: accept none till then */

	struct bypass *bypass; /* borrowed; NULL: nothing is bypassed */
	struct splice *splice; /* borrowed; NULL: nothing is spliced */
	struct source ring;    /* its events for this worker */
	struct looks looks;    /* at sessions that wait for the kernel */

	unsigned int n_timers_late;         /* turns in a row that put timers off */
	uint64_t n_closed[CLOSE_N_REASONS]; /* atomic to read */

	unsigned int number;
	struct forward *forward;
	struct source wake;
	pthread_t thread;
	bool is_stopping;

	/* worker_call(): guarded by forward's lock */
	void (*call)(struct worker *w, void *arg);
	void *call_arg;
} __attribute__((aligned(64)));

/* What all workers share. */
struct forward {
	struct forward_options options;
	struct session_table table;
	struct limits *limits;
	struct blocks *blocks;
	struct rates *rates;
	bool is_guarded;       /* atomic; see forward_set_guarded() */
	struct bypass *bypass; /* borrowed; NULL: none */
	struct splice *splice; /* borrowed; NULL: none */
	uint32_t fd_limit;     /* as it was at the start */
	uint32_t fd_sessions;  /* atomic; as many as there are file descriptors for */
	struct snapshot *snapshot;
	struct worker *workers;
	unsigned int n_workers;

	pthread_mutex_t lock;
	pthread_cond_t called;
	unsigned int n_pending; /* workers that have still to do the call */
};

/** worker_init() - all but the thread: for whoever calls worker_turn() himself */
int worker_init(struct worker *w, struct forward *f, unsigned int number);
void worker_fini(struct worker *w);

/** worker_turn() - one turn of the loop, as above */
void worker_turn(struct worker *w);

/** worker_start() - worker_init(), and a thread that turns */
int worker_start(struct worker *w, struct forward *f, unsigned int number);

/** worker_join() - after a call that set is_stopping; frees what it owns */
void worker_join(struct worker *w);

/** worker_call() - have every worker run @fn, as an event; returns when all did */
void worker_call(struct forward *f, void (*fn)(struct worker *w, void *arg), void *arg);

/** worker_rule() - of that state number, as configured now; NULL if it was removed */
const struct rule *worker_rule(const struct worker *w, uint32_t state);

/** worker_make_ready() - give the session another share before waiting again */
void worker_make_ready(struct worker *w, uint32_t number);
void worker_forget_ready(struct worker *w, uint32_t number);

/** worker_number() - of a session record */
static inline uint32_t worker_number(const struct worker *w, const struct session *s)
{
	return (uint32_t)(s - w->sessions);
}

/** worker_set_idle_timer() - arm for the idle or fin timeout, whichever is next */
void worker_set_idle_timer(struct worker *w, struct session *s);

#endif /* G5X_FORWARD_WORKER_H */
