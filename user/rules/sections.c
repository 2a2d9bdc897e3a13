// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * sections.c - the structure of a rule: clients - forwards > servers ;
 *
 * After a mistake reading goes on, so that all of a line's mistakes are reported at
 * once; but punctuation that is wrong leaves it open what was meant by the rest, and
 * then nothing is said to be missing.
 */
#include "rules/sections.h"

#include <string.h>

#include "rules/attributes.h"
#include "rules/config.h"
#include "rules/parse.h"
#include "rules/parts.h"

#define SHAPE "ID MODE CLIENT ... - FORWARD ... > SERVER ... ;"
#define SHAPE_G "ID G CLIENT ... - FORWARD ;"

enum section { CLIENTS, FORWARDS, SERVERS };

static const struct {
	const char *name;
	enum diag_code missing, bad;
} sections[] = {
	[CLIENTS] = { "client", DIAG_NO_CLIENT, DIAG_BAD_CLIENT },
	[FORWARDS] = { "forward", DIAG_NO_FORWARD, DIAG_BAD_FORWARD },
	[SERVERS] = { "server", DIAG_NO_SERVER, DIAG_BAD_SERVER },
};

struct reader {
	const struct parse_env *env;
	struct line *line;
	struct rule *rule;
	struct parts parts;
	enum section section;
	size_t n_tried;    /* addresses of this section, good and bad */
	bool is_last_good; /* the last of them was added: an attribute is for it */
	bool has_mode;     /* the mode is known */
	bool is_confused;  /* wrong punctuation was reported */
	bool is_ended;     /* the ';' was there */
};

#define report_error(p, code, span, expected, ...) \
	diag_add((p)->env->diags, DIAG_ERROR, code, span, expected, __VA_ARGS__)
#define report_warning(p, code, span, expected, ...) \
	diag_add((p)->env->diags, DIAG_WARNING, code, span, expected, __VA_ARGS__)

static const char *shape(const struct reader *p)
{
	return p->has_mode && p->rule->mode == RULE_MODE_G ? SHAPE_G : SHAPE;
}

/* An address from here on is read in another section. */
static void enter(struct reader *p, enum section section)
{
	if (p->section == CLIENTS && !p->n_tried && !p->is_confused)
		report_warning(p, DIAG_NO_CLIENT, line_end_span(p->line),
		               "a client such as *:* for everyone",
		               "the rule has no client: it never serves anyone");
	p->section = section;
	p->n_tried = 0;
	p->is_last_good = false;
}

static void add_address(struct reader *p, const struct token *t)
{
	struct rule *rule = p->rule;
	size_t n_before = rule->n_clients + rule->n_forwards + rule->n_servers;

	if (p->section == CLIENTS)
		parts_add_client(&p->parts, t);
	else if (p->section == FORWARDS)
		parts_add_forward(&p->parts, t, !p->n_tried);
	else
		parts_add_server(&p->parts, t);
	p->n_tried++;
	p->is_last_good = rule->n_clients + rule->n_forwards + rule->n_servers >
	                  n_before;
}

static void read_block(struct reader *p, const struct token *open)
{
	struct rule *rule = p->rule;
	struct diag_list *diags = p->env->diags;
	/* A block after an address that was refused is checked all the same. */
	struct rule_client client = { 0 };
	struct rule_server server = { 0 };

	if (p->section == FORWARDS || (p->section == SERVERS && !p->n_tried)) {
		report_error(p, sections[p->section].bad, open->span,
		             p->section == FORWARDS
		                     ? "attributes after the mode, a client or a server"
		                     : "attributes after the server they are for",
		             "attributes cannot stand here");
		attributes_skip(p->line);
	} else if (p->section == SERVERS) {
		attributes_parse(ATTRIBUTE_SERVER,
		                 p->is_last_good ? &rule->servers[rule->n_servers - 1]
		                                 : &server,
		                 p->line, diags);
	} else if (!p->n_tried) {
		attributes_parse(ATTRIBUTE_RULE, rule, p->line, diags);
	} else {
		attributes_parse(ATTRIBUTE_CLIENT,
		                 p->is_last_good ? &rule->clients[rule->n_clients - 1]
		                                 : &client,
		                 p->line, diags);
	}
}

static void read_arrow(struct reader *p, const struct token *t)
{
	if (!p->is_confused)
		report_error(
		        p, sections[p->section].bad, t->span, shape(p),
		        "there is no \"->\": '-' and '>' stand alone, as in clients - "
		        "forwards > servers ;");
	p->is_confused = true;
	if (p->section != SERVERS)
		enter(p, p->section + 1);
}

static void read_separator(struct reader *p, const struct token *t)
{
	bool is_dash = t->text[0] == '-';

	if (p->section == CLIENTS && is_dash) {
		enter(p, FORWARDS);
	} else if (p->section == FORWARDS && !is_dash) {
		if (!p->n_tried && !p->is_confused)
			report_error(p, DIAG_WITHOUT_FORWARD, t->span, shape(p),
			             "the rule has no forward between '-' and '>'");
		enter(p, SERVERS);
	} else if (p->section == CLIENTS) {
		report_error(p, DIAG_BAD_CLIENT, t->span, shape(p),
		             "there is no '-' before '>'");
		p->is_confused = true;
		enter(p, SERVERS);
	} else {
		report_error(p, sections[p->section].bad, t->span, shape(p),
		             "a second '%c'", t->text[0]);
	}
}

