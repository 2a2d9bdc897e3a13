// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * match.c - one flat list per listener: every client pattern of every rule that
 * names this listener, in file order. So the first entry that fits is at the same
 * time the first rule and that rule's first client entry, and a rule without
 * clients takes part nowhere.
 */
#include "rules/match.h"

#include "rules/alloc.h"
#include "rules/config.h"

struct entry {
	const struct rule *rule;
	const struct rule_client *client;
};

struct match {
	size_t n_entries;
	bool has_glob; /* someone wants the client's address as text */
	struct entry entries[];
};

bool match_names(const struct rule *rule, const struct addr *listener)
{
	for (size_t i = 0; i < rule->n_forwards; i++) {
		const struct rule_forward *f = &rule->forwards[i];

		if (f->is_pattern ? pattern_matches(&f->pattern, listener)
		                  : addr_equal(&f->addr, listener))
			return true;
	}
	return false;
}

static void add_rule(struct match *m, const struct rule *rule)
{
	for (size_t i = 0; i < rule->n_clients; i++) {
		const struct rule_client *c = &rule->clients[i];

		m->entries[m->n_entries++] = (struct entry){ rule, c };
		m->has_glob |= c->pattern.ip_kind == PATTERN_GLOB;
	}
}

struct match *match_compile(const struct config *config, const struct addr *listener)
{
	size_t n_entries = 0;
	struct match *m;

	for (size_t i = 0; i < config->n_rules; i++)
		if (match_names(config->rules[i], listener))
			n_entries += config->rules[i]->n_clients;
	m = alloc_zeroed(1, sizeof(*m) + n_entries * sizeof(m->entries[0]));
	for (size_t i = 0; i < config->n_rules; i++)
		if (match_names(config->rules[i], listener))
			add_rule(m, config->rules[i]);
	return m;
}

bool match_find(const struct match *m, const struct addr *client,
                const struct rule **ret_rule, const struct rule_client **ret_client)
{
	char text[ADDR_IP_TEXT_LEN] = "";

	if (m->has_glob)
		pattern_ip_text(client, text);
	for (size_t i = 0; i < m->n_entries; i++) {
		const struct entry *e = &m->entries[i];

		if (!pattern_matches_text(&e->client->pattern, client, text))
			continue;
		*ret_rule = e->rule;
		*ret_client = e->client;
		return true;
	}
	return false;
}

void match_free(struct match *m)
{
	free(m);
}
