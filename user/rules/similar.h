/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* similar.h - which known word was meant by a misspelt one. */
#ifndef G5X_RULES_SIMILAR_H
#define G5X_RULES_SIMILAR_H

#include <stddef.h>

struct similar {
	const char *text; /* what was written, not terminated */
	size_t len;
	const char *best; /* the nearest word offered; NULL: none is near */
	unsigned int distance;
};

/** similar_offer() - becomes best when it is near enough and nearer than the others */
void similar_offer(struct similar *s, const char *word);

#endif /* G5X_RULES_SIMILAR_H */
