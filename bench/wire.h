/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * wire.h - what the load generator's two sides say to each other.
 *
 * A connection starts with one struct hello from the client. Then come messages of
 * hello.size bytes (WIRE_ECHO, WIRE_ONCE) or one endless stream from the server
 * (WIRE_STREAM). Every byte of a message follows from its session and its sequence
 * number, every WIRE_BLOCK bytes of a stream start with session and position: a byte
 * that is lost, doubled, moved or given to another session is seen by the side that
 * gets it.
 */
#ifndef G5X_BENCH_WIRE_H
#define G5X_BENCH_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WIRE_MAGIC 0x67357831u
#define WIRE_SIZE_MIN 16
#define WIRE_SIZE_MAX (64 * 1024)
#define WIRE_BLOCK 512

enum wire_kind {
	WIRE_ECHO,   /* each message comes back, until the client closes */
	WIRE_ONCE,   /* one message comes back, then the server closes */
	WIRE_STREAM, /* the server sends until the client closes */

	WIRE_KIND_N
};

struct hello {
	uint32_t magic;
	uint32_t kind;
	uint32_t size;
	uint32_t session;
};

bool hello_is_valid(const struct hello *hello);

/** message_fill() - write message @sequence of @session; @size is a multiple of 8 */
void message_fill(void *message, size_t size, uint32_t session, uint32_t sequence);

/** message_is() - is this message @sequence of @session, to the last byte? */
bool message_is(const void *message, size_t size, uint32_t session, uint32_t sequence);

/** stream_fill() - stamp each block of @buffer, whose first byte is at @position */
void stream_fill(void *buffer, size_t size, uint32_t session, uint64_t position);

/** stream_is() - do the blocks of @buffer carry the stamps that belong there? */
bool stream_is(const void *buffer, size_t size, uint32_t session, uint64_t position);

#endif /* G5X_BENCH_WIRE_H */
