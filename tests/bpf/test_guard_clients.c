// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * test_guard_clients.c - whom bpf/guard_client.bpf.h lets through: those whom
 * user/rules/pattern.c means, and nobody else.
 */
#include "test.h"

#include <errno.h>
#include <linux/bpf.h>

#include "base/cleanup.h"
#include "dice.h"
#include "guarding.h"
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

/* A listener that both families reach, at a port of its own. */
static void listen_at(struct guarding *in, uint16_t port)
{
	struct addr four = ruleset_addr("192.0.2.1:1");
	struct addr six = ruleset_addr("[2001:db8::1]:1");

	addr_set_port(&four, port);
	addr_set_port(&six, port);
	guard_rules_add_listener(&in->rules, &four, false);
	guard_rules_add_address(&in->rules, &four);
	guard_rules_add_address(&in->rules, &six);
}

static bool is_let_through(struct guarding *in, const struct addr *from, uint16_t port)
{
	struct guarding_frame f = {
		.from = *from,
		.to = ruleset_addr(from->sa.sa_family == AF_INET ? "192.0.2.1:1"
		                                                 : "[2001:db8::1]:1"),
	};

	addr_set_port(&f.to, port);
	return guarding_verdict(in, &f) == XDP_PASS;
}

/* ---- rows ------------------------------------------------------------------ */

static void patterns_mean_what_they_mean_to_the_daemon(void **state)
{
	static const struct {
		const char *pattern, *from;
		bool is_match;
	} rows[] = {
		{ "*:*", "10.0.0.1:1", true },
		{ "*:*", "[::1]:1", true },
		{ "[*]:*", "10.0.0.1:1", false },
		{ "[*]:*", "[::1]:1", true },
		{ "10.0.0.1:*", "10.0.0.1:1", true },
		{ "10.0.0.1:*", "10.0.0.2:1", false },
		{ "10.0.0.1:*", "[a00:1::]:1", false },
		{ "[::1]:*", "[::1]:1", true },
		{ "[::1]:*", "[::2]:1", false },
		{ "10.1.2.3/8:*", "10.255.0.1:1", true },
		{ "10.1.2.3/8:*", "11.0.0.1:1", false },
		{ "10.0.0.0/8:*", "[a00::1]:1", false },
		{ "0.0.0.0/0:*", "10.0.0.1:1", true },
		{ "0.0.0.0/0:*", "[::1]:1", false },
		{ "[::]/0:*", "[::1]:1", true },
		{ "[::]/0:*", "10.0.0.1:1", false },
		{ "[2001:db8::]/33:*", "[2001:db8:7fff::1]:1", true },
		{ "[2001:db8::]/33:*", "[2001:db8:8000::1]:1", false },
		{ "[2001:db8::]/64:1", "[2001:db8::1:2:3:4]:1", true },
		{ "[2001:db8::]/64:1", "[2001:db8:0:1::]:1", false },
		{ "[2001:db8::]/65:1", "[2001:db8::7000:0:0:1]:1", true },
		{ "[2001:db8::]/65:1", "[2001:db8::8000:0:0:1]:1", false },
		{ "[::]/0:1", "[2001:db8::1]:1", true },
		{ "[::1]:1", "[::1]:1", true },
		{ "[::1]:1", "[::3]:1", false },
		{ "*:80", "10.0.0.1:80", true },
		{ "*:80", "10.0.0.1:8080", false },
		{ "*:80*", "10.0.0.1:8080", true },
		{ "*:?????", "10.0.0.1:9999", false },
		{ "*:?????", "10.0.0.1:10000", true },
		{ "*:1?", "10.0.0.1:10", true },
		{ "*:1?0", "10.0.0.1:100", true },
		{ "*:1?00", "10.0.0.1:1000", true },
		{ "*:1?000", "10.0.0.1:10000", true },
		{ "1?.0.0.1:*", "10.0.0.1:1", true },
		{ "1?0.0.0.1:*", "100.0.0.1:1", true },
		{ "*:65535", "10.0.0.1:65535", true },
		{ "*:0", "10.0.0.1:0", true },
		{ "*:?", "[::1]:0", true },
		{ "*:080", "10.0.0.1:80", false },
		{ "*:http", "10.0.0.1:80", false },
		{ "10.*.?:*", "10.0.0.1:1", true },
		{ "10.*.?:*", "10.0.0.10:1", false },
		{ "*1:*", "[2001:db8::1]:1", true },
		{ "2001*:*", "[2001:db8::1]:1", true },
		{ "*.*:*", "[::1.2.3.4]:1", true },
		{ "*.*:*", "[2001:db8::1]:1", false },
		{ "localhost:*", "127.0.0.1:1", false },
		{ "FE80*:*", "[fe80::1]:1", false },
		{ "[FE80*]:*", "[fe80::1]:1", true },
		{ "[::?]:*", "[::1]:1", true },
		{ "[::?]:*", "[::]:1", false },
		{ "[?:]:*", "[::]:1", true },
		{ "[*::*::*]:*", "[1::2]:1", false },
		{ "[1:0:*]:*", "[1:0:2:3:4:5:6:7]:1", true },
		{ "[1:*:0:*]:*", "[1:2:0:0:3:4:5:6]:1", false },
		{ "[*.*]:*", "[::ffff]:1", false },
		{ "[::0.1.0.?]:*", "[::1:0]:1", true },
		{ "[::ffff:0*]:*", "[::ffff:0:1:2]:1", true },
	};
	struct guarding in;

	(void)state;
	guarding_open(&in);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		listen_at(&in, (uint16_t)(i + 1));
		guarding_take(&in, rows[i].pattern);
	}
	guarding_publish(&in);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct pattern p = parse(rows[i].pattern);
		struct addr from = ruleset_addr(rows[i].from);

		if (pattern_matches(&p, &from) != rows[i].is_match ||
		    is_let_through(&in, &from, (uint16_t)(i + 1)) != rows[i].is_match)
			fail_msg("%s and %s", rows[i].pattern, rows[i].from);
		pattern_fini(&p);
	}
	guarding_close(&in);
}

