/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* datapaths.h - starts the kernel datapaths when a configuration first asks for them. */
#ifndef G5X_CONTROL_DATAPATHS_H
#define G5X_CONTROL_DATAPATHS_H

#include <stdbool.h>

struct bypass;
struct config;
struct forward;
struct settings;
struct splice;

#define DATAPATHS_TEXT_LEN 256

/* Zeroed: nothing was asked for. */
struct datapaths {
	struct splice *splice; /* owned; NULL: off */
	struct bypass *bypass; /* owned; NULL: off */
	bool was_splice_tried, was_bypass_tried;
	char splice_text[DATAPATHS_TEXT_LEN]; /* on or off, and why; for people */
	char bypass_text[DATAPATHS_TEXT_LEN];
};

/**
 * datapaths_prepare() - before @config is published
 *
 * Once for each datapath, whatever comes of it: what a kernel cannot do it will not learn.
 * Without it sessions are copied. Says so in the log.
 */
void datapaths_prepare(struct datapaths *d, const struct settings *settings,
                       struct forward *forward, const struct config *config);

/**
 * datapaths_report_pins() - a line in the log if maps could not be pinned
 * @r: what pinning has returned
 *
 * Return: what to add to the line that says that @name is on; static.
 */
const char *datapaths_report_pins(int r, const char *name, const char *dir);

/** datapaths_stop() - after forward_free() */
void datapaths_stop(struct datapaths *d);

#endif /* G5X_CONTROL_DATAPATHS_H */
