// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * test_guard_packets.c - bpf/guard.bpf.c: which frames are a SYN to a listener, and what it
 * answers.
 *
 * Two listeners that nobody may connect to: a SYN that is found is dropped, and whatever
 * else there is passes.
 */
#include "test.h"

#include <linux/bpf.h>

#include "base/cleanup.h"
#include "guarding.h"

#define HERE4 "192.0.2.1:80"
#define HERE6 "[2001:db8::1]:80"
#define THERE4 "198.51.100.7:1234"
#define THERE6 "[2001:db8:7::7]:1234"

static void open_closed_ports(struct guarding *in)
{
	guarding_open(in);
	guarding_listen(in, HERE4);
	guarding_listen(in, HERE6);
	guarding_publish(in);
}

struct row {
	const char *name;
	uint32_t verdict;
	int family; /* THERE4 to HERE4, or THERE6 to HERE6 */
	struct guarding_frame f;
};

static const struct row rows[] = {
	{ "SYN", XDP_DROP, 4, { 0 } },
	{ "SYN with options", XDP_DROP, 4, { .n_tcp_options = 20 } },
	{ "SYN with a payload", XDP_DROP, 4, { .n_payload = 100 } },
	{ "SYN|FIN", XDP_DROP, 4, { .flags = GUARDING_SYN | GUARDING_FIN } },
	{ "SYN|ECE|CWR", XDP_DROP, 4, { .flags = GUARDING_SYN | 0xc0 } },
	{ "padded", XDP_DROP, 4, { .n_padding = 6 } },
	{ "one tag", XDP_DROP, 4, { .n_tags = 1 } },
	{ "one outer tag", XDP_DROP, 4, { .n_tags = 1, .inner_tag = 0x88a8 } },
	{ "two tags", XDP_DROP, 4, { .n_tags = 2 } },
	{ "IPv4 options", XDP_DROP, 4, { .n_options = 4 } },
	{ "most IPv4 options", XDP_DROP, 4, { .n_options = 40 } },
	{ "DF", XDP_DROP, 4, { .fragment = 0x4000 } },

	{ "three tags", XDP_PASS, 4, { .n_tags = 3 } },
	{ "an unknown tag", XDP_PASS, 4, { .n_tags = 1, .inner_tag = 0x9100 } },
	{ "ARP", XDP_PASS, 4, { .ether_type = 0x0806 } },
	{ "IPv4 called IPv6", XDP_PASS, 4, { .ether_type = 0x86dd } },
	{ "first fragment", XDP_PASS, 4, { .fragment = 0x2000 } },
	{ "later fragment", XDP_PASS, 4, { .fragment = 0x0001 } },
	{ "UDP", XDP_PASS, 4, { .protocol = 17 } },
	{ "SYN|ACK", XDP_PASS, 4, { .flags = GUARDING_SYN | GUARDING_ACK } },
	{ "ACK", XDP_PASS, 4, { .flags = GUARDING_ACK } },
	{ "FIN|ACK", XDP_PASS, 4, { .flags = GUARDING_FIN | GUARDING_ACK } },
	{ "RST", XDP_PASS, 4, { .flags = GUARDING_RST } },
	{ "SYN|RST", XDP_PASS, 4, { .flags = GUARDING_SYN | GUARDING_RST } },

	{ "IPv6", XDP_DROP, 6, { 0 } },
	{ "IPv6 with a payload", XDP_DROP, 6, { .n_payload = 9 } },
	{ "IPv6, one tag", XDP_DROP, 6, { .n_tags = 1 } },
	{ "IPv6, two tags", XDP_DROP, 6, { .n_tags = 2 } },
	{ "hop-by-hop", XDP_DROP, 6, { .extensions = "h" } },
	{ "destination options", XDP_DROP, 6, { .extensions = "d" } },
	{ "long destination options", XDP_DROP, 6, { .extensions = "D" } },
	{ "routing, at its end", XDP_DROP, 6, { .extensions = "r" } },
	{ "authentication", XDP_DROP, 6, { .extensions = "a" } },
	{ "short authentication", XDP_DROP, 6, { .extensions = "A" } },
	{ "a chain", XDP_DROP, 6, { .extensions = "hdrad", .n_tags = 2 } },
	{ "odd offsets", XDP_DROP, 6, { .extensions = "AdA" } },
	{ "eight headers", XDP_DROP, 6, { .extensions = "hdddddda" } },
	{ "three long ones", XDP_DROP, 6, { .extensions = "DDD" } },

	{ "nine headers", XDP_PASS, 6, { .extensions = "hddddddda" } },
	{ "routing, on its way", XDP_PASS, 6, { .extensions = "R" } },
	{ "IPv6 fragment", XDP_PASS, 6, { .extensions = "f" } },
	{ "a chain with a fragment", XDP_PASS, 6, { .extensions = "hfd" } },
	{ "mobility", XDP_PASS, 6, { .extensions = "m" } },
	{ "IPv6 UDP", XDP_PASS, 6, { .protocol = 17 } },
	{ "IPv6 UDP after options",
	  XDP_PASS,
	  6,
	  { .protocol = 17, .extensions = "d" } },
	{ "IPv6 called IPv4", XDP_PASS, 6, { .ether_type = 0x0800 } },
	{ "IPv6 SYN|ACK", XDP_PASS, 6, { .flags = GUARDING_SYN | GUARDING_ACK } },
	{ "IPv6 ACK", XDP_PASS, 6, { .flags = GUARDING_ACK } },
};

