// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* looks.c - see looks.h. */
#include "forward/looks.h"

#include <stddef.h>

#include "forward/relay.h"
#include "forward/worker.h"

static struct iarray links(const struct worker *w)
{
	return (struct iarray){
		.base = (char *)w->sessions + offsetof(struct session, drain.link),
		.stride = sizeof(struct session),
	};
}

void looks_later(struct worker *w, struct session *s, uint64_t at_ms)
{
	struct looks *l = &w->looks;
	uint32_t number = worker_number(w, s);

	if (!l->list.first || at_ms < l->next_ms)
		l->next_ms = at_ms;
	if (!ilist_is_linked(links(w), number))
		ilist_append(&l->list, links(w), number);
	else if (s->drain.look_ms < at_ms)
		return;
	s->drain.look_ms = at_ms;
}

void looks_forget(struct worker *w, struct session *s)
{
	uint32_t number = worker_number(w, s);

	if (ilist_is_linked(links(w), number))
		ilist_remove(&w->looks.list, links(w), number);
}

/* Those that have to wait on are appended again, behind @last. A look may close its own
 * session, but no other one. */
static void run_due(struct worker *w)
{
	uint32_t number = w->looks.list.first, last = w->looks.list.last, next;

	for (bool is_last = false; !is_last; number = next) {
		struct session *s = &w->sessions[number];

		is_last = number == last;
		next = s->drain.link.next;
		if (s->drain.look_ms > w->now_ms)
			continue;
		looks_forget(w, s);
		relay_of(s)->on_look(w, s);
	}
}

void looks_run(struct worker *w)
{
	struct looks *l = &w->looks;

	if (!l->list.first || w->now_ms < l->next_ms)
		return;
	run_due(w);
	l->next_ms = UINT64_MAX;
	for (uint32_t i = l->list.first; i != 0; i = w->sessions[i].drain.link.next)
		if (w->sessions[i].drain.look_ms < l->next_ms)
			l->next_ms = w->sessions[i].drain.look_ms;
}

int looks_wait_ms(const struct worker *w)
{
	if (!w->looks.list.first)
		return -1;
	return w->looks.next_ms > w->now_ms ? (int)(w->looks.next_ms - w->now_ms) : 0;
}
