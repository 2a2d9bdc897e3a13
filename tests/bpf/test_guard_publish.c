// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* test_guard_publish.c - from one rule set to another (G1 of guard.h). */
#include "test.h"

#include <errno.h>
#include <linux/bpf.h>
#include <pthread.h>

#include <bpf/bpf.h>

#include "base/cleanup.h"
#include "guarding.h"
#include "kernel/guard_parts.h"
#include "ruleset.h"

#define HERE "192.0.2.1:80"

static size_t n_keys(int map)
{
	struct g5x_guard_address key, next;
	int r = bpf_map_get_next_key(map, NULL, &next);
	size_t n = 0;

	for (; r == 0; n++) {
		key = next;
		r = bpf_map_get_next_key(map, &key, &next);
	}
	return n;
}

static void assert_n_listeners(const struct guarding *in, size_t n)
{
	assert_int_equal(n_keys(bpf_map__fd(in->g->skel->maps.g5x_guard_counts)), n);
	assert_int_equal(n_keys(bpf_map__fd(in->g->skel->maps.g5x_listener_paces)), n);
}

/* ---- listeners ------------------------------------------------------------- */

static void
a_listener_that_stays_keeps_its_counters_and_one_that_goes_loses_them(void **state)
{
	struct guarding in;

	(void)state;
	guarding_open(&in);
	guarding_listen(&in, HERE);
	guarding_listen(&in, "192.0.2.1:81");
	guarding_publish(&in);
	assert_n_listeners(&in, 2);
	assert_false(guarding_syn(&in, "10.0.0.1:1", HERE));
	assert_false(guarding_syn(&in, "10.0.0.1:1", "192.0.2.1:81"));

	guarding_new_rules(&in);
	guarding_listen(&in, "192.0.2.1:82");
	guarding_listen(&in, HERE);
	guarding_publish(&in);

	assert_n_listeners(&in, 2);
	assert_int_equal(guarding_counts(&in, HERE).dropped.no_rule, 1);
	assert_int_equal(guarding_counts(&in, "192.0.2.1:81").dropped.no_rule, 0);
	assert_true(guarding_syn(&in, "10.0.0.1:1", "192.0.2.1:81"));
	assert_false(guarding_syn(&in, "10.0.0.1:1", "192.0.2.1:82"));

	guarding_new_rules(&in);
	guarding_publish(&in);
	assert_n_listeners(&in, 0);
	assert_true(guarding_syn(&in, "10.0.0.1:1", HERE));
	guarding_close(&in);
}

static void listen_at_ports(struct guarding *in, uint32_t n)
{
	struct addr a = ruleset_addr("192.0.2.1:0");

	for (uint32_t i = 0; i < n; i++) {
		addr_set_port(&a, (uint16_t)i);
		guard_rules_add_listener(&in->rules, &a, false);
		guard_rules_add_address(&in->rules, &a);
	}
}

static void there_may_be_so_many_listeners_and_no_more(void **state)
{
	struct guarding in;
	struct guard_set set;

	(void)state;
	guarding_open(&in);
	guarding_listen(&in, "192.0.2.2:80");
	guarding_publish(&in);

	guarding_new_rules(&in);
	listen_at_ports(&in, GUARD_LISTENERS_MAX + 1);
	set = guard_rules_set(&in.rules);
	assert_int_equal(guard_publish(in.g, &set), -E2BIG);
	assert_n_listeners(&in, 1);
	assert_false(guarding_syn(&in, "10.0.0.1:1", "192.0.2.2:80"));
	assert_true(guarding_syn(&in, "10.0.0.1:1", "192.0.2.1:80"));

	/* From one full set to another: for a moment both have their counters. */
	for (int i = 0; i < 2; i++) {
		guarding_new_rules(&in);
		if (i == 0)
			listen_at_ports(&in, GUARD_LISTENERS_MAX);
		else
			guarding_listen(&in, "192.0.2.2:80");
		guarding_publish(&in);
		assert_n_listeners(&in, i == 0 ? GUARD_LISTENERS_MAX : 1);
	}
	guarding_close(&in);
}

static void when_a_rule_set_fails_the_old_one_stays(void **state)
{
	struct g5x_client_key impossible = { .prefix_len = 64 + 129 };
	struct guarding in;
	struct guard_set set;

	(void)state;
	guarding_open(&in);
	guarding_listen(&in, HERE);
	guarding_take(&in, "10.*:*");
	guarding_publish(&in);

	guarding_new_rules(&in);
	guarding_listen(&in, "192.0.2.1:81");
	for (int i = 0; i < 2; i++) {
		set = guard_rules_set(&in.rules);
		set.networks = &impossible;
		set.n_networks = 1;
		assert_int_equal(guard_publish(in.g, &set), -EINVAL);
		assert_n_listeners(&in, 1);
		assert_true(guarding_syn(&in, "10.0.0.1:1", HERE));
		assert_false(guarding_syn(&in, "11.0.0.1:1", HERE));
		assert_true(guarding_syn(&in, "11.0.0.1:1", "192.0.2.1:81"));
	}
	assert_int_equal(guarding_counts(&in, HERE).passed, 2);

	guarding_publish(&in);
	assert_true(guarding_syn(&in, "11.0.0.1:1", HERE));
	assert_false(guarding_syn(&in, "10.0.0.1:1", "192.0.2.1:81"));
	guarding_close(&in);
}

