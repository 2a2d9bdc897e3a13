/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * invocation.h - a command being executed: what its function gets.
 *
 * For the files that have commands: commands.c, guard_commands.c.
 */
#ifndef G5X_CONTROL_INVOCATION_H
#define G5X_CONTROL_INVOCATION_H

#include <stdio.h>

#include "control/commands.h"
#include "rules/lexer.h"

#define LINE_END "\r\n"

struct invocation {
	const struct commands *commands;
	const char *peer;
	struct line line; /* the next token is the first after the command's words */
	struct listing *listing;
	FILE *out;
};

/* guard_commands.c */
enum command_result command_block(struct invocation *i);
enum command_result command_unblock(struct invocation *i);
enum command_result command_list_guard(struct invocation *i);

#endif /* G5X_CONTROL_INVOCATION_H */
