/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * measure.h - clock, CPU time of the whole machine, histogram of latencies.
 *
 * CPU time is that of the machine, because most of the work of a forwarder is done by
 * the kernel, often in the name of nobody (soft interrupts, kernel workers). So other
 * work on the machine is counted too: measure on a quiet one.
 */
#ifndef G5X_BENCH_MEASURE_H
#define G5X_BENCH_MEASURE_H

#include <json-c/json.h>
#include <stdint.h>

#define NS_PER_S 1000000000LL

int64_t now_ns(void);

/** cpu_busy_s() - seconds that all CPUs together were not idle, since boot */
int cpu_busy_s(double *ret_busy_s);

/* 64 buckets for each power of two: the error of a value is below 1.6 %. */
#define HISTOGRAM_SUB_BITS 6
#define HISTOGRAM_N ((64 - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS)

struct histogram {
	uint64_t n;
	uint64_t max_ns;
	uint64_t counts[HISTOGRAM_N];
};

void histogram_add(struct histogram *histogram, uint64_t ns);

/** histogram_get() - the value that @part (0 to 1) of all values do not exceed */
uint64_t histogram_get(const struct histogram *histogram, double part);

/** histogram_to_json() - p50, p99, p99.9, max, and [µs, count] of each filled bucket */
struct json_object *histogram_to_json(const struct histogram *histogram);

#endif /* G5X_BENCH_MEASURE_H */
