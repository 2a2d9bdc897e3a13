/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* talk.h - one end of a session: does its part of the plan, checks the other's. */
#ifndef G5X_SOAK_TALK_H
#define G5X_SOAK_TALK_H

#include "plan.h"

#define TALK_BUFFER (64U << 10)

/* What a thread has for the one session at a time that it is in. */
struct talker {
	char bytes[TALK_BUFFER], expected[TALK_BUFFER];
	uint64_t choice; /* state of its random numbers */
};

/**
 * talk_as_client() - @fd is connected; it is closed
 *
 * Return: NULL, or what was wrong.
 */
const char *talk_as_client(struct talker *talker, int fd, const struct plan *plan);

/**
 * talk_as_server() - @fd was accepted; it is closed
 * @ret_id: the session's, 0 when it had none
 *
 * Return: NULL, or what was wrong.
 */
const char *talk_as_server(struct talker *talker, int fd, uint64_t *ret_id);

#endif /* G5X_SOAK_TALK_H */
