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
	[DATAPATH_BYPASS] = &copy_relay, /* of what goes the long way */
};

const struct relay *relay_of(const struct session *s)
{
	assert(s->datapath < DATAPATH_N && relays[s->datapath]);
	return relays[s->datapath];
}

/* On the average; more is no question and answer. */
#define PROMOTE_TURN_BYTES 16384

/* That relay, for each worker. Counted over all, though one may have more of them than
 * another: some sessions spliced and some copied is the worst of both. */
#define PROMOTE_SESSIONS 4

/*
 * Measured (bench/README.md): while few sessions are busy, each message costs the daemon a
 * wake-up of its own, and the kernel is as fast or faster. With many, one wake-up serves
 * several and the daemon is; so it is with streams. Sessions that are over soon do not
 * pay for an insertion, which costs as much as 20 messages.
 */
static bool has_shown(const struct worker *w, const struct session *s)
{
	uint32_t n_relaying = session_count(w->table, SESSION_RELAYING);

	return n_relaying <= PROMOTE_SESSIONS * w->table->n_workers &&
	       s->flow[CLIENT].n_bytes + s->flow[SERVER].n_bytes <
	               s->n_turns_all * (uint64_t)PROMOTE_TURN_BYTES;
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
	s->n_turns_all += s->n_turns;
	s->n_turns = 0;
	if (!has_shown(w, s))
		return true; /* we look again after as many turns */
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
