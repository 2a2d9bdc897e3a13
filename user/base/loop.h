/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * loop.h - one epoll instance and what to do when it reports.
 *
 * epoll's user data is a number and a generation, never a pointer. Two kinds of
 * things are watched:
 *
 *     slots    a caller's own numbered objects (session ends), many; one callback
 *     sources  listeners, wake-ups, management clients: few, each its callback
 *
 * One epoll_wait(2) returns many events; handling one may close what a later one is
 * about, and its number may be in use again. So an event whose generation is not the
 * object's is dropped: the caller checks it for slots, the loop for sources. That is
 * also why nothing has to be freed late.
 */
#ifndef G5X_BASE_LOOP_H
#define G5X_BASE_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

struct loop;
struct source;

#define LOOP_BATCH 256 /* events of one turn at the most */

typedef void (*loop_slot_fn)(void *ctx, uint32_t slot, uint32_t generation,
                             uint32_t events);

/* Embedded in its owner, which container_of() finds again. Zeroed: not watched. */
struct source {
	void (*on_event)(struct source *source, uint32_t events);
	int fd;      /* owned by the owner */
	uint32_t id; /* the loop's; 0: not watched */
};

struct loop_entry {
	struct source *source; /* NULL: free */
	uint32_t generation;
};

struct loop {
	int epoll_fd;
	loop_slot_fn on_slot;
	void *slot_ctx;
	struct loop_entry *entries; /* owned; entry of id is entries[id - 1] */
	uint32_t n_entries;
	uint32_t n_taken;           /* entries before this one are not free */
	struct epoll_event *events; /* owned; one batch */
};

/** loop_init() - @on_slot may be NULL where there are only sources. 0 or -errno. */
int loop_init(struct loop *loop, loop_slot_fn on_slot, void *slot_ctx);
void loop_fini(struct loop *loop);

/** loop_add() - watch source->fd; 0 or -errno */
int loop_add(struct loop *loop, struct source *source, uint32_t events);
int loop_modify(struct loop *loop, struct source *source, uint32_t events);

/** loop_remove() - stop watching; the fd stays open; nothing if it is not watched */
void loop_remove(struct loop *loop, struct source *source);

/**
 * loop_add_slot() - watch a caller's object
 * @slot: below 2^31
 *
 * Closing the fd ends it (when no other fd refers to the same open file).
 *
 * Return: 0 or -errno.
 */
int loop_add_slot(struct loop *loop, int fd, uint32_t slot, uint32_t generation,
                  uint32_t events);

/** loop_modify_slot() - watch it for other events; what is so already is reported */
int loop_modify_slot(struct loop *loop, int fd, uint32_t slot, uint32_t generation,
                     uint32_t events);

/**
 * loop_turn() - wait for events once and handle them
 * @timeout_ms: as epoll_wait(2)
 * @on_awake:   called after the wait, before the first event (to read the clock);
 *              or NULL
 *
 * Return: the number of events, LOOP_BATCH when there may be more, or -errno. -EINTR
 * (a signal, or a stop and SIGCONT) tells nothing of what waits.
 */
int loop_turn(struct loop *loop, int timeout_ms, void (*on_awake)(void *slot_ctx));

#endif /* G5X_BASE_LOOP_H */
