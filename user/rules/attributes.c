// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * attributes.c - the table of attributes, and how a block of them is read.
 *
 * A block after a server has no counterpart in G5, which answers DIAG_BAD_SERVER to
 * its '('; so do all mistakes in one here.
 */
#include "rules/attributes.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "rules/alloc.h"
#include "rules/config.h"
#include "rules/lexer.h"
#include "rules/similar.h"
#include "rules/values.h"

#define WORKERS_MAX 1024

static const char *const datapath_words[] = { "auto", "copy", "splice", "bypass",
	                                      NULL };
static const char *const switch_words[] = { "off", "on", NULL };
static const char *const log_format_words[] = { "text", "json", NULL };
static const char *const log_words[] = { "stderr", "syslog", "none", NULL };

_Static_assert(ARRAY_SIZE(datapath_words) == DATAPATH_N + 1,
               "every datapath has a word");

#define ATTRIBUTE(type, member, attribute_name, attribute_scope, how)  \
	.name = attribute_name, .scope = attribute_scope, .read = how, \
	.offset = offsetof(struct type, member),                       \
	.size = sizeof(((struct type *)0)->member)
#define FLAG(member) .flag_offset = offsetof(struct config, member)
#define LIST(type, member, attribute_name, attribute_scope, how)            \
	.name = attribute_name, .scope = attribute_scope, .read_list = how, \
	.offset = offsetof(struct type, member), .flag_offset = VALUE_NO_FLAG
#define RATE(member, attribute_name)                                \
	ATTRIBUTE(config, member, attribute_name, ATTRIBUTE_GLOBAL, \
	          value_read_strict),                               \
	        .max = CONFIG_RATE_MAX, .flag_offset = VALUE_NO_FLAG

static const struct attribute attributes[] = {
	{ ATTRIBUTE(config, maxsessions_per_ip, "maxsessions_per_ip", ATTRIBUTE_GLOBAL,
	            value_read_lenient),
	  .max = INT64_MAX, .is_limit = true, .flag_offset = VALUE_NO_FLAG },
	{ ATTRIBUTE(config, workers, "workers", ATTRIBUTE_GLOBAL, value_read_strict),
	  .max = WORKERS_MAX, FLAG(has_workers) },
	{ ATTRIBUTE(config, log_target, "log", ATTRIBUTE_GLOBAL, value_read_log_target),
	  .words = log_words, FLAG(has_log) },
	{ ATTRIBUTE(config, log_format, "log_format", ATTRIBUTE_GLOBAL,
	            value_read_choice),
	  .words = log_format_words, FLAG(has_log_format) },
	{ ATTRIBUTE(config, grace_s, "grace", ATTRIBUTE_GLOBAL, value_read_strict),
	  .max = TIMEOUT_MAX_S, .unit = " seconds", FLAG(has_grace) },
	{ ATTRIBUTE(config, may_bypass, "bypass", ATTRIBUTE_GLOBAL, value_read_choice),
	  .words = switch_words, .flag_offset = VALUE_NO_FLAG },
	{ LIST(config, guard, "guard", ATTRIBUTE_GLOBAL, list_read_guard) },
	{ LIST(config, blocks, "block", ATTRIBUTE_GLOBAL, list_read_networks),
	  .has_addresses = true },
	{ RATE(syn_rate, "syn_rate"), .unit = " connections a second" },
	{ RATE(burst, "burst"), .unit = " connections" },
	{ RATE(listener_syn_rate, "listener_syn_rate"),
	  .unit = " connections a second" },
	{ RATE(listener_burst, "listener_burst"), .unit = " connections" },

	{ ATTRIBUTE(rule, timeout_s, "timeout", ATTRIBUTE_RULE, value_read_lenient),
	  .max = TIMEOUT_MAX_S, .unit = " seconds", .flag_offset = VALUE_NO_FLAG },
	{ ATTRIBUTE(rule, connect_timeout_s, "connect_timeout", ATTRIBUTE_RULE,
	            value_read_strict),
	  .max = TIMEOUT_MAX_S, .unit = " seconds", .flag_offset = VALUE_NO_FLAG },
	{ ATTRIBUTE(rule, fin_timeout_s, "fin_timeout", ATTRIBUTE_RULE,
	            value_read_strict),
	  .max = TIMEOUT_MAX_S, .unit = " seconds", .flag_offset = VALUE_NO_FLAG },
	{ ATTRIBUTE(rule, moratorium_s, "moratorium", ATTRIBUTE_RULE,
	            value_read_strict),
	  .max = TIMEOUT_MAX_S, .unit = " seconds", .flag_offset = VALUE_NO_FLAG },
	{ ATTRIBUTE(rule, datapath, "datapath", ATTRIBUTE_RULE, value_read_choice),
	  .words = datapath_words, .flag_offset = VALUE_NO_FLAG },
	{ ATTRIBUTE(rule, splice_limit, "splice_limit", ATTRIBUTE_RULE,
	            value_read_strict),
	  .min = RULE_SPLICE_LIMIT_MIN, .max = RULE_SPLICE_LIMIT_MAX, .unit = " bytes",
	  .flag_offset = VALUE_NO_FLAG },

	{ ATTRIBUTE(rule_client, maxclients, "maxclients", ATTRIBUTE_CLIENT,
	            value_read_lenient),
	  .max = INT64_MAX, .is_limit = true, .flag_offset = VALUE_NO_FLAG },

	{ ATTRIBUTE(rule_server, weight, "weight", ATTRIBUTE_SERVER, value_read_strict),
	  .max = SERVER_WEIGHT_MAX, .flag_offset = VALUE_NO_FLAG },
	{ ATTRIBUTE(rule_server, maxconns, "maxconns", ATTRIBUTE_SERVER,
	            value_read_strict),
	  .max = INT64_MAX, .flag_offset = VALUE_NO_FLAG },
};