/* ---- G1 -------------------------------------------------------------------- */

#define N_PUBLISHED 60

/*
 * Two rule sets with the same answers, of which each part is wrong for the other set:
 * numbers of listeners and patterns are exchanged, counters are of other listeners, and
 * 10.0.0.99 is dropped once for its sessions and once because no pattern takes it.
 */
struct half {
	struct guard_address address;
	struct g5x_client_key networks[2];
	struct g5x_client_pattern patterns[2];
	struct guard_set set;
};

static const struct {
	const char *from;
	bool passes;
} answers[] = {
	{ "10.0.0.1:1", true },  { "10.0.1.1:1", false },  { "10.1.0.1:1", true },
	{ "10.2.0.1:1", false }, { "10.0.0.99:1", false },
};

static struct g5x_client_key network(uint32_t listener, const char *ip)
{
	struct addr a;

	assert_ok(addr_parse_ip(ip, &a));
	return (struct g5x_client_key){
		.prefix_len = 64 + 16,
		.listener = listener,
		.network = guard_source(&a),
	};
}

static void set_pattern(struct g5x_client_pattern *p, const char *glob)
{
	*p = (struct g5x_client_pattern){ .ip_kind = G5X_PATTERN_GLOB };
	guard_glob(&p->ip, glob);
}

static void make_half(struct half *h, uint32_t number)
{
	struct addr here = ruleset_addr(HERE);
	struct addr listener = ruleset_addr(number == 0 ? HERE : "0.0.0.0:80");

	*h = (struct half){
		.address.key = { .ip = guard_source(&here), .port = 80 },
		.address.value = {
			.listener = { .ip = guard_source(&listener), .port = 80 },
			.number = number,
			.has_networks = true,
			.first_pattern = number,
			.n_patterns = 1,
		},
		.networks = {
			network(number, "10.1.0.0"),
			network(!number, "10.2.0.0"),
		},
	};
	set_pattern(&h->patterns[number], number == 0 ? "10.0.0.*" : "10.0.0.?");
	set_pattern(&h->patterns[!number], "10.0.1.*");
	h->set = (struct guard_set){
		.settings.limits_sessions = number == 0,
		.addresses = &h->address,
		.n_addresses = 1,
		.networks = h->networks,
		.n_networks = 2,
		.patterns = h->patterns,
		.n_patterns = 2,
	};
}

struct publisher {
	struct guard *g;
	struct half halves[2];
	bool is_done;
	int r;
};

static void *publish(void *arg)
{
	struct publisher *p = arg;

	for (int i = 0; i < N_PUBLISHED && p->r == 0; i++)
		p->r = guard_publish(p->g, &p->halves[i % 2].set);
	__atomic_store_n(&p->is_done, true, __ATOMIC_RELEASE);
	return NULL;
}

static void a_packet_sees_one_rule_set(void **state)
{
	struct addr full = ruleset_addr("10.0.0.99:1");
	struct publisher p = { 0 };
	struct guarding in;
	pthread_t thread;
	size_t n = 0;

	(void)state;
	guarding_open(&in);
	p.g = in.g;
	make_half(&p.halves[0], 0);
	make_half(&p.halves[1], 1);
	assert_ok(guard_set_full(in.g, &full, true));
	assert_ok(guard_publish(in.g, &p.halves[1].set));

	assert_ok(pthread_create(&thread, NULL, publish, &p));
	while (!__atomic_load_n(&p.is_done, __ATOMIC_ACQUIRE)) {
		for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
			if (guarding_syn(&in, answers[i].from, HERE) !=
			    answers[i].passes)
				fail_msg("%s, after %zu others", answers[i].from, n);
		n++;
	}
	assert_ok(pthread_join(thread, NULL));
	assert_ok(p.r);
	print_message("%zu times %zu packets, %d rule sets\n", n, ARRAY_SIZE(answers),
	              N_PUBLISHED);
	guarding_close(&in);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		        a_listener_that_stays_keeps_its_counters_and_one_that_goes_loses_them),
		cmocka_unit_test(there_may_be_so_many_listeners_and_no_more),
		cmocka_unit_test(when_a_rule_set_fails_the_old_one_stays),
		cmocka_unit_test(a_packet_sees_one_rule_set),
	};

	return test_run("guard publish", tests, argc, argv);
}
