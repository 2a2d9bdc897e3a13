/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * connect.h - find a server for an accepted client.
 *
 * Each server of the rule is tried at most once. What the client sends meanwhile
 * waits in its socket. When no server is left the client is reset.
 *
 * Every function may close the session.
 */
#ifndef G5X_FORWARD_CONNECT_H
#define G5X_FORWARD_CONNECT_H

struct session;
struct worker;

/** connect_start() - for a session in ACCEPTED: try the first, or the next server */
void connect_start(struct worker *w, struct session *s);

/** connect_on_event() - epoll reported @side of a session in ACCEPTED, CONNECTING */
void connect_on_event(struct worker *w, struct session *s, int side);

/** connect_on_timer() - the session's deadline passed */
void connect_on_timer(struct worker *w, struct session *s);

/** connect_forget_tried() - at the end of a session */
void connect_forget_tried(struct worker *w, struct session *s);

#endif /* G5X_FORWARD_CONNECT_H */
