/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * samerules.h - are two configurations the same?
 *
 * Compared is what a rule file says, member by member and without the help of
 * format.c, which is itself tested with this. Versions and references may differ.
 */
#ifndef G5X_TESTS_SAMERULES_H
#define G5X_TESTS_SAMERULES_H

#include <stdbool.h>
#include <string.h>

#include "rules/config.h"

static inline bool same_text(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static inline bool same_pattern(const struct pattern *a, const struct pattern *b)
{
	return a->ip_kind == b->ip_kind && a->port_kind == b->port_kind &&
	       memcmp(&a->addr, &b->addr, sizeof(a->addr)) == 0 &&
	       a->prefix_len == b->prefix_len && same_text(a->ip_glob, b->ip_glob) &&
	       same_text(a->port_glob, b->port_glob);
}

static inline bool same_client(const struct rule_client *a, const struct rule_client *b)
{
	return same_text(a->text, b->text) && same_pattern(&a->pattern, &b->pattern) &&
	       a->maxclients == b->maxclients && a->state == b->state;
}

static inline bool same_forward(const struct rule_forward *a,
                                const struct rule_forward *b)
{
	return same_text(a->text, b->text) && a->is_pattern == b->is_pattern &&
	       memcmp(&a->addr, &b->addr, sizeof(a->addr)) == 0 &&
	       same_pattern(&a->pattern, &b->pattern);
}

static inline bool same_server(const struct rule_server *a, const struct rule_server *b)
{
	return same_text(a->text, b->text) && addr_equal(&a->addr, &b->addr) &&
	       a->weight == b->weight && a->maxconns == b->maxconns &&
	       a->state == b->state;
}

static inline bool same_attributes(const struct rule *a, const struct rule *b)
{
	return a->timeout_s == b->timeout_s &&
	       a->connect_timeout_s == b->connect_timeout_s &&
	       a->fin_timeout_s == b->fin_timeout_s &&
	       a->moratorium_s == b->moratorium_s && a->datapath == b->datapath &&
	       a->splice_limit == b->splice_limit;
}

static inline bool same_schedule(const struct rule *a, const struct rule *b)
{
	return a->weight_sum == b->weight_sum && a->n_schedule == b->n_schedule &&
	       (!a->n_schedule || memcmp(a->schedule, b->schedule,
	                                 a->n_schedule * sizeof(*a->schedule)) == 0);
}

static inline bool same_rule(const struct rule *a, const struct rule *b)
{
	bool is_same = same_text(a->id, b->id) && a->mode == b->mode &&
	               same_attributes(a, b) && same_schedule(a, b) &&
	               a->n_clients == b->n_clients && a->n_forwards == b->n_forwards &&
	               a->n_servers == b->n_servers && a->state == b->state;

	for (size_t i = 0; is_same && i < a->n_clients; i++)
		is_same = same_client(&a->clients[i], &b->clients[i]);
	for (size_t i = 0; is_same && i < a->n_forwards; i++)
		is_same = same_forward(&a->forwards[i], &b->forwards[i]);
	for (size_t i = 0; is_same && i < a->n_servers; i++)
		is_same = same_server(&a->servers[i], &b->servers[i]);
	return is_same;
}

static inline bool same_guard(const struct config_guard *a,
                              const struct config_guard *b)
{
	bool is_same = a->n_interfaces == b->n_interfaces &&
	               a->is_dry_run == b->is_dry_run && a->rejects == b->rejects;

	for (size_t i = 0; is_same && i < a->n_interfaces; i++)
		is_same = same_text(a->interfaces[i], b->interfaces[i]);
	return is_same;
}

static inline bool same_blocks(const struct config *a, const struct config *b)
{
	bool is_same = a->n_blocks == b->n_blocks;

	for (size_t i = 0; is_same && i < a->n_blocks; i++)
		is_same = addr_equal(&a->blocks[i].ip, &b->blocks[i].ip) &&
		          a->blocks[i].bits == b->blocks[i].bits;
	return is_same;
}

static inline bool same_rates(const struct config *a, const struct config *b)
{
	return a->syn_rate == b->syn_rate && a->burst == b->burst &&
	       a->listener_syn_rate == b->listener_syn_rate &&
	       a->listener_burst == b->listener_burst;
}

static inline bool same_global(const struct config *a, const struct config *b)
{
	return a->maxsessions_per_ip == b->maxsessions_per_ip &&
	       a->workers == b->workers && same_text(a->log_target, b->log_target) &&
	       a->log_format == b->log_format && a->grace_s == b->grace_s &&
	       a->has_workers == b->has_workers && a->has_log == b->has_log &&
	       a->has_log_format == b->has_log_format && a->has_grace == b->has_grace &&
	       a->may_bypass == b->may_bypass && same_guard(&a->guard, &b->guard) &&
	       same_blocks(a, b) && same_rates(a, b);
}

static inline bool same_config(const struct config *a, const struct config *b)
{
	bool is_same = same_global(a, b) && a->n_rules == b->n_rules &&
	               a->n_lines == b->n_lines;

	for (size_t i = 0; is_same && i < a->n_rules; i++)
		is_same = same_rule(a->rules[i], b->rules[i]);
	for (size_t i = 0; is_same && i < a->n_lines; i++)
		is_same = same_text(a->lines[i].comment, b->lines[i].comment) &&
		          !a->lines[i].rule == !b->lines[i].rule;
	return is_same;
}

#endif /* G5X_TESTS_SAMERULES_H */
