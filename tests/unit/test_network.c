// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* test_network.c - user/rules/network.c: prefixes, read, compared and written. */
#include "test.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "dice.h"
#include "rules/network.h"

#define N_ROUNDS 20000
#define N_SORTED 500

static struct network network(const char *text)
{
	struct network n;
	const char *reason;

	if (network_parse(text, strlen(text), &n, &reason) < 0)
		fail_msg("%s %s", text, reason);
	return n;
}

static struct addr ip(const char *text)
{
	struct addr a;

	assert_ok(addr_parse_ip(text, &a));
	return a;
}

static void assert_reads_as(const char *text, const char *expected)
{
	const struct network n = network(text);
	char written[NETWORK_TEXT_LEN];

	assert_string_equal(network_format(&n, written), expected);
}

static void an_address_alone_is_a_network_of_one(void **state)
{
	(void)state;
	assert_reads_as("192.0.2.1", "192.0.2.1/32");
	assert_reads_as("2001:db8::1", "2001:db8::1/128");
	assert_reads_as("[2001:db8::1]", "2001:db8::1/128");
}

static void prefixes_are_read_and_written(void **state)
{
	(void)state;
	assert_reads_as("10.0.0.0/8", "10.0.0.0/8");
	assert_reads_as("0.0.0.0/0", "0.0.0.0/0");
	assert_reads_as("10.1.2.128/25", "10.1.2.128/25");
	assert_reads_as("2001:DB8:0::/32", "2001:db8::/32");
	assert_reads_as("[2001:db8::]/32", "2001:db8::/32");
	assert_reads_as("::/0", "::/0");
	assert_reads_as("::1/128", "::1/128");
}

static void only_so_many_bytes_are_read(void **state)
{
	static const char text[] = "10.0.0.0/89";
	char written[NETWORK_TEXT_LEN];
	struct network n;
	const char *reason;

	(void)state;
	assert_ok(network_parse(text, strlen(text) - 1, &n, &reason));
	assert_string_equal(network_format(&n, written), "10.0.0.0/8");
}

/* @right: what is suggested instead */
static void assert_bad(const char *text, size_t len, const char *reason,
                       const char *right)
{
	struct network n = { .bits = 77 };
	char suggested[NETWORK_TEXT_LEN];
	const char *said;

	assert_int_equal(network_parse(text, len, &n, &said), -EINVAL);
	assert_string_equal(said, reason);
	assert_int_equal(n.bits, 77);
	assert_non_null(strstr(network_suggest(text, len, suggested), right));
}

static void what_is_no_network_is_refused_with_a_reason(void **state)
{
	static const char bits4[] = "is IPv4, and its prefix not 0 to 32 bits";
	static const char bits6[] = "is IPv6, and its prefix not 0 to 128 bits";
	static const char none[] = "is not an IP address";
	const struct {
		const char *text, *reason, *right;
	} rows[] = {
		{ "10.0.0.1/8", "has bits after the prefix", "10.0.0.0/8" },
		{ "255.255.255.255/1", "has bits after the prefix", "128.0.0.0/1" },
		{ "1.2.3.4/0", "has bits after the prefix", "0.0.0.0/0" },
		{ "[2001:db8::3]/127", "has bits after the prefix", "2001:db8::2/127" },
		{ "10.0.0.0/33", bits4, "such as" },
		{ "10.0.0.0/", bits4, "such as" },
		{ "10.0.0.0/0008", bits4, "such as" },
		{ "10.0.0.0/8x", bits4, "such as" },
		{ "10.0.0.0/-1", bits4, "such as" },
		{ "::/129", bits6, "such as" },
		{ "::/4294967296", bits6, "such as" },
		{ "", none, "such as" },
		{ "/8", none, "such as" },
		{ "10.0.0/8", none, "such as" },
		{ "10.0.0.0.0", none, "such as" },
		{ "a.test", none, "such as" },
		{ "[]", none, "such as" },
		{ "[::1", "has a '[' without ']'", "such as" },
		{ "[", "has a '[' without ']'", "such as" },
		{ "[::1/64]", "has a '[' without ']'", "such as" },
		{ "[10.0.0.0]/8", "has brackets, which are for IPv6", "such as" },
		{ "fe80::1%1", "names a link: a network has none", "such as" },
	};
	char long_text[300];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_bad(rows[i].text, strlen(rows[i].text), rows[i].reason,
		           rows[i].right);
	assert_bad("10.0.0.0\0/8", 11, none, "such as");
	memset(long_text, '1', sizeof(long_text));
	assert_bad(long_text, sizeof(long_text), none, "such as");
}

static void a_network_has_addresses_of_its_family_and_prefix(void **state)
{
	const struct network four = network("10.1.2.128/25");
	const struct network six = network("2001:db8::/33"), all = network("0.0.0.0/0");
	const struct addr yes = ip("10.1.2.200"), no = ip("10.1.2.127");
	const struct addr yes6 = ip("2001:db8:7fff::%1"), no6 = ip("2001:db8:8000::");

	(void)state;
	assert_true(network_has(&four, &yes));
	assert_false(network_has(&four, &no));
	assert_false(network_has(&four, &yes6));
	assert_true(network_has(&six, &yes6)); /* whatever the link */
	assert_false(network_has(&six, &no6));
	assert_true(network_has(&all, &no));
	assert_false(network_has(&all, &yes6));
}

