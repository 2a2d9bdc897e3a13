/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* options.h - the command line. */
#ifndef G5X_OPTIONS_H
#define G5X_OPTIONS_H

#include <stdio.h>

#include "control/settings.h"

enum options_action { OPTIONS_RUN, OPTIONS_TEST, OPTIONS_VERSION, OPTIONS_HELP };

struct options {
	enum options_action action;
	struct settings settings;
};

/**
 * options_parse() - what is wrong, and a short usage, goes to stderr
 *
 * Return: 0, or -EINVAL with *ret_options untouched.
 */
int options_parse(int argc, char **argv, struct options *ret_options);

/** options_print_help() - all options, one a line */
void options_print_help(FILE *out);

#endif /* G5X_OPTIONS_H */
