// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* test_limits.c - user/forward/limits.c: sessions of each client address, exactly. */
#include "test.h"

#include <errno.h>
#include <pthread.h>

#include "base/cleanup.h"
#include "dice.h"
#include "forward/limits.h"

#define N_THREADS 4
#define ROUNDS 20000
#define MAX 3

static struct limits *limits;

static int start_empty(void **state)
{
	(void)state;

	limits = limits_new();
	assert_non_null(limits);
	return 0;
}

static int end(void **state)
{
	(void)state;

	limits_free(limits);
	limits_free(NULL);
	return 0;
}

static struct addr client(const char *ip, uint16_t port)
{
	struct addr a;

	assert_ok(addr_parse_ip(ip, &a));
	addr_set_port(&a, port);
	return a;
}

static int enter(const char *ip, uint16_t port, uint64_t max)
{
	struct addr a = client(ip, port);

	return limits_enter(limits, &a, max);
}

static void leave(const char *ip, uint16_t port)
{
	struct addr a = client(ip, port);

	limits_leave(limits, &a);
}

static void an_address_may_have_so_many_sessions_and_no_more(void **state)
{
	(void)state;

	assert_ok(enter("10.0.0.1", 1, 2));
	assert_ok(enter("10.0.0.1", 2, 2));
	assert_int_equal(enter("10.0.0.1", 3, 2), -EUSERS);
	assert_ok(enter("10.0.0.2", 3, 2));
	leave("10.0.0.1", 1);
	assert_ok(enter("10.0.0.1", 3, 2));
	assert_int_equal(enter("10.0.0.1", 4, 2), -EUSERS);
}

static void ports_make_no_difference(void **state)
{
	(void)state;

	assert_ok(enter("10.0.0.1", 1, 1));
	assert_int_equal(enter("10.0.0.1", 2, 1), -EUSERS);
	assert_int_equal(limits_n_addresses(limits), 1);
	leave("10.0.0.1", 65535);
	assert_int_equal(limits_n_addresses(limits), 0);
}

static void a_maximum_of_0_is_none_but_is_counted(void **state)
{
	(void)state;

	for (uint16_t i = 0; i < 1000; i++)
		assert_ok(enter("10.0.0.1", i, 0));
	/* a limit that comes with a reload holds for those who are there */
	assert_int_equal(enter("10.0.0.1", 1, 1000), -EUSERS);
	assert_ok(enter("10.0.0.1", 1, 1001));
}

static void families_and_scopes_are_different_addresses(void **state)
{
	/* bytes alone would not tell the first three apart */
	static const char *const ips[] = { "1.2.3.4", "102:304::", "102:304::%1",
		                           "::1.2.3.4", "::ffff:1.2.3.4" };

	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(ips); i++)
		assert_ok(enter(ips[i], 1, 1));
	assert_int_equal(limits_n_addresses(limits), ARRAY_SIZE(ips));
	for (size_t i = 0; i < ARRAY_SIZE(ips); i++)
		assert_int_equal(enter(ips[i], 1, 1), -EUSERS);
	for (size_t i = 0; i < ARRAY_SIZE(ips); i++)
		leave(ips[i], 1);
	assert_int_equal(limits_n_addresses(limits), 0);
}

static void a_refusal_leaves_no_entry(void **state)
{
	(void)state;

	assert_ok(enter("10.0.0.1", 1, 1));
	assert_int_equal(enter("10.0.0.1", 1, 1), -EUSERS);
	leave("10.0.0.1", 1);
	assert_int_equal(limits_n_addresses(limits), 0);
}

static void many_addresses_are_kept_apart(void **state)
{
	const uint32_t n = 5000;
	struct addr a = client("10.0.0.0", 1);

	(void)state;

	for (uint32_t i = 0; i < n; i++) {
		a.in4.sin_addr.s_addr = htonl(0x0a000000 + i);
		assert_ok(limits_enter(limits, &a, 1));
	}
	assert_int_equal(limits_n_addresses(limits), n);
	for (uint32_t i = 0; i < n; i++) {
		a.in4.sin_addr.s_addr = htonl(0x0a000000 + i);
		assert_int_equal(limits_enter(limits, &a, 1), -EUSERS);
		limits_leave(limits, &a);
	}
	assert_int_equal(limits_n_addresses(limits), 0);
}

