/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * match.h - which rule is this client's?
 *
 * Compiled once per listener when a configuration is published: only rules that
 * name this listener are in its table, in file order, and the first that fits
 * wins. The cost of a client does not depend on other listeners' rules.
 */
#ifndef G5X_RULES_MATCH_H
#define G5X_RULES_MATCH_H

#include <stdbool.h>

#include "base/addr.h"

struct config;
struct rule;
struct rule_client;
struct match;

/** match_names() - is this one of the listeners that the rule is for? */
bool match_names(const struct rule *rule, const struct addr *listener);

/**
 * match_compile() - the table for one listener
 * @listener: its address, as configured (a wildcard stays a wildcard)
 *
 * Return: owned by the caller; refers to @config, which must outlive it. Never NULL.
 */
struct match *match_compile(const struct config *config, const struct addr *listener);

/**
 * match_find() - hot path of accept; any thread
 *
 * Return: false when nobody wants this client; ret_* are untouched then.
 */
bool match_find(const struct match *m, const struct addr *client,
                const struct rule **ret_rule, const struct rule_client **ret_client);

void match_free(struct match *m);

#endif /* G5X_RULES_MATCH_H */
