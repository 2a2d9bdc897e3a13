// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * lists.c - checks and stores the values of attributes that have any number of them.
 *
 * They add up: a second list goes on where the first one ended.
 */
#include "rules/values.h"

#include <string.h>

#include "rules/alloc.h"
#include "rules/config.h"
#include "rules/similar.h"

#define INTERFACE_MAX 15 /* bytes: IFNAMSIZ without its NUL */
#define SHORT_LEN 3      /* "lo" is no misspelt "log" */

static const char no_interface[] = "guard INTERFACE ..., such as guard eth0 eth1";

/* What dev_valid_name() of the kernel says; and no byte that cannot be seen. */
static const char *why_no_interface(const struct token *t)
{
	if (t->len > INTERFACE_MAX)
		return "is longer than 15 bytes";
	if (token_is(t, ".") || token_is(t, ".."))
		return "names a folder";
	for (size_t i = 0; i < t->len; i++) {
		unsigned char c = (unsigned char)t->text[i];

		if (c == '/' || c <= ' ' || c == 0x7f)
			return "has a '/' or a control character";
	}
	return NULL;
}

static bool has_interface(const struct config_guard *g, const struct token *t)
{
	for (size_t i = 0; i < g->n_interfaces; i++)
		if (token_is(t, g->interfaces[i]))
			return true;
	return false;
}

static void add_interface(struct block *b, struct config_guard *g,
                          const struct token *t)
{
	const char *why = why_no_interface(t);
	struct similar s = { .text = t->text, .len = t->len };

	if (why) {
		block_report(b, t->span, "the name of a network interface",
		             "guard " QUOTED " %s", QUOTE(*t), why);
		return;
	}
	similar_offer(&s, "dry-run");
	similar_offer(&s, "reject");
	attributes_offer(b->scope, &s);
	if (s.best && t->len > SHORT_LEN)
		diag_add(b->diags, DIAG_WARNING, DIAG_ATTRIBUTE, t->span, NULL,
		         "guard " QUOTED " is taken for an interface; did you mean "
		         "\"%s\"?",
		         QUOTE(*t), s.best);
	if (has_interface(g, t)) {
		diag_add(b->diags, DIAG_WARNING, DIAG_ATTRIBUTE, t->span, NULL,
		         "guard " QUOTED " is there already", QUOTE(*t));
		return;
	}
	g->interfaces = alloc_slot(g->interfaces, g->n_interfaces, sizeof(char *));
	g->interfaces[g->n_interfaces++] = alloc_text(t->text, t->len);
}

void list_read_guard(struct block *b, const struct attribute *a,
                     const struct token *name, const struct token *values, size_t n)
{
	struct config_guard *g = (void *)((char *)b->target + a->offset);
	size_t n_switches = 0;

	for (size_t i = 0; i < n; i++) {
		bool is_dry_run = token_is(&values[i], "dry-run");
		bool rejects = token_is(&values[i], "reject");

		g->is_dry_run = g->is_dry_run || is_dry_run;
		g->rejects = g->rejects || rejects;
		n_switches += is_dry_run || rejects;
		if (!is_dry_run && !rejects)
			add_interface(b, g, &values[i]);
	}
	if (n_switches == n)
		block_report(b, name->span, no_interface, "guard names no interface");
}

/* "10.0.0.0/8 sny_rate 5" */
static bool report_misspelt(const struct block *b, const struct attribute *a,
                            const struct token *t)
{
	struct similar s = { .text = t->text, .len = t->len };

	attributes_offer(b->scope, &s);
	if (s.best)
		block_report(b, t->span, "IP or IP/BITS, such as 10.0.0.0/8",
		             "%s " QUOTED " is not an IP address; did you mean \"%s\"?",
		             a->name, QUOTE(*t), s.best);
	return s.best != NULL;
}

void list_read_networks(struct block *b, const struct attribute *a,
                        const struct token *name, const struct token *values, size_t n)
{
	struct config *c = b->target;
	char right[NETWORK_TEXT_LEN];

	(void)name;
	for (size_t i = 0; i < n; i++) {
		const struct token *t = &values[i];
		struct network network;
		const char *reason;

		if (c->n_blocks == CONFIG_BLOCKS_MAX) {
			block_report(b, t->span, NULL,
			             "%s " QUOTED " is over the maximum of %d networks",
			             a->name, QUOTE(*t), CONFIG_BLOCKS_MAX);
			return;
		}
		if (network_parse(t->text, t->len, &network, &reason) == 0) {
			c->blocks = alloc_slot(c->blocks, c->n_blocks,
			                       sizeof(*c->blocks));
			c->blocks[c->n_blocks++] = network;
		} else if (report_misspelt(b, a, t)) {
			return; /* what follows is meant for that */
		} else {
			block_report(b, t->span,
			             network_suggest(t->text, t->len, right),
			             "%s " QUOTED " %s", a->name, QUOTE(*t), reason);
		}
	}
}
