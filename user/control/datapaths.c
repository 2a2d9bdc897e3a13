// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* datapaths.c - see datapaths.h. */
#include "control/datapaths.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "control/settings.h"
#include "forward/forward.h"
#include "kernel/splice.h"
#include "rules/config.h"

/* Kernel memory for so many is taken at once (0.4 KiB each), so that the limit of file
 * descriptors alone, often a million, does not decide. -s does. */
#define SESSIONS_DEFAULT 16384

static bool is_splice_wanted(const struct config *config)
{
	for (size_t i = 0; i < config->n_rules; i++) {
		const struct rule *rule = config->rules[i];

		if (rule->mode != RULE_MODE_G && rule->datapath != DATAPATH_COPY)
			return true;
	}
	return false;
}

/* Return: what to add to the log line. */
static const char *pin(struct splice *sp, const char *dir)
{
	int r = splice_pin(sp, dir);

	if (r == 0)
		return "";
	log_warning("maps are not pinned, %s: %s; sessions are spliced all the same",
	            dir,
	            r == -EBUSY ? "another daemon uses it, --bpffs names a directory "
	                          "for this one"
	            : r == -EMEDIUMTYPE ? "no bpffs is mounted there"
	                                : strerrordesc_np(-r));
	return ", maps not pinned";
}

static void start_splice(struct datapaths *d, const struct settings *settings,
                         struct forward *forward)
{
	uint32_t capacity = forward_sessions(forward)->capacity;
	const struct splice_options options = {
		.n_sessions = settings->max_sessions == 0 && capacity > SESSIONS_DEFAULT
		                      ? SESSIONS_DEFAULT
		                      : capacity,
		.n_workers = forward_n_workers(forward),
	};
	char reason[DATAPATHS_TEXT_LEN - 64];
	const char *pinned = "";
	int r = splice_start(&options, &d->splice, reason, sizeof(reason));

	if (r == 0) {
		pinned = pin(d->splice, settings->bpffs);
		r = forward_set_splice(forward, d->splice);
		if (r < 0)
			snprintf(reason, sizeof(reason),
			         "not each worker can watch its events: %s",
			         strerrordesc_np(-r));
	}
	if (r == 0) {
		snprintf(d->splice_text, sizeof(d->splice_text), "on: %s%s", reason,
		         pinned);
		log_info("splice %s", d->splice_text);
	} else {
		snprintf(d->splice_text, sizeof(d->splice_text),
		         "off: %s; sessions are copied", reason);
		log_warning("splice %s", d->splice_text);
	}
}

void datapaths_prepare(struct datapaths *d, const struct settings *settings,
                       struct forward *forward, const struct config *config)
{
	if (d->was_splice_tried || !is_splice_wanted(config))
		return;
	d->was_splice_tried = true;
	start_splice(d, settings, forward);
}

void datapaths_stop(struct datapaths *d)
{
	splice_close(d->splice);
	d->splice = NULL;
}
