// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* test_pool.c - user/base/pool.c: each buffer has one borrower, few are kept. */
#include "test.h"

#include "base/cleanup.h"
#include "base/pool.h"
#include "dice.h"

#define SIZE 64
#define N (4 * POOL_KEPT)
#define ROUNDS 20000

static struct pool pool;

/* Where malloc() is the sanitizer's: let it fail as malloc() does. */
const char *__asan_default_options(void);

const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

static int start_empty(void **state)
{
	(void)state;

	pool_init(&pool, SIZE);
	return 0;
}

static int end(void **state)
{
	(void)state;

	pool_fini(&pool);
	return 0;
}

static uint32_t borrow(void)
{
	uint32_t number = pool_borrow(&pool);

	assert_int_not_equal(number, 0);
	assert_non_null(pool_buffer(&pool, number));
	return number;
}

static size_t count_memory(void)
{
	size_t n = 0;

	for (uint32_t i = 1; i <= pool.n_buffers; i++)
		n += pool.buffers[i] != NULL;
	return n;
}

static void borrow_and_return(size_t n)
{
	uint32_t lent[N];

	for (size_t i = 0; i < n; i++)
		lent[i] = borrow();
	for (size_t i = 0; i < n; i++)
		pool_return(&pool, lent[i]);
}

/* Each lent buffer holds a pattern of its borrower, whatever the others do. */
static void lent_buffers_are_distinct_and_stay_where_they_are(void **state)
{
	struct dice dice = { 7 };
	uint32_t lent[N] = { 0 };
	char *memory[N] = { NULL }, pattern[SIZE];
	uint32_t n_lent = 0;

	(void)state;

	for (int round = 0; round < ROUNDS; round++) {
		size_t i = dice_roll(&dice, N);

		memset(pattern, (int)i + 1, SIZE);
		if (lent[i]) {
			assert_ptr_equal(pool_buffer(&pool, lent[i]), memory[i]);
			assert_memory_equal(memory[i], pattern, SIZE);
			pool_return(&pool, lent[i]);
			lent[i] = 0;
			n_lent--;
		} else {
			lent[i] = borrow();
			memory[i] = pool_buffer(&pool, lent[i]);
			memcpy(memory[i], pattern, SIZE);
			n_lent++;
		}
		assert_int_equal(pool_n_lent(&pool), n_lent);
		assert_true(count_memory() <= n_lent + POOL_KEPT);
		assert_int_equal(count_memory(), n_lent + pool.n_kept);
	}
}

static void what_is_given_back_is_kept_up_to_a_bound(void **state)
{
	(void)state;

	borrow_and_return(POOL_KEPT - 1);
	assert_int_equal(count_memory(), POOL_KEPT - 1);
	borrow_and_return(N);
	assert_int_equal(count_memory(), POOL_KEPT);
	assert_int_equal(pool_n_lent(&pool), 0);
}

static void what_is_kept_is_lent_before_memory_is_asked_for(void **state)
{
	uint32_t lent[POOL_KEPT];

	(void)state;
	borrow_and_return(N);

	for (size_t i = 0; i < POOL_KEPT; i++) {
		lent[i] = borrow();
		assert_int_equal(count_memory(), POOL_KEPT);
	}
	assert_int_equal(pool.n_kept, 0);
	for (size_t i = 0; i < POOL_KEPT; i++)
		pool_return(&pool, lent[i]);
}

static void number_0_can_be_returned_and_does_nothing(void **state)
{
	(void)state;

	pool_return(&pool, 0);
	assert_int_equal(pool_n_lent(&pool), 0);
	borrow_and_return(1);
	pool_return(&pool, 0);
	assert_int_equal(pool_n_lent(&pool), 0);
}

static void a_buffer_that_cannot_be_had_is_0_and_changes_nothing(void **state)
{
	uint32_t number;

	(void)state;
	pool.buffer_size = PTRDIFF_MAX; /* malloc() refuses it without trying */

	assert_int_equal(pool_borrow(&pool), 0);
	assert_int_equal(pool_n_lent(&pool), 0);
	pool.buffer_size = SIZE;
	number = borrow();
	assert_int_equal(pool_n_lent(&pool), 1);
	pool_return(&pool, number);
}

static void what_is_still_lent_at_the_end_is_freed(void **state)
{
	(void)state;

	for (size_t i = 0; i < N; i++)
		borrow();
	pool_fini(&pool);
	assert_int_equal(pool.n_buffers, 0);
	assert_null(pool.buffers);
}

#define POOL_TEST(test) cmocka_unit_test_setup_teardown(test, start_empty, end)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		POOL_TEST(lent_buffers_are_distinct_and_stay_where_they_are),
		POOL_TEST(what_is_given_back_is_kept_up_to_a_bound),
		POOL_TEST(what_is_kept_is_lent_before_memory_is_asked_for),
		POOL_TEST(number_0_can_be_returned_and_does_nothing),
		POOL_TEST(a_buffer_that_cannot_be_had_is_0_and_changes_nothing),
		POOL_TEST(what_is_still_lent_at_the_end_is_freed),
	};

	return test_run("pool", tests, argc, argv);
}
