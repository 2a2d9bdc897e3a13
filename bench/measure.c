// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* measure.c - clock, CPU time of the whole machine, histogram of latencies. */
#include "measure.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define SUB_N (1u << HISTOGRAM_SUB_BITS)

int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

int cpu_busy_s(double *ret_busy_s)
{
	unsigned long long user, nice, kernel, idle, iowait, irq, softirq;
	FILE *file = fopen("/proc/stat", "re");
	int n;

	if (!file)
		return -errno;
	n = fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu", &user, &nice,
	           &kernel, &idle, &iowait, &irq, &softirq);
	fclose(file);
	if (n != 7)
		return -EBADMSG;

	*ret_busy_s = (double)(user + nice + kernel + irq + softirq) /
	              (double)sysconf(_SC_CLK_TCK);
	return 0;
}

/* Values below SUB_N have a bucket each; above, the top bits choose it. */
static unsigned int bucket_of(uint64_t ns)
{
	unsigned int shift;

	if (ns < SUB_N)
		return (unsigned int)ns;
	shift = 63u - (unsigned int)__builtin_clzll(ns) - HISTOGRAM_SUB_BITS;
	return ((shift + 1) << HISTOGRAM_SUB_BITS) +
	       (unsigned int)((ns >> shift) - SUB_N);
}

static uint64_t middle_of(unsigned int bucket)
{
	const unsigned int row = bucket >> HISTOGRAM_SUB_BITS;
	const uint64_t sub = bucket & (SUB_N - 1);

	if (row == 0)
		return sub;
	return ((SUB_N + sub) << (row - 1)) + (1ull << (row - 1)) / 2;
}

void histogram_add(struct histogram *histogram, uint64_t ns)
{
	histogram->n++;
	histogram->counts[bucket_of(ns)]++;
	if (ns > histogram->max_ns)
		histogram->max_ns = ns;
}

uint64_t histogram_get(const struct histogram *histogram, double part)
{
	const uint64_t rank = (uint64_t)ceil((double)histogram->n * part);
	uint64_t seen = 0;

	for (unsigned int i = 0; i < HISTOGRAM_N; i++) {
		seen += histogram->counts[i];
		if (seen >= rank && seen > 0)
			return middle_of(i);
	}
	return 0;
}

static struct json_object *as_us(uint64_t ns)
{
	char text[32];

	snprintf(text, sizeof(text), "%.2f", (double)ns / 1e3);
	return json_object_new_double_s((double)ns / 1e3, text);
}

struct json_object *histogram_to_json(const struct histogram *histogram)
{
	struct json_object *json = json_object_new_object();
	struct json_object *buckets = json_object_new_array();

	json_object_object_add(json, "p50_us", as_us(histogram_get(histogram, 0.5)));
	json_object_object_add(json, "p99_us", as_us(histogram_get(histogram, 0.99)));
	json_object_object_add(json, "p999_us", as_us(histogram_get(histogram, 0.999)));
	json_object_object_add(json, "max_us", as_us(histogram->max_ns));
	for (unsigned int i = 0; i < HISTOGRAM_N; i++) {
		struct json_object *pair;

		if (!histogram->counts[i])
			continue;
		pair = json_object_new_array_ext(2);
		json_object_array_add(pair, as_us(middle_of(i)));
		json_object_array_add(pair,
		                      json_object_new_uint64(histogram->counts[i]));
		json_object_array_add(buckets, pair);
	}
	json_object_object_add(json, "buckets", buckets);
	return json;
}
