/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * attributes.h - blocks of "( NAME VALUE NAME VALUE ... )".
 *
 * One table in attributes.c has every attribute of the language; where it may
 * stand is its scope.
 */
#ifndef G5X_RULES_ATTRIBUTES_H
#define G5X_RULES_ATTRIBUTES_H

#include <stdbool.h>

#include "rules/diag.h"

struct line;
struct token;

enum attribute_scope {
	ATTRIBUTE_GLOBAL, /* of struct config */
	ATTRIBUTE_RULE,   /* of struct rule */
	ATTRIBUTE_CLIENT, /* of struct rule_client */
	ATTRIBUTE_SERVER, /* of struct rule_server */

	ATTRIBUTE_SCOPE_N
};

/**
 * attributes_parse() - one block into the members of @target
 * @target: the structure of @scope
 * @line:   its '(' was just read; afterwards, what follows the ')'
 *
 * Pairs that are wrong are reported and leave @target as it was.
 *
 * Return: was there a ')'? If not, that was reported.
 */
bool attributes_parse(enum attribute_scope scope, void *target, struct line *line,
                      struct diag_list *diags);

/** attributes_skip() - to behind the ')', or to where the block surely has ended */
void attributes_skip(struct line *line);

#endif /* G5X_RULES_ATTRIBUTES_H */
