// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* names.c - a set of texts, on the balanced tree of the C library. */
#include "rules/names.h"

#include <search.h>
#include <string.h>

#include "rules/alloc.h"

static int compare(const void *left, const void *right)
{
	const struct name *a = left, *b = right;

	if (a->len != b->len)
		return a->len < b->len ? -1 : 1;
	return a->len ? memcmp(a->text, b->text, a->len) : 0;
}

struct name *names_find(const struct names *names, const char *text, size_t len)
{
	struct name key = { .text = text, .len = len };
	struct name **found = tfind(&key, &names->root, compare);

	return found ? *found : NULL;
}

struct name *names_add(struct names *names, const char *text, size_t len)
{
	struct name *name = names_find(names, text, len);

	if (name)
		return name;
	name = alloc_zeroed(1, sizeof(*name));
	*name = (struct name){ .text = text, .len = len };
	alloc_checked(tsearch(name, &names->root, compare));
	return name;
}

void names_fini(struct names *names)
{
	tdestroy(names->root, free);
	names->root = NULL;
}
