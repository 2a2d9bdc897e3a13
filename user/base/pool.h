/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * pool.h - buffers of one size, lent by number.
 *
 * For one thread. A session borrows a buffer only while it holds bytes that could
 * not be sent at once, so the pool is as large as the number of slow peers. What is
 * given back is kept for the next borrower up to POOL_KEPT, the rest is freed.
 */
#ifndef G5X_BASE_POOL_H
#define G5X_BASE_POOL_H

#include <stddef.h>
#include <stdint.h>

#define POOL_KEPT 16

struct pool {
	size_t buffer_size;
	char **buffers; /* owned; of number n at [n]; [0] is not used */
	uint32_t *free; /* stack of numbers that are not lent */
	uint32_t n_free, n_buffers, n_kept;
};

void pool_init(struct pool *p, size_t buffer_size);
void pool_fini(struct pool *p);

/** pool_borrow() - a number, or 0 when out of memory */
uint32_t pool_borrow(struct pool *p);

/** pool_return() - @number may be 0 */
void pool_return(struct pool *p, uint32_t number);

/** pool_buffer() - its memory; stable until it is returned */
static inline char *pool_buffer(const struct pool *p, uint32_t number)
{
	return p->buffers[number];
}

/** pool_n_lent() - for tests and for the books */
uint32_t pool_n_lent(const struct pool *p);

#endif /* G5X_BASE_POOL_H */
