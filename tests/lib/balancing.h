/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * balancing.h - one rule, its servers and their clients, for tests of balance.c.
 *
 * Servers are called A, B, C ... by their place in the rule. connect_client() is a
 * client of the daemon in small: it picks, and picks again while what it picked is
 * down. Each test makes its rule first; free_rule() is its teardown.
 */
#ifndef G5X_TESTS_BALANCING_H
#define G5X_TESTS_BALANCING_H

#include "test.h"

#include "rules/balance.h"
#include "ruleset.h"

enum { A, B, C, D, NOBODY_LEFT };

#define MAX_SERVERS 8
#define CLIENT "127.0.0.1:5000"

static struct rule *rule;
static bool is_down[MAX_SERVERS];
static uint64_t now_ms;

static inline void make_rule(enum rule_mode mode, size_t n_servers,
                             const unsigned int *weights)
{
	char text[32];

	rule = ruleset_rule("r", mode);
	memset(is_down, 0, sizeof(is_down));
	now_ms = 1000;
	for (size_t i = 0; i < n_servers; i++) {
		snprintf(text, sizeof(text), "127.0.0.1:%zu", 19091 + i);
		ruleset_add_server(rule, text, weights ? weights[i] : 1, 0);
	}
}

static inline int free_rule(void **state)
{
	(void)state;

	ruleset_rule_free(rule);
	assert_int_equal(state_count(STATE_RULE), 0);
	assert_int_equal(state_count(STATE_SERVER), 0);
	return 0;
}

static inline struct server_state *server(size_t at)
{
	return rule->servers[at].state;
}

static inline size_t place_of(const struct rule_server *s)
{
	return (size_t)(s - rule->servers);
}

static inline size_t pick_for(const char *client)
{
	struct addr a = ruleset_addr(client);
	const struct rule_server *s = NULL;

	assert_int_equal(balance_pick(rule, &a, NULL, 0, now_ms, &s), BALANCE_PICKED);
	return place_of(s);
}

static inline size_t pick(void)
{
	return pick_for(CLIENT);
}

/* A session that is over at once. */
static inline size_t pick_and_release(void)
{
	size_t at = pick();

	balance_release(server(at));
	return at;
}

static inline void fail_server(size_t at)
{
	balance_failed(rule, server(at), now_ms);
}

/* Where a client ends up, with its session held; *ret_n_tried says how many failed. */
static inline size_t connect_counting(const char *client, size_t *ret_n_tried)
{
	uint32_t tried[MAX_SERVERS];
	struct addr a = ruleset_addr(client);
	const struct rule_server *s;
	size_t n_tried = 0;

	while (balance_pick(rule, &a, tried, n_tried, now_ms, &s) == BALANCE_PICKED) {
		if (!is_down[place_of(s)]) {
			balance_connected(rule, s->state);
			*ret_n_tried = n_tried;
			return place_of(s);
		}
		balance_failed(rule, s->state, now_ms);
		balance_release(s->state);
		for (size_t i = 0; i < n_tried; i++)
			assert_int_not_equal(tried[i], s->state->state.index);
		assert_true(n_tried < rule->n_servers);
		tried[n_tried++] = s->state->state.index;
	}
	*ret_n_tried = n_tried;
	return NOBODY_LEFT;
}

static inline size_t connect_client(const char *client)
{
	size_t n_tried;

	return connect_counting(client, &n_tried);
}

/* Clients that come one after the other and close: "BCBC" is what they got. */
static inline void assert_clients_get(const char *expected)
{
	char got[256];
	size_t i;

	assert_true(strlen(expected) < sizeof(got));
	for (i = 0; expected[i]; i++) {
		size_t at = connect_client(CLIENT);

		got[i] = at == NOBODY_LEFT ? '-' : (char)('A' + at);
		if (at != NOBODY_LEFT)
			balance_release(server(at));
	}
	got[i] = '\0';
	assert_string_equal(got, expected);
}

/* What @n held sessions come to per server; they stay counted on the servers. */
static inline void hold_sessions(size_t n, size_t counts[MAX_SERVERS])
{
	memset(counts, 0, MAX_SERVERS * sizeof(*counts));
	for (size_t i = 0; i < n; i++)
		counts[pick()]++;
}

static inline void release_all(void)
{
	for (size_t i = 0; i < rule->n_servers; i++)
		while (server(i)->n_sessions > 0)
			balance_release(server(i));
}

static inline void assert_held(size_t n, size_t a, size_t b, size_t c)
{
	size_t counts[MAX_SERVERS];

	hold_sessions(n, counts);
	assert_int_equal(counts[A], a);
	assert_int_equal(counts[B], b);
	assert_int_equal(counts[C], c);
	release_all();
}

#define BALANCING_TEST(name) cmocka_unit_test_teardown(name, free_rule)

#endif /* G5X_TESTS_BALANCING_H */
