// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * test_blocks.c - user/forward/blocks.c: who is refused, until when; against a list
 * that is gone through from end to end.
 */
#include "test.h"

#include <errno.h>
#include <pthread.h>

#include "base/cleanup.h"
#include "dice.h"
#include "forward/blocks.h"

#define N_ROUNDS 4000
#define N_MODEL 4096 /* more networks than random_network() makes */

static struct blocks *blocks;

static int start_empty(void **state)
{
	(void)state;

	blocks = blocks_new();
	assert_non_null(blocks);
	return 0;
}

static int end(void **state)
{
	(void)state;

	blocks_free(blocks);
	blocks_free(NULL);
	return 0;
}

static struct network network(const char *text)
{
	struct network n;
	const char *reason;

	assert_ok(network_parse(text, strlen(text), &n, &reason));
	return n;
}

static int add(const char *text, uint64_t until_ms)
{
	const struct network n = network(text);

	return blocks_add(blocks, &n, until_ms);
}

static int take_back(const char *text)
{
	const struct network n = network(text);

	return blocks_remove(blocks, &n);
}

static void set_file(const char *one, const char *two)
{
	struct network networks[2];
	size_t n = 0;

	if (one)
		networks[n++] = network(one);
	if (two)
		networks[n++] = network(two);
	assert_ok(blocks_set_file(blocks, networks, n));
}

static bool has(const char *ip, uint64_t now_ms)
{
	struct network by;
	struct addr a;

	assert_ok(addr_parse_ip(ip, &a));
	addr_set_port(&a, 1234);
	return blocks_has(blocks, &a, now_ms, &by);
}

static void assert_by(const char *ip, uint64_t now_ms, const char *expected)
{
	char text[NETWORK_TEXT_LEN];
	struct network by;
	struct addr a;

	assert_ok(addr_parse_ip(ip, &a));
	assert_true(blocks_has(blocks, &a, now_ms, &by));
	assert_string_equal(network_format(&by, text), expected);
}

static void without_blocks_nobody_is_refused(void **state)
{
	size_t n;

	(void)state;
	assert_false(has("10.0.0.1", 0));
	blocks_get(blocks, &n);
	assert_int_equal(n, 0);
	assert_int_equal(blocks_next_ms(blocks), 0);
	assert_false(blocks_expire(blocks, UINT64_MAX));
}

static void clients_inside_are_refused_whatever_their_port(void **state)
{
	(void)state;
	set_file("10.0.0.0/8", "2001:db8::/32");
	assert_true(has("10.255.255.255", 0));
	assert_true(has("2001:db8:ffff::1", 0));
	assert_false(has("11.0.0.0", 0));
	assert_false(has("9.255.255.255", 0));
	assert_false(has("2001:db9::", 0));
	assert_false(has("::ffff:10.0.0.1", 0)); /* another family, as in rules */
}

static void the_links_of_addresses_make_no_difference(void **state)
{
	(void)state;
	assert_ok(add("fe80::1", 0));
	assert_true(has("fe80::1%1", 0));
	assert_true(has("fe80::1%7", 0));
	assert_false(has("fe80::2%1", 0));
}

static void another_file_takes_the_place_of_the_one_before(void **state)
{
	(void)state;
	set_file("10.0.0.0/8", "10.1.0.0/16");
	set_file("192.0.2.0/24", "192.0.2.0/24");
	assert_false(has("10.1.0.1", 0));
	assert_true(has("192.0.2.1", 0));
	set_file(NULL, NULL);
	assert_false(has("192.0.2.1", 0));
}

static void blocks_of_commands_stay_when_the_file_changes(void **state)
{
	(void)state;
	set_file("10.0.0.0/8", NULL);
	assert_ok(add("10.0.0.0/8", 0));
	assert_ok(add("192.0.2.0/24", 500));
	set_file(NULL, NULL);
	assert_true(has("10.0.0.1", 0));
	assert_true(has("192.0.2.1", 499));
	assert_false(has("192.0.2.1", 500));
}

