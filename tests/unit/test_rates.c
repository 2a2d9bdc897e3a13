// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * test_rates.c - user/forward/rates.c: new connections of one address, against a bucket
 * that is filled drop by drop. Time is the test's.
 */
#include "test.h"

#include <pthread.h>

#include "base/cleanup.h"
#include "dice.h"
#include "forward/rates.h"

#define S UINT64_C(1000000000) /* ns */
#define START (1000 * S)
#define N_ROUNDS 200000
#define N_MANY 200000

static struct rates *rates;

static int start_empty(void **state)
{
	(void)state;

	rates = rates_new();
	assert_non_null(rates);
	return 0;
}

static int end(void **state)
{
	(void)state;

	rates_free(rates);
	rates_free(NULL);
	return 0;
}

static struct addr client(const char *ip, uint16_t port)
{
	struct addr a;

	assert_ok(addr_parse_ip(ip, &a));
	addr_set_port(&a, port);
	return a;
}

static bool enter(const char *ip, const struct rate *rate, uint64_t now_ns)
{
	static uint16_t port;
	const struct addr a = client(ip, ++port);

	return rates_enter(rates, &a, rate, now_ns);
}

/* How many of many that come at once get in. */
static unsigned int n_at_once(const struct rate *rate, uint64_t *next_ns,
                              uint64_t now_ns)
{
	unsigned int n = 0;

	for (unsigned int i = 0; i < 5000; i++)
		n += rate_enter(rate, next_ns, now_ns);
	return n;
}

static void a_rate_is_an_interval_and_a_burst(void **state)
{
	const struct rate none = rate_of(0, 7), one = rate_of(1, 3);
	const struct rate alone = rate_of(1000000, 1), as_rate = rate_of(20, 0);

	(void)state;
	assert_int_equal(none.interval_ns, 0);
	assert_int_equal(one.interval_ns, S);
	assert_int_equal(one.slack_ns, 2 * S);
	assert_int_equal(alone.interval_ns, 1000);
	assert_int_equal(alone.slack_ns, 0);
	assert_int_equal(as_rate.slack_ns, 19 * S / 20);
}

static void without_a_rate_everybody_gets_in(void **state)
{
	const struct rate none = rate_of(0, 0);
	uint64_t next_ns = 0;

	(void)state;
	assert_int_equal(n_at_once(&none, &next_ns, START), 5000);
	assert_int_equal(next_ns, 0);
	assert_true(enter("10.0.0.1", &none, START));
	assert_int_equal(rates_n_addresses(rates), 0);
}

static void so_many_at_once_then_one_each_interval(void **state)
{
	const struct rate rate = rate_of(10, 4);
	uint64_t next_ns = 0;

	(void)state;
	assert_int_equal(n_at_once(&rate, &next_ns, START), 4);
	assert_int_equal(n_at_once(&rate, &next_ns, START + S / 10 - 1), 0);
	assert_int_equal(n_at_once(&rate, &next_ns, START + S / 10), 1);
	assert_int_equal(n_at_once(&rate, &next_ns, START + 3 * S / 10), 2);
	assert_int_equal(n_at_once(&rate, &next_ns, START + 1000 * S), 4);
}

static void who_is_refused_is_not_counted(void **state)
{
	const struct rate rate = rate_of(1, 1);
	uint64_t next_ns = 0;

	(void)state;
	assert_int_equal(n_at_once(&rate, &next_ns, START), 1);
	for (unsigned int i = 1; i < 100; i++)
		assert_false(rate_enter(&rate, &next_ns, START + i * S / 100));
	assert_true(rate_enter(&rate, &next_ns, START + S));
}

static void the_highest_rate_and_burst_do_not_overflow(void **state)
{
	const struct rate rate = rate_of(1, 1000000);
	uint64_t next_ns = 0, n = 0;

	(void)state;
	while (rate_enter(&rate, &next_ns, START))
		n++;
	assert_int_equal(n, 1000000);
}

