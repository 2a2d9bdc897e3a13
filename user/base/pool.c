// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * pool.c - see pool.h.
 *
 * I1: the top n_kept numbers of the free stack have memory, those below have none: so
 *     what is kept is lent first.
 */
#include "base/pool.h"

#include <assert.h>
#include <stdlib.h>

void pool_init(struct pool *p, size_t buffer_size)
{
	*p = (struct pool){ .buffer_size = buffer_size };
}

void pool_fini(struct pool *p)
{
	for (uint32_t i = 1; i <= p->n_buffers; i++)
		free(p->buffers[i]);
	free(p->buffers);
	free(p->free);
	*p = (struct pool){ 0 };
}

static int grow(struct pool *p)
{
	uint32_t n = p->n_buffers ? 2 * p->n_buffers : 16;
	char **buffers = reallocarray(p->buffers, (size_t)n + 1, sizeof(*buffers));
	uint32_t *numbers;

	if (!buffers)
		return -1;
	p->buffers = buffers;
	numbers = reallocarray(p->free, n, sizeof(*numbers));
	if (!numbers)
		return -1;
	p->free = numbers;
	while (p->n_buffers < n) {
		p->buffers[++p->n_buffers] = NULL;
		p->free[p->n_free++] = p->n_buffers;
	}
	return 0;
}

uint32_t pool_borrow(struct pool *p)
{
	uint32_t number;

	if (p->n_free == 0 && grow(p) < 0)
		return 0;
	number = p->free[p->n_free - 1];
	if (!p->buffers[number]) {
		p->buffers[number] = malloc(p->buffer_size);
		if (!p->buffers[number])
			return 0;
	} else {
		p->n_kept--;
	}
	p->n_free--;
	return number;
}

void pool_return(struct pool *p, uint32_t number)
{
	if (number == 0)
		return;
	assert(number <= p->n_buffers && p->n_free < p->n_buffers);
	if (p->n_kept < POOL_KEPT) {
		p->n_kept++;
		p->free[p->n_free++] = number;
		return;
	}
	free(p->buffers[number]);
	p->buffers[number] = NULL;
	p->free[p->n_free] = p->free[p->n_free - p->n_kept]; /* I1 */
	p->free[p->n_free - p->n_kept] = number;
	p->n_free++;
}

uint32_t pool_n_lent(const struct pool *p)
{
	return p->n_buffers - p->n_free;
}
