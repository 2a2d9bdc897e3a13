// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * self_test.c - does splicing keep every byte on this kernel?
 *
 *      client <──TCP──> end[0] │ session 1 │ end[1] <──TCP──> server
 *
 * One thread plays all: client, server, and the daemon that relays what is passed up.
 * Versions that lose or repeat bytes are known (6.1.32 to 6.1.141 and 6.4 to 6.12.33
 * repeat some on a full send buffer; 5.10 and 5.15 without the fixes of 2023 lose FINs
 * and stall), but distributions patch what they like: trying tells more than a number.
 */
#include "kernel/splice.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "kernel/loopback.h"

#define NUMBER 1
#define LIMIT (1U << 20)
#define BUFFER (1 << 20)

#define BULK (32U << 20)
#define BULK_MIN (4U << 20)
#define BULK_TIME_MS 400
#define EARLY 1000
#define ANSWER 100000
/* No reader: whatever the limits, more than all buffers and far from none at all. */
#define STOPPED_MAX (64U << 20)

#define STILL_MS 1000 /* nothing has moved for so long: it is stuck */
#define TOTAL_MS 4000

/* Of a length that no buffer has, so that what is shifted does not look right. */
#define PATTERN 65521

struct stream {
	int in, out; /* the applications' sockets */
	uint64_t n_sent, n_received;
};

/* What the daemon holds of a direction. */
struct held {
	char bytes[32768];
	size_t offset, len;
	bool has_eof, has_ended;
};

struct trial {
	struct splice *sp;
	int app[2], end[2]; /* client, server */
	struct stream stream[2];
	struct held held[2];
	unsigned int n_events;
	uint64_t deadline_ms, moved_ms;
	const char *step;
	char pattern[2 * PATTERN];
	char buffer[PATTERN];
};

/* ---- the daemon ------------------------------------------------------------ */

static void on_event(void *ctx, const struct g5x_event *event)
{
	struct trial *t = ctx;

	t->n_events += event->slot / 2 == NUMBER;
}

static void take_up(struct trial *t, int from)
{
	struct held *h = &t->held[from];
	ssize_t n = recv(t->end[from], h->bytes, sizeof(h->bytes), MSG_DONTWAIT);

	h->offset = 0;
	h->len = n > 0 ? (size_t)n : 0;
	if (n == 0 && splice_n_passed(t->sp, NUMBER, from) ==
	                      splice_n_relayed(t->sp, NUMBER, from))
		h->has_eof = true;
}

static void relay(struct trial *t, int from)
{
	struct held *h = &t->held[from];
	ssize_t n;

	if (h->has_ended)
		return;
	if (h->len == 0 && !h->has_eof)
		take_up(t, from);
	if ((h->len == 0 && !h->has_eof) ||
	    !splice_is_drained(t->sp, NUMBER, from, t->end[!from]))
		return;
	if (h->len == 0) {
		shutdown(t->end[!from], SHUT_WR);
		h->has_ended = true;
		return;
	}
	n = send(t->end[!from], h->bytes + h->offset, h->len,
	         MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n <= 0) {
		splice_fit_receive_buffer(t->sp, t->end[from]);
		return;
	}
	h->offset += (size_t)n;
	h->len -= (size_t)n;
	splice_relayed(t->sp, NUMBER, from, (uint32_t)n);
}

/* ---- the applications ------------------------------------------------------ */

static bool send_more(struct trial *t, struct stream *s, uint64_t until)
{
	uint64_t left = until - s->n_sent;
	ssize_t n;

	if (left == 0)
		return false;
	n = send(s->in, t->pattern + s->n_sent % PATTERN,
	         left < PATTERN ? (size_t)left : PATTERN, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n > 0)
		s->n_sent += (uint64_t)n;
	return n > 0;
}

