// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
#include "ruleset.h"

#include <stdlib.h>
#include <string.h>

#include "test.h"

#include "base/cleanup.h"

static void *grow(void *items, size_t n_items, size_t size)
{
	void *grown = realloc(items, (n_items + 1) * size);

	assert_non_null(grown);
	memset((char *)grown + n_items * size, 0, size);
	return grown;
}

static char *copy(const char *text)
{
	char *copied = strdup(text);

	assert_non_null(copied);
	return copied;
}

struct addr ruleset_addr(const char *text)
{
	bool is_bracketed = text[0] == '[';
	auto_free char *ip = copy(text + is_bracketed);
	char *colon = strrchr(ip, ':');
	struct addr a;

	assert_non_null(colon);
	colon[is_bracketed ? -1 : 0] = '\0';
	assert_ok(addr_parse_ip(ip, &a));
	addr_set_port(&a, (uint16_t)atoi(colon + 1));
	return a;
}

struct rule *ruleset_rule(const char *id, enum rule_mode mode)
{
	struct rule *rule = grow(NULL, 0, sizeof(*rule));

	rule->refs = 1;
	rule->id = copy(id);
	rule->mode = mode;
	rule->splice_limit = RULE_SPLICE_LIMIT;
	rule->state = state_open(STATE_RULE, id, NULL, 0);
	return rule;
}

void ruleset_rule_free(struct rule *rule)
{
	for (size_t i = 0; i < rule->n_clients; i++) {
		state_unref(&rule->clients[i].state->state);
		pattern_fini(&rule->clients[i].pattern);
		free(rule->clients[i].text);
	}
	for (size_t i = 0; i < rule->n_forwards; i++) {
		pattern_fini(&rule->forwards[i].pattern);
		free(rule->forwards[i].text);
	}
	for (size_t i = 0; i < rule->n_servers; i++) {
		state_unref(&rule->servers[i].state->state);
		free(rule->servers[i].text);
	}
	state_unref(&rule->state->state);
	free(rule->clients);
	free(rule->forwards);
	free(rule->servers);
	free(rule->schedule);
	free(rule->id);
	free(rule);
}

void ruleset_add_client(struct rule *rule, const char *pattern)
{
	const char *reason;
	struct rule_client *c;

	rule->clients = grow(rule->clients, rule->n_clients, sizeof(*c));
	c = &rule->clients[rule->n_clients++];
	c->text = copy(pattern);
	c->state = state_open(STATE_CLIENT, rule->id, pattern, 0);
	assert_ok(pattern_parse(pattern, strlen(pattern), &c->pattern, &reason));
}

void ruleset_add_forward(struct rule *rule, const char *text)
{
	const char *reason;
	struct rule_forward *f;

	rule->forwards = grow(rule->forwards, rule->n_forwards, sizeof(*f));
	f = &rule->forwards[rule->n_forwards++];
	f->text = copy(text);
	f->is_pattern = strpbrk(text, "*?") != NULL;
	assert_ok(pattern_parse(text, strlen(text), &f->pattern, &reason));
	if (!f->is_pattern)
		f->addr = ruleset_addr(text);
}

/* Each round gives the place to the server that is furthest behind its share. */
static void make_schedule(struct rule *rule)
{
	auto_free int64_t *credit = calloc(rule->n_servers, sizeof(*credit));

	assert_non_null(credit);
	rule->n_schedule = 0;
	for (uint64_t place = 0; place < rule->weight_sum; place++) {
		size_t best = 0;

		for (size_t i = 0; i < rule->n_servers; i++) {
			credit[i] += rule->servers[i].weight;
			if (credit[i] > credit[best])
				best = i;
		}
		credit[best] -= (int64_t)rule->weight_sum;
		rule->schedule = grow(rule->schedule, rule->n_schedule,
		                      sizeof(*rule->schedule));
		rule->schedule[rule->n_schedule++] = (uint32_t)best;
	}
}

void ruleset_add_server(struct rule *rule, const char *text, unsigned int weight,
                        uint64_t maxconns)
{
	struct rule_server *s;
	unsigned int nth = 0;

	for (size_t i = 0; i < rule->n_servers; i++)
		nth += strcmp(rule->servers[i].text, text) == 0;
	rule->servers = grow(rule->servers, rule->n_servers, sizeof(*s));
	s = &rule->servers[rule->n_servers++];
	s->text = copy(text);
	s->addr = ruleset_addr(text);
	s->weight = weight;
	s->maxconns = maxconns;
	s->state = state_open(STATE_SERVER, rule->id, text, nth);
	rule->weight_sum += weight;
	make_schedule(rule);
}

struct config *ruleset_config(struct rule *const *rules, size_t n_rules)
{
	struct config *config = grow(NULL, 0, sizeof(*config));

	for (size_t i = 0; i < n_rules; i++) {
		config->rules = grow(config->rules, config->n_rules,
		                     sizeof(*config->rules));
		config->rules[config->n_rules++] = rules[i];
	}
	return config;
}

void ruleset_config_free(struct config *config)
{
	for (size_t i = 0; i < config->n_rules; i++)
		ruleset_rule_free(config->rules[i]);
	free(config->rules);
	free(config);
}