static void the_end_frees_what_is_still_counted(void **state)
{
	(void)state; /* seen by the leak checker */

	assert_ok(enter("10.0.0.1", 1, 0));
	assert_ok(enter("::1", 1, 0));
	assert_int_equal(limits_n_addresses(limits), 2);
}

/* ---- who is full ------------------------------------------------------------ */

#define N_TOLD 1000

static char told[N_TOLD][ADDR_IP_TEXT_LEN + 2]; /* "+10.0.0.1", "-10.0.0.1" */
static size_t n_told;
static int other;

static void on_full(void *ctx, const struct addr *a, bool is_full)
{
	char text[ADDR_IP_TEXT_LEN];

	assert_true(n_told < N_TOLD);
	assert_int_equal(addr_port(a), 0);
	snprintf(told[n_told++], sizeof(told[0]), "%s%c%s", ctx ? "other " : "",
	         is_full ? '+' : '-', addr_format_ip(a, text));
}

#define assert_told(...)                                               \
	do {                                                           \
		const char *const expected[] = { __VA_ARGS__ };        \
                                                                       \
		assert_int_equal(n_told, ARRAY_SIZE(expected));        \
		for (size_t nth = 0; nth < n_told; nth++)              \
			assert_string_equal(told[nth], expected[nth]); \
		n_told = 0;                                            \
	} while (0)
#define assert_nothing_told() assert_int_equal(n_told, 0)

static int start_untold(void **state)
{
	n_told = 0;
	return start_empty(state);
}

static void an_address_is_told_when_it_is_full_and_when_no_more(void **state)
{
	(void)state;

	limits_on_full(limits, on_full, NULL, 2);
	assert_ok(enter("10.0.0.1", 1, 2));
	assert_nothing_told();
	assert_ok(enter("10.0.0.1", 2, 2));
	assert_told("+10.0.0.1");
	assert_int_equal(enter("10.0.0.1", 3, 2), -EUSERS);
	assert_ok(enter("fe80::1%7", 1, 2));
	assert_nothing_told();
	assert_ok(enter("fe80::1%7", 1, 2));
	assert_told("+fe80::1%7");
	leave("10.0.0.1", 1);
	assert_told("-10.0.0.1");
	leave("10.0.0.1", 1);
	assert_nothing_told();
}

static void an_address_over_the_maximum_is_full_once(void **state)
{
	(void)state;

	limits_on_full(limits, on_full, NULL, 2);
	for (uint16_t i = 0; i < 4; i++)
		assert_ok(enter("10.0.0.1", i, 0));
	assert_told("+10.0.0.1");
	leave("10.0.0.1", 1);
	leave("10.0.0.1", 1);
	assert_nothing_told();
	leave("10.0.0.1", 1);
	assert_told("-10.0.0.1");
}

static void the_last_session_of_one_is_told_too(void **state)
{
	(void)state;

	limits_on_full(limits, on_full, NULL, 1);
	assert_ok(enter("10.0.0.1", 1, 1));
	leave("10.0.0.1", 1);
	assert_told("+10.0.0.1", "-10.0.0.1");
	assert_int_equal(limits_n_addresses(limits), 0);
}

static void another_maximum_tells_again_who_is_full_and_who_no_longer(void **state)
{
	(void)state;

	for (uint16_t i = 0; i < 3; i++)
		assert_ok(enter("10.0.0.1", i, 0));
	limits_on_full(limits, on_full, NULL, 3);
	assert_told("+10.0.0.1");
	limits_on_full(limits, on_full, NULL, 2);
	assert_told("+10.0.0.1");
	limits_on_full(limits, on_full, NULL, 4);
	assert_told("-10.0.0.1");
	limits_on_full(limits, on_full, NULL, 5);
	assert_nothing_told();
	limits_on_full(limits, on_full, NULL, 1);
	assert_told("+10.0.0.1");
	limits_on_full(limits, on_full, NULL, 0);
	assert_told("-10.0.0.1");
}

