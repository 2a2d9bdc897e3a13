// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * edit.c - one configuration made from another: rules added, modified, removed.
 *
 * Everything that stays is shared; the old configuration stays valid beside it.
 */
#include "rules/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rules/build.h"
#include "rules/lexer.h"
#include "rules/parse.h"
#include "rules/rule.h"

static size_t rule_position(const struct config *c, const char *id)
{
	size_t at = 0;

	while (at < c->n_rules && strcmp(c->rules[at]->id, id) != 0)
		at++;
	return at;
}

/* One rule from a command; what stands behind its first LF is not looked at. */
static int parse_one(const struct config *old, const char *text, size_t len,
                     const struct config_resolver *resolver, struct diag_list *diags,
                     struct config_line *ret_line)
{
	struct lexer lexer = { .text = text, .len = len };
	struct parse_env env = { .old = old, .resolver = resolver, .diags = diags };
	struct line line = { .text = "", .number = 1 };
	bool is_open;

	lexer_next_line(&lexer, &line);
	if (build_report_nul(diags, &line))
		return -EINVAL;
	ret_line->rule = parse_rule(&env, &line, &is_open);
	if (!ret_line->rule)
		return -EINVAL;
	ret_line->comment = build_comment(&line);
	return 0;
}

int config_add_rule(const struct config *old, const char *line, size_t len,
                    size_t max_rules, const struct config_resolver *resolver,
                    struct diag_list *diags, struct config **ret_config)
{
	struct config_line parsed = { 0 };
	struct config *c;
	int r = parse_one(old, line, len, resolver, diags, &parsed);

	if (r < 0)
		return r;
	if (max_rules && old->n_rules >= max_rules)
		r = -ENOSPC;
	else if (config_find_rule(old, parsed.rule->id))
		r = -EEXIST;
	if (r < 0) {
		rule_unref(parsed.rule);
		free(parsed.comment);
		return r;
	}
	rule_seal(parsed.rule, NULL);
	c = build_copy(old);
	build_add_rule(c, parsed.comment, parsed.rule);
	*ret_config = c;
	return 0;
}

static size_t line_position(const struct config *c, const struct rule *rule)
{
	size_t at = 0;

	while (c->lines[at].rule != rule)
		at++;
	return at;
}

int config_modify_rule(const struct config *old, const char *line, size_t len,
                       const struct config_resolver *resolver, struct diag_list *diags,
                       struct config **ret_config)
{
	struct config_line parsed = { 0 }, *place;
	struct config *c;
	size_t at;
	int r = parse_one(old, line, len, resolver, diags, &parsed);

	if (r < 0)
		return r;
	at = rule_position(old, parsed.rule->id);
	if (at == old->n_rules) {
		rule_unref(parsed.rule);
		free(parsed.comment);
		return -ENOENT;
	}
	rule_seal(parsed.rule, old->rules[at]);
	c = build_copy(old);
	place = &c->lines[line_position(c, c->rules[at])];
	rule_unref(c->rules[at]);
	c->rules[at] = parsed.rule;
	place->rule = parsed.rule;
	if (parsed.comment) {
		free(place->comment);
		place->comment = parsed.comment;
	}
	*ret_config = c;
	return 0;
}

int config_remove_rule(const struct config *old, const char *id,
                       struct config **ret_config)
{
	size_t at = rule_position(old, id), line;
	struct config *c;

	if (at == old->n_rules)
		return -ENOENT;
	c = build_copy(old);
	line = line_position(c, c->rules[at]);
	free(c->lines[line].comment);
	rule_unref(c->rules[at]);
	memmove(&c->rules[at], &c->rules[at + 1],
	        (--c->n_rules - at) * sizeof(c->rules[0]));
	memmove(&c->lines[line], &c->lines[line + 1],
	        (--c->n_lines - line) * sizeof(c->lines[0]));
	*ret_config = c;
	return 0;
}

const struct rule *config_find_rule(const struct config *c, const char *id)
{
	size_t at = rule_position(c, id);

	return at < c->n_rules ? c->rules[at] : NULL;
}
