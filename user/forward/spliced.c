// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * spliced.c - sessions whose bytes the kernel moves, as far as the daemon has to act.
 *
 *     inserted ──> kernel forwards ──event: passes bytes up──> daemon relays
 *                       ^                                          │
 *                       └───────── all that was passed is relayed ─┘
 *
 * Each direction is in one of the two on its own. What the daemon relays goes through
 * pump.c, which waits (PUMP_DRAIN) until the kernel's queue for the destination is
 * empty, or (PUMP_BEHIND) until passed bytes can be read, which the kernel puts behind
 * what is queued for the same socket. No event tells of either, so it is looked for: after
 * 1 ms, then 2, 4 and so on; room in the destination's socket starts anew.
 *
 * epoll is asked for EPOLLIN and EPOLLOUT only while the daemon relays: otherwise each
 * message that the kernel moves would wake it.
 *
 * I1 to I4: see kernel/splice.h. What is handed to the kernel stays with it.
 */
#include "forward/spliced.h"

#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "forward/copy.h"
#include "forward/looks.h"
#include "forward/pump.h"
#include "forward/session_close.h"
#include "forward/worker.h"
#include "kernel/splice.h"
#include "rules/balance.h"

#define LOOK_MAX_SHIFT 8
#define LOOK_MAX_MS (1 << LOOK_MAX_SHIFT)

/* Everything was acknowledged, and yet so many looks (some five seconds, and more when
 * the machine sleeps) have found the queue as it was: it is dead. What else makes us
 * look does not count: while the kernel's worker waits for its turn, bytes of the other
 * direction may come in every millisecond. */
#define DEAD_LOOKS 24

/* So many looks, and bytes for a socket have not got into it: I5 of kernel/splice.h was
 * missed. The program has to estimate what they cost there. */
#define STUCK_LOOKS 4

/* Passed bytes that wait behind those, charged to nobody, until the session is given up.
 * As long as it takes until the kernel's worker has its turn they come as fast as they
 * can: on a busy machine tens of MiB over loopback. */
#define BEHIND_MAX (256ULL << 20)

/* How long what a reset end has sent before may take to the other. */
#define DOOM_MS 1000

static struct log_limit insert_failed, fault;

/* ---- what epoll is asked for ------------------------------------------------ */

static void watch(struct worker *w, struct session *s, int side)
{
	struct session_end *end = &s->end[side];
	const struct session_flow *to = &s->flow[!side];
	bool in = s->flow[side].is_passing || to->is_passing; /* I6 */
	bool out = to->len > 0 || to->is_draining;
	uint32_t events = EPOLLRDHUP | EPOLLET;

	if (!end->is_spliced || (in == end->watches_in && out == end->watches_out))
		return;
	events |= in ? EPOLLIN : 0;
	events |= out ? EPOLLOUT : 0;
	if (loop_modify_slot(&w->loop, end->fd,
	                     2 * worker_number(w, s) + (uint32_t)side, s->generation,
	                     events) == 0) {
		end->watches_in = in;
		end->watches_out = out;
	}
}

static void watch_both(struct worker *w, struct session *s)
{
	watch(w, s, CLIENT);
	watch(w, s, SERVER);
}

/* ---- the end of a session ---------------------------------------------------- */

static bool close_faulty(struct worker *w, struct session *s)
{
	log_limited(&fault, LOG_LEVEL_ERROR,
	            "session %u: spliced bytes are missing, both ends are reset",
	            worker_number(w, s));
	session_close(w, s, CLOSE_KERNEL_FAULT);
	return false;
}

/* What the direction @from waits for: bytes in the kernel's queue for this end. */
static int waits_for(const struct session *s, int from)
{
	return s->flow[from].is_behind ? from : !from;
}

static void look_later(struct worker *w, struct session *s, int from)
{
	struct session_wait *wait = &s->drain.way[from];

	wait->wait_ms = wait->wait_ms == 0 ? 1 : 2 * wait->wait_ms;
	if (wait->wait_ms > LOOK_MAX_MS)
		wait->wait_ms = LOOK_MAX_MS;
	looks_later(w, s, w->now_ms + wait->wait_ms);
}

/*
 * An end was reset. What it sent before goes to the other first: some of that may be in
 * the kernel's queue, some has to be relayed. Then the other is reset.
 */