static void build(const struct row *row, struct guarding_bytes *to)
{
	struct guarding_frame plain = row->family == 4 ? guarding_frame(THERE4, HERE4)
	                                               : guarding_frame(THERE6, HERE6);
	struct guarding_frame f = row->f;

	f.from = plain.from;
	f.to = plain.to;
	guarding_build(&f, to);
}

static void
what_begins_a_connection_to_a_listener_is_found_and_nothing_else(void **state)
{
	struct guarding_bytes bytes;
	struct guarding in;

	(void)state;
	open_closed_ports(&in);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		build(&rows[i], &bytes);
		if (guarding_run(&in, bytes.at, bytes.len) != rows[i].verdict)
			fail_msg("%s", rows[i].name);
		assert_int_equal(in.out.len, bytes.len);
		assert_memory_equal(in.out.at, bytes.at, bytes.len);
	}
	guarding_close(&in);
}

static void other_ports_and_addresses_are_not_ours(void **state)
{
	struct guarding in;

	(void)state;
	open_closed_ports(&in);

	assert_true(guarding_syn(&in, THERE4, "192.0.2.1:81"));
	assert_true(guarding_syn(&in, THERE4, "192.0.2.2:80"));
	assert_true(guarding_syn(&in, THERE6, "[2001:db8::1]:81"));
	assert_true(guarding_syn(&in, THERE6, "[2001:db8::2]:80"));
	assert_false(guarding_syn(&in, THERE6, HERE6));
	guarding_close(&in);
}

static void mapped_addresses_pass(void **state)
{
	struct guarding in;

	(void)state;
	open_closed_ports(&in);
	guarding_listen(&in, "[::ffff:192.0.2.1]:80");
	guarding_publish(&in);

	assert_true(guarding_syn(&in, "[::ffff:198.51.100.7]:1234", HERE6));
	assert_true(guarding_syn(&in, THERE6, "[::ffff:192.0.2.1]:80"));
	assert_false(guarding_syn(&in, "[::fffe:198.51.100.7]:1234", HERE6));
	guarding_close(&in);
}

