/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * alloc.h - memory for building a configuration.
 *
 * Never returns NULL: a configuration is built at load and on a command, never on
 * the hot path, and a program that cannot hold its own rules has no way on.
 */
#ifndef G5X_RULES_ALLOC_H
#define G5X_RULES_ALLOC_H

#include <stdlib.h>
#include <string.h>

#include "base/log.h"

static inline void *alloc_checked(void *ptr)
{
	if (!ptr) {
		log_error("out of memory while reading rules");
		abort();
	}
	return ptr;
}

/** alloc_zeroed() - @n may be 0; the result is still a pointer to free */
static inline void *alloc_zeroed(size_t n, size_t size)
{
	return alloc_checked(calloc(n ? n : 1, size));
}

/** alloc_text() - @len bytes as a terminated string */
static inline char *alloc_text(const char *text, size_t len)
{
	char *copy = alloc_checked(malloc(len + 1));

	if (len)
		memcpy(copy, text, len);
	copy[len] = '\0';
	return copy;
}

/**
 * alloc_slot() - room for one more item in an array that holds @n
 *
 * The capacity is the next power of two, so it needs no member of its own. Only for
 * arrays that have grown by this function from the start.
 */
static inline void *alloc_slot(void *array, size_t n, size_t size)
{
	if (n & (n - 1))
		return array;
	return alloc_checked(reallocarray(array, n ? 2 * n : 1, size));
}

#endif /* G5X_RULES_ALLOC_H */
