/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* format.h - a configuration as text again: `list rules` and `dump rules`. */
#ifndef G5X_RULES_FORMAT_H
#define G5X_RULES_FORMAT_H

#include <stdbool.h>
#include <stdio.h>

struct config;
struct rule;

/**
 * format_rule() - the rule on one line, normalised: single blanks, no line end
 * @with_counts: as in `list rules`, a client's maxclients as
 *               "( conntions[CURRENT/MAX] )" (G5's spelling, scripts read it);
 *               else as "( maxclients MAX )", which can be read back
 *
 * Parsing what this writes (without counts) gives an equal rule.
 */
void format_rule(FILE *out, const struct rule *rule, bool with_counts);

/**
 * format_config() - the whole file as `dump rules` writes it: CRLF line ends, the
 * global block first when it has anything to say, then the file's own lines in
 * their order, rules normalised, comments and blank lines kept.
 */
void format_config(FILE *out, const struct config *config);

#endif /* G5X_RULES_FORMAT_H */
