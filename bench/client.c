// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* client.c - the client side: flows, driven by one epoll in one thread. */
#include "client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "net.h"

#define EVENTS_MAX 256
#define TURN_MS 100
#define STREAM_BUFFER (256 * 1024)

static size_t reply_size(const struct client *client)
{
	return client->workload->kind == WIRE_STREAM ? STREAM_BUFFER
	                                             : client->options.size;
}

static int flow_init(const struct client *client, struct flow *flow, uint32_t session)
{
	const struct hello hello = { .magic = WIRE_MAGIC,
		                     .kind = client->workload->kind,
		                     .size = client->options.size,
		                     .session = session };

	flow->fd = -1;
	flow->session = session;
	flow->request = malloc(sizeof(hello) + client->options.size);
	flow->reply = malloc(reply_size(client));
	if (!flow->request || !flow->reply)
		return -ENOMEM;
	memcpy(flow->request, &hello, sizeof(hello));
	return 0;
}

int client_new(const struct workload *workload, const struct client_options *options,
               struct client **ret_client)
{
	struct client *client = calloc(1, sizeof(*client));
	int r = 0;

	if (!client)
		return -ENOMEM;
	client->workload = workload;
	client->options = *options;
	client->started_ns = client->phase_ns = now_ns();
	client->deadline_ns = client->started_ns +
	                      (int64_t)(options->limit_s * NS_PER_S);
	client->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	client->flows = calloc(options->sessions, sizeof(*client->flows));
	if (client->epoll_fd < 0 || !client->flows)
		r = -ENOMEM;
	for (uint32_t i = 0; i < options->sessions && r == 0; i++)
		r = flow_init(client, &client->flows[i], i);
	if (r < 0) {
		client_free(client);
		return r;
	}
	*ret_client = client;
	return 0;
}

void client_free(struct client *client)
{
	for (uint32_t i = 0; client->flows && i < client->options.sessions; i++) {
		if (client->flows[i].state != FLOW_CLOSED)
			client_reset(client, &client->flows[i]);
		free(client->flows[i].request);
		free(client->flows[i].reply);
	}
	if (client->epoll_fd >= 0)
		close(client->epoll_fd);
	free(client->flows);
	free(client);
}

static void forget(struct client *client, struct flow *flow)
{
	client->n_open--;
	if (flow->state == FLOW_PARKED)
		client->n_parked--;
	flow->state = FLOW_CLOSED;
	flow->fd = -1;
}

void client_close(struct client *client, struct flow *flow)
{
	close(flow->fd);
	forget(client, flow);
}

void client_reset(struct client *client, struct flow *flow)
{
	net_reset(flow->fd);
	forget(client, flow);
}

void client_fail(struct client *client, struct flow *flow, const char *what, int error)
{
	if (client->n_errors++ == 0)
		snprintf(client->first_error, sizeof(client->first_error),
		         "session %u, message %u: %s%s%s", flow->session,
		         flow->sequence, what, error ? ": " : "",
		         error ? strerror(-error) : "");
	if (flow->state != FLOW_CLOSED)
		client_reset(client, flow);
}

void client_open(struct client *client, struct flow *flow)
{
	int r;

	flow->started_ns = now_ns();
	flow->sequence = 0;
	flow->sent = 0;
	flow->position = 0;
	flow->received = 0;
	r = net_connect(&client->options.addr, &flow->fd);
	if (r < 0) {
		client_fail(client, flow, "connect", r);
		return;
	}
	flow->state = FLOW_CONNECTING;
	client->n_open++;
	message_fill(flow->request + sizeof(struct hello), client->options.size,
	             flow->session, flow->sequence);
	flow->is_watching_out = true;
	r = net_watch(client->epoll_fd, flow->fd, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT,
	              flow);
	if (r < 0)
		client_fail(client, flow, "epoll", r);
}

static void watch(struct client *client, struct flow *flow, bool is_watching_out)
{
	const uint32_t events = is_watching_out ? EPOLLIN | EPOLLOUT : EPOLLIN;
	int r;

	if (flow->is_watching_out == is_watching_out)
		return;
	flow->is_watching_out = is_watching_out;
	r = net_watch(client->epoll_fd, flow->fd, EPOLL_CTL_MOD, events, flow);
	if (r < 0)
		client_fail(client, flow, "epoll", r);
}

static void send_rest(struct client *client, struct flow *flow)
{
	const size_t size = sizeof(struct hello) +
	                    (client->workload->kind == WIRE_STREAM
	                             ? 0
	                             : client->options.size);
	const int n = net_send(flow->fd, flow->request + flow->sent, size - flow->sent);

	if (n < 0) {
		client_fail(client, flow, "send", n);
		return;
	}
	flow->sent += (size_t)n;
	if (flow->sent == size)
		flow->state = client->workload->kind == WIRE_STREAM ? FLOW_STREAMING
		                                                    : FLOW_RECEIVING;
	watch(client, flow, flow->sent < size);
}

void client_ask(struct client *client, struct flow *flow)
{
	if (flow->state == FLOW_PARKED)
		client->n_parked--;
	flow->sequence++;
	message_fill(flow->request + sizeof(struct hello), client->options.size,
	             flow->session, flow->sequence);
	flow->sent = sizeof(struct hello);
	flow->received = 0;
	flow->state = FLOW_SENDING;
	send_rest(client, flow);
}

void client_park(struct client *client, struct flow *flow)
{
	flow->state = FLOW_PARKED;
	client->n_parked++;
}

