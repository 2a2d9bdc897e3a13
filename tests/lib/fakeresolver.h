/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * fakeresolver.h - a resolver without a network.
 *
 * A name that ends in ".test" is 127.0.0.N, N being the number of its characters;
 * "six.example" is ::6. Nothing else resolves, and nothing while is_down is set.
 */
#ifndef G5X_TESTS_FAKERESOLVER_H
#define G5X_TESTS_FAKERESOLVER_H

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "rules/config.h"

struct fake_resolver {
	bool is_down;
	unsigned int n_calls;
};

static inline int fake_resolve(void *ctx, const char *host, uint16_t port,
                               struct addr *ret_addr, const char **ret_reason)
{
	struct fake_resolver *fake = ctx;
	size_t len = strlen(host);
	char text[32];

	fake->n_calls++;
	if (!fake->is_down && strcmp(host, "six.example") == 0)
		snprintf(text, sizeof(text), "::6");
	else if (!fake->is_down && len > 5 && len < 255 &&
	         strcmp(host + len - 5, ".test") == 0)
		snprintf(text, sizeof(text), "127.0.0.%zu", len);
	else {
		*ret_reason = "Name or service not known";
		return -ENOENT;
	}
	addr_parse_ip(text, ret_addr);
	addr_set_port(ret_addr, port);
	return 0;
}

#endif /* G5X_TESTS_FAKERESOLVER_H */
