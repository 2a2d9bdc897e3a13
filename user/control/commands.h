/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * commands.h - what can be asked for on the management port.
 *
 * A command is a row of the table in commands.c: its words, its function. It works on
 * the program through commands_ops only, so tests and the fuzzer run it on a program
 * of their own. Answers are G5's, line ends CRLF; what we add stands at the end of a
 * line or of an answer.
 *
 * A long answer is made in parts: a command that returns COMMAND_MORE is called again
 * once the client has taken what there is.
 *
 * To add a command: a row, a function (see invocation.h), a line in g5x(8), a test.
 */
#ifndef G5X_CONTROL_COMMANDS_H
#define G5X_CONTROL_COMMANDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct config;
struct config_resolver;
struct network;
struct settings;

#define COMMANDS_REASON_LEN 160

/* How far a list has got. Zeroed: at its start. */
struct listing {
	unsigned int stage;
	uint32_t next;
	uint32_t n_lines;
};

/* What a command can do to the program. */
struct commands_ops {
	/* the configuration in force; good until the next apply */
	const struct config *(*get_config)(void *ctx);

	/* Puts @config in force and owns it from then on, whatever the result. 0, or
	 * -errno with one line in @reason. */
	int (*apply)(void *ctx, struct config *config,
	             char reason[COMMANDS_REASON_LEN]);

	/* Writes the configuration in force to the rule file. 0 or -errno. */
	int (*dump)(void *ctx);
	void (*clean)(void *ctx);

	/* Prints some lines. Return: are there more? */
	bool (*list_forwards)(void *ctx, FILE *out, struct listing *at);

	/* @seconds 0: for ever. 0; -ENOSPC; -ENOMEM. */
	int (*block)(void *ctx, const struct network *network, unsigned int seconds);

	/* 0; -ENOENT; -EPERM: only the rule file has it. */
	int (*unblock)(void *ctx, const struct network *network);

	/* As list_forwards. */
	bool (*list_guard)(void *ctx, FILE *out, struct listing *at);

	/* Are splicing, bypassing and the guard on, and why; "" when nobody has asked for
	 * it. */
	const char *(*get_splice_text)(void *ctx);
	const char *(*get_bypass_text)(void *ctx);
	const char *(*get_guard_text)(void *ctx);
};

struct commands {
	const struct commands_ops *ops;
	void *ctx;
	const struct settings *settings;
	const struct config_resolver *resolver;
};

enum command_result { COMMAND_DONE, COMMAND_MORE, COMMAND_QUIT };

struct command;

/* A command under way. Zeroed: none. */
struct command_run {
	const struct command *command;
	struct listing listing;
};

/* One line of a client's. */
struct command_line {
	const char *peer; /* the client, for the log */
	const char *text;
	size_t len; /* without line end */
};

/** commands_execute() - @run is to be kept when the result is COMMAND_MORE */
enum command_result commands_execute(const struct commands *c,
                                     const struct command_line *line,
                                     struct command_run *run, FILE *out);

/** commands_continue() - the next part of the answer */
enum command_result commands_continue(const struct commands *c, struct command_run *run,
                                      FILE *out);

#endif /* G5X_CONTROL_COMMANDS_H */
