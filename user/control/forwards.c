// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* forwards.c - see forwards.h. */
#include "control/forwards.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "control/clients.h"
#include "control/commands.h"
#include "forward/forward.h"
#include "rules/alloc.h"
#include "rules/config.h"

#define LINE_END "\r\n"
#define PLACES_AT_ONCE 512

static void learn_name(struct forwards *f, uint32_t number, const char *id)
{
	if (number >= f->n_names) {
		size_t n = 2 * (size_t)number + 1;

		f->names = alloc_checked(reallocarray(f->names, n, sizeof(*f->names)));
		while (f->n_names < n)
			f->names[f->n_names++] = NULL;
	}
	free(f->names[number]);
	f->names[number] = alloc_text(id, strlen(id));
}

void forwards_learn(struct forwards *f, const struct config *config)
{
	for (size_t i = 0; i < config->n_rules; i++)
		learn_name(f, config->rules[i]->state->state.index,
		           config->rules[i]->id);
}

void forwards_fini(struct forwards *f)
{
	for (size_t i = 0; i < f->n_names; i++)
		free(f->names[i]);
	free(f->names);
	f->names = NULL;
	f->n_names = 0;
}

static int listener_fd(const struct forwards *f, const struct addr *addr)
{
	const struct addr *listener;
	int fd;

	for (size_t i = 0; (listener = forward_listener(f->forward, i, &fd)); i++)
		if (addr_equal(listener, addr))
			return fd;
	return -1;
}

static void put_number(FILE *out, struct listing *at)
{
	fprintf(out, "%6u : ", ++at->n_lines);
}

static void put_end(FILE *out, const char *before, const struct addr *addr, int fd)
{
	char text[ADDR_TEXT_LEN];

	fprintf(out, "%s [%s]#%d#", before, addr_format(addr, text), fd);
}

/* The functions below print what is at place @at->next; false when none is after. */

static bool put_listener(const struct forwards *f, FILE *out, struct listing *at)
{
	int fd;
	const struct addr *addr = forward_listener(f->forward, at->next++, &fd);

	if (!addr)
		return false;
	if (fd < 0)
		return true; /* closed: the program is about to end */
	put_number(out, at);
	put_end(out, "LISTEN", addr, fd);
	fputs(LINE_END, out);
	return true;
}

static bool put_client(const struct forwards *f, FILE *out, struct listing *at)
{
	const struct manage_client *client;

	if (at->next == CLIENTS_MAX)
		return false;
	client = clients_get(f->clients, at->next++);
	if (!client)
		return true;
	put_number(out, at);
	put_end(out, "CLIENT", &client->addr, client->fd);
	put_end(out, " - MANAGE", &client->listener, listener_fd(f, &client->listener));
	fputs(LINE_END, out);
	return true;
}

/* @from: which way the line looks, CLIENT ">" or SERVER "<" */
static void put_direction(const struct forwards *f, FILE *out, struct listing *at,
                          const struct session *s, uint32_t number, int from)
{
	const char *name = s->rule < f->n_names ? f->names[s->rule] : NULL;
	const char *state = s->state == SESSION_ACCEPTED ||
	                                    s->state == SESSION_CONNECTING
	                            ? "CONNECTING"
	                    : s->flow[from].len > 0 ? "SUSPENDED"
	                                            : "CONNECTED";

	put_number(out, at);
	put_end(out, "CLIENT", &s->client_addr, s->end[CLIENT].fd);
	put_end(out, from == CLIENT ? " - LISTEN" : " < LISTEN", &s->listener_addr,
	        listener_fd(f, &s->listener_addr));
	put_end(out, from == CLIENT ? " > SERVER" : " - SERVER", &s->server_addr,
	        s->end[SERVER].fd);
	fprintf(out, " %s rule=%s bytes=%" PRIu64 " datapath=%s" LINE_END, state,
	        name ? name : "?", forward_bytes(f->forward, number, s, from),
	        datapath_name(s->datapath));
}

static bool put_session(const struct forwards *f, FILE *out, struct listing *at)
{
	struct session_table *table = forward_sessions(f->forward);
	struct session s;
	uint32_t number;

	if (at->next >= session_n_touched(table))
		return false;
	number = ++at->next;
	if (!session_copy(table, number, &s) || s.rule == 0)
		return true;
	if (s.state != SESSION_ACCEPTED && s.state != SESSION_CONNECTING)
		put_direction(f, out, at, &s, number, CLIENT);
	put_direction(f, out, at, &s, number, SERVER);
	return true;
}

bool forwards_list(const struct forwards *f, FILE *out, struct listing *at)
{
	static bool (*const stages[])(const struct forwards *f, FILE *out,
	                              struct listing *at) = {
		put_listener,
		put_client,
		put_session,
	};

	for (int n = 0; n < PLACES_AT_ONCE && at->stage < ARRAY_SIZE(stages); n++) {
		if (stages[at->stage](f, out, at))
			continue;
		at->stage++;
		at->next = 0;
	}
	return at->stage < ARRAY_SIZE(stages);
}
