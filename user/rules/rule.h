/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * rule.h - making and sharing rules.
 *
 * A rule is filled by the parser, then sealed: from then on it never changes, and
 * configurations share it by reference. Main thread only.
 */
#ifndef G5X_RULES_RULE_H
#define G5X_RULES_RULE_H

#include <stdint.h>

struct rule;

/** rule_new() - empty, with every attribute at its default; one reference */
struct rule *rule_new(void);

struct rule *rule_ref(struct rule *rule);

/** rule_unref() - the last one frees it; NULL is fine */
void rule_unref(struct rule *rule);

/**
 * rule_seal() - everything that follows from what was parsed
 * @old: the rule of that id in the configuration in force, or NULL. The version
 *       stays the same when the definition and the servers' addresses do.
 */
void rule_seal(struct rule *rule, const struct rule *old);

/** rule_new_version() - one that no rule has had */
uint32_t rule_new_version(void);

#endif /* G5X_RULES_RULE_H */