/* @nth: bit w says whether word w is zero; the rest is how long the others are */
static struct addr address_with_zeroes(unsigned int nth)
{
	static const uint16_t words[] = { 0x1, 0x23, 0x456, 0x789a };
	struct addr a = ruleset_addr("[::]:1");

	for (unsigned int w = 0; w < 8; w++) {
		uint16_t word = nth >> w & 1 ? 0 : words[(w + (nth >> 8)) % 4];

		a.in6.sin6_addr.s6_addr[2 * w] = (uint8_t)(word >> 8);
		a.in6.sin6_addr.s6_addr[2 * w + 1] = (uint8_t)word;
	}
	return a;
}

/* A glob of the text alone, as it has to have a wildcard: its first character, and at
 * least one more than there are. */
static void
each_form_of_an_ipv6_address_is_written_as_the_daemon_writes_it(void **state)
{
	char text[ADDR_IP_TEXT_LEN], pattern[ADDR_TEXT_LEN + 8];
	struct guarding in;

	(void)state;
	guarding_open(&in);
	for (unsigned int i = 0; i < 1024; i++) {
		struct addr a = address_with_zeroes(i);

		pattern_ip_text(&a, text);
		listen_at(&in, (uint16_t)(2 * i + 1));
		snprintf(pattern, sizeof(pattern), "[?%s]:*", text + 1);
		guarding_take(&in, pattern);
		listen_at(&in, (uint16_t)(2 * i + 2));
		snprintf(pattern, sizeof(pattern), "[*%s?]:*", text);
		guarding_take(&in, pattern);
	}
	guarding_publish(&in);

	for (unsigned int i = 0; i < 1024; i++) {
		struct addr a = address_with_zeroes(i);

		if (!is_let_through(&in, &a, (uint16_t)(2 * i + 1)) ||
		    is_let_through(&in, &a, (uint16_t)(2 * i + 2)))
			fail_msg("%s", pattern_ip_text(&a, text));
	}
	guarding_close(&in);
}

/* ---- many patterns and addresses -------------------------------------------- */

#define ROUNDS 8
#define LISTENERS 2000
#define PATTERNS 2 /* of a listener, on average a bit less */
#define PROBES 8

static bool maybe(struct dice *dice, unsigned int percent)
{
	return dice_roll(dice, 100) < percent;
}

static uint16_t random_port(struct dice *dice)
{
	static const unsigned int below[] = { 10, 100, 1000, 10000, 65536 };

	return (uint16_t)dice_roll(dice, below[dice_roll(dice, ARRAY_SIZE(below))]);
}

