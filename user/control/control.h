/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * control.h - the main thread: what is in force, and how the program starts and ends.
 *
 *     start   rule file, log, data plane, listeners; the first failure is the end
 *     run     signals, management clients; a configuration replaces the one before
 *     drain   TERM or INT: no new clients, sessions go on for up to `grace` seconds
 *     end     all sessions gone, time over, or a second TERM or INT
 */
#ifndef G5X_CONTROL_CONTROL_H
#define G5X_CONTROL_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/loop.h"
#include "control/blocking.h"
#include "control/commands.h"
#include "control/datapaths.h"
#include "control/forwards.h"
#include "control/guarding.h"

struct clients;
struct config;
struct forward;
struct settings;

struct control {
	const struct settings *settings;
	struct loop loop;
	struct source signals;
	struct config *config; /* owned; in force */
	struct forward *forward;
	struct datapaths datapaths;
	struct guarding guarding;
	struct blocking blocking;
	struct commands commands;
	struct clients *clients;
	struct forwards forwards;
	unsigned int first_workers; /* what the file said at the start */
	bool is_draining;
	bool is_over;
	uint64_t drained_by_ms;
};

/** control_run() - the program from its start to its end; 0, or -errno if it cannot start */
int control_run(const struct settings *settings);

/**
 * control_apply() - put @config in force
 * @config: taken over, whatever the result
 * @reason: gets one line on failure; what was in force stays then
 *
 * Return: 0; the -errno of listening on a new address; -ESHUTDOWN while draining.
 */
int control_apply(struct control *c, struct config *config,
                  char reason[COMMANDS_REASON_LEN]);

#endif /* G5X_CONTROL_CONTROL_H */
