// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * test_guard.c - what bpf/guard.bpf.c checks, in which order, and what it counts and tells.
 *
 * One listener, HERE, that takes clients of 10.0.0.0/8. Intervals of rates are so long that
 * nothing becomes due while a test runs, or already over.
 */
#include "test.h"

#include <errno.h>
#include <linux/bpf.h>
#include <poll.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/cleanup.h"
#include "guarding.h"
#include "kernel/guard_parts.h"
#include "ruleset.h"

#define HERE "192.0.2.1:80"
#define OTHER "192.0.2.1:81"
#define HOUR_NS 3600000000000ULL

static void open_rules(struct guarding *in)
{
	guarding_open(in);
	guarding_listen(in, HERE);
	guarding_take(in, "10.0.0.0/8:*");
	guarding_listen(in, OTHER);
	guarding_take(in, "10.0.0.0/8:*");
}

static void open_with_settings(struct guarding *in, struct g5x_guard_settings settings)
{
	open_rules(in);
	in->rules.settings = settings;
	guarding_publish(in);
}

static void open_default(struct guarding *in)
{
	open_with_settings(in, (struct g5x_guard_settings){ 0 });
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static bool passes(struct guarding *in, const char *from)
{
	return guarding_syn(in, from, HERE);
}

/* "10.0.0.0", 8 */
static int block(struct guarding *in, const char *ip, unsigned int bits,
                 uint64_t until_ns)
{
	struct addr a;

	assert_ok(addr_parse_ip(ip, &a));
	return guard_block(in->g, &a, bits, until_ns);
}

static int unblock(struct guarding *in, const char *ip, unsigned int bits)
{
	struct addr a;

	assert_ok(addr_parse_ip(ip, &a));
	return guard_unblock(in->g, &a, bits);
}

/* ---- rules ----------------------------------------------------------------- */

static void without_a_rule_set_everything_passes(void **state)
{
	struct guarding in;

	(void)state;
	guarding_open(&in);

	assert_true(passes(&in, "10.0.0.1:1"));

	assert_int_equal(guarding_counts(&in, HERE).passed, 0);
	guarding_close(&in);
}

static void who_is_no_rules_client_is_dropped_and_counted(void **state)
{
	struct guarding in;
	struct g5x_guard_counts counts;

	(void)state;
	open_default(&in);

	assert_true(passes(&in, "10.0.0.1:1"));
	assert_true(passes(&in, "10.255.0.1:1"));
	assert_false(passes(&in, "11.0.0.1:1"));

	counts = guarding_counts(&in, HERE);
	assert_int_equal(counts.passed, 2);
	assert_int_equal(counts.dropped.no_rule, 1);
	assert_int_equal(counts.reset, 0);
	assert_int_equal(guarding_counts(&in, OTHER).passed, 0);
	guarding_close(&in);
}

static void a_wildcard_counts_for_all_addresses_that_reach_it(void **state)
{
	struct addr wildcard = ruleset_addr("0.0.0.0:80");
	struct addr first = ruleset_addr("192.0.2.1:80");
	struct addr second = ruleset_addr("192.0.2.2:80");
	struct guarding in;

	(void)state;
	guarding_open(&in);
	guard_rules_add_listener(&in.rules, &wildcard, false);
	guard_rules_add_address(&in.rules, &first);
	guard_rules_add_address(&in.rules, &second);
	guarding_publish(&in);

	assert_false(guarding_syn(&in, "10.0.0.1:1", "192.0.2.1:80"));
	assert_false(guarding_syn(&in, "10.0.0.1:1", "192.0.2.2:80"));
	assert_true(guarding_syn(&in, "10.0.0.1:1", "192.0.2.3:80"));

	assert_int_equal(guarding_counts(&in, "0.0.0.0:80").dropped.no_rule, 2);
	guarding_close(&in);
}

/* ---- blocks ---------------------------------------------------------------- */

static void a_block_is_for_ever_or_until_its_time(void **state)
{
	struct guarding in;

	(void)state;
	open_default(&in);

	assert_ok(block(&in, "10.0.0.1", 32, 0));
	assert_ok(block(&in, "10.0.0.2", 32, now_ns() + HOUR_NS));
	assert_ok(block(&in, "10.0.0.3", 32, now_ns()));

	assert_false(passes(&in, "10.0.0.1:1"));
	assert_false(passes(&in, "10.0.0.2:1"));
	assert_true(passes(&in, "10.0.0.3:1"));
	assert_true(passes(&in, "10.0.0.4:1"));
	assert_int_equal(guarding_counts(&in, HERE).dropped.blocked, 2);

	assert_ok(unblock(&in, "10.0.0.1", 32));
	assert_true(passes(&in, "10.0.0.1:1"));
	assert_int_equal(unblock(&in, "10.0.0.1", 32), -ENOENT);
	guarding_close(&in);
}

static void blocked_networks_may_be_inside_each_other(void **state)
{
	struct guarding in;

	(void)state;
	open_default(&in);
	assert_ok(block(&in, "10.0.0.0", 8, 0));
	assert_ok(block(&in, "10.1.0.0", 16, 0));
	assert_ok(block(&in, "10.1.2.3", 32, 0));

	assert_ok(unblock(&in, "10.0.0.0", 8));
	assert_true(passes(&in, "10.2.0.1:1"));
	assert_false(passes(&in, "10.1.0.1:1"));
	assert_ok(unblock(&in, "10.1.0.0", 16));
	assert_true(passes(&in, "10.1.0.1:1"));
	assert_false(passes(&in, "10.1.2.3:1"));
	guarding_close(&in);
}

static void a_block_is_of_one_family(void **state)
{
	struct guarding in;

	(void)state;
	guarding_open(&in);
	guarding_listen(&in, HERE);
	guarding_take(&in, "*:*");
	guarding_listen(&in, "[2001:db8::1]:80");
	guarding_take(&in, "*:*");
	guarding_publish(&in);

	assert_ok(block(&in, "::", 0, 0));
	assert_true(passes(&in, "10.0.0.1:1"));
	assert_false(guarding_syn(&in, "[a00:1::]:1", "[2001:db8::1]:80"));
	assert_ok(unblock(&in, "::", 0));

	assert_ok(block(&in, "10.0.0.0", 8, 0));
	assert_false(passes(&in, "10.0.0.1:1"));
	assert_true(guarding_syn(&in, "[a00:1::]:1", "[2001:db8::1]:80"));

	assert_ok(block(&in, "2001:db8:7::", 48, 0));
	assert_false(guarding_syn(&in, "[2001:db8:7:1::1]:1", "[2001:db8::1]:80"));
	assert_true(guarding_syn(&in, "[2001:db8:8::1]:1", "[2001:db8::1]:80"));
	guarding_close(&in);
}

/* ---- sessions -------------------------------------------------------------- */

static void a_source_that_is_full_is_dropped_while_sessions_are_limited(void **state)
{
	struct addr full = ruleset_addr("10.0.0.1:1");
	struct guarding in;

	(void)state;
	open_with_settings(&in, (struct g5x_guard_settings){ .limits_sessions = true });
	assert_ok(guard_set_full(in.g, &full, true));
	assert_ok(guard_set_full(in.g, &full, true));

	assert_false(passes(&in, "10.0.0.1:2"));
	assert_true(passes(&in, "10.0.0.2:2"));
	assert_int_equal(guarding_counts(&in, HERE).dropped.sessions, 1);

	assert_ok(guard_set_full(in.g, &full, false));
	assert_ok(guard_set_full(in.g, &full, false));
	assert_true(passes(&in, "10.0.0.1:2"));

	assert_ok(guard_set_full(in.g, &full, true));
	in.rules.settings.limits_sessions = false;
	guarding_publish(&in);
	assert_true(passes(&in, "10.0.0.1:2"));
	guarding_close(&in);
}

static void all_full_sources_can_be_forgotten(void **state)
{
	struct addr full = ruleset_addr("10.0.0.0:1");
	struct guarding in;

	(void)state;
	open_with_settings(&in, (struct g5x_guard_settings){ .limits_sessions = true });
	for (uint32_t i = 1; i <= 500; i++) {
		full.in4.sin_addr.s_addr = htonl(10U << 24 | i);
		assert_ok(guard_set_full(in.g, &full, true));
	}
	assert_false(passes(&in, "10.0.0.1:1"));

	guard_forget_full(in.g);

	for (uint32_t i = 1; i <= 500; i++) {
		struct guarding_frame f = guarding_frame("10.0.0.0:1", HERE);

		f.from.in4.sin_addr.s_addr = htonl(10U << 24 | i);
		assert_int_equal(guarding_verdict(&in, &f), XDP_PASS);
	}
	guarding_close(&in);
}

/* ---- rates ----------------------------------------------------------------- */

static void set_pace(const struct guarding *in, const char *source, uint64_t next_ns)
{
	struct addr a = ruleset_addr(source);
	struct g5x_source key = guard_source(&a);
	struct g5x_pace pace = { .next_ns = next_ns };

	assert_ok(bpf_map_update_elem(bpf_map__fd(in->g->skel->maps.g5x_source_paces),
	                              &key, &pace, BPF_EXIST));
}

static uint64_t pace_of(const struct guarding *in, const char *source)
{
	struct addr a = ruleset_addr(source);
	struct g5x_source key = guard_source(&a);
	struct g5x_pace pace;

	assert_ok(bpf_map_lookup_elem(bpf_map__fd(in->g->skel->maps.g5x_source_paces),
	                              &key, &pace));
	return pace.next_ns;
}

static const struct g5x_guard_settings three_of_a_source = {
	.source_interval_ns = HOUR_NS,
	.source_slack_ns = 2 * HOUR_NS,
};

static void a_source_may_come_as_often_as_its_burst(void **state)
{
	struct guarding in;

	(void)state;
	open_with_settings(&in, three_of_a_source);

	for (int i = 0; i < 3; i++)
		assert_true(passes(&in, "10.0.0.1:1"));
	assert_false(passes(&in, "10.0.0.1:2"));
	assert_false(guarding_syn(&in, "10.0.0.1:3", OTHER));
	assert_true(passes(&in, "10.0.0.2:1"));

	assert_int_equal(guarding_counts(&in, HERE).dropped.source_rate, 1);
	assert_int_equal(guarding_counts(&in, OTHER).dropped.source_rate, 1);
	guarding_close(&in);
}

static void time_that_passes_gives_a_source_more(void **state)
{
	struct guarding in;
	uint64_t now;

	(void)state;
	open_with_settings(&in, three_of_a_source);
	for (int i = 0; i < 3; i++)
		assert_true(passes(&in, "10.0.0.1:1"));

	/* One and a half intervals later. */
	now = now_ns();
	set_pace(&in, "10.0.0.1:1", now + HOUR_NS + HOUR_NS / 2);
	assert_true(passes(&in, "10.0.0.1:1"));
	assert_true(pace_of(&in, "10.0.0.1:1") == now + 2 * HOUR_NS + HOUR_NS / 2);
	assert_false(passes(&in, "10.0.0.1:1"));
	assert_true(pace_of(&in, "10.0.0.1:1") == now + 2 * HOUR_NS + HOUR_NS / 2);

	/* Long after: a burst, and no more than that. */
	set_pace(&in, "10.0.0.1:1", 1);
	for (int i = 0; i < 3; i++)
		assert_true(passes(&in, "10.0.0.1:1"));
	assert_false(passes(&in, "10.0.0.1:1"));
	guarding_close(&in);
}

static void a_listener_has_a_pace_of_its_own(void **state)
{
	struct guarding in;

	(void)state;
	open_with_settings(&in, (struct g5x_guard_settings){
	                                .listener_interval_ns = HOUR_NS,
	                                .listener_slack_ns = HOUR_NS,
	                        });

	assert_true(passes(&in, "10.0.0.1:1"));
	assert_true(passes(&in, "10.0.0.2:1"));
	assert_false(passes(&in, "10.0.0.3:1"));
	assert_true(guarding_syn(&in, "10.0.0.3:1", OTHER));

	assert_int_equal(guarding_counts(&in, HERE).dropped.listener_rate, 1);
	guarding_publish(&in); /* keeps what is known of a listener that stays */
	assert_false(passes(&in, "10.0.0.3:1"));
	guarding_close(&in);
}

/* ---- order ----------------------------------------------------------------- */

static void the_first_reason_counts_and_what_is_refused_uses_nothing_up(void **state)
{
	struct addr full = ruleset_addr("10.0.0.1:1");
	struct g5x_guard_settings settings = three_of_a_source;
	struct g5x_guard_counts counts;
	struct guarding in;

	(void)state;
	settings.limits_sessions = true;
	settings.source_slack_ns = 0;
	settings.listener_interval_ns = HOUR_NS;
	open_with_settings(&in, settings);
	assert_ok(block(&in, "11.0.0.0", 8, 0));
	assert_ok(block(&in, "10.0.0.1", 32, 0));
	assert_ok(guard_set_full(in.g, &full, true));

	assert_false(passes(&in, "11.0.0.1:1")); /* blocked, and of no rule */
	assert_false(passes(&in, "12.0.0.1:1"));
	assert_false(passes(&in, "10.0.0.1:1")); /* blocked, and full */
	assert_ok(unblock(&in, "10.0.0.1", 32));
	assert_false(passes(&in, "10.0.0.1:1"));
	assert_ok(guard_set_full(in.g, &full, false));
	assert_true(passes(&in, "10.0.0.1:1"));
	assert_false(passes(&in, "10.0.0.1:1")); /* too fast, and for the listener */
	assert_false(passes(&in, "10.0.0.2:1"));

	counts = guarding_counts(&in, HERE);
	assert_int_equal(counts.dropped.blocked, 2);
	assert_int_equal(counts.dropped.no_rule, 1);
	assert_int_equal(counts.dropped.sessions, 1);
	assert_int_equal(counts.dropped.source_rate, 1);
	assert_int_equal(counts.dropped.listener_rate, 1);
	assert_int_equal(counts.passed, 1);
	guarding_close(&in);
}

static void management_is_blocked_and_matched_but_not_limited(void **state)
{
	struct addr here = ruleset_addr(HERE), full = ruleset_addr("10.0.0.1:1");
	struct guarding in;

	(void)state;
	guarding_open(&in);
	guard_rules_add_listener(&in.rules, &here, true);
	guard_rules_add_address(&in.rules, &here);
	guarding_take(&in, "10.0.0.0/8:*");
	in.rules.settings = three_of_a_source;
	in.rules.settings.source_slack_ns = 0;
	in.rules.settings.listener_interval_ns = HOUR_NS;
	in.rules.settings.limits_sessions = true;
	guarding_publish(&in);
	assert_ok(guard_set_full(in.g, &full, true));
	assert_ok(block(&in, "10.0.0.2", 32, 0));

	for (int i = 0; i < 5; i++)
		assert_true(passes(&in, "10.0.0.1:1"));
	assert_false(passes(&in, "10.0.0.2:1"));
	assert_false(passes(&in, "11.0.0.1:1"));
	guarding_close(&in);
}

static void a_dry_run_counts_and_lets_all_through(void **state)
{
	struct g5x_guard_settings settings = three_of_a_source;
	struct addr full = ruleset_addr("10.0.0.2:1");
	struct g5x_guard_counts counts;
	struct guarding in;

	(void)state;
	settings.is_dry_run = settings.rejects = settings.limits_sessions = true;
	settings.listener_interval_ns = HOUR_NS;
	settings.listener_slack_ns = 2 * HOUR_NS;
	open_with_settings(&in, settings);
	assert_ok(block(&in, "10.0.0.1", 32, 0));
	assert_ok(guard_set_full(in.g, &full, true));

	assert_true(passes(&in, "10.0.0.1:1"));
	assert_true(passes(&in, "11.0.0.1:1"));
	assert_true(passes(&in, "10.0.0.2:1"));
	for (int i = 0; i < 4; i++)
		assert_true(passes(&in, "10.0.0.3:1"));
	assert_true(passes(&in, "10.0.0.4:1"));

	counts = guarding_counts(&in, HERE);
	assert_int_equal(counts.would_drop.blocked, 1);
	assert_int_equal(counts.would_drop.no_rule, 1);
	assert_int_equal(counts.would_drop.sessions, 1);
	assert_int_equal(counts.would_drop.source_rate, 1);
	assert_int_equal(counts.would_drop.listener_rate, 1);
	assert_int_equal(counts.passed, 8);
	assert_int_equal(counts.dropped.blocked, 0);
	assert_int_equal(counts.reset, 0);
	guarding_close(&in);
}

/* ---- events ---------------------------------------------------------------- */

struct seen {
	size_t n;
	uint64_t n_untold; /* sum */
	struct g5x_guard_event last;
};

static void see(void *ctx, const struct g5x_guard_event *event)
{
	struct seen *seen = ctx;

	seen->n++;
	seen->n_untold += event->n_untold;
	seen->last = *event;
}

static bool has_events(const struct guarding *in)
{
	struct pollfd p = { .fd = guard_events_fd(in->g), .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static void stay_on_this_cpu(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	assert_ok(sched_setaffinity(0, sizeof(set), &set));
}

static void an_event_tells_who_was_dropped_and_why(void **state)
{
	struct addr source = ruleset_addr("11.0.0.1:4711"), here = ruleset_addr(HERE);
	struct g5x_source ip = guard_source(&source);
	struct seen seen = { 0 };
	struct guarding in;

	(void)state;
	open_default(&in);
	assert_true(passes(&in, "10.0.0.1:1"));
	assert_false(has_events(&in));

	assert_false(passes(&in, "11.0.0.1:4711"));

	assert_true(has_events(&in));
	guard_read_events(in.g, see, &seen);
	assert_int_equal(seen.n, 1);
	assert_memory_equal(&seen.last.source.ip, &ip, sizeof(ip));
	assert_int_equal(seen.last.source.port, 4711);
	ip = guard_source(&here);
	assert_memory_equal(&seen.last.listener.ip, &ip, sizeof(ip));
	assert_int_equal(seen.last.listener.port, 80);
	assert_int_equal(seen.last.reason, G5X_DROP_NO_RULE);
	assert_int_equal(seen.last.ifindex, 1); /* of a test run: lo */
	assert_int_equal(seen.last.is_dry_run, 0);
	assert_int_equal(seen.last.n_untold, 0);
	assert_false(has_events(&in));
	guarding_close(&in);
}

static void a_dry_run_tells_as_well(void **state)
{
	struct seen seen = { 0 };
	struct guarding in;

	(void)state;
	open_with_settings(&in, (struct g5x_guard_settings){ .is_dry_run = true });
	assert_ok(block(&in, "10.0.0.1", 32, 0));

	assert_true(passes(&in, "10.0.0.1:1"));

	guard_read_events(in.g, see, &seen);
	assert_int_equal(seen.n, 1);
	assert_int_equal(seen.last.reason, G5X_DROP_BLOCKED);
	assert_int_equal(seen.last.is_dry_run, 1);
	guarding_close(&in);
}

static void forget_when_told_last(const struct guarding *in)
{
	const int map = bpf_map__fd(in->g->skel->maps.g5x_guard_told);
	const int n_cpus = libbpf_num_possible_cpus();
	const __u32 key = 0;
	uint64_t told[2 * 1024]; /* last_ns, n_untold */

	assert_in_range(n_cpus, 1, 1024);
	assert_ok(bpf_map_lookup_elem(map, &key, told));
	for (int i = 0; i < n_cpus; i++)
		told[2 * i] = 0;
	assert_ok(bpf_map_update_elem(map, &key, told, BPF_ANY));
}

static void of_many_drops_few_are_told_and_the_rest_is_counted(void **state)
{
	const size_t n = 2000;
	struct seen seen = { 0 };
	struct guarding in;
	uint64_t began;

	(void)state;
	open_default(&in);
	stay_on_this_cpu();

	began = now_ns();
	for (size_t i = 0; i < n; i++)
		assert_false(passes(&in, "11.0.0.1:1"));
	guard_read_events(in.g, see, &seen);
	assert_in_range(seen.n, 1, (now_ns() - began) / 100000000 + 1);

	forget_when_told_last(&in);
	assert_false(passes(&in, "11.0.0.1:1"));
	guard_read_events(in.g, see, &seen);
	assert_int_equal(seen.n + seen.n_untold, n + 1);

	forget_when_told_last(&in);
	assert_false(passes(&in, "11.0.0.1:1"));
	guard_read_events(in.g, see, &seen);
	assert_int_equal(seen.n + seen.n_untold, n + 2);
	guarding_close(&in);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_rule_set_everything_passes),
		cmocka_unit_test(who_is_no_rules_client_is_dropped_and_counted),
		cmocka_unit_test(a_wildcard_counts_for_all_addresses_that_reach_it),
		cmocka_unit_test(a_block_is_for_ever_or_until_its_time),
		cmocka_unit_test(blocked_networks_may_be_inside_each_other),
		cmocka_unit_test(a_block_is_of_one_family),
		cmocka_unit_test(
		        a_source_that_is_full_is_dropped_while_sessions_are_limited),
		cmocka_unit_test(all_full_sources_can_be_forgotten),
		cmocka_unit_test(a_source_may_come_as_often_as_its_burst),
		cmocka_unit_test(time_that_passes_gives_a_source_more),
		cmocka_unit_test(a_listener_has_a_pace_of_its_own),
		cmocka_unit_test(
		        the_first_reason_counts_and_what_is_refused_uses_nothing_up),
		cmocka_unit_test(management_is_blocked_and_matched_but_not_limited),
		cmocka_unit_test(a_dry_run_counts_and_lets_all_through),
		cmocka_unit_test(an_event_tells_who_was_dropped_and_why),
		cmocka_unit_test(a_dry_run_tells_as_well),
		cmocka_unit_test(of_many_drops_few_are_told_and_the_rest_is_counted),
	};

	return test_run("guard", tests, argc, argv);
}