static bool finish_doomed(struct worker *w, struct session *s)
{
	int dead = s->drain.dead;
	enum pump_result r = pump(w, s, dead);
	bool is_over = r == PUMP_DEST_DEAD || r == PUMP_FAULT || r == PUMP_NO_MEMORY ||
	               w->now_ms >= s->drain.doom_ms;

	if (!is_over && r == PUMP_MORE) {
		worker_make_ready(w, worker_number(w, s));
		return true;
	}
	if (!is_over && spliced_n_queued(w, s, !dead) > 0) {
		look_later(w, s, dead);
		return true;
	}
	session_close(w, s, dead == CLIENT ? CLOSE_CLIENT_RESET : CLOSE_SERVER_RESET);
	return false;
}

static bool doom(struct worker *w, struct session *s, int dead)
{
	struct session_end *end = &s->end[dead];

	if (s->drain.is_doomed) /* the other one, too */
		return finish_doomed(w, s);
	s->drain.is_doomed = true;
	s->drain.dead = (uint8_t)dead;
	s->drain.doom_ms = w->now_ms + DOOM_MS;
	s->drain.way[dead].wait_ms = 0;
	end->is_readable = end->has_hangup = true; /* read to its end */
	end->is_cut = true;                        /* which is no FIN */
	s->end[!dead].is_writable = true;          /* epoll may not have said so yet */
	return finish_doomed(w, s);
}

/* ---- one direction ------------------------------------------------------------ */

/* Nothing more can be read for now: does the kernel go on by itself? */
static void note_caught_up(struct worker *w, struct session *s, int from)
{
	uint32_t number = worker_number(w, s);
	struct session_flow *f = &s->flow[from];

	f->is_passing = splice_n_passed(w->splice, number, from) !=
	                splice_n_relayed(w->splice, number, from);
	f->is_behind = f->is_passing && f->len == 0;
	if (f->len > 0 && s->end[from].is_spliced)
		splice_fit_receive_buffer(w->splice, s->end[from].fd);
}

static bool on_ended(struct worker *w, struct session *s)
{
	if (!relay_on_direction_ended(w, s))
		return false;
	splice_set_state(w->splice, worker_number(w, s),
	                 s->flow[CLIENT].has_ended ? G5X_CLIENT_ENDED
	                                           : G5X_SERVER_ENDED);
	return true;
}

/* Pump one direction and do what follows. Return: false when the session is gone. */
static bool work(struct worker *w, struct session *s, int from)
{
	struct session_flow *f = &s->flow[from];
	bool was_behind = f->is_behind;
	enum pump_result r = pump(w, s, from);

	f->is_draining = r == PUMP_DRAIN;
	f->is_behind = r == PUMP_BEHIND;
	switch (r) {
	case PUMP_WAIT:
		note_caught_up(w, s, from);
		break;
	case PUMP_MORE:
		f->is_passing = true;
		worker_make_ready(w, worker_number(w, s));
		break;
	case PUMP_DRAIN:
	case PUMP_BEHIND:
		f->is_passing = true;
		break;
	case PUMP_ENDED:
		f->is_passing = false;
		if (!on_ended(w, s))
			return false;
		break;
	case PUMP_SOURCE_DEAD:
		return doom(w, s, from);
	case PUMP_DEST_DEAD:
		return doom(w, s, !from);
	case PUMP_NO_MEMORY:
		session_close(w, s, CLOSE_NO_RESOURCES);
		return false;
	case PUMP_FAULT:
		return close_faulty(w, s);
	}
	if (f->is_behind != was_behind || (!f->is_draining && !f->is_behind))
		s->drain.way[from] = (struct session_wait){ .wait_ms = 0 };
	if (f->is_draining || f->is_behind)
		look_later(w, s, from);
	watch_both(w, s);
	return true;
}

static bool spliced_on_ready(struct worker *w, struct session *s)
{
	if (s->drain.is_doomed)
		return finish_doomed(w, s);
	return work(w, s, CLIENT) && work(w, s, SERVER);
}

static bool spliced_on_event(struct worker *w, struct session *s, int side)
{
	if (s->end[side].has_error)
		return doom(w, s, side);
	if (s->drain.is_doomed)
		return true; /* the next look comes */
	if (s->end[side].is_readable && !work(w, s, side))
		return false;
	if (s->end[side].is_writable &&
	    (s->flow[!side].len > 0 || s->flow[!side].is_draining)) {
		s->drain.way[!side].wait_ms = 0;
		return work(w, s, !side);
	}
	return true;
}

/* ---- looks: no event tells that a queue has drained --------------------------- */

static bool has_unacknowledged(int fd)
{
	int n = 0;

	ioctl(fd, SIOCOUTQ, &n);
	return n > 0;
}

