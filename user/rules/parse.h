/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * parse.h - one line of a rule file as a rule.
 *
 *     ID MODE [( ... )] CLIENT [( ... )] ... - FORWARD ... > SERVER [( ... )] ... ;
 */
#ifndef G5X_RULES_PARSE_H
#define G5X_RULES_PARSE_H

#include <stdbool.h>

#include "rules/lexer.h"

struct config;
struct config_resolver;
struct diag_list;
struct names;
struct rule;

struct parse_env {
	const struct config *old; /* may be NULL; see config_parse() */
	const struct config_resolver *resolver;
	struct diag_list *diags;
	struct names *ids; /* those of the file so far, with their lines; or NULL */
};

/**
 * parse_rule() - a rule line, from its id on
 * @ret_is_open: always set: the line ended before its ';', so the next one may be
 *               meant as its continuation
 *
 * Return: the rule, not sealed; NULL when the line had errors, which were reported.
 */
struct rule *parse_rule(const struct parse_env *env, struct line *line,
                        bool *ret_is_open);

/** parse_is_continuation() - the rest of a rule that was split, not one of its own */
bool parse_is_continuation(const struct line *line);

/** parse_warn_of_rest() - what follows the end of a rule or block is not read */
void parse_warn_of_rest(struct line *line, const char *end, struct diag_list *diags);

#endif /* G5X_RULES_PARSE_H */
