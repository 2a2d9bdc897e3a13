// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
#include "splicing.h"

#include "test.h"

#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kernel/kernel.h"

/* Of a length that no buffer has, so that what is shifted does not look right. */
#define PATTERN 65521
#define PIECE 32768

/* Nothing has moved for so many milliseconds: nothing will. */
#define STILL 30

static char pattern[PATTERN + PIECE];

static void make_pattern(void)
{
	uint32_t x = 1;

	for (int i = 0; i < PATTERN; i++) {
		x = x * 1664525 + 1013904223; /* Knuth, TAOCP 2, 3.3.4 */
		pattern[i] = (char)(x >> 24);
	}
	memcpy(pattern + PATTERN, pattern, PIECE);
}

static const char *bytes_at(const struct splicing_session *s, int from, uint64_t offset)
{
	return pattern + (offset + s->id * 7919 + (uint64_t)from * 24593) % PATTERN;
}

/* ---- from the beginning to the end ----------------------------------------- */

void splicing_need(void)
{
	char reason[KERNEL_REASON_LEN];
	int r = kernel_probe(reason, sizeof(reason));

	if (r == -EPERM || r == -ENOSYS || r == -ENOENT)
		test_skip("%s", reason);
}

void splicing_open(struct splicing *in)
{
	const struct splice_options options = {
		.n_sessions = SPLICING_SESSIONS,
		.n_workers = 1,
	};
	const char *step = NULL;

	splicing_need();
	make_pattern();
	*in = (struct splicing){ 0 };
	if (splice_open(&options, &in->sp, &step) < 0)
		fail_msg("%s", step);
}

void splicing_close(struct splicing *in)
{
	splice_close(in->sp);
}

void splicing_connect(struct splicing *in, struct splicing_session *s, uint32_t number)
{
	static uint32_t last_id;

	memset(s, 0, sizeof(*s));
	s->in = in;
	s->number = number;
	s->id = ++last_id;
	tcp_pair(&s->app[0], &s->end[0]);
	tcp_pair(&s->end[1], &s->app[1]);
}

struct splice_pair splicing_pair(const struct splicing_session *s)
{
	return (struct splice_pair){
		.fd = { s->end[0], s->end[1] },
		.number = s->number,
		.generation = s->id,
		.limit = SPLICING_LIMIT,
		.rule = "rule",
		.client = "client",
		.listener = "listener",
		.server = "server",
	};
}

void splicing_insert(struct splicing_session *s, uint32_t limit)
{
	struct splice_pair pair = splicing_pair(s);
	bool is_in[2] = { false, false };

	pair.limit = limit;
	assert_ok(splice_insert(s->in->sp, &pair, is_in));
	assert_true(is_in[0] && is_in[1]);
}

void splicing_start(struct splicing *in, struct splicing_session *s, uint32_t limit)
{
	splicing_open(in);
	splicing_connect(in, s, 1);
	splicing_insert(s, limit);
}

void splicing_end(struct splicing_session *s)
{
	splice_detach(s->in->sp, s->number);
	for (int i = 0; i < 2; i++) {
		if (s->app[i] >= 0)
			close(s->app[i]);
		if (s->end[i] >= 0)
			close(s->end[i]);
		s->app[i] = s->end[i] = -1;
	}
	splice_forget(s->in->sp, s->number);
}

void splicing_stop(struct splicing_session *s)
{
	splicing_end(s);
	splicing_close(s->in);
}

void splicing_block(struct splicing_session *s, int from)
{
	tcp_set_option(s->end[!from], SOL_SOCKET, SO_SNDBUF, SPLICING_LIMIT / 2);
	s->stream[from].n_filler = tcp_fill(s->end[!from]);
}

/* ---- the applications ------------------------------------------------------ */

size_t splicing_send_some(struct splicing_session *s, int from, size_t max)
{
	struct splicing_stream *stream = &s->stream[from];
	ssize_t n = send(s->app[from], bytes_at(s, from, stream->n_sent),
	                 max < PIECE ? max : PIECE, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0) {
		assert_int_equal(errno, EAGAIN);
		return 0;
	}
	stream->n_sent += (uint64_t)n;
	return (size_t)n;
}

void splicing_send(struct splicing_session *s, int from, size_t n)
{
	assert_int_equal(splicing_send_some(s, from, n), n);
}

uint64_t splicing_fill(struct splicing_session *s, int from, uint64_t max)
{
	uint64_t start = s->stream[from].n_sent;

	for (int n_still = 0; n_still < STILL;) {
		uint64_t n = s->stream[from].n_sent - start;

		if (n >= max)
			break;
		if (splicing_send_some(s, from, max - n) > 0) {
			n_still = 0;
			continue;
		}
		n_still++;
		poll(NULL, 0, 1);
	}
	return s->stream[from].n_sent - start;
}

