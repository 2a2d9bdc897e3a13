/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* accept.h - from a listening socket to a session, a management client or a refusal. */
#ifndef G5X_FORWARD_ACCEPT_H
#define G5X_FORWARD_ACCEPT_H

#include <stdbool.h>
#include <stdint.h>

struct port;
struct source;
struct worker;

/** accept_on_event() - the loop's callback of a port's source: clients are waiting */
void accept_on_event(struct source *source, uint32_t events);

/** accept_all() - take whoever waits now; before a port is closed */
void accept_all(struct port *port);

/**
 * accept_pause() - stop taking clients: no file descriptors
 * @with_manage: management ports too, which otherwise live on the reserve
 *
 * They stay in the kernel's queue. Resumed when a session of this worker ends, and
 * every ACCEPT_RETRY_MS in case one of another worker did.
 */
void accept_pause(struct worker *w, bool with_manage);
void accept_resume(struct worker *w);

#define ACCEPT_RETRY_MS 50

#endif /* G5X_FORWARD_ACCEPT_H */
