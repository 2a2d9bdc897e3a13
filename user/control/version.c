// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* version.c - see version.h. For a build that can be repeated, gcc takes the date from
 * SOURCE_DATE_EPOCH. */
#include "control/version.h"

#include "control/settings.h"
#include "rules/config.h"

void version_print(FILE *out, const struct settings *settings)
{
	fprintf(out, "v%s build %s %s %zu:%zu:%zu,0:0:0,%d", G5X_VERSION, __DATE__,
	        __TIME__, settings->max_rules, settings->max_sessions,
	        settings->buffer_size, RULE_ID_MAX);
}
