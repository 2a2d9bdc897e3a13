// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* test_ilist.c - user/base/ilist.h: a list of numbered objects against an array. */
#include "test.h"

#include "base/cleanup.h"
#include "base/ilist.h"
#include "dice.h"

#define N 20
#define ROUNDS 20000

struct object {
	uint64_t before;
	struct ilink link;
	uint32_t after;
};

static struct object objects[N + 1]; /* from 1 */
static struct ilist list;

/* What the list should be. */
static uint32_t model[N];
static size_t n_model;

static struct iarray links(void)
{
	return (struct iarray){ .base = (char *)&objects[0].link,
		                .stride = sizeof(objects[0]) };
}

static int start_empty(void **state)
{
	(void)state;

	memset(objects, 0, sizeof(objects));
	list = (struct ilist){ 0 };
	n_model = 0;
	return 0;
}

static void append(uint32_t index)
{
	ilist_append(&list, links(), index);
	model[n_model++] = index;
}

static void remove_at(size_t place)
{
	ilist_remove(&list, links(), model[place]);
	n_model--;
	memmove(&model[place], &model[place + 1], (n_model - place) * sizeof(model[0]));
}

static bool is_in_model(uint32_t index)
{
	for (size_t i = 0; i < n_model; i++)
		if (model[i] == index)
			return true;
	return false;
}

static void assert_same_as_model(void)
{
	uint32_t index = list.first;

	for (size_t i = 0; i < n_model; i++) {
		assert_int_equal(index, model[i]);
		index = ilink_at(links(), index)->next;
	}
	assert_int_equal(index, 0);
	assert_int_equal(list.last, n_model ? model[n_model - 1] : 0);
	for (uint32_t i = 1; i <= N; i++)
		assert_int_equal(ilist_is_linked(links(), i), is_in_model(i));
}

static void a_list_behaves_like_an_array(void **state)
{
	struct dice dice = { 1 };

	(void)state;

	for (int round = 0; round < ROUNDS; round++) {
		uint32_t index = 1 + (uint32_t)dice_roll(&dice, N);

		if (!is_in_model(index))
			append(index);
		else
			remove_at(dice_roll(&dice, n_model));
		assert_same_as_model();
	}
}

static void the_only_one_is_first_and_last(void **state)
{
	(void)state;

	append(7);
	assert_same_as_model();
	assert_int_equal(objects[7].link.prev, 7);
	remove_at(0);
	assert_same_as_model();
	assert_int_equal(objects[7].link.prev, 0);
}

static void first_last_and_middle_can_be_removed(void **state)
{
	(void)state;

	for (uint32_t i = 1; i <= 5; i++)
		append(i);
	remove_at(2);
	assert_same_as_model();
	remove_at(3);
	assert_same_as_model();
	remove_at(0);
	assert_same_as_model();
}

static void only_the_links_of_objects_are_written(void **state)
{
	(void)state;

	for (uint32_t i = 0; i <= N; i++) {
		objects[i].before = UINT64_MAX;
		objects[i].after = UINT32_MAX;
	}
	for (uint32_t i = 1; i <= N; i++)
		append(i);
	while (n_model > 0)
		remove_at(n_model / 2);

	for (uint32_t i = 0; i <= N; i++) {
		assert_true(objects[i].before == UINT64_MAX);
		assert_true(objects[i].after == UINT32_MAX);
		assert_int_equal(objects[i].link.next | objects[i].link.prev, 0);
	}
}

static void a_list_works_where_the_array_is_mapped_elsewhere(void **state)
{
	static struct object moved[N + 1];
	struct iarray there = { .base = (char *)&moved[0].link,
		                .stride = sizeof(moved[0]) };

	(void)state;
	append(3);
	append(1);
	append(2);
	memcpy(moved, objects, sizeof(moved));
	memset(objects, 0xff, sizeof(objects));

	ilist_remove(&list, there, 1);
	assert_int_equal(list.first, 3);
	assert_int_equal(ilink_at(there, 3)->next, 2);
	assert_int_equal(list.last, 2);
}

#define LIST_TEST(test) cmocka_unit_test_setup(test, start_empty)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		LIST_TEST(a_list_behaves_like_an_array),
		LIST_TEST(the_only_one_is_first_and_last),
		LIST_TEST(first_last_and_middle_can_be_removed),
		LIST_TEST(only_the_links_of_objects_are_written),
		LIST_TEST(a_list_works_where_the_array_is_mapped_elsewhere),
	};

	return test_run("ilist", tests, argc, argv);
}
