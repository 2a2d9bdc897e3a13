/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * bypassed.h - sessions whose applications are both on this host: see kernel/bypass.h.
 *
 * For the daemon such a session is a copied one (copy.c moves what goes the long way)
 * with a second set of counters.
 */
#ifndef G5X_FORWARD_BYPASSED_H
#define G5X_FORWARD_BYPASSED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct session;
struct worker;

/** bypassed_want() - a client came whose rule wants a bypass; is it on this host? */
void bypassed_want(struct worker *w, struct session *s);

/** bypassed_expect() - @fd is about to connect to the session's server */
void bypassed_expect(struct worker *w, const struct session *s, int fd);

/**
 * bypassed_try() - open the short way, if it is time and both ends are known
 *
 * When the session begins, and then at its first events: a server's end is known when
 * the last segment of the handshake has got there.
 */
void bypassed_try(struct worker *w, struct session *s);

/**
 * bypassed_hold() - the reader's queue is full: try the direction @from again later
 *
 * No event tells when a reader has read. A fast one has in the time of a few turns, so
 * some are spent on looking; then it is 1 ms, 2, 4 and so on to 32.
 */
void bypassed_hold(struct worker *w, struct session *s, int from);

/**
 * bypassed_n_to_send() - how many of @n bytes from end @from may be sent on now
 *
 * 0: see bypassed_hold().
 */
size_t bypassed_n_to_send(const struct worker *w, const struct session *s, int from,
                          size_t n);

/** bypassed_n_queued() - bytes that wait to be read by the application at end @to */
uint32_t bypassed_n_queued(const struct worker *w, const struct session *s, int to);

/** bypassed_sync() - take over into the record what the kernel knows */
void bypassed_sync(struct worker *w, struct session *s);

/** bypassed_leave() - before the sockets are closed; counts all bytes into the record */
void bypassed_leave(struct worker *w, struct session *s);

#endif /* G5X_FORWARD_BYPASSED_H */
