// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* wheel.c - see wheel.h. */
#include "base/wheel.h"

#include <string.h>

static struct wheel_timer *timer_at(const struct wheel *w, uint32_t index)
{
	return (struct wheel_timer *)(void *)ilink_at(w->timers, index);
}

void wheel_init(struct wheel *w, struct iarray timers, uint64_t now_ms)
{
	memset(w, 0, sizeof(*w));
	w->timers = timers;
	w->tick = now_ms / WHEEL_SLOT_MS;
}

static void mark(struct wheel *w, uint32_t slot)
{
	uint64_t bit = 1ULL << (slot % 64);

	if (slot == WHEEL_SLOTS)
		return;
	if (w->slots[slot].first)
		w->used[slot / 64] |= bit;
	else
		w->used[slot / 64] &= ~bit;
}

void wheel_clear(struct wheel *w, uint32_t index)
{
	struct wheel_timer *t = timer_at(w, index);

	if (!ilist_is_linked(w->timers, index))
		return;
	ilist_remove(&w->slots[t->slot], w->timers, index);
	mark(w, t->slot);
}

void wheel_set(struct wheel *w, uint32_t index, uint64_t due_ms)
{
	struct wheel_timer *t = timer_at(w, index);
	/* rounded up: never early */
	uint64_t tick = (due_ms + WHEEL_SLOT_MS - 1) / WHEEL_SLOT_MS;

	wheel_clear(w, index);
	if (tick < w->tick)
		tick = w->tick;
	t->due_ms = due_ms;
	t->slot = (uint32_t)(tick % WHEEL_SLOTS);
	ilist_append(&w->slots[t->slot], w->timers, index);
	mark(w, t->slot);
}

static void run_slot(struct wheel *w, uint32_t slot, uint64_t now_ms, wheel_fn fn,
                     void *ctx)
{
	struct ilist *running = &w->slots[WHEEL_SLOTS];
	uint32_t index;

	*running = w->slots[slot];
	w->slots[slot] = (struct ilist){ 0 };
	mark(w, slot);
	for (index = running->first; index; index = ilink_at(w->timers, index)->next)
		timer_at(w, index)->slot = WHEEL_SLOTS;

	while ((index = running->first) != 0) {
		uint64_t due_ms = timer_at(w, index)->due_ms;

		wheel_clear(w, index);
		if (due_ms <= now_ms)
			fn(ctx, index);
		else
			wheel_set(w, index, due_ms);
	}
}

void wheel_run(struct wheel *w, uint64_t now_ms, wheel_fn fn, void *ctx)
{
	uint64_t now_tick = now_ms / WHEEL_SLOT_MS;

	/* After a long stop (SIGSTOP) one turn of the wheel sees every timer. */
	if (now_tick > w->tick + WHEEL_SLOTS)
		w->tick = now_tick - WHEEL_SLOTS;
	while (w->tick <= now_tick) {
		uint32_t slot = (uint32_t)(w->tick % WHEEL_SLOTS);

		/* Advance first: what is due now and set by @fn goes one further. */
		w->tick++;
		if (w->slots[slot].first)
			run_slot(w, slot, now_ms, fn, ctx);
	}
}

int wheel_wait_ms(const struct wheel *w, uint64_t now_ms)
{
	uint32_t start = (uint32_t)(w->tick % WHEEL_SLOTS);

	for (uint32_t n = 0; n <= WHEEL_SLOTS / 64; n++) {
		uint32_t word = (start / 64 + n) % (WHEEL_SLOTS / 64);
		uint64_t bits = w->used[word];
		uint32_t slot, distance;
		uint64_t due_ms;

		if (n == 0)
			bits &= ~0ULL << (start % 64);
		else if (n == WHEEL_SLOTS / 64)
			bits &= (1ULL << (start % 64)) - 1;
		if (!bits)
			continue;
		slot = word * 64 + (uint32_t)__builtin_ctzll(bits);
		distance = (slot - start) % WHEEL_SLOTS;
		due_ms = (w->tick + distance) * WHEEL_SLOT_MS;
		return due_ms > now_ms ? (int)(due_ms - now_ms) : 0;
	}
	return -1;
}
