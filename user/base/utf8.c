// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* utf8.c - see utf8.h. Valid is what RFC 3629 says: no surrogates, nothing overlong. */
#include "base/utf8.h"

#include <stddef.h>
#include <stdint.h>

/* By the number of bytes: the smallest code point that needs so many. */
static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };

static size_t n_bytes_announced(unsigned char first)
{
	if (first < 0x80)
		return 1;
	if ((first & 0xe0) == 0xc0)
		return 2;
	if ((first & 0xf0) == 0xe0)
		return 3;
	return (first & 0xf8) == 0xf0 ? 4 : 0;
}

/* Bytes of the sequence at @s, or 0 if there is none. */
static size_t sequence_len(const unsigned char *s)
{
	size_t n = n_bytes_announced(s[0]);
	uint32_t c = n > 1 ? s[0] & (0x7fU >> n) : s[0];

	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (n > 0 && (c < smallest[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)))
		return 0;
	return n;
}

void utf8_clean(char *text)
{
	while (*text) {
		size_t n = sequence_len((unsigned char *)text);

		if (n == 0)
			*text = '?';
		text += n > 0 ? n : 1;
	}
}