static ssize_t skip_filler(struct splicing_stream *stream, int fd)
{
	char zeros[4096];
	ssize_t n = recv(fd, zeros,
	                 stream->n_filler < sizeof(zeros) ? stream->n_filler
	                                                  : sizeof(zeros),
	                 MSG_DONTWAIT);

	assert_true(n != 0);
	if (n > 0)
		stream->n_filler -= (uint64_t)n;
	return n;
}

ssize_t splicing_receive_some(struct splicing_session *s, int from, size_t max)
{
	struct splicing_stream *stream = &s->stream[from];
	char buffer[PIECE];
	ssize_t n;

	while (stream->n_filler > 0) {
		if (skip_filler(stream, s->app[!from]) < 0)
			return 0;
	}
	n = recv(s->app[!from], buffer, max < PIECE ? max : PIECE, MSG_DONTWAIT);
	if (n < 0)
		assert_int_equal(errno, EAGAIN);
	if (n <= 0)
		return n == 0 ? -1 : 0;
	assert_memory_equal(buffer, bytes_at(s, from, stream->n_received), (size_t)n);
	stream->n_received += (uint64_t)n;
	assert_true(stream->n_received <= stream->n_sent);
	return n;
}

void splicing_receive(struct splicing_session *s, int from)
{
	const struct splicing_stream *stream = &s->stream[from];

	splicing_until(s, splicing_receive_some(s, from, PIECE) < 0 ||
	                          stream->n_received == stream->n_sent);
	assert_int_equal(stream->n_received, stream->n_sent);
}

void splicing_receive_end(struct splicing_session *s, int from)
{
	splicing_receive(s, from);
	splicing_until(s, splicing_receive_some(s, from, 1) < 0);
}

/* ---- the daemon ------------------------------------------------------------ */

static void on_event(void *ctx, const struct g5x_event *event)
{
	struct splicing *in = ctx;

	in->n_events++;
	in->event = *event;
}

static void take_up(struct splicing_session *s, int from)
{
	struct splicing_held *h = &s->held[from];
	ssize_t n = recv(s->end[from], h->bytes, sizeof(h->bytes), MSG_DONTWAIT);

	h->offset = 0;
	h->len = n > 0 ? (size_t)n : 0;
	if (n == 0 && splice_n_passed(s->in->sp, s->number, from) ==
	                      splice_n_relayed(s->in->sp, s->number, from))
		h->has_eof = true;
}

static void relay(struct splicing_session *s, int from)
{
	struct splicing_held *h = &s->held[from];
	ssize_t n;

	if (h->has_ended)
		return;
	if (h->len == 0 && !h->has_eof)
		take_up(s, from);
	if ((h->len == 0 && !h->has_eof) ||
	    !splice_is_drained(s->in->sp, s->number, from, s->end[!from]))
		return;
	if (h->len == 0) {
		shutdown(s->end[!from], SHUT_WR);
		h->has_ended = true;
		return;
	}
	n = send(s->end[!from], h->bytes + h->offset, h->len,
	         MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n <= 0)
		return;
	h->offset += (size_t)n;
	h->len -= (size_t)n;
	splice_relayed(s->in->sp, s->number, from, (uint32_t)n);
}

void splicing_turn(struct splicing_session *s)
{
	struct pollfd p[] = {
		{ .fd = s->app[0], .events = POLLIN },
		{ .fd = s->app[1], .events = POLLIN },
		{ .fd = s->end[0], .events = POLLIN },
		{ .fd = s->end[1], .events = POLLIN },
	};

	poll(p, 4, 1);
	if (s->is_held_up)
		return;
	if (!splice_read_events(s->in->sp, 0, on_event, s->in))
		s->in->n_losses++;
	relay(s, 0);
	relay(s, 1);
}

/* ---- what the kernel knows ------------------------------------------------- */

uint64_t splicing_n_seen(const struct splicing_session *s, int from)
{
	return splice_n_redirected(s->in->sp, s->number, from) +
	       splice_n_passed(s->in->sp, s->number, from);
}

static uint64_t n_acknowledged(int fd)
{
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);

	assert_ok(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len));
	return info.tcpi_bytes_acked;
}

uint64_t splicing_n_unsent(int fd)
{
	int n;

	assert_ok(ioctl(fd, SIOCOUTQ, &n));
	return (uint64_t)n;
}

uint64_t splicing_n_written(int fd)
{
	uint64_t before = n_acknowledged(fd);

	for (;;) {
		uint64_t n = splicing_n_unsent(fd);
		uint64_t after = n_acknowledged(fd);

		if (after == before)
			return before + n;
		before = after;
	}
}

bool splicing_is_forgotten(const struct splicing *in, uint32_t number)
{
	static const struct g5x_session forgotten;

	return !memcmp(splice_session(in->sp, number), &forgotten, sizeof(forgotten));
}

void splicing_assert_whole(const struct splicing_session *s)
{
	assert_int_equal(splicing_flow(s, 0)->n_gaps, 0);
	assert_int_equal(splicing_flow(s, 1)->n_gaps, 0);
	assert_int_equal(splice_totals(s->in->sp)->gaps, 0);
	assert_int_equal(splice_totals(s->in->sp)->trimmed, 0);
}
