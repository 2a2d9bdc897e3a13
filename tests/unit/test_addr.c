// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* test_addr.c - user/base/addr.c: what is an address, and how it is written. */
#include "test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>

#include "base/addr.h"
#include "base/cleanup.h"

static struct addr parse(const char *ip, uint16_t port)
{
	struct addr a;

	assert_ok(addr_parse_ip(ip, &a));
	addr_set_port(&a, port);
	return a;
}

static void assert_text(const char *ip, const char *expected)
{
	struct addr a = parse(ip, 0);
	char text[ADDR_IP_TEXT_LEN];

	assert_string_equal(addr_format_ip(&a, text), expected);
}

static void a_parsed_address_has_its_bytes_and_no_port(void **state)
{
	struct addr four = parse("192.0.2.1", 0), six = parse("2001:db8::7", 0);

	(void)state;

	assert_int_equal(four.in4.sin_family, AF_INET);
	assert_int_equal(ntohl(four.in4.sin_addr.s_addr), 0xc0000201);
	assert_int_equal(addr_port(&four), 0);
	assert_int_equal(six.in6.sin6_family, AF_INET6);
	assert_int_equal(six.in6.sin6_addr.s6_addr[0], 0x20);
	assert_int_equal(six.in6.sin6_addr.s6_addr[15], 7);
	assert_int_equal(addr_port(&six), 0);
}

static void text_that_is_no_address_is_refused_and_changes_nothing(void **state)
{
	static const char *const bad[] = {
		"",
		" ",
		"127.1",
		"1.2.3",
		"1.2.3.4.5",
		"1.2.3.256",
		"1.2.3.04",
		"0x7f.0.0.1",
		"127.0.0.1 ",
		" 127.0.0.1",
		"127.0.0.1:80",
		"127.0.0.1%lo",
		"2130706433",
		"localhost",
		"[::1]",
		"[::1",
		"::1]",
		":::",
		"1::2::3",
		"1:2:3:4:5:6:7",
		"12345::",
		"::1%",
		"::1%no-such-if",
		"::1%1x",
		"::1%-1",
		"::1% 1",
		"::1%4294967296",
		"::1%1%1",
		"%lo",
		"::g",
		"::1.2.3.4.5",
		"*",
		"1:2:3:4:5:6:7:8:9",
	};

	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct addr before, a;

		memset(&before, 0x5a, sizeof(before));
		a = before;
		if (addr_parse_ip(bad[i], &a) != -EINVAL)
			fail_msg("\"%s\" was taken for an address", bad[i]);
		assert_memory_equal(&a, &before, sizeof(a));
	}
}

static void text_of_any_length_is_refused_without_harm(void **state)
{
	char text[300];
	struct addr a;

	(void)state;

	for (size_t len = 1; len < sizeof(text); len++) {
		memset(text, '1', len);
		text[len] = '\0';
		assert_int_equal(addr_parse_ip(text, &a), -EINVAL);
		text[len / 2] = '%';
		assert_int_equal(addr_parse_ip(text, &a), -EINVAL);
		memcpy(text, "::1", len < 3 ? len : 3);
		if (len > 10) {
			text[3] = '%';
			assert_int_equal(addr_parse_ip(text, &a), -EINVAL);
		}
	}
}

static void texts_are_those_of_rfc_5952(void **state)
{
	(void)state;

	assert_text("127.0.0.1", "127.0.0.1");
	assert_text("0.0.0.0", "0.0.0.0");
	/* 4.1 no leading zeros, 4.3 lower case */
	assert_text("2001:0DB8:0000:0000:0001:0000:0000:0ABC", "2001:db8::1:0:0:abc");
	/* 4.2.1 as short as can be */
	assert_text("2001:db8:0:0:0:0:2:1", "2001:db8::2:1");
	assert_text("0:0:0:0:0:0:0:0", "::");
	assert_text("0:0:0:0:0:0:0:1", "::1");
	/* 4.2.2 not one group alone */
	assert_text("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1");
	/* 4.2.3 the longest run, and the first of equals */
	assert_text("2001:0:0:1:0:0:0:1", "2001:0:0:1::1");
	assert_text("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1");
	/* 5 embedded IPv4 */
	assert_text("::ffff:c000:0201", "::ffff:192.0.2.1");
}

static void a_port_follows_a_colon_and_ipv6_is_bracketed(void **state)
{
	struct addr four = parse("127.0.0.1", 80), six = parse("::1", 65535);
	char text[ADDR_TEXT_LEN];

	(void)state;

	assert_string_equal(addr_format(&four, text), "127.0.0.1:80");
	assert_string_equal(addr_format(&six, text), "[::1]:65535");
	assert_int_equal(addr_port(&four), 80);
	assert_int_equal(addr_port(&six), 65535);
}

static void no_address_has_a_text_too(void **state)
{
	struct sockaddr sa = { .sa_family = AF_UNIX };
	struct addr a = addr_from_sockaddr(&sa);
	char text[ADDR_TEXT_LEN];

	(void)state;

	assert_int_equal(a.sa.sa_family, AF_UNSPEC);
	assert_string_equal(addr_format(&a, text), "?:0");
}

static void a_scope_is_read_as_name_or_number_and_written_as_name(void **state)
{
	unsigned int lo = if_nametoindex("lo");
	struct addr by_name, by_number, none;
	char text[ADDR_TEXT_LEN], number[32];

	(void)state;
	if (lo == 0)
		test_skip("there is no interface lo");
	snprintf(number, sizeof(number), "fe80::1%%%u", lo);
	by_name = parse("fe80::1%lo", 80);
	by_number = parse(number, 80);
	none = parse("fe80::1%4294967295", 80);

	assert_int_equal(by_name.in6.sin6_scope_id, lo);
	assert_true(addr_equal(&by_name, &by_number));
	assert_string_equal(addr_format(&by_name, text), "[fe80::1%lo]:80");
	assert_string_equal(addr_format(&none, text), "[fe80::1%4294967295]:80");
}

