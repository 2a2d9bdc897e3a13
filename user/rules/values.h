/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * values.h - the kinds of values that attributes have.
 *
 * Private to attributes.c, values.c and lists.c. Each reader checks a value and stores
 * it, or reports it and stores nothing.
 */
#ifndef G5X_RULES_VALUES_H
#define G5X_RULES_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rules/attributes.h"
#include "rules/lexer.h"

/* A block of attributes being read. */
struct block {
	enum attribute_scope scope;
	void *target; /* the structure of the scope */
	struct line *line;
	struct diag_list *diags;
};

/* One row of the table. */
struct attribute {
	const char *name;
	enum attribute_scope scope;
	void (*read)(struct block *b, const struct attribute *a,
	             const struct token *value);
	/* Instead: a list, all that follows up to the next name of the scope. */
	void (*read_list)(struct block *b, const struct attribute *a,
	                  const struct token *name, const struct token *values,
	                  size_t n);
	bool has_addresses;  /* of a list: a ':' does not end it */
	size_t offset, size; /* the member it sets */
	size_t flag_offset; /* the bool that says the file names it, or VALUE_NO_FLAG */
	uint64_t min;       /* of a strict number */
	uint64_t max;       /* of a number */
	bool is_limit;      /* of a lenient number: one out of range means no limit */
	const char *const *words; /* of a choice, by value, up to NULL */
	const char *unit;         /* for messages */
};

#define VALUE_NO_FLAG SIZE_MAX

struct similar;

/** attributes_offer() - every name of the scope, for "did you mean" */
void attributes_offer(enum attribute_scope scope, struct similar *s);

static inline enum diag_code block_code(const struct block *b)
{
	return b->scope == ATTRIBUTE_SERVER ? DIAG_BAD_SERVER : DIAG_ATTRIBUTE;
}

#define block_report(b, span, expected, ...) \
	diag_add((b)->diags, DIAG_ERROR, block_code(b), span, expected, __VA_ARGS__)

/** value_read_lenient() - a number as G5's atol() takes it, with a warning */
void value_read_lenient(struct block *b, const struct attribute *a,
                        const struct token *value);

/** value_read_strict() - digits only, from the row's min to its max */
void value_read_strict(struct block *b, const struct attribute *a,
                       const struct token *value);

/** value_read_choice() - one of the row's words; stores its position */
void value_read_choice(struct block *b, const struct attribute *a,
                       const struct token *value);

/** value_read_log_target() - one of the row's words, or a path */
void value_read_log_target(struct block *b, const struct attribute *a,
                           const struct token *value);

/** list_read_guard() - interfaces and switches of struct config_guard; @n at least 1 */
void list_read_guard(struct block *b, const struct attribute *a,
                     const struct token *name, const struct token *values, size_t n);

/** list_read_networks() - of struct config's blocks */
void list_read_networks(struct block *b, const struct attribute *a,
                        const struct token *name, const struct token *values, size_t n);

#endif /* G5X_RULES_VALUES_H */
