// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * fuzz_rules.c - any bytes as a rule file, and as a command.
 *
 * Beyond not crashing: errors are counted as such, everything reported can be drawn
 * and stays inside the text, what was read is the same after writing and reading it
 * again, and no state outlives the configurations.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "fakeresolver.h"
#include "rules/config.h"
#include "rules/format.h"
#include "samerules.h"

#define MAX_RULES 50

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fake_resolver fake;
static const struct config_resolver resolver = { .resolve = fake_resolve,
	                                         .ctx = &fake };

static void require(bool is_true, const char *what)
{
	if (is_true)
		return;
	fprintf(stderr, "broken: %s\n", what);
	abort();
}

static void draw(const struct diag_list *diags)
{
	size_t n_errors = 0;

	for (size_t i = 0; i < diags->n_items; i++) {
		const struct diag *d = &diags->items[i];
		auto_free char *text = diag_format(d, "fuzz");

		n_errors += d->severity == DIAG_ERROR;
		require(d->line > 0 && d->column > 0 && d->len > 0,
		        "a place is from 1");
		require(d->column >= d->source_column &&
		                d->column - d->source_column <= strlen(d->source),
		        "the caret is inside what is shown");
		for (const char *c = text; *c; c++)
			require((unsigned char)*c >= ' ' || *c == '\n' || *c == '\t',
			        "nothing shown controls a terminal");
	}
	require(n_errors == diags->n_errors, "errors are counted");
}

static struct config *parse(const char *text, size_t len, size_t max_rules,
                            const struct config *old)
{
	struct diag_list diags = { 0 };
	struct config *c = NULL;
	int r = config_parse(text, len, max_rules, old, &resolver, &diags, &c);

	draw(&diags);
	require(r == 0 ? c && !diags.n_errors : r == -EINVAL && !c && diags.n_errors,
	        "a configuration or errors");
	diag_list_fini(&diags);
	return c;
}

static void check_round_trip(const struct config *c)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	struct config *again;

	format_config(out, c);
	fclose(out);
	again = parse(text, size, 0, c);
	require(again != NULL, "what is written can be read");
	require(same_config(c, again), "what is written means the same");
	for (size_t i = 0; i < c->n_rules; i++)
		require(c->rules[i]->version == again->rules[i]->version,
		        "a rule that did not change keeps its version");
	config_publish_versions(again, c);
	config_free(again);
	free(text);
}

static void check_commands(const struct config *c, const char *line, size_t len)
{
	struct diag_list diags = { 0 };
	struct config *added = NULL, *modified = NULL, *removed = NULL;
	int r = config_add_rule(c, line, len, 0, &resolver, &diags, &added);

	require(r == 0 || r == -EEXIST || (r == -EINVAL && diags.n_errors),
	        "add answers");
	if (added) {
		require(added->n_rules == c->n_rules + 1, "add adds one");
		check_round_trip(added);
		r = config_remove_rule(added, added->rules[c->n_rules]->id, &removed);
		require(r == 0 && same_config(c, removed), "remove undoes add");
	}
	draw(&diags);
	diag_list_fini(&diags);

	r = config_modify_rule(c, line, len, &resolver, &diags, &modified);
	require(r == 0 || r == -ENOENT || (r == -EINVAL && diags.n_errors),
	        "modify answers");
	if (modified) {
		require(modified->n_rules == c->n_rules, "modify adds none");
		check_round_trip(modified);
	}
	draw(&diags);
	diag_list_fini(&diags);
	config_free(added);
	config_free(modified);
	config_free(removed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct config *limited = parse(text, size, MAX_RULES, NULL);
	struct config *c = parse(text, size, 0, limited);
	struct config *empty = parse("", 0, 0, NULL);

	require(!limited || limited->n_rules <= MAX_RULES, "the maximum is kept");
	check_commands(empty, text, size);
	if (c) {
		check_round_trip(c);
		check_commands(c, text, size);
	}
	config_free(empty);
	config_free(c);
	config_free(limited);
	require(!state_count(STATE_RULE) && !state_count(STATE_SERVER) &&
	                !state_count(STATE_CLIENT),
	        "no state is left");
	return 0;
}