static const struct {
	const char *name;
	const char *place;
} scopes[] = {
	[ATTRIBUTE_GLOBAL] = { "global", "on a line of its own" },
	[ATTRIBUTE_RULE] = { "rule", "between the mode and the first client" },
	[ATTRIBUTE_CLIENT] = { "client", "after a client" },
	[ATTRIBUTE_SERVER] = { "server", "after a server" },
};

_Static_assert(ARRAY_SIZE(scopes) == ATTRIBUTE_SCOPE_N, "every scope has its words");

const char *datapath_name(enum datapath datapath)
{
	assert(datapath < DATAPATH_N);

	return datapath_words[datapath];
}

static const struct attribute *find(const struct token *name, bool is_of_scope,
                                    enum attribute_scope scope)
{
	for (size_t i = 0; i < ARRAY_SIZE(attributes); i++)
		if (token_is(name, attributes[i].name) &&
		    (!is_of_scope || attributes[i].scope == scope))
			return &attributes[i];
	return NULL;
}

/* Every attribute that may stand here, for "expected ...". */
static void list_names(enum attribute_scope scope, char *text, size_t size)
{
	size_t at = (size_t)snprintf(text, size, "( NAME VALUE ) with NAME one of:");

	for (size_t i = 0; i < ARRAY_SIZE(attributes); i++)
		if (attributes[i].scope == scope && at < size)
			at += (size_t)snprintf(text + at, size - at, " %s",
			                       attributes[i].name);
}

void attributes_offer(enum attribute_scope scope, struct similar *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(attributes); i++)
		if (attributes[i].scope == scope)
			similar_offer(s, attributes[i].name);
}

static const char *nearest_name(const struct token *name, enum attribute_scope scope)
{
	struct similar s = { .text = name->text, .len = name->len };

	attributes_offer(scope, &s);
	return s.best;
}

/* Was a list surely meant? Then more than one value belongs to @name. */
static const struct attribute *find_meant_list(const struct token *name,
                                               enum attribute_scope scope)
{
	const char *nearest = nearest_name(name, scope);

	for (size_t i = 0; i < ARRAY_SIZE(attributes); i++)
		if (attributes[i].read_list && (token_is(name, attributes[i].name) ||
		                                attributes[i].name == nearest))
			return &attributes[i];
	return NULL;
}

static void report_unknown(const struct block *b, const struct token *name)
{
	const struct attribute *elsewhere = find(name, false, 0);
	const char *nearest = nearest_name(name, b->scope);
	char expected[256];

	list_names(b->scope, expected, sizeof(expected));
	if (elsewhere) {
		block_report(b, name->span, expected,
		             QUOTED " is a %s attribute: it stands %s: ( %s VALUE )",
		             QUOTE(*name), scopes[elsewhere->scope].name,
		             scopes[elsewhere->scope].place, elsewhere->name);
	} else if (nearest) {
		block_report(b, name->span, expected,
		             "no %s attribute is named " QUOTED
		             "; did you mean \"%s\"?",
		             scopes[b->scope].name, QUOTE(*name), nearest);
	} else {
		block_report(b, name->span, expected,
		             "no %s attribute is named " QUOTED, scopes[b->scope].name,
		             QUOTE(*name));
	}
}

/* "," "=" "timeout=5": blanks are all there is between names and values. */
static bool report_punctuation(const struct block *b, const struct token *t,
                               bool is_value)
{
	if (t->text[0] != ',' && t->text[0] != '=' &&
	    (is_value || !memchr(t->text, '=', t->len)))
		return false;
	block_report(b, t->span,
	             "blanks only between names and values: ( NAME VALUE NAME VALUE )",
	             "there is no '%c' in a block: " QUOTED,
	             t->text[0] == ',' ? ',' : '=', QUOTE(*t));
	return true;
}

/* Nothing of a block looks like this: its ')' was forgotten before it. */
static bool is_outside(const struct token *t)
{
	return token_is(t, "-") || token_is(t, ">") || token_is(t, ";") ||
	       token_is(t, "(");
}

static bool is_address(const struct token *t)
{
	return memchr(t->text, ':', t->len) != NULL;
}

