// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* rule.c - the life of a rule: made, sealed, shared, freed. */
#include "rules/rule.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "rules/alloc.h"
#include "rules/config.h"
#include "rules/format.h"
#include "rules/names.h"
#include "rules/schedule.h"

/* 0 is never given out: it is what the state of a new rule starts with. */
static uint32_t last_version;

uint32_t rule_new_version(void)
{
	if (++last_version == 0)
		last_version = 1;
	return last_version;
}

struct rule *rule_new(void)
{
	struct rule *rule = alloc_zeroed(1, sizeof(*rule));

	rule->refs = 1;
	rule->connect_timeout_s = RULE_CONNECT_TIMEOUT_S;
	rule->fin_timeout_s = RULE_FIN_TIMEOUT_S;
	rule->splice_limit = RULE_SPLICE_LIMIT;
	return rule;
}

struct rule *rule_ref(struct rule *rule)
{
	rule->refs++;
	return rule;
}

static void free_clients(struct rule *rule)
{
	for (size_t i = 0; i < rule->n_clients; i++) {
		struct rule_client *client = &rule->clients[i];

		free(client->text);
		pattern_fini(&client->pattern);
		if (client->state)
			state_unref(&client->state->state);
	}
	free(rule->clients);
}

static void free_forwards(struct rule *rule)
{
	for (size_t i = 0; i < rule->n_forwards; i++) {
		free(rule->forwards[i].text);
		pattern_fini(&rule->forwards[i].pattern);
	}
	free(rule->forwards);
}

static void free_servers(struct rule *rule)
{
	for (size_t i = 0; i < rule->n_servers; i++) {
		struct rule_server *server = &rule->servers[i];

		free(server->text);
		if (server->state)
			state_unref(&server->state->state);
	}
	free(rule->servers);
}

void rule_unref(struct rule *rule)
{
	if (!rule)
		return;
	assert(rule->refs > 0);
	if (--rule->refs)
		return;

	free_clients(rule);
	free_forwards(rule);
	free_servers(rule);
	if (rule->state)
		state_unref(&rule->state->state);
	free(rule->schedule);
	free(rule->id);
	free(rule);
}

/* How many of that text came before; equal parts of a rule are told apart by it. */
static unsigned int count_name(struct names *names, const char *text)
{
	return names_add(names, text, strlen(text))->number++;
}

static void open_states(struct rule *rule)
{
	struct names clients = { 0 }, servers = { 0 };

	rule->state = state_open(STATE_RULE, rule->id, NULL, 0);
	for (size_t i = 0; i < rule->n_clients; i++) {
		struct rule_client *client = &rule->clients[i];

		client->state = state_open(STATE_CLIENT, rule->id, client->text,
		                           count_name(&clients, client->text));
	}
	for (size_t i = 0; i < rule->n_servers; i++) {
		struct rule_server *server = &rule->servers[i];

		server->state = state_open(STATE_SERVER, rule->id, server->text,
		                           count_name(&servers, server->text));
	}
	names_fini(&clients);
	names_fini(&servers);
}

static char *definition(const struct rule *rule)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = alloc_checked(open_memstream(&text, &size));

	format_rule(out, rule, false);
	fclose(out);
	return alloc_checked(text);
}

/* The same text may mean other servers: a name may have moved. */
static bool is_same(const struct rule *a, const struct rule *b)
{
	auto_free char *a_text = definition(a);
	auto_free char *b_text = definition(b);

	if (strcmp(a_text, b_text) != 0)
		return false;
	for (size_t i = 0; i < a->n_servers; i++)
		if (!addr_equal(&a->servers[i].addr, &b->servers[i].addr))
			return false;
	return true;
}

void rule_seal(struct rule *rule, const struct rule *old)
{
	open_states(rule);
	schedule_build(rule);
	rule->version = old && is_same(rule, old) ? old->version : rule_new_version();
}
