// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* test_wheel.c - user/base/wheel.c: timers against a list that is looked through. */
#include "test.h"

#include "base/cleanup.h"
#include "base/wheel.h"
#include "dice.h"

#define N 100
#define SLOT WHEEL_SLOT_MS
#define TURN_MS ((uint64_t)WHEEL_SLOTS * WHEEL_SLOT_MS)
#define START_MS 1000000007ULL
#define ROUNDS 30000

struct object {
	uint64_t other;
	struct wheel_timer timer;
};

static struct object objects[N + 1]; /* from 1 */
static struct wheel wheel;
static struct dice dice;
static uint64_t now_ms;
static uint64_t ran_ms; /* at the last wheel_run() */

/* The naive list. */
static struct {
	bool is_armed;
	uint64_t due_ms, set_ms;
	uint64_t first_ms; /* slots before this one were run when it was set */
} model[N + 1];
static unsigned int n_fired[N + 1];

static int start_empty(void **state)
{
	(void)state;

	memset(objects, 0, sizeof(objects));
	memset(model, 0, sizeof(model));
	memset(n_fired, 0, sizeof(n_fired));
	dice = (struct dice){ 42 };
	now_ms = ran_ms = START_MS;
	wheel_init(&wheel,
	           (struct iarray){ .base = (char *)&objects[0].timer,
	                            .stride = sizeof(objects[0]) },
	           now_ms);
	return 0;
}

static void set(uint32_t index, uint64_t due_ms)
{
	wheel_set(&wheel, index, due_ms);
	model[index].is_armed = true;
	model[index].due_ms = due_ms;
	model[index].set_ms = now_ms;
	model[index].first_ms = (ran_ms / SLOT + 1) * SLOT;
}

static void clear(uint32_t index)
{
	wheel_clear(&wheel, index);
	model[index].is_armed = false;
}

/* Near, soon, beyond one turn of the wheel, or past. */
static uint64_t some_due_ms(void)
{
	switch (dice_roll(&dice, 4)) {
	case 0:
		return now_ms + dice_roll(&dice, 3 * SLOT);
	case 1:
		return now_ms + dice_roll(&dice, 20000);
	case 2:
		return now_ms + dice_roll(&dice, 5 * TURN_MS);
	default:
		return now_ms - dice_roll(&dice, 1000);
	}
}

static void on_fired(void *ctx, uint32_t index)
{
	assert_ptr_equal(ctx, &wheel);
	assert_true(model[index].is_armed);
	assert_true(model[index].due_ms <= now_ms); /* never early */
	model[index].is_armed = false;
	n_fired[index]++;
}

static void run(void)
{
	wheel_run(&wheel, now_ms, on_fired, &wheel);
	ran_ms = now_ms;
}

static uint64_t max64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* The latest moment at which @index may fire when each slot is run in time. */
static uint64_t latest_ms(uint32_t index)
{
	return max64(model[index].due_ms, model[index].set_ms) + SLOT;
}

/* The beginning of the slot that it waits for. */
static uint64_t slot_ms(uint32_t index)
{
	return max64((model[index].due_ms + SLOT - 1) / SLOT * SLOT,
	             model[index].first_ms);
}

static void assert_none_is_late(void)
{
	for (uint32_t i = 1; i <= N; i++)
		assert_true(!model[i].is_armed || now_ms < latest_ms(i));
}

/* The waiting time must not miss the slot in which the next timer is due. */
static void assert_wait_is_right(void)
{
	int wait_ms = wheel_wait_ms(&wheel, now_ms);
	uint64_t next_ms = UINT64_MAX;

	for (uint32_t i = 1; i <= N; i++)
		if (model[i].is_armed && slot_ms(i) < next_ms)
			next_ms = slot_ms(i);
	if (next_ms == UINT64_MAX) {
		assert_int_equal(wait_ms, -1);
		return;
	}
	assert_true(wait_ms >= 0);
	assert_true((uint64_t)wait_ms <= (next_ms > now_ms ? next_ms - now_ms : 0));
	/* Timers more than a turn away may wake us sooner, others may not. */
	for (uint32_t i = 1; i <= N; i++)
		if (model[i].is_armed && model[i].due_ms >= ran_ms + TURN_MS - SLOT)
			return;
	assert_int_equal(wait_ms, next_ms > now_ms ? next_ms - now_ms : 0);
}

