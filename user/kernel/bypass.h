/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * bypass.h - sessions between two applications of this host, past their daemon.
 *
 * The daemon keeps both TCP connections of such a session and relays what comes by them;
 * bpf/bypass.bpf.c lets each application put most of its bytes into the other's receive
 * queue itself. Which way a message takes is decided anew for each, so a session that is
 * paired is still a copied one for the daemon, which has but one thing to tell:
 *
 * B5: bypass_relayed() follows each send to an end, before anything else is read there,
 *     and never comes before it.
 *
 * B1 to B4: see bpf/bypass.bpf.c. What ends a session (FIN, reset) goes by TCP and so
 * comes after what it has to come after.
 *
 * Worker threads call what takes a number, each for its own sessions.
 */
#ifndef G5X_KERNEL_BYPASS_H
#define G5X_KERNEL_BYPASS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "g5x_abi.h"

struct bypass;

struct bypass_options {
	uint32_t n_sessions; /* highest session number */
	/* Have a verdict program read what comes by TCP; see g5x_pass in
	 * bpf/bypass.bpf.c. bypass_start() finds out. */
	bool has_verdict;
};

/**
 * bypass_start() - open, and have it pass the self-test of this kernel
 * @reason: gets why not, or what the self-test says, as part of a line for the log
 *
 * Return: 0 or -errno.
 */
int bypass_start(const struct bypass_options *options, struct bypass **ret_bypass,
                 char *reason, size_t len);

/** bypass_open() - without the test; *ret_step names what failed. 0 or -errno */
int bypass_open(const struct bypass_options *options, struct bypass **ret_bypass,
                const char **ret_step);

/**
 * bypass_close() - sessions must be gone; NULL is fine
 *
 * What applications have not read yet stays where it is until they have.
 */
void bypass_close(struct bypass *bp);

/** bypass_pin() - as splice_pin(), in the directory `bypass` below @dir */
int bypass_pin(struct bypass *bp, const char *dir);

/* ---- where clients find us ------------------------------------------------- */

/** bypass_forget_listeners() - none from now on; sessions go on */
void bypass_forget_listeners(struct bypass *bp);

/** bypass_add_listener() - any thread; all addresses of this host for a wildcard
 *
 * Only clients that connect after it are seen. 0 or -errno.
 */
int bypass_add_listener(struct bypass *bp, const struct addr *addr);

/* ---- sessions -------------------------------------------------------------- */

/** bypass_is_local() - is the client of an accepted socket an application here? */
bool bypass_is_local(const struct bypass *bp, int fd);

/** bypass_expect() - @fd is about to connect to a server; 0 or -errno */
int bypass_expect(struct bypass *bp, int fd);

struct bypass_pair {
	int fd[2]; /* ours: of the client, of the server */
	uint32_t number;
	uint32_t limit;      /* bytes in the queue of a reader, at the most */
	uint64_t relayed[2]; /* so far, from client and from server */
	bool wants_responses;
	/* For whoever reads the map; may be too long, then they are cut. */
	const char *rule, *client, *listener, *server;
};

/**
 * bypass_pair() - let both applications go the short way from now on
 *
 * Both sockets must be connected, the second after bypass_expect().
 *
 * Return: 0; -EAGAIN when the server's end is not known, or not known yet; -ENOENT when
 * the client's is not; -ENOSPC when the number is too high; or another -errno.
 */
int bypass_pair(struct bypass *bp, const struct bypass_pair *pair);

/** bypass_unpair() - before the sockets are closed; nothing for who is not paired */
void bypass_unpair(struct bypass *bp, uint32_t number);

/**
 * bypass_may_send() - is there room for @n bytes more of what end @from has sent?
 *
 * Return: false when they are to be kept for a while; no event tells when.
 */
bool bypass_may_send(const struct bypass *bp, uint32_t number, int from, uint32_t n);

/**
 * bypass_n_by_tcp() - when it may not: how many of them could go by TCP
 *
 * Not 0 only while the reader leaves bytes unread that came to it by TCP; these would follow
 * them. It is for a reader that seems to wait for more before it reads.
 */
uint32_t bypass_n_by_tcp(const struct bypass *bp, uint32_t number, int from);

/** bypass_n_queued() - bytes from end @from that wait to be read by the other */
uint32_t bypass_n_queued(const struct bypass *bp, uint32_t number, int from);

/** bypass_was_cut() - did the reader of what @from sent close without reading it all? */
bool bypass_was_cut(const struct bypass *bp, uint32_t number, int from);

/** bypass_relayed() - B5. @n: bytes from end @from since the session began */
void bypass_relayed(struct bypass *bp, uint32_t number, int from, uint64_t n);

/** bypass_session() - the session's entry in the map, shared with the kernel */
struct g5x_bypass_session *bypass_session(const struct bypass *bp, uint32_t number);

/** bypass_n_direct() - bytes from end @from that the daemon never saw */
uint64_t bypass_n_direct(const struct bypass *bp, uint32_t number, int from);

/** bypass_last_ms() - when a byte from end @from last moved, as clock_ms(); 0: never */
uint64_t bypass_last_ms(const struct bypass *bp, uint32_t number, int from);

/** bypass_first_us() - when the first byte from end @from did; 0: never */
uint64_t bypass_first_us(const struct bypass *bp, uint32_t number, int from);

/** bypass_take_response_us() - mean since the last call; -1 when there was none */
int64_t bypass_take_response_us(struct bypass *bp, uint32_t number);

/* ---- is it right on this kernel? ------------------------------------------- */

/**
 * bypass_self_test() - bytes through a bypassed loopback session, compared
 * @reason: gets the answer as part of a line for the log
 *
 * Uses session number 1, which must be free.
 *
 * Return: 0; -EBADMSG when bytes were wrong; -ENOTSUP when a reader's queue is not charged
 * to it, or FIONREAD is wrong; -ETIMEDOUT when bytes did not come; or another -errno.
 */
int bypass_self_test(struct bypass *bp, char *reason, size_t len);

#endif /* G5X_KERNEL_BYPASS_H */
