// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* test_pattern.c - user/rules/pattern.c: which addresses a pattern means. */
#include "test.h"

#include <errno.h>

#include "base/cleanup.h"
#include "rules/pattern.h"
#include "ruleset.h"

static struct pattern parse(const char *text)
{
	const char *reason = NULL;
	struct pattern p;

	if (pattern_parse(text, strlen(text), &p, &reason) < 0)
		fail_msg("%s: %s", text, reason);
	return p;
}

static bool matches(const char *pattern, const char *address)
{
	struct pattern p = parse(pattern);
	struct addr a = ruleset_addr(address);
	bool is_match = pattern_matches(&p, &a);

	pattern_fini(&p);
	return is_match;
}

static void assert_kinds(const char *text, enum pattern_kind ip, enum pattern_kind port)
{
	struct pattern p = parse(text);

	if (p.ip_kind != ip || p.port_kind != port)
		fail_msg("%s has kinds %d and %d", text, (int)p.ip_kind,
		         (int)p.port_kind);
	pattern_fini(&p);
}

static void assert_invalid(const char *text, size_t len, const char *reason)
{
	struct pattern untouched, p;
	const char *found = NULL;

	memset(&untouched, 0x5a, sizeof(untouched));
	memcpy(&p, &untouched, sizeof(p));
	if (pattern_parse(text, len, &p, &found) != -EINVAL)
		fail_msg("%s was accepted", text);
	assert_string_equal(found, reason);
	assert_memory_equal(&p, &untouched, sizeof(p));
}

/* A small generator of its own: the same strings in every run. */
static uint64_t seed = 88172645463325252;

static unsigned int below(unsigned int n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (unsigned int)((seed >> 32) % n);
}

static void random_text(char *text, unsigned int max_len, const char *alphabet)
{
	unsigned int len = below(max_len + 1);

	for (unsigned int i = 0; i < len; i++)
		text[i] = alphabet[below((unsigned int)strlen(alphabet))];
	text[len] = '\0';
}

/* What a glob means, without a thought for speed. */
static bool glob_by_definition(const char *glob, const char *text)
{
	if (*glob == '\0')
		return *text == '\0';
	if (*glob == '*')
		return glob_by_definition(glob + 1, text) ||
		       (*text && glob_by_definition(glob, text + 1));
	return *text && (*glob == '?' || *glob == *text) &&
	       glob_by_definition(glob + 1, text + 1);
}

static void a_star_is_any_run_and_a_question_mark_any_one_character(void **state)
{
	static const struct {
		const char *glob, *text;
		bool is_match;
	} rows[] = {
		{ "*", "127.0.0.1", true },
		{ "*.*.*.*", "127.0.0.1", true },
		{ "127.0.0.1", "127.0.0.10", false },
		{ "127.0.0.?", "127.0.0.10", false },
		{ "127.0.0.1*", "127.0.0.1", true },
		{ "127.*.*.1", "127.0.1.1", true },
		{ "127.*.1", "127.0.1.1", true },
		{ "*.1", "127.1.0.1", true },
		{ "*.1.1", "10.0.11.1", false },
		{ "*.1.1", "10.1.1.1", true },
		{ "*80", "8080", true },
		{ "8*0", "8080", true },
		{ "10.*.5", "10.1.5.5", true },
		{ "*121", "1221", false },
		{ "*?", "12", true },
		{ "192.168.1?", "192.168.1", false },
		{ "10.*.25", "10.9.8.25", true },
		{ "", "", true },
		{ "", "1", false },
		{ "*", "", true },
		{ "?", "", false },
	};

	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (pattern_glob(rows[i].glob, rows[i].text) != rows[i].is_match)
			fail_msg("%s and %s", rows[i].glob, rows[i].text);
}

static void the_same_holds_for_whole_patterns(void **state)
{
	(void)state;

	assert_true(matches("*.1:*", "127.1.0.1:80"));
	assert_true(matches("127.*.1:*80", "127.0.1.1:8080"));
	assert_false(matches("*.1.1:*", "10.0.11.1:80"));
	assert_true(matches("10.0.*.?:80*", "10.0.200.7:8000"));
	assert_false(matches("10.0.*.?:80*", "10.0.200.17:8000"));
	assert_false(matches("127.0.0.1:80", "127.0.0.10:80"));
	assert_false(matches("127.0.0.1:80", "127.0.0.1:8080"));
	assert_true(matches("*.*.*.*:*", "127.0.0.1:1"));
	assert_true(matches("*:?", "127.0.0.1:9"));
	assert_false(matches("*:?", "127.0.0.1:10"));
}