static void a_block_that_is_taken_back_stays_when_it_is_of_the_file_too(void **state)
{
	(void)state;
	set_file("10.0.0.0/8", NULL);
	assert_ok(add("10.0.0.0/8", 500));
	assert_ok(take_back("10.0.0.0/8"));
	assert_true(has("10.0.0.1", 600));
	assert_int_equal(blocks_next_ms(blocks), 0);
	assert_int_equal(take_back("10.0.0.0/8"), -EPERM);
	assert_true(has("10.0.0.1", 600));
}

static void what_is_not_there_cannot_be_taken_back(void **state)
{
	(void)state;
	assert_int_equal(take_back("10.0.0.0/8"), -ENOENT);
	assert_ok(add("10.0.0.0/8", 0));
	assert_int_equal(take_back("10.0.0.0/9"), -ENOENT);
	assert_ok(take_back("10.0.0.0/8"));
	assert_int_equal(take_back("10.0.0.0/8"), -ENOENT);
}

static void a_second_command_replaces_the_time(void **state)
{
	(void)state;
	assert_ok(add("10.0.0.1", 500));
	assert_ok(add("10.0.0.1", 300));
	assert_false(has("10.0.0.1", 300));
	assert_ok(add("10.0.0.1", 0));
	assert_true(has("10.0.0.1", UINT64_MAX));
	assert_false(blocks_expire(blocks, UINT64_MAX));
}

static void a_block_ends_by_itself_and_is_dropped_when_asked_to(void **state)
{
	size_t n;

	(void)state;
	assert_ok(add("10.0.0.1", 500));
	assert_ok(add("10.0.0.2", 700));
	assert_int_equal(blocks_next_ms(blocks), 500);
	assert_true(has("10.0.0.1", 499));
	assert_false(has("10.0.0.1", 500));
	assert_false(blocks_expire(blocks, 499));
	assert_true(blocks_expire(blocks, 500));
	blocks_get(blocks, &n);
	assert_int_equal(n, 1);
	assert_int_equal(blocks_next_ms(blocks), 700);
	assert_true(blocks_expire(blocks, 700));
	assert_int_equal(blocks_next_ms(blocks), 0);
}

static void an_inner_network_that_is_over_does_not_hide_an_outer_one(void **state)
{
	(void)state;
	assert_ok(add("10.0.0.0/8", 900));
	assert_ok(add("10.1.0.0/16", 500));
	assert_ok(add("10.1.1.1", 300));
	assert_by("10.1.1.1", 299, "10.1.1.1/32");
	assert_by("10.1.1.1", 300, "10.1.0.0/16");
	assert_by("10.1.1.1", 500, "10.0.0.0/8");
	assert_true(blocks_expire(blocks, 600));
	assert_by("10.1.1.1", 600, "10.0.0.0/8");
	assert_false(has("10.1.1.1", 900));
}

static void an_inner_network_outlives_an_outer_one(void **state)
{
	(void)state;
	assert_ok(add("10.0.0.0/8", 300));
	assert_ok(add("10.1.0.0/16", 500));
	assert_true(has("10.1.0.1", 400));
	assert_false(has("10.2.0.1", 400));
}

static void a_network_next_to_a_smaller_one_is_found(void **state)
{
	(void)state;
	assert_ok(add("10.0.0.0/8", 0));
	assert_ok(add("10.1.0.0/16", 0));
	assert_ok(add("10.1.2.3", 0));
	assert_by("10.1.2.2", 0, "10.1.0.0/16");
	assert_by("10.1.2.4", 0, "10.1.0.0/16");
	assert_by("10.2.0.0", 0, "10.0.0.0/8");
	assert_by("10.0.255.255", 0, "10.0.0.0/8");
}

