/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* sections.h - what stands behind the mode of a rule. */
#ifndef G5X_RULES_SECTIONS_H
#define G5X_RULES_SECTIONS_H

#include <stdbool.h>

struct line;
struct parse_env;
struct rule;

/**
 * sections_parse() - clients, forwards, servers and their attributes into @rule
 * @has_mode: the rule's mode is known; else nothing that depends on it is reported
 *
 * Return: whether the ';' was there.
 */
bool sections_parse(const struct parse_env *env, struct line *line, struct rule *rule,
                    bool has_mode);

#endif /* G5X_RULES_SECTIONS_H */
