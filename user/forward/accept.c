// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * accept.c - see accept.h.
 *
 * Refusals as in G5: nobody wants the client, or a limit of the rule is reached: it is
 * closed (FIN). Over the limit of the whole program (-s) it is reset, which costs least.
 */
#include "forward/accept.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "forward/connect.h"
#include "forward/limits.h"
#include "forward/relay.h"
#include "forward/session_close.h"
#include "forward/worker.h"
#include "rules/config.h"
#include "rules/match.h"

/* Clients of one listener before sessions get their turn again. */
#define SHARE 64

enum accept_result { ACCEPT_DONE, ACCEPT_EMPTY, ACCEPT_PAUSED };

static struct log_limit no_fds, no_rule, over_sessions, over_clients, over_ip, failed;

static void watch_ports(struct worker *w, uint32_t events, bool with_manage)
{
	for (size_t i = 0; i < w->snapshot->n_listeners; i++) {
		struct port *port = &w->snapshot->listeners[i]->ports[w->number];

		if (port->source.id != 0 && (with_manage || !port->is_manage))
			loop_modify(&w->loop, &port->source, events);
	}
}

void accept_pause(struct worker *w, bool with_manage)
{
	w->is_paused = true;
	w->resume_ms = w->now_ms + ACCEPT_RETRY_MS;
	watch_ports(w, 0, with_manage);
}

void accept_resume(struct worker *w)
{
	if (!w->is_paused)
		return;
	w->is_paused = false;
	watch_ports(w, EPOLLIN, true);
}

static void hand_over(struct worker *w, const struct port *port, int fd,
                      const struct addr *addr, const struct rule *rule,
                      const struct rule_client *client)
{
	struct manage_client manage = {
		.fd = fd,
		.addr = *addr,
		.listener = port->listener->addr,
		.timeout_s = rule->timeout_s,
		.client = client->state->state.index,
	};

	state_ref(&client->state->state);
	w->forward->options.on_manage(w->forward->options.ctx, &manage);
}

static void init_session(struct worker *w, struct session *s, const struct port *port,
                         const struct addr *addr, const struct rule *rule)
{
	s->client_addr = *addr;
	s->listener_addr = port->listener->addr;
	s->datapath = relay_choose(rule->datapath);
	s->timeout_s = rule->timeout_s;
	s->fin_timeout_s = rule->fin_timeout_s;
	s->rule = rule->state->state.index;
	s->rule_version = rule->version;
	s->measures_response = rule->mode == RULE_MODE_RT;
	s->accepted_us = clock_us();
	s->last_active_ms = w->now_ms;
	s->end[CLIENT].is_writable = true;
	__atomic_add_fetch(&rule->state->n_sessions, 1, __ATOMIC_RELAXED);
	state_ref(&rule->state->state);
}

/* Takes @fd over, whatever happens. The client is counted on its client state. */
static void open_session(struct worker *w, const struct port *port, int fd,
                         const struct addr *addr, const struct rule *rule,
                         struct client_state *client)
{
	struct session_table *table = w->table;
	uint32_t number = session_alloc(table, w->number);
	struct session *s = &table->sessions[number];

	if (number == 0) {
		limits_leave(w->forward->limits, addr);
		client_state_leave(client);
		log_limited(&over_sessions, LOG_LEVEL_WARNING,
		            "all %u sessions are in use, client reset",
		            table->capacity);
		session_reset_fd(fd);
		return;
	}
	s->end[CLIENT].fd = fd;
	s->client = client->state.index;
	state_ref(&client->state);
	init_session(w, s, port, addr, rule);
	if (loop_add_slot(&w->loop, fd, 2 * number + CLIENT, s->generation,
	                  WORKER_END_EVENTS) < 0)
		session_close(w, s, CLOSE_NO_RESOURCES);
	else
		connect_start(w, s);
}

/* Takes @fd over, whatever happens. */
static void admit(struct worker *w, const struct port *port, int fd,
                  const struct addr *addr)
{
	auto_close int owned = fd;
	const struct rule *rule;
	const struct rule_client *client;
	char text[ADDR_TEXT_LEN], listener[ADDR_TEXT_LEN];
	const uint64_t max_per_ip = w->snapshot->config->maxsessions_per_ip;
	bool is_manage;

	if (!match_find(port->match, addr, &rule, &client)) {
		log_limited(&no_rule, LOG_LEVEL_WARNING,
		            "match forward rule [%s] - [%s] failed: no rule for this "
		            "client",
		            addr_format(addr, text),
		            addr_format(&port->listener->addr, listener));
		return;
	}
	is_manage = rule->mode == RULE_MODE_G;
	if (!is_manage && limits_enter(w->forward->limits, addr, max_per_ip) < 0) {
		log_limited(
		        &over_ip, LOG_LEVEL_WARNING,
		        "too much connections on ip[%s]: maxsessions_per_ip is %llu",
		        addr_format(addr, text), (unsigned long long)max_per_ip);
		return;
	}
	if (!client_state_enter(client->state, client->maxclients)) {
		if (!is_manage)
			limits_leave(w->forward->limits, addr);
		log_limited(&over_clients, LOG_LEVEL_WARNING,
		            "too many %s of rule %s: [%s] closed, maxclients is %llu",
		            is_manage ? "manage connection" : "forward connections",
		            rule->id, addr_format(addr, text),
		            (unsigned long long)client->maxclients);
		return;
	}
	if (is_manage)
		hand_over(w, port, take_fd(owned), addr, rule, client);
	else
		open_session(w, port, take_fd(owned), addr, rule, client->state);
}

static bool is_out_of_fds(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS ||
	       error == ENOMEM;
}

/* The next in the queue. */
static enum accept_result accept_one(struct worker *w, struct port *port)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct addr addr;
	uint32_t n_max = __atomic_load_n(&w->forward->fd_sessions, __ATOMIC_RELAXED);
	int fd;

	/* Leaves some descriptors to the rest of the program: the reserve. */
	if (!port->is_manage && session_n_live(w->table) >= n_max) {
		log_limited(&no_fds, LOG_LEVEL_WARNING,
		            "file descriptors for %u sessions are in use, clients wait",
		            n_max);
		accept_pause(w, false);
		return ACCEPT_PAUSED;
	}
	fd = accept4(port->source.fd, (struct sockaddr *)&sa, &len,
	             SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0) {
		addr = addr_from_sockaddr((struct sockaddr *)&sa);
		admit(w, port, fd, &addr);
		return ACCEPT_DONE;
	}
	if (errno == EAGAIN)
		return ACCEPT_EMPTY;
	if (is_out_of_fds(errno)) {
		log_limited(&no_fds, LOG_LEVEL_ERROR, "cannot accept, clients wait: %s",
		            strerrordesc_np(errno));
		accept_pause(w, true);
		return ACCEPT_PAUSED;
	}
	/* Errors of the connection itself, see accept(2): the next may be fine. */
	log_limited(&failed, LOG_LEVEL_WARNING, "cannot accept: %s",
	            strerrordesc_np(errno));
	return ACCEPT_DONE;
}

void accept_on_event(struct source *source, uint32_t events)
{
	struct port *port = container_of(source, struct port, source);

	(void)events;

	for (int i = 0; i < SHARE; i++)
		if (accept_one(port->worker, port) != ACCEPT_DONE)
			return;
}

void accept_all(struct port *port)
{
	/* More than any queue holds: a flood does not keep a port open for ever. */
	for (int i = 0; i < 65536; i++)
		if (accept_one(port->worker, port) != ACCEPT_DONE)
			return;
}