static void the_effective_end_is_the_last_around(void **state)
{
	const struct block *all;
	size_t n;

	(void)state;
	set_file("10.1.1.0/24", NULL);
	assert_ok(add("10.0.0.0/8", 500));
	assert_ok(add("10.1.0.0/16", 300));
	assert_ok(add("10.1.1.1", 400));
	assert_ok(add("10.2.0.0/16", 900));
	all = blocks_get(blocks, &n);
	assert_int_equal(n, 5);
	assert_int_equal(all[0].effective_ms, 500); /* 10.0.0.0/8 */
	assert_int_equal(all[1].effective_ms, 500); /* 10.1.0.0/16 */
	assert_int_equal(all[2].effective_ms, 0);   /* the file's */
	assert_int_equal(all[3].effective_ms, 0);   /* inside it */
	assert_int_equal(all[4].effective_ms, 900);
	assert_true(all[2].is_of_file && !all[2].is_of_command);
	assert_true(all[3].is_of_command && !all[3].is_of_file);
	assert_int_equal(all[3].until_ms, 400);
}

static void there_are_at_most_65536(void **state)
{
	auto_free struct network *many = calloc(BLOCKS_MAX + 1, sizeof(*many));
	const struct network first = network("10.0.0.0/32");
	size_t n;

	(void)state;
	for (uint32_t i = 0; i <= BLOCKS_MAX; i++) {
		many[i] = first;
		many[i].ip.in4.sin_addr.s_addr = htonl(0x0a000000 + i);
	}
	assert_int_equal(blocks_set_file(blocks, many, BLOCKS_MAX + 1), -ENOSPC);
	assert_false(has("10.0.0.0", 0));
	assert_ok(blocks_set_file(blocks, many, BLOCKS_MAX));
	assert_int_equal(add("192.0.2.1", 0), -ENOSPC);
	assert_ok(add("10.0.0.7", 100)); /* is there already */
	assert_true(has("10.0.255.255", 0));

	assert_ok(blocks_set_file(blocks, many, BLOCKS_MAX - 1));
	assert_ok(add("192.0.2.1", 0));
	assert_int_equal(blocks_set_file(blocks, many, BLOCKS_MAX), -ENOSPC);
	blocks_get(blocks, &n);
	assert_int_equal(n, BLOCKS_MAX);
}

/* ---- against the list --------------------------------------------------------- */

static struct block model[N_MODEL];
static size_t n_model;

static struct network random_network(struct dice *dice)
{
	bool is_four = dice_roll(dice, 3) > 0;
	unsigned int bits = 24 + (unsigned int)dice_roll(dice, 9);
	uint32_t low = (uint32_t)dice_roll(dice, 64) << (32 - bits) & 0xff;
	struct network n = network(is_four ? "10.0.0.0/32" : "2001:db8::/128");

	n.bits = is_four ? bits : 96 + bits;
	if (is_four)
		n.ip.in4.sin_addr.s_addr |= htonl(low);
	else
		n.ip.in6.sin6_addr.s6_addr[15] = (uint8_t)low;
	return n;
}

static struct block *find(const struct network *n)
{
	for (size_t i = 0; i < n_model; i++)
		if (network_compare(&model[i].network, n) == 0)
			return &model[i];
	return NULL;
}

static struct block *find_or_add(const struct network *n)
{
	struct block *block = find(n);

	if (block)
		return block;
	assert_true(n_model < N_MODEL);
	model[n_model] = (struct block){ .network = *n };
	return &model[n_model++];
}

static void forget_unwanted(void)
{
	size_t n = 0;

	for (size_t i = 0; i < n_model; i++)
		if (model[i].is_of_file || model[i].is_of_command)
			model[n++] = model[i];
	n_model = n;
}

static bool ends(const struct block *b, uint64_t now_ms)
{
	return b->is_of_command && b->until_ms > 0 && b->until_ms <= now_ms;
}

static void change_file(struct dice *dice)
{
	struct network networks[20];
	size_t n = dice_roll(dice, ARRAY_SIZE(networks));

	for (size_t i = 0; i < n_model; i++)
		model[i].is_of_file = false;
	for (size_t i = 0; i < n; i++) {
		networks[i] = random_network(dice);
		find_or_add(&networks[i])->is_of_file = true;
	}
	assert_ok(blocks_set_file(blocks, networks, n));
}

static void command_one(struct dice *dice, uint64_t now_ms)
{
	const struct network n = random_network(dice);
	uint64_t until_ms = dice_roll(dice, 2) ? 0 : now_ms + 1 + dice_roll(dice, 200);
	struct block *block = find_or_add(&n);

	block->is_of_command = true;
	block->until_ms = until_ms;
	assert_ok(blocks_add(blocks, &n, until_ms));
}