static void change_something(void)
{
	uint32_t index = 1 + (uint32_t)dice_roll(&dice, N);

	if (dice_roll(&dice, 3) == 0)
		clear(index);
	else
		set(index, some_due_ms());
}

static void run_every_slot_no_timer_is_early_or_a_slot_late(void **state)
{
	(void)state;

	now_ms = START_MS / SLOT * SLOT;
	for (int round = 0; round < ROUNDS; round++) {
		uint64_t begin_ms = now_ms;

		run();
		assert_none_is_late();
		for (uint64_t n = dice_roll(&dice, 3); n > 0; n--) {
			now_ms = begin_ms + dice_roll(&dice, SLOT);
			change_something();
		}
		now_ms = begin_ms + SLOT;
	}
}

static void run_at_any_time_every_timer_whose_slot_has_begun_fires(void **state)
{
	(void)state;

	for (int round = 0; round < ROUNDS; round++) {
		change_something();
		assert_wait_is_right();
		now_ms += dice_roll(&dice, 300);
		assert_wait_is_right();
		if (dice_roll(&dice, 500) == 0)
			now_ms += dice_roll(&dice, 10 * TURN_MS); /* a long stop */
		run();
		for (uint32_t i = 1; i <= N; i++)
			assert_true(!model[i].is_armed || slot_ms(i) > now_ms);
		assert_wait_is_right();
	}
}

static void sleeping_as_long_as_wheel_wait_ms_says_is_enough(void **state)
{
	unsigned int n_wakes = 0;
	int wait_ms;

	(void)state;
	for (uint32_t i = 1; i <= N; i++)
		set(i, now_ms + dice_roll(&dice, 3 * TURN_MS));

	while ((wait_ms = wheel_wait_ms(&wheel, now_ms)) >= 0) {
		now_ms += (uint64_t)wait_ms;
		run();
		assert_none_is_late();
		n_wakes++;
	}
	for (uint32_t i = 1; i <= N; i++)
		assert_int_equal(n_fired[i], 1);
	/* itself, and one look for each turn before: no more than that */
	assert_true(n_wakes <= N * 3 + 1);
}

static void a_timer_far_away_fires_once_and_in_its_time(void **state)
{
	const uint64_t year_ms = 365ULL * 24 * 3600 * 1000;
	const uint64_t start_ms = now_ms;

	(void)state;
	set(1, start_ms + TURN_MS);
	set(2, start_ms + TURN_MS - 1);
	set(3, start_ms + 3 * TURN_MS + 5);
	set(4, start_ms + year_ms);

	for (; now_ms <= start_ms + 4 * TURN_MS; now_ms += SLOT) {
		run();
		assert_none_is_late();
	}
	for (uint32_t i = 1; i <= 3; i++)
		assert_int_equal(n_fired[i], 1);
	assert_int_equal(n_fired[4], 0);
	now_ms = start_ms + year_ms + SLOT;
	run();
	assert_int_equal(n_fired[4], 1);
}

static void a_timer_set_again_fires_at_its_new_time_only(void **state)
{
	(void)state;
	set(1, now_ms + SLOT);
	set(1, now_ms + 10 * SLOT);
	set(2, now_ms + 10 * SLOT);
	set(2, now_ms + SLOT);

	now_ms += 2 * SLOT;
	run();
	assert_int_equal(n_fired[1], 0);
	assert_int_equal(n_fired[2], 1);
	now_ms += 20 * SLOT;
	run();
	assert_int_equal(n_fired[1], 1);
	assert_int_equal(n_fired[2], 1);
	assert_int_equal(wheel_wait_ms(&wheel, now_ms), -1);
}

static void clearing_what_is_not_armed_does_nothing(void **state)
{
	(void)state;

	clear(1);
	assert_int_equal(wheel_wait_ms(&wheel, now_ms), -1);
	set(1, now_ms + SLOT);
	clear(1);
	clear(1);
	assert_int_equal(wheel_wait_ms(&wheel, now_ms), -1);
	now_ms += TURN_MS;
	run();
	assert_int_equal(n_fired[1], 0);
}

