/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * forward.h - the data plane as the rest of the program sees it.
 *
 * N workers share nothing on the hot path: each has a thread, an epoll, its own
 * listening sockets (SO_REUSEPORT) and its own sessions. The main thread publishes
 * configurations and asks for things to be done by each worker's
 * loop; it never touches a session itself.
 *
 * Thread: every function here belongs to the main thread, but for the callback.
 */
#ifndef G5X_FORWARD_FORWARD_H
#define G5X_FORWARD_FORWARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "forward/session.h"

struct config;
struct blocks;
struct bypass;
struct splice;
struct forward;
struct worker;

/* A client of a G rule, accepted and admitted; the receiver owns fd, and must call
 * client_state_leave() and state_unref() on the client state when it is gone. */
struct manage_client {
	int fd;
	struct addr addr, listener;
	unsigned int timeout_s; /* of the rule; 0: none */
	uint32_t client;        /* number of its client state, referenced */
};

struct forward_options {
	unsigned int n_workers;
	size_t max_sessions; /* 0: as many as file descriptors allow */
	size_t buffer_size;  /* bytes, of one direction */

	/* Called by a worker's thread; must not block. */
	void (*on_manage)(void *ctx, const struct manage_client *client);
	void *ctx;
};

/**
 * forward_new() - start the workers; nothing is listened on yet
 *
 * Return: 0 or -errno.
 */
int forward_new(const struct forward_options *options, struct forward **ret_forward);

/** forward_free() - reset every session, end the workers, close everything */
void forward_free(struct forward *f);

/**
 * forward_set_splice() - let sessions be spliced from now on
 * @sp: borrowed until forward_free(); its rings are read by the workers
 *
 * Return: 0 or -errno.
 */
int forward_set_splice(struct forward *f, struct splice *sp);

/** forward_set_bypass() - let sessions be bypassed; @bp: borrowed until forward_free() */
void forward_set_bypass(struct forward *f, struct bypass *bp);

/**
 * forward_publish() - go over to another configuration
 * @config:     borrowed until the next publish or forward_free()
 * @ret_failed: on failure, the address that could not be listened on
 *
 * Listens on new addresses first; if one fails, nothing has changed. Then every
 * worker switches; when this returns none uses the old configuration any more.
 * Listening sockets of addresses that stay are not touched.
 *
 * Return: 0 or -errno; -ENOSPC: with those of commands there would be too many blocks.
 */
int forward_publish(struct forward *f, const struct config *config,
                    struct addr *ret_failed);

/** forward_blocks() - those of the file are the ones of the configuration in force */
struct blocks *forward_blocks(struct forward *f);

/** forward_set_guarded() - are new connections counted before they get here as well? */
void forward_set_guarded(struct forward *f, bool is_guarded);

/** forward_on_full() - see limits_on_full() */
void forward_on_full(struct forward *f,
                     void (*fn)(void *ctx, const struct addr *client, bool is_full),
                     void *ctx, uint64_t max);

/** forward_stop_accepting() - serve whoever waits in a queue, then close listeners */
void forward_stop_accepting(struct forward *f);

/** forward_clean() - close sessions whose rule changed since; returns how many */
size_t forward_clean(struct forward *f);

/** forward_sessions() - to be read with session_copy() */
struct session_table *forward_sessions(struct forward *f);

unsigned int forward_n_workers(const struct forward *f);

/** forward_bytes() - of a copied record: sent on so far, of what came from end @from */
uint64_t forward_bytes(const struct forward *f, uint32_t number,
                       const struct session *copy, int from);

/** forward_n_closed() - sessions that ended for that reason, since the start */
uint64_t forward_n_closed(struct forward *f, enum close_reason reason);

/** forward_listener() - the @nth listener, or NULL; *ret_fd is worker 0's socket */
const struct addr *forward_listener(struct forward *f, size_t nth, int *ret_fd);

#endif /* G5X_FORWARD_FORWARD_H */
