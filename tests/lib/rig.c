// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
#include "rig.h"

#include "test.h"

#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "forward/accept.h"
#include "forward/blocks.h"
#include "forward/limits.h"
#include "forward/listener.h"
#include "forward/session_close.h"
#include "rules/match.h"

static void make_rule(struct rig *rig, enum rule_mode mode)
{
	struct addr server;
	char text[32];

	rig->server_fd = tcp_listen();
	server = tcp_local(rig->server_fd);
	snprintf(text, sizeof(text), "127.0.0.1:%u", addr_port(&server));
	rig->rule = ruleset_rule("r", mode);
	ruleset_add_client(rig->rule, "*:*");
	ruleset_add_forward(rig->rule, "127.0.0.1:0"); /* any free port */
	ruleset_add_server(rig->rule, text, 1, 0);
	rig->config = ruleset_config(&rig->rule, 1);
}

/* What forward_publish() makes, for one rule and one listener. */
static void make_snapshot(struct rig *rig)
{
	uint32_t index = rig->rule->state->state.index;

	rig->snapshot = (struct snapshot){
		.config = rig->config,
		.listeners = calloc(1, sizeof(struct listener *)),
		.matches = calloc(1, sizeof(struct match *)),
		.n_listeners = 1,
		.rules = calloc(index + 1, sizeof(struct rule *)),
		.n_rules = index + 1,
	};
	rig->snapshot.rules[index] = rig->rule;
	rig->snapshot.listeners[0] = rig->listener;
	rig->snapshot.matches[0] = match_compile(rig->config, &rig->listener->addr);
}

static void open_port(struct rig *rig)
{
	struct port *port = &rig->listener->ports[0];
	struct addr bound = tcp_local(port->source.fd);

	rig->port = addr_port(&bound);
	port->match = rig->snapshot.matches[0];
	port->source.on_event = accept_on_event;
	assert_ok(loop_add(&rig->worker.loop, &port->source, EPOLLIN));
}

void rig_start(struct rig *rig, enum rule_mode mode, size_t buffer_size)
{
	struct forward *f = &rig->forward;

	memset(rig, 0, sizeof(*rig));
	rig->n_fds = fd_count();
	assert_ok(log_reopen("none", LOG_FORMAT_TEXT)); /* no line for each session */
	make_rule(rig, mode);
	*f = (struct forward){
		.options = { .n_workers = 1, .buffer_size = buffer_size },
		.limits = limits_new(),
		.blocks = blocks_new(),
		.rates = rates_new(),
		.fd_sessions = UINT32_MAX,
		.snapshot = &rig->snapshot,
		.workers = &rig->worker,
		.n_workers = 1,
		.lock = PTHREAD_MUTEX_INITIALIZER,
	};
	assert_ok(session_table_init(&f->table, RIG_CAPACITY, 1));
	assert_ok(
	        listener_open(f, &rig->rule->forwards[0].addr, false, &rig->listener));
	make_snapshot(rig);
	assert_ok(worker_init(&rig->worker, f, 0));
	open_port(rig);
}

static void assert_nothing_is_left(struct rig *rig)
{
	assert_int_equal(session_n_live(&rig->forward.table), 0);
	assert_int_equal(limits_n_addresses(rig->forward.limits), 0);
	assert_int_equal(rig->rule->state->n_sessions, 0);
	assert_int_equal(rig->rule->clients[0].state->n_sessions, 0);
	for (size_t i = 0; i < rig->rule->n_servers; i++)
		assert_int_equal(rig->rule->servers[i].state->n_sessions, 0);
	assert_int_equal(rig_n_lent(rig), 0);
	assert_int_equal(wheel_wait_ms(&rig->worker.wheel, rig->worker.now_ms), -1);
	assert_int_equal(rig->worker.ready.first, 0);
}

void rig_stop(struct rig *rig)
{
	struct session_table *table = &rig->forward.table;

	for (uint32_t i = 1; i <= session_n_touched(table); i++)
		if (table->sessions[i].state != SESSION_FREE)
			session_close(&rig->worker, &table->sessions[i],
			              CLOSE_SHUTDOWN);
	assert_nothing_is_left(rig);
	loop_remove(&rig->worker.loop, &rig->listener->ports[0].source);
	listener_free(rig->listener, 1);
	worker_fini(&rig->worker);
	session_table_fini(table);
	limits_free(rig->forward.limits);
	blocks_free(rig->forward.blocks);
	rates_free(rig->forward.rates);
	match_free(rig->snapshot.matches[0]);
	free(rig->snapshot.matches);
	free(rig->snapshot.listeners);
	free(rig->snapshot.rules);
	ruleset_config_free(rig->config);
	close(rig->server_fd);
	assert_int_equal(state_count(STATE_RULE), 0);
	assert_int_equal(state_count(STATE_SERVER), 0);
	assert_int_equal(state_count(STATE_CLIENT), 0);
	assert_int_equal(fd_count(), rig->n_fds);
}

/* Is there anything to do within @timeout_ms? */
static bool has_work(struct rig *rig, int timeout_ms)
{
	struct pollfd p = { .fd = rig->worker.loop.epoll_fd, .events = POLLIN };
	bool is_ready = rig->worker.ready.first != 0;

	return poll(&p, 1, is_ready ? 0 : timeout_ms) > 0 || is_ready ||
	       wheel_wait_ms(&rig->worker.wheel, clock_ms()) == 0;
}

void rig_turn(struct rig *rig)
{
	if (has_work(rig, 10))
		worker_turn(&rig->worker);
}

void rig_settle(struct rig *rig)
{
	while (has_work(rig, 20))
		worker_turn(&rig->worker);
}

uint32_t rig_find(struct rig *rig, int client)
{
	struct addr addr = tcp_local(client);
	struct session copy;

	for (uint32_t i = 1; i <= RIG_CAPACITY; i++)
		if (session_copy(&rig->forward.table, i, &copy) &&
		    addr_equal(&copy.client_addr, &addr))
			return i;
	return 0;
}

struct rig_session rig_connect(struct rig *rig)
{
	struct rig_session rs = { .client = tcp_connect(rig->port) };

	rig_until(rig, (rs.number = rig_find(rig, rs.client)) != 0);
	rs.s = &rig->forward.table.sessions[rs.number];
	rig_until(rig, rs.s->state == SESSION_RELAYING);
	rs.server = tcp_accept(rig->server_fd);
	rig_settle(rig);
	return rs;
}

void rig_close(struct rig_session *rs)
{
	if (rs->client >= 0)
		close(rs->client);
	if (rs->server >= 0)
		close(rs->server);
	rs->client = rs->server = -1;
}

uint32_t rig_n_lent(const struct rig *rig)
{
	return pool_n_lent(&rig->worker.pool) - 1;
}
