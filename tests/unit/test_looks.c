// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* test_looks.c - user/forward/looks.h: when sessions are looked at again. */
#include "test.h"

#include "dice.h"
#include "forward/looks.h"
#include "forward/worker.h"
#include "rules/config.h"

#define N 20
#define ROUNDS 20000

static struct session sessions[N + 1]; /* from 1; nothing to read at any end */
static struct worker w;

static int start(void **state)
{
	(void)state;

	memset(sessions, 0, sizeof(sessions));
	for (int i = 1; i <= N; i++)
		sessions[i].datapath = DATAPATH_COPY;
	w = (struct worker){ .sessions = sessions, .now_ms = 1000 };
	return 0;
}

/* Is a look still to come? */
static bool waits(int number)
{
	return sessions[number].drain.link.prev != 0;
}

static void run_at(uint64_t now_ms)
{
	w.now_ms = now_ms;
	looks_run(&w);
}

static void nobody_waits_for_nothing(void **state)
{
	(void)state;

	assert_int_equal(looks_wait_ms(&w), -1);
	run_at(5000);
	assert_int_equal(looks_wait_ms(&w), -1);
}

static void a_look_comes_when_it_is_due_and_once(void **state)
{
	(void)state;
	looks_later(&w, &sessions[1], 1008);

	assert_int_equal(looks_wait_ms(&w), 8);
	run_at(1007);
	assert_true(waits(1));
	run_at(1008);
	assert_false(waits(1));
	assert_int_equal(looks_wait_ms(&w), -1);
}

static void the_soonest_time_counts(void **state)
{
	(void)state;
	looks_later(&w, &sessions[1], 1100);
	looks_later(&w, &sessions[1], 1010);
	looks_later(&w, &sessions[1], 1200);

	assert_int_equal(looks_wait_ms(&w), 10);
	run_at(1010);
	assert_false(waits(1));
}

static void what_is_overdue_is_due(void **state)
{
	(void)state;
	looks_later(&w, &sessions[1], 1010);

	w.now_ms = 3000;
	assert_int_equal(looks_wait_ms(&w), 0);
	run_at(3000);
	assert_false(waits(1));
}

static void who_is_forgotten_is_not_looked_at(void **state)
{
	(void)state;
	looks_later(&w, &sessions[1], 1010);
	looks_later(&w, &sessions[2], 1020);
	looks_forget(&w, &sessions[1]);
	looks_forget(&w, &sessions[1]);

	run_at(1010);
	assert_int_equal(looks_wait_ms(&w), 10);
	run_at(1020);
	assert_int_equal(looks_wait_ms(&w), -1);
}

static uint64_t soonest(const uint64_t due_ms[])
{
	uint64_t ms = 0;

	for (int i = 1; i <= N; i++)
		if (due_ms[i] > 0 && (ms == 0 || due_ms[i] < ms))
			ms = due_ms[i];
	return ms;
}

/* Never late; and never so early that a sleep of looks_wait_ms() would be in vain for
 * ever. */
static void assert_wait(const uint64_t due_ms[])
{
	uint64_t ms = soonest(due_ms);

	if (ms == 0)
		assert_int_equal(looks_wait_ms(&w), -1);
	else
		assert_in_range(looks_wait_ms(&w), 0,
		                ms > w.now_ms ? ms - w.now_ms : 0);
}

static void looks_come_as_they_are_due_whatever_happens(void **state)
{
	uint64_t due_ms[N + 1] = { 0 }; /* what should be; 0: no look is to come */
	struct dice dice = { 5 };

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		uint32_t i = 1 + (uint32_t)dice_roll(&dice, N);
		uint64_t at_ms = w.now_ms + dice_roll(&dice, 50);

		switch (dice_roll(&dice, 4)) {
		case 0:
			looks_forget(&w, &sessions[i]);
			due_ms[i] = 0;
			break;
		case 1:
			run_at(at_ms);
			for (int k = 1; k <= N; k++)
				if (due_ms[k] <= at_ms)
					due_ms[k] = 0;
			break;
		default:
			looks_later(&w, &sessions[i], at_ms);
			if (due_ms[i] == 0 || at_ms < due_ms[i])
				due_ms[i] = at_ms;
		}
		for (int k = 1; k <= N; k++)
			assert_int_equal(waits(k), due_ms[k] > 0);
		assert_wait(due_ms);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(nobody_waits_for_nothing, start),
		cmocka_unit_test_setup(a_look_comes_when_it_is_due_and_once, start),
		cmocka_unit_test_setup(the_soonest_time_counts, start),
		cmocka_unit_test_setup(what_is_overdue_is_due, start),
		cmocka_unit_test_setup(who_is_forgotten_is_not_looked_at, start),
		cmocka_unit_test_setup(looks_come_as_they_are_due_whatever_happens,
		                       start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
