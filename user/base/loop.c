// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* loop.c - see loop.h. The top bit of the number tells sources from slots. */
#include "base/loop.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define IS_SOURCE 0x80000000U

static uint64_t key(uint32_t number, uint32_t generation)
{
	return (uint64_t)generation << 32 | number;
}

static int watch(struct loop *loop, int op, int fd, uint64_t data, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.u64 = data };

	return epoll_ctl(loop->epoll_fd, op, fd, &ev) < 0 ? -errno : 0;
}

int loop_init(struct loop *loop, loop_slot_fn on_slot, void *slot_ctx)
{
	*loop = (struct loop){ .on_slot = on_slot, .slot_ctx = slot_ctx };
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0)
		return -errno;
	loop->events = calloc(LOOP_BATCH, sizeof(*loop->events));
	if (!loop->events) {
		close(loop->epoll_fd);
		return -ENOMEM;
	}
	return 0;
}

void loop_fini(struct loop *loop)
{
	if (loop->epoll_fd >= 0)
		close(loop->epoll_fd);
	free(loop->entries);
	free(loop->events);
	*loop = (struct loop){ .epoll_fd = -1 };
}

static struct loop_entry *entry_of(struct loop *loop, const struct source *source)
{
	assert(source->id > 0 && source->id <= loop->n_entries);
	assert(loop->entries[source->id - 1].source == source);
	return &loop->entries[source->id - 1];
}

static uint64_t source_key(struct loop *loop, const struct source *source)
{
	return key(IS_SOURCE | source->id, entry_of(loop, source)->generation);
}

/* Return: the id of a free entry, or 0 when out of memory. */
static uint32_t free_entry(struct loop *loop)
{
	uint32_t n_old = loop->n_entries;
	uint32_t n_new = n_old ? 2 * n_old : 16;
	struct loop_entry *entries;

	for (; loop->n_taken < loop->n_entries; loop->n_taken++)
		if (!loop->entries[loop->n_taken].source)
			return loop->n_taken + 1;

	entries = reallocarray(loop->entries, n_new, sizeof(*entries));
	if (!entries)
		return 0;
	for (uint32_t i = n_old; i < n_new; i++)
		entries[i] = (struct loop_entry){ 0 };
	loop->entries = entries;
	loop->n_entries = n_new;
	return n_old + 1;
}

int loop_add(struct loop *loop, struct source *source, uint32_t events)
{
	uint32_t id = free_entry(loop);
	int r;

	assert(source->id == 0);
	if (id == 0)
		return -ENOMEM;
	loop->entries[id - 1].source = source;
	loop->entries[id - 1].generation++;
	source->id = id;
	r = watch(loop, EPOLL_CTL_ADD, source->fd, source_key(loop, source), events);
	if (r < 0) {
		loop->entries[id - 1].source = NULL;
		source->id = 0;
	}
	return r;
}

int loop_modify(struct loop *loop, struct source *source, uint32_t events)
{
	return watch(loop, EPOLL_CTL_MOD, source->fd, source_key(loop, source), events);
}

void loop_remove(struct loop *loop, struct source *source)
{
	if (source->id == 0)
		return;
	entry_of(loop, source)->source = NULL;
	if (source->id - 1 < loop->n_taken)
		loop->n_taken = source->id - 1;
	watch(loop, EPOLL_CTL_DEL, source->fd, 0, 0);
	source->id = 0;
}

int loop_add_slot(struct loop *loop, int fd, uint32_t slot, uint32_t generation,
                  uint32_t events)
{
	assert(!(slot & IS_SOURCE));
	return watch(loop, EPOLL_CTL_ADD, fd, key(slot, generation), events);
}

int loop_modify_slot(struct loop *loop, int fd, uint32_t slot, uint32_t generation,
                     uint32_t events)
{
	assert(!(slot & IS_SOURCE));
	return watch(loop, EPOLL_CTL_MOD, fd, key(slot, generation), events);
}

static void dispatch_source(struct loop *loop, uint32_t id, uint32_t generation,
                            uint32_t events)
{
	struct loop_entry *e = &loop->entries[id - 1];

	if (e->source && e->generation == generation)
		e->source->on_event(e->source, events);
}

int loop_turn(struct loop *loop, int timeout_ms, void (*on_awake)(void *slot_ctx))
{
	int n = epoll_wait(loop->epoll_fd, loop->events, LOOP_BATCH, timeout_ms);

	int r = n < 0 ? -errno : n;

	if (r < 0 && r != -EINTR)
		return r;
	if (on_awake)
		on_awake(loop->slot_ctx);
	for (int i = 0; i < n; i++) {
		uint32_t number = (uint32_t)loop->events[i].data.u64;
		uint32_t generation = (uint32_t)(loop->events[i].data.u64 >> 32);

		if (number & IS_SOURCE)
			dispatch_source(loop, number & ~IS_SOURCE, generation,
			                loop->events[i].events);
		else
			loop->on_slot(loop->slot_ctx, number, generation,
			              loop->events[i].events);
	}
	return r;
}