static void take_back_one(struct dice *dice)
{
	const struct network n = random_network(dice);
	struct block *block = find(&n);
	int expected = !block ? -ENOENT : block->is_of_command ? 0 : -EPERM;

	assert_int_equal(blocks_remove(blocks, &n), expected);
	if (expected == 0) {
		block->is_of_command = false;
		block->until_ms = 0;
	}
}

static void expire(uint64_t now_ms)
{
	bool is_any = false;

	for (size_t i = 0; i < n_model; i++) {
		if (!ends(&model[i], now_ms))
			continue;
		is_any = true;
		model[i].is_of_command = false;
		model[i].until_ms = 0;
	}
	assert_int_equal(blocks_expire(blocks, now_ms), is_any);
}

/* Does the list refuse @a; by what that is smallest? */
static const struct block *refuses(const struct addr *a, uint64_t now_ms)
{
	const struct block *by = NULL;

	for (size_t i = 0; i < n_model; i++) {
		const struct block *b = &model[i];

		if ((b->is_of_file || !ends(b, now_ms)) &&
		    network_has(&b->network, a) &&
		    (!by || b->network.bits > by->network.bits))
			by = b;
	}
	return by;
}

static void assert_clients_are_judged_alike(struct dice *dice, uint64_t now_ms)
{
	for (int i = 0; i < 20; i++) {
		struct network n = random_network(dice), by;
		const struct block *expected = refuses(&n.ip, now_ms);

		assert_int_equal(blocks_has(blocks, &n.ip, now_ms, &by),
		                 expected != NULL);
		if (expected)
			assert_int_equal(network_compare(&by, &expected->network), 0);
	}
}

static uint64_t effective(const struct block *block)
{
	uint64_t last_ms = 1;

	for (size_t i = 0; i < n_model; i++) {
		const struct block *b = &model[i];

		if (!network_covers(&b->network, &block->network))
			continue;
		if (b->is_of_file || b->until_ms == 0)
			return 0;
		last_ms = b->until_ms > last_ms ? b->until_ms : last_ms;
	}
	return last_ms;
}

static void assert_all_are_listed(void)
{
	uint64_t next_ms = 0;
	size_t n;
	const struct block *all = blocks_get(blocks, &n);

	assert_int_equal(n, n_model);
	for (size_t i = 0; i < n; i++) {
		const struct block *b = find(&all[i].network);

		assert_non_null(b);
		if (i)
			assert_true(network_compare(&all[i - 1].network,
			                            &all[i].network) < 0);
		assert_int_equal(all[i].is_of_file, b->is_of_file);
		assert_int_equal(all[i].is_of_command, b->is_of_command);
		assert_int_equal(all[i].until_ms, b->until_ms);
		assert_int_equal(all[i].effective_ms, effective(b));
		if (b->until_ms && (!next_ms || b->until_ms < next_ms))
			next_ms = b->until_ms;
	}
	assert_int_equal(blocks_next_ms(blocks), next_ms);
}

static void whatever_happens_the_list_says_the_same(void **state)
{
	struct dice dice = { 7 };
	uint64_t now_ms = 1;

	(void)state;
	n_model = 0;
	for (int i = 0; i < N_ROUNDS; i++) {
		uint64_t what = dice_roll(&dice, 40);

		now_ms += dice_roll(&dice, 10);
		if (what == 0)
			change_file(&dice);
		else if (what < 20)
			command_one(&dice, now_ms);
		else if (what < 35)
			take_back_one(&dice);
		else
			expire(now_ms);
		forget_unwanted();
		assert_clients_are_judged_alike(&dice, now_ms);
		assert_all_are_listed();
	}
}

/* ---- threads ------------------------------------------------------------------ */

#define N_THREADS 3
#define N_CHANGES 3000

static bool is_over;
static uint64_t n_asked, n_wrong;