static void warn_of_idle(const struct reader *p, struct diag_span span)
{
	const struct rule *rule = p->rule;

	for (size_t i = 0; i < rule->n_servers; i++)
		if (rule->servers[i].weight)
			return;
	if (rule->n_servers)
		report_warning(p, DIAG_BAD_SERVER, span, "a weight from 1 on",
		               "each server has weight 0: none gets a session");
}

/* The ';'. Each section that should have come and did not has its own number. */
static void finish(struct reader *p, struct diag_span span)
{
	bool is_g = p->has_mode && p->rule->mode == RULE_MODE_G;
	bool needs_server = p->has_mode && !is_g;

	p->is_ended = true;
	if (!p->is_confused) {
		if (p->section == CLIENTS)
			report_error(p, DIAG_WITHOUT_FORWARD, span, shape(p),
			             "the rule ends before its '-': it has no forward");
		else if (p->section == FORWARDS && !p->n_tried)
			report_error(p, DIAG_WITHOUT_FORWARD, span, shape(p),
			             "the rule has no forward after '-'");
		else if (p->section == FORWARDS && needs_server)
			report_error(p, DIAG_WITHOUT_SERVER, span, shape(p),
			             "the rule ends before its '>': it has no server");
		else if (p->section == SERVERS && !p->n_tried && needs_server)
			report_error(p, DIAG_WITHOUT_SERVER, span, shape(p),
			             "the rule has no server after '>'");
	}
	warn_of_idle(p, span);
	parse_warn_of_rest(p->line, ";", p->env->diags);
}

/* Of another token, inside this one. */
static const char *find_punctuation(const struct token *t)
{
	for (size_t i = 0; i < t->len; i++)
		if (strchr("()>;", t->text[i]))
			return &t->text[i];
	return NULL;
}

static bool is_address(const struct token *t)
{
	return t->len && !find_punctuation(t) && t->text[0] != '-' &&
	       t->text[t->len - 1] != '-';
}

/* Counts as an address, so that none is said to be missing. */
static void skip_address(struct reader *p)
{
	p->n_tried++;
	p->is_last_good = false;
}

static void add_rest(struct reader *p, const struct token *t)
{
	if (is_address(t))
		add_address(p, t);
	else
		skip_address(p);
}

static void report_glued(struct reader *p, const struct token *t, char c)
{
	enum diag_code code = c == ';' ? sections[p->section].missing
	                               : sections[p->section].bad;

	report_error(p, code, t->span, shape(p),
	             "the '%c' must stand alone, with %s, not as in " QUOTED, c,
	             c == ';' || c == ')' ? "a blank before it"
	             : c == '('           ? "a blank after it"
	                                  : "blanks around it",
	             QUOTE(*t));
	p->is_confused = true;
}

/* "S;" "(timeout" "-F" ">S" "F>" "F>S": reports, then reads what was surely meant. */
static bool read_glued(struct reader *p, const struct token *t)
{
	char first = t->text[0], last = t->text[t->len - 1];
	struct token head = token_part(t, 0, t->len - 1);
	struct token tail = token_part(t, 1, t->len - 1);
	const char *inner;

	if (last == ';') {
		report_glued(p, t, last);
		add_rest(p, &head);
		finish(p, t->span);
	} else if (first == '(') {
		report_glued(p, t, first);
		if (last != ')')
			attributes_skip(p->line);
	} else if (first == '-' || first == '>') {
		report_glued(p, t, first);
		if (p->section != SERVERS)
			enter(p, first == '-' ? FORWARDS : SERVERS);
		add_rest(p, &tail);
	} else if (last == '-' || last == '>') {
		report_glued(p, t, last);
		add_rest(p, &head);
		if (p->section != SERVERS)
			enter(p, last == '-' ? FORWARDS : SERVERS);
	} else {
		inner = find_punctuation(t);
		if (!inner)
			return false;
		report_glued(p, t, *inner);
		skip_address(p);
	}
	return true;
}

static void read_token(struct reader *p, const struct token *t)
{
	if (token_is(t, ";")) {
		finish(p, t->span);
	} else if (p->section == SERVERS && p->has_mode &&
	           p->rule->mode == RULE_MODE_G) {
		if (!p->n_tried++)
			report_error(p, DIAG_G_WITH_SERVER, t->span, SHAPE_G,
			             "a rule of mode G has no server: " QUOTED,
			             QUOTE(*t));
	} else if (token_is(t, "(")) {
		read_block(p, t);
	} else if (token_is(t, "-") || token_is(t, ">")) {
		read_separator(p, t);
	} else if (token_is(t, "->")) {
		read_arrow(p, t);
	} else if (token_is(t, ")")) {
		report_error(p, sections[p->section].bad, t->span, "( NAME VALUE )",
		             "a ')' without its '('");
	} else if (token_is(t, ",") || token_is(t, "=")) {
		report_error(p, sections[p->section].bad, t->span, shape(p),
		             "there is no '%c' in a rule: blanks separate addresses",
		             t->text[0]);
	} else if (t->len == 1 || !read_glued(p, t)) {
		add_address(p, t);
	}
}

bool sections_parse(const struct parse_env *env, struct line *line, struct rule *rule,
                    bool has_mode)
{
	struct reader p = {
		.env = env,
		.line = line,
		.rule = rule,
		.parts = { .env = env, .rule = rule },
		.has_mode = has_mode,
	};
	struct token t;

	while (!p.is_ended && line_next_token(line, &t))
		read_token(&p, &t);
	if (!p.is_ended)
		report_error(
		        &p, sections[p.section].missing, line_end_span(line), shape(&p),
		        "the line ends before the ';' of its rule; another %s or the "
		        "rest of the rule must stand here, on the same line",
		        sections[p.section].name);
	parts_fini(&p.parts);
	return p.is_ended;
}
