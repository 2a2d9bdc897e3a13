// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* workloads.c - the workloads, in terms of client.h. */
#include "workloads.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "client.h"

#define HOLD_CONNECTS_MAX 64
#define HOLD_TURN_MS 50

static void print(const struct client *client)
{
	struct json_object *json = client_to_json(client);

	puts(json_object_to_json_string_ext(json, JSON_C_TO_STRING_PLAIN));
	fflush(stdout);
	json_object_put(json);
}

static int run(const struct workload *workload, const struct client_options *options)
{
	struct client *client;
	int r = client_new(workload, options, &client);

	if (r < 0)
		return r;
	for (uint32_t i = 0; i < options->sessions; i++)
		client_open(client, &client->flows[i]);
	client_run(client);
	print(client);
	client_free(client);
	return 0;
}

/* ---- ping-pong -------------------------------------------------------------------- */

static void ping(struct client *client, struct flow *flow)
{
	const int64_t now = now_ns();

	client_count(client, now - flow->started_ns);
	flow->started_ns = now;
	if (client->phase == PHASE_DRAIN)
		client_close(client, flow);
	else
		client_ask(client, flow);
}

int workload_pingpong(const struct client_options *options)
{
	static const struct workload pingpong = { .name = "pingpong",
		                                  .kind = WIRE_ECHO,
		                                  .on_reply = ping };

	return run(&pingpong, options);
}

/* ---- bulk ------------------------------------------------------------------------- */

static void count_bytes(struct client *client, struct flow *flow, size_t size)
{
	if (client->phase == PHASE_MEASURE)
		client->n_bytes += size;
	if (client->phase == PHASE_DRAIN)
		client_reset(client, flow);
}

int workload_bulk(const struct client_options *options)
{
	static const struct workload bulk = { .name = "bulk",
		                              .kind = WIRE_STREAM,
		                              .on_data = count_bytes };

	return run(&bulk, options);
}

/* ---- short sessions --------------------------------------------------------------- */

static void await_end(struct client *client, struct flow *flow)
{
	(void)client;
	flow->state = FLOW_ENDING;
}

static void open_again(struct client *client, struct flow *flow)
{
	client_count(client, now_ns() - flow->started_ns);
	client_close(client, flow);
	if (client->phase != PHASE_DRAIN)
		client_open(client, flow);
}

int workload_connect(const struct client_options *options)
{
	static const struct workload connects = { .name = "connect",
		                                  .kind = WIRE_ONCE,
		                                  .on_reply = await_end,
		                                  .on_end = open_again };

	return run(&connects, options);
}

static void be_served(struct client *client, struct flow *flow)
{
	client_count(client, now_ns() - client->phase_ns);
	client_close(client, flow);
}

int workload_storm(const struct client_options *options)
{
	static const struct workload storm = { .name = "storm",
		                               .kind = WIRE_ONCE,
		                               .on_reply = await_end,
		                               .on_end = be_served };
	struct client_options all = *options;
	struct client *client;
	int r;

	all.measure_s = options->limit_s;
	r = client_new(&storm, &all, &client);
	if (r < 0)
		return r;
	client_begin(client);
	for (uint32_t i = 0; i < all.sessions; i++)
		client_open(client, &client->flows[i]);
	client_run(client);
	print(client);
	client_free(client);
	return 0;
}

/* ---- idle sessions ---------------------------------------------------------------- */

static bool is_line_there(int timeout_ms)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	char byte;

	return poll(&input, 1, timeout_ms) > 0 && read(STDIN_FILENO, &byte, 1) >= 0;
}

static void hold_level(struct client *client, uint32_t level, uint32_t *n_started)
{
	while (client->n_parked < level && !client->n_errors &&
	       now_ns() < client->deadline_ns) {
		while (*n_started < level &&
		       client->n_open - client->n_parked < HOLD_CONNECTS_MAX)
			client_open(client, &client->flows[(*n_started)++]);
		client_turn(client, HOLD_TURN_MS);
	}
	client->n_done = client->n_parked;
	print(client);
	while (!client->n_errors && now_ns() < client->deadline_ns) {
		if (is_line_there(HOLD_TURN_MS))
			break;
		client_turn(client, 0);
	}
}

static void ask_all(struct client *client)
{
	const uint32_t n = client->n_parked;

	for (uint32_t i = 0; i < n; i++)
		if (client->flows[i].state == FLOW_PARKED)
			client_ask(client, &client->flows[i]);
	while (client->n_parked < n && !client->n_errors &&
	       now_ns() < client->deadline_ns)
		client_turn(client, HOLD_TURN_MS);
	if (client->n_parked < n && !client->n_errors)
		client_fail(client, &client->flows[0], "an idle session did not answer",
		            0);
	client->n_done = client->n_parked;
}

int workload_hold(const struct client_options *options, const uint32_t *levels,
                  size_t n_levels)
{
	static const struct workload hold = { .name = "hold",
		                              .kind = WIRE_ECHO,
		                              .on_reply = client_park };
	static const struct workload alive = { .name = "alive",
		                               .kind = WIRE_ECHO,
		                               .on_reply = client_park };
	struct client *client;
	uint32_t n_started = 0;
	int r = client_new(&hold, options, &client);

	if (r < 0)
		return r;
	for (size_t i = 0; i < n_levels; i++)
		hold_level(client, levels[i], &n_started);
	client->workload = &alive;
	ask_all(client);
	print(client);
	client_free(client);
	return 0;
}