static void an_empty_half_means_anything(void **state)
{
	(void)state;

	assert_true(matches(":80", "10.1.2.3:80"));
	assert_false(matches(":80", "10.1.2.3:81"));
	assert_true(matches("10.1.2.3:", "10.1.2.3:9"));
	assert_false(matches("10.1.2.3:", "10.1.2.4:9"));
	assert_true(matches(":", "10.1.2.3:9"));
	assert_true(matches(":", "[2001:db8::1]:9"));
}

static void patterns_are_compiled_to_the_cheapest_kind(void **state)
{
	(void)state;

	assert_kinds("*:*", PATTERN_ANY, PATTERN_ANY);
	assert_kinds(":", PATTERN_ANY, PATTERN_ANY);
	assert_kinds("**:***", PATTERN_ANY, PATTERN_ANY);
	assert_kinds("*.*.*.*:80", PATTERN_GLOB, PATTERN_EXACT);
	assert_kinds("10.0.0.1:8?", PATTERN_EXACT, PATTERN_GLOB);
	assert_kinds("10.0.0.0/8:", PATTERN_PREFIX, PATTERN_ANY);
	assert_kinds("[::1]:*", PATTERN_EXACT, PATTERN_ANY);
	assert_kinds("[2001:db8::]/32:*", PATTERN_PREFIX, PATTERN_ANY);
	assert_kinds("[2001:db8::*]:*", PATTERN_GLOB, PATTERN_ANY);
}

static void what_is_no_canonical_address_is_a_glob_that_never_matches(void **state)
{
	(void)state;

	assert_kinds("127.1:*", PATTERN_GLOB, PATTERN_ANY);
	assert_kinds("localhost:*", PATTERN_GLOB, PATTERN_ANY);
	assert_kinds("010.0.0.1:*", PATTERN_GLOB, PATTERN_ANY);
	assert_false(matches("127.1:*", "127.0.0.1:80"));
	assert_false(matches("localhost:*", "127.0.0.1:80"));
	assert_false(matches("010.0.0.1:*", "10.0.0.1:80"));
}

static void ipv6_in_brackets_is_compared_as_an_address(void **state)
{
	(void)state;

	assert_true(matches("[::1]:*", "[::1]:80"));
	assert_true(matches("[0:0:0:0:0:0:0:1]:80", "[::1]:80"));
	assert_true(matches("[2001:DB8::A]:80", "[2001:db8::a]:80"));
	assert_false(matches("[::1]:80", "[::2]:80"));
	assert_false(matches("[::1]:80", "[::1]:81"));
	assert_false(matches("[::]:80", "0.0.0.0:80"));
}

static void an_ipv6_glob_is_held_against_rfc_5952_text(void **state)
{
	(void)state;

	assert_true(matches("[2001:db8::*]:*", "[2001:db8::7]:80"));
	assert_true(matches("[2001:DB8::?]:*", "[2001:db8:0:0::b]:80"));
	assert_false(matches("[2001:db8::*]:*", "[2001:db8:1::7]:80"));
	assert_true(matches("[*]:*", "[2001:db8::7]:80"));
}

static void brackets_mean_ipv6_alone_and_none_mean_both(void **state)
{
	(void)state;

	assert_false(matches("[*]:*", "10.0.0.1:80"));
	assert_false(matches("[*1]:*", "10.0.0.1:80"));
	assert_true(matches("*1:*", "10.0.0.1:80"));
	assert_true(matches("*1:*", "[2001:db8::1]:80"));
	assert_true(matches("*:80", "[2001:db8::1]:80"));
	assert_false(matches("0.0.0.0/0:*", "[2001:db8::1]:80"));
	assert_false(matches("[::]/0:*", "10.0.0.1:80"));
}

