/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * splice.h - sessions whose bytes the kernel moves: bpf/splice.bpf.c seen from here.
 *
 * The caller has two connected TCP sockets and no byte of them in its hands. After
 * splice_insert() the kernel forwards; what it does not forward (a slow reader is over
 * its limit) it passes up, and the caller relays it under these rules:
 *
 * I1: write into a socket, end it (FIN) or close it only while splice_is_drained() of
 *     the direction that leads to it: nothing is queued for it in the kernel.
 * I2: pass a FIN on only when, besides, all that was passed up has been relayed.
 * I3: close when both directions are finished, or reset both ends.
 * I4: read nothing from a spliced socket that the kernel has not counted as passed.
 * I5: (kept by the program) the kernel takes on only what the destination's send buffer
 *     has room for; so a slow reader holds that much, and its sender's receive buffer.
 * I6: (kept by the program) while one direction is passed up, the other is as well.
 *
 * A socket never leaves the map but by being closed: taking a live one out loses or
 * repeats bytes (seen on Linux 6.18).
 *
 * Thread: a session belongs to one thread, as does a worker's ring; sessions do not
 * disturb each other. Counters may be read by any thread.
 */
#ifndef G5X_KERNEL_SPLICE_H
#define G5X_KERNEL_SPLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "g5x_abi.h"

struct splice;

#define SPLICE_LIMIT_DEFAULT (1U << 20)

struct splice_options {
	uint32_t n_sessions; /* highest session number that can be spliced */
	unsigned int n_workers;
	/* Chunks do not carry sequence numbers, so none are checked; zero is right for
	 * Linux 6.0 and newer. See bpf/splice.bpf.c. */
	bool has_no_sequence;
};

/* What to hand over; slots are 2 * number and 2 * number + 1. */
struct splice_pair {
	int fd[2]; /* client, server */
	uint32_t number;
	uint32_t generation;
	unsigned int worker;
	uint32_t limit; /* bytes: the send buffer of each */
	bool wants_responses;
	/* For whoever reads the map; may be too long, then they are cut. */
	const char *rule, *client, *listener, *server;
};

/**
 * splice_start() - open, and have it pass the self-test of this kernel
 * @reason: gets why not, or what the self-test says, as part of a line for the log
 *
 * Takes about a quarter of a second, a few at the most.
 *
 * Return: 0 or -errno.
 */
int splice_start(const struct splice_options *options, struct splice **ret_splice,
                 char *reason, size_t len);

/**
 * splice_open() - load the program, make its maps
 *
 * Return: 0 or -errno; *ret_step names what failed.
 */
int splice_open(const struct splice_options *options, struct splice **ret_splice,
                const char **ret_step);

/** splice_close() - every session must be gone; NULL is fine */
void splice_close(struct splice *sp);

/**
 * splice_pin() - give the maps names below @dir, made if need be, on a bpffs
 *
 * Names that a killed program left are replaced.
 *
 * Return: 0; -EBUSY when another program that runs uses @dir; -EMEDIUMTYPE when it is
 * not on a bpffs; or another -errno. Nothing is pinned then.
 */
int splice_pin(struct splice *sp, const char *dir);

/**
 * splice_insert() - let the kernel forward between the two
 * @ret_is_in: which of the ends are in the map now, when 0 is returned
 *
 * One end alone is enough for 0: its bytes are all passed up, those of the other end are
 * not seen by the program, and the caller moves both.
 *
 * Return: 0; -EOPNOTSUPP when neither is ESTABLISHED any more; -ENOSPC when the number
 * is too high; or another -errno. The sockets are as they were then, except that their
 * send buffers may have been set to the limit.
 */
int splice_insert(struct splice *sp, const struct splice_pair *pair, bool ret_is_in[2]);

/** splice_was_reset() - did the insertion learn of it? The socket does not tell again */
bool splice_was_reset(const struct splice *sp, uint32_t number, int side);

/**
 * splice_detach() - the first half of the end: no chunk finds the session any more
 *
 * To be called before the sockets are closed, so that none of its bytes can get to who
 * has the slots next; splice_forget() after.
 */
void splice_detach(struct splice *sp, uint32_t number);
void splice_forget(struct splice *sp, uint32_t number);

