/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * relay.h - moving a session's bytes, whatever moves them.
 *
 * A datapath is a row of functions. copy (copy.h) reads and writes in the daemon and
 * is the reference; the kernel datapath splice (spliced.h) is another row, chosen per
 * session, and falls back to copy.
 */
#ifndef G5X_FORWARD_RELAY_H
#define G5X_FORWARD_RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "rules/config.h"

struct session;
struct worker;

/*
 * Each returns false when the session was closed meanwhile: its record is then no
 * longer the caller's.
 */
struct relay {
	/* Both ends are connected; bytes of the client may be waiting already. */
	bool (*start)(struct worker *w, struct session *s);
	/* epoll reported @side; the end's flags are up to date. */
	bool (*on_event)(struct worker *w, struct session *s, int side);
	/* Another share of work, for a session that asked to be ready. */
	bool (*on_ready)(struct worker *w, struct session *s);
	/* The time of a look has come: see looks.h. */
	bool (*on_look)(struct worker *w, struct session *s);
};

/* Of which a question and its answer are two. */
#define RELAY_PROMOTE_TURNS 128

/** relay_of() - the functions of a session's datapath */
const struct relay *relay_of(const struct session *s);

/** relay_choose() - what a rule's `datapath` means on this machine, to begin with */
enum datapath relay_choose(const struct worker *w, enum datapath wanted);

/**
 * relay_promote() - has a copied session shown that splicing pays? Then do it
 *
 * For rules with `datapath auto`: after 64 questions and answers that were small. It is
 * for who has nothing of the session in his hands. What else has to be true, and why, is
 * in relay.c.
 *
 * Return: as above.
 */
bool relay_promote(struct worker *w, struct session *s);

/**
 * relay_on_direction_ended() - a FIN was passed on: the session's state, or its end
 *
 * Return: as above.
 */
bool relay_on_direction_ended(struct worker *w, struct session *s);

#endif /* G5X_FORWARD_RELAY_H */
