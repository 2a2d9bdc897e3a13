// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * config.c - makes a configuration from a file.
 *
 * Rules are sealed only when the whole text was right, so a file with a mistake
 * leaves no trace: no states, no version used up.
 */
#include "rules/config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "rules/attributes.h"
#include "rules/build.h"
#include "rules/lexer.h"
#include "rules/names.h"
#include "rules/parse.h"
#include "rules/rule.h"

/* A burst needs its rate, which another line may have. */
struct burst {
	const char *name, *rate_name;
	struct diag_span span; /* of its name, where it stands last */
	bool has_rate;         /* named, with a good value or a bad one */
};

struct reader {
	struct parse_env env;
	struct config *config;
	struct names ids;
	size_t max_rules;
	size_t n_rule_lines; /* good and bad */
	bool is_open;        /* the last rule was not ended on its line */
	struct burst source, listener;
};

static void remember_burst(struct burst *burst, struct line line)
{
	struct token t;

	while (line_next_token(&line, &t)) {
		if (token_is(&t, burst->name))
			burst->span = t.span;
		burst->has_rate = burst->has_rate || token_is(&t, burst->rate_name);
	}
}

/* @is_good: nothing else is wrong; if not, it may be the rate that is. */
static void report_burst(const struct burst *burst, uint32_t n, uint32_t rate,
                         bool is_good, struct diag_list *diags)
{
	if (n > 0 && rate == 0 && (is_good || !burst->has_rate))
		diag_add(diags, DIAG_ERROR, DIAG_ATTRIBUTE, burst->span, NULL,
		         "%s needs a %s: ( %s N %s M )", burst->name, burst->rate_name,
		         burst->rate_name, burst->name);
}

/* Its values are kept elsewhere; only a comment makes it a line that stays. */
static void read_global(struct reader *r, struct line *line)
{
	struct token open;
	char *comment = build_comment(line);

	line_next_token(line, &open);
	remember_burst(&r->source, *line);
	remember_burst(&r->listener, *line);
	if (attributes_parse(ATTRIBUTE_GLOBAL, r->config, line, r->env.diags))
		parse_warn_of_rest(line, ")", r->env.diags);
	if (comment)
		build_add_line(r->config, comment, NULL);
}

static void read_rule(struct reader *r, struct line *line, const struct token *id)
{
	char *comment = build_comment(line);
	struct rule *rule;

	if (r->max_rules && r->n_rule_lines++ == r->max_rules)
		diag_add(r->env.diags, DIAG_ERROR, DIAG_OTHER, id->span, NULL,
		         "too many forward rules: \"%.*s\" is over the maximum of %zu",
		         (int)(id->len > RULE_ID_MAX ? RULE_ID_MAX : id->len), id->text,
		         r->max_rules);
	rule = parse_rule(&r->env, line, &r->is_open);
	if (rule)
		build_add_rule(r->config, comment, rule);
	else
		free(comment);
}

/* A file of an old Mac is one line to us; its comment would hide all of it. */
static void warn_of_cr(struct diag_list *diags, const struct line *line)
{
	size_t len;
	const char *comment = line_comment(line, &len);
	const char *cr = comment ? memchr(comment, '\r', len) : NULL;

	if (cr)
		diag_add(diags, DIAG_WARNING, DIAG_OTHER, line_span(line, cr, 1), NULL,
		         "a CR alone does not end a line: the rest is still comment");
}

static void read_line(struct reader *r, struct line *line)
{
	struct token first;

	if (build_report_nul(r->env.diags, line))
		return;
	if (!line_peek_token(line, &first)) {
		build_add_line(r->config, build_comment(line), NULL);
		return;
	}
	if (r->is_open && parse_is_continuation(line))
		return; /* what is wrong was said where the rule starts */
	r->is_open = false;
	if (token_is(&first, "("))
		read_global(r, line);
	else
		read_rule(r, line, &first);
}

static void seal(struct config *c, const struct config *old)
{
	struct names ids = { 0 };

	for (size_t i = 0; old && i < old->n_rules; i++)
		names_add(&ids, old->rules[i]->id, strlen(old->rules[i]->id))->ptr =
		        old->rules[i];
	for (size_t i = 0; i < c->n_rules; i++) {
		const struct name *name = names_find(&ids, c->rules[i]->id,
		                                     strlen(c->rules[i]->id));

		rule_seal(c->rules[i], name ? name->ptr : NULL);
	}
	names_fini(&ids);
}

int config_parse(const char *text, size_t len, size_t max_rules,
                 const struct config *old, const struct config_resolver *resolver,
                 struct diag_list *diags, struct config **ret_config)
{
	struct lexer lexer = { .text = text, .len = len };
	struct reader r = {
		.env = { .old = old, .resolver = resolver, .diags = diags },
		.config = build_new(),
		.max_rules = max_rules,
		.source = { .name = "burst", .rate_name = "syn_rate" },
		.listener = { .name = "listener_burst",
		              .rate_name = "listener_syn_rate" },
	};
	size_t n_errors = diags->n_errors;
	struct line line;
	bool is_good;

	r.env.ids = &r.ids;
	while (lexer_next_line(&lexer, &line)) {
		read_line(&r, &line);
		warn_of_cr(diags, &line);
	}
	names_fini(&r.ids);
	is_good = diags->n_errors == n_errors;
	report_burst(&r.source, r.config->burst, r.config->syn_rate, is_good, diags);
	report_burst(&r.listener, r.config->listener_burst, r.config->listener_syn_rate,
	             is_good, diags);

	if (diags->n_errors > n_errors) {
		config_free(r.config);
		return -EINVAL;
	}
	seal(r.config, old);
	*ret_config = r.config;
	return 0;
}

void config_publish_versions(const struct config *c, const struct config *old)
{
	struct names ids = { 0 };

	for (size_t i = 0; i < c->n_rules; i++) {
		const struct rule *rule = c->rules[i];

		names_add(&ids, rule->id, strlen(rule->id));
		__atomic_store_n(&rule->state->version, rule->version,
		                 __ATOMIC_RELEASE);
	}
	for (size_t i = 0; old && i < old->n_rules; i++) {
		const struct rule *rule = old->rules[i];

		if (!names_find(&ids, rule->id, strlen(rule->id)))
			__atomic_store_n(&rule->state->version, rule_new_version(),
			                 __ATOMIC_RELEASE);
	}
	names_fini(&ids);
}
