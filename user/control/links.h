/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* links.h - the interfaces and addresses of this host, and word when they change. */
#ifndef G5X_CONTROL_LINKS_H
#define G5X_CONTROL_LINKS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/addr.h"
#include "base/loop.h"

/* Zeroed but for source.fd -1: closed. */
struct links {
	struct source source;
	struct loop *loop; /* borrowed */
	void (*on_change)(void *ctx);
	void *ctx;
};

/**
 * links_watch() - call @on_change whenever an interface or an address comes or goes
 *
 * Several changes may be one call.
 *
 * Return: 0 or -errno.
 */
int links_watch(struct links *l, struct loop *loop, void (*on_change)(void *ctx),
                void *ctx);

/** links_close() - once more does nothing */
void links_close(struct links *l);

/**
 * links_is_above() - does what comes by interface @lower go on to @upper?
 *
 * Such as a bridge or a bond above its ports, a VLAN above its device. Both are indexes.
 */
bool links_is_above(unsigned int upper, unsigned int lower);

/** links_addresses() - all addresses, port 0, without scope; *ret_addrs is the caller's */
int links_addresses(struct addr **ret_addrs, size_t *ret_n);

#endif /* G5X_CONTROL_LINKS_H */
