/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * endpoint.h - where to listen, or whom to connect to: IP:PORT, [IP6]:PORT, and
 * HOST:PORT for servers.
 *
 * What G5 gets wrong silently (a name or a bad IP becomes 255.255.255.255, port
 * 99999 becomes 34463) is an error here; what it reads in a way of its own
 * (127.1, port 080) is read in the same way, with a warning.
 */
#ifndef G5X_RULES_ENDPOINT_H
#define G5X_RULES_ENDPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "rules/lexer.h"

/* What is being read, and for whom. */
struct endpoint_kind {
	const char *what; /* "server" */
	enum diag_code code;
	bool may_be_name;
};

struct endpoint {
	struct token host;
	uint16_t port;
	bool is_name;     /* of a host: addr is not set */
	struct addr addr; /* with the port */
};

/** endpoint_parse() - false when it was no endpoint, and that was reported */
bool endpoint_parse(const struct endpoint_kind *kind, const struct token *t,
                    struct diag_list *diags, struct endpoint *ret_endpoint);

/**
 * endpoint_split() - the halves of "HOST:PORT", with their places
 *
 * G5 splits at the first ':', here one inside brackets does not count.
 *
 * Return: false when there is no ':' to split at.
 */
bool endpoint_split(const struct token *t, struct token *ret_host,
                    struct token *ret_port);

#endif /* G5X_RULES_ENDPOINT_H */
