/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* accept.h - from a listening socket to a session, a management client or a refusal. */
#ifndef G5X_FORWARD_ACCEPT_H
#define G5X_FORWARD_ACCEPT_H

#include <stdint.h>

struct port;
struct source;
struct worker;

/** accept_on_event() - the loop's callback of a port's source: clients are waiting */
void accept_on_event(struct source *source, uint32_t events);

/** accept_all() - take whoever waits now; before a port is closed */
void accept_all(struct port *port);

/**
 * accept_resume() - let the port that has waited longest try again
 *
 * A port that finds no file descriptors takes no more clients; they stay in the kernel's
 * queue. One is resumed when a session of this worker ends (which is room for one more),
 * when another port has found room, and every ACCEPT_RETRY_MS in case a session of
 * another worker ended.
 */
void accept_resume(struct worker *w);

/** accept_forget() - a port that is about to be closed waits no more */
void accept_forget(struct port *port);

#define ACCEPT_RETRY_MS 50

#endif /* G5X_FORWARD_ACCEPT_H */
