/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* listener.h - listening sockets, one for each worker on the same address. */
#ifndef G5X_FORWARD_LISTENER_H
#define G5X_FORWARD_LISTENER_H

#include <stdbool.h>

#include "base/addr.h"

struct forward;
struct listener;

/**
 * listener_open() - bind and listen, once for each worker
 * @overlaps: another of our own listeners has the same port with a wildcard
 *            address (or the other way round)
 *
 * SO_REUSEPORT lets the workers share the address; that it would also let a second
 * daemon in by mistake is prevented: the first socket is bound without it (but where
 * @overlaps, which the kernel would refuse as well).
 * Clients queue from here on, though nobody accepts yet.
 *
 * Return: 0, or -errno (EADDRINUSE: somebody else has it).
 */
int listener_open(struct forward *f, const struct addr *addr, bool overlaps,
                  struct listener **ret_listener);

/** listener_free() - closes what is still open */
void listener_free(struct listener *l, unsigned int n_workers);

#endif /* G5X_FORWARD_LISTENER_H */
