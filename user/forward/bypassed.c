// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* bypassed.c - see bypassed.h. */
#include "forward/bypassed.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "forward/looks.h"
#include "forward/worker.h"
#include "kernel/bypass.h"
#include "rules/balance.h"
#include "rules/config.h"
#include "rules/state.h"

/* Events of a session until its server's end has to be known. A server on another host is
 * asked for so often in vain. */
#define TRIES 4

/* Turns, of some microseconds each. */
#define SPINS 64
#define HOLD_MAX_MS 32

static struct log_limit pair_failed;

/* Of a wildcard: which of our addresses did the client take? There may be new ones. */
static void learn_listener(struct worker *w, const struct session *s)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct addr own;

	if (!addr_is_any(&s->listener_addr) ||
	    getsockname(s->end[CLIENT].fd, (struct sockaddr *)&sa, &len) < 0)
		return;
	own = addr_from_sockaddr((struct sockaddr *)&sa);
	bypass_add_listener(w->bypass, &own);
}

void bypassed_want(struct worker *w, struct session *s)
{
	if (!w->bypass)
		return;
	if (bypass_is_local(w->bypass, s->end[CLIENT].fd))
		s->bypass_tries = TRIES;
	else
		learn_listener(w, s);
}

void bypassed_expect(struct worker *w, const struct session *s, int fd)
{
	if (s->bypass_tries > 0)
		bypass_expect(w->bypass, fd); /* if it fails, no end will be known */
}

static int pair(struct worker *w, const struct session *s)
{
	char client[ADDR_TEXT_LEN], listener[ADDR_TEXT_LEN], server[ADDR_TEXT_LEN];
	const struct rule_state *rule = state_get(STATE_RULE, s->rule);
	const struct bypass_pair p = {
		.fd = { s->end[CLIENT].fd, s->end[SERVER].fd },
		.number = worker_number(w, s),
		.limit = s->splice_limit,
		.relayed = { s->flow[CLIENT].n_bytes, s->flow[SERVER].n_bytes },
		.wants_responses = s->measures_response,
		.rule = rule->state.name,
		.client = addr_format(&s->client_addr, client),
		.listener = addr_format(&s->listener_addr, listener),
		.server = addr_format(&s->server_addr, server),
	};

	return bypass_pair(w->bypass, &p);
}

void bypassed_try(struct worker *w, struct session *s)
{
	int r;

	if (s->bypass_tries == 0 || s->state != SESSION_RELAYING)
		return;
	s->bypass_tries--;
	r = pair(w, s);
	if (r == -EAGAIN)
		return;
	s->bypass_tries = 0;
	if (r < 0) {
		log_limited(&pair_failed, LOG_LEVEL_WARNING,
		            "cannot bypass a session, it is copied: %s",
		            r == -ENOSPC ? "its number is beyond the maps (see -s)"
		                         : strerrordesc_np(-r));
		return;
	}
	s->datapath = DATAPATH_BYPASS;
	s->may_promote = false;
	s->request_us = 0;
	worker_set_idle_timer(w, s);
}

/* ---- full queues ------------------------------------------------------------- */

void bypassed_hold(struct worker *w, struct session *s, int from)
{
	struct session_wait *wait = &s->drain.way[from];

	if (wait->n_queued != s->flow[from].n_bytes) {
		/* It took some since. Who was slow may be so again: less of the processor
		 * for it. */
		wait->n_queued = s->flow[from].n_bytes;
		wait->n_still = wait->wait_ms > 0 ? SPINS : 0;
		wait->wait_ms = 0;
	}
	if (wait->n_still < SPINS) {
		wait->n_still++;
		worker_make_ready(w, worker_number(w, s));
		sched_yield(); /* the reader may need this very CPU */
		return;
	}
	wait->wait_ms = wait->wait_ms == 0 ? 1 : 2 * wait->wait_ms;
	if (wait->wait_ms > HOLD_MAX_MS)
		wait->wait_ms = HOLD_MAX_MS;
	looks_later(w, s, w->now_ms + wait->wait_ms);
}

size_t bypassed_n_to_send(const struct worker *w, const struct session *s, int from,
                          size_t n)
{
	uint32_t number = worker_number(w, s), n_by_tcp;

	if (bypass_may_send(w->bypass, number, from, (uint32_t)n))
		return n;
	/* A reader that only peeks, or asks how much there is, reads when there is enough. */
	if (s->drain.way[from].wait_ms < HOLD_MAX_MS)
		return 0;
	n_by_tcp = bypass_n_by_tcp(w->bypass, number, from);
	return n < n_by_tcp ? n : n_by_tcp;
}

/* ---- the books ------------------------------------------------------------------ */

uint32_t bypassed_n_queued(const struct worker *w, const struct session *s, int to)
{
	return s->datapath == DATAPATH_BYPASS
	               ? bypass_n_queued(w->bypass, worker_number(w, s), !to)
	               : 0;
}

void bypassed_sync(struct worker *w, struct session *s)
{
	uint32_t number = worker_number(w, s);
	int64_t response_us;

	if (s->datapath != DATAPATH_BYPASS)
		return;
	for (int from = 0; from < 2; from++) {
		uint64_t last_ms = bypass_last_ms(w->bypass, number, from);

		if (last_ms > s->last_active_ms)
			s->last_active_ms = last_ms;
	}
	if (s->first_byte_us == 0)
		s->first_byte_us = bypass_first_us(w->bypass, number, SERVER);
	if (!s->measures_response)
		return;
	response_us = bypass_take_response_us(w->bypass, number);
	if (response_us >= 0)
		balance_responded(state_get(STATE_RULE, s->rule),
		                  state_get(STATE_SERVER, s->server),
		                  (uint64_t)response_us);
}

void bypassed_leave(struct worker *w, struct session *s)
{
	uint32_t number = worker_number(w, s);

	if (s->datapath != DATAPATH_BYPASS)
		return;
	looks_forget(w, s);
	bypass_unpair(w->bypass, number);
	bypassed_sync(w, s);
	for (int from = 0; from < 2; from++)
		s->flow[from].n_bytes += bypass_n_direct(w->bypass, number, from);
}
