// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * copy.c - relay in the daemon: the reference for every other datapath.
 *
 * Each direction is on its own; pump.c moves its bytes. Sockets are watched
 * edge-triggered, once, for everything.
 *
 * I3: a reset of one end reaches the other as a reset, after the bytes that were
 *     readable before it and that the other's socket takes at once. As with any reset,
 *     what that socket has not sent by then is lost.
 */
#include "forward/copy.h"

#include <assert.h>

#include "forward/bypassed.h"
#include "forward/pump.h"
#include "forward/session_close.h"
#include "forward/worker.h"

/*
 * I3: @dead takes no more bytes, but what it sent before it died may still be
 * readable: a server that answers "too large" and closes while the client is still
 * sending wants its answer read.
 */
static bool bury(struct worker *w, struct session *s, int dead)
{
	s->end[dead].is_readable = s->end[dead].has_hangup = true; /* read to its end */
	s->end[!dead].is_writable = true; /* epoll may not have said so yet */
	for (int i = 0; i < PUMP_LAST_SHARES && pump(w, s, dead) == PUMP_MORE; i++)
		;
	session_close(w, s, dead == CLIENT ? CLOSE_CLIENT_RESET : CLOSE_SERVER_RESET);
	return false;
}

/* Pump one direction and do what follows. Return: false when the session is gone. */
static bool work(struct worker *w, struct session *s, int from)
{
	switch (pump(w, s, from)) {
	case PUMP_WAIT:
		/* Its last bytes wait for a peer that may never take them. */
		return !s->end[from].has_error || s->flow[from].len == 0 ||
		       bury(w, s, from);
	case PUMP_MORE:
		worker_make_ready(w, worker_number(w, s));
		return true;
	case PUMP_ENDED:
		/* A reset right behind the FIN was in the same report; none follows. */
		return relay_on_direction_ended(w, s) &&
		       (!s->end[from].has_error || bury(w, s, from));
	case PUMP_SOURCE_DEAD:
		session_close(w, s,
		              from == CLIENT ? CLOSE_CLIENT_RESET : CLOSE_SERVER_RESET);
		return false;
	case PUMP_DEST_DEAD:
		return bury(w, s, !from);
	case PUMP_NO_MEMORY:
		session_close(w, s, CLOSE_NO_RESOURCES);
		return false;
	case PUMP_DRAIN:
		if (s->end[from].has_error)
			return bury(w, s, from);
		bypassed_hold(w, s, from);
		return true;
	case PUMP_BEHIND:
	case PUMP_FAULT:
		assert(!"of spliced sources only");
	}
	return true;
}

static bool copy_start(struct worker *w, struct session *s)
{
	return work(w, s, CLIENT) && work(w, s, SERVER);
}

/* Move what there is to move after an event at @side. */
static bool move(struct worker *w, struct session *s, int side)
{
	/* Nothing is read after a FIN, so no read would tell of this reset. */
	if (s->end[side].has_error && s->flow[side].has_eof)
		return bury(w, s, side);
	if (s->end[side].is_readable && !work(w, s, side))
		return false;
	/* Room at @side is for what the other one sent. */
	if (s->end[side].is_writable && s->flow[!side].len > 0)
		return work(w, s, !side);
	return true;
}

static bool copy_on_event(struct worker *w, struct session *s, int side)
{
	bypassed_try(w, s);
	return move(w, s, side) &&
	       (!s->may_promote || s->n_turns < RELAY_PROMOTE_TURNS ||
	        relay_promote(w, s));
}

const struct relay copy_relay = {
	.start = copy_start,
	.on_event = copy_on_event,
	.on_ready = copy_start,
	.on_look = copy_start, /* of bypassed ones: has the reader read? */
};
