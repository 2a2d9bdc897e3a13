/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* guard_blocks.h - tells the kernel's guard which networks are blocked. */
#ifndef G5X_CONTROL_GUARD_BLOCKS_H
#define G5X_CONTROL_GUARD_BLOCKS_H

#include <stddef.h>

struct block;
struct blocks;
struct guard;

/* Zeroed: it knows of none. */
struct guard_blocks {
	struct block *known; /* owned; sorted as blocks_get() has them */
	size_t n;
};

/**
 * guard_blocks_sync() - only what has changed since the last time
 *
 * What the kernel does not take is left to the workers, with a warning, and tried again the
 * next time.
 *
 * Return: 0; -ENOMEM: then nothing was done.
 */
int guard_blocks_sync(struct guard_blocks *b, struct guard *guard,
                      const struct blocks *blocks);

void guard_blocks_fini(struct guard_blocks *b);

#endif /* G5X_CONTROL_GUARD_BLOCKS_H */
