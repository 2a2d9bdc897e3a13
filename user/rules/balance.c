// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * balance.c - the policies, and what they have in common.
 *
 * A policy returns the position of a server that can be had, or NOBODY; it knows
 * nothing of counting, of references or of what happens when nobody can be had.
 * Everything between balance_pick()'s lock and unlock costs at most a few passes
 * over the rule's servers.
 *
 * B1: n_sessions goes up only under the rule's lock, so a server that was below
 *     maxconns when it was looked at still is when the session is counted.
 * B2: states are compared by number, never by position: positions change with a
 *     reload, and a number that belongs to nobody (any more) is just not found.
 */
#include "rules/balance.h"

#include <assert.h>

#include "base/cleanup.h"
#include "rules/config.h"

#define NOBODY SIZE_MAX

/* An hour. Keeps response time x sessions x weight far below 2^64. */
#define RESPONSE_MAX_US UINT64_C(3600000000)

/* One selection, as the policies see it. */
struct pick {
	const struct rule *rule;
	struct rule_state *state; /* of the rule; locked */
	const uint32_t *tried;
	size_t n_tried;
	uint64_t now_ms;
	uint64_t hash; /* of the client's address; HS only */
};

static uint64_t n_sessions_of(const struct rule_server *s)
{
	return __atomic_load_n(&s->state->n_sessions, __ATOMIC_RELAXED);
}

static bool is_tried(const struct pick *p, const struct rule_server *s)
{
	for (size_t i = 0; i < p->n_tried; i++)
		if (p->tried[i] == s->state->state.index)
			return true;
	return false;
}

static bool is_full(const struct rule_server *s)
{
	return s->maxconns > 0 && n_sessions_of(s) >= s->maxconns;
}

/* Failed, and its time is not up. */
static bool is_passed_over(const struct pick *p, const struct rule_server *s)
{
	const struct server_state *state = s->state;

	if (!state->is_marked)
		return false;
	/* A sum, no difference: another worker's clock may be a little ahead. */
	if (p->rule->moratorium_s > 0)
		return p->now_ms < state->marked_ms + p->rule->moratorium_s * 1000ULL;
	return p->state->n_picks - state->marked_pick <= RULE_SKIPPED_PICKS;
}

static bool is_eligible(const struct pick *p, const struct rule_server *s)
{
	return s->weight > 0 && !is_tried(p, s) && !is_full(s);
}

static bool is_usable(const struct pick *p, size_t at)
{
	const struct rule_server *s = &p->rule->servers[at];

	return is_eligible(p, s) && !is_passed_over(p, s);
}

static size_t find_server(const struct rule *rule, uint32_t index)
{
	for (size_t i = 0; i < rule->n_servers; i++)
		if (rule->servers[i].state->state.index == index)
			return i;
	return NOBODY;
}

/* Where a scan that must not favour the first server begins, modulo their number;
 * before there was a choice that is the second, as in G5. */
static size_t after_last_choice(const struct pick *p)
{
	size_t last = find_server(p->rule, p->state->last_server);

	return (last == NOBODY ? 0 : last) + 1;
}

static size_t first_usable_from(const struct pick *p, size_t start)
{
	for (size_t i = 0; i < p->rule->n_servers; i++) {
		size_t at = (start + i) % p->rule->n_servers;

		if (is_usable(p, at))
			return at;
	}
	return NOBODY;
}

static size_t pick_rr(const struct pick *p)
{
	const struct rule *rule = p->rule;

	for (size_t i = 0; i < rule->n_schedule; i++) {
		size_t at = rule->schedule[p->state->rr_position++ % rule->n_schedule];

		if (is_usable(p, at))
			return at;
	}
	return NOBODY;
}

/*
 * The sticky server moves on while it is marked or has weight 0, and stays where
 * it is when it is only full or tried. A standby that took over thus keeps its
 * place when the mark of the server before it runs out.
 */
static size_t pick_ms(const struct pick *p)
{
	const struct rule *rule = p->rule;
	size_t sticky = find_server(rule, p->state->ms_server);
	size_t start = sticky == NOBODY ? 0 : sticky;

	for (size_t i = 0; i < rule->n_servers; i++) {
		size_t at = (start + i) % rule->n_servers;
		const struct rule_server *s = &rule->servers[at];

		if (s->weight > 0 && !is_passed_over(p, s)) {
			p->state->ms_server = s->state->state.index;
			return first_usable_from(p, at);
		}
	}
	return NOBODY;
}

