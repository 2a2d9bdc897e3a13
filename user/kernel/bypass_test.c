// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * bypass_test.c - does bypassing keep every byte on this kernel, and every limit?
 *
 *     app[0] <──TCP──> end[0] │ session 1 │ end[1] <──TCP──> app[1]
 *
 * One thread plays all: both applications, and the daemon on the long way.
 *
 * A receive queue that is not charged for what is put into it (before 6.1.123 and 6.12.8)
 * would have no limit. Where FIONREAD is wrong (6.1.192 does not count the queue) programs
 * that ask how much there is to be read stop reading.
 */
#include "kernel/bypass.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"

#define NUMBER 1
#define LIMIT (1U << 20)
#define FEW 1000
#define BULK (16U << 20)
#define BULK_MIN (2U << 20)
#define BULK_TIME_MS 300

#define STILL_MS 1000 /* nothing has moved for so long: it is stuck */
#define TOTAL_MS 3000

/* Of a length that no buffer has, so that what is shifted does not look right. */
#define PATTERN 65521

struct trial {
	struct bypass *bp;
	int app[2], end[2]; /* client's, server's */
	char held[2][32768];
	size_t offset[2], len[2]; /* of what the daemon holds, from each end */
	bool has_eof[2];
	uint64_t n_relayed[2];
	uint64_t n_sent[2], n_received[2];
	uint64_t deadline_ms, moved_ms;
	const char *step;
	char pattern[2 * PATTERN];
	char buffer[PATTERN];
};

/* ---- the sockets ----------------------------------------------------------- */

static int listen_on_loopback(struct addr *ret_addr)
{
	struct addr a = { .in4 = { .sin_family = AF_INET,
		                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) } };
	socklen_t len = addr_len(&a);
	auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, &a.sa, len) < 0 || listen(fd, 1) < 0 ||
	    getsockname(fd, &a.sa, &len) < 0)
		return -errno;
	*ret_addr = a;
	return take_fd(fd);
}

/* @bp: expects the connection; NULL: it is the client's. */
static int connect_to(struct bypass *bp, int listener, const struct addr *addr,
                      int *ret_near, int *ret_far)
{
	auto_close int near = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r;

	if (near < 0)
		return -errno;
	r = bp ? bypass_expect(bp, near) : 0;
	if (r < 0)
		return r;
	if (connect(near, &addr->sa, addr_len(addr)) < 0)
		return -errno;
	*ret_far = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	if (*ret_far < 0)
		return -errno;
	*ret_near = take_fd(near);
	return 0;
}

static int open_session(struct trial *t)
{
	struct addr addr[2];
	auto_close int ours = listen_on_loopback(&addr[0]);
	auto_close int theirs = listen_on_loopback(&addr[1]);
	int r;

	t->step = "cannot connect over loopback";
	if (ours < 0 || theirs < 0)
		return ours < 0 ? ours : theirs;
	r = bypass_add_listener(t->bp, &addr[0]);
	if (r == 0)
		r = connect_to(NULL, ours, &addr[0], &t->app[0], &t->end[0]);
	if (r == 0)
		r = connect_to(t->bp, theirs, &addr[1], &t->end[1], &t->app[1]);
	bypass_forget_listeners(t->bp);
	return r;
}

static int pair(struct trial *t)
{
	const struct bypass_pair p = {
		.fd = { t->end[0], t->end[1] },
		.number = NUMBER,
		.limit = LIMIT,
		.rule = "self-test",
		.client = "",
		.listener = "",
		.server = "",
	};

	t->step = "the applications' sockets were not found";
	return bypass_pair(t->bp, &p);
}

static void close_session(struct trial *t)
{
	bypass_unpair(t->bp, NUMBER);
	for (int i = 0; i < 2; i++) {
		cleanup_close(&t->app[i]);
		cleanup_close(&t->end[i]);
	}
}

/* ---- who does what --------------------------------------------------------- */

