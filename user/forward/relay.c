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
