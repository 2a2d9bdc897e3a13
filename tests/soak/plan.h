/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * plan.h - what a session of the soak does, and each of its bytes.
 *
 * All of it follows from the session's id, which the first 8 bytes of a request are: so
 * the server knows what the client is about to do, and what it has to do itself.
 */
#ifndef G5X_SOAK_PLAN_H
#define G5X_SOAK_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLAN_ID_SIZE sizeof(uint64_t)
#define PLAN_SIZE_MAX (200U << 10)

enum way {
	WAY_TALK,         /* the answer comes when the request is complete */
	WAY_HALF_CLOSE,   /* ... and has ended with a FIN */
	WAY_AT_ONCE,      /* both send, and end when they have */
	WAY_SERVER_FIRST, /* the answer and its FIN come before the request */
	WAY_CLIENT_RESETS,
	WAY_SERVER_RESETS,
	WAY_LEAVE, /* a FIN instead of a request */
	WAY_N,
};

enum direction { REQUEST, ANSWER };

struct plan {
	uint64_t id;
	enum way way;
	uint32_t n_bytes[2];
	uint32_t n_cut; /* of the one who resets: bytes before */
	bool is_slow;   /* the client has a small buffer, and stops now and then */
};

void plan_init(struct plan *plan, uint64_t id);

const char *way_name(enum way way);

/** plan_fill() - bytes @offset to @offset + @n of a direction */
void plan_fill(uint64_t id, enum direction direction, uint64_t offset, char *to,
               size_t n);

#endif /* G5X_SOAK_PLAN_H */