/* The n-th look at a queue that stays as it is comes in the time of look_later(). */
static void count_look(struct session_wait *wait, uint32_t now_ms, uint64_t n_queued,
                       int fd)
{
	uint32_t pace_ms = LOOK_MAX_MS;

	if (n_queued != wait->n_queued) {
		wait->n_queued = n_queued;
		wait->counted_ms = now_ms;
		wait->n_still = wait->n_idle = 0;
		return;
	}
	if (wait->n_still < LOOK_MAX_SHIFT)
		pace_ms = 1U << wait->n_still;
	if (now_ms - wait->counted_ms < pace_ms)
		return;
	wait->counted_ms = now_ms;
	if (wait->n_still < UINT8_MAX)
		wait->n_still++;
	wait->n_idle = has_unacknowledged(fd) ? 0 : wait->n_idle + 1;
}

/* A direction waits on. Return: false when there is nothing to wait for any more. */
static bool judge(struct worker *w, struct session *s, int from)
{
	uint32_t number = worker_number(w, s);
	struct session_wait *wait = &s->drain.way[from];
	int end = waits_for(s, from);
	uint64_t n_queued = spliced_n_queued(w, s, end);
	uint64_t n_behind = splice_n_passed(w->splice, number, from) -
	                    splice_n_relayed(w->splice, number, from);

	count_look(wait, (uint32_t)w->now_ms, n_queued, s->end[end].fd);
	if (wait->n_idle >= DEAD_LOOKS)
		return close_faulty(w, s);
	if (!s->flow[from].is_behind || n_queued == 0)
		return true;
	if (n_behind > BEHIND_MAX) {
		session_close(w, s, CLOSE_NO_RESOURCES);
		return false;
	}
	if (wait->n_still >= STUCK_LOOKS)
		splice_make_room(w->splice, number, s->end[from].fd);
	return true;
}

static bool spliced_on_look(struct worker *w, struct session *s)
{
	if (s->drain.is_doomed)
		return finish_doomed(w, s);
	for (int from = 0; from < 2; from++) {
		const struct session_flow *f = &s->flow[from];

		if ((f->is_draining || f->is_behind) &&
		    (!judge(w, s, from) || !work(w, s, from)))
			return false;
	}
	return true;
}

/* ---- insertion ---------------------------------------------------------------- */

static int insert(struct worker *w, struct session *s)
{
	char client[ADDR_TEXT_LEN], listener[ADDR_TEXT_LEN], server[ADDR_TEXT_LEN];
	const struct rule_state *rule = state_get(STATE_RULE, s->rule);
	const struct splice_pair pair = {
		.fd = { s->end[CLIENT].fd, s->end[SERVER].fd },
		.number = worker_number(w, s),
		.generation = s->generation,
		.worker = w->number,
		.limit = s->splice_limit,
		.wants_responses = s->measures_response,
		.rule = rule->state.name,
		.client = addr_format(&s->client_addr, client),
		.listener = addr_format(&s->listener_addr, listener),
		.server = addr_format(&s->server_addr, server),
	};
	bool is_in[2];
	int r;

	r = splice_insert(w->splice, &pair, is_in);
	if (r < 0)
		return r;
	for (int i = 0; i < 2; i++) {
		s->end[i].is_spliced = is_in[i];
		s->end[i].watches_in = s->end[i].watches_out = true; /* as it was */
	}
	return 0;
}

static void log_failure(int r)
{
	if (r != -EOPNOTSUPP) /* a FIN was faster: nothing is wrong */
		log_limited(&insert_failed, LOG_LEVEL_WARNING,
		            "cannot splice a session, it is copied: %s",
		            r == -ENOSPC ? "its number is beyond the maps (see -s)"
		                         : strerrordesc_np(-r));
}

/* No byte of the session may be in our hands. */
static bool spliced_start(struct worker *w, struct session *s)
{
	int r;

	assert(s->flow[CLIENT].len == 0 && s->flow[SERVER].len == 0);
	r = insert(w, s);
	if (r < 0) {
		log_failure(r);
		s->datapath = DATAPATH_COPY;
		s->may_promote = false;
		return copy_relay.start(w, s);
	}
	s->datapath = DATAPATH_SPLICE;
	s->request_us = 0;
	watch_both(w, s);
	for (int i = 0; i < 2; i++)
		if (s->end[i].is_spliced &&
		    splice_was_reset(w->splice, worker_number(w, s), i))
			return doom(w, s, i);
	/* Of an end in the map an event tells what is passed up, and epoll, asked for
	 * something else now, what has come before. */
	for (int i = 0; i < 2; i++)
		if (!s->end[i].is_spliced && !work(w, s, i))
			return false;
	return true;
}

