/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * wheel.h - timers for many numbered objects, all operations O(1).
 *
 * One wheel of 1024 slots, 64 ms each. An object has one timer. Timers further
 * away than one turn (65 s) wait in the slot they would hit and are put back when
 * it comes round too early: one look each 65 s. A timer never fires early, and at
 * most one slot late, if the wheel is run when wheel_wait_ms() says.
 */
#ifndef G5X_BASE_WHEEL_H
#define G5X_BASE_WHEEL_H

#include <stdint.h>

#include "base/ilist.h"

#define WHEEL_SLOTS 1024
#define WHEEL_SLOT_MS 64

/* Part of each object. */
struct wheel_timer {
	struct ilink link;
	uint64_t due_ms;
	uint32_t slot; /* where it is linked */
};

struct wheel {
	struct iarray timers; /* of struct wheel_timer */
	uint64_t tick;        /* slots before this one are done */
	/* The last one holds the timers of the slot that is being run: what a
	 * callback sets or puts back is in another, so a run always ends. */
	struct ilist slots[WHEEL_SLOTS + 1];
	uint64_t used[WHEEL_SLOTS / 64]; /* a bit for each slot that is not empty */
};

typedef void (*wheel_fn)(void *ctx, uint32_t index);

/**
 * wheel_init() - @timers: an array of objects, pointing at the timer in object 0
 *
 * Timers must start zeroed. Times are clock_ms() or any that only grow.
 */
void wheel_init(struct wheel *w, struct iarray timers, uint64_t now_ms);

/** wheel_set() - (re)arm */
void wheel_set(struct wheel *w, uint32_t index, uint64_t due_ms);

/** wheel_clear() - disarm; nothing if it is not armed */
void wheel_clear(struct wheel *w, uint32_t index);

/** wheel_run() - call @fn for each timer that is due; it may set and clear any */
void wheel_run(struct wheel *w, uint64_t now_ms, wheel_fn fn, void *ctx);

/** wheel_wait_ms() - how long nothing can be due; -1 when no timer is armed */
int wheel_wait_ms(const struct wheel *w, uint64_t now_ms);

#endif /* G5X_BASE_WHEEL_H */
