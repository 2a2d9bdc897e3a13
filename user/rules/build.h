/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* build.h - the steps that reading a file and editing a configuration share. */
#ifndef G5X_RULES_BUILD_H
#define G5X_RULES_BUILD_H

#include <stdbool.h>

struct config;
struct diag_list;
struct line;
struct rule;

/** build_new() - empty, with every attribute at its default */
struct config *build_new(void);

/** build_copy() - the same lines and the very same rules, by reference */
struct config *build_copy(const struct config *old);

/** build_add_line() - at the end; takes @comment */
void build_add_line(struct config *c, char *comment, struct rule *rule);

/** build_add_rule() - at the end, with its line; takes @comment and a reference */
void build_add_rule(struct config *c, char *comment, struct rule *rule);

/** build_comment() - of a line; NULL when there is none */
char *build_comment(const struct line *line);

/** build_report_nul() - true when the line cannot be read for its NUL bytes */
bool build_report_nul(struct diag_list *diags, const struct line *line);

#endif /* G5X_RULES_BUILD_H */