static void a_frame_that_was_cut_is_never_dropped_for_what_is_missing(void **state)
{
	struct guarding_bytes bytes;
	struct guarding in;

	(void)state;
	open_closed_ports(&in);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		build(&rows[i], &bytes);
		for (size_t n = 14; n < bytes.len; n++) {
			uint32_t verdict = guarding_run(&in, bytes.at, n);

			if (verdict == XDP_PASS)
				continue;
			if (verdict != rows[i].verdict || n < bytes.tcp_at + 14)
				fail_msg("%s, %zu bytes", rows[i].name, n);
		}
	}
	guarding_close(&in);
}

static void a_header_that_is_too_short_is_no_place_to_look_for_tcp(void **state)
{
	struct guarding_frame f = guarding_frame(THERE4, HERE4);
	struct guarding_bytes bytes;
	struct guarding in;

	(void)state;
	guarding_open(&in);
	guarding_listen(&in, "192.0.2.1:513"); /* the end of the address, as a port */
	guarding_publish(&in);
	guarding_build(&f, &bytes);
	bytes.at[bytes.tcp_at + 8] = 0x50;
	bytes.at[bytes.tcp_at + 9] = GUARDING_SYN;

	bytes.at[bytes.ip_at] = 0x44;

	assert_int_equal(guarding_run(&in, bytes.at, bytes.len), XDP_PASS);
	guarding_close(&in);
}

static void lengths_that_contradict_each_other_pass(void **state)
{
	struct guarding_frame four = guarding_frame(THERE4, HERE4);
	struct guarding_frame six = guarding_frame(THERE6, HERE6);
	struct guarding_bytes bytes;
	struct guarding in;

	(void)state;
	open_closed_ports(&in);

	guarding_build(&four, &bytes);
	bytes.at[bytes.ip_at + 3] = 39;
	assert_int_equal(guarding_run(&in, bytes.at, bytes.len), XDP_PASS);
	bytes.at[bytes.ip_at + 3] = 0;
	assert_int_equal(guarding_run(&in, bytes.at, bytes.len), XDP_PASS);
	bytes.at[bytes.ip_at + 3] = 40;
	assert_int_equal(guarding_run(&in, bytes.at, bytes.len), XDP_DROP);
	bytes.at[bytes.tcp_at + 12] = 4 << 4;
	assert_int_equal(guarding_run(&in, bytes.at, bytes.len), XDP_PASS);
	bytes.at[bytes.tcp_at + 12] = 6 << 4;
	assert_int_equal(guarding_run(&in, bytes.at, bytes.len), XDP_PASS);

	guarding_build(&six, &bytes);
	bytes.at[bytes.ip_at + 5] = 19;
	assert_int_equal(guarding_run(&in, bytes.at, bytes.len), XDP_PASS);
	six.extensions = "d";
	guarding_build(&six, &bytes);
	bytes.at[bytes.ip_at + 5] = 7;
	assert_int_equal(guarding_run(&in, bytes.at, bytes.len), XDP_PASS);
	guarding_close(&in);
}

/* ---- answers --------------------------------------------------------------- */

static unsigned int get16(const uint8_t *at)
{
	return (unsigned int)at[0] << 8 | at[1];
}

static uint32_t get32(const uint8_t *at)
{
	return get16(at) << 16 | get16(at + 2);
}

/* RFC 1071, as it is written there. @n is even. */
static uint32_t add_up(uint32_t sum, const uint8_t *at, size_t n)
{
	for (size_t i = 0; i < n; i += 2)
		sum += get16(at + i);
	return sum;
}

static void assert_sum_is_right(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	assert_int_equal(sum, 0xffff);
}

static void assert_ip4_answer(const uint8_t *ip, const uint8_t *asked)
{
	assert_int_equal(ip[0], 0x45);
	assert_int_equal(get16(ip + 2), 40);
	assert_int_equal(get16(ip + 6), 0x4000);
	assert_int_equal(ip[8], 64);
	assert_int_equal(ip[9], IPPROTO_TCP);
	assert_memory_equal(ip + 12, asked + 16, 4);
	assert_memory_equal(ip + 16, asked + 12, 4);
	assert_sum_is_right(add_up(0, ip, 20));
	assert_sum_is_right(add_up(IPPROTO_TCP + 20, ip + 12, 8 + 20));
}

