// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * connect.c - see connect.h.
 *
 * A client that goes away while its server is being connected: a reset ends the
 * session at once. A FIN after bytes is a client that wants its answer; it is served.
 * A FIN before any byte may be a client that has left or one that only listens
 * (a banner): it gets LEFT_GRACE_MS more, not a whole connect_timeout.
 */
#include "forward/connect.h"

#include <assert.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "forward/accept.h"
#include "forward/bypassed.h"
#include "forward/relay.h"
#include "forward/session_close.h"
#include "forward/worker.h"
#include "rules/balance.h"
#include "rules/config.h"

#define LEFT_GRACE_MS 1000
#define RESOURCES_WAIT_US (10 * 1000000ULL)
#define NO_DEADLINE UINT64_MAX

static struct log_limit connect_failed_limit;

/* Note that the session's server was tried. Return: 0 or -ENOMEM. */
static int remember_tried(struct worker *w, struct session *s)
{
	struct tried *t;

	if (s->tried == 0 && w->free_tried != 0) {
		s->tried = w->free_tried;
		w->free_tried = w->tried[s->tried].next_free;
	} else if (s->tried == 0) {
		t = reallocarray(w->tried, w->n_tried + 2, sizeof(*t));
		if (!t)
			return -ENOMEM;
		w->tried = t;
		s->tried = ++w->n_tried;
		w->tried[s->tried] = (struct tried){ 0 };
	}
	t = &w->tried[s->tried];
	if (t->n == t->capacity) {
		uint32_t capacity = t->capacity ? 2 * t->capacity : 8;
		uint32_t *servers = reallocarray(t->servers, capacity,
		                                 sizeof(*servers));

		if (!servers)
			return -ENOMEM;
		t->servers = servers;
		t->capacity = capacity;
	}
	t->servers[t->n++] = s->server;
	return 0;
}

void connect_forget_tried(struct worker *w, struct session *s)
{
	if (s->tried == 0)
		return;
	w->tried[s->tried].n = 0;
	w->tried[s->tried].next_free = w->free_tried;
	w->free_tried = s->tried;
	s->tried = 0;
}

static bool has_unread_bytes(const struct session *s)
{
	int n = 0;

	return ioctl(s->end[CLIENT].fd, SIOCINQ, &n) < 0 || n > 0;
}

/* A FIN and nothing before it. */
static bool may_have_left(const struct session *s)
{
	return s->end[CLIENT].has_hangup && !has_unread_bytes(s);
}

static void set_deadline(struct worker *w, struct session *s, uint64_t deadline_ms)
{
	s->deadline_ms = deadline_ms;
	if (deadline_ms == NO_DEADLINE)
		wheel_clear(&w->wheel, worker_number(w, s));
	else
		wheel_set(&w->wheel, worker_number(w, s), deadline_ms);
}

/* No client that may have left keeps its place for long. */
static void limit_wait(struct worker *w, struct session *s)
{
	if (may_have_left(s) && s->deadline_ms > w->now_ms + LEFT_GRACE_MS)
		set_deadline(w, s, w->now_ms + LEFT_GRACE_MS);
}

