/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * ruleset.h - rules and configurations put together by hand.
 *
 * For tests of what works on a parsed rule, so that they fail for their own
 * reasons and not for the parser's. A rule is complete after each call: its
 * schedule and weights are brought up to date by every added server.
 */
#ifndef G5X_TESTS_RULESET_H
#define G5X_TESTS_RULESET_H

#include "rules/config.h"

/** ruleset_addr() - "127.0.0.1:80" or "[::1]:80"; fails the test on other text */
struct addr ruleset_addr(const char *text);

/** ruleset_rule() - a rule without clients, forwards and servers; opens its state */
struct rule *ruleset_rule(const char *id, enum rule_mode mode);
void ruleset_rule_free(struct rule *rule);

void ruleset_add_client(struct rule *rule, const char *pattern);

/** ruleset_add_forward() - a pattern when @text has a '*' or '?' */
void ruleset_add_forward(struct rule *rule, const char *text);
void ruleset_add_server(struct rule *rule, const char *text, unsigned int weight,
                        uint64_t maxconns);

/** ruleset_config() - a configuration of @n_rules rules, which it then owns */
struct config *ruleset_config(struct rule *const *rules, size_t n_rules);
void ruleset_config_free(struct config *config);

#endif /* G5X_TESTS_RULESET_H */