static void the_network_of_an_address_has_it_and_no_port_or_link(void **state)
{
	struct addr a = ip("fe80::1%1");
	struct network n;
	char written[NETWORK_TEXT_LEN];

	(void)state;
	addr_set_port(&a, 80);
	n = network_of(&a);
	assert_true(network_has(&n, &a));
	assert_int_equal(addr_port(&n.ip), 0);
	assert_string_equal(network_format(&n, written), "fe80::1/128");
}

/* ---- any networks, against one bit after the other ---- */

/* Few bits differ, so that networks meet. */
static struct addr random_ip(struct dice *dice)
{
	struct addr a = ip(dice_roll(dice, 2) ? "10.0.0.0" : "2001:db8::");
	uint32_t low = htonl((uint32_t)dice_roll(dice, 64) |
	                     (uint32_t)dice_roll(dice, 4) << 14);

	if (a.sa.sa_family == AF_INET)
		a.in4.sin_addr.s_addr |= low;
	else
		memcpy(&a.in6.sin6_addr.s6_addr[12], &low, sizeof(low));
	return a;
}

static bool bit_of(const struct addr *a, unsigned int nth)
{
	unsigned int len;

	return addr_ip_bytes(a, &len)[nth / 8] >> (7 - nth % 8) & 1;
}

static bool has_bit_by_bit(const struct network *n, const struct addr *a)
{
	if (n->ip.sa.sa_family != a->sa.sa_family)
		return false;
	for (unsigned int i = 0; i < n->bits; i++)
		if (bit_of(&n->ip, i) != bit_of(a, i))
			return false;
	return true;
}

/* By way of its text: what it suggests for an address with any prefix. */
static struct network random_network(struct dice *dice)
{
	struct addr a = random_ip(dice);
	unsigned int max = a.sa.sa_family == AF_INET ? 32 : 128;
	char address[ADDR_IP_TEXT_LEN], text[NETWORK_TEXT_LEN], right[NETWORK_TEXT_LEN];

	snprintf(text, sizeof(text), "%s/%u", addr_format_ip(&a, address),
	         max - (unsigned int)dice_roll(dice, 20));
	return network(network_suggest(text, strlen(text), right));
}

static void has_and_covers_are_what_bits_say(void **state)
{
	struct dice dice = { 1 };
	unsigned int n_had = 0, n_covered = 0;

	(void)state;
	for (int i = 0; i < N_ROUNDS; i++) {
		const struct network a = random_network(&dice);
		const struct network b = random_network(&dice);
		const struct addr address = random_ip(&dice);
		bool covers = a.bits <= b.bits && has_bit_by_bit(&a, &b.ip);

		assert_int_equal(network_has(&a, &address),
		                 has_bit_by_bit(&a, &address));
		assert_int_equal(network_covers(&a, &b), covers);
		assert_true(network_covers(&a, &a));
		n_had += network_has(&a, &address);
		n_covered += covers;
	}
	assert_true(n_had > 100 && n_covered > 100);
}

static void what_is_written_reads_as_the_same(void **state)
{
	struct dice dice = { 2 };

	(void)state;
	for (int i = 0; i < N_ROUNDS; i++) {
		const struct network n = random_network(&dice);
		char written[NETWORK_TEXT_LEN];
		struct network again = network(network_format(&n, written));

		assert_int_equal(network_compare(&n, &again), 0);
	}
}

static int compare(const void *a, const void *b)
{
	return network_compare(a, b);
}

static void sorted_networks_are_followed_by_all_that_they_cover(void **state)
{
	struct dice dice = { 3 };
	struct network sorted[N_SORTED];

	(void)state;
	for (size_t i = 0; i < N_SORTED; i++)
		sorted[i] = random_network(&dice);
	qsort(sorted, N_SORTED, sizeof(sorted[0]), compare);
	for (size_t i = 0; i < N_SORTED; i++) {
		size_t end = i + 1;

		while (end < N_SORTED && network_covers(&sorted[i], &sorted[end]))
			end++;
		for (size_t j = end; j < N_SORTED; j++)
			assert_false(network_covers(&sorted[i], &sorted[j]));
		for (size_t j = 0; j < i; j++)
			assert_true(!network_covers(&sorted[i], &sorted[j]) ||
			            network_compare(&sorted[i], &sorted[j]) == 0);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_alone_is_a_network_of_one),
		cmocka_unit_test(prefixes_are_read_and_written),
		cmocka_unit_test(only_so_many_bytes_are_read),
		cmocka_unit_test(what_is_no_network_is_refused_with_a_reason),
		cmocka_unit_test(a_network_has_addresses_of_its_family_and_prefix),
		cmocka_unit_test(the_network_of_an_address_has_it_and_no_port_or_link),
		cmocka_unit_test(has_and_covers_are_what_bits_say),
		cmocka_unit_test(what_is_written_reads_as_the_same),
		cmocka_unit_test(sorted_networks_are_followed_by_all_that_they_cover),
	};

	return test_run("network", tests, argc, argv);
}