/* Return: 1 when something came, 0 when not, 2 at the end; -EBADMSG. */
static int receive_more(struct trial *t, struct stream *s)
{
	ssize_t n = recv(s->out, t->buffer, sizeof(t->buffer), MSG_DONTWAIT);

	if (n <= 0)
		return n == 0 ? 2 : 0;
	if (s->n_received + (uint64_t)n > s->n_sent ||
	    memcmp(t->buffer, t->pattern + s->n_received % PATTERN, (size_t)n))
		return -EBADMSG;
	s->n_received += (uint64_t)n;
	return 1;
}

/* Give everybody a turn; wait a little when nothing moves. Return: 0 or -ETIMEDOUT. */
static int turn(struct trial *t, bool has_moved)
{
	uint64_t now_ms = clock_ms();

	splice_read_events(t->sp, 0, on_event, t);
	relay(t, 0);
	relay(t, 1);
	if (has_moved)
		t->moved_ms = now_ms;
	else
		poll(NULL, 0, 1);
	return now_ms > t->deadline_ms || now_ms > t->moved_ms + STILL_MS ? -ETIMEDOUT
	                                                                  : 0;
}

/* ---- what is tried --------------------------------------------------------- */

/* Until all that was sent is there. */
static int receive_all(struct trial *t, struct stream *s)
{
	while (s->n_received < s->n_sent) {
		int r = receive_more(t, s);

		if (r == 2)
			return -EBADMSG; /* a FIN before the last byte */
		if (r < 0)
			return r;
		r = turn(t, r > 0);
		if (r < 0)
			return r;
	}
	return 0;
}

static int try_bulk(struct trial *t)
{
	struct stream *s = &t->stream[0];
	uint64_t start = s->n_sent, until_ms = clock_ms() + BULK_TIME_MS;

	t->step = "bulk";
	while (s->n_sent < start + BULK) {
		bool has_moved = send_more(t, s, start + BULK);
		int r = receive_more(t, s);

		if (r == 2)
			return -EBADMSG;
		if (r < 0)
			return r;
		r = turn(t, has_moved || r > 0);
		if (r < 0)
			return r;
		if (s->n_sent > start + BULK_MIN && clock_ms() > until_ms)
			break; /* a slow machine, or a busy one */
	}
	return receive_all(t, s);
}

/* Nobody reads: both senders have to be stopped, and the daemon has to be told. */
static int try_slow_readers(struct trial *t)
{
	uint64_t until = t->stream[0].n_sent + t->stream[1].n_sent + STOPPED_MAX;
	unsigned int n_still = 0;
	int r;

	t->step = "slow readers";
	while (n_still < 20) {
		bool has_moved = send_more(t, &t->stream[0], until);

		has_moved |= send_more(t, &t->stream[1], until);
		n_still = has_moved ? 0 : n_still + 1;
		if (turn(t, has_moved) < 0)
			return -ETIMEDOUT;
		/* No flood: what comes until the kernel's worker has its turn is
		 * charged to nobody, and on a busy machine that may be much. */
		poll(NULL, 0, 1);
		if (t->stream[0].n_sent + t->stream[1].n_sent >= until)
			return -ENOBUFS;
	}
	if (t->n_events == 0)
		return -ENOMSG;
	r = receive_all(t, &t->stream[1]);
	return r < 0 ? r : receive_all(t, &t->stream[0]);
}

/* The answer comes after the question has ended. */
static int try_half_close(struct trial *t)
{
	struct stream *s = &t->stream[1];
	uint64_t until = s->n_sent + ANSWER;
	int r;

	t->step = "half-close";
	shutdown(t->app[0], SHUT_WR);
	while ((r = receive_more(t, &t->stream[0])) != 2) {
		if (r < 0)
			return r;
		if (turn(t, false) < 0)
			return -ETIMEDOUT;
	}
	while (s->n_sent < until)
		if (turn(t, send_more(t, s, until)) < 0)
			return -ETIMEDOUT;
	shutdown(t->app[1], SHUT_WR);
	r = receive_all(t, s);
	while (r == 0 && (r = receive_more(t, s)) != 2) {
		if (r < 0 || turn(t, false) < 0)
			return r < 0 ? r : -ETIMEDOUT;
		r = 0;
	}
	return r == 2 ? 0 : r;
}