static void a_lower_rate_does_not_wait_for_the_one_before(void **state)
{
	const struct rate slow = rate_of(1, 100000), fast = rate_of(1000, 10);
	uint64_t next_ns = 0;

	(void)state;
	for (unsigned int i = 0; i < 100000; i++)
		assert_true(rate_enter(&slow, &next_ns, START));
	assert_int_equal(n_at_once(&fast, &next_ns, START), 1);
	assert_int_equal(n_at_once(&fast, &next_ns, START + S / 1000), 1);
	assert_int_equal(n_at_once(&fast, &next_ns, START + 1 * S), 10);
}

static void a_clock_that_is_behind_lets_nobody_in(void **state)
{
	const struct rate rate = rate_of(1000, 2);
	uint64_t next_ns = 0;

	(void)state;
	assert_int_equal(n_at_once(&rate, &next_ns, START), 2);
	assert_int_equal(n_at_once(&rate, &next_ns, START - S / 2), 0);
	assert_int_equal(n_at_once(&rate, &next_ns, START + S / 1000), 1);
}

static void each_address_has_a_rate_of_its_own_and_ports_have_none(void **state)
{
	/* bytes alone would not tell the first three apart */
	static const char *const ips[] = { "1.2.3.4", "102:304::", "102:304::%1",
		                           "::1.2.3.4", "::ffff:1.2.3.4" };
	const struct rate rate = rate_of(1, 2);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ips); i++) {
		assert_true(enter(ips[i], &rate, START));
		assert_true(enter(ips[i], &rate, START));
		assert_false(enter(ips[i], &rate, START));
	}
	assert_int_equal(rates_n_addresses(rates), ARRAY_SIZE(ips));
	for (size_t i = 0; i < ARRAY_SIZE(ips); i++)
		assert_true(enter(ips[i], &rate, START + S));
}

/* ---- against a bucket that is filled drop by drop ------------------------------- */

/* @level: in parts of a drop, of which an interval brings one each ns */
struct bucket {
	uint64_t level, at_ns;
};

static bool bucket_take(struct bucket *b, const struct rate *rate, unsigned int burst,
                        uint64_t now_ns)
{
	const uint64_t full = burst * rate->interval_ns;

	b->level += now_ns - b->at_ns;
	b->level = b->level < full ? b->level : full;
	b->at_ns = now_ns;
	if (b->level < rate->interval_ns)
		return false;
	b->level -= rate->interval_ns;
	return true;
}

static void it_is_a_token_bucket(void **state)
{
	const unsigned int bursts[] = { 1, 2, 7, 100 };
	struct dice dice = { 5 };
	uint64_t now_ns = START;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bursts); i++) {
		const unsigned int burst = bursts[i];
		const struct rate rate = rate_of(333, burst);
		struct bucket bucket = { .level = burst * rate.interval_ns,
			                 .at_ns = now_ns };
		uint64_t next_ns = 0;
		unsigned int n_in = 0;

		for (int j = 0; j < N_ROUNDS; j++) {
			bool is_in = rate_enter(&rate, &next_ns, now_ns);

			assert_int_equal(is_in,
			                 bucket_take(&bucket, &rate, burst, now_ns));
			n_in += is_in;
			if (dice_roll(&dice, 3) == 0)
				now_ns += dice_roll(&dice, 4 * rate.interval_ns);
		}
		assert_in_range(n_in, N_ROUNDS / 10, 9 * (N_ROUNDS / 10));
	}
}

static void the_table_keeps_what_each_would_have_alone(void **state)
{
	const struct rate rate = rate_of(5, 3);
	struct addr a = client("10.0.0.0", 1);
	struct dice dice = { 6 };
	uint64_t alone[256] = { 0 }, now_ns = START;

	(void)state;
	for (int i = 0; i < N_ROUNDS; i++) {
		uint32_t which = (uint32_t)dice_roll(&dice, ARRAY_SIZE(alone));

		a.in4.sin_addr.s_addr = htonl(0x0a000000 + which);
		assert_int_equal(rates_enter(rates, &a, &rate, now_ns),
		                 rate_enter(&rate, &alone[which], now_ns));
		now_ns += dice_roll(&dice, S / 500);
	}
}

