/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * looks.h - sessions to look at again in a while, since no event will tell.
 *
 * That a queue in the kernel has drained, or that an application has read, is only seen
 * by looking (spliced.c, bypassed.c). The wheel is too coarse for this: first looks are
 * due after a millisecond.
 *
 * Each worker has a list of its own. A session is in it once, with the soonest time that
 * was asked for.
 */
#ifndef G5X_FORWARD_LOOKS_H
#define G5X_FORWARD_LOOKS_H

#include <stdint.h>

#include "base/ilist.h"

struct session;
struct worker;

struct looks {
	struct ilist list; /* by session_drain.link */
	uint64_t next_ms;  /* while there are any: none is due before */
};

/** looks_later() - have relay.on_look() called for @s once @at_ms has come */
void looks_later(struct worker *w, struct session *s, uint64_t at_ms);

/** looks_forget() - do not, if that is still to come */
void looks_forget(struct worker *w, struct session *s);

/** looks_run() - at those that are due; as often as you like */
void looks_run(struct worker *w);

/** looks_wait_ms() - until the first of them may be due; -1: there is none */
int looks_wait_ms(const struct worker *w);

#endif /* G5X_FORWARD_LOOKS_H */
