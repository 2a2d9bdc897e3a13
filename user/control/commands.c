// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* commands.c - see commands.h. */
#include "control/commands.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "control/file.h"
#include "control/invocation.h"
#include "control/settings.h"
#include "control/version.h"
#include "rules/config.h"
#include "rules/format.h"
#include "rules/lexer.h"

#define RULES_AT_ONCE 64

struct command {
	const char *words[2]; /* the second may be NULL */
	enum command_result (*run)(struct invocation *i);
};

static const struct config *config_of(const struct invocation *i)
{
	return i->commands->ops->get_config(i->commands->ctx);
}

static enum command_result show_help(struct invocation *i)
{
	/* G5's eight lines, scripts may count them; what it forgot is at their ends. */
	fputs("ver" LINE_END "list rules (also: list guard)" LINE_END
	      "add rule ... (also: block IP/BITS [SECONDS])" LINE_END
	      "modify rule ..." LINE_END
	      "remove rule ... (also: unblock IP/BITS)" LINE_END
	      "dump rule (spelt: dump rules)" LINE_END
	      "list forwards (also: clean forwards)" LINE_END "quit" LINE_END,
	      i->out);
	return COMMAND_DONE;
}

static enum command_result show_version(struct invocation *i)
{
	const char *text;

	fputs("version ", i->out);
	version_print(i->out, i->commands->settings);
	text = i->commands->ops->get_splice_text(i->commands->ctx);
	if (text[0] != '\0')
		fprintf(i->out, " splice=\"%s\"", text);
	text = i->commands->ops->get_bypass_text(i->commands->ctx);
	if (text[0] != '\0')
		fprintf(i->out, " bypass=\"%s\"", text);
	text = i->commands->ops->get_guard_text(i->commands->ctx);
	if (text[0] != '\0')
		fprintf(i->out, " guard=\"%s\"", text);
	fputs(LINE_END, i->out);
	return COMMAND_DONE;
}

static enum command_result list_rules(struct invocation *i)
{
	const struct config *config = config_of(i);
	struct listing *at = i->listing;

	for (int n = 0; n < RULES_AT_ONCE && at->next < config->n_rules; n++) {
		fprintf(i->out, "%6u : ", ++at->n_lines);
		format_rule(i->out, config->rules[at->next++], true);
		fputs(LINE_END, i->out);
	}
	return at->next < config->n_rules ? COMMAND_MORE : COMMAND_DONE;
}

static enum command_result list_forwards(struct invocation *i)
{
	const struct commands *c = i->commands;

	return c->ops->list_forwards(c->ctx, i->out, i->listing) ? COMMAND_MORE
	                                                         : COMMAND_DONE;
}

/*
 * The rule that follows the command's words; not moved over. Return: its id, with
 * the rest of the line from there on; without an id, false, and it was answered.
 */
static bool get_rule(struct invocation *i, struct token *ret_id, size_t *ret_len)
{
	struct token id;

	if (!line_peek_token(&i->line, &id)) {
		fprintf(i->out,
		        "parse forward rule failed[%d] column %zu: there is no rule "
		        "id" LINE_END,
		        DIAG_NO_MODE, i->line.at + 1);
		return false;
	}
	*ret_id = id;
	*ret_len = (size_t)(i->line.text + i->line.len - id.text);
	return true;
}

/* Columns are counted in the line as the client sent it. */
static void put_parse_failure(struct invocation *i, const struct token *id,
                              const struct diag_list *diags)
{
	const struct diag *d = diag_first_error(diags);

	assert(d);
	fprintf(i->out, "parse forward rule failed[%d] column %zu: %s", d->code,
	        (size_t)(id->text - i->line.text) + d->column, d->message);
	if (d->expected)
		fprintf(i->out, "; expected %s", d->expected);
	if (diags->n_errors > 1)
		fprintf(i->out, " (and %zu more)", diags->n_errors - 1);
	fputs(LINE_END, i->out);
}

static void log_warnings(const struct invocation *i, const struct diag_list *diags)
{
	for (size_t n = 0; n < diags->n_items; n++)
		if (diags->items[n].severity == DIAG_WARNING)
			log_warning("management client %s: %s", i->peer,
			            diags->items[n].message);
}

/* The last step of each change. @code: G5's number for "cannot be put in force" */
static void apply(struct invocation *i, const char *verb, struct config *config,
                  int code, const struct token *id)
{
	char reason[COMMANDS_REASON_LEN] = "";
	int r = i->commands->ops->apply(i->commands->ctx, config, reason);

	if (r < 0) {
		fprintf(i->out, "%s forward rule failed[%d] %s" LINE_END, verb, code,
		        reason);
		return;
	}
	fprintf(i->out, "%s forward rule ok" LINE_END, verb);
	log_info("management client %s: %s rule " QUOTED, i->peer, verb, QUOTE(*id));
}

static void add_parsed(struct invocation *i, const struct token *id, size_t len,
                       struct diag_list *diags)
{
	const struct commands *c = i->commands;
	struct config *config;
	int r;

	r = config_add_rule(config_of(i), id->text, len, c->settings->max_rules,
	                    c->resolver, diags, &config);
	log_warnings(i, diags);
	if (r == -EINVAL)
		put_parse_failure(i, id, diags);
	else if (r < 0)
		fprintf(i->out, "add forward rule failed[%d]" LINE_END,
		        r == -EEXIST ? DIAG_DUPLICATE_ID : DIAG_OTHER);
	else
		apply(i, "add", config, DIAG_BIND, id);
}

