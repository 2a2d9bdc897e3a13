// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * copy.c - relay in the daemon: the reference for every other datapath.
 *
 * Each direction is on its own: read from one end into the worker's scratch buffer,
 * send to the other. What the destination does not take at once stays in that buffer,
 * which then belongs to the direction until it is empty (the worker borrows another),
 * and nothing more is read from the source: TCP's own window stops the sender. So a
 * session holds at most one buffer for each direction, and none while it is idle.
 *
 * Sockets are watched edge-triggered, once, for everything. is_readable and
 * is_writable remember an edge until a call says EAGAIN (or reads less than it asked
 * for, which for a stream socket means the same, see epoll(7)).
 *
 * I1: bytes of a direction leave in the order they came: nothing is read while
 *     flow->len > 0.
 * I2: shutdown(destination) only when has_eof and flow->len == 0.
 * I3: a reset of one end reaches the other as a reset, after the bytes that were
 *     readable before it and that the other's socket takes at once. As with any reset,
 *     what that socket has not sent by then is lost.
 */
#include "forward/copy.h"

#include <assert.h>
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "forward/session_close.h"
#include "forward/worker.h"
#include "rules/balance.h"

/* Bytes for one direction before others get their turn. */
#define SHARE (256U << 10)

/* Of an end that was reset: more than a receive buffer holds. */
#define LAST_SHARES 1024

enum pump_result {
	PUMP_WAIT,        /* until epoll reports */
	PUMP_MORE,        /* there is more to do: make it ready */
	PUMP_ENDED,       /* this direction is over */
	PUMP_SOURCE_DEAD, /* read failed: reset */
	PUMP_DEST_DEAD,   /* write failed: reset */
	PUMP_NO_MEMORY,
};

/* @from: the end that the bytes came from. */
static void note_bytes(struct worker *w, struct session *s, int from, size_t n)
{
	log_debug("transfer #%d# [%zu]bytes to #%d#", s->end[from].fd, n,
	          s->end[!from].fd);
	s->flow[from].n_bytes += n;
	s->last_active_ms = w->now_ms;
	if (from == SERVER && s->first_byte_us == 0)
		s->first_byte_us = w->now_us;
}

/* RT: from the last byte of a request to the first of its response. */
static void measure_response(struct session *s, int from)
{
	if (from == CLIENT) {
		s->request_us = clock_us();
	} else if (s->request_us != 0) {
		balance_responded(state_get(STATE_RULE, s->rule),
		                  state_get(STATE_SERVER, s->server),
		                  clock_us() - s->request_us);
		s->request_us = 0;
	}
}

/* @flags: MSG_MORE when the FIN follows at once, to go in one segment with the bytes. */
static ssize_t send_some(struct session *s, int to, const char *data, size_t len,
                         int flags)
{
	ssize_t n;

	if (!s->end[to].is_writable)
		return 0;
	n = TEMP_FAILURE_RETRY(
	        send(s->end[to].fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT | flags));
	if (n < 0 && errno != EAGAIN) {
		/* An error is told once: after this one a read says 0, as it does at a
		 * FIN. EPIPE is for a reset that came after the FIN. */
		s->end[to].is_cut = errno != EPIPE;
		return -errno;
	}
	if (n < 0 || (size_t)n < len)
		s->end[to].is_writable = false;
	return n < 0 ? 0 : n;
}

/* Send what waits in the direction's own buffer. Return: as copy_pump(). */
static enum pump_result flush(struct worker *w, struct session *s, int from)
{
	struct session_flow *f = &s->flow[from];
	ssize_t n = send_some(s, !from, pool_buffer(&w->pool, f->buffer) + f->offset,
	                      f->len, 0);

	if (n < 0)
		return PUMP_DEST_DEAD;
	if (n == 0)
		return PUMP_WAIT;
	note_bytes(w, s, from, (size_t)n);
	if (s->measures_response && from == CLIENT)
		measure_response(s, from);
	f->offset += (uint32_t)n;
	f->len -= (uint32_t)n;
	if (f->len > 0)
		return PUMP_WAIT;
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
	return src->has_fin && !src->has_error && !src->is_cut && !src->is_urgent;
}