static void relay(struct trial *t, int from)
{
	ssize_t n;

	if (t->len[from] == 0 && !t->has_eof[from]) {
		n = recv(t->end[from], t->held[from], sizeof(t->held[from]),
		         MSG_DONTWAIT);
		t->offset[from] = 0;
		t->len[from] = n > 0 ? (size_t)n : 0;
		t->has_eof[from] = n == 0;
		if (n == 0)
			shutdown(t->end[!from], SHUT_WR);
	}
	if (t->len[from] == 0 ||
	    !bypass_may_send(t->bp, NUMBER, from, (uint32_t)t->len[from]))
		return;
	n = send(t->end[!from], t->held[from] + t->offset[from], t->len[from],
	         MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n <= 0)
		return;
	t->offset[from] += (size_t)n;
	t->len[from] -= (size_t)n;
	t->n_relayed[from] += (uint64_t)n;
	bypass_relayed(t->bp, NUMBER, from, t->n_relayed[from]);
}

static bool send_more(struct trial *t, int from, uint64_t until)
{
	uint64_t left = until - t->n_sent[from];
	/* Of all sizes: what is cut anywhere has to fit together again. */
	uint64_t most = 1 + t->n_sent[from] * 31 % PATTERN;
	ssize_t n;

	if (left == 0)
		return false;
	n = send(t->app[from], t->pattern + t->n_sent[from] % PATTERN,
	         left < most ? left : most, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n > 0)
		t->n_sent[from] += (uint64_t)n;
	return n > 0;
}

/* Return: 1 when something came, 0 when not, 2 at the end; -EBADMSG. */
static int receive_more(struct trial *t, int from)
{
	ssize_t n = recv(t->app[!from], t->buffer, sizeof(t->buffer), MSG_DONTWAIT);

	if (n <= 0)
		return n == 0 ? 2 : 0;
	if (t->n_received[from] + (uint64_t)n > t->n_sent[from] ||
	    memcmp(t->buffer, t->pattern + t->n_received[from] % PATTERN, (size_t)n))
		return -EBADMSG;
	t->n_received[from] += (uint64_t)n;
	return 1;
}

static int turn(struct trial *t, bool has_moved)
{
	uint64_t now_ms = clock_ms();

	relay(t, 0);
	relay(t, 1);
	if (has_moved)
		t->moved_ms = now_ms;
	else
		poll(NULL, 0, 1);
	return now_ms > t->deadline_ms || now_ms > t->moved_ms + STILL_MS ? -ETIMEDOUT
	                                                                  : 0;
}

/* ---- the trials ------------------------------------------------------------ */

static const struct g5x_bypass_flow *flow_of(const struct trial *t, int from)
{
	return &bypass_session(t->bp, NUMBER)->flow[from];
}

static int n_readable(int fd)
{
	int n = -1;

	return ioctl(fd, FIONREAD, &n) < 0 ? -1 : n;
}

static uint32_t n_charged(int fd)
{
	uint32_t info[SK_MEMINFO_VARS] = { 0 };
	socklen_t len = sizeof(info);

	getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &len);
	return info[SK_MEMINFO_RMEM_ALLOC];
}

/* Until all that was sent from @from has come. */
static int receive_all(struct trial *t, int from)
{
	int r = 0;

	while (t->n_received[from] < t->n_sent[from]) {
		int got = receive_more(t, from);

		if (got < 0)
			return got;
		r = turn(t, got == 1);
		if (r < 0)
			return r;
	}
	return 0;
}

static int wait_until_readable(int fd)
{
	struct pollfd readable = { .fd = fd, .events = POLLIN };

	return poll(&readable, 1, STILL_MS) == 1 ? 0 : -ETIMEDOUT;
}

/* Not paired yet: a few bytes of ours, by TCP. */
static int try_tcp(struct trial *t, int side)
{
	bool is_known;
	int r;

	t->step = "bytes did not arrive";
	if (send(t->end[side], t->pattern, FEW, 0) != FEW)
		return -errno;
	r = wait_until_readable(t->app[side]);
	if (r < 0)
		return r;
	is_known = n_readable(t->app[side]) == FEW;
	if (recv(t->app[side], t->buffer, FEW, 0) != FEW ||
	    memcmp(t->buffer, t->pattern, FEW))
		return -EBADMSG;
	t->step = "FIONREAD is wrong";
	return is_known && n_readable(t->app[side]) == 0 ? 0 : -ENOTSUP;
}

static int send_few(struct trial *t, int from)
{
	if (send(t->app[from], t->pattern + t->n_sent[from] % PATTERN, FEW,
	         MSG_DONTWAIT) != FEW)
		return -errno;
	t->n_sent[from] += FEW;
	return 0;
}

