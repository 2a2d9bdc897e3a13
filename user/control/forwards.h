/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * forwards.h - `list forwards`: listeners, management clients, sessions.
 *
 * Each line starts as in G5; what we add follows the STATE. A session's rule is known
 * by the number of its state, and a state may be freed by a worker at any time. So the
 * names are kept here: a number is given to another rule only by the main thread, when
 * it puts a configuration in force, and then the name here changes with it.
 */
#ifndef G5X_CONTROL_FORWARDS_H
#define G5X_CONTROL_FORWARDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct clients;
struct config;
struct forward;
struct listing;

struct forwards {
	struct forward *forward;
	struct clients *clients;
	char **names; /* owned; rule ids by state number; NULL: no rule had it */
	size_t n_names;
};

/** forwards_learn() - the rules of a configuration that is now in force */
void forwards_learn(struct forwards *f, const struct config *config);
void forwards_fini(struct forwards *f);

/** forwards_list() - some lines; false when that were the last */
bool forwards_list(const struct forwards *f, FILE *out, struct listing *at);

#endif /* G5X_CONTROL_FORWARDS_H */