/* Read once and send. *@share goes down by what was read. */
static enum pump_result read_and_send(struct worker *w, struct session *s, int from,
                                      size_t *share)
{
	struct session_end *src = &s->end[from];
	char *scratch = pool_buffer(&w->pool, w->scratch);
	size_t room = w->pool.buffer_size < SHARE ? w->pool.buffer_size : SHARE;
	ssize_t n = TEMP_FAILURE_RETRY(recv(src->fd, scratch, room, MSG_DONTWAIT));
	ssize_t n_sent;

	if ((n < 0 && errno != EAGAIN) || (n == 0 && src->is_cut))
		return PUMP_SOURCE_DEAD;
	if (n <= 0) {
		src->is_readable = false;
		s->flow[from].has_eof = n == 0;
		return n == 0 ? PUMP_MORE : PUMP_WAIT;
	}
	/* A FIN or an urgent mark behind the bytes cuts a read short, too. */
	if ((size_t)n < room && !src->has_hangup && !src->is_urgent)
		src->is_readable = false;
	*share -= (size_t)n < *share ? (size_t)n : *share;

	if (s->measures_response && from == SERVER)
		measure_response(s, from);
	if ((size_t)n < room && has_whole_stream(src))
		s->flow[from].has_eof = true;
	n_sent = send_some(s, !from, scratch, (size_t)n,
	                   s->flow[from].has_eof ? MSG_MORE : 0);
	if (n_sent < 0)
		return PUMP_DEST_DEAD;
	note_bytes(w, s, from, (size_t)n_sent);
	if (s->measures_response && from == CLIENT)
		measure_response(s, from);
	if (n_sent < n)
		return keep_rest(w, s, from, (size_t)n_sent, (size_t)n);
	return PUMP_MORE;
}

/* Pass on the FIN. */
static enum pump_result end_direction(struct worker *w, struct session *s, int from)
{
	struct session_flow *f = &s->flow[from];

	assert(f->has_eof && f->len == 0); /* I2 */
	/* When the other direction is over too, the close that follows says it. */
	if (!s->flow[!from].has_ended && shutdown(s->end[!from].fd, SHUT_WR) < 0 &&
	    errno != ENOTCONN)
		return PUMP_DEST_DEAD;
	f->has_ended = true;
	s->last_active_ms = w->now_ms;
	return PUMP_ENDED;
}

/* Move bytes of one direction until there is a reason to stop. */
static enum pump_result copy_pump(struct worker *w, struct session *s, int from)
{
	struct session_flow *f = &s->flow[from];
	size_t share = SHARE;
	enum pump_result r = PUMP_MORE;

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
	return r;
}

/*
 * I3: @dead takes no more bytes, but what it sent before it died may still be
 * readable: a server that answers "too large" and closes while the client is still
 * sending wants its answer read.
 */
static bool bury(struct worker *w, struct session *s, int dead)
{
	s->end[dead].is_readable = s->end[dead].has_hangup = true; /* read to its end */
	s->end[!dead].is_writable = true; /* epoll may not have said so yet */
	for (int i = 0; i < LAST_SHARES && copy_pump(w, s, dead) == PUMP_MORE; i++)
		;
	session_close(w, s, dead == CLIENT ? CLOSE_CLIENT_RESET : CLOSE_SERVER_RESET);
	return false;
}

static bool on_direction_ended(struct worker *w, struct session *s)
{
	if (s->flow[CLIENT].has_ended && s->flow[SERVER].has_ended) {
		session_close(w, s, CLOSE_DONE);
		return false;
	}
	if (s->state == SESSION_RELAYING) {
		session_set_state(w->table, worker_number(w, s),
		                  s->flow[CLIENT].has_ended ? SESSION_CLIENT_ENDED
		                                            : SESSION_SERVER_ENDED);
		worker_set_idle_timer(w, s);
	}
	return true;
}

/* Pump one direction and do what follows. Return: false when the session is gone. */
static bool work(struct worker *w, struct session *s, int from)
{
	switch (copy_pump(w, s, from)) {
	case PUMP_WAIT:
		/* Its last bytes wait for a peer that may never take them. */
		return !s->end[from].has_error || s->flow[from].len == 0 ||
		       bury(w, s, from);
	case PUMP_MORE:
		worker_make_ready(w, worker_number(w, s));
		return true;
	case PUMP_ENDED:
		/* A reset right behind the FIN was in the same report; none follows. */
		return on_direction_ended(w, s) &&
		       (!s->end[from].has_error || bury(w, s, from));
	case PUMP_SOURCE_DEAD:
		session_close(w, s,
		              from == CLIENT ? CLOSE_CLIENT_RESET : CLOSE_SERVER_RESET);
		return false;
	case PUMP_DEST_DEAD:
		return bury(w, s, !from);
	case PUMP_NO_MEMORY:
		session_close(w, s, CLOSE_NO_RESOURCES);
		return false;
	}
	return true;
}

static bool copy_start(struct worker *w, struct session *s)
{
	return work(w, s, CLIENT) && work(w, s, SERVER);
}

static bool copy_on_event(struct worker *w, struct session *s, int side)
{
	/* Nothing is read after a FIN, so no read would tell of this reset. */
	if (s->end[side].has_error && s->flow[side].has_eof)
		return bury(w, s, side);
	if (s->end[side].is_readable && !work(w, s, side))
		return false;
	/* Room at @side is for what the other one sent. */
	if (s->end[side].is_writable && s->flow[!side].len > 0)
		return work(w, s, !side);
	return true;
}

const struct relay copy_relay = {
	.start = copy_start,
	.on_event = copy_on_event,
	.on_ready = copy_start,
};
