// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* guard_glob.c - globs of patterns as bpf/guard_client.bpf.h takes steps in them. */
#include "kernel/guard.h"

#include <string.h>

#define LAST_PLACE (1ULL << 63)

/* Return: the character's number, or -1: no text of an address or port has it. */
static int number_of(char c)
{
	static const char alphabet[] = "0123456789abcdef.:";
	const char *at = strchr(alphabet, c);

	_Static_assert(sizeof(alphabet) - 1 == G5X_GLOB_N_CHARACTERS,
	               "each character has its number");
	return at ? (int)(at - alphabet) : -1;
}

void guard_glob(struct g5x_glob *to, const char *glob)
{
	uint64_t place = 1;

	*to = (struct g5x_glob){ 0 };
	for (; *glob; glob++) {
		if (*glob == '*') {
			to->stays |= place;
			continue;
		}
		/* Such texts are shorter. */
		if (place == LAST_PLACE || (*glob != '?' && number_of(*glob) < 0))
			return;
		for (int i = 0; i < G5X_GLOB_N_CHARACTERS; i++)
			if (*glob == '?' || number_of(*glob) == i)
				to->takes[i] |= place;
		place <<= 1;
	}
	to->end = place;
}