static void a_prefix_with_host_bits_is_masked(void **state)
{
	(void)state;

	assert_true(matches("10.1.2.3/8:*", "10.200.0.1:80"));
	assert_false(matches("10.1.2.3/8:*", "11.1.2.3:80"));
	assert_true(matches("[2001:db8::1]/32:*", "[2001:db8:ffff::2]:80"));
	assert_false(matches("[2001:db8::1]/32:*", "[2001:db9::1]:80"));
	assert_true(matches("0.0.0.0/0:80", "203.0.113.9:80"));
	assert_false(matches("0.0.0.0/0:80", "203.0.113.9:81"));
	assert_true(matches("10.0.0.1/32:*", "10.0.0.1:1"));
	assert_false(matches("10.0.0.1/32:*", "10.0.0.0:1"));
}

static void the_scope_of_a_link_local_address_is_left_out(void **state)
{
	static const char *const patterns[] = { "[fe80::1]:*", "[fe80::1%lo]:*",
		                                "[fe80*:1]:*", "[fe80::1%none]/64:*" };
	struct addr a = ruleset_addr("[fe80::1]:80");

	(void)state;
	a.in6.sin6_scope_id = 1;

	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++) {
		struct pattern p = parse(patterns[i]);

		if (!pattern_matches(&p, &a))
			fail_msg("%s does not match", patterns[i]);
		pattern_fini(&p);
	}
}

static void an_address_without_a_family_matches_nothing(void **state)
{
	static const char *const patterns[] = { "*:*", "?:*", "*.*:*", "0.0.0.0/0:*" };
	struct addr a = { .sa.sa_family = AF_UNSPEC };

	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++) {
		struct pattern p = parse(patterns[i]);

		assert_false(pattern_matches(&p, &a));
		pattern_fini(&p);
	}
}

static void mistakes_are_refused_with_a_reason_and_nothing_is_written(void **state)
{
	static const struct {
		const char *text, *reason;
	} rows[] = {
		{ "", "has no port" },
		{ "10.0.0.1", "has no port" },
		{ "[::1]", "has no port" },
		{ "[::1]/64", "has no port" },
		{ "::1:80", "an IPv6 address needs brackets" },
		{ "10.0.0.1:80:90", "an IPv6 address needs brackets" },
		{ "[::1]:80:90", "more than one ':' after ']'" },
		{ "[::1:80", "'[' without ']'" },
		{ "[]:80", "nothing between '[' and ']'" },
		{ "[::1]80", "']' must be followed by ':' or '/'" },
		{ "[host]:80", "not an IPv6 address between '[' and ']'" },
		{ "[10.0.0.1]:80", "not an IPv6 address between '[' and ']'" },
		{ "[::1::]:80", "not an IPv6 address between '[' and ']'" },
		{ "[%lo]:80", "not an IPv6 address between '[' and ']'" },
		{ "10.0.*.0/8:80", "a prefix has no wildcards" },
		{ "10.0.0/8:80", "the prefix does not begin with an address" },
		{ "/8:80", "the prefix does not begin with an address" },
		{ "10.0.0.0/:80", "a prefix of IPv4 has 0 to 32 bits" },
		{ "10.0.0.0/33:80", "a prefix of IPv4 has 0 to 32 bits" },
		{ "10.0.0.0/-1:80", "a prefix of IPv4 has 0 to 32 bits" },
		{ "10.0.0.0/4294967297:80", "a prefix of IPv4 has 0 to 32 bits" },
		{ "[::]/129:80", "a prefix of IPv6 has 0 to 128 bits" },
	};

	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_invalid(rows[i].text, strlen(rows[i].text), rows[i].reason);
	assert_invalid("*\0.1:80", 7, "contains a NUL byte");
	assert_invalid("*:8\0x", 5, "contains a NUL byte");
}