static void who_is_new_hears_of_all_that_are_full_and_nobody_of_the_past(void **state)
{
	(void)state;

	assert_ok(enter("10.0.0.1", 1, 0));
	assert_ok(enter("10.0.0.1", 2, 0));
	limits_on_full(limits, on_full, NULL, 1);
	assert_told("+10.0.0.1");
	limits_on_full(limits, on_full, &other, 2);
	assert_told("other +10.0.0.1");
	limits_on_full(limits, on_full, NULL, 3); /* was never told of it */
	limits_on_full(limits, NULL, NULL, 1);
	leave("10.0.0.1", 1);
	leave("10.0.0.1", 1);
	assert_ok(enter("10.0.0.1", 1, 0));
	assert_nothing_told();
}

/* ---- threads ---------------------------------------------------------------- */

static uint64_t n_inside[2], n_too_many, n_entered;

static void *come_and_go(void *arg)
{
	struct dice *dice = arg;
	const struct addr clients[] = { client("10.0.0.1", 1), client("::1", 1) };

	for (int i = 0; i < ROUNDS; i++) {
		size_t which = dice_roll(dice, 2);

		if (limits_enter(limits, &clients[which], MAX) < 0)
			continue;
		if (__atomic_add_fetch(&n_inside[which], 1, __ATOMIC_SEQ_CST) > MAX)
			__atomic_add_fetch(&n_too_many, 1, __ATOMIC_RELAXED);
		__atomic_add_fetch(&n_entered, 1, __ATOMIC_RELAXED);
		__atomic_sub_fetch(&n_inside[which], 1, __ATOMIC_SEQ_CST);
		limits_leave(limits, &clients[which]);
	}
	return NULL;
}

static int n_full; /* both addresses; told in the right order it is 0 to 2 */
static uint64_t n_tellings, n_out_of_order;

static void count_full(void *ctx, const struct addr *a, bool is_full)
{
	int n = __atomic_add_fetch(&n_full, is_full ? 1 : -1, __ATOMIC_SEQ_CST);

	(void)ctx;
	(void)a;

	if (n < 0 || n > 2)
		__atomic_add_fetch(&n_out_of_order, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&n_tellings, 1, __ATOMIC_RELAXED);
}

static void the_limit_is_exact_with_threads_and_nothing_is_left(void **state)
{
	pthread_t threads[N_THREADS];
	struct dice dice[N_THREADS];

	(void)state;
	limits_on_full(limits, count_full, NULL, 1);
	for (unsigned int i = 0; i < N_THREADS; i++) {
		dice[i] = (struct dice){ i + 1 };
		assert_ok(pthread_create(&threads[i], NULL, come_and_go, &dice[i]));
	}
	for (unsigned int i = 0; i < N_THREADS; i++)
		assert_ok(pthread_join(threads[i], NULL));

	assert_int_equal(n_too_many, 0);
	assert_true(n_entered > 0);
	assert_true(n_tellings > 0);
	assert_int_equal(n_full, 0);
	assert_int_equal(n_out_of_order, 0);
	assert_int_equal(limits_n_addresses(limits), 0);
}

#define LIMITS_TEST(test) cmocka_unit_test_setup_teardown(test, start_empty, end)
#define FULL_TEST(test) cmocka_unit_test_setup_teardown(test, start_untold, end)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		LIMITS_TEST(an_address_may_have_so_many_sessions_and_no_more),
		LIMITS_TEST(ports_make_no_difference),
		LIMITS_TEST(a_maximum_of_0_is_none_but_is_counted),
		LIMITS_TEST(families_and_scopes_are_different_addresses),
		LIMITS_TEST(a_refusal_leaves_no_entry),
		LIMITS_TEST(many_addresses_are_kept_apart),
		LIMITS_TEST(the_end_frees_what_is_still_counted),
		FULL_TEST(an_address_is_told_when_it_is_full_and_when_no_more),
		FULL_TEST(an_address_over_the_maximum_is_full_once),
		FULL_TEST(the_last_session_of_one_is_told_too),
		FULL_TEST(another_maximum_tells_again_who_is_full_and_who_no_longer),
		FULL_TEST(who_is_new_hears_of_all_that_are_full_and_nobody_of_the_past),
		LIMITS_TEST(the_limit_is_exact_with_threads_and_nothing_is_left),
	};

	return test_run("limits", tests, argc, argv);
}