/** splice_session() - the session's entry in the map, shared with the kernel */
struct g5x_session *splice_session(const struct splice *sp, uint32_t number);
struct g5x_totals *splice_totals(const struct splice *sp);
uint32_t splice_n_sessions(const struct splice *sp);

/** splice_set_state() - for whoever reads the map */
void splice_set_state(struct splice *sp, uint32_t number, enum g5x_session_state state);

/**
 * splice_n_queued() - bytes from end @from queued in the kernel for @fd, the other end
 *
 * Exact while something is passed and not relayed, or the source has ended (then the
 * kernel redirects nothing); otherwise it may be too much, never too little.
 */
uint64_t splice_n_queued(const struct splice *sp, uint32_t number, int from, int fd);

/**
 * splice_make_room() - for when I5 was not kept: bytes queued for @fd do not get into it
 *
 * The program estimates what they cost as part of a send buffer. If that was too little,
 * what comes from @fd and is passed up waits behind them, uncharged. So the send buffer
 * has to grow: once, to twice the limit.
 */
void splice_make_room(struct splice *sp, uint32_t number, int fd);

/**
 * splice_fit_receive_buffer() - for when passed bytes wait, because their reader is slow
 *
 * What is on its way into the queue of a socket when it begins to pass bytes up holds those
 * up, uncharged, and its peer sends on meanwhile. Charged at once, they may be more than the
 * receive buffer; then TCP drops what comes next, shuts the window without notice, and
 * does not take acknowledgements any more (their sequence numbers are beyond the window),
 * so that the other direction stalls (6.18). With a buffer that holds them that ends.
 */
void splice_fit_receive_buffer(struct splice *sp, int fd);

/** splice_is_drained() - I1: may the caller write into @fd, the end opposite @from? */
static inline bool splice_is_drained(const struct splice *sp, uint32_t number, int from,
                                     int fd)
{
	return splice_n_queued(sp, number, from, fd) == 0;
}

/* Counters, in the order that makes them mean something: see splice.c. */
uint64_t splice_n_redirected(const struct splice *sp, uint32_t number, int from);
uint64_t splice_n_passed(const struct splice *sp, uint32_t number, int from);
uint64_t splice_n_relayed(const struct splice *sp, uint32_t number, int from);

/**
 * splice_relayed() - @n passed bytes are in the destination now
 *
 * Return: true while more passed bytes were waiting all the time, so that I1 still holds;
 * false when the kernel may have gone back to redirecting.
 */
bool splice_relayed(struct splice *sp, uint32_t number, int from, uint32_t n);

/**
 * splice_take_response_us() - mean of the response times since the last call
 *
 * Return: microseconds, or -1 when there was none.
 */
int64_t splice_take_response_us(struct splice *sp, uint32_t number);

/* ---- events ---------------------------------------------------------------- */

/** splice_events_fd() - readable when splice_read_events() has something to say */
int splice_events_fd(const struct splice *sp, unsigned int worker);

typedef void (*splice_event_fn)(void *ctx, const struct g5x_event *event);

/**
 * splice_read_events() - call @fn for each direction that began to pass bytes up
 *
 * Return: false when events were lost since the last call: look at all of the worker's
 * sessions.
 */
bool splice_read_events(struct splice *sp, unsigned int worker, splice_event_fn fn,
                        void *ctx);

/** splice_has_lost_events() - would splice_read_events() return false? */
bool splice_has_lost_events(const struct splice *sp, unsigned int worker);

/* ---- is it right on this kernel? ------------------------------------------- */

/**
 * splice_self_test() - bytes through a spliced loopback session, compared
 * @reason: gets the answer as part of a line for the log
 *
 * Early bytes, 32 MiB (fewer when that takes long), a slow reader, a half-close. Gives up
 * when nothing has moved for a second, and after four in any case.
 * Uses session number 1 of @sp, which must be free.
 *
 * Return: 0 when all was right; -EBADMSG when bytes were wrong, -ETIMEDOUT when they did
 * not come, or another -errno.
 */
int splice_self_test(struct splice *sp, char *reason, size_t len);

#endif /* G5X_KERNEL_SPLICE_H */