/* The port's own text, and what number its digits might be taken for. */
static void a_port_that_none_has_matches_nobody_and_the_reason_is_told(void **state)
{
	static const struct {
		const char *text, *reason, *near;
	} rows[] = {
		{ "10.0.0.1:65536", "no port is greater than 65535", "10.0.0.1:0" },
		{ "10.0.0.1:123456", "no port is that long", "10.0.0.1:12345" },
		{ "10.0.0.1:*??????", "no port is that long", "10.0.0.1:65535" },
		{ "10.0.0.1:080", "no port begins with 0", "10.0.0.1:80" },
		{ "*:0*", "no port begins with 0", "10.0.0.1:80" },
		{ "*:http", "a port has digits, '*' and '?' only", "10.0.0.1:80" },
		{ "*:+80", "a port has digits, '*' and '?' only", "10.0.0.1:80" },
		{ "*:-1", "a port has digits, '*' and '?' only", "10.0.0.1:65535" },
	};

	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *note = NULL;
		struct pattern p;

		assert_ok(pattern_parse(rows[i].text, strlen(rows[i].text), &p, &note));
		assert_string_equal(note, rows[i].reason);
		pattern_fini(&p);
		assert_false(matches(rows[i].text, rows[i].near));
	}
}

static void of_a_port_that_there_may_be_nothing_is_told(void **state)
{
	static const char *const patterns[] = { "*:80", "*:", "*:*", "*:8*",
		                                "*:?????" };

	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++) {
		const char *note = "not written";
		struct pattern p;

		assert_ok(pattern_parse(patterns[i], strlen(patterns[i]), &p, &note));
		assert_null(note);
		pattern_fini(&p);
	}
}

static void only_the_given_bytes_are_read(void **state)
{
	const char text[] = { '1', '0', '.', '*', ':', '8', '0', 'x' };
	const char *reason;
	struct pattern p;

	(void)state;

	assert_ok(pattern_parse(text, 7, &p, &reason));
	assert_string_equal(p.ip_glob, "10.*");
	assert_int_equal(p.port_kind, PATTERN_EXACT);
	pattern_fini(&p);
}

static void an_address_longer_than_any_never_matches(void **state)
{
	char text[1000];

	(void)state;
	memset(text, '1', sizeof(text));
	memcpy(text + sizeof(text) - 4, ":80", 4);

	assert_kinds(text, PATTERN_GLOB, PATTERN_EXACT);
	assert_false(matches(text, "1.1.1.1:80"));
	text[0] = '[';
	memcpy(text + sizeof(text) - 5, "]:80", 5);
	assert_invalid(text, strlen(text), "not an IPv6 address between '[' and ']'");
}

static void glob_agrees_with_its_definition_on_random_strings(void **state)
{
	char glob[16], text[16];
	unsigned int n_matches = 0;

	(void)state;

	for (int i = 0; i < 200000; i++) {
		bool expected;

		random_text(glob, 7, "aab.**?");
		random_text(text, 9, "aab.");
		expected = glob_by_definition(glob, text);
		n_matches += expected;
		if (pattern_glob(glob, text) != expected)
			fail_msg("glob \"%s\", text \"%s\"", glob, text);
	}
	/* or the strings tested nothing but refusals */
	assert_in_range(n_matches, 10000, 190000);
}

static void whatever_its_kind_a_pattern_means_the_glob_it_is_written_as(void **state)
{
	char pattern[64], ip[24], port[8], text[ADDR_IP_TEXT_LEN];
	unsigned int n_matches = 0;

	(void)state;

	for (int i = 0; i < 50000; i++) {
		struct addr a = { .in4.sin_family = AF_INET };
		char port_text[8];
		const char *reason;
		struct pattern p;
		bool expected;

		a.in4.sin_addr.s_addr = htonl(below(4) << 24 | below(3));
		addr_set_port(&a, (uint16_t)below(20));
		addr_format_ip(&a, text);
		snprintf(port_text, sizeof(port_text), "%u", addr_port(&a));
		random_text(ip, 4, "012.*?");
		if (below(3) == 0)
			strcpy(ip, text);
		random_text(port, 2, "012*?");
		snprintf(pattern, sizeof(pattern), "%s:%s", ip, port);
		if (pattern_parse(pattern, strlen(pattern), &p, &reason) < 0)
			continue;

		expected = (!*ip || glob_by_definition(ip, text)) &&
		           (!*port || glob_by_definition(port, port_text));
		n_matches += expected;
		if (pattern_matches(&p, &a) != expected)
			fail_msg("pattern \"%s\", %s:%s", pattern, text, port_text);
		pattern_fini(&p);
	}
	assert_in_range(n_matches, 5000, 45000);
}

