// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * similar.c - Levenshtein's distance: letters to insert, delete or replace until
 * two words are equal. Small and capital letters count as equal.
 */
#include "rules/similar.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#define WORD_MAX 32 /* longer than any word of the rule language */

static unsigned int min3(unsigned int a, unsigned int b, unsigned int c)
{
	unsigned int ab = a < b ? a : b;

	return ab < c ? ab : c;
}

static bool is_same(char a, char b)
{
	return tolower((unsigned char)a) == tolower((unsigned char)b);
}

static unsigned int distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	unsigned int row[WORD_MAX + 1];

	for (size_t j = 0; j <= b_len; j++)
		row[j] = (unsigned int)j;
	for (size_t i = 1; i <= a_len; i++) {
		unsigned int diagonal = row[0];

		row[0] = (unsigned int)i;
		for (size_t j = 1; j <= b_len; j++) {
			unsigned int above = row[j];

			row[j] = min3(above + 1, row[j - 1] + 1,
			              diagonal + !is_same(a[i - 1], b[j - 1]));
			diagonal = above;
		}
	}
	return row[b_len];
}

void similar_offer(struct similar *s, const char *word)
{
	size_t len = strlen(word);
	unsigned int d, limit = (unsigned int)(len < 4 ? 1 : len < 10 ? 2 : 3);

	if (s->len > WORD_MAX || len > WORD_MAX)
		return;
	d = distance(s->text, s->len, word, len);
	if (d > limit || (s->best && d >= s->distance))
		return;
	s->best = word;
	s->distance = d;
}
