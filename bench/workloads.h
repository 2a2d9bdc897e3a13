/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * workloads.h - what the clients can do; each prints one JSON object per result.
 *
 * Each returns 0 when there is a result, be it one with errors in it.
 */
#ifndef G5X_BENCH_WORKLOADS_H
#define G5X_BENCH_WORKLOADS_H

#include <stddef.h>
#include <stdint.h>

struct client_options;

int workload_pingpong(const struct client_options *options);
int workload_bulk(const struct client_options *options);

/** workload_connect() - connect, ask, be answered, closed upon; and again */
int workload_connect(const struct client_options *options);

/** workload_storm() - all sessions at once, one question each, until all are served */
int workload_storm(const struct client_options *options);

/**
 * workload_hold() - open sessions and let them idle
 * @levels: how many, ascending; the last one is options->sessions
 *
 * For each level: opens what is missing, prints the result, waits for a line on
 * standard input. In the end every session is asked once more, and there is one more
 * result, "alive".
 */
int workload_hold(const struct client_options *options, const uint32_t *levels,
                  size_t n_levels);

#endif /* G5X_BENCH_WORKLOADS_H */