/* A few bytes by the short way, and what the reader is told of them; then as many by the
 * long one, for the queue has no room. */
static int try_ways(struct trial *t, int from)
{
	uint32_t *limit = &bypass_session(t->bp, NUMBER)->limit;
	uint64_t direct = flow_of(t, from)->direct;
	int r = send_few(t, from);

	t->step = "bytes did not go the short way";
	if (r < 0 || flow_of(t, from)->direct != direct + FEW)
		return r < 0 ? r : -ENOTSUP;
	t->step = "a receive queue is not charged";
	if (n_charged(t->app[!from]) < FEW)
		return -ENOTSUP;
	t->step = "FIONREAD is wrong";
	if (n_readable(t->app[!from]) != FEW)
		return -ENOTSUP;
	*limit = FEW;
	r = send_few(t, from);
	*limit = LIMIT;
	t->step = "bytes did not go the long way";
	if (r < 0 || flow_of(t, from)->direct != direct + FEW)
		return r < 0 ? r : -ENOTSUP;
	t->step = "bytes did not arrive";
	return receive_all(t, from);
}

/* As much as there is time for, both ways at once; readers rest now and then. */
static int exchange(struct trial *t)
{
	uint64_t until[2] = { t->n_sent[0] + BULK, t->n_sent[1] + BULK };
	uint64_t end_ms = clock_ms() + BULK_TIME_MS;
	uint64_t turns = 0;
	int r = 0;

	t->step = "bytes did not arrive";
	while (r == 0 && (t->n_received[0] < until[0] || t->n_received[1] < until[1])) {
		bool has_moved = false;

		turns++;
		for (int from = 0; from < 2; from++) {
			has_moved |= send_more(t, from, until[from]);
			if (turns % 256 < 64 && turns % 2 == (uint64_t)from)
				continue;
			r = receive_more(t, from);
			if (r < 0)
				return r;
			has_moved |= r == 1;
		}
		r = turn(t, has_moved);
		for (int from = 0; clock_ms() > end_ms && from < 2; from++)
			if (t->n_sent[from] > BULK_MIN)
				until[from] = t->n_sent[from];
	}
	return r;
}

/* The end comes after the last bytes, and the other direction goes on. */
static int try_end(struct trial *t, int from)
{
	int r;

	t->step = "a half-close did not arrive in order";
	for (int i = 0; i < 16; i++)
		send_more(t, from, t->n_sent[from] + FEW);
	shutdown(t->app[from], SHUT_WR);
	r = receive_all(t, from);
	while (r == 0) {
		r = receive_more(t, from);
		if (r == 2)
			return 0;
		if (r == 0)
			r = turn(t, false);
		else
			r = -EBADMSG;
	}
	return r;
}

static int try_all(struct trial *t)
{
	int r = open_session(t);

	for (int side = 0; side < 2 && r == 0; side++)
		r = try_tcp(t, side);
	if (r == 0)
		r = pair(t);
	for (int from = 0; from < 2 && r == 0; from++)
		r = try_ways(t, from);
	if (r == 0)
		r = exchange(t);
	for (int from = 0; from < 2 && r == 0; from++)
		r = try_end(t, from);
	return r;
}

int bypass_self_test(struct bypass *bp, char *reason, size_t len)
{
	static struct trial
	        t; /* too much for a stack; nobody calls this twice at once */
	uint64_t start_ms = clock_ms();
	int r;

	memset(&t, 0, sizeof(t));
	t.bp = bp;
	t.app[0] = t.app[1] = t.end[0] = t.end[1] = -1;
	t.moved_ms = start_ms;
	t.deadline_ms = start_ms + TOTAL_MS;
	for (size_t i = 0; i < sizeof(t.pattern); i++)
		t.pattern[i] = (char)((i % PATTERN) * 2654435761U >> 13);
	r = try_all(&t);
	close_session(&t);
	if (r == 0)
		snprintf(
		        reason, len, "self-test passed (%llu MiB in %llu ms)",
		        (unsigned long long)((t.n_received[0] + t.n_received[1]) >> 20),
		        (unsigned long long)(clock_ms() - start_ms));
	else
		snprintf(reason, len, "self-test failed: %s%s", t.step,
		         r == -EBADMSG ? " (wrong bytes)" : "");
	return r;
}