static void the_longest_texts_fit(void **state)
{
	struct addr a = parse("1111:2222:3333:4444:5555:6666:7777:8888%4294967295",
	                      65535);
	char text[ADDR_TEXT_LEN], ip[ADDR_IP_TEXT_LEN];

	(void)state;

	assert_string_equal(
	        addr_format(&a, text),
	        "[1111:2222:3333:4444:5555:6666:7777:8888%4294967295]:65535");
	/* the longest that inet_ntop() writes, and the longest name of an interface */
	assert_true(INET6_ADDRSTRLEN - 1 + 1 + IFNAMSIZ - 1 < sizeof(ip));
	assert_true(strlen("[]:65535") + sizeof(ip) <= sizeof(text));
}

static void equal_means_family_address_scope_and_port(void **state)
{
	const struct addr all[] = {
		parse("10.0.0.1", 80),
		parse("10.0.0.1", 81),
		parse("10.0.0.2", 80),
		parse("::1", 80),
		parse("::1", 81),
		parse("::2", 80),
		parse("::1%1", 80),
		parse("::1%2", 80),
		parse("::ffff:10.0.0.1", 80),
	};

	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		for (size_t j = 0; j < ARRAY_SIZE(all); j++)
			assert_int_equal(addr_equal(&all[i], &all[j]), i == j);
}

static void equal_ip_does_not_look_at_ports(void **state)
{
	struct addr a = parse("10.0.0.1", 80), b = parse("10.0.0.1", 81);
	struct addr c = parse("::1", 80), d = parse("::1", 81), e = parse("::1%1", 81);

	(void)state;

	assert_true(addr_equal_ip(&a, &b));
	assert_true(addr_equal_ip(&c, &d));
	assert_false(addr_equal_ip(&d, &e));
	assert_false(addr_equal_ip(&a, &c));
}

static void any_is_any_in_both_families(void **state)
{
	struct addr four = parse("0.0.0.0", 80), six = parse("::", 80);
	struct addr one = parse("0.0.0.1", 0), lo = parse("::1", 0);

	(void)state;

	assert_true(addr_is_any(&four));
	assert_true(addr_is_any(&six));
	assert_false(addr_is_any(&one));
	assert_false(addr_is_any(&lo));
}

static void bytes_are_in_network_order(void **state)
{
	struct addr four = parse("1.2.3.4", 80), six = parse("102::", 80);
	unsigned int len;

	(void)state;

	assert_memory_equal(addr_ip_bytes(&four, &len), "\1\2\3\4", 4);
	assert_int_equal(len, 4);
	assert_memory_equal(addr_ip_bytes(&six, &len), "\1\2\0\0", 4);
	assert_int_equal(len, 16);
}

static void lengths_are_what_the_kernel_wants(void **state)
{
	struct addr four = parse("1.2.3.4", 80), six = parse("::1", 80);

	(void)state;

	assert_int_equal(addr_len(&four), sizeof(struct sockaddr_in));
	assert_int_equal(addr_len(&six), sizeof(struct sockaddr_in6));
}

/* Leave garbage where the next call's locals will be. */
__attribute__((noinline)) static void soil_the_stack(void)
{
	volatile char garbage[4096];

	for (size_t i = 0; i < sizeof(garbage); i++)
		garbage[i] = 0x5a;
}

static void the_kernels_answer_becomes_equal_bytes(void **state)
{
	struct sockaddr_in in4 = { .sin_family = AF_INET, .sin_port = htons(80) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(80) };
	struct addr four = parse("10.0.0.1", 80), six = parse("::1", 80), a;

	(void)state;
	in4.sin_addr = four.in4.sin_addr;
	memset(in4.sin_zero, 0x5a, sizeof(in4.sin_zero));
	in6.sin6_addr = six.in6.sin6_addr;
	in6.sin6_flowinfo = htonl(0x12345);

	soil_the_stack();
	a = addr_from_sockaddr((struct sockaddr *)&in4);
	assert_memory_equal(&a, &four, sizeof(a));
	soil_the_stack();
	a = addr_from_sockaddr((struct sockaddr *)&in6);
	assert_memory_equal(&a, &six, sizeof(a));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_parsed_address_has_its_bytes_and_no_port),
		cmocka_unit_test(
		        text_that_is_no_address_is_refused_and_changes_nothing),
		cmocka_unit_test(text_of_any_length_is_refused_without_harm),
		cmocka_unit_test(texts_are_those_of_rfc_5952),
		cmocka_unit_test(a_port_follows_a_colon_and_ipv6_is_bracketed),
		cmocka_unit_test(no_address_has_a_text_too),
		cmocka_unit_test(a_scope_is_read_as_name_or_number_and_written_as_name),
		cmocka_unit_test(the_longest_texts_fit),
		cmocka_unit_test(equal_means_family_address_scope_and_port),
		cmocka_unit_test(equal_ip_does_not_look_at_ports),
		cmocka_unit_test(any_is_any_in_both_families),
		cmocka_unit_test(bytes_are_in_network_order),
		cmocka_unit_test(lengths_are_what_the_kernel_wants),
		cmocka_unit_test(the_kernels_answer_becomes_equal_bytes),
	};

	return test_run("addr", tests, argc, argv);
}
