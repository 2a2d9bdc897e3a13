/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * manage.h - one management session as a protocol: bytes in, bytes out, no socket.
 *
 *     bytes ──> manage_room() ──> lines ──> commands.h ──> manage_output() ──> bytes
 *
 * M1: each line that is executed is answered by exactly one prompt, but for quit,
 *     which is answered by the end. One prompt greets.
 * M2: lines are executed in order, however they arrive: in pieces or many at once.
 * M3: while MANAGE_PAUSE bytes of answers wait to be sent, no line is executed and no
 *     more than one line's worth of input is taken. So a client that never reads costs
 *     its own connection some memory, and nobody else anything.
 */
#ifndef G5X_CONTROL_MANAGE_H
#define G5X_CONTROL_MANAGE_H

#include "base/addr.h"
#include "control/commands.h"

#define MANAGE_LINE_MAX 4095 /* bytes with its newline; a longer one ends the session */
#define MANAGE_PAUSE (256U << 10)

struct manage {
	const struct commands *commands;
	char peer[ADDR_TEXT_LEN];
	char input[MANAGE_LINE_MAX];
	size_t input_at, input_len; /* input_len bytes from input_at on */
	char *output;               /* owned */
	size_t output_at, output_len;
	struct command_run run;
	bool is_running; /* run has more to say */
	bool is_greeted;
	bool is_ended; /* nothing more is executed; what waits is still to be sent */
};

/** manage_init() - @client: for the log; @commands must outlive it */
void manage_init(struct manage *m, const struct commands *commands,
                 const struct addr *client);
void manage_fini(struct manage *m);

/** manage_room() - where to put bytes from the client; *ret_len may be 0 for now */
char *manage_room(struct manage *m, size_t *ret_len);

/** manage_filled() - @len bytes were put there */
void manage_filled(struct manage *m, size_t len);

/**
 * manage_run() - execute what can be executed now
 *
 * Return: 0, or -ENOMEM when an answer is lost: the session must be reset.
 */
int manage_run(struct manage *m);

/** manage_has_work() - manage_run() would do something */
bool manage_has_work(const struct manage *m);

/** manage_output() - what is to be sent now; manage_sent() what was */
const char *manage_output(const struct manage *m, size_t *ret_len);
void manage_sent(struct manage *m, size_t len);

#endif /* G5X_CONTROL_MANAGE_H */
