/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * limits.h - how many sessions each client address has: maxsessions_per_ip.
 *
 * Counted always, so that a limit that comes with a reload holds for those who are
 * there already. One table for all workers, in shards with a lock each; memory only
 * for addresses that have a session. Any thread.
 */
#ifndef G5X_FORWARD_LIMITS_H
#define G5X_FORWARD_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

struct limits;

/** limits_new() - NULL when out of memory */
struct limits *limits_new(void);
void limits_free(struct limits *l);

/**
 * limits_enter() - count one session of @client's IP
 * @max: 0 for no limit
 *
 * Return: 0; -EUSERS when @max are there already; -ENOMEM. Each success is undone by
 * limits_leave() with the same IP.
 */
int limits_enter(struct limits *l, const struct addr *client, uint64_t max);
void limits_leave(struct limits *l, const struct addr *client);

/* Called with a lock held: no function of this file may be called from it. */
typedef void (*limits_full_fn)(void *ctx, const struct addr *client, bool is_full);

/**
 * limits_on_full() - hear of each address that reaches @max sessions or gets below again
 * @fn:  by any thread, of one address in the right order; NULL: nobody hears any more
 * @max: 0: no address is full
 *
 * With the call come those that are full now, and those that were for the same @fn and
 * @ctx with another @max and are not with this one. When it returns nobody calls the @fn
 * before.
 */
void limits_on_full(struct limits *l, limits_full_fn fn, void *ctx, uint64_t max);

/** limits_n_addresses() - for tests that look for leaks */
size_t limits_n_addresses(struct limits *l);

#endif /* G5X_FORWARD_LIMITS_H */