const struct relay spliced_relay = {
	.start = spliced_start,
	.on_event = spliced_on_event,
	.on_ready = spliced_on_ready,
	.on_look = spliced_on_look,
};

/* ---- events from the kernel --------------------------------------------------- */

static void on_passing(void *ctx, const struct g5x_event *event)
{
	struct worker *w = ctx;
	struct session *s = &w->sessions[event->slot / 2];
	int from = event->slot % 2;

	/* An event of a session that has ended; the number may be somebody else's. */
	if (s->generation != event->generation || s->worker != w->number ||
	    !s->end[from].is_spliced || s->drain.is_doomed)
		return;
	if (splice_session(w->splice, event->slot / 2)->flow[from].n_gaps > 0) {
		close_faulty(w, s);
		return;
	}
	s->flow[from].is_passing = s->end[from].is_readable = true;
	work(w, s, from);
}

/* Events were lost. Rare: thousands have to come in one turn. */
static void look_at_all(struct worker *w)
{
	uint32_t n = splice_n_sessions(w->splice);

	for (uint32_t i = 1; i <= n; i++) {
		struct g5x_event event = {
			.generation = w->sessions[i].generation,
		};

		if (w->sessions[i].state == SESSION_FREE ||
		    __atomic_load_n(&w->sessions[i].worker, __ATOMIC_RELAXED) !=
		            w->number)
			continue;
		for (int from = 0; from < 2; from++) {
			event.slot = 2 * i + (uint32_t)from;
			on_passing(w, &event);
		}
	}
}

static void read_events(struct worker *w)
{
	if (!splice_read_events(w->splice, w->number, on_passing, w))
		look_at_all(w);
}

static void on_ring(struct source *source, uint32_t events)
{
	(void)events;
	read_events(container_of(source, struct worker, ring));
}

int spliced_attach(struct worker *w, struct splice *sp)
{
	int r;

	w->ring = (struct source){
		.on_event = on_ring,
		.fd = splice_events_fd(sp, w->number),
	};
	r = loop_add(&w->loop, &w->ring, EPOLLIN);
	if (r == 0)
		w->splice = sp;
	return r;
}

/* An event can be lost so that none follows, when we looked between the loss and its
 * count; the count is looked at in each turn, and there is a turn in this time. */
#define TURN_MAX_MS 10000

void spliced_turn(struct worker *w)
{
	if (w->splice && splice_has_lost_events(w->splice, w->number))
		read_events(w);
}

int spliced_wait_ms(const struct worker *w)
{
	return w->splice ? TURN_MAX_MS : -1;
}

/* ---- the books ------------------------------------------------------------------ */

static bool is_spliced(const struct session *s)
{
	return s->end[CLIENT].is_spliced || s->end[SERVER].is_spliced;
}

uint64_t spliced_n_queued(const struct worker *w, const struct session *s, int to)
{
	if (!s->end[!to].is_spliced)
		return 0;
	return splice_n_queued(w->splice, worker_number(w, s), !to, s->end[to].fd);
}

void spliced_sync(struct worker *w, struct session *s)
{
	const struct g5x_session *shared;
	int64_t response_us;

	if (!is_spliced(s))
		return;
	shared = splice_session(w->splice, worker_number(w, s));
	for (int from = 0; from < 2; from++) {
		uint64_t last_ms = shared->flow[from].last_ns / 1000000;

		if (last_ms > s->last_active_ms)
			s->last_active_ms = last_ms;
	}
	if (s->first_byte_us == 0 && shared->flow[SERVER].first_ns)
		s->first_byte_us = shared->flow[SERVER].first_ns / 1000;
	if (!s->measures_response)
		return;
	response_us = splice_take_response_us(w->splice, worker_number(w, s));
	if (response_us >= 0)
		balance_responded(state_get(STATE_RULE, s->rule),
		                  state_get(STATE_SERVER, s->server),
		                  (uint64_t)response_us);
}

void spliced_leave(struct worker *w, struct session *s)
{
	uint32_t number = worker_number(w, s);

	if (!is_spliced(s))
		return;
	spliced_sync(w, s);
	splice_detach(w->splice, number);
	for (int from = 0; from < 2; from++)
		s->flow[from].n_bytes += splice_n_redirected(w->splice, number, from);
}

void spliced_forget(struct worker *w, struct session *s)
{
	if (!is_spliced(s))
		return;
	looks_forget(w, s);
	splice_forget(w->splice, worker_number(w, s));
}
