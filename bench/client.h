/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * client.h - the client side: flows, driven by one epoll in one thread.
 *
 *   CLOSED -> CONNECTING -> SENDING -> RECEIVING -> (reply is right) on_reply
 *                              ^           |
 *                              +-----------+  client_ask()
 *
 * A workload says what happens next in its callbacks. A flow that fails is counted,
 * closed and not opened again, so that every run comes to an end.
 */
#ifndef G5X_BENCH_CLIENT_H
#define G5X_BENCH_CLIENT_H

#include <json-c/json.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "measure.h"
#include "wire.h"

enum flow_state {
	FLOW_CLOSED,
	FLOW_CONNECTING,
	FLOW_SENDING,
	FLOW_RECEIVING,
	FLOW_STREAMING, /* what comes goes to on_data */
	FLOW_PARKED,    /* nothing may come */
	FLOW_ENDING,    /* nothing but the end may come */
};

struct flow {
	int fd;
	enum flow_state state;
	bool is_watching_out;
	uint32_t session;
	uint32_t sequence; /* of the message on its way */
	size_t sent;
	size_t received;
	int64_t started_ns;
	uint64_t position; /* in a stream: of the first byte of @reply */
	char *request;     /* hello and message, next to each other */
	char *reply;
};

struct client_options {
	struct sockaddr_in addr;
	uint32_t size;
	uint32_t sessions;
	double warmup_s;
	double measure_s;
	double limit_s; /* a run that takes longer has failed */
};

struct client;

struct workload {
	const char *name;
	enum wire_kind kind;
	void (*on_reply)(struct client *client, struct flow *flow);
	void (*on_data)(struct client *client, struct flow *flow, size_t size);
	void (*on_end)(struct client *client, struct flow *flow);
};

enum phase { PHASE_WARMUP, PHASE_MEASURE, PHASE_DRAIN };

struct client {
	const struct workload *workload;
	struct client_options options;
	int epoll_fd;
	struct flow *flows;
	uint32_t n_open;
	uint32_t n_parked;

	enum phase phase;
	int64_t started_ns;
	int64_t phase_ns; /* when it began */
	int64_t deadline_ns;
	double cpu_s;      /* at the start of PHASE_MEASURE, then what that took */
	double measured_s; /* how long PHASE_MEASURE really was */

	uint64_t n_done; /* round trips or connections, in PHASE_MEASURE */
	uint64_t n_bytes;
	uint64_t n_errors;
	char first_error[160];
	struct histogram latency;
};

int client_new(const struct workload *workload, const struct client_options *options,
               struct client **ret_client);
void client_free(struct client *client);

/** client_open() - connect @flow, then send its first message */
void client_open(struct client *client, struct flow *flow);
void client_ask(struct client *client, struct flow *flow);
void client_park(struct client *client, struct flow *flow);
void client_close(struct client *client, struct flow *flow);
void client_reset(struct client *client, struct flow *flow);
void client_fail(struct client *client, struct flow *flow, const char *what, int error);

/** client_count() - one more is done, if now is the time to count */
void client_count(struct client *client, int64_t latency_ns);

/** client_begin(), client_end() - of PHASE_MEASURE, where no timer does it */
void client_begin(struct client *client);
void client_end(struct client *client);

/** client_turn() - wait for events at most @timeout_ms and handle them */
void client_turn(struct client *client, int timeout_ms);

/** client_run() - turn until no flow is open; those open at the deadline fail */
void client_run(struct client *client);

/** client_to_json() - the result; for everybody what is there for anybody */
struct json_object *client_to_json(const struct client *client);

#endif /* G5X_BENCH_CLIENT_H */
