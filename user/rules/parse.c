// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * parse.c - reads the id and the mode of a rule, and sees what a line is meant for.
 *
 * A line that is no rule at all (a comment of another language, prose) gets one
 * message, not one for each of its words.
 */
#include "rules/parse.h"

#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "rules/alloc.h"
#include "rules/config.h"
#include "rules/names.h"
#include "rules/rule.h"
#include "rules/sections.h"

#define SHAPE "ID MODE CLIENT ... - FORWARD ... > SERVER ... ;"
#define MODES "one of the modes G MS RR LC RT RD HS; RR takes the servers in turn"
#define MODE_LEN 2

static const char *const mode_names[] = {
	[RULE_MODE_G] = "G",   [RULE_MODE_MS] = "MS", [RULE_MODE_RR] = "RR",
	[RULE_MODE_LC] = "LC", [RULE_MODE_RT] = "RT", [RULE_MODE_RD] = "RD",
	[RULE_MODE_HS] = "HS",
};

_Static_assert(ARRAY_SIZE(mode_names) == RULE_MODE_N, "every mode has a name");

const char *rule_mode_name(enum rule_mode mode)
{
	return mode_names[mode];
}

int rule_mode_from_name(const char *name, size_t len)
{
	for (int i = 0; i < RULE_MODE_N; i++)
		if (strlen(mode_names[i]) == len &&
		    memcmp(mode_names[i], name, len) == 0)
			return i;
	return -1;
}

static const char *nearest_mode(const struct token *t)
{
	for (int i = 0; i < RULE_MODE_N; i++)
		if (strlen(mode_names[i]) == t->len &&
		    strncasecmp(mode_names[i], t->text, t->len) == 0)
			return mode_names[i];
	return NULL;
}

static bool starts_with(const struct token *t, const char *text)
{
	return t->len >= strlen(text) && memcmp(t->text, text, strlen(text)) == 0;
}

static bool is_foreign_comment(const struct token *t)
{
	return starts_with(t, "//") || starts_with(t, "/*");
}

static bool is_separator(const struct token *t)
{
	return token_is(t, "-") || token_is(t, ">") || token_is(t, ";");
}

static bool is_mode(const struct token *t)
{
	return rule_mode_from_name(t->text, t->len) >= 0;
}

/* Whether a line without a mode was meant as a rule all the same. */
static bool has_rule_shape(const struct line *line)
{
	struct line ahead = *line;
	struct token t;

	while (line_next_token(&ahead, &t))
		if (is_separator(&t) || token_is(&t, "->"))
			return true;
	return false;
}

bool parse_is_continuation(const struct line *line)
{
	struct line ahead = *line;
	struct token first, second;

	if (!line_next_token(&ahead, &first))
		return false;
	if (line_next_token(&ahead, &second) && is_mode(&second))
		return false;
	return is_separator(&first) || memchr(first.text, ':', first.len);
}

void parse_warn_of_rest(struct line *line, const char *end, struct diag_list *diags)
{
	size_t from = line->at;
	struct token first, second;
	struct line ahead;
	const char *why = "";

	if (!line_next_token(line, &first))
		return;
	ahead = *line;
	if (line_next_token(&ahead, &second) && is_mode(&second))
		why = ": a second rule needs a line of its own";
	if (memchr(line->text + from, '\r', (size_t)(first.text - line->text) - from))
		why = ": a CR alone does not end a line, LF or CR LF does";
	diag_add(diags, DIAG_WARNING, DIAG_OTHER, first.span, NULL,
	         "the text after '%s' is ignored, from " QUOTED " on%s", end,
	         QUOTE(first), why);
}

static void report_id(const struct parse_env *env, const struct token *id)
{
	static const char *const signs[] = { ";", "-", ">", ")", "->" };
	struct name *name;

	/* A file that has it is read as one with a global block. */
	if (token_is(id, "("))
		diag_add(env->diags, DIAG_ERROR, DIAG_OTHER, id->span, SHAPE,
		         "a rule cannot have the id \"(\": it starts a global block");
	if (id->len > RULE_ID_MAX)
		diag_add(env->diags, DIAG_ERROR, DIAG_ID_TOO_LONG, id->span,
		         "at most 64 bytes", "rule id " QUOTED " has %zu bytes",
		         QUOTE(*id), id->len);
	for (size_t i = 0; i < ARRAY_SIZE(signs); i++)
		if (token_is(id, signs[i]))
			diag_add(env->diags, DIAG_WARNING, DIAG_OTHER, id->span, SHAPE,
			         "%s is taken for the id of a rule", signs[i]);
	if (is_foreign_comment(id))
		diag_add(env->diags, DIAG_WARNING, DIAG_OTHER, id->span, NULL,
		         QUOTED
		         " is taken for the id of a rule: comments start with '#'",
		         QUOTE(*id));
	if (!env->ids)
		return;

	name = names_add(env->ids, id->text, id->len);
	if (!name->number)
		name->number = id->span.line;
	else
		diag_add(env->diags, DIAG_ERROR, DIAG_DUPLICATE_ID, id->span,
		         "an id of its own for each rule",
		         "rule id " QUOTED " is used already, in line %u", QUOTE(*id),
		         name->number);
}