static void receive(struct client *client, struct flow *flow)
{
	const uint32_t size = client->options.size;
	const int n = net_recv(flow->fd, flow->reply + flow->received,
	                       size - flow->received);

	if (n == -EAGAIN)
		return;
	if (n <= 0) {
		client_fail(client, flow, n ? "recv" : "ended before the reply", n);
		return;
	}
	flow->received += (size_t)n;
	if (flow->received < size)
		return;
	if (!message_is(flow->reply, size, flow->session, flow->sequence))
		client_fail(client, flow, "the reply is not what was sent", 0);
	else
		client->workload->on_reply(client, flow);
}

static void receive_stream(struct client *client, struct flow *flow)
{
	const int n = net_recv(flow->fd, flow->reply + flow->received,
	                       STREAM_BUFFER - flow->received);
	size_t whole;

	if (n == -EAGAIN)
		return;
	if (n <= 0) {
		client_fail(client, flow, n ? "recv" : "the stream ended", n);
		return;
	}
	flow->received += (size_t)n;
	whole = flow->received - flow->received % WIRE_BLOCK;
	if (!stream_is(flow->reply, whole, flow->session, flow->position)) {
		client_fail(client, flow, "not the stream that was sent", 0);
		return;
	}
	flow->position += whole;
	flow->received -= whole;
	memmove(flow->reply, flow->reply + whole, flow->received);
	client->workload->on_data(client, flow, (size_t)n);
}

static void expect_end(struct client *client, struct flow *flow)
{
	char byte;
	const int n = net_recv(flow->fd, &byte, sizeof(byte));

	if (n == -EAGAIN)
		return;
	if (n == 0 && flow->state == FLOW_ENDING)
		client->workload->on_end(client, flow);
	else
		client_fail(client, flow, n < 0 ? "recv" : "more than was asked for",
		            n < 0 ? n : 0);
}

static void on_event(struct client *client, struct flow *flow)
{
	int r;

	switch (flow->state) {
	case FLOW_CONNECTING:
		r = net_connect_result(flow->fd);
		if (r < 0) {
			client_fail(client, flow, "connect", r);
			return;
		}
		flow->state = FLOW_SENDING;
		send_rest(client, flow);
		break;
	case FLOW_SENDING:
		send_rest(client, flow);
		break;
	case FLOW_RECEIVING:
		receive(client, flow);
		break;
	case FLOW_STREAMING:
		receive_stream(client, flow);
		break;
	case FLOW_PARKED:
	case FLOW_ENDING:
		expect_end(client, flow);
		break;
	case FLOW_CLOSED:
		break;
	}
}

void client_count(struct client *client, int64_t latency_ns)
{
	if (client->phase != PHASE_MEASURE)
		return;
	client->n_done++;
	histogram_add(&client->latency, (uint64_t)latency_ns);
}

void client_begin(struct client *client)
{
	client->phase = PHASE_MEASURE;
	client->phase_ns = now_ns();
	if (cpu_busy_s(&client->cpu_s) < 0)
		client->cpu_s = 0;
}

void client_end(struct client *client)
{
	double cpu_s = 0;

	client->measured_s = (double)(now_ns() - client->phase_ns) / NS_PER_S;
	client->phase = PHASE_DRAIN;
	if (cpu_busy_s(&cpu_s) == 0)
		client->cpu_s = cpu_s - client->cpu_s;
}

void client_turn(struct client *client, int timeout_ms)
{
	struct epoll_event events[EVENTS_MAX];
	const int n = epoll_wait(client->epoll_fd, events, EVENTS_MAX, timeout_ms);

	for (int i = 0; i < n; i++)
		on_event(client, events[i].data.ptr);
}

static void advance(struct client *client, int64_t now)
{
	const double passed_s = (double)(now - client->phase_ns) / NS_PER_S;

	if (client->phase == PHASE_WARMUP && passed_s >= client->options.warmup_s)
		client_begin(client);
	else if (client->phase == PHASE_MEASURE &&
	         passed_s >= client->options.measure_s)
		client_end(client);
}

void client_run(struct client *client)
{
	int64_t now = now_ns();

	while (client->n_open && now < client->deadline_ns) {
		client_turn(client, TURN_MS);
		now = now_ns();
		advance(client, now);
	}
	for (uint32_t i = 0; i < client->options.sessions; i++)
		if (client->flows[i].state != FLOW_CLOSED)
			client_fail(client, &client->flows[i], "no answer in time", 0);
	if (client->phase == PHASE_MEASURE)
		client_end(client);
}

struct json_object *client_to_json(const struct client *client)
{
	struct json_object *json = json_object_new_object();
	const struct client_options *options = &client->options;
	const double per_s = client->measured_s > 0 ? 1 / client->measured_s : 0;

	json_object_object_add(json, "workload",
	                       json_object_new_string(client->workload->name));
	json_object_object_add(json, "size", json_object_new_int64(options->size));
	json_object_object_add(json, "sessions",
	                       json_object_new_int64(options->sessions));
	json_object_object_add(json, "seconds",
	                       json_object_new_double(client->measured_s));
	json_object_object_add(json, "cpu_s", json_object_new_double(client->cpu_s));
	json_object_object_add(json, "done", json_object_new_uint64(client->n_done));
	json_object_object_add(json, "bytes", json_object_new_uint64(client->n_bytes));
	json_object_object_add(json, "rate",
	                       json_object_new_double((double)client->n_done * per_s));
	json_object_object_add(
	        json, "gbit_s",
	        json_object_new_double((double)client->n_bytes * 8e-9 * per_s));
	json_object_object_add(json, "latency", histogram_to_json(&client->latency));
	json_object_object_add(json, "errors",
	                       json_object_new_uint64(client->n_errors));
	json_object_object_add(json, "first_error",
	                       json_object_new_string(client->first_error));
	return json;
}
