// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* relay.c - the table of datapaths, and what they have in common. */
#include "forward/relay.h"

#include <assert.h>

#include "forward/copy.h"
#include "forward/session_close.h"
#include "forward/spliced.h"
#include "forward/worker.h"

static const struct relay *const relays[DATAPATH_N] = {
	[DATAPATH_AUTO] = NULL, /* a wish, not a datapath */
	[DATAPATH_COPY] = &copy_relay,
	[DATAPATH_SPLICE] = &spliced_relay,
};

const struct relay *relay_of(const struct session *s)
{
	assert(s->datapath < DATAPATH_N && relays[s->datapath]);
	return relays[s->datapath];
}

/* On the average; more is no question and answer. */
#define PROMOTE_TURN_BYTES 16384

/*
 * Measured (bench/README.md): with one CPU for clients, servers and us, the kernel moves
 * small messages with a tenth less work than the daemon, and is level or behind with more
 * CPUs, with streams, and with sessions that are over soon (an insertion costs as much
 * as 20 messages). So workers promote only where they have one CPU (w->promotes).
 */
static bool has_shown(const struct session *s)
{
	return s->n_turns >= RELAY_PROMOTE_TURNS &&
	       s->flow[CLIENT].n_bytes + s->flow[SERVER].n_bytes <
	               (uint64_t)s->n_turns * PROMOTE_TURN_BYTES;
}

static bool is_quiet(const struct session_end *end)
{
	return !end->is_readable && !end->has_hangup && !end->has_error &&
	       !end->is_urgent && !end->is_cut;
}

bool relay_promote(struct worker *w, struct session *s)
{
	if (s->state != SESSION_RELAYING || s->flow[CLIENT].len > 0 ||
	    s->flow[SERVER].len > 0 || !is_quiet(&s->end[CLIENT]) ||
	    !is_quiet(&s->end[SERVER]))
		return true; /* another time */
	s->may_promote = has_shown(s);
	if (!s->may_promote)
		return true; /* a stream: it stays with us */
	s->may_promote = false;
	return spliced_relay.start(w, s);
}

enum datapath relay_choose(const struct worker *w, enum datapath wanted)
{
	return wanted == DATAPATH_SPLICE && w->splice ? DATAPATH_SPLICE : DATAPATH_COPY;
}

bool relay_on_direction_ended(struct worker *w, struct session *s)
{
	if (s->flow[CLIENT].has_ended && s->flow[SERVER].has_ended) {
		session_close(w, s, CLOSE_DONE);
		return false;
	}
	if (s->state == SESSION_RELAYING) {
		session_set_state(w->table, worker_number(w, s),
		                  s->flow[CLIENT].has_ended ? SESSION_CLIENT_ENDED
		                                            : SESSION_SERVER_ENDED);
		worker_set_idle_timer(w, s);
	}
	return true;
}
