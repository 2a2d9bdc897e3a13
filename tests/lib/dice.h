/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * dice.h - numbers for tests that try many cases: the same ones in every run.
 *
 * One sequence for each struct dice, started from its seed (not 0).
 */
#ifndef G5X_TESTS_DICE_H
#define G5X_TESTS_DICE_H

#include <stdint.h>

struct dice {
	uint64_t state;
};

/** dice_roll() - 0 .. @n - 1 */
static inline uint64_t dice_roll(struct dice *d, uint64_t n)
{
	d->state ^= d->state << 13;
	d->state ^= d->state >> 7;
	d->state ^= d->state << 17;
	return d->state % n;
}

#endif /* G5X_TESTS_DICE_H */
