/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* entry.h - what the entries of sessions in both datapaths' maps have in common. */
#ifndef G5X_KERNEL_ENTRY_H
#define G5X_KERNEL_ENTRY_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "g5x_abi.h"

/** entry_set_text() - cut it if need be; what is behind is zero */
static inline void entry_set_text(char *to, size_t size, const char *from)
{
	size_t len = strnlen(from, size - 1);

	memcpy(to, from, len);
	memset(to + len, 0, size - len);
}

/* Response times that were taken from an entry. */
struct entry_responses {
	__u64 ns; /* sum */
	__u32 n;
};

/**
 * entry_take_response_us() - mean of those since the last call; -1: there was none
 * @ns, @n: the entry's, which the kernel adds to
 */
static inline int64_t entry_take_response_us(struct entry_responses *taken,
                                             const __u64 *ns, const __u32 *n)
{
	/* The sum first: it is added to last, so it never has more than are counted. */
	__u64 now_ns = __atomic_load_n(ns, __ATOMIC_ACQUIRE);
	__u32 now_n = __atomic_load_n(n, __ATOMIC_ACQUIRE);
	int64_t mean_us = -1;

	if (now_n != taken->n)
		mean_us = (int64_t)((now_ns - taken->ns) / (now_n - taken->n) / 1000);
	*taken = (struct entry_responses){ .ns = now_ns, .n = now_n };
	return mean_us;
}

#endif /* G5X_KERNEL_ENTRY_H */
