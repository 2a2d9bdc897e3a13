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
#include "kernel/bypass.h"
#include "kernel/splice.h"
#include "rules/config.h"

/* Kernel memory for so many is taken at once (0.4 KiB each), so that the limit of file
 * descriptors alone, often a million, does not decide. -s does. */
#define SESSIONS_DEFAULT 16384

#define REASON_LEN (DATAPATHS_TEXT_LEN - 64)

static bool has_rule(const struct config *config,
                     bool (*is_it)(const struct config *, const struct rule *))
{
	for (size_t i = 0; i < config->n_rules; i++)
		if (config->rules[i]->mode != RULE_MODE_G &&
		    is_it(config, config->rules[i]))
			return true;
	return false;
}

static bool wants_splice(const struct config *config, const struct rule *rule)
{
	(void)config;

	return rule->datapath != DATAPATH_COPY;
}

static bool wants_bypass(const struct config *config, const struct rule *rule)
{
	return rule->datapath == DATAPATH_BYPASS ||
	       (rule->datapath == DATAPATH_AUTO && config->may_bypass);
}

static uint32_t n_sessions(const struct settings *settings, struct forward *forward)
{
	uint32_t capacity = forward_sessions(forward)->capacity;

	return settings->max_sessions == 0 && capacity > SESSIONS_DEFAULT
	               ? SESSIONS_DEFAULT
	               : capacity;
}

const char *datapaths_report_pins(int r, const char *name, const char *dir)
{
	if (r == 0)
		return "";
	log_warning("%s: maps are not pinned, %s: %s; it works all the same", name, dir,
	            r == -EBUSY ? "another daemon uses it, --bpffs names a directory "
	                          "for this one"
	            : r == -EMEDIUMTYPE ? "no bpffs is mounted there"
	                                : strerrordesc_np(-r));
	return ", maps not pinned";
}

/* @r: 0, or why not. */
static void report(char text[DATAPATHS_TEXT_LEN], int r, const char *name,
                   const char *reason, const char *pinned)
{
	if (r == 0) {
		snprintf(text, DATAPATHS_TEXT_LEN, "on: %s%s", reason, pinned);
		log_info("%s %s", name, text);
	} else {
		snprintf(text, DATAPATHS_TEXT_LEN, "off: %s; sessions are copied",
		         reason);
		log_warning("%s %s", name, text);
	}
}

static void start_splice(struct datapaths *d, const struct settings *settings,
                         struct forward *forward)
{
	const struct splice_options options = {
		.n_sessions = n_sessions(settings, forward),
		.n_workers = forward_n_workers(forward),
	};
	char reason[REASON_LEN];
	const char *pinned = "";
	int r = splice_start(&options, &d->splice, reason, sizeof(reason));

	if (r == 0) {
		pinned = datapaths_report_pins(splice_pin(d->splice, settings->bpffs),
		                               "splice", settings->bpffs);
		r = forward_set_splice(forward, d->splice);
		if (r < 0)
			snprintf(reason, sizeof(reason),
			         "not each worker can watch its events: %s",
			         strerrordesc_np(-r));
	}
	report(d->splice_text, r, "splice", reason, pinned);
}

static void start_bypass(struct datapaths *d, const struct settings *settings,
                         struct forward *forward)
{
	const struct bypass_options options = {
		.n_sessions = n_sessions(settings, forward),
	};
	char reason[REASON_LEN];
	const char *pinned = "";
	int r = bypass_start(&options, &d->bypass, reason, sizeof(reason));

	if (r == 0) {
		pinned = datapaths_report_pins(bypass_pin(d->bypass, settings->bpffs),
		                               "bypass", settings->bpffs);
		forward_set_bypass(forward, d->bypass);
	}
	report(d->bypass_text, r, "bypass", reason, pinned);
}

/* Clients that are connecting meanwhile are copied. */
static void set_listeners(struct bypass *bp, const struct config *config)
{
	bypass_forget_listeners(bp);
	for (size_t i = 0; i < config->n_rules; i++) {
		const struct rule *rule = config->rules[i];

		if (rule->mode == RULE_MODE_G || !wants_bypass(config, rule))
			continue;
		for (size_t j = 0; j < rule->n_forwards; j++)
			if (!rule->forwards[j].is_pattern)
				bypass_add_listener(bp, &rule->forwards[j].addr);
	}
}

void datapaths_prepare(struct datapaths *d, const struct settings *settings,
                       struct forward *forward, const struct config *config)
{
	if (!d->was_splice_tried && has_rule(config, wants_splice)) {
		d->was_splice_tried = true;
		start_splice(d, settings, forward);
	}
	if (!d->was_bypass_tried && has_rule(config, wants_bypass)) {
		d->was_bypass_tried = true;
		start_bypass(d, settings, forward);
	}
	if (d->bypass)
		set_listeners(d->bypass, config);
}

void datapaths_stop(struct datapaths *d)
{
	bypass_close(d->bypass);
	d->bypass = NULL;
	splice_close(d->splice);
	d->splice = NULL;
}