/* 10.0.0.0/8 is always blocked and 192.0.2.0/24 never, whatever else there is. */
static void *ask(void *arg)
{
	struct dice *dice = arg;
	struct addr in, out;
	struct network by;

	addr_parse_ip("10.0.0.0", &in);
	addr_parse_ip("192.0.2.1", &out);
	while (!__atomic_load_n(&is_over, __ATOMIC_ACQUIRE)) {
		in.in4.sin_addr.s_addr = htonl(0x0a000000 +
		                               (uint32_t)dice_roll(dice, 1 << 24));
		if (!blocks_has(blocks, &in, 1, &by) || by.bits < 8 ||
		    !network_has(&by, &in) || blocks_has(blocks, &out, 1, &by))
			__atomic_add_fetch(&n_wrong, 1, __ATOMIC_RELAXED);
		__atomic_add_fetch(&n_asked, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

static struct network inner_network(struct dice *dice)
{
	struct network n = network("10.0.0.0/8");

	n.bits = 9 + (unsigned int)dice_roll(dice, 24);
	n.ip.in4.sin_addr.s_addr = htonl(
	        (0x0a000000 | (uint32_t)dice_roll(dice, 1 << 24)) &
	        (uint32_t)(UINT64_C(0xffffffff) << (32 - n.bits)));
	return n;
}

static void answers_are_right_while_blocks_change(void **state)
{
	pthread_t threads[N_THREADS];
	struct dice dice[N_THREADS + 1];
	struct network file[] = { network("10.0.0.0/8"), network("10.0.0.0/8") };

	(void)state;
	n_asked = n_wrong = 0;
	is_over = false;
	assert_ok(blocks_set_file(blocks, file, 1));
	for (unsigned int i = 0; i <= N_THREADS; i++)
		dice[i] = (struct dice){ i + 1 };
	for (unsigned int i = 0; i < N_THREADS; i++)
		assert_ok(pthread_create(&threads[i], NULL, ask, &dice[i]));
	for (int i = 0; i < N_CHANGES ||
	                __atomic_load_n(&n_asked, __ATOMIC_RELAXED) < 10 * N_THREADS;
	     i++) {
		const struct network n = inner_network(&dice[N_THREADS]);

		assert_ok(blocks_add(blocks, &n, 2 + i % 3));
		if (i % 3 == 0)
			assert_ok(blocks_remove(blocks, &n));
		if (i % 100 == 0)
			blocks_expire(blocks, 3);
		file[1] = n;
		if (i % 10 == 0)
			assert_ok(blocks_set_file(blocks, file, 2));
	}
	__atomic_store_n(&is_over, true, __ATOMIC_RELEASE);
	for (unsigned int i = 0; i < N_THREADS; i++)
		assert_ok(pthread_join(threads[i], NULL));
	assert_int_equal(n_wrong, 0);
}

#define BLOCKS_TEST(test) cmocka_unit_test_setup_teardown(test, start_empty, end)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		BLOCKS_TEST(without_blocks_nobody_is_refused),
		BLOCKS_TEST(clients_inside_are_refused_whatever_their_port),
		BLOCKS_TEST(the_links_of_addresses_make_no_difference),
		BLOCKS_TEST(another_file_takes_the_place_of_the_one_before),
		BLOCKS_TEST(blocks_of_commands_stay_when_the_file_changes),
		BLOCKS_TEST(
		        a_block_that_is_taken_back_stays_when_it_is_of_the_file_too),
		BLOCKS_TEST(what_is_not_there_cannot_be_taken_back),
		BLOCKS_TEST(a_second_command_replaces_the_time),
		BLOCKS_TEST(a_block_ends_by_itself_and_is_dropped_when_asked_to),
		BLOCKS_TEST(an_inner_network_that_is_over_does_not_hide_an_outer_one),
		BLOCKS_TEST(an_inner_network_outlives_an_outer_one),
		BLOCKS_TEST(a_network_next_to_a_smaller_one_is_found),
		BLOCKS_TEST(the_effective_end_is_the_last_around),
		BLOCKS_TEST(there_are_at_most_65536),
		BLOCKS_TEST(whatever_happens_the_list_says_the_same),
		BLOCKS_TEST(answers_are_right_while_blocks_change),
	};

	return test_run("blocks", tests, argc, argv);
}
