/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * splicing.h - spliced sessions on loopback, for tests that play everybody.
 *
 *     app[0] <──TCP──> end[0] │ session in the kernel │ end[1] <──TCP──> app[1]
 *     client                                                            server
 *
 * The daemon, which relays what is passed up, is played by splicing_turn(). What the
 * applications send is compared when it is received: every byte tells by its value which
 * session, direction and place it belongs to. Sockets do not block; functions that wait
 * fail the test after TCP_PATIENCE_MS.
 */
#ifndef G5X_TESTS_SPLICING_H
#define G5X_TESTS_SPLICING_H

#include "base/clock.h"
#include "kernel/splice.h"
#include "tcp.h"

#define SPLICING_SESSIONS 16 /* the highest number */
#define SPLICING_LIMIT (64U << 10)

/* A limit that is lower than the smallest send buffer there is, and a chunk that does not
 * fit into that: it is passed up in any case. */
#define SPLICING_TINY 1
#define SPLICING_BIG 5000

/* What the daemon holds of a direction. */
struct splicing_held {
	char bytes[32768];
	size_t offset, len;
	bool has_eof, has_ended;
};

/* What the applications know of a direction. */
struct splicing_stream {
	uint64_t n_sent, n_received;
	uint64_t n_filler; /* zeros that come before, see splicing_block() */
};

struct splicing {
	struct splice *sp;
	unsigned int n_events;
	struct g5x_event event; /* the last one */
	unsigned int n_losses;  /* times that events were lost */
};

struct splicing_session {
	struct splicing *in;
	uint32_t number;
	uint32_t id; /* its generation, and what makes its bytes its own */
	int app[2], end[2];
	struct splicing_stream stream[2];
	struct splicing_held held[2];
	bool is_held_up; /* the daemon does nothing */
};

/** splicing_need() - skip the test where BPF cannot be had */
void splicing_need(void);

void splicing_open(struct splicing *in);
void splicing_close(struct splicing *in);

/** splicing_connect() - the sockets of session @number, not spliced yet */
void splicing_connect(struct splicing *in, struct splicing_session *s, uint32_t number);

/** splicing_pair() - what splice_insert() wants, with SPLICING_LIMIT */
struct splice_pair splicing_pair(const struct splicing_session *s);

/** splicing_insert() - both ends, with that limit */
void splicing_insert(struct splicing_session *s, uint32_t limit);

/** splicing_start() - open, connect session 1, insert */
void splicing_start(struct splicing *in, struct splicing_session *s, uint32_t limit);

/** splicing_end() - detach, close what is open, forget */
void splicing_end(struct splicing_session *s);

/** splicing_stop() - the end of what splicing_start() began */
void splicing_stop(struct splicing_session *s);

/** splicing_block() - before insertion: let TCP have all it takes for app[!@from]
 *
 * With SPLICING_LIMIT there is no room for a chunk then, until the reader reads. */
void splicing_block(struct splicing_session *s, int from);

/* ---- the applications ------------------------------------------------------ */

/** splicing_send_some() - up to @max bytes in one go; returns how many */
size_t splicing_send_some(struct splicing_session *s, int from, size_t max);

/** splicing_send() - @n bytes, one send(2); it is a failure if they do not fit */
void splicing_send(struct splicing_session *s, int from, size_t n);

/** splicing_fill() - send until nothing moves any more, @max bytes at the most */
uint64_t splicing_fill(struct splicing_session *s, int from, uint64_t max);

/** splicing_receive_some() - and compare; returns how many, or -1 at the end */
ssize_t splicing_receive_some(struct splicing_session *s, int from, size_t max);

/** splicing_receive() - all that was sent, while the daemon relays */
void splicing_receive(struct splicing_session *s, int from);

/** splicing_receive_end() - and then the FIN */
void splicing_receive_end(struct splicing_session *s, int from);

/* ---- the daemon ------------------------------------------------------------ */

/** splicing_turn() - read events, relay what can be relayed in both directions */
void splicing_turn(struct splicing_session *s);

/** splicing_until() - turn until @condition; fails the test if that never comes */
#define splicing_until(s, condition)                                \
	do {                                                        \
		uint64_t give_up_ms = clock_ms() + TCP_PATIENCE_MS; \
		while (!(condition)) {                              \
			assert_true(clock_ms() < give_up_ms);       \
			splicing_turn(s);                           \
		}                                                   \
	} while (0)

/* ---- what the kernel knows ------------------------------------------------- */

static inline const struct g5x_flow *splicing_flow(const struct splicing_session *s,
                                                   int from)
{
	return &splice_session(s->in->sp, s->number)->flow[from];
}

/** splicing_n_seen() - bytes of the direction that were redirected or passed up */
uint64_t splicing_n_seen(const struct splicing_session *s, int from);

/** splicing_n_unsent() - SIOCOUTQ: what is not acknowledged yet */
uint64_t splicing_n_unsent(int fd);

/** splicing_n_written() - bytes_acked + SIOCOUTQ of a socket, at one moment */
uint64_t splicing_n_written(int fd);

/** splicing_is_forgotten() - is the entry of session @number all zero? */
bool splicing_is_forgotten(const struct splicing *in, uint32_t number);

/** splicing_assert_whole() - no chunk began too early or too late */
void splicing_assert_whole(const struct splicing_session *s);

#endif /* G5X_TESTS_SPLICING_H */
