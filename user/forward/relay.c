// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* relay.c - the table of datapaths. */
#include "forward/relay.h"

#include <assert.h>

#include "forward/copy.h"
#include "forward/session.h"

static const struct relay *const relays[DATAPATH_N] = {
	[DATAPATH_AUTO] = NULL, /* a wish, not a datapath */
	[DATAPATH_COPY] = &copy_relay,
};

const struct relay *relay_of(const struct session *s)
{
	assert(s->datapath < DATAPATH_N && relays[s->datapath]);
	return relays[s->datapath];
}

enum datapath relay_choose(enum datapath wanted)
{
	return wanted == DATAPATH_AUTO ? DATAPATH_COPY : wanted;
}