/* A value that follows, if the next token can be one. */
static bool next_value(const struct block *b, struct token *ret_value)
{
	struct token next;

	if (!line_peek_token(b->line, &next) || token_is(&next, ")") ||
	    is_outside(&next) || find(&next, true, b->scope))
		return false;
	return line_next_token(b->line, ret_value);
}

/* The same, of a list. */
static bool next_of_list(const struct block *b, const struct attribute *a,
                         struct token *ret_value)
{
	struct token next;

	if (!a->has_addresses && line_peek_token(b->line, &next) && is_address(&next))
		return false;
	return next_value(b, ret_value);
}

/* Reports and cuts off a glued ')', which also ends the block. */
static bool is_last_glued(const struct block *b, struct token *t)
{
	if (t->len < 2 || t->text[t->len - 1] != ')')
		return false;
	block_report(b, t->span, "a blank before the ')'",
	             "the ')' must stand alone, not " QUOTED, QUOTE(*t));
	return true;
}

static bool skip_list(struct block *b, const struct attribute *a)
{
	struct token value;

	while (next_of_list(b, a, &value))
		if (value.text[value.len - 1] == ')')
			return false;
	return true;
}

/* The value of a name that is no good; false when the block ends with it. */
static bool skip_value(struct block *b)
{
	struct token value;

	if (!line_peek_token(b->line, &value) || is_address(&value) ||
	    !next_value(b, &value))
		return true;
	if (token_is(&value, "=") && !next_value(b, &value))
		return true;
	return value.text[value.len - 1] != ')';
}

/* "eth0, eth1" */
static bool report_comma(const struct block *b, const struct token *t)
{
	if (!memchr(t->text, ',', t->len))
		return false;
	block_report(b, t->span, "blanks only between the values of a list",
	             "there is no ',' in a block: " QUOTED, QUOTE(*t));
	return true;
}

/* A name and all that belongs to it; false when the block ends with that. */
static bool read_list(struct block *b, const struct attribute *a,
                      const struct token *name)
{
	auto_free struct token *values = NULL;
	size_t n = 0, n_errors = b->diags->n_errors;
	bool is_open = true;
	struct token value;

	while (is_open && next_of_list(b, a, &value)) {
		is_open = !is_last_glued(b, &value);
		if (!is_open)
			value = token_part(&value, 0, value.len - 1);
		if (!report_comma(b, &value) && !report_punctuation(b, &value, true)) {
			values = alloc_slot(values, n, sizeof(value));
			values[n++] = value;
		}
	}
	if (n > 0)
		a->read_list(b, a, name, values, n);
	else if (b->diags->n_errors == n_errors)
		block_report(b, name->span, "( NAME VALUE VALUE ... )",
		             "attribute " QUOTED " has no value", QUOTE(*name));
	return is_open;
}

/* One pair from its name on; false when the block ends with it. */
static bool read_pair(struct block *b, struct token *name)
{
	const struct attribute *a = find(name, true, b->scope);
	struct token value;

	if (is_last_glued(b, name))
		return false;
	if (!a) {
		if (report_punctuation(b, name, false))
			return true;
		report_unknown(b, name);
		a = find_meant_list(name, b->scope);
		return a ? skip_list(b, a) : skip_value(b);
	}
	if (a->read_list)
		return read_list(b, a, name);
	if (!next_value(b, &value)) {
		block_report(b, name->span, "( NAME VALUE )",
		             "attribute " QUOTED " has no value", QUOTE(*name));
		return true;
	}
	if (is_last_glued(b, &value))
		return false;
	if (report_punctuation(b, &value, true))
		return token_is(&value, "=") ? skip_value(b) : true;
	a->read(b, a, &value);
	if (a->flag_offset != VALUE_NO_FLAG)
		*((bool *)b->target + a->flag_offset) = true;
	return true;
}

bool attributes_parse(enum attribute_scope scope, void *target, struct line *line,
                      struct diag_list *diags)
{
	struct block b = {
		.scope = scope, .target = target, .line = line, .diags = diags
	};
	size_t n_errors = diags->n_errors;
	struct token t;

	while (line_peek_token(line, &t)) {
		if (is_outside(&t) || (is_address(&t) && !find(&t, true, scope))) {
			block_report(&b, t.span,
			             "( NAME VALUE ) with blanks around each",
			             "the block has no ')' before " QUOTED, QUOTE(t));
			return false;
		}
		line_next_token(line, &t);
		if (token_is(&t, ")") || !read_pair(&b, &t))
			return true;
	}
	/* A line that ends in a mistake has had its say. */
	if (diags->n_errors == n_errors)
		block_report(&b, line_end_span(line), "a ')' with blanks around it",
		             "the block has no ')' before the line ends");
	return false;
}

void attributes_skip(struct line *line)
{
	struct token t;

	while (line_peek_token(line, &t)) {
		if (token_is(&t, "-") || token_is(&t, ">") || token_is(&t, ";"))
			return;
		line_next_token(line, &t);
		if (t.text[t.len - 1] == ')')
			return;
	}
}
