// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * forward.c - owns the workers, and publishes configurations to them.
 *
 * I1: what a worker reads (snapshot, listeners, match tables) changes only inside a
 *     worker_call(), so each worker sees the old or the new one, never a mixture, and
 *     the old one is free to go when the call returns.
 */
#include "forward/forward.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "forward/accept.h"
#include "forward/blocks.h"
#include "forward/limits.h"
#include "forward/listener.h"
#include "forward/session_close.h"
#include "forward/spliced.h"
#include "forward/worker.h"
#include "kernel/bypass.h"
#include "kernel/splice.h"
#include "rules/config.h"
#include "rules/match.h"

/* Descriptors that sessions leave alone: log, configuration, management clients. */
#define FD_RESERVE_MIN 32
#define FD_RESERVE_MAX 256
#define FDS_PER_SESSION 2
#define FDS_PER_WORKER 4

static const struct config no_config;

/* ---- snapshots ------------------------------------------------------------- */

static void snapshot_free(struct snapshot *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->n_listeners; i++)
		match_free(s->matches[i]);
	free(s->listeners);
	free(s->matches);
	free(s->is_manage);
	free(s->rules);
	free(s);
}

static int index_rules(struct snapshot *s)
{
	for (size_t i = 0; i < s->config->n_rules; i++) {
		uint32_t index = s->config->rules[i]->state->state.index;

		if (index >= s->n_rules)
			s->n_rules = index + 1;
	}
	s->rules = calloc(s->n_rules + 1, sizeof(*s->rules));
	if (!s->rules)
		return -ENOMEM;
	for (size_t i = 0; i < s->config->n_rules; i++) {
		const struct rule *rule = s->config->rules[i];

		s->rules[rule->state->state.index] = rule;
	}
	return 0;
}

static int snapshot_new(const struct config *config, struct snapshot **ret_snapshot)
{
	struct snapshot *s = calloc(1, sizeof(*s));
	size_t n = 0;

	if (!s)
		return -ENOMEM;
	for (size_t i = 0; i < config->n_rules; i++)
		n += config->rules[i]->n_forwards;
	s->config = config;
	s->source_rate = rate_of(config->syn_rate, config->burst);
	s->listener_rate = rate_of(config->listener_syn_rate, config->listener_burst);
	s->listeners = calloc(n + 1, sizeof(struct listener *));
	s->matches = calloc(n + 1, sizeof(struct match *));
	s->is_manage = calloc(n + 1, sizeof(*s->is_manage));
	if (!s->listeners || !s->matches || !s->is_manage || index_rules(s) < 0) {
		snapshot_free(s);
		return -ENOMEM;
	}
	*ret_snapshot = s;
	return 0;
}

static struct listener *find_listener(const struct snapshot *s, const struct addr *addr)
{
	for (size_t i = 0; i < s->n_listeners; i++)
		if (addr_equal(&s->listeners[i]->addr, addr))
			return s->listeners[i];
	return NULL;
}

/* Two of our own addresses that the kernel would call the same without REUSEPORT. */
static bool overlaps(const struct snapshot *s, const struct addr *addr)
{
	for (size_t i = 0; i < s->n_listeners; i++) {
		const struct addr *other = &s->listeners[i]->addr;

		if (other->sa.sa_family == addr->sa.sa_family &&
		    addr_port(other) == addr_port(addr) &&
		    (addr_is_any(other) || addr_is_any(addr)))
			return true;
	}
	return false;
}

/* Do only management clients come here? A pattern might bring others. */
static bool is_manage_only(const struct config *config, const struct addr *addr)
{
	for (size_t i = 0; i < config->n_rules; i++) {
		const struct rule *rule = config->rules[i];

		for (size_t j = 0; rule->mode != RULE_MODE_G && j < rule->n_forwards;
		     j++)
			if (rule->forwards[j].is_pattern ||
			    addr_equal(&rule->forwards[j].addr, addr))
				return false;
	}
	return true;
}

