/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * rates.h - how fast new connections of one client address may come: syn_rate.
 *
 * A token bucket for each address, as GCRA (ITU-T I.371) keeps it: one time, when the
 * next connection is due. Memory is bounded: an address whose bucket is full is forgotten,
 * and when there is no place for one more it is let through. Any thread.
 */
#ifndef G5X_FORWARD_RATES_H
#define G5X_FORWARD_RATES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

#define RATES_MAX 65536 /* addresses that are remembered */

/* interval_ns 0: no rate. */
struct rate {
	uint64_t interval_ns;
	uint64_t slack_ns; /* interval x (burst - 1) */
};

/** rate_of() - @per_s connections a second (0: no rate), @burst at once (0: as @per_s) */
struct rate rate_of(unsigned int per_s, unsigned int burst);

/**
 * rate_enter() - one connection more, at @now_ns; false: too early, and not counted
 * @next_ns: kept by the caller, 0 at first; atomic
 */
bool rate_enter(const struct rate *rate, uint64_t *next_ns, uint64_t now_ns);

struct rates;

/** rates_new() - NULL when out of memory */
struct rates *rates_new(void);
void rates_free(struct rates *r);

/** rates_enter() - as rate_enter(), for the client's IP */
bool rates_enter(struct rates *r, const struct addr *client, const struct rate *rate,
                 uint64_t now_ns);

/** rates_n_addresses() - for tests of the bound */
size_t rates_n_addresses(struct rates *r);

#endif /* G5X_FORWARD_RATES_H */
