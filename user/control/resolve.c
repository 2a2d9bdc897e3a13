// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* resolve.c - see resolve.h. */
#include "control/resolve.h"

#include <errno.h>
#include <netdb.h>

#include "rules/config.h"

/* A rule has one address for each server, with none to go on to should it be the
 * wrong family: IPv4 is what a rule of G5's means. */
static const struct addrinfo *choose(const struct addrinfo *found)
{
	for (const struct addrinfo *a = found; a; a = a->ai_next)
		if (a->ai_family == AF_INET)
			return a;
	return found;
}

static int resolve(void *ctx, const char *host, uint16_t port, struct addr *ret_addr,
                   const char **ret_reason)
{
	const struct addrinfo hints = {
		.ai_family = AF_UNSPEC,
		.ai_socktype = SOCK_STREAM,
		.ai_flags = AI_ADDRCONFIG,
	};
	struct addrinfo *found;
	int r;

	(void)ctx;
	r = getaddrinfo(host, NULL, &hints, &found);
	if (r != 0) {
		*ret_reason = gai_strerror(r);
		return r == EAI_AGAIN ? -EAGAIN : -ENOENT;
	}
	*ret_addr = addr_from_sockaddr(choose(found)->ai_addr);
	addr_set_port(ret_addr, port);
	freeaddrinfo(found);
	return 0;
}

const struct config_resolver resolve_with_libc = { .resolve = resolve };