static enum command_result add_rule(struct invocation *i)
{
	struct diag_list diags = { 0 };
	struct token id;
	size_t len;

	if (!get_rule(i, &id, &len))
		return COMMAND_DONE;
	add_parsed(i, &id, len, &diags);
	diag_list_fini(&diags);
	return COMMAND_DONE;
}

static void modify_parsed(struct invocation *i, const struct token *id, size_t len,
                          struct diag_list *diags)
{
	struct config *config;
	int r;

	r = config_modify_rule(config_of(i), id->text, len, i->commands->resolver,
	                       diags, &config);
	log_warnings(i, diags);
	if (r == -EINVAL)
		put_parse_failure(i, id, diags);
	else if (r < 0)
		fputs("modify forward rule failed[-1]" LINE_END, i->out);
	else
		apply(i, "modify", config, -2, id);
}

static enum command_result modify_rule(struct invocation *i)
{
	struct diag_list diags = { 0 };
	struct token id;
	size_t len;

	if (!get_rule(i, &id, &len))
		return COMMAND_DONE;
	modify_parsed(i, &id, len, &diags);
	diag_list_fini(&diags);
	return COMMAND_DONE;
}

static enum command_result remove_rule(struct invocation *i)
{
	const struct config *old = config_of(i);
	auto_free char *text = NULL;
	struct config *config;
	struct token id;

	if (!line_peek_token(&i->line, &id)) {
		fputs("remove forward rule failed[-2] no rule id" LINE_END, i->out);
		return COMMAND_DONE;
	}
	text = strndup(id.text, id.len);
	if (!text || config_remove_rule(old, text, &config) < 0)
		fprintf(i->out, "remove forward rule failed[%d]" LINE_END,
		        old->n_rules ? -2 : -1);
	else
		apply(i, "remove", config, -3, &id);
	return COMMAND_DONE;
}

static enum command_result dump_rules(struct invocation *i)
{
	int r = i->commands->ops->dump(i->commands->ctx);

	if (r < 0) {
		fprintf(i->out, "can't open config file for writing: %s" LINE_END,
		        file_reason(r));
		return COMMAND_DONE;
	}
	fputs("dump all forward rules ok" LINE_END, i->out);
	log_info("management client %s: dump rules", i->peer);
	return COMMAND_DONE;
}

static enum command_result clean_forwards(struct invocation *i)
{
	i->commands->ops->clean(i->commands->ctx);
	fputs("clean forwards ok" LINE_END, i->out);
	return COMMAND_DONE;
}

static enum command_result quit(struct invocation *i)
{
	(void)i;
	return COMMAND_QUIT;
}

static const struct command table[] = {
	{ { "?" }, show_help },
	{ { "ver" }, show_version },
	{ { "list", "rules" }, list_rules },
	{ { "list", "forwards" }, list_forwards },
	{ { "list", "guard" }, command_list_guard },
	{ { "add", "rule" }, add_rule },
	{ { "modify", "rule" }, modify_rule },
	{ { "remove", "rule" }, remove_rule },
	{ { "dump", "rules" }, dump_rules },
	{ { "clean", "forwards" }, clean_forwards },
	{ { "block" }, command_block },
	{ { "unblock" }, command_unblock },
	{ { "quit" }, quit },
};

/* Moves over the words of the command that it finds. */
static const struct command *find_command(struct line *line)
{
	struct token words[2] = { { .len = 0 } };
	struct line after_first;

	if (!line_next_token(line, &words[0]))
		return NULL;
	after_first = *line;
	line_next_token(line, &words[1]);

	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (!token_is(&words[0], table[i].words[0]))
			continue;
		if (!table[i].words[1]) {
			*line = after_first;
			return &table[i];
		}
		if (words[1].text && token_is(&words[1], table[i].words[1]))
			return &table[i];
	}
	return NULL;
}

/* G5 shows the line without its comment. Only what could end ours is left out. */
static void put_invalid(FILE *out, const struct line *line)
{
	fputs("command invalid [", out);
	for (size_t i = 0; i < line->end; i++) {
		unsigned char c = (unsigned char)line->text[i];

		fputc((c < ' ' && c != '\t') || c == 0x7f ? '?' : c, out);
	}
	fputs("]" LINE_END, out);
}

enum command_result commands_execute(const struct commands *c,
                                     const struct command_line *line,
                                     struct command_run *run, FILE *out)
{
	struct lexer lexer = { .text = line->text, .len = line->len };
	struct invocation i = {
		.commands = c,
		.peer = line->peer,
		.listing = &run->listing,
		.out = out,
	};
	struct line words;

	*run = (struct command_run){ 0 };
	if (!lexer_next_line(&lexer, &words))
		return COMMAND_DONE; /* empty */
	i.line = words;
	if (!memchr(line->text, '\0', line->len))
		run->command = find_command(&i.line);
	if (!run->command) {
		put_invalid(out, &words);
		return COMMAND_DONE;
	}
	return run->command->run(&i);
}

enum command_result commands_continue(const struct commands *c, struct command_run *run,
                                      FILE *out)
{
	struct invocation i = {
		.commands = c,
		.peer = "",
		.listing = &run->listing,
		.out = out,
	};

	assert(run->command);
	return run->command->run(&i);
}
