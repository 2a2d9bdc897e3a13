// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * test_guard_cost.c - what a packet costs that is dropped, and one that is let through.
 *
 * As a test it tells that the packets of the table are what they are said to be, over and
 * over. With G5X_GUARD_COST=1 (`make bench-guard`) it runs each a million times and prints
 * nanoseconds, those of BPF_PROG_TEST_RUN included.
 */
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>

#include <bpf/bpf.h>

#include "guarding.h"
#include "test.h"

#define N_BLOCKS 1000
#define N_ROUNDS 5 /* the best counts */

#define NETWORK "10.0.0.1:80"
#define GLOB "10.0.0.1:81"
#define GLOBS "10.0.0.1:82"

struct kind {
	const char *name;
	const char *from, *to;
	unsigned int flags; /* 0: SYN */
	uint32_t verdict;
};

static const struct kind kinds[] = {
	{ "passed: of a connection (ACK)", "192.0.2.9:7", NETWORK, GUARDING_ACK,
	  XDP_PASS },
	{ "passed: to a port that is not ours", "192.0.2.9:7", "10.0.0.1:8", 0,
	  XDP_PASS },
	{ "passed: fits a network", "10.1.0.9:7", NETWORK, 0, XDP_PASS },
	{ "passed: fits a pattern", "10.1.0.9:7", GLOB, 0, XDP_PASS },
	{ "dropped: blocked", "198.51.100.1:7", NETWORK, 0, XDP_DROP },
	{ "dropped: fits no network", "192.0.2.9:7", NETWORK, 0, XDP_DROP },
	{ "dropped: fits no pattern", "192.0.2.9:7", GLOB, 0, XDP_DROP },
	{ "dropped: fits none of 64 patterns", "192.0.2.9:7", GLOBS, 0, XDP_DROP },
	{ "passed: fits a network (IPv6)", "[2001:db8::9]:7", "[fd00::1]:80", 0,
	  XDP_PASS },
	{ "dropped: fits no network (IPv6)", "[2001:db9::9]:7", "[fd00::1]:80", 0,
	  XDP_DROP },
};

static void set_rules(struct guarding *in)
{
	guarding_listen(in, NETWORK);
	guarding_take(in, "10.1.0.0/16:*");
	guarding_listen(in, GLOB);
	guarding_take(in, "10.1.*.?:*");
	guarding_listen(in, GLOBS);
	for (int i = 0; i < G5X_GUARD_N_PATTERNS; i++) {
		char pattern[32];

		snprintf(pattern, sizeof(pattern), "10.%d.*.?:*", i);
		guarding_take(in, pattern);
	}
	guarding_listen(in, "[fd00::1]:80");
	guarding_take(in, "[2001:db8::]/32:*");
	guarding_publish(in);
}

static void block_many(struct guarding *in)
{
	struct addr network;

	for (int i = 0; i < N_BLOCKS; i++) {
		char text[32];

		snprintf(text, sizeof(text), "198.%d.%d.0", 51 + i / 256, i % 256);
		assert_ok(addr_parse_ip(text, &network));
		assert_ok(guard_block(in->g, &network, 24, 0));
	}
}

/* Return: nanoseconds. */
static uint32_t run(struct guarding *in, const struct kind *kind, int n_times)
{
	struct guarding_frame f = guarding_frame(kind->from, kind->to);
	static struct guarding_bytes bytes, out;
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = bytes.at, .data_out = out.at,
	            .repeat = n_times);

	f.flags = kind->flags;
	guarding_build(&f, &bytes);
	run.data_size_in = (uint32_t)bytes.len;
	run.data_size_out = sizeof(out.at);
	assert_ok(bpf_prog_test_run_opts(guard_program_fd(in->g), &run));
	assert_int_equal(run.retval, kind->verdict);
	return run.duration;
}

static void each_packet_gets_its_verdict_however_often_it_comes(void **state)
{
	bool is_bench = getenv("G5X_GUARD_COST") != NULL;
	struct guarding in;

	(void)state;
	guarding_open(&in);
	set_rules(&in);
	block_many(&in);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		uint32_t best = UINT32_MAX;

		for (int j = 0; j < N_ROUNDS; j++) {
			uint32_t ns = run(&in, &kinds[i], is_bench ? 1000000 : 1000);

			best = ns < best ? ns : best;
		}
		if (is_bench)
			printf("%-40s %5u ns\n", kinds[i].name, best);
	}
	guarding_close(&in);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_packet_gets_its_verdict_however_often_it_comes),
	};

	return test_run("guard cost", tests, argc, argv);
}
