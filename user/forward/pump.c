// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * pump.c - moves the bytes of one direction through the daemon; see pump.h.
 *
 * Read from one end into the worker's scratch buffer, send to the other. What the
 * destination does not take at once stays in that buffer, which then belongs to the
 * direction until it is empty (the worker borrows another), and nothing more is read
 * from the source: TCP's own window stops the sender. So a session holds at most one
 * buffer for each direction, and none while it is idle.
 *
 * Sockets are watched edge-triggered. is_readable and is_writable remember an edge until
 * a call says EAGAIN (or reads less than it asked for, which for a stream socket means
 * the same, see epoll(7); not for a spliced one, where the receive call that says EAGAIN
 * is also what orders our counters before the kernel's next look at them).
 *
 * I1: bytes of a direction leave in the order they came: nothing is read while
 *     flow->len > 0.
 * I2: shutdown(destination) only when has_eof and flow->len == 0.
 *
 * Of a spliced source the kernel forwards some bytes itself and passes others up. I1, I2
 * and I4 of kernel/splice.h are kept here: see may_write() and read_end().
 */
#include "forward/pump.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "forward/bypassed.h"
#include "forward/session.h"
#include "forward/worker.h"
#include "kernel/bypass.h"
#include "kernel/splice.h"
#include "rules/balance.h"
#include "rules/config.h"
#include "rules/state.h"

/* Bytes for one direction before others get their turn. */
#define SHARE (256U << 10)

/* @from: the end that the bytes came from. */
static void note_bytes(struct worker *w, struct session *s, int from, size_t n)
{
	log_debug("transfer #%d# [%zu]bytes to #%d#", s->end[from].fd, n,
	          s->end[!from].fd);
	s->flow[from].n_bytes += n;
	if (s->datapath == DATAPATH_BYPASS) /* B5 of kernel/bypass.h */
		bypass_relayed(w->bypass, worker_number(w, s), from,
		               s->flow[from].n_bytes);
	s->last_active_ms = w->now_ms;
	if (s->may_promote && from != s->last_from) {
		s->last_from = (uint8_t)from;
		s->n_turns++;
	}
	if (from == SERVER && s->first_byte_us == 0)
		s->first_byte_us = w->now_us;
}

/* RT: from the last byte of a request to the first of its response. The kernel measures
 * where it sees both. */
static void measure_response(struct session *s, int from)
{
	if (!s->measures_response || s->datapath == DATAPATH_BYPASS ||
	    (s->end[CLIENT].is_spliced && s->end[SERVER].is_spliced))
		return;
	if (from == CLIENT) {
		s->request_us = clock_us();
	} else if (s->request_us != 0) {
		balance_responded(state_get(STATE_RULE, s->rule),
		                  state_get(STATE_SERVER, s->server),
		                  clock_us() - s->request_us);
		s->request_us = 0;
	}
}

/*
 * Passed bytes are charged to their socket without being reserved. When TCP is short of
 * memory a send to such a socket fails with EFAULT (6.18, tcp_wmem_schedule() takes the
 * negative reserve for a size); one into the queue of a bypassed reader, with ENOMEM.
 * Later it will do.
 */
static bool is_for_later(const struct session *s, int to, int error)
{
	return (s->end[to].is_spliced || s->datapath == DATAPATH_BYPASS) &&
	       (error == EFAULT || error == ENOBUFS || error == ENOMEM);
}

/*
 * @flags: MSG_MORE when the FIN follows at once, to go in one segment with the bytes.
 *
 * Return: how many were sent; -EAGAIN for "look again", another -errno for a dead end.
 */
static ssize_t send_some(struct worker *w, struct session *s, int to,
                         const struct iovec *data, int flags)
{
	size_t len = data->iov_len;
	ssize_t n;

	if (!s->end[to].is_writable)
		return 0;
	if (s->datapath == DATAPATH_BYPASS)
		len = bypassed_n_to_send(w, s, !to, len);
	if (len == 0)
		return -EAGAIN;
	if (len < data->iov_len)
		flags &= ~MSG_MORE;
	n = TEMP_FAILURE_RETRY(send(s->end[to].fd, data->iov_base, len,
	                            MSG_NOSIGNAL | MSG_DONTWAIT | flags));
	if (n < 0 && is_for_later(s, to, errno))
		return -EAGAIN;
	if (n < 0 && errno != EAGAIN) {
		log_debug("send to #%d# failed: %s", s->end[to].fd,
		          strerrordesc_np(errno));
		/* An error is told once: after this one a read says 0, as it does at a
		 * FIN. EPIPE is for a reset that came after the FIN. */
		s->end[to].is_cut = errno != EPIPE;
		return -errno;
	}
	/* Whether by a queue or by TCP: of a sockmap's socket epoll does not always tell when
	 * there is room again (without memory for a message there is nothing in flight). */
	if (s->datapath == DATAPATH_BYPASS)
		return n < 0 ? -EAGAIN : n;
	if (n < 0 || (size_t)n < len)
		s->end[to].is_writable = false;
	return n < 0 ? 0 : n;
}

/* ---- spliced sources ------------------------------------------------------- */

/*
 * I1 of kernel/splice.h. Once seen it holds as long as the kernel has to pass up what
 * follows, that is, while something passed is not relayed.
 */
static bool may_write(struct worker *w, struct session *s, int from)
{
	struct session_flow *f = &s->flow[from];

	if (!s->end[from].is_spliced || f->is_drained)
		return true;
	f->is_drained = splice_is_drained(w->splice, worker_number(w, s), from,
	                                  s->end[!from].fd);
	return f->is_drained;
}

static void note_relayed(struct worker *w, struct session *s, int from, size_t n)
{
	if (n > 0 && s->end[from].is_spliced &&
	    !splice_relayed(w->splice, worker_number(w, s), from, (uint32_t)n))
		s->flow[from].is_drained = false;
}

/* I4 of kernel/splice.h: never more than was passed. @n: bytes read, not yet relayed. Nor
 * may any be missing before them. */
static bool is_counted(struct worker *w, struct session *s, int from, size_t n)
{
	uint32_t number = worker_number(w, s);

	return !s->end[from].is_spliced ||
	       (splice_session(w->splice, number)->flow[from].n_gaps == 0 &&
	        splice_n_relayed(w->splice, number, from) + n <=
	                splice_n_passed(w->splice, number, from));
}

/* A read said 0. Of a spliced socket it may say so while passed bytes are still on their
 * way into the receive queue. */
static enum pump_result read_end(struct worker *w, struct session *s, int from)
{
	uint32_t number = worker_number(w, s);

	if (s->end[from].is_spliced) {
		if (splice_session(w->splice, number)->flow[from].n_gaps > 0)
			return PUMP_FAULT;
		if (splice_n_passed(w->splice, number, from) !=
		    splice_n_relayed(w->splice, number, from))
			return PUMP_BEHIND;
	}
	s->end[from].is_readable = false;
	s->flow[from].has_eof = true;
	return PUMP_MORE;
}

/* ---- one direction --------------------------------------------------------- */

/* Send what waits in the direction's own buffer. */
static enum pump_result flush(struct worker *w, struct session *s, int from)
{
	struct session_flow *f = &s->flow[from];
	struct iovec rest = { .iov_len = f->len };
	ssize_t n;

	if (!may_write(w, s, from))
		return PUMP_DRAIN;
	rest.iov_base = pool_buffer(&w->pool, f->buffer) + f->offset;
	n = send_some(w, s, !from, &rest, 0);
	if (n < 0)
		return n == -EAGAIN ? PUMP_DRAIN : PUMP_DEST_DEAD;
	if (n == 0)
		return PUMP_WAIT;
	note_bytes(w, s, from, (size_t)n);
	note_relayed(w, s, from, (size_t)n);
	if (from == CLIENT)
		measure_response(s, from);
	f->offset += (uint32_t)n;
	f->len -= (uint32_t)n;
	if (f->len > 0)
		return s->datapath == DATAPATH_BYPASS ? PUMP_MORE : PUMP_WAIT;
	pool_return(&w->pool, f->buffer);
	f->buffer = 0;
	return PUMP_MORE;
}

/* The scratch buffer becomes the direction's; @n of @len bytes in it are sent. */
static enum pump_result keep_rest(struct worker *w, struct session *s, int from,
                                  size_t n, size_t len)
{
	struct session_flow *f = &s->flow[from];
	uint32_t scratch = pool_borrow(&w->pool);

	if (scratch == 0)
		return PUMP_NO_MEMORY;
	f->buffer = w->scratch;
	f->offset = (uint32_t)n;
	f->len = (uint32_t)(len - n);
	w->scratch = scratch;
	return PUMP_WAIT;
}

/*
 * The FIN was there before the read, and nothing that could cut a read short: so a short
 * read took the last bytes, and the next would say 0. A reset shuts down as well, but
 * never without an error (tcp_reset() sets sk_err first, tcp_poll() reads it last).
 */
static bool has_whole_stream(const struct session_end *src)
{
	return src->has_fin && !src->has_error && !src->is_cut && !src->is_urgent &&
	       !src->is_spliced;
}

/* Send the @n bytes in the scratch buffer. */
static enum pump_result send_scratch(struct worker *w, struct session *s, int from,
                                     size_t n)
{
	const struct iovec data = {
		.iov_base = pool_buffer(&w->pool, w->scratch),
		.iov_len = n,
	};
	ssize_t n_sent = -EAGAIN;
	enum pump_result r;

	if (may_write(w, s, from))
		n_sent = send_some(w, s, !from, &data,
		                   s->flow[from].has_eof ? MSG_MORE : 0);
	if (n_sent == -EAGAIN)
		return keep_rest(w, s, from, 0, n) == PUMP_WAIT ? PUMP_DRAIN
		                                                : PUMP_NO_MEMORY;
	if (n_sent < 0)
		return PUMP_DEST_DEAD;
	note_bytes(w, s, from, (size_t)n_sent);
	note_relayed(w, s, from, (size_t)n_sent);
	if (from == CLIENT)
		measure_response(s, from);
	if ((size_t)n_sent == n)
		return PUMP_MORE;
	r = keep_rest(w, s, from, (size_t)n_sent, n);
	return r == PUMP_WAIT && s->datapath == DATAPATH_BYPASS ? PUMP_MORE : r;
}

/* Read once and send. *@share goes down by what was read. */
static enum pump_result read_and_send(struct worker *w, struct session *s, int from,
                                      size_t *share)
{
	struct session_end *src = &s->end[from];
	char *scratch = pool_buffer(&w->pool, w->scratch);
	size_t room = w->pool.buffer_size < SHARE ? w->pool.buffer_size : SHARE;
	ssize_t n = TEMP_FAILURE_RETRY(recv(src->fd, scratch, room, MSG_DONTWAIT));

	if ((n < 0 && errno != EAGAIN) || (n == 0 && src->is_cut)) {
		log_debug("receive from #%d# failed: %s", src->fd,
		          n < 0 ? strerrordesc_np(errno) : "reset");
		return PUMP_SOURCE_DEAD;
	}
	if (n == 0)
		return read_end(w, s, from);
	if (n < 0) {
		src->is_readable = false;
		return PUMP_WAIT;
	}
	/* A FIN or an urgent mark behind the bytes cuts a read short, too. */
	if ((size_t)n < room && !src->has_hangup && !src->is_urgent && !src->is_spliced)
		src->is_readable = false;
	*share -= (size_t)n < *share ? (size_t)n : *share;

	if (from == SERVER)
		measure_response(s, from);
	if ((size_t)n < room && has_whole_stream(src))
		s->flow[from].has_eof = true;
	if (!is_counted(w, s, from, (size_t)n))
		return PUMP_FAULT;
	return send_scratch(w, s, from, (size_t)n);
}

/* Pass on the FIN. */
static enum pump_result end_direction(struct worker *w, struct session *s, int from)
{
	struct session_flow *f = &s->flow[from];

	assert(f->has_eof && f->len == 0); /* I2 */
	if (!may_write(w, s, from))
		return PUMP_DRAIN;
	if (s->datapath == DATAPATH_BYPASS &&
	    bypass_was_cut(w->bypass, worker_number(w, s), !from))
		return PUMP_SOURCE_DEAD;
	/* When the other direction is over too, the close that follows says it. */
	if (!s->flow[!from].has_ended && shutdown(s->end[!from].fd, SHUT_WR) < 0 &&
	    errno != ENOTCONN)
		return PUMP_DEST_DEAD;
	f->has_ended = true;
	s->last_active_ms = w->now_ms;
	return PUMP_ENDED;
}

/*
 * An application that is bypassed has a small send buffer (bpf/meet.bpf.c), and writes on
 * when TCP acknowledges what is in it. That is the moment to get off the long way: so let
 * it be when all was relayed. Even values acknowledge at once what is due, and let what
 * follows wait (6.18, tcp_sock_set_quickack()), 40 ms at the most.
 */
static void acknowledge(const struct session_end *src)
{
	const int now_and_late = 2;

	setsockopt(src->fd, IPPROTO_TCP, TCP_QUICKACK, &now_and_late,
	           sizeof(now_and_late));
}

enum pump_result pump(struct worker *w, struct session *s, int from)
{
	struct session_flow *f = &s->flow[from];
	size_t share = SHARE;
	enum pump_result r = PUMP_MORE;
	bool was_waiting = f->len > 0;

	if (f->has_ended)
		return PUMP_ENDED;
	while (r == PUMP_MORE) {
		if (f->len > 0) /* I1 */
			r = flush(w, s, from);
		else if (f->has_eof)
			r = end_direction(w, s, from);
		else if (!s->end[from].is_readable)
			r = PUMP_WAIT;
		else if (share == 0)
			return PUMP_MORE;
		else
			r = read_and_send(w, s, from, &share);
	}
	if (s->datapath == DATAPATH_BYPASS && f->len == 0 &&
	    (was_waiting || share < SHARE))
		acknowledge(&s->end[from]);
	return r;
}