/* Not mapped: these are let through. */
static struct addr random_addr(struct dice *dice)
{
	struct addr a = ruleset_addr(maybe(dice, 50) ? "0.0.0.0:1" : "[::]:1");
	uint8_t *ip6 = a.in6.sin6_addr.s6_addr;

	addr_set_port(&a, random_port(dice));
	if (a.sa.sa_family == AF_INET) {
		for (int i = 0; i < 4; i++)
			((uint8_t *)&a.in4.sin_addr)[i] = (uint8_t)dice_roll(
			        dice, maybe(dice, 50) ? 12 : 256);
		return a;
	}
	for (int i = maybe(dice, 20) ? 6 : 0; i < 8; i++) {
		unsigned int word = (unsigned int)dice_roll(dice, 1 << 16);

		if (maybe(dice, 50))
			continue;
		word >>= 4 * dice_roll(dice, 4);
		ip6[2 * i] = (uint8_t)(word >> 8);
		ip6[2 * i + 1] = (uint8_t)word;
	}
	return a;
}

/* Something that may match @text: characters become wildcards, others come. */
static void random_glob(struct dice *dice, const char *text, char *glob)
{
	static const char alphabet[] = "0123456789abcdef.*?";
	const unsigned int percent = (unsigned int)dice_roll(dice, 40);

	for (; *text; text++) {
		if (!maybe(dice, percent))
			*glob++ = *text;
		else if (maybe(dice, 40))
			*glob++ = '?';
		else if (maybe(dice, 70))
			*glob++ = '*';
		else if (maybe(dice, 30))
			*glob++ = alphabet[dice_roll(dice, sizeof(alphabet) - 1)];
		if (maybe(dice, percent / 4))
			*glob++ = '*';
	}
	if (maybe(dice, percent))
		*glob++ = '*';
	*glob = '\0';
}

/* For @a, perhaps. */
static struct pattern random_pattern(struct dice *dice, const struct addr *a)
{
	const bool is_ip6 = a->sa.sa_family == AF_INET6;
	const uint64_t kind = dice_roll(dice, 8);
	char ip[ADDR_IP_TEXT_LEN], half[160], port[8], port_glob[32], text[256];
	bool is_bracketed = is_ip6;

	snprintf(port, sizeof(port), "%u", addr_port(a));
	pattern_ip_text(a, ip);
	if (kind == 0) {
		strcpy(half, "*");
		is_bracketed = is_ip6 && maybe(dice, 50);
	} else if (kind == 1) {
		strcpy(half, ip);
	} else {
		random_glob(dice, ip, half);
		/* Without brackets it has no ':', but may still be one of IPv6. */
		if (is_ip6 && maybe(dice, 20)) {
			is_bracketed = false;
			for (char *c = half; *c; c++)
				if (*c == ':')
					*c = maybe(dice, 50) ? '?' : '*';
		}
	}
	if (maybe(dice, 40))
		strcpy(port_glob, "*");
	else if (maybe(dice, 30))
		strcpy(port_glob, port);
	else
		random_glob(dice, port, port_glob);
	if (kind == 2)
		snprintf(text, sizeof(text), is_ip6 ? "[%s]/%u:%s" : "%s/%u:%s", ip,
		         (unsigned int)dice_roll(dice, is_ip6 ? 129 : 33), port_glob);
	else
		snprintf(text, sizeof(text), is_bracketed ? "[%s]:%s" : "%s:%s", half,
		         port_glob);
	if (strncmp(text, "[]", 2) == 0)
		return parse("[*]:*");
	/* A wildcard in it, or it is no pattern. */
	if (is_bracketed && kind > 2 && !strpbrk(half, "*?"))
		return parse("[?*]:*");
	return parse(text);
}

/* @a itself, or not far from it, or anybody. */
static struct addr random_neighbour(struct dice *dice, const struct addr *a)
{
	struct addr near = *a;
	unsigned int len;
	uint8_t *bytes = (uint8_t *)&near +
	                 (addr_ip_bytes(a, &len) - (const uint8_t *)a);

	if (maybe(dice, 10))
		return random_addr(dice);
	if (maybe(dice, 30))
		addr_set_port(&near, random_port(dice));
	if (maybe(dice, 40))
		bytes[dice_roll(dice, len)] ^= (uint8_t)(1U << dice_roll(dice, 8));
	if (maybe(dice, 10))
		bytes[dice_roll(dice, len)] = 0;
	return near;
}

