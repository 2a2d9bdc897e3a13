/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* session_close.h - the one way out of a session. */
#ifndef G5X_FORWARD_SESSION_CLOSE_H
#define G5X_FORWARD_SESSION_CLOSE_H

#include "forward/session.h"

struct worker;

/**
 * session_close() - end a session: sockets, buffers, timer, counts, log line, record
 *
 * CLOSE_DONE closes both sockets in order; every other reason resets those that are
 * open, so that nobody takes a cut stream for a whole one. The record is free
 * afterwards: callers must not look at @s again.
 */
void session_close(struct worker *w, struct session *s, enum close_reason reason);

/** session_close_server() - give up the server, reset its socket; the client stays */
void session_close_server(struct session *s);

/** session_reset_fd() - close with a RST */
void session_reset_fd(int fd);

#endif /* G5X_FORWARD_SESSION_CLOSE_H */
