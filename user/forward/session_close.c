// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * session_close.c - gives back whatever a session took, each thing once.
 *
 * What a session took in accept.c and connect.c is given back here and nowhere else, so no
 * limit can leak whatever way a session ends.
 */
#include "forward/session_close.h"

#include <sys/socket.h>
#include <unistd.h>

#include "forward/accept.h"
#include "forward/bypassed.h"
#include "forward/connect.h"
#include "forward/journal.h"
#include "forward/limits.h"
#include "forward/spliced.h"
#include "forward/worker.h"
#include "rules/balance.h"
#include "rules/state.h"

void session_reset_fd(int fd)
{
	const struct linger at_once = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(fd);
}

static void close_end(struct session_end *end, enum close_reason reason)
{
	if (end->fd < 0)
		return;
	if (reason == CLOSE_DONE)
		close(end->fd);
	else
		session_reset_fd(end->fd); /* session.h I2 */
	end->fd = -1;
}

static void leave_server(struct session *s)
{
	if (s->server == 0)
		return;
	balance_release(state_get(STATE_SERVER, s->server));
	s->server = 0;
}

void session_close_server(struct session *s)
{
	close_end(&s->end[SERVER], CLOSE_NO_SERVER);
	leave_server(s);
}

static void leave_limits(struct worker *w, struct session *s)
{
	struct client_state *client = state_get(STATE_CLIENT, s->client);
	struct rule_state *rule = state_get(STATE_RULE, s->rule);

	limits_leave(w->forward->limits, &s->client_addr);
	client_state_leave(client);
	state_unref(&client->state);
	__atomic_sub_fetch(&rule->n_sessions, 1, __ATOMIC_RELAXED);
	state_unref(&rule->state);
}

void session_close(struct worker *w, struct session *s, enum close_reason reason)
{
	uint32_t number = worker_number(w, s);

	session_set_state(w->table, number, SESSION_CLOSED);
	__atomic_add_fetch(&w->n_closed[reason], 1, __ATOMIC_RELAXED);
	spliced_leave(w, s);
	bypassed_leave(w, s);
	journal_session(s, reason);

	close_end(&s->end[CLIENT], reason);
	close_end(&s->end[SERVER], reason);
	spliced_forget(w, s);
	leave_server(s);
	leave_limits(w, s);
	connect_forget_tried(w, s);
	for (int i = 0; i < 2; i++) {
		pool_return(&w->pool, s->flow[i].buffer);
		s->flow[i].buffer = 0;
	}
	wheel_clear(&w->wheel, number);
	worker_forget_ready(w, number);
	session_free(w->table, number);
	accept_resume(w);
}