/* sessions/weight, compared without dividing */
static bool is_less_loaded(const struct rule_server *a, const struct rule_server *b)
{
	return n_sessions_of(a) * b->weight < n_sessions_of(b) * a->weight;
}

static size_t pick_lc(const struct pick *p)
{
	const struct rule_server *servers = p->rule->servers;
	size_t start = after_last_choice(p);
	size_t best = NOBODY;

	for (size_t i = 0; i < p->rule->n_servers; i++) {
		size_t at = (start + i) % p->rule->n_servers;

		if (!is_usable(p, at))
			continue;
		if (best == NOBODY || is_less_loaded(&servers[at], &servers[best]))
			best = at;
	}
	return best;
}

/*
 * RT's classes: the lower goes first. Who is unmeasured for RULE_SKIPPED_PICKS
 * selections, at the beginning or because nobody chose it, is due: gets one session
 * to be measured with. While its answer is out it is ASKED and comes last, so that
 * a server that accepts and never answers does not collect every client.
 */
enum rt_class { RT_DUE, RT_MEASURED, RT_ASKED };

static enum rt_class rt_class_of(const struct pick *p, const struct server_state *s)
{
	if (s->measured_pick == 0 ||
	    p->state->n_picks - s->measured_pick > RULE_SKIPPED_PICKS)
		return RT_DUE;
	return s->response_us > 0 ? RT_MEASURED : RT_ASKED;
}

/*
 * What the next session would wait for if the server shared its time among them.
 * Response time alone would send everyone to one server until its next sample.
 */
static uint64_t rt_cost(const struct rule_server *s)
{
	return s->state->response_us * (n_sessions_of(s) + 1);
}

static bool is_faster(const struct pick *p, const struct rule_server *a,
                      const struct rule_server *b)
{
	enum rt_class class_a = rt_class_of(p, a->state);
	enum rt_class class_b = rt_class_of(p, b->state);

	if (class_a != class_b)
		return class_a < class_b;
	if (class_a == RT_MEASURED)
		return rt_cost(a) * b->weight < rt_cost(b) * a->weight;
	return is_less_loaded(a, b);
}

static size_t pick_rt(const struct pick *p)
{
	const struct rule_server *servers = p->rule->servers;
	size_t start = after_last_choice(p);
	size_t best = NOBODY;

	for (size_t i = 0; i < p->rule->n_servers; i++) {
		size_t at = (start + i) % p->rule->n_servers;

		if (!is_usable(p, at))
			continue;
		if (best == NOBODY || is_faster(p, &servers[at], &servers[best]))
			best = at;
	}
	if (best != NOBODY && rt_class_of(p, servers[best].state) == RT_DUE) {
		servers[best].state->response_us = 0; /* too old to be averaged with */
		servers[best].state->measured_pick = p->state->n_picks;
	}
	return best;
}

/* splitmix64 */
static uint64_t next_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static uint64_t random_below(uint64_t *state, uint64_t n)
{
	uint64_t n_surplus = -n % n; /* 2^64 mod n: these would favour small numbers */
	uint64_t r;

	do {
		r = next_random(state);
	} while (r < n_surplus);
	return r % n;
}

/* Draws among the usable, so that a failed server's share goes to all others. */
static size_t pick_rd(const struct pick *p)
{
	const struct rule *rule = p->rule;
	uint64_t weight_sum = 0, drawn;

	for (size_t i = 0; i < rule->n_servers; i++)
		if (is_usable(p, i))
			weight_sum += rule->servers[i].weight;
	if (weight_sum == 0)
		return NOBODY;
	drawn = random_below(&p->state->random_state, weight_sum);
	for (size_t i = 0; i < rule->n_servers; i++) {
		if (!is_usable(p, i))
			continue;
		if (drawn < rule->servers[i].weight)
			return i;
		drawn -= rule->servers[i].weight;
	}
	return NOBODY;
}

static size_t pick_hs(const struct pick *p)
{
	const struct rule *rule = p->rule;
	uint64_t left;
	size_t at = 0;

	if (rule->weight_sum == 0)
		return NOBODY;
	left = p->hash % rule->weight_sum;
	while (left >= rule->servers[at].weight)
		left -= rule->servers[at++].weight;
	return first_usable_from(p, at);
}

static size_t (*const policies[])(const struct pick *p) = {
	[RULE_MODE_G] = NULL, /* nothing to balance */
	[RULE_MODE_MS] = pick_ms, [RULE_MODE_RR] = pick_rr, [RULE_MODE_LC] = pick_lc,
	[RULE_MODE_RT] = pick_rt, [RULE_MODE_RD] = pick_rd, [RULE_MODE_HS] = pick_hs,
};