struct wanted {
	struct addr addr;
	struct pattern patterns[PATTERNS];
	size_t n;
};

static void add_wanted(struct guarding *in, struct dice *dice, struct wanted *w)
{
	w->addr = random_addr(dice);
	w->n = 1 + dice_roll(dice, PATTERNS);
	for (size_t i = 0; i < w->n; i++) {
		struct addr other = random_addr(dice);

		w->patterns[i] = random_pattern(dice, i == 0 ? &w->addr : &other);
		assert_ok(guard_rules_add_client(&in->rules, &w->patterns[i]));
	}
}

static bool is_wanted(const struct wanted *w, const struct addr *a)
{
	for (size_t i = 0; i < w->n; i++)
		if (pattern_matches(&w->patterns[i], a))
			return true;
	return false;
}

static bool is_mapped(const struct addr *a)
{
	return a->sa.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&a->in6.sin6_addr);
}

static size_t check_wanted(struct guarding *in, struct dice *dice,
                           const struct wanted *w, uint16_t port)
{
	char text[ADDR_TEXT_LEN];
	size_t n_matches = 0;

	for (int i = 0; i < PROBES; i++) {
		struct addr a = random_neighbour(dice, &w->addr);
		bool expected = is_mapped(&a) || is_wanted(w, &a);

		n_matches += expected;
		if (is_let_through(in, &a, port) != expected)
			fail_msg("%s, globs %s and %s", addr_format(&a, text),
			         w->patterns[0].ip_glob, w->patterns[0].port_glob);
	}
	return n_matches;
}

static void any_pattern_and_any_address_get_the_daemons_answer(void **state)
{
	static struct wanted wanted[LISTENERS];
	struct dice dice = { .state = 20261122 };
	size_t n_matches = 0, n = ROUNDS * LISTENERS * PROBES;
	struct guarding in;

	(void)state;
	guarding_open(&in);
	for (int round = 0; round < ROUNDS; round++) {
		guarding_new_rules(&in);
		for (uint16_t i = 0; i < LISTENERS; i++) {
			listen_at(&in, i);
			add_wanted(&in, &dice, &wanted[i]);
		}
		guarding_publish(&in);
		for (uint16_t i = 0; i < LISTENERS; i++) {
			n_matches += check_wanted(&in, &dice, &wanted[i], i);
			for (size_t k = 0; k < wanted[i].n; k++)
				pattern_fini(&wanted[i].patterns[k]);
		}
	}
	print_message("%zu of %zu match\n", n_matches, n);
	assert_in_range(n_matches, n / 4, n / 4 * 3);
	guarding_close(&in);
}

/* ---- rule sets -------------------------------------------------------------- */

static void each_kind_of_pattern_has_its_place_in_the_rule_set(void **state)
{
	struct guarding in;
	struct guard_set set;

	(void)state;
	guarding_open(&in);
	listen_at(&in, 1);
	guarding_take(&in, "10.0.0.0/8:*");
	guarding_take(&in, "[::1]:*");
	guarding_take(&in, "10.*:*");
	listen_at(&in, 2);
	guarding_take(&in, "10.0.0.0/8:80");
	guarding_take(&in, "*:80");
	listen_at(&in, 3);
	guarding_take(&in, "*:*");

	set = guard_rules_set(&in.rules);

	assert_int_equal(set.n_addresses, 6);
	assert_int_equal(set.n_networks, 2);
	assert_int_equal(set.networks[0].prefix_len, 64 + 8);
	assert_int_equal(set.networks[1].prefix_len, 64 + 128);
	assert_int_equal(set.n_patterns, 3);
	assert_true(set.addresses[0].value.has_networks);
	assert_int_equal(set.addresses[0].value.n_patterns, 1);
	assert_false(set.addresses[2].value.has_networks);
	assert_int_equal(set.addresses[2].value.first_pattern, 1);
	assert_int_equal(set.addresses[3].value.n_patterns, 2);
	assert_false(set.addresses[3].value.takes_all);
	assert_true(set.addresses[4].value.takes_all);
	assert_int_equal(set.addresses[5].value.number, 2);
	guarding_close(&in);
}