static int insert(struct trial *t)
{
	const struct splice_pair pair = {
		.fd = { t->end[0], t->end[1] },
		.number = NUMBER,
		.limit = LIMIT,
		.rule = "self-test",
		.client = "",
		.listener = "",
		.server = "",
	};
	bool is_in[2];
	int r = splice_insert(t->sp, &pair, is_in);

	if (r == 0 && (!is_in[0] || !is_in[1]))
		return -EOPNOTSUPP;
	return r;
}

static int try_all(struct trial *t)
{
	int r;

	t->step = "early bytes";
	for (int i = 0; i < 2; i++)
		while (send_more(t, &t->stream[i], EARLY))
			;
	r = insert(t);
	for (int i = 0; i < 2 && r == 0; i++)
		r = receive_all(t, &t->stream[i]);
	if (r == 0)
		r = try_bulk(t);
	if (r == 0)
		r = try_slow_readers(t);
	if (r == 0)
		r = try_half_close(t);
	t->step = r == 0 ? "all" : t->step;
	for (int i = 0; i < 2 && r == 0; i++)
		if (splice_session(t->sp, NUMBER)->flow[i].n_gaps)
			r = -EBADMSG;
	return r;
}

static void explain(const struct trial *t, int r, uint64_t ms, char *reason, size_t len)
{
	const char *what = r == -EBADMSG     ? "bytes were lost or repeated"
	                   : r == -ETIMEDOUT ? "bytes did not arrive"
	                   : r == -ENOBUFS   ? "the sender was not stopped"
	                   : r == -ENOMSG    ? "the daemon was not told"
	                                     : strerrordesc_np(-r);

	if (r == 0)
		snprintf(reason, len, "self-test passed (%llu MiB in %llu ms)",
		         (unsigned long long)(t->stream[0].n_sent +
		                              t->stream[1].n_sent) >>
		                 20,
		         (unsigned long long)ms);
	else
		snprintf(reason, len, "self-test failed: %s: %s", t->step, what);
}

/* So that hosts with large buffers by default stop a sender as soon as others. */
static void set_buffers(int fd)
{
	const int size = BUFFER;

	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

/* Everything that is opened is in @t, for close_all(). */
static int connect_all(struct trial *t)
{
	for (int i = 0; i < 2; i++) {
		int r = loopback_pair(&t->app[i], &t->end[i]);

		if (r < 0)
			return r;
		set_buffers(t->app[i]);
		set_buffers(t->end[i]);
		t->stream[i].in = t->app[i];
		t->stream[!i].out = t->app[i];
	}
	return 0;
}

static void close_all(struct trial *t)
{
	splice_detach(t->sp, NUMBER);
	for (int i = 0; i < 2; i++) {
		if (t->app[i] >= 0)
			close(t->app[i]);
		if (t->end[i] >= 0)
			close(t->end[i]);
	}
	splice_forget(t->sp, NUMBER);
}

static void init(struct trial *t, struct splice *sp)
{
	uint32_t x = 1;

	t->sp = sp;
	t->step = "connect";
	t->moved_ms = clock_ms();
	t->deadline_ms = t->moved_ms + TOTAL_MS;
	t->app[0] = t->app[1] = t->end[0] = t->end[1] = -1;
	for (int i = 0; i < PATTERN; i++) {
		x = x * 1664525 + 1013904223; /* Knuth, TAOCP 2, 3.3.4 */
		t->pattern[i] = t->pattern[i + PATTERN] = (char)(x >> 24);
	}
}

int splice_self_test(struct splice *sp, char *reason, size_t len)
{
	auto_free struct trial *t = calloc(1, sizeof(*t));
	uint64_t start_ms = clock_ms();
	int r;

	if (!t) {
		snprintf(reason, len, "self-test failed: out of memory");
		return -ENOMEM;
	}
	init(t, sp);
	r = connect_all(t);
	if (r == 0)
		r = try_all(t);
	close_all(t);
	explain(t, r, clock_ms() - start_ms, reason, len);
	return r;
}
