// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* test_loop.c - user/base/loop.c: who is told of an event, and who is not any more. */
#include "test.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/loop.h"

#define N 100

/* Something that is watched: an eventfd. */
struct thing {
	struct source source;
	unsigned int n_events;
	uint32_t events;
	struct thing *victim; /* is removed when this one is reported */
	bool is_victim_replaced;
};

static struct loop loop;
static struct thing things[N];

static struct {
	unsigned int n;
	uint32_t slot, generation, events;
} slots;
static unsigned int n_awake;

static void make_ready(int fd)
{
	const uint64_t one = 1;

	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
}

static void make_silent(int fd)
{
	uint64_t n;

	assert_int_equal(read(fd, &n, sizeof(n)), sizeof(n));
}

static void on_slot(void *ctx, uint32_t slot, uint32_t generation, uint32_t events)
{
	assert_ptr_equal(ctx, &loop);
	slots.n++;
	slots.slot = slot;
	slots.generation = generation;
	slots.events = events;
}

static void on_awake(void *ctx)
{
	assert_ptr_equal(ctx, &loop);
	n_awake++;
}

static void on_thing(struct source *source, uint32_t events)
{
	struct thing *t = container_of(source, struct thing, source);

	t->n_events++;
	t->events = events;
	if (!t->victim)
		return;
	loop_remove(&loop, &t->victim->source);
	if (t->is_victim_replaced)
		assert_ok(loop_add(&loop, &t->victim->source, EPOLLIN));
	t->victim->victim = NULL;
}

static int start(void **state)
{
	(void)state;

	memset(&slots, 0, sizeof(slots));
	n_awake = 0;
	assert_ok(loop_init(&loop, on_slot, &loop));
	for (int i = 0; i < N; i++) {
		things[i] = (struct thing){ .source.on_event = on_thing };
		things[i].source.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		assert_true(things[i].source.fd >= 0);
	}
	return 0;
}

static int end(void **state)
{
	(void)state;

	for (int i = 0; i < N; i++)
		close(things[i].source.fd);
	loop_fini(&loop);
	assert_int_equal(loop.epoll_fd, -1);
	return 0;
}

static void add(int i)
{
	assert_ok(loop_add(&loop, &things[i].source, EPOLLIN));
	assert_int_not_equal(things[i].source.id, 0);
}

static int turn(void)
{
	return loop_turn(&loop, 0, on_awake);
}

static void a_source_is_told_of_its_events(void **state)
{
	(void)state;
	add(0);
	add(1);

	assert_int_equal(turn(), 0);
	make_ready(things[1].source.fd);
	assert_int_equal(turn(), 1);
	assert_int_equal(things[0].n_events, 0);
	assert_int_equal(things[1].n_events, 1);
	assert_int_equal(things[1].events, EPOLLIN);
	assert_int_equal(n_awake, 2);
}

static void events_wanted_can_be_changed(void **state)
{
	(void)state;
	add(0);
	make_ready(things[0].source.fd);

	assert_ok(loop_modify(&loop, &things[0].source, 0));
	assert_int_equal(turn(), 0);
	assert_ok(loop_modify(&loop, &things[0].source, EPOLLIN));
	assert_int_equal(turn(), 1);
	assert_int_equal(things[0].n_events, 1);
}

static void a_removed_source_is_told_nothing_and_its_fd_stays_open(void **state)
{
	(void)state;
	add(0);
	make_ready(things[0].source.fd);
	loop_remove(&loop, &things[0].source);

	assert_int_equal(things[0].source.id, 0);
	assert_int_equal(turn(), 0);
	assert_int_equal(things[0].n_events, 0);
	make_silent(things[0].source.fd);
}

static void removing_what_is_not_watched_does_nothing(void **state)
{
	(void)state;

	loop_remove(&loop, &things[0].source);
	add(0);
	loop_remove(&loop, &things[0].source);
	loop_remove(&loop, &things[0].source);
	add(0);
	make_ready(things[0].source.fd);
	assert_int_equal(turn(), 1);
}

/* Both are ready in one batch; whoever comes first removes the other. */
static void removed_within_a_batch_a_source_is_told_nothing(void **state)
{
	(void)state;
	add(0);
	add(1);
	things[0].victim = &things[1];
	things[1].victim = &things[0];
	make_ready(things[0].source.fd);
	make_ready(things[1].source.fd);

	assert_int_equal(turn(), 2);
	assert_int_equal(things[0].n_events + things[1].n_events, 1);
}

static void added_again_within_a_batch_a_source_is_told_in_the_next(void **state)
{
	struct thing *removed;

	(void)state;
	for (int i = 0; i < 2; i++) {
		add(i);
		things[i].victim = &things[1 - i];
		things[i].is_victim_replaced = true;
		make_ready(things[i].source.fd);
	}

	assert_int_equal(turn(), 2);
	assert_int_equal(things[0].n_events + things[1].n_events, 1);
	removed = things[0].n_events ? &things[1] : &things[0];
	things[0].victim = things[1].victim = NULL;
	assert_int_equal(turn(), 2);
	assert_int_equal(removed->n_events, 1);
}