_Static_assert(ARRAY_SIZE(policies) == RULE_MODE_N, "every mode needs a row");

/* For when the policy found nobody: all that could be had are marked. */
static size_t longest_marked(const struct pick *p)
{
	const struct rule_server *servers = p->rule->servers;
	size_t best = NOBODY;

	for (size_t i = 0; i < p->rule->n_servers; i++) {
		if (!is_eligible(p, &servers[i]))
			continue;
		if (best == NOBODY ||
		    servers[i].state->marked_pick < servers[best].state->marked_pick)
			best = i;
	}
	return best;
}

static enum balance_result why_nobody(const struct pick *p)
{
	for (size_t i = 0; i < p->rule->n_servers; i++) {
		const struct rule_server *s = &p->rule->servers[i];

		if (s->weight > 0 && !is_tried(p, s))
			return BALANCE_FULL;
	}
	return BALANCE_EXHAUSTED;
}

static void take(const struct pick *p, const struct rule_server *s)
{
	struct server_state *state = s->state;

	if (!is_passed_over(p, s))
		state->is_marked = false;
	p->state->last_server = state->state.index;
	__atomic_fetch_add(&state->n_sessions, 1, __ATOMIC_RELAXED); /* B1 */
	state_ref(&state->state);
}

enum balance_result balance_pick(const struct rule *rule, const struct addr *client,
                                 const uint32_t *tried, size_t n_tried, uint64_t now_ms,
                                 const struct rule_server **ret_server)
{
	struct pick p = { .rule = rule,
		          .state = rule->state,
		          .tried = tried,
		          .n_tried = n_tried,
		          .now_ms = now_ms };
	enum balance_result result = BALANCE_PICKED;
	char text[ADDR_IP_TEXT_LEN];
	size_t at;

	assert(policies[rule->mode]);

	if (rule->mode == RULE_MODE_HS)
		p.hash = balance_hash(pattern_ip_text(client, text));

	pthread_mutex_lock(&rule->state->lock);
	rule->state->n_picks++;
	at = policies[rule->mode](&p);
	if (at == NOBODY)
		at = longest_marked(&p);
	if (at == NOBODY)
		result = why_nobody(&p);
	else
		take(&p, &rule->servers[at]);
	pthread_mutex_unlock(&rule->state->lock);

	if (at != NOBODY)
		*ret_server = &rule->servers[at];
	return result;
}

void balance_release(struct server_state *server)
{
	uint64_t before = __atomic_fetch_sub(&server->n_sessions, 1, __ATOMIC_RELAXED);

	assert(before > 0);
	(void)before;
	state_unref(&server->state);
}

void balance_failed(const struct rule *rule, struct server_state *server,
                    uint64_t now_ms)
{
	struct rule_state *state = rule->state;
	size_t at;

	__atomic_fetch_add(&server->n_failures, 1, __ATOMIC_RELAXED);

	pthread_mutex_lock(&state->lock);
	server->is_marked = true;
	server->marked_pick = state->n_picks;
	server->marked_ms = now_ms;
	at = find_server(rule, server->state.index);
	if (rule->mode == RULE_MODE_MS && at != NOBODY &&
	    state->ms_server == server->state.index) {
		const struct rule_server *next =
		        &rule->servers[(at + 1) % rule->n_servers];

		state->ms_server = next->state->state.index;
	}
	pthread_mutex_unlock(&state->lock);
}

void balance_connected(const struct rule *rule, struct server_state *server)
{
	__atomic_fetch_add(&server->n_total, 1, __ATOMIC_RELAXED);

	pthread_mutex_lock(&rule->state->lock);
	server->is_marked = false;
	pthread_mutex_unlock(&rule->state->lock);
}

void balance_responded(struct rule_state *rule_state, struct server_state *server,
                       uint64_t response_us)
{
	uint64_t sample = response_us < RESPONSE_MAX_US ? response_us : RESPONSE_MAX_US;

	pthread_mutex_lock(&rule_state->lock);
	if (server->response_us > 0)
		sample = (3 * server->response_us + sample) / 4;
	server->response_us = sample > 0 ? sample : 1; /* 0 means not measured */
	server->measured_pick = rule_state->n_picks;
	pthread_mutex_unlock(&rule_state->lock);
}

uint64_t balance_hash(const char *ip_text)
{
	uint64_t h = 19791007;

	for (const char *c = ip_text; *c; c++)
		h = h * 19830923 + (unsigned char)*c;
	return h;
}
