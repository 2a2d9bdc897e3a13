// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* g5x.c - the daemon. Exit status: 0, 1 for a failure, 2 for a wrong command line. */
#include <stdio.h>

#include "control/control.h"
#include "control/reload.h"
#include "control/version.h"
#include "options.h"

int main(int argc, char **argv)
{
	struct options options;

	if (options_parse(argc, argv, &options) < 0)
		return 2;
	switch (options.action) {
	case OPTIONS_HELP:
		options_print_help(stdout);
		return 0;
	case OPTIONS_VERSION:
		version_print(stdout, &options.settings);
		putchar('\n');
		return 0;
	case OPTIONS_TEST:
		return reload_check(&options.settings, stdout) < 0 ? 1 : 0;
	case OPTIONS_RUN:
		return control_run(&options.settings) < 0 ? 1 : 0;
	}
	return 2;
}
