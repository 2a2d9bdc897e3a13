/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* network.h - an address prefix such as 10.0.0.0/8, as blocks name it. */
#ifndef G5X_RULES_NETWORK_H
#define G5X_RULES_NETWORK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/addr.h"

#define NETWORK_TEXT_LEN (ADDR_IP_TEXT_LEN + 4) /* "/128" */

struct network {
	struct addr ip; /* port 0, no scope; bits after the prefix are zero */
	unsigned int bits;
};

/**
 * network_parse() - IP, IP/BITS, IP6, IP6/BITS, and IPv6 in brackets as well
 * @text: not terminated
 * @ret_reason: on -EINVAL, a static text of what is wrong (also: bits after the prefix)
 *
 * Return: 0 or -EINVAL.
 */
int network_parse(const char *text, size_t len, struct network *ret_network,
                  const char **ret_reason);

/**
 * network_suggest() - what would be right where network_parse() failed
 *
 * The network without the bits after its prefix, if that was all; else the form.
 * Return: @buf.
 */
const char *network_suggest(const char *text, size_t len,
                            char buf[static NETWORK_TEXT_LEN]);

/** network_has() - of its family and within */
bool network_has(const struct network *network, const struct addr *a);

/** network_covers() - is all of @inner in @outer? A network covers itself. */
bool network_covers(const struct network *outer, const struct network *inner);

/** network_of() - that has this address only */
struct network network_of(const struct addr *a);

/** network_compare() - by family, address, bits: who covers comes before who is covered */
int network_compare(const struct network *a, const struct network *b);

/** network_format() - "10.0.0.0/8", always with its bits; returns @buf */
const char *network_format(const struct network *network,
                           char buf[static NETWORK_TEXT_LEN]);

#endif /* G5X_RULES_NETWORK_H */