static void the_table_of_sources_grows_and_places_are_used_again(void **state)
{
	uint32_t n_entries;

	(void)state;
	for (int i = 0; i < N; i++) {
		add(i);
		make_ready(things[i].source.fd);
	}
	assert_int_equal(turn(), N);
	for (int i = 0; i < N; i++)
		assert_int_equal(things[i].n_events, 1);

	n_entries = loop.n_entries;
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < N; i++)
			loop_remove(&loop, &things[i].source);
		for (int i = 0; i < N; i++)
			add(N - 1 - i);
	}
	assert_int_equal(loop.n_entries, n_entries);
	assert_int_equal(turn(), N);
	for (int i = 0; i < N; i++)
		assert_int_equal(things[i].n_events, 2);
}

/* Adds the other ninety-nine while it is told of its own event. */
static void add_the_others(struct source *source, uint32_t events)
{
	(void)source;
	(void)events;

	for (int i = 1; i < N; i++)
		add(i);
	make_silent(things[0].source.fd);
}

static void the_table_may_grow_while_an_event_is_handled(void **state)
{
	(void)state;
	things[0].source.on_event = add_the_others;
	add(0);
	make_ready(things[0].source.fd);
	assert_int_equal(turn(), 1);

	for (int i = 1; i < N; i++)
		make_ready(things[i].source.fd);
	assert_int_equal(turn(), N - 1);
	for (int i = 1; i < N; i++)
		assert_int_equal(things[i].n_events, 1);
}

static void a_slot_comes_back_with_its_number_and_generation(void **state)
{
	(void)state;
	assert_ok(loop_add_slot(&loop, things[0].source.fd, 0x7fffffff, 0xfffffffe,
	                        EPOLLIN));
	make_ready(things[0].source.fd);

	assert_int_equal(turn(), 1);
	assert_int_equal(slots.n, 1);
	assert_int_equal(slots.slot, 0x7fffffff);
	assert_int_equal(slots.generation, 0xfffffffe);
	assert_int_equal(slots.events, EPOLLIN);
	assert_int_equal(things[0].n_events, 0);
}

static void a_slot_number_used_again_is_told_apart_by_its_generation(void **state)
{
	(void)state;
	assert_ok(loop_add_slot(&loop, things[0].source.fd, 8, 1, EPOLLIN | EPOLLET));
	assert_ok(loop_add_slot(&loop, things[1].source.fd, 8, 3, EPOLLIN | EPOLLET));

	make_ready(things[1].source.fd);
	assert_int_equal(turn(), 1);
	assert_int_equal(slots.generation, 3);
	make_ready(things[0].source.fd);
	assert_int_equal(turn(), 1);
	assert_int_equal(slots.generation, 1);
}

static void what_cannot_be_watched_is_an_error_and_leaves_no_trace(void **state)
{
	int good = things[0].source.fd;

	(void)state;

	things[0].source.fd = -1;
	assert_int_equal(loop_add(&loop, &things[0].source, EPOLLIN), -EBADF);
	assert_int_equal(things[0].source.id, 0);
	assert_int_equal(loop_add_slot(&loop, -1, 2, 1, EPOLLIN), -EBADF);
	things[0].source.fd = good;
	add(0);
	add(1);
	assert_int_equal(loop_add_slot(&loop, good, 2, 1, EPOLLIN), -EEXIST);
	make_ready(good);
	assert_int_equal(turn(), 1);
	assert_int_equal(things[0].n_events, 1);
}

static void a_broken_loop_says_so(void **state)
{
	int epoll_fd = loop.epoll_fd;

	(void)state;

	loop.epoll_fd = -1;
	assert_int_equal(loop_turn(&loop, 0, NULL), -EBADF);
	loop.epoll_fd = epoll_fd;
}

#define LOOP_TEST(test) cmocka_unit_test_setup_teardown(test, start, end)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		LOOP_TEST(a_source_is_told_of_its_events),
		LOOP_TEST(events_wanted_can_be_changed),
		LOOP_TEST(a_removed_source_is_told_nothing_and_its_fd_stays_open),
		LOOP_TEST(removing_what_is_not_watched_does_nothing),
		LOOP_TEST(removed_within_a_batch_a_source_is_told_nothing),
		LOOP_TEST(added_again_within_a_batch_a_source_is_told_in_the_next),
		LOOP_TEST(the_table_of_sources_grows_and_places_are_used_again),
		LOOP_TEST(the_table_may_grow_while_an_event_is_handled),
		LOOP_TEST(a_slot_comes_back_with_its_number_and_generation),
		LOOP_TEST(a_slot_number_used_again_is_told_apart_by_its_generation),
		LOOP_TEST(what_cannot_be_watched_is_an_error_and_leaves_no_trace),
		LOOP_TEST(a_broken_loop_says_so),
	};

	return test_run("loop", tests, argc, argv);
}