/* Add @addr to @next: the listener of @now if there is one, else a new one. */
static int add_listener(struct forward *f, struct snapshot *now, struct snapshot *next,
                        const struct addr *addr)
{
	struct listener *l;
	int r;

	if (find_listener(next, addr))
		return 0;
	l = find_listener(now, addr);
	if (l) {
		l->is_kept = true;
	} else {
		r = listener_open(f, addr, overlaps(now, addr) || overlaps(next, addr),
		                  &l);
		if (r < 0)
			return r;
	}
	next->listeners[next->n_listeners] = l;
	next->matches[next->n_listeners] = match_compile(next->config, addr);
	next->is_manage[next->n_listeners] = is_manage_only(next->config, addr);
	next->n_listeners++;
	return 0;
}

static int add_listeners(struct forward *f, struct snapshot *now, struct snapshot *next,
                         struct addr *ret_failed)
{
	for (size_t i = 0; i < now->n_listeners; i++)
		now->listeners[i]->is_kept = false;
	for (size_t i = 0; i < next->config->n_rules; i++) {
		const struct rule *rule = next->config->rules[i];

		for (size_t j = 0; j < rule->n_forwards; j++) {
			const struct rule_forward *forward = &rule->forwards[j];
			int r = 0;

			if (!forward->is_pattern)
				r = add_listener(f, now, next, &forward->addr);
			if (r < 0) {
				*ret_failed = forward->addr;
				return r;
			}
		}
	}
	return 0;
}

/* Close the listeners of @s that @other does not have. */
static void close_listeners(struct forward *f, struct snapshot *s,
                            const struct snapshot *other)
{
	for (size_t i = 0; i < s->n_listeners; i++)
		if (!find_listener(other, &s->listeners[i]->addr))
			listener_free(s->listeners[i], f->n_workers);
}

/* ---- on each worker -------------------------------------------------------- */

static void close_port(struct worker *w, struct port *port)
{
	if (port->source.fd < 0)
		return;
	/* Whoever got through the handshake is served: closing would reset them. */
	accept_all(port);
	accept_forget(port);
	loop_remove(&w->loop, &port->source);
	close(port->source.fd);
	port->source.fd = -1;
}

static void watch_port(struct worker *w, struct port *port)
{
	int r = loop_add(&w->loop, &port->source, EPOLLIN);

	if (r == 0)
		return;
	/* Nobody shall queue where nobody accepts: the other workers' sockets get the
	 * clients of this one when it is gone. */
	log_errno(r, "worker %u cannot watch a listener, and does without", w->number);
	close(port->source.fd);
	port->source.fd = -1;
}

static void switch_snapshot(struct worker *w, void *arg)
{
	struct snapshot *next = arg;
	const struct snapshot *now = w->snapshot;

	for (size_t i = 0; i < now->n_listeners; i++)
		if (!now->listeners[i]->is_kept)
			close_port(w, &now->listeners[i]->ports[w->number]);

	w->snapshot = next;
	for (size_t i = 0; i < next->n_listeners; i++) {
		struct port *port = &next->listeners[i]->ports[w->number];

		port->match = next->matches[i];
		port->is_manage = next->is_manage[i];
		if (port->source.id != 0 || port->source.fd < 0)
			continue;
		port->source.on_event = accept_on_event;
		watch_port(w, port);
	}
}

static void stop_accepting(struct worker *w, void *arg)
{
	(void)arg;

	for (size_t i = 0; i < w->snapshot->n_listeners; i++)
		close_port(w, &w->snapshot->listeners[i]->ports[w->number]);
}

/* Call @fn for each session of @w. */
static size_t each_session(struct worker *w, bool (*wanted)(const struct session *s),
                           enum close_reason reason)
{
	uint32_t n_touched = session_n_touched(w->table);
	size_t n = 0;

	for (uint32_t i = 1; i <= n_touched; i++) {
		struct session *s = &w->sessions[i];

		/* A record of another worker may change under us; its owner cannot. */
		if (__atomic_load_n(&s->state, __ATOMIC_ACQUIRE) == SESSION_FREE ||
		    s->worker != w->number || !wanted(s))
			continue;
		session_close(w, s, reason);
		n++;
	}
	return n;
}

