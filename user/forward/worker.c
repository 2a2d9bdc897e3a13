// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* worker.c - the thread, its loop, and how others reach it. */
#include "forward/worker.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "forward/accept.h"
#include "forward/bypassed.h"
#include "forward/connect.h"
#include "forward/relay.h"
#include "forward/session_close.h"
#include "forward/spliced.h"

/* Turns in a row that may put timers off. */
#define TIMERS_LATE_MAX 64

static struct iarray ready_links(const struct worker *w)
{
	return (struct iarray){
		.base = (char *)w->sessions + offsetof(struct session, ready),
		.stride = sizeof(struct session),
	};
}

void worker_make_ready(struct worker *w, uint32_t number)
{
	if (!ilist_is_linked(ready_links(w), number))
		ilist_append(&w->ready, ready_links(w), number);
}

void worker_forget_ready(struct worker *w, uint32_t number)
{
	if (ilist_is_linked(ready_links(w), number))
		ilist_remove(&w->ready, ready_links(w), number);
}

const struct rule *worker_rule(const struct worker *w, uint32_t state)
{
	return state < w->snapshot->n_rules ? w->snapshot->rules[state] : NULL;
}

/* ---- timers ---------------------------------------------------------------- */

/* Spliced and bypassed sessions of a rule in mode RT: how often response times are fetched. */
#define RESPONSE_LOOK_MS 1000

/* How long @s may be silent, and what it is then; 0: for ever. */
static uint64_t silence_ms(const struct session *s, enum close_reason *ret_reason)
{
	*ret_reason = CLOSE_IDLE_TIMEOUT;
	if (s->state != SESSION_RELAYING && s->fin_timeout_s > 0 &&
	    (s->timeout_s == 0 || s->fin_timeout_s < s->timeout_s)) {
		*ret_reason = CLOSE_FIN_TIMEOUT;
		return s->fin_timeout_s * 1000ULL;
	}
	return s->timeout_s * 1000ULL;
}

/*
 * The timer looks at half of the time and at the end of it. What the daemon handed to a
 * socket may take long to reach a slow peer: fewer unsent bytes than at the last look are
 * activity as well.
 */
void worker_set_idle_timer(struct worker *w, struct session *s)
{
	enum close_reason reason;
	uint64_t ms = silence_ms(s, &reason);
	uint64_t half_ms = s->last_active_ms + ms / 2;

	uint64_t due_ms = ms == 0               ? UINT64_MAX
	                  : w->now_ms < half_ms ? half_ms
	                                        : s->last_active_ms + ms;

	if (s->measures_response &&
	    (s->datapath == DATAPATH_SPLICE || s->datapath == DATAPATH_BYPASS) &&
	    due_ms > w->now_ms + RESPONSE_LOOK_MS)
		due_ms = w->now_ms + RESPONSE_LOOK_MS;
	if (due_ms == UINT64_MAX)
		wheel_clear(&w->wheel, worker_number(w, s));
	else
		wheel_set(&w->wheel, worker_number(w, s), due_ms);
}

/* Has a socket sent anything since the last look? */
static bool is_draining(struct worker *w, struct session *s)
{
	bool has_sent = false;

	for (int i = 0; i < 2; i++) {
		uint32_t n_unsent = (uint32_t)spliced_n_queued(w, s, i);
		int n = 0;

		ioctl(s->end[i].fd, SIOCOUTQ, &n);
		n_unsent += (uint32_t)n + bypassed_n_queued(w, s, i);
		has_sent |= n_unsent < s->end[i].n_unsent;
		s->end[i].n_unsent = n_unsent;
	}
	return has_sent;
}

/*
 * Traffic only notes the time; the timer finds out that it is early and is set anew.
 * So a byte costs no timer operation.
 */
static void on_timer(void *ctx, uint32_t number)
{
	struct worker *w = ctx;
	struct session *s = &w->sessions[number];
	enum close_reason reason;
	uint64_t ms;

	if (s->state == SESSION_ACCEPTED || s->state == SESSION_CONNECTING) {
		connect_on_timer(w, s);
		return;
	}
	spliced_sync(w, s);
	bypassed_sync(w, s);
	if (is_draining(w, s))
		s->last_active_ms = w->now_ms;
	ms = silence_ms(s, &reason);
	if (ms > 0 && s->last_active_ms + ms <= w->now_ms)
		session_close(w, s, reason);
	else
		worker_set_idle_timer(w, s);
}

/* ---- events ---------------------------------------------------------------- */

static void note_events(struct session_end *end, uint32_t events)
{
	if (events & EPOLLIN)
		end->is_readable = true;
	if (events & EPOLLOUT)
		end->is_writable = true;
	if (events & (EPOLLRDHUP | EPOLLHUP))
		end->is_readable = end->has_hangup = true;
	if ((events & (EPOLLRDHUP | EPOLLERR)) == EPOLLRDHUP)
		end->has_fin = true;
	if (events & EPOLLERR)
		end->is_readable = end->has_error = true;
	if (events & EPOLLPRI)
		end->is_urgent = true;
}

static void on_slot(void *ctx, uint32_t slot, uint32_t generation, uint32_t events)
{
	struct worker *w = ctx;
	struct session *s = &w->sessions[slot / 2];
	int side = slot % 2;

	/* Closed by an earlier event of this turn, and perhaps in use again. */
	if (s->generation != generation)
		return;
	note_events(&s->end[side], events);
	if (s->state == SESSION_ACCEPTED || s->state == SESSION_CONNECTING)
		connect_on_event(w, s, side);
	else
		relay_of(s)->on_event(w, s, side);
}