/* Of a line that has no mode where one should be. */
static void report_mode(const struct parse_env *env, const struct token *id,
                        const struct token *mode)
{
	enum diag_code code = mode->len > MODE_LEN ? DIAG_MODE_TOO_LONG
	                                           : DIAG_UNKNOWN_MODE;
	const char *nearest = nearest_mode(mode);

	if (is_foreign_comment(id))
		diag_add(env->diags, DIAG_ERROR, code, id->span, NULL,
		         "comments start with '#', not with " QUOTED, QUOTE(*id));
	else if (token_is(id, "("))
		diag_add(env->diags, DIAG_ERROR, code, id->span, SHAPE,
		         "a rule is wanted here, not a global block");
	else if (id->text[0] == '(')
		diag_add(env->diags, DIAG_ERROR, code, id->span, "( NAME VALUE )",
		         "the '(' must stand alone, with a blank after it, not as "
		         "in " QUOTED,
		         QUOTE(*id));
	else if (memchr(mode->text, ':', mode->len) || is_separator(mode) ||
	         mode->text[0] == '(')
		diag_add(env->diags, DIAG_ERROR, code, mode->span, MODES,
		         "there is no mode between the id and " QUOTED, QUOTE(*mode));
	else if (nearest)
		diag_add(env->diags, DIAG_ERROR, code, mode->span, MODES,
		         "unknown mode " QUOTED "; did you mean \"%s\"?", QUOTE(*mode),
		         nearest);
	else
		diag_add(env->diags, DIAG_ERROR, code, mode->span, MODES,
		         "unknown mode " QUOTED, QUOTE(*mode));
}

/* Where the rest of the rule starts: at the mode itself if that was left out. */
static bool read_mode(const struct parse_env *env, struct line *line,
                      const struct token *id, struct rule *rule, bool *ret_is_known)
{
	struct token mode;
	size_t at = line->at;

	if (!line_next_token(line, &mode)) {
		if (is_foreign_comment(id))
			diag_add(env->diags, DIAG_ERROR, DIAG_NO_MODE, id->span, NULL,
			         "comments start with '#', not with " QUOTED,
			         QUOTE(*id));
		else
			diag_add(env->diags, DIAG_ERROR, DIAG_NO_MODE,
			         line_end_span(line), SHAPE,
			         "rule " QUOTED " has no mode", QUOTE(*id));
		return false;
	}
	*ret_is_known = is_mode(&mode);
	if (*ret_is_known) {
		report_id(env, id);
		rule->mode = (enum rule_mode)rule_mode_from_name(mode.text, mode.len);
		return true;
	}
	if (is_foreign_comment(id) || id->text[0] == '(' || !has_rule_shape(line)) {
		report_mode(env, id, &mode);
		return false;
	}
	report_id(env, id);
	report_mode(env, id, &mode);
	if (memchr(mode.text, ':', mode.len) || is_separator(&mode) ||
	    token_is(&mode, "("))
		line->at = at;
	return true;
}

struct rule *parse_rule(const struct parse_env *env, struct line *line,
                        bool *ret_is_open)
{
	struct rule *rule = rule_new();
	size_t n_errors = env->diags->n_errors;
	bool is_mode_known = false;
	struct token id;

	*ret_is_open = false;
	if (!line_next_token(line, &id)) {
		diag_add(env->diags, DIAG_ERROR, DIAG_NO_MODE, line_end_span(line),
		         SHAPE, "there is no rule");
	} else {
		rule->id = alloc_text(id.text, id.len);
		if (read_mode(env, line, &id, rule, &is_mode_known))
			*ret_is_open = !sections_parse(env, line, rule, is_mode_known);
	}
	if (env->diags->n_errors == n_errors)
		return rule;
	rule_unref(rule);
	return NULL;
}