static bool is_stale(const struct session *s)
{
	const struct rule_state *rule = state_get(STATE_RULE, s->rule);

	return __atomic_load_n(&rule->version, __ATOMIC_RELAXED) != s->rule_version;
}

static bool is_any(const struct session *s)
{
	(void)s;

	return true;
}

static void clean(struct worker *w, void *arg)
{
	size_t *n_closed = arg;

	__atomic_add_fetch(n_closed, each_session(w, is_stale, CLOSE_CLEANED),
	                   __ATOMIC_RELAXED);
}

static void stop(struct worker *w, void *arg)
{
	(void)arg;

	stop_accepting(w, NULL);
	each_session(w, is_any, CLOSE_SHUTDOWN);
	w->is_stopping = true;
}

/* ---- the main thread's side ------------------------------------------------ */

static uint32_t get_fd_limit(void)
{
	struct rlimit limit = { .rlim_cur = 1024 };

	getrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur > 1U << 30)
		return 1U << 30;
	return (uint32_t)limit.rlim_cur;
}

/* How many sessions the file descriptor limit allows, beside so many listeners. */
static uint32_t count_fd_sessions(const struct forward *f, size_t n_listeners)
{
	size_t reserved = f->options.n_workers * (FDS_PER_WORKER + n_listeners);

	reserved += f->fd_limit / 64 > FD_RESERVE_MAX - FD_RESERVE_MIN
	                    ? FD_RESERVE_MAX
	                    : FD_RESERVE_MIN + f->fd_limit / 64;
	if (f->fd_limit <= reserved + FDS_PER_SESSION)
		return 1;
	return (uint32_t)((f->fd_limit - reserved) / FDS_PER_SESSION);
}

/* Start the workers; the ones before a failure are stopped again. */
static int start_workers(struct forward *f)
{
	unsigned int n_wanted = f->options.n_workers;
	int r;

	f->workers = aligned_alloc(64, n_wanted * sizeof(*f->workers));
	if (!f->workers)
		return -ENOMEM;
	for (f->n_workers = 0; f->n_workers < n_wanted; f->n_workers++) {
		r = worker_start(&f->workers[f->n_workers], f, f->n_workers);
		if (r < 0)
			return r;
	}
	return 0;
}

int forward_new(const struct forward_options *options, struct forward **ret_forward)
{
	struct forward *f = calloc(1, sizeof(*f));
	uint32_t capacity;
	int r;

	if (!f)
		return -ENOMEM;
	f->options = *options;
	f->table.memfd = -1;
	f->fd_limit = get_fd_limit();
	f->fd_sessions = count_fd_sessions(f, 0);
	pthread_mutex_init(&f->lock, NULL);
	pthread_cond_init(&f->called, NULL);

	/* Without a cap clients wait in the kernel's queue while all descriptors are
	 * in use (each worker may be one over before it sees that). Who asked for a
	 * cap gets refusals at the cap. */
	capacity = f->fd_sessions + options->n_workers;
	if (options->max_sessions > 0 && options->max_sessions < f->fd_sessions)
		capacity = (uint32_t)options->max_sessions;

	f->limits = limits_new();
	f->blocks = blocks_new();
	f->rates = rates_new();
	r = f->limits && f->blocks && f->rates ? 0 : -ENOMEM;
	if (r == 0)
		r = snapshot_new(&no_config, &f->snapshot);
	if (r == 0)
		r = session_table_init(&f->table, capacity, options->n_workers);
	if (r == 0)
		r = start_workers(f);
	if (r < 0) {
		forward_free(f);
		return r;
	}
	*ret_forward = f;
	return 0;
}

