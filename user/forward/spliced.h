/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* spliced.h - the datapath through the kernel, and what of it the daemon does. */
#ifndef G5X_FORWARD_SPLICED_H
#define G5X_FORWARD_SPLICED_H

#include "forward/relay.h"

struct splice;

extern const struct relay spliced_relay;

/** spliced_attach() - on each worker, before any session is spliced; 0 or -errno */
int spliced_attach(struct worker *w, struct splice *sp);

/**
 * spliced_sync() - take over into the record what the kernel knows
 *
 * When bytes moved last, the first byte, response times. For copied sessions nothing.
 */
void spliced_sync(struct worker *w, struct session *s);

/** spliced_n_queued() - bytes in the kernel's queue for end @to; 0 if it is not spliced */
uint64_t spliced_n_queued(const struct worker *w, const struct session *s, int to);

/** spliced_leave() - before the sockets are closed; counts all bytes into the record */
void spliced_leave(struct worker *w, struct session *s);

/** spliced_forget() - after that */
void spliced_forget(struct worker *w, struct session *s);

/** spliced_turn() - once in each turn of the worker: have events been lost? */
void spliced_turn(struct worker *w);

/** spliced_wait_ms() - how long a turn may wait for events; -1: for ever */
int spliced_wait_ms(const struct worker *w);

#endif /* G5X_FORWARD_SPLICED_H */
