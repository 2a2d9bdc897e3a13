// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* admission.c - see admission.h. */
#include "forward/admission.h"

#include "base/clock.h"
#include "base/log.h"
#include "forward/blocks.h"
#include "forward/limits.h"
#include "forward/rates.h"
#include "forward/worker.h"
#include "rules/config.h"

#define NS_PER_S UINT64_C(1000000000)

static struct log_limit blocked, over_ip, too_fast, all_too_fast;

bool admission_is_blocked(struct worker *w, const struct addr *addr)
{
	char text[ADDR_TEXT_LEN], by[NETWORK_TEXT_LEN];
	struct network network;

	if (!blocks_has(w->forward->blocks, addr, w->now_ms, &network))
		return false;
	log_limited(&blocked, LOG_LEVEL_WARNING, "client [%s] is blocked by %s",
	            addr_format(addr, text), network_format(&network, by));
	return true;
}

/*
 * With the guard on, who is counted here was counted there a moment before. But what it
 * let through one after the other can get here at once: handshakes take their time, and so
 * do workers that are busy. A second's worth more makes sure that nobody whom the guard
 * has let in is refused here.
 */
static struct rate rate_here(const struct worker *w, struct rate rate)
{
	if (rate.interval_ns > 0 &&
	    __atomic_load_n(&w->forward->is_guarded, __ATOMIC_RELAXED))
		rate.slack_ns += NS_PER_S;
	return rate;
}

/* Counts the client; one that is refused for the listener's rate has used up its own. */
static bool is_in_time(struct worker *w, const struct port *port,
                       const struct addr *addr)
{
	const struct rate source = rate_here(w, w->snapshot->source_rate);
	const struct rate listener = rate_here(w, w->snapshot->listener_rate);
	char text[ADDR_TEXT_LEN], to[ADDR_TEXT_LEN];
	uint64_t now_ns;

	if (source.interval_ns == 0 && listener.interval_ns == 0)
		return true;
	now_ns = clock_us() * 1000; /* that of the turn may be old */
	if (!rates_enter(w->forward->rates, addr, &source, now_ns)) {
		log_limited(&too_fast, LOG_LEVEL_WARNING,
		            "client [%s] connects too fast: syn_rate is %u",
		            addr_format(addr, text), w->snapshot->config->syn_rate);
		return false;
	}
	if (!rate_enter(&listener, &port->listener->next_ns, now_ns)) {
		log_limited(&all_too_fast, LOG_LEVEL_WARNING,
		            "client [%s] refused, all connect too fast to [%s]: "
		            "listener_syn_rate is %u",
		            addr_format(addr, text),
		            addr_format(&port->listener->addr, to),
		            w->snapshot->config->listener_syn_rate);
		return false;
	}
	return true;
}

bool admission_enter(struct worker *w, const struct port *port, const struct addr *addr)
{
	const uint64_t max = w->snapshot->config->maxsessions_per_ip;
	char text[ADDR_TEXT_LEN];

	if (limits_enter(w->forward->limits, addr, max) < 0) {
		log_limited(
		        &over_ip, LOG_LEVEL_WARNING,
		        "too much connections on ip[%s]: maxsessions_per_ip is %llu",
		        addr_format(addr, text), (unsigned long long)max);
		return false;
	}
	if (!is_in_time(w, port, addr)) {
		limits_leave(w->forward->limits, addr);
		return false;
	}
	return true;
}
