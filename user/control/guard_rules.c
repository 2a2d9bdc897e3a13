// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * guard_rules.c - see guard_rules.h.
 *
 * A pattern of a network and any port goes to the trie, where it costs nothing to have
 * many. Others are compared one by one.
 */
#include "control/guard_rules.h"

#include <assert.h>
#include <errno.h>

#include "rules/alloc.h"
#include "rules/pattern.h"

void guard_rules_init(struct guard_rules *r)
{
	*r = (struct guard_rules){ 0 };
}

void guard_rules_fini(struct guard_rules *r)
{
	free(r->listeners);
	free(r->addresses);
	free(r->networks);
	free(r->patterns);
	guard_rules_init(r);
}

static struct g5x_guard_address address_of(const struct addr *a)
{
	return (struct g5x_guard_address){
		.ip = guard_source(a),
		.port = addr_port(a),
	};
}

static struct g5x_guarded *last_listener(const struct guard_rules *r)
{
	assert(r->n_listeners > 0);
	return &r->listeners[r->n_listeners - 1];
}

void guard_rules_add_listener(struct guard_rules *r, const struct addr *listener,
                              bool is_manage)
{
	r->listeners = alloc_slot(r->listeners, r->n_listeners, sizeof(*r->listeners));
	r->listeners[r->n_listeners] = (struct g5x_guarded){
		.listener = address_of(listener),
		.number = (__u32)r->n_listeners,
		.first_pattern = (__u32)r->n_patterns,
		.is_manage = is_manage,
	};
	r->n_listeners++;
}

void guard_rules_add_address(struct guard_rules *r, const struct addr *real)
{
	r->addresses = alloc_slot(r->addresses, r->n_addresses, sizeof(*r->addresses));
	r->addresses[r->n_addresses++] = (struct guard_address){
		.key = address_of(real),
		.value.number = last_listener(r)->number,
	};
}

/* ---- clients --------------------------------------------------------------- */

static unsigned int bits_of(const struct pattern *p)
{
	if (p->ip_kind == PATTERN_PREFIX)
		return p->prefix_len;
	return p->addr.sa.sa_family == AF_INET ? 32 : 128;
}

static void add_network(struct guard_rules *r, const struct pattern *p)
{
	r->networks = alloc_slot(r->networks, r->n_networks, sizeof(*r->networks));
	r->networks[r->n_networks++] = (struct g5x_client_key){
		.prefix_len = 8 * 2 * sizeof(__u32) + bits_of(p),
		.listener = last_listener(r)->number,
		.network = guard_source(&p->addr),
	};
	last_listener(r)->has_networks = true;
}

static void set_ip(struct g5x_client_pattern *to, const struct pattern *p)
{
	switch (p->ip_kind) {
	case PATTERN_ANY:
		to->ip_kind = G5X_PATTERN_ANY;
		return;
	case PATTERN_EXACT:
	case PATTERN_PREFIX:
		to->ip_kind = G5X_PATTERN_PREFIX;
		to->network = guard_source(&p->addr);
		to->prefix_len = bits_of(p);
		return;
	case PATTERN_GLOB:
		to->ip_kind = G5X_PATTERN_GLOB;
		if (p->addr.sa.sa_family == AF_INET6)
			to->network.family = 6;
		guard_glob(&to->ip, p->ip_glob);
		return;
	}
}

static void set_port(struct g5x_client_pattern *to, const struct pattern *p)
{
	if (p->port_kind == PATTERN_ANY) {
		to->port_kind = G5X_PATTERN_ANY;
	} else if (p->port_kind == PATTERN_EXACT) {
		to->port_kind = G5X_PATTERN_EXACT;
		to->port = ntohs(p->addr.in4.sin_port); /* its family may be none */
	} else {
		to->port_kind = G5X_PATTERN_GLOB;
		guard_glob(&to->port_text, p->port_glob);
	}
}

static int add_pattern(struct guard_rules *r, const struct pattern *p)
{
	struct g5x_guarded *listener = last_listener(r);
	struct g5x_client_pattern *to;

	if (listener->n_patterns == G5X_GUARD_N_PATTERNS) {
		listener->takes_all = true;
		return -E2BIG;
	}
	r->patterns = alloc_slot(r->patterns, r->n_patterns, sizeof(*r->patterns));
	to = &r->patterns[r->n_patterns++];
	*to = (struct g5x_client_pattern){ 0 };
	set_ip(to, p);
	set_port(to, p);
	listener->n_patterns++;
	return 0;
}

int guard_rules_add_client(struct guard_rules *r, const struct pattern *p)
{
	if (p->port_kind != PATTERN_ANY || p->ip_kind == PATTERN_GLOB)
		return add_pattern(r, p);
	if (p->ip_kind == PATTERN_ANY)
		last_listener(r)->takes_all = true;
	else
		add_network(r, p);
	return 0;
}

struct guard_set guard_rules_set(struct guard_rules *r)
{
	/* Listeners were not complete when their addresses were added. */
	for (size_t i = 0; i < r->n_addresses; i++)
		r->addresses[i].value = r->listeners[r->addresses[i].value.number];
	return (struct guard_set){
		.settings = r->settings,
		.addresses = r->addresses,
		.n_addresses = r->n_addresses,
		.networks = r->networks,
		.n_networks = r->n_networks,
		.patterns = r->patterns,
		.n_patterns = r->n_patterns,
	};
}