static void read_clock(void *ctx)
{
	struct worker *w = ctx;

	w->now_us = clock_us();
	w->now_ms = w->now_us / 1000;
}

/* One more share for each that is ready now; who asks again waits for the next turn. */
static void run_ready(struct worker *w)
{
	uint32_t last = w->ready.last, number = 0;

	while (w->ready.first && number != last) {
		number = w->ready.first;
		worker_forget_ready(w, number);
		relay_of(&w->sessions[number])->on_ready(w, &w->sessions[number]);
	}
}

/* ---- the thread ------------------------------------------------------------ */

static int wait_ms(const struct worker *w)
{
	int ms = wheel_wait_ms(&w->wheel, w->now_ms);
	int look_ms = looks_wait_ms(w), turn_ms = spliced_wait_ms(w);
	int until_resume;

	if (w->ready.first)
		return 0;
	if (look_ms >= 0 && (ms < 0 || look_ms < ms))
		ms = look_ms;
	if (turn_ms >= 0 && (ms < 0 || turn_ms < ms))
		ms = turn_ms;
	if (!w->first_paused)
		return ms;
	until_resume = w->resume_ms > w->now_ms ? (int)(w->resume_ms - w->now_ms) : 0;
	return ms < 0 || until_resume < ms ? until_resume : ms;
}

static void on_wake(struct source *source, uint32_t events)
{
	struct worker *w = container_of(source, struct worker, wake);
	uint64_t n;
	void (*call)(struct worker * w, void *arg);

	(void)events;

	if (read(source->fd, &n, sizeof(n)) < 0)
		return;
	pthread_mutex_lock(&w->forward->lock);
	call = w->call;
	w->call = NULL;
	pthread_mutex_unlock(&w->forward->lock);
	if (!call)
		return;
	call(w, w->call_arg);
	pthread_mutex_lock(&w->forward->lock);
	if (--w->forward->n_pending == 0)
		pthread_cond_signal(&w->forward->called);
	pthread_mutex_unlock(&w->forward->lock);
}

void worker_turn(struct worker *w)
{
	int n = loop_turn(&w->loop, wait_ms(w), read_clock);

	run_ready(w);
	spliced_turn(w);
	looks_run(w);
	/* After a stop (SIGSTOP) much is overdue that events which still wait would
	 * have moved on: they go first. Not for ever, though. */
	if ((n == -EINTR || n == LOOP_BATCH) && w->n_timers_late++ < TIMERS_LATE_MAX)
		return;
	w->n_timers_late = 0;
	wheel_run(&w->wheel, w->now_ms, on_timer, w);
	if (w->first_paused && w->now_ms >= w->resume_ms)
		accept_resume(w);
}

static void *run(void *arg)
{
	struct worker *w = arg;

	while (!w->is_stopping)
		worker_turn(w);
	return NULL;
}

void worker_call(struct forward *f, void (*fn)(struct worker *w, void *arg), void *arg)
{
	const uint64_t one = 1;

	pthread_mutex_lock(&f->lock);
	f->n_pending = f->n_workers;
	for (unsigned int i = 0; i < f->n_workers; i++) {
		f->workers[i].call = fn;
		f->workers[i].call_arg = arg;
		/* An eventfd's write fails only when 2^64 - 2 are unread. */
		if (write(f->workers[i].wake.fd, &one, sizeof(one)) < 0)
			log_errno(-errno, "cannot wake worker %u", i);
	}
	while (f->n_pending > 0)
		pthread_cond_wait(&f->called, &f->lock);
	pthread_mutex_unlock(&f->lock);
}

static int start_thread(struct worker *w)
{
	char name[16];
	int r = pthread_create(&w->thread, NULL, run, w);

	if (r != 0)
		return -r;
	snprintf(name, sizeof(name), "g5x-worker-%u", w->number % 1000);
	pthread_setname_np(w->thread, name);
	return 0;
}

void worker_fini(struct worker *w)
{
	for (uint32_t i = 1; i <= w->n_tried; i++)
		free(w->tried[i].servers);
	free(w->tried);
	pool_fini(&w->pool);
	loop_fini(&w->loop);
	if (w->wake.fd >= 0)
		close(w->wake.fd);
}

int worker_init(struct worker *w, struct forward *f, unsigned int number)
{
	int r;

	*w = (struct worker){
		.number = number,
		.forward = f,
		.table = &f->table,
		.sessions = f->table.sessions,
		.snapshot = f->snapshot,
		.wake = { .on_event = on_wake, .fd = -1 },
	};
	read_clock(w);
	wheel_init(
	        &w->wheel,
	        (struct iarray){
	                .base = (char *)w->sessions + offsetof(struct session, timer),
	                .stride = sizeof(struct session),
	        },
	        w->now_ms);
	r = loop_init(&w->loop, on_slot, w);
	if (r < 0)
		return r;
	pool_init(&w->pool, f->options.buffer_size);
	w->scratch = pool_borrow(&w->pool);
	w->wake.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (w->scratch == 0)
		r = -ENOMEM;
	else if (w->wake.fd < 0)
		r = -errno;
	else
		r = loop_add(&w->loop, &w->wake, EPOLLIN);
	if (r < 0)
		worker_fini(w);
	return r;
}

int worker_start(struct worker *w, struct forward *f, unsigned int number)
{
	int r = worker_init(w, f, number);

	if (r < 0)
		return r;
	r = start_thread(w);
	if (r < 0)
		worker_fini(w);
	return r;
}

void worker_join(struct worker *w)
{
	pthread_join(w->thread, NULL);
	worker_fini(w);
}
