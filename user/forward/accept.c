// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * accept.c - see accept.h.
 *
 * Refusals as in G5: nobody wants the client, it is blocked, or a limit or a rate is
 * reached: it is closed (FIN). Over the limit of the whole program (-s) it is reset,
 * which costs least.
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
#include "forward/admission.h"
#include "forward/bypassed.h"
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

static struct log_limit no_fds, no_rule, over_sessions, over_clients, failed;

static void pause_port(struct port *port)
{
	struct worker *w = port->worker;

	if (port->is_paused || port->source.id == 0)
		return;
	loop_modify(&w->loop, &port->source, 0);
	port->is_paused = true;
	port->next_paused = NULL;
	if (w->first_paused)
		w->last_paused->next_paused = port;
	else
		w->first_paused = port;
	w->last_paused = port;
	w->resume_ms = w->now_ms + ACCEPT_RETRY_MS;
}

void accept_resume(struct worker *w)
{
	struct port *port = w->first_paused;

	if (!port)
		return;
	w->first_paused = port->next_paused;
	port->is_paused = false;
	w->resume_ms = w->now_ms + ACCEPT_RETRY_MS;
	loop_modify(&w->loop, &port->source, EPOLLIN);
}

void accept_forget(struct port *port)
{
	struct port **at = &port->worker->first_paused;
	struct port *previous = NULL;

	if (!port->is_paused)
		return;
	while (*at != port) {
		previous = *at;
		at = &previous->next_paused;
	}
	*at = port->next_paused;
	if (port->worker->last_paused == port)
		port->worker->last_paused = previous;
	port->is_paused = false;
}

/* Take a client no further. One whose bytes were left unread would see a reset. */
static void refuse(int fd)
{
	char nowhere[4096];

	for (int i = 0; i < 16; i++)
		if (recv(fd, nowhere, sizeof(nowhere), MSG_DONTWAIT) <= 0)
			break;
	close(fd);
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
	s->datapath = relay_choose(w, rule->datapath);
	s->may_promote = w->splice && (rule->datapath == DATAPATH_AUTO ||
	                               rule->datapath == DATAPATH_BYPASS);
	s->timeout_s = rule->timeout_s;
	s->fin_timeout_s = rule->fin_timeout_s;
	s->splice_limit = rule->splice_limit;
	s->rule_version = rule->version;
	s->measures_response = rule->mode == RULE_MODE_RT;
	s->accepted_us = clock_us();
	s->last_active_ms = w->now_ms;
	s->end[CLIENT].is_writable = true;
	if (rule->datapath == DATAPATH_BYPASS ||
	    (rule->datapath == DATAPATH_AUTO && w->snapshot->config->may_bypass))
		bypassed_want(w, s);
	/* Last: who lists sessions passes over those that have no rule yet. */
	__atomic_store_n(&s->rule, rule->state->state.index, __ATOMIC_RELEASE);
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
	                  WORKER_END_EVENTS) < 0) {
		w->short_until_ms = w->now_ms + ACCEPT_RETRY_MS;
		session_close(w, s, CLOSE_NO_RESOURCES);
	} else {
		connect_start(w, s);
	}
}

/* Return: false when the client is refused: then @fd stays the caller's. */
static bool admit(struct worker *w, const struct port *port, int fd,
                  const struct addr *addr)
{
	const struct rule *rule;
	const struct rule_client *client;
	char text[ADDR_TEXT_LEN], listener[ADDR_TEXT_LEN];
	bool is_manage;

	if (admission_is_blocked(w, addr))
		return false;
	if (!match_find(port->match, addr, &rule, &client)) {
		log_limited(&no_rule, LOG_LEVEL_WARNING,
		            "match forward rule [%s] - [%s] failed[4]: no rule for it",
		            addr_format(addr, text),
		            addr_format(&port->listener->addr, listener));
		return false;
	}
	is_manage = rule->mode == RULE_MODE_G;
	if (!is_manage && !admission_enter(w, port, addr))
		return false;
	if (!client_state_enter(client->state, client->maxclients)) {
		if (!is_manage)
			limits_leave(w->forward->limits, addr);
		log_limited(&over_clients, LOG_LEVEL_WARNING,
		            "too many %s of rule %s: [%s] closed, maxclients is %llu",
		            is_manage ? "manage connection" : "forward connections",
		            rule->id, addr_format(addr, text),
		            (unsigned long long)client->maxclients);
		return false;
	}
	if (is_manage)
		hand_over(w, port, fd, addr, rule, client);
	else
		open_session(w, port, fd, addr, rule, client->state);
	return true;
}

/* Errors of one connection, which accept(2) took out of the queue: go on with the next.
 * After any other (no descriptors, no memory, what is not known) the queue waits. */
static bool is_of_connection(int error)
{
	static const int errors[] = {
		ECONNABORTED, EPROTO,     ENETDOWN,    ENOPROTOOPT, EHOSTDOWN, ENONET,
		EHOSTUNREACH, EOPNOTSUPP, ENETUNREACH, ETIMEDOUT,   EINTR,
	};

	for (size_t i = 0; i < ARRAY_SIZE(errors); i++)
		if (errors[i] == error)
			return true;
	return false;
}

/* Is there a reason to leave the queue alone, to keep some descriptors for the rest of
 * the program? Management ports live on that reserve. */
static bool has_to_wait(struct worker *w, const struct port *port)
{
	uint32_t n_max = __atomic_load_n(&w->forward->fd_sessions, __ATOMIC_RELAXED);

	if (port->is_manage)
		return false;
	if (session_n_live(w->table) < n_max)
		return w->now_ms < w->short_until_ms;
	log_limited(&no_fds, LOG_LEVEL_WARNING,
	            "file descriptors for %u sessions are in use, clients wait", n_max);
	return true;
}

/* The next in the queue. */
static enum accept_result accept_one(struct worker *w, struct port *port)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct addr addr;
	int fd;

	if (has_to_wait(w, port)) {
		pause_port(port);
		return ACCEPT_PAUSED;
	}
	fd = accept4(port->source.fd, (struct sockaddr *)&sa, &len,
	             SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0) {
		addr = addr_from_sockaddr((struct sockaddr *)&sa);
		if (!admit(w, port, fd, &addr))
			refuse(fd);
		return ACCEPT_DONE;
	}
	if (errno == EAGAIN)
		return ACCEPT_EMPTY;
	if (is_of_connection(errno)) {
		log_limited(&failed, LOG_LEVEL_WARNING, "cannot accept: %s",
		            strerrordesc_np(errno));
		return ACCEPT_DONE;
	}
	log_limited(&no_fds, LOG_LEVEL_ERROR, "cannot accept, clients wait: %s",
	            strerrordesc_np(errno));
	pause_port(port);
	return ACCEPT_PAUSED;
}

void accept_on_event(struct source *source, uint32_t events)
{
	struct port *port = container_of(source, struct port, source);

	(void)events;

	for (int i = 0; i < SHARE; i++) {
		enum accept_result r = accept_one(port->worker, port);

		if (r == ACCEPT_PAUSED)
			return;
		if (r == ACCEPT_EMPTY)
			break;
	}
	/* This one did not use up what there was: the next that waits may try. */
	accept_resume(port->worker);
}

void accept_all(struct port *port)
{
	/* More than any queue holds: a flood does not keep a port open for ever. */
	for (int i = 0; i < 65536; i++)
		if (accept_one(port->worker, port) != ACCEPT_DONE)
			return;
}
