/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * parts.h - the addresses of a rule: one token becomes one client, forward or server.
 *
 * Each function adds to the rule, or reports and adds nothing.
 */
#ifndef G5X_RULES_PARTS_H
#define G5X_RULES_PARTS_H

#include "rules/lexer.h"
#include "rules/names.h"

struct parse_env;
struct rule;

/* The rule being filled, and which addresses it has already. */
struct parts {
	const struct parse_env *env;
	struct rule *rule;
	struct names clients, forwards;
};

void parts_add_client(struct parts *p, const struct token *t);

/** parts_add_forward() - the first one must be an address, later ones may be patterns */
void parts_add_forward(struct parts *p, const struct token *t, bool is_first);

/** parts_add_server() - looks host names up */
void parts_add_server(struct parts *p, const struct token *t);

void parts_fini(struct parts *p);

#endif /* G5X_RULES_PARTS_H */