static void assert_ip6_answer(const uint8_t *ip, const uint8_t *asked)
{
	assert_int_equal(get32(ip), 0x60000000);
	assert_int_equal(get16(ip + 4), 20);
	assert_int_equal(ip[6], IPPROTO_TCP);
	assert_int_equal(ip[7], 64);
	assert_memory_equal(ip + 8, asked + 24, 16);
	assert_memory_equal(ip + 24, asked + 8, 16);
	assert_sum_is_right(add_up(IPPROTO_TCP + 20, ip + 8, 32 + 20));
}

static void assert_is_answer(const struct guarding_bytes *to,
                             const struct guarding_bytes *asked, uint32_t ack)
{
	const uint8_t *tcp = to->at + asked->tcp_at;

	assert_int_equal(to->len, asked->tcp_at + 20);
	assert_memory_equal(to->at, asked->at + 6, 6);
	assert_memory_equal(to->at + 6, asked->at, 6);
	assert_memory_equal(to->at + 12, asked->at + 12, asked->ip_at - 12);
	if (asked->tcp_at - asked->ip_at == 20)
		assert_ip4_answer(to->at + asked->ip_at, asked->at + asked->ip_at);
	else
		assert_ip6_answer(to->at + asked->ip_at, asked->at + asked->ip_at);
	assert_int_equal(get16(tcp), get16(asked->at + asked->tcp_at + 2));
	assert_int_equal(get16(tcp + 2), get16(asked->at + asked->tcp_at));
	assert_int_equal(get32(tcp + 4), 0);
	assert_int_equal(get32(tcp + 8), ack);
	assert_int_equal(tcp[12], 0x50);
	assert_int_equal(tcp[13], GUARDING_RST | GUARDING_ACK);
	assert_int_equal(get16(tcp + 14), 0);
	assert_int_equal(get16(tcp + 18), 0);
}

static void open_rejecting_ports(struct guarding *in)
{
	open_closed_ports(in);
	in->rules.settings.rejects = true;
	guarding_publish(in);
}

static void a_reject_is_what_a_closed_port_answers(void **state)
{
	static const struct {
		struct guarding_frame f;
		uint32_t ack;
	} asked[] = {
		{ { .seq = 1000 }, 1001 },
		{ { .seq = 0xffffffff }, 0 },
		{ { .seq = 0x12345678, .n_tags = 1, .n_tcp_options = 20 }, 0x12345679 },
		{ { .seq = 7, .n_tags = 2, .n_padding = 46 }, 8 },
		{ { .seq = 7, .n_payload = 1000 }, 1008 },
		{ { .seq = 7, .flags = GUARDING_SYN | GUARDING_FIN }, 9 },
		{ { .flags = GUARDING_SYN | GUARDING_FIN,
		    .n_tcp_options = 40,
		    .n_payload = 3 },
		  5 },
	};
	struct guarding_bytes bytes;
	struct guarding in;

	(void)state;
	open_rejecting_ports(&in);

	for (size_t i = 0; i < 2 * ARRAY_SIZE(asked); i++) {
		struct guarding_frame f = asked[i / 2].f;
		struct guarding_frame plain = guarding_frame(i % 2 ? THERE6 : THERE4,
		                                             i % 2 ? HERE6 : HERE4);

		f.from = plain.from;
		f.to = plain.to;
		guarding_build(&f, &bytes);
		assert_int_equal(guarding_run(&in, bytes.at, bytes.len), XDP_TX);
		assert_is_answer(&in.out, &bytes, asked[i / 2].ack);
	}
	assert_int_equal(guarding_counts(&in, HERE4).reset, ARRAY_SIZE(asked));
	assert_int_equal(guarding_counts(&in, HERE6).reset, ARRAY_SIZE(asked));
	assert_int_equal(guarding_counts(&in, HERE4).dropped.no_rule,
	                 ARRAY_SIZE(asked));
	guarding_close(&in);
}