static void the_last_of_64_patterns_counts_and_one_more_lets_everybody_in(void **state)
{
	struct pattern more = parse("10.9.9.9:9");
	struct guarding in;
	char text[32];

	(void)state;
	guarding_open(&in);
	for (uint16_t port = 1; port <= 2; port++) {
		listen_at(&in, port);
		for (unsigned int i = 0; i < G5X_GUARD_N_PATTERNS; i++) {
			snprintf(text, sizeof(text), "10.0.%u.*:*", i);
			guarding_take(&in, text);
		}
	}
	assert_int_equal(guard_rules_add_client(&in.rules, &more), -E2BIG);
	guarding_publish(&in);

	assert_true(guarding_syn(&in, "10.0.0.1:1", "192.0.2.1:1"));
	assert_true(guarding_syn(&in, "10.0.63.1:1", "192.0.2.1:1"));
	assert_false(guarding_syn(&in, "10.0.64.1:1", "192.0.2.1:1"));
	assert_true(guarding_syn(&in, "10.0.64.1:1", "192.0.2.1:2"));
	pattern_fini(&more);
	guarding_close(&in);
}

static void networks_of_one_listener_are_no_other_ones(void **state)
{
	struct guarding in;

	(void)state;
	guarding_open(&in);
	for (uint16_t port = 1; port <= 2; port++) {
		listen_at(&in, port);
		guarding_take(&in, port == 1 ? "10.0.0.0/8:*" : "10.1.0.0/16:*");
		guarding_take(&in, "172.16.0.1:*");
	}
	guarding_publish(&in);

	assert_true(guarding_syn(&in, "10.2.0.1:1", "192.0.2.1:1"));
	assert_false(guarding_syn(&in, "10.2.0.1:1", "192.0.2.1:2"));
	assert_true(guarding_syn(&in, "10.1.0.1:1", "192.0.2.1:2"));
	assert_true(guarding_syn(&in, "172.16.0.1:1", "192.0.2.1:2"));
	assert_false(guarding_syn(&in, "172.16.0.2:1", "192.0.2.1:2"));
	guarding_close(&in);
}

static void the_first_listener_at_an_address_has_it(void **state)
{
	struct addr real = ruleset_addr("192.0.2.1:80");
	struct addr wildcard = ruleset_addr("0.0.0.0:80");
	struct guarding in;

	(void)state;
	guarding_open(&in);
	guarding_listen(&in, "192.0.2.1:80");
	guarding_take(&in, "10.*:*");
	guard_rules_add_listener(&in.rules, &wildcard, false);
	guard_rules_add_address(&in.rules, &real);
	guarding_take(&in, "*:*");
	guarding_publish(&in);

	assert_false(guarding_syn(&in, "11.0.0.1:1", "192.0.2.1:80"));

	assert_int_equal(guarding_counts(&in, "192.0.2.1:80").dropped.no_rule, 1);
	assert_int_equal(guarding_counts(&in, "0.0.0.0:80").dropped.no_rule, 0);
	guarding_close(&in);
}

static void a_glob_that_no_address_can_match_has_no_end(void **state)
{
	char glob[80];
	struct g5x_glob g;

	(void)state;

	guard_glob(&g, "10.0.x.*");
	assert_int_equal(g.end, 0);
	memset(glob, '?', sizeof(glob));
	glob[64] = '\0';
	guard_glob(&g, glob);
	assert_int_equal(g.end, 0);
	glob[63] = '\0';
	guard_glob(&g, glob);
	assert_true(g.end == 1ULL << 63);
	guard_glob(&g, "*");
	assert_int_equal(g.end, 1);
	assert_int_equal(g.stays, 1);
	guard_glob(&g, "**1***");
	assert_int_equal(g.end, 2);
	assert_int_equal(g.stays, 3);
	assert_int_equal(g.takes[1], 1);
	assert_int_equal(g.takes[2], 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(patterns_mean_what_they_mean_to_the_daemon),
		cmocka_unit_test(
		        each_form_of_an_ipv6_address_is_written_as_the_daemon_writes_it),
		cmocka_unit_test(any_pattern_and_any_address_get_the_daemons_answer),
		cmocka_unit_test(each_kind_of_pattern_has_its_place_in_the_rule_set),
		cmocka_unit_test(
		        the_last_of_64_patterns_counts_and_one_more_lets_everybody_in),
		cmocka_unit_test(networks_of_one_listener_are_no_other_ones),
		cmocka_unit_test(the_first_listener_at_an_address_has_it),
		cmocka_unit_test(a_glob_that_no_address_can_match_has_no_end),
	};

	return test_run("guard clients", tests, argc, argv);
}
