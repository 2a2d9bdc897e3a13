// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * bypassing.c - see bypassing.h.
 *
 * The daemon of the tests does what the real one has to: it asks before it sends, and
 * tells what it has relayed before it reads on (B5).
 */
#include "bypassing.h"

#include "test.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/cleanup.h"
#include "kernel/kernel.h"

/* Of a length that no buffer has, so that what is shifted does not look right. */
#define PATTERN 65521
#define PIECE 65536

static char pattern[PATTERN + PIECE];

static void make_pattern(void)
{
	uint32_t x = 1;

	for (int i = 0; i < PATTERN; i++) {
		x = x * 1664525 + 1013904223; /* Knuth, TAOCP 2, 3.3.4 */
		pattern[i] = (char)(x >> 24);
	}
	for (size_t i = PATTERN; i < sizeof(pattern); i++)
		pattern[i] = pattern[i - PATTERN];
}

static const char *bytes_at(const struct bypassing_session *s, int from,
                            uint64_t offset)
{
	return pattern + (offset + s->id * 7919 + (uint64_t)from * 24593) % PATTERN;
}

/* ---- sockets --------------------------------------------------------------- */

int bypassing_listen(const char *ip)
{
	struct addr a;
	socklen_t len;
	int fd;

	assert_ok(addr_parse_ip(ip, &a));
	len = addr_len(&a);
	fd = socket(a.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_ok(bind(fd, &a.sa, len));
	assert_ok(listen(fd, 64));
	return fd;
}

int bypassing_reach(struct bypass *bp, const struct addr *addr)
{
	int fd = socket(addr->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1;

	assert_true(fd >= 0);
	if (bp)
		assert_ok(bypass_expect(bp, fd));
	tcp_set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	assert_ok(connect(fd, &addr->sa, addr_len(addr)));
	assert_ok(ioctl(fd, FIONBIO, &on));
	return fd;
}

/* ---- from the beginning to the end ----------------------------------------- */

bool bypassing_open_mode(struct bypassing *in, bool has_verdict)
{
	const struct bypass_options options = {
		.n_sessions = BYPASSING_SESSIONS,
		.has_verdict = has_verdict,
	};
	char reason[KERNEL_REASON_LEN];
	const char *step = NULL;
	struct addr addr;
	int r = kernel_probe(reason, sizeof(reason));

	if (r == -EPERM || r == -ENOSYS || r == -ENOENT)
		test_skip("%s", reason);
	make_pattern();
	*in = (struct bypassing){ 0 };
	if (bypass_open(&options, &in->bp, &step) < 0)
		fail_msg("%s", step);
	r = bypass_self_test(in->bp, reason, sizeof(reason));
	/* That a busy machine was slow says nothing about the kernel. */
	if (r < 0 && r != -ETIMEDOUT) {
		print_message("%s verdict: %s\n", has_verdict ? "with" : "without",
		              reason);
		assert_int_equal(r, -ENOTSUP);
		bypass_close(in->bp);
		return false;
	}
	for (int i = 0; i < 2; i++)
		in->listener[i] = bypassing_listen("127.0.0.1");
	addr = tcp_local(in->listener[0]);
	assert_ok(bypass_add_listener(in->bp, &addr));
	return true;
}

void bypassing_open(struct bypassing *in)
{
	if (!bypassing_open_mode(in, false) && !bypassing_open_mode(in, true))
		test_skip("this kernel cannot bypass");
}

void bypassing_close(struct bypassing *in)
{
	close(in->listener[0]);
	close(in->listener[1]);
	bypass_close(in->bp);
}

void bypassing_connect(struct bypassing *in, struct bypassing_session *s,
                       uint32_t number)
{
	static uint32_t last_id;
	struct addr ours = tcp_local(in->listener[0]);
	struct addr theirs = tcp_local(in->listener[1]);

	memset(s, 0, sizeof(*s));
	s->in = in;
	s->number = number;
	s->id = ++last_id;
	s->app[0] = bypassing_reach(NULL, &ours);
	s->end[0] = tcp_accept(in->listener[0]);
	s->end[1] = bypassing_reach(in->bp, &theirs);
	s->app[1] = tcp_accept(in->listener[1]);
}

struct bypass_pair bypassing_wanted(const struct bypassing_session *s)
{
	return (struct bypass_pair){
		.fd = { s->end[0], s->end[1] },
		.number = s->number,
		.limit = BYPASSING_LIMIT,
		.relayed = { s->stream[0].n_relayed, s->stream[1].n_relayed },
		.rule = "rule",
		.client = "client",
		.listener = "listener",
		.server = "server",
	};
}

void bypassing_pair(struct bypassing_session *s)
{
	struct bypass_pair wanted = bypassing_wanted(s);

	assert_ok(bypass_pair(s->in->bp, &wanted));
	s->is_paired = true;
}

void bypassing_start(struct bypassing *in, struct bypassing_session *s)
{
	bypassing_open(in);
	bypassing_connect(in, s, 1);
	bypassing_pair(s);
}

void bypassing_end(struct bypassing_session *s)
{
	bypass_unpair(s->in->bp, s->number);
	s->is_paired = false;
	for (int i = 0; i < 2; i++) {
		if (s->app[i] >= 0)
			close(s->app[i]);
		if (s->end[i] >= 0)
			close(s->end[i]);
		s->app[i] = s->end[i] = -1;
	}
}

void bypassing_stop(struct bypassing_session *s)
{
	bypassing_end(s);
	bypassing_close(s->in);
}

/* ---- the applications ------------------------------------------------------ */

size_t bypassing_send_some(struct bypassing_session *s, int from, size_t max)
{
	struct bypassing_stream *stream = &s->stream[from];
	ssize_t n = send(s->app[from], bytes_at(s, from, stream->n_sent),
	                 max < PIECE ? max : PIECE, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0) {
		assert_int_equal(errno, EAGAIN);
		return 0;
	}
	stream->n_sent += (uint64_t)n;
	return (size_t)n;
}

void bypassing_send(struct bypassing_session *s, int from, size_t n)
{
	assert_int_equal(bypassing_send_some(s, from, n), n);
}

ssize_t bypassing_receive_some(struct bypassing_session *s, int from, size_t max)
{
	struct bypassing_stream *stream = &s->stream[from];
	char buffer[PIECE];
	ssize_t n;

	n = recv(s->app[!from], buffer, max < PIECE ? max : PIECE, MSG_DONTWAIT);
	if (n < 0)
		assert_int_equal(errno, EAGAIN);
	if (n <= 0)
		return n == 0 ? -1 : 0;
	assert_memory_equal(buffer, bytes_at(s, from, stream->n_received), (size_t)n);
	stream->n_received += (uint64_t)n;
	assert_true(s->has_threads || stream->n_received <= stream->n_sent);
	return n;
}

void bypassing_receive(struct bypassing_session *s, int from)
{
	const struct bypassing_stream *stream = &s->stream[from];

	bypassing_until(s, stream->n_received == stream->n_sent ||
	                           bypassing_receive_some(s, from, PIECE) < 0);
	assert_int_equal(stream->n_received, stream->n_sent);
}

void bypassing_receive_end(struct bypassing_session *s, int from)
{
	bypassing_receive(s, from);
	bypassing_until(s, bypassing_receive_some(s, from, 1) < 0);
}

/* ---- the daemon ------------------------------------------------------------ */

static void take_up(struct bypassing_session *s, int from)
{
	struct bypassing_held *h = &s->held[from];
	ssize_t n = recv(s->end[from], h->bytes, sizeof(h->bytes), MSG_DONTWAIT);

	h->offset = 0;
	h->len = n > 0 ? (size_t)n : 0;
	h->has_eof = n == 0;
}

static void relay(struct bypassing_session *s, int from)
{
	struct bypassing_stream *stream = &s->stream[from];
	struct bypassing_held *h = &s->held[from];
	ssize_t n;

	if (h->has_ended)
		return;
	if (h->len == 0 && !h->has_eof)
		take_up(s, from);
	if (h->len == 0) {
		if (h->has_eof)
			shutdown(s->end[!from], SHUT_WR);
		h->has_ended = h->has_eof;
		return;
	}
	if (s->is_paired &&
	    !bypass_may_send(s->in->bp, s->number, from, (uint32_t)h->len))
		return;
	n = send(s->end[!from], h->bytes + h->offset, h->len,
	         MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n <= 0)
		return;
	h->offset += (size_t)n;
	h->len -= (size_t)n;
	stream->n_relayed += (uint64_t)n;
	if (s->is_paired)
		bypass_relayed(s->in->bp, s->number, from, stream->n_relayed);
}

void bypassing_turn(struct bypassing_session *s)
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
	relay(s, 0);
	relay(s, 1);
}

/* ---- what the kernel knows ------------------------------------------------- */

/* The map has no name in the file system unless somebody pins it. */
static int open_applications(const struct bypassing *in)
{
	char dir[64], path[128];
	int fd;

	snprintf(dir, sizeof(dir), "/sys/fs/bpf/g5x-test-bypass-%d", getpid());
	snprintf(path, sizeof(path), "%s/bypass/applications", dir);
	fd = bpf_obj_get(path);
	if (fd < 0 && bypass_pin(in->bp, dir) == 0)
		fd = bpf_obj_get(path);
	return fd;
}

bool bypassing_is_noted(const struct bypassing *in, int fd)
{
	auto_close int map = open_applications(in);
	struct g5x_cookie key;
	struct g5x_socket value;
	socklen_t len = sizeof(key);
	int r;

	if (map < 0)
		test_skip("no bpffs at /sys/fs/bpf");
	assert_ok(getsockopt(fd, SOL_SOCKET, SO_COOKIE, &key, &len));
	r = bpf_map_lookup_elem(map, &key, &value);
	assert_true(r == 0 || r == -ENOENT);
	return r == 0;
}

uint32_t bypassing_n_charged(int fd)
{
	uint32_t info[SK_MEMINFO_VARS] = { 0 };
	socklen_t len = sizeof(info);

	assert_ok(getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &len));
	return info[SK_MEMINFO_RMEM_ALLOC];
}

uint32_t bypassing_n_readable(int fd)
{
	int n = -1;

	assert_ok(ioctl(fd, FIONREAD, &n));
	assert_true(n >= 0);
	return (uint32_t)n;
}

size_t bypassing_n_waiting(int fd)
{
	static char bytes[65536];
	ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_PEEK | MSG_DONTWAIT);

	if (n < 0)
		assert_int_equal(errno, EAGAIN);
	return n < 0 ? 0 : (size_t)n;
}

uint32_t bypassing_n_unsent(int fd)
{
	int n = -1;

	assert_ok(ioctl(fd, SIOCOUTQ, &n));
	assert_true(n >= 0);
	return (uint32_t)n;
}
