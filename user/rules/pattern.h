/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * pattern.h - which addresses a pattern such as 10.0.*.?:80* means.
 *
 * A pattern has an IP half and a port half. Each is a glob over the *text* of
 * the client's IP (dotted quad, or RFC 5952 without brackets) and of its decimal
 * port: '*' is any run of characters, also none and also dots; '?' is exactly
 * one. The IP half may instead be a prefix (10.0.0.0/8, [2001:db8::]/32).
 * Compiled, the usual cases (anything, one address, a prefix) compare bytes; only
 * a true glob needs the text.
 */
#ifndef G5X_RULES_PATTERN_H
#define G5X_RULES_PATTERN_H

#include <stdbool.h>

#include "base/addr.h"

enum pattern_kind { PATTERN_ANY, PATTERN_EXACT, PATTERN_PREFIX, PATTERN_GLOB };

struct pattern {
	enum pattern_kind ip_kind;   /* all four */
	enum pattern_kind port_kind; /* not PATTERN_PREFIX */
	struct addr addr;            /* EXACT, PREFIX; the port is EXACT's. GLOB: its
	                              * family is AF_INET6 for one in brackets */
	unsigned int prefix_len;     /* PREFIX, bits */
	char *ip_glob;               /* owned; GLOB */
	char *port_glob;             /* owned; GLOB */
};

/**
 * pattern_parse() - compile "IP:PORT", with wildcards
 * @text:       IP:PORT, IP/BITS:PORT, [IP6]:PORT or [IP6]/BITS:PORT; not
 *              terminated. An empty half means anything.
 * @ret_reason: on -EINVAL, a static text of what is wrong; on 0, NULL or a static
 *              text of why the port matches nobody
 *
 * Return: 0; -EINVAL; -ENOMEM. *ret_pattern is untouched on failure.
 */
int pattern_parse(const char *text, size_t len, struct pattern *ret_pattern,
                  const char **ret_reason);
void pattern_fini(struct pattern *p);

/** pattern_matches() - hot path of accept: allocates nothing */
bool pattern_matches(const struct pattern *p, const struct addr *a);

/**
 * pattern_ip_text(), pattern_matches_text() - the same in two steps, for one address
 * and many patterns: its text (without a scope) is made only once.
 * @ip_text: what pattern_ip_text() returned; not read unless ip_kind is GLOB
 */
const char *pattern_ip_text(const struct addr *a, char buf[static ADDR_IP_TEXT_LEN]);
bool pattern_matches_text(const struct pattern *p, const struct addr *a,
                          const char *ip_text);

/** pattern_glob() - does the whole of @text match @glob? Linear in text x stars. */
bool pattern_glob(const char *glob, const char *text);

#endif /* G5X_RULES_PATTERN_H */
