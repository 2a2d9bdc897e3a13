/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * ilist.h - doubly linked list of numbered objects.
 *
 * Links are indexes, not pointers: the objects may lie in memory that another
 * process maps elsewhere. The list knows where the array is and where in an object
 * its link sits. Index 0 means "none", so objects are numbered from 1.
 *
 * I1: an object is linked exactly when its link's prev is not 0 (the first one's
 *     prev is its own index).
 */
#ifndef G5X_BASE_ILIST_H
#define G5X_BASE_ILIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ilink {
	uint32_t next, prev;
};

/* Where the links are: link of object i is at base + i * stride. */
struct iarray {
	char *base;
	size_t stride;
};

struct ilist {
	uint32_t first, last;
};

static inline struct ilink *ilink_at(struct iarray a, uint32_t index)
{
	return (struct ilink *)(void *)(a.base + (size_t)index * a.stride);
}

static inline bool ilist_is_linked(struct iarray a, uint32_t index)
{
	return ilink_at(a, index)->prev != 0;
}

static inline void ilist_append(struct ilist *l, struct iarray a, uint32_t index)
{
	struct ilink *link = ilink_at(a, index);

	link->next = 0;
	link->prev = l->last ? l->last : index; /* I1 */
	if (l->last)
		ilink_at(a, l->last)->next = index;
	else
		l->first = index;
	l->last = index;
}

static inline void ilist_remove(struct ilist *l, struct iarray a, uint32_t index)
{
	struct ilink *link = ilink_at(a, index);
	bool is_first = link->prev == index;

	if (link->next)
		ilink_at(a, link->next)->prev = is_first ? link->next : link->prev;
	else
		l->last = is_first ? 0 : link->prev;
	if (is_first)
		l->first = link->next;
	else
		ilink_at(a, link->prev)->next = link->next;
	link->next = link->prev = 0;
}

#endif /* G5X_BASE_ILIST_H */