/* ---- memory --------------------------------------------------------------------- */

/* Return: how many of them are refused at their second connection. */
static unsigned int flood(uint32_t first, uint64_t now_ns)
{
	const struct rate rate = rate_of(1, 1);
	struct addr a = client("10.0.0.0", 1);
	unsigned int n_refused = 0;

	for (uint32_t i = 0; i < N_MANY; i++) {
		a.in4.sin_addr.s_addr = htonl(0x0a000000 + first + i);
		assert_true(rates_enter(rates, &a, &rate, now_ns));
		n_refused += !rates_enter(rates, &a, &rate, now_ns);
	}
	return n_refused;
}

static void two_hundred_thousand_addresses_need_no_more_memory(void **state)
{
	unsigned int n_refused = flood(0, START);

	(void)state;
	/* Who has no place is let through; the places are used, but for bad luck. */
	assert_int_equal(n_refused, rates_n_addresses(rates));
	assert_in_range(n_refused, RATES_MAX - RATES_MAX / 10, RATES_MAX);
}

static void places_of_addresses_that_may_come_again_are_taken(void **state)
{
	unsigned int n_before, n_after;

	(void)state;
	n_before = flood(0, START);
	n_after = flood(N_MANY, START + S);
	assert_in_range(n_after, n_before - n_before / 10, RATES_MAX);
	assert_in_range(rates_n_addresses(rates), n_after, RATES_MAX);
}

/* ---- threads -------------------------------------------------------------------- */

#define N_THREADS 4
#define BURST 1000

static uint64_t n_entered, shared_next_ns;

static void *come_at_once(void *arg)
{
	const struct rate rate = rate_of(1, BURST);
	const struct addr *a = arg;

	for (int i = 0; i < BURST; i++) {
		bool is_in = a ? rates_enter(rates, a, &rate, START)
		               : rate_enter(&rate, &shared_next_ns, START);

		__atomic_add_fetch(&n_entered, is_in, __ATOMIC_RELAXED);
	}
	return NULL;
}

static void let_threads_come(struct addr *a)
{
	pthread_t threads[N_THREADS];

	n_entered = 0;
	for (unsigned int i = 0; i < N_THREADS; i++)
		assert_ok(pthread_create(&threads[i], NULL, come_at_once, a));
	for (unsigned int i = 0; i < N_THREADS; i++)
		assert_ok(pthread_join(threads[i], NULL));
}

static void a_burst_is_exact_with_threads(void **state)
{
	struct addr a = client("10.0.0.1", 1);

	(void)state;
	let_threads_come(&a);
	assert_int_equal(n_entered, BURST);
	shared_next_ns = 0;
	let_threads_come(NULL);
	assert_int_equal(n_entered, BURST);
}

#define RATES_TEST(test) cmocka_unit_test_setup_teardown(test, start_empty, end)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		RATES_TEST(a_rate_is_an_interval_and_a_burst),
		RATES_TEST(without_a_rate_everybody_gets_in),
		RATES_TEST(so_many_at_once_then_one_each_interval),
		RATES_TEST(who_is_refused_is_not_counted),
		RATES_TEST(the_highest_rate_and_burst_do_not_overflow),
		RATES_TEST(a_lower_rate_does_not_wait_for_the_one_before),
		RATES_TEST(a_clock_that_is_behind_lets_nobody_in),
		RATES_TEST(each_address_has_a_rate_of_its_own_and_ports_have_none),
		RATES_TEST(it_is_a_token_bucket),
		RATES_TEST(the_table_keeps_what_each_would_have_alone),
		RATES_TEST(two_hundred_thousand_addresses_need_no_more_memory),
		RATES_TEST(places_of_addresses_that_may_come_again_are_taken),
		RATES_TEST(a_burst_is_exact_with_threads),
	};

	return test_run("rates", tests, argc, argv);
}