static bool bit(const uint8_t *bytes, unsigned int n)
{
	return bytes[n / 8] >> (7 - n % 8) & 1;
}

static struct addr random_addr(sa_family_t family)
{
	struct addr a = { .sa.sa_family = family };
	uint8_t *bytes = family == AF_INET ? (uint8_t *)&a.in4.sin_addr
	                                   : a.in6.sin6_addr.s6_addr;

	for (unsigned int i = 0; i < (family == AF_INET ? 4 : 16); i++)
		bytes[i] = (uint8_t)below(256);
	return a;
}

static void prefix_agrees_with_a_comparison_bit_by_bit(void **state)
{
	unsigned int n_matches = 0;

	(void)state;

	for (int i = 0; i < 50000; i++) {
		sa_family_t family = below(2) ? AF_INET : AF_INET6;
		unsigned int len, n_bits = family == AF_INET ? 32 : 128;
		struct addr net = random_addr(family), a = net;
		unsigned int prefix_len = below(n_bits + 1), flipped = below(n_bits);
		struct pattern p;
		uint8_t *bytes = family == AF_INET ? (uint8_t *)&a.in4.sin_addr
		                                   : a.in6.sin6_addr.s6_addr;
		const uint8_t *net_bytes = addr_ip_bytes(&net, &len);
		bool expected = true;

		bytes[flipped / 8] ^= (uint8_t)(0x80 >> flipped % 8);
		for (unsigned int n = 0; n < prefix_len; n++)
			expected &= bit(bytes, n) == bit(net_bytes, n);
		n_matches += expected;
		p = (struct pattern){ .ip_kind = PATTERN_PREFIX,
			              .addr = net,
			              .prefix_len = prefix_len };
		if (pattern_matches(&p, &a) != expected)
			fail_msg("/%u, bit %u differs", prefix_len, flipped);
	}
	assert_in_range(n_matches, 5000, 45000);
}

static void many_stars_do_not_make_it_slow(void **state)
{
	char glob[201], text[401];

	(void)state;
	for (size_t i = 0; i < sizeof(glob) - 1; i++)
		glob[i] = "*a"[i % 2];
	glob[sizeof(glob) - 2] = 'b';
	glob[sizeof(glob) - 1] = '\0';
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';

	/* with a second chance for every star this would not end */
	assert_false(pattern_glob(glob, text));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		        a_star_is_any_run_and_a_question_mark_any_one_character),
		cmocka_unit_test(the_same_holds_for_whole_patterns),
		cmocka_unit_test(an_empty_half_means_anything),
		cmocka_unit_test(patterns_are_compiled_to_the_cheapest_kind),
		cmocka_unit_test(
		        what_is_no_canonical_address_is_a_glob_that_never_matches),
		cmocka_unit_test(ipv6_in_brackets_is_compared_as_an_address),
		cmocka_unit_test(an_ipv6_glob_is_held_against_rfc_5952_text),
		cmocka_unit_test(brackets_mean_ipv6_alone_and_none_mean_both),
		cmocka_unit_test(a_prefix_with_host_bits_is_masked),
		cmocka_unit_test(the_scope_of_a_link_local_address_is_left_out),
		cmocka_unit_test(an_address_without_a_family_matches_nothing),
		cmocka_unit_test(
		        mistakes_are_refused_with_a_reason_and_nothing_is_written),
		cmocka_unit_test(
		        a_port_that_none_has_matches_nobody_and_the_reason_is_told),
		cmocka_unit_test(of_a_port_that_there_may_be_nothing_is_told),
		cmocka_unit_test(only_the_given_bytes_are_read),
		cmocka_unit_test(an_address_longer_than_any_never_matches),
		cmocka_unit_test(glob_agrees_with_its_definition_on_random_strings),
		cmocka_unit_test(
		        whatever_its_kind_a_pattern_means_the_glob_it_is_written_as),
		cmocka_unit_test(prefix_agrees_with_a_comparison_bit_by_bit),
		cmocka_unit_test(many_stars_do_not_make_it_slow),
	};

	return test_run("pattern", tests, argc, argv);
}