/* Open a socket to s->server_addr and start connecting. Return: 0 or -errno. */
static int open_server(struct worker *w, struct session *s)
{
	const struct addr *addr = &s->server_addr;
	const int on = 1;
	auto_close int fd = -1;
	uint32_t number = worker_number(w, s);
	int r;

	fd = socket(addr->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
	bypassed_expect(w, s, fd);
	if (connect(fd, &addr->sa, addr_len(addr)) < 0 && errno != EINPROGRESS)
		return -errno;
	/* After connect(2): epoll would report a socket that is not connecting yet as
	 * hung up. */
	r = loop_add_slot(&w->loop, fd, 2 * number + SERVER, s->generation,
	                  WORKER_END_EVENTS);
	if (r < 0)
		return r;
	s->end[SERVER] = (struct session_end){ .fd = take_fd(fd) };
	return 0;
}

/* Not the server's fault: too few descriptors. Wait for some, for a while; the server
 * stays chosen, for each choice counts. */
static void wait_for_resources(struct worker *w, struct session *s)
{
	w->short_until_ms = w->now_ms + ACCEPT_RETRY_MS;
	if (w->now_us > s->accepted_us + RESOURCES_WAIT_US) {
		session_close(w, s, CLOSE_NO_RESOURCES);
		return;
	}
	set_deadline(w, s, w->now_ms + ACCEPT_RETRY_MS);
}

static bool is_out_of_resources(int r)
{
	/* ENOSPC: epoll's limit of what a user may watch. */
	return r == -EMFILE || r == -ENFILE || r == -ENOBUFS || r == -ENOMEM ||
	       r == -ENOSPC;
}

/* What a failed connect means for the server, for the log and for the session.
 * Return: false when the session is closed. */
static bool give_up_server(struct worker *w, struct session *s, int r)
{
	const struct rule *rule = worker_rule(w, s->rule);
	char server[ADDR_TEXT_LEN];

	log_limited(&connect_failed_limit, LOG_LEVEL_WARNING,
	            "connect2 to [%s] failed: %s", addr_format(&s->server_addr, server),
	            strerrordesc_np(-r));
	/* EADDRNOTAVAIL: we have no local port left for it; the server may be fine. */
	if (rule && r != -EADDRNOTAVAIL)
		balance_failed(rule, state_get(STATE_SERVER, s->server), clock_ms());
	r = remember_tried(w, s);
	session_close_server(s);
	if (r < 0)
		session_close(w, s, CLOSE_NO_RESOURCES);
	return r == 0;
}

static bool pick_server(struct worker *w, struct session *s)
{
	const struct rule *rule = worker_rule(w, s->rule);
	const struct tried *tried = s->tried ? &w->tried[s->tried] : NULL;
	const struct rule_server *server;
	enum balance_result r;

	if (!rule || rule->mode == RULE_MODE_G) {
		session_close(w, s, CLOSE_RULE_REMOVED);
		return false;
	}
	r = balance_pick(rule, &s->client_addr, tried ? tried->servers : NULL,
	                 tried ? tried->n : 0, w->now_ms, &server);
	if (r != BALANCE_PICKED) {
		session_close(w, s,
		              r == BALANCE_FULL ? CLOSE_SERVERS_FULL : CLOSE_NO_SERVER);
		return false;
	}
	s->server = server->state->state.index;
	s->server_addr = server->addr;
	return true;
}

static void limit_connect(struct worker *w, struct session *s)
{
	const struct rule *rule = worker_rule(w, s->rule);

	if (rule && rule->connect_timeout_s > 0)
		set_deadline(w, s, w->now_ms + rule->connect_timeout_s * 1000ULL);
	else
		set_deadline(w, s, NO_DEADLINE);
	limit_wait(w, s);
}

void connect_start(struct worker *w, struct session *s)
{
	uint32_t number = worker_number(w, s);

	while (s->server != 0 || pick_server(w, s)) {
		int r = open_server(w, s);

		if (r == 0) {
			limit_connect(w, s);
			session_set_state(w->table, number, SESSION_CONNECTING);
			return;
		}
		if (is_out_of_resources(r)) {
			wait_for_resources(w, s);
			return;
		}
		if (!give_up_server(w, s, r))
			return;
	}
}

static void try_next(struct worker *w, struct session *s, int r)
{
	/* What is over is the client's grace, not the server's time. */
	if (r == -ETIMEDOUT && may_have_left(s)) {
		session_close(w, s, CLOSE_CLIENT_LEFT);
		return;
	}
	session_set_state(w->table, worker_number(w, s), SESSION_ACCEPTED);
	if (give_up_server(w, s, r))
		connect_start(w, s);
}

/* The words of G5's debug lines, here and in copy.c. */
static void log_forward(const struct session *s)
{
	char client[ADDR_TEXT_LEN], listener[ADDR_TEXT_LEN], server[ADDR_TEXT_LEN];

	if (!log_is_debug())
		return;
	log_debug("forward2 [%s]#%d# - [%s] > [%s]#%d#",
	          addr_format(&s->client_addr, client), s->end[CLIENT].fd,
	          addr_format(&s->listener_addr, listener),
	          addr_format(&s->server_addr, server), s->end[SERVER].fd);
}

/* A port of this host that nobody listens on, and that the kernel happened to take as
 * our own: TCP connects that to itself (RFC 9293, simultaneous open). */
static bool is_own_echo(const struct session *s)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);
	struct addr own;

	if (getsockname(s->end[SERVER].fd, (struct sockaddr *)&sa, &len) < 0)
		return false;
	own = addr_from_sockaddr((struct sockaddr *)&sa);
	return addr_equal(&own, &s->server_addr);
}

static void on_connected(struct worker *w, struct session *s)
{
	const struct rule *rule = worker_rule(w, s->rule);

	if (is_own_echo(s)) {
		try_next(w, s, -ECONNREFUSED);
		return;
	}

	if (rule)
		balance_connected(rule, state_get(STATE_SERVER, s->server));
	connect_forget_tried(w, s);
	s->connected_us = w->now_us; /* as first_byte_us: their order is kept */
	s->last_active_ms = w->now_ms;
	session_set_state(w->table, worker_number(w, s), SESSION_RELAYING);
	log_forward(s);
	worker_set_idle_timer(w, s);
	bypassed_try(w, s);
	relay_of(s)->start(w, s);
}

static void on_client_event(struct worker *w, struct session *s)
{
	if (s->end[CLIENT].has_error) {
		session_close(w, s, CLOSE_CLIENT_LEFT);
		return;
	}
	limit_wait(w, s);
}

void connect_on_event(struct worker *w, struct session *s, int side)
{
	struct session_end *server = &s->end[SERVER];
	int error = 0;
	socklen_t len = sizeof(error);

	if (side == CLIENT) {
		on_client_event(w, s);
		return;
	}
	assert(s->state == SESSION_CONNECTING);
	if (server->has_error) {
		getsockopt(server->fd, SOL_SOCKET, SO_ERROR, &error, &len);
		try_next(w, s, error ? -error : -ECONNREFUSED);
	} else if (server->is_writable) {
		on_connected(w, s);
	}
}

void connect_on_timer(struct worker *w, struct session *s)
{
	if (s->state == SESSION_ACCEPTED)
		connect_start(w, s);
	else
		try_next(w, s, -ETIMEDOUT);
}
