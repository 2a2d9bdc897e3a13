// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* guard_config.c - see guard_config.h. */
#include "control/guard_config.h"

#include <string.h>

#include "base/log.h"
#include "control/guard_rules.h"
#include "forward/forward.h"
#include "forward/rates.h"
#include "rules/config.h"
#include "rules/match.h"

static struct g5x_guard_settings settings_of(const struct config *config)
{
	const struct rate source = rate_of(config->syn_rate, config->burst);
	const struct rate listener = rate_of(config->listener_syn_rate,
	                                     config->listener_burst);

	return (struct g5x_guard_settings){
		.source_interval_ns = source.interval_ns,
		.source_slack_ns = source.slack_ns,
		.listener_interval_ns = listener.interval_ns,
		.listener_slack_ns = listener.slack_ns,
		.limits_sessions = config->maxsessions_per_ip > 0,
		.is_dry_run = config->guard.is_dry_run,
		.rejects = config->guard.rejects,
	};
}

/* Management ports are for those who want to see why nobody else gets through. */
static bool is_manage(const struct config *config, const struct addr *listener)
{
	for (size_t i = 0; i < config->n_rules; i++)
		if (config->rules[i]->mode == RULE_MODE_G &&
		    match_names(config->rules[i], listener))
			return true;
	return false;
}

static void add_clients(struct guard_rules *rules, const struct config *config,
                        const struct addr *listener)
{
	char text[ADDR_TEXT_LEN];
	bool is_cut = false;

	for (size_t i = 0; i < config->n_rules; i++) {
		const struct rule *rule = config->rules[i];

		if (!match_names(rule, listener))
			continue;
		for (size_t j = 0; j < rule->n_clients; j++)
			is_cut |= guard_rules_add_client(rules,
			                                 &rule->clients[j].pattern) < 0;
	}
	if (is_cut)
		log_warning("guard: more than %d clients with wildcards or ports on "
		            "%s: it lets all through, rules decide",
		            G5X_GUARD_N_PATTERNS, addr_format(listener, text));
}

/* The same link-local address may be another host's on another link. */
static bool has_scope(const struct addr *listener)
{
	return listener->sa.sa_family == AF_INET6 && listener->in6.sin6_scope_id != 0;
}

/* Then the address without its scope is a listener's on one link, perhaps only there. */
static bool is_on_a_link(struct forward *forward, const struct addr *addr)
{
	const struct addr *listener;
	int fd;

	for (size_t i = 0; (listener = forward_listener(forward, i, &fd)); i++)
		if (has_scope(listener) && addr_port(listener) == addr_port(addr) &&
		    memcmp(&listener->in6.sin6_addr, &addr->in6.sin6_addr,
		           sizeof(addr->in6.sin6_addr)) == 0)
			return true;
	return false;
}

/* @listener: a wildcard stands for what this host has of its family. */
static void add_addresses(struct guard_rules *rules, struct forward *forward,
                          const struct addr *listener, const struct addr *addresses,
                          size_t n)
{
	if (!addr_is_any(listener)) {
		guard_rules_add_address(rules, listener);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		struct addr addr = addresses[i];

		if (addr.sa.sa_family != listener->sa.sa_family)
			continue;
		addr_set_port(&addr, addr_port(listener));
		if (!is_on_a_link(forward, &addr))
			guard_rules_add_address(rules, &addr);
	}
}

static void add_listeners(struct guard_rules *rules, const struct config *config,
                          struct forward *forward, const struct addr *addresses,
                          size_t n, bool are_wildcards)
{
	const struct addr *listener;
	int fd;

	for (size_t i = 0; (listener = forward_listener(forward, i, &fd)); i++) {
		if (addr_is_any(listener) != are_wildcards || has_scope(listener))
			continue;
		guard_rules_add_listener(rules, listener, is_manage(config, listener));
		add_clients(rules, config, listener);
		add_addresses(rules, forward, listener, addresses, n);
	}
}

void guard_config_collect(struct guard_rules *rules, const struct config *config,
                          struct forward *forward, const struct addr *addresses,
                          size_t n)
{
	/* An address of its own comes before a wildcard, as in the kernel. */
	add_listeners(rules, config, forward, addresses, n, false);
	add_listeners(rules, config, forward, addresses, n, true);
	rules->settings = settings_of(config);
}