/* The first of a slot that fires clears all others of it. */
static void clear_the_others(void *ctx, uint32_t index)
{
	on_fired(ctx, index);
	for (uint32_t i = 1; i <= N; i++)
		if (i != index)
			clear(i);
}

static void a_callback_may_clear_what_is_due_in_the_same_slot(void **state)
{
	unsigned int n = 0;

	(void)state;
	for (uint32_t i = 1; i <= N; i++)
		set(i, now_ms);

	now_ms += 2 * SLOT;
	wheel_run(&wheel, now_ms, clear_the_others, &wheel);
	for (uint32_t i = 1; i <= N; i++)
		n += n_fired[i];
	assert_int_equal(n, 1);
	assert_int_equal(wheel_wait_ms(&wheel, now_ms), -1);
}

/* Random changes of any timer, also of the one that fires. */
static void change_some(void *ctx, uint32_t index)
{
	on_fired(ctx, index);
	for (uint64_t n = dice_roll(&dice, 4); n > 0; n--)
		change_something();
}

static void a_callback_may_set_and_clear_any_timer(void **state)
{
	(void)state;

	for (int round = 0; round < ROUNDS; round++) {
		change_something();
		now_ms += dice_roll(&dice, 100);
		if (dice_roll(&dice, 500) == 0)
			now_ms += dice_roll(&dice, 2 * TURN_MS);
		wheel_run(&wheel, now_ms, change_some, &wheel);
		ran_ms = now_ms;
	}
	/* nothing was lost on the way */
	now_ms += 6 * TURN_MS;
	run();
	for (uint32_t i = 1; i <= N; i++)
		assert_false(model[i].is_armed);
	assert_int_equal(wheel_wait_ms(&wheel, now_ms), -1);
}

/* Due at once, each time. */
static void set_myself(void *ctx, uint32_t index)
{
	on_fired(ctx, index);
	set(index, now_ms);
}

static void a_timer_that_sets_itself_due_does_not_hold_up_the_run(void **state)
{
	(void)state;
	set(1, now_ms);

	now_ms += SLOT;
	wheel_run(&wheel, now_ms, set_myself, &wheel);
	assert_in_range(n_fired[1], 1, 2);
	n_fired[1] = 0;
	now_ms += 100 * TURN_MS;
	wheel_run(&wheel, now_ms, set_myself, &wheel);
	assert_in_range(n_fired[1], 1, WHEEL_SLOTS + 1);
	assert_int_equal(wheel_wait_ms(&wheel, now_ms), SLOT - now_ms % SLOT);
}

static void after_a_long_stop_one_run_fires_all_that_is_due(void **state)
{
	(void)state;
	for (uint32_t i = 1; i <= N; i++)
		set(i, now_ms + i * TURN_MS / 10);

	now_ms += 5 * TURN_MS;
	run();
	for (uint32_t i = 1; i <= N; i++)
		assert_int_equal(n_fired[i], model[i].due_ms <= now_ms);
}

static void a_clock_that_stands_still_fires_nothing_twice(void **state)
{
	(void)state;
	set(1, now_ms + SLOT);

	now_ms += 2 * SLOT;
	run();
	run();
	assert_int_equal(n_fired[1], 1);
}

#define WHEEL_TEST(test) cmocka_unit_test_setup(test, start_empty)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		WHEEL_TEST(run_every_slot_no_timer_is_early_or_a_slot_late),
		WHEEL_TEST(run_at_any_time_every_timer_whose_slot_has_begun_fires),
		WHEEL_TEST(sleeping_as_long_as_wheel_wait_ms_says_is_enough),
		WHEEL_TEST(a_timer_far_away_fires_once_and_in_its_time),
		WHEEL_TEST(a_timer_set_again_fires_at_its_new_time_only),
		WHEEL_TEST(clearing_what_is_not_armed_does_nothing),
		WHEEL_TEST(a_callback_may_clear_what_is_due_in_the_same_slot),
		WHEEL_TEST(a_callback_may_set_and_clear_any_timer),
		WHEEL_TEST(a_timer_that_sets_itself_due_does_not_hold_up_the_run),
		WHEEL_TEST(after_a_long_stop_one_run_fires_all_that_is_due),
		WHEEL_TEST(a_clock_that_stands_still_fires_nothing_twice),
	};

	return test_run("wheel", tests, argc, argv);
}
