// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* build.c - a configuration while it may still change. */
#include "rules/build.h"

#include <stdlib.h>
#include <string.h>

#include "rules/alloc.h"
#include "rules/config.h"
#include "rules/lexer.h"
#include "rules/rule.h"

struct config *build_new(void)
{
	struct config *c = alloc_zeroed(1, sizeof(*c));

	c->grace_s = CONFIG_GRACE_S;
	return c;
}

void config_free(struct config *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n_rules; i++)
		rule_unref(c->rules[i]);
	for (size_t i = 0; i < c->n_lines; i++)
		free(c->lines[i].comment);
	free(c->rules);
	free(c->lines);
	free(c->log_target);
	for (size_t i = 0; i < c->guard.n_interfaces; i++)
		free(c->guard.interfaces[i]);
	free(c->guard.interfaces);
	free(c->blocks);
	free(c);
}

void build_add_line(struct config *c, char *comment, struct rule *rule)
{
	c->lines = alloc_slot(c->lines, c->n_lines, sizeof(*c->lines));
	c->lines[c->n_lines++] = (struct config_line){ .comment = comment,
		                                       .rule = rule };
}

void build_add_rule(struct config *c, char *comment, struct rule *rule)
{
	c->rules = alloc_slot(c->rules, c->n_rules, sizeof(struct rule *));
	c->rules[c->n_rules++] = rule;
	build_add_line(c, comment, rule);
}

/* Attributes that own memory, from a copy of @old's structure on. */
static void copy_owned(struct config *c, const struct config *old)
{
	const struct config_guard *guard = &old->guard;

	c->log_target = old->log_target
	                        ? alloc_text(old->log_target, strlen(old->log_target))
	                        : NULL;
	c->guard.interfaces = alloc_zeroed(guard->n_interfaces, sizeof(char *));
	for (size_t i = 0; i < guard->n_interfaces; i++)
		c->guard.interfaces[i] = alloc_text(guard->interfaces[i],
		                                    strlen(guard->interfaces[i]));
	c->blocks = alloc_zeroed(old->n_blocks, sizeof(*c->blocks));
	if (old->n_blocks)
		memcpy(c->blocks, old->blocks, old->n_blocks * sizeof(*c->blocks));
}

struct config *build_copy(const struct config *old)
{
	struct config *c = alloc_zeroed(1, sizeof(*c));

	*c = *old;
	copy_owned(c, old);
	/* Empty arrays first: only those that grew from the start may grow. */
	c->rules = NULL;
	c->lines = NULL;
	c->n_rules = 0;
	c->n_lines = 0;
	for (size_t i = 0; i < old->n_lines; i++) {
		const struct config_line *line = &old->lines[i];
		char *comment = line->comment ? alloc_text(line->comment,
		                                           strlen(line->comment))
		                              : NULL;

		if (line->rule)
			build_add_rule(c, comment, rule_ref(line->rule));
		else
			build_add_line(c, comment, NULL);
	}
	return c;
}

/* As a C string it ends at a NUL, so those become blanks. */
char *build_comment(const struct line *line)
{
	size_t len;
	const char *comment = line_comment(line, &len);
	char *copy;

	if (!comment)
		return NULL;
	copy = alloc_text(comment, len);
	for (size_t i = 0; i < len; i++)
		if (!copy[i])
			copy[i] = ' ';
	return copy;
}

bool build_report_nul(struct diag_list *diags, const struct line *line)
{
	struct diag_span span;

	if (!line_find_nul(line, &span))
		return false;
	diag_add(diags, DIAG_ERROR, DIAG_OTHER, span, "text",
	         "a NUL byte, outside a comment");
	return true;
}
