/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * names.h - a set of texts, each with a number and a pointer of its finder's.
 *
 * For questions such as "was this id used before, and where". The texts are not
 * copied: they must outlive the set.
 */
#ifndef G5X_RULES_NAMES_H
#define G5X_RULES_NAMES_H

#include <stdbool.h>
#include <stddef.h>

struct name {
	const char *text;
	size_t len;
	unsigned int number; /* 0 in a new one */
	void *ptr;           /* NULL in a new one */
};

struct names {
	void *root;
};

/** names_add() - the entry of that text, made if there is none */
struct name *names_add(struct names *names, const char *text, size_t len);

/** names_find() - NULL when there is none */
struct name *names_find(const struct names *names, const char *text, size_t len);

void names_fini(struct names *names);

#endif /* G5X_RULES_NAMES_H */
