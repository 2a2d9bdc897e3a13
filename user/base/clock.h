/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* clock.h - monotonic time in the units this program counts in. */
#ifndef G5X_BASE_CLOCK_H
#define G5X_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static inline uint64_t clock_ms(void)
{
	return clock_us() / 1000;
}

#endif /* G5X_BASE_CLOCK_H */
