// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * test_admission.c - user/forward/admission.c: who is asked what, and what is undone.
 *
 * Rates are one connection a second, so that a test is over before they let one more in.
 */
#include "test.h"

#include "base/cleanup.h"
#include "forward/admission.h"
#include "forward/blocks.h"
#include "forward/limits.h"
#include "forward/rates.h"
#include "rig.h"

static struct rig rig;

static int start(void **state)
{
	(void)state;

	rig_start(&rig, RULE_MODE_RR, 4096);
	return 0;
}

static int end(void **state)
{
	(void)state;

	rig_stop(&rig);
	return 0;
}

static struct addr client(const char *ip)
{
	struct addr a;

	assert_ok(addr_parse_ip(ip, &a));
	return a;
}

/* How many of @n that come at once get in; all of those leave. */
static unsigned int n_in(const char *ip, unsigned int n)
{
	const struct addr a = client(ip);
	unsigned int n_entered = 0;

	for (unsigned int i = 0; i < n; i++)
		n_entered += admission_enter(&rig.worker, rig.listener->ports, &a);
	for (unsigned int i = 0; i < n_entered; i++)
		limits_leave(rig.forward.limits, &a);
	return n_entered;
}

static void without_rates_everybody_gets_in(void **state)
{
	(void)state;

	assert_int_equal(n_in("10.0.0.1", 1000), 1000);
	assert_int_equal(rates_n_addresses(rig.forward.rates), 0);
}

static void the_source_rate_is_for_each_address(void **state)
{
	(void)state;

	rig.snapshot.source_rate = rate_of(1, 3);
	assert_int_equal(n_in("10.0.0.1", 10), 3);
	assert_int_equal(n_in("10.0.0.2", 10), 3);
	assert_int_equal(n_in("10.0.0.1", 10), 0);
}

static void the_listener_rate_is_for_all_of_a_listener(void **state)
{
	struct listener other = { .addr = rig.listener->addr };
	struct port port = { .worker = &rig.worker, .listener = &other };
	const struct addr a = client("10.0.0.4");

	(void)state;

	rig.snapshot.listener_rate = rate_of(1, 5);
	assert_int_equal(n_in("10.0.0.1", 3), 3);
	assert_int_equal(n_in("10.0.0.2", 3), 2);
	assert_int_equal(n_in("10.0.0.3", 3), 0);
	assert_true(admission_enter(&rig.worker, &port, &a));
	limits_leave(rig.forward.limits, &a);
}

static void whom_a_rate_refuses_has_no_session(void **state)
{
	(void)state;

	rig.snapshot.source_rate = rate_of(1, 1);
	assert_int_equal(n_in("10.0.0.1", 10), 1);
	assert_int_equal(limits_n_addresses(rig.forward.limits), 0);
	rig.snapshot.source_rate = rate_of(0, 0);
	rig.snapshot.listener_rate = rate_of(1, 1);
	assert_int_equal(n_in("10.0.0.2", 10), 1);
	assert_int_equal(limits_n_addresses(rig.forward.limits), 0);
}

static void over_maxsessions_per_ip_no_rate_is_used_up(void **state)
{
	const struct addr a = client("10.0.0.1");

	(void)state;

	rig.config->maxsessions_per_ip = 1;
	rig.snapshot.source_rate = rate_of(1, 2);
	assert_true(admission_enter(&rig.worker, rig.listener->ports, &a));
	for (int i = 0; i < 5; i++)
		assert_false(admission_enter(&rig.worker, rig.listener->ports, &a));
	limits_leave(rig.forward.limits, &a);
	assert_int_equal(n_in("10.0.0.1", 1), 1);
	assert_int_equal(n_in("10.0.0.1", 1), 0);
}

static void behind_the_guard_a_second_more_is_let_in(void **state)
{
	(void)state;

	rig.snapshot.source_rate = rate_of(1, 3);
	forward_set_guarded(&rig.forward, true);
	assert_int_equal(n_in("10.0.0.1", 10), 4);
	forward_set_guarded(&rig.forward, false);
	assert_int_equal(n_in("10.0.0.2", 10), 3);
}

static void behind_the_guard_no_rate_is_none_still(void **state)
{
	(void)state;

	forward_set_guarded(&rig.forward, true);
	assert_int_equal(n_in("10.0.0.1", 1000), 1000);
}

static unsigned int n_full, n_no_longer;

static void on_full(void *ctx, const struct addr *a, bool is_full)
{
	(void)a;

	assert_ptr_equal(ctx, &rig);
	n_full += is_full;
	n_no_longer += !is_full;
}

static void who_asks_hears_of_addresses_that_are_full(void **state)
{
	(void)state;

	forward_on_full(&rig.forward, on_full, &rig, 5);
	assert_int_equal(n_in("10.0.0.1", 4), 4);
	assert_int_equal(n_full, 0);
	assert_int_equal(n_in("10.0.0.1", 5), 5);
	assert_int_equal(n_full, 1);
	assert_int_equal(n_no_longer, 1);
}

static void blocked_addresses_are_refused(void **state)
{
	const struct addr in = client("10.1.2.3"), out = client("11.1.2.3");
	const struct network network = { .ip = client("10.0.0.0"), .bits = 8 };

	(void)state;

	assert_false(admission_is_blocked(&rig.worker, &in));
	assert_ok(blocks_add(rig.forward.blocks, &network, 0));
	assert_true(admission_is_blocked(&rig.worker, &in));
	assert_false(admission_is_blocked(&rig.worker, &out));
}

#define ADMISSION_TEST(test) cmocka_unit_test_setup_teardown(test, start, end)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		ADMISSION_TEST(without_rates_everybody_gets_in),
		ADMISSION_TEST(the_source_rate_is_for_each_address),
		ADMISSION_TEST(the_listener_rate_is_for_all_of_a_listener),
		ADMISSION_TEST(whom_a_rate_refuses_has_no_session),
		ADMISSION_TEST(over_maxsessions_per_ip_no_rate_is_used_up),
		ADMISSION_TEST(behind_the_guard_a_second_more_is_let_in),
		ADMISSION_TEST(behind_the_guard_no_rate_is_none_still),
		ADMISSION_TEST(who_asks_hears_of_addresses_that_are_full),
		ADMISSION_TEST(blocked_addresses_are_refused),
	};

	return test_run("admission", tests, argc, argv);
}