void forward_free(struct forward *f)
{
	if (f->n_workers > 0)
		worker_call(f, stop, NULL);
	for (unsigned int i = 0; i < f->n_workers; i++)
		worker_join(&f->workers[i]);
	if (f->snapshot)
		for (size_t i = 0; i < f->snapshot->n_listeners; i++)
			listener_free(f->snapshot->listeners[i], f->n_workers);
	snapshot_free(f->snapshot);
	session_table_fini(&f->table);
	limits_free(f->limits);
	blocks_free(f->blocks);
	rates_free(f->rates);
	free(f->workers);
	pthread_cond_destroy(&f->called);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

int forward_publish(struct forward *f, const struct config *config,
                    struct addr *ret_failed)
{
	struct snapshot *now = f->snapshot, *next;
	int r = snapshot_new(config, &next);

	if (r < 0)
		return r;
	r = add_listeners(f, now, next, ret_failed);
	if (r == 0) /* the last that can fail */
		r = blocks_set_file(f->blocks, config->blocks, config->n_blocks);
	if (r < 0) {
		close_listeners(f, next, now);
		snapshot_free(next);
		return r;
	}
	worker_call(f, switch_snapshot, next); /* I1 */
	f->snapshot = next;
	__atomic_store_n(&f->fd_sessions, count_fd_sessions(f, next->n_listeners),
	                 __ATOMIC_RELAXED);
	close_listeners(f, now, next);
	snapshot_free(now);
	return 0;
}

struct blocks *forward_blocks(struct forward *f)
{
	return f->blocks;
}

void forward_set_guarded(struct forward *f, bool is_guarded)
{
	__atomic_store_n(&f->is_guarded, is_guarded, __ATOMIC_RELAXED);
}

void forward_on_full(struct forward *f,
                     void (*fn)(void *ctx, const struct addr *client, bool is_full),
                     void *ctx, uint64_t max)
{
	limits_on_full(f->limits, fn, ctx, max);
}

void forward_stop_accepting(struct forward *f)
{
	worker_call(f, stop_accepting, NULL);
}

size_t forward_clean(struct forward *f)
{
	size_t n_closed = 0;

	worker_call(f, clean, &n_closed);
	return n_closed;
}

unsigned int forward_n_workers(const struct forward *f)
{
	return f->n_workers;
}

struct attachment {
	struct splice *splice;
	int r;
};

/* Some workers may splice although another one cannot. */
static void attach(struct worker *w, void *arg)
{
	struct attachment *a = arg;
	int r = spliced_attach(w, a->splice);

	if (r < 0)
		__atomic_store_n(&a->r, r, __ATOMIC_RELAXED);
}

int forward_set_splice(struct forward *f, struct splice *sp)
{
	struct attachment a = { .splice = sp };

	f->splice = sp;
	worker_call(f, attach, &a);
	return a.r;
}

static void attach_bypass(struct worker *w, void *arg)
{
	w->bypass = arg;
}

void forward_set_bypass(struct forward *f, struct bypass *bp)
{
	f->bypass = bp;
	worker_call(f, attach_bypass, bp);
}

uint64_t forward_bytes(const struct forward *f, uint32_t number,
                       const struct session *copy, int from)
{
	uint64_t n = copy->flow[from].n_bytes;

	if (copy->datapath == DATAPATH_BYPASS)
		n += bypass_n_direct(f->bypass, number, from);
	else if (copy->end[CLIENT].is_spliced || copy->end[SERVER].is_spliced)
		n += splice_n_redirected(f->splice, number, from);
	else
		return n;
	/* Ended meanwhile: then that was another's, or nobody's. */
	if (__atomic_load_n(&f->table.sessions[number].generation, __ATOMIC_ACQUIRE) !=
	    copy->generation)
		return copy->flow[from].n_bytes;
	return n;
}

struct session_table *forward_sessions(struct forward *f)
{
	return &f->table;
}

uint64_t forward_n_closed(struct forward *f, enum close_reason reason)
{
	uint64_t n = 0;

	for (unsigned int i = 0; i < f->n_workers; i++)
		n += __atomic_load_n(&f->workers[i].n_closed[reason], __ATOMIC_RELAXED);
	return n;
}

const struct addr *forward_listener(struct forward *f, size_t nth, int *ret_fd)
{
	if (nth >= f->snapshot->n_listeners)
		return NULL;
	*ret_fd = f->snapshot->listeners[nth]->ports[0].source.fd;
	return &f->snapshot->listeners[nth]->addr;
}