static void answers_of_many_addresses_have_the_right_sums(void **state)
{
	struct guarding_frame f = guarding_frame(THERE6, HERE6);
	struct guarding_bytes bytes;
	struct guarding in;

	(void)state;
	open_rejecting_ports(&in);

	for (uint32_t i = 0; i < 50000; i++) {
		f.seq = i * 0x9e3779b9;
		addr_set_port(&f.from, (uint16_t)(f.seq >> 8));
		for (int k = 2; k < 16; k++)
			f.from.in6.sin6_addr.s6_addr[k] = (uint8_t)((f.seq >> (k + 3)) |
			                                            (i % 3 ? 0 : 0xff));
		guarding_build(&f, &bytes);
		assert_int_equal(guarding_run(&in, bytes.at, bytes.len), XDP_TX);
		assert_is_answer(&in.out, &bytes, f.seq + 1);
	}
	guarding_close(&in);
}

static void what_is_not_plain_is_dropped_without_an_answer(void **state)
{
	struct guarding_frame f = guarding_frame(THERE6, HERE6);
	struct guarding in;

	(void)state;
	open_rejecting_ports(&in);

	f.extensions = "d";
	assert_int_equal(guarding_verdict(&in, &f), XDP_DROP);
	f = guarding_frame(THERE4, HERE4);
	f.n_options = 4;
	assert_int_equal(guarding_verdict(&in, &f), XDP_DROP);

	assert_int_equal(guarding_counts(&in, HERE4).reset, 0);
	assert_int_equal(guarding_counts(&in, HERE6).reset, 0);
	guarding_close(&in);
}

static void nothing_is_answered_that_more_than_one_host_may_see(void **state)
{
	static const char *const many[][2] = {
		{ "224.0.0.1:9", HERE4 },   { "255.255.255.255:9", HERE4 },
		{ "0.0.0.0:9", HERE4 },     { THERE4, "224.0.0.1:80" },
		{ "[ff02::1]:9", HERE6 },   { "[::]:9", HERE6 },
		{ THERE6, "[ff02::1]:80" },
	};
	struct guarding_frame f;
	struct guarding in;

	(void)state;
	open_rejecting_ports(&in);
	guarding_listen(&in, "224.0.0.1:80");
	guarding_listen(&in, "[ff02::1]:80");
	guarding_publish(&in);

	for (size_t i = 0; i < ARRAY_SIZE(many); i++)
		assert_false(guarding_syn(&in, many[i][0], many[i][1]));
	f = guarding_frame(THERE4, HERE4);
	f.to_mac = 0xff;
	assert_int_equal(guarding_verdict(&in, &f), XDP_DROP);
	f.to_mac = 0x03;
	assert_int_equal(guarding_verdict(&in, &f), XDP_DROP);

	assert_int_equal(guarding_counts(&in, HERE4).reset, 0);
	guarding_close(&in);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		        what_begins_a_connection_to_a_listener_is_found_and_nothing_else),
		cmocka_unit_test(other_ports_and_addresses_are_not_ours),
		cmocka_unit_test(mapped_addresses_pass),
		cmocka_unit_test(
		        a_frame_that_was_cut_is_never_dropped_for_what_is_missing),
		cmocka_unit_test(
		        a_header_that_is_too_short_is_no_place_to_look_for_tcp),
		cmocka_unit_test(lengths_that_contradict_each_other_pass),
		cmocka_unit_test(a_reject_is_what_a_closed_port_answers),
		cmocka_unit_test(answers_of_many_addresses_have_the_right_sums),
		cmocka_unit_test(what_is_not_plain_is_dropped_without_an_answer),
		cmocka_unit_test(nothing_is_answered_that_more_than_one_host_may_see),
	};

	return test_run("guard packets", tests, argc, argv);
}
