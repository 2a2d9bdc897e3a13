/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * bypassing.h - bypassed sessions on loopback, for tests that play everybody.
 *
 *     app[0] <──TCP──> end[0] │ the daemon │ end[1] <──TCP──> app[1]
 *     client                                                  server
 *
 * The daemon, which relays what goes the long way, is played by bypassing_turn(). What
 * the applications send is compared when it is received: every byte tells by its value
 * which session, direction and place it belongs to. Sockets do not block; functions that
 * wait fail the test after TCP_PATIENCE_MS.
 */
#ifndef G5X_TESTS_BYPASSING_H
#define G5X_TESTS_BYPASSING_H

#include "base/clock.h"
#include "kernel/bypass.h"
#include "tcp.h"

#define BYPASSING_SESSIONS 16 /* the highest number */
#define BYPASSING_LIMIT (1U << 20)

/* A limit below which there is room only in a queue that is empty. */
#define BYPASSING_TINY 1

struct bypassing {
	struct bypass *bp;
	int listener[2]; /* ours, the server's; on 127.0.0.1 */
};

/* What the daemon holds of a direction. */
struct bypassing_held {
	char bytes[32768];
	size_t offset, len;
	bool has_eof, has_ended;
};

/* What the applications know of a direction. */
struct bypassing_stream {
	uint64_t n_sent, n_received;
	uint64_t n_relayed;
};

struct bypassing_session {
	struct bypassing *in;
	uint32_t number;
	uint32_t id; /* makes its bytes its own */
	int app[2], end[2];
	struct bypassing_stream stream[2];
	struct bypassing_held held[2];
	bool is_held_up; /* the daemon does nothing */
	bool is_paired;
	bool has_threads; /* n_sent may be behind what was sent */
};

/** bypassing_open() - in the first mode that this kernel can; else the test is skipped */
void bypassing_open(struct bypassing *in);

/** bypassing_open_mode() - false when this kernel cannot; skips where no BPF is */
bool bypassing_open_mode(struct bypassing *in, bool has_verdict);
void bypassing_close(struct bypassing *in);

/** bypassing_listen() - on any port of that address, IPv4 or IPv6 */
int bypassing_listen(const char *ip);

/** bypassing_reach() - connect to that address; @bp expects it, unless it is NULL */
int bypassing_reach(struct bypass *bp, const struct addr *addr);

/** bypassing_connect() - the sockets of session @number, not paired yet */
void bypassing_connect(struct bypassing *in, struct bypassing_session *s,
                       uint32_t number);

/** bypassing_wanted() - what bypass_pair() wants, with BYPASSING_LIMIT */
struct bypass_pair bypassing_wanted(const struct bypassing_session *s);
void bypassing_pair(struct bypassing_session *s);

/** bypassing_start() - open, connect session 1, pair */
void bypassing_start(struct bypassing *in, struct bypassing_session *s);

/** bypassing_end() - unpair, close what is open */
void bypassing_end(struct bypassing_session *s);

/** bypassing_stop() - the end of what bypassing_start() began */
void bypassing_stop(struct bypassing_session *s);

/* ---- the applications ------------------------------------------------------ */

/** bypassing_send_some() - up to @max bytes in one go; returns how many */
size_t bypassing_send_some(struct bypassing_session *s, int from, size_t max);

/** bypassing_send() - @n bytes, one send(2); it is a failure if they do not fit */
void bypassing_send(struct bypassing_session *s, int from, size_t n);

/** bypassing_receive_some() - and compare; returns how many, or -1 at the end */
ssize_t bypassing_receive_some(struct bypassing_session *s, int from, size_t max);

/** bypassing_receive() - all that was sent, while the daemon relays */
void bypassing_receive(struct bypassing_session *s, int from);

/** bypassing_receive_end() - and then the FIN */
void bypassing_receive_end(struct bypassing_session *s, int from);

/* ---- the daemon ------------------------------------------------------------ */

/** bypassing_turn() - relay what can be relayed in both directions */
void bypassing_turn(struct bypassing_session *s);

/** bypassing_until() - turn until @condition; fails the test if that never comes */
#define bypassing_until(s, condition)                               \
	do {                                                        \
		uint64_t give_up_ms = clock_ms() + TCP_PATIENCE_MS; \
		while (!(condition)) {                              \
			assert_true(clock_ms() < give_up_ms);       \
			bypassing_turn(s);                          \
		}                                                   \
	} while (0)

/* ---- what the kernel knows ------------------------------------------------- */

static inline struct g5x_bypass_flow *bypassing_flow(const struct bypassing_session *s,
                                                     int from)
{
	return &bypass_session(s->in->bp, s->number)->flow[from];
}

static inline void bypassing_limit(struct bypassing_session *s, uint32_t limit)
{
	bypass_session(s->in->bp, s->number)->limit = limit;
}

/** bypassing_is_noted() - is the socket in the map of applications? */
bool bypassing_is_noted(const struct bypassing *in, int fd);

/** bypassing_n_charged() - memory that is charged to the reader */
uint32_t bypassing_n_charged(int fd);

/** bypassing_n_readable() - FIONREAD; right for the applications' sockets only */
uint32_t bypassing_n_readable(int fd);

/** bypassing_n_waiting() - bytes that can be read from a socket of ours, wherever they are
 *
 * At most 64 KiB. */
size_t bypassing_n_waiting(int fd);

/** bypassing_n_unsent() - SIOCOUTQ: what is not acknowledged yet */
uint32_t bypassing_n_unsent(int fd);

#endif /* G5X_TESTS_BYPASSING_H */
