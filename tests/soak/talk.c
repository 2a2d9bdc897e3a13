// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * talk.c - see talk.h.
 *
 * Whatever an end has to do it does by run(): send up to a place of its stream and read
 * up to a place of the other's, at the same time.
 */
#include "talk.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define STUCK_MS 30000
#define TO_THE_END UINT64_MAX

struct end {
	struct talker *talker;
	int fd;
	uint64_t id;
	enum direction sends;
	uint64_t n_sent, n_read;
	bool has_fin, has_reset; /* the other's */
	bool ends;               /* with a FIN, as soon as it has sent all */
	bool is_slow;
};

/* ---- one end --------------------------------------------------------------------- */

static uint64_t choose(struct talker *talker)
{
	talker->choice = talker->choice * 6364136223846793005 + 1442695040888963407;
	return talker->choice >> 33;
}

static bool is_reset(int error)
{
	return error == ECONNRESET || error == EPIPE;
}

static bool is_expected(struct end *e, size_t n)
{
	plan_fill(e->id, !e->sends, e->n_read, e->talker->expected, n);
	return memcmp(e->talker->bytes, e->talker->expected, n) == 0;
}

static const char *read_some(struct end *e, uint64_t until)
{
	uint64_t left = until - e->n_read;
	size_t most = left < TALK_BUFFER ? (size_t)left : TALK_BUFFER;
	ssize_t n;

	if (e->is_slow && choose(e->talker) % 4 == 0)
		usleep(500);
	n = recv(e->fd, e->talker->bytes, most, MSG_DONTWAIT);
	if (n < 0 && !is_reset(errno))
		return errno == EAGAIN ? NULL : strerror(errno);
	e->has_reset |= n < 0;
	e->has_fin |= n == 0;
	if (n <= 0)
		return NULL;
	if (!is_expected(e, (size_t)n))
		return "other bytes than were sent";
	e->n_read += (uint64_t)n;
	return NULL;
}

static const char *send_some(struct end *e, uint64_t until)
{
	size_t most = 1 + (size_t)choose(e->talker) % TALK_BUFFER;
	uint64_t left = until - e->n_sent;
	ssize_t n;

	if (left < most)
		most = (size_t)left;
	plan_fill(e->id, e->sends, e->n_sent, e->talker->bytes, most);
	n = send(e->fd, e->talker->bytes, most, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0 && !is_reset(errno))
		return errno == EAGAIN ? NULL : strerror(errno);
	if (n < 0)
		e->has_reset = true;
	else
		e->n_sent += (uint64_t)n;
	if (e->n_sent == until && e->ends)
		shutdown(e->fd, SHUT_WR);
	return NULL;
}

static bool has_to_read(const struct end *e, uint64_t until)
{
	return e->n_read < until && !e->has_fin;
}

/* Return: NULL when that much was sent and read, or the peer has ended or reset. */
static const char *run(struct end *e, uint64_t send_until, uint64_t read_until)
{
	const char *wrong = NULL;

	while (!wrong && !e->has_reset &&
	       (e->n_sent < send_until || has_to_read(e, read_until))) {
		struct pollfd p = { .fd = e->fd };
		int r;

		p.events |= has_to_read(e, read_until) ? POLLIN : 0;
		p.events |= e->n_sent < send_until ? POLLOUT : 0;
		r = poll(&p, 1, STUCK_MS);
		if (r == 0)
			return "nothing moves any more";
		if (p.revents & (POLLIN | POLLHUP | POLLERR) &&
		    has_to_read(e, read_until))
			wrong = read_some(e, read_until);
		else if (p.revents)
			wrong = send_some(e, send_until);
		if (!wrong && p.revents & POLLOUT && e->n_sent < send_until)
			wrong = send_some(e, send_until);
	}
	return wrong;
}

static void cut(struct end *e)
{
	const struct linger at_once = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(e->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
}

/* ---- what an end says about the other -------------------------------------------- */

static const char *check_whole(const struct end *e, const char *wrong, uint64_t n)
{
	if (wrong)
		return wrong;
	if (e->has_reset)
		return "a reset that nobody sent";
	return e->n_read == n ? NULL : "a FIN before the last byte";
}

static const char *check_cut(const struct end *e, const char *wrong, uint64_t n)
{
	if (wrong)
		return wrong;
	if (e->n_read > n)
		return "more bytes than were sent";
	return e->has_reset ? NULL : "a FIN instead of a reset";
}

/* ---- client ---------------------------------------------------------------------- */

static const char *ask(struct end *e, const struct plan *plan)
{
	const uint64_t n_request = plan->n_bytes[REQUEST];
	const char *wrong;

	switch (plan->way) {
	case WAY_SERVER_FIRST:
		wrong = run(e, PLAN_ID_SIZE, TO_THE_END);
		if (!wrong && !e->has_reset)
			wrong = run(e, n_request, 0);
		break;
	case WAY_CLIENT_RESETS:
		wrong = run(e, plan->n_cut, 0);
		cut(e);
		return wrong;
	case WAY_LEAVE:
		return NULL;
	default:
		e->ends = plan->way == WAY_HALF_CLOSE || plan->way == WAY_AT_ONCE;
		wrong = run(e, n_request, TO_THE_END);
	}
	if (plan->way == WAY_SERVER_RESETS)
		return check_cut(e, wrong, plan->n_cut);
	return check_whole(e, wrong, plan->n_bytes[ANSWER]);
}

const char *talk_as_client(struct talker *talker, int fd, const struct plan *plan)
{
	struct end e = {
		.talker = talker,
		.fd = fd,
		.id = plan->id,
		.sends = REQUEST,
		.is_slow = plan->is_slow,
	};
	const char *wrong = ask(&e, plan);

	close(fd);
	return wrong;
}

/* ---- server ---------------------------------------------------------------------- */

/* Byte by byte if need be. Return: NULL; e->id is 0 when the client left before. */
static const char *read_id(struct end *e)
{
	char *bytes = (char *)&e->id;
	ssize_t n = 1;

	while (e->n_read < PLAN_ID_SIZE && n > 0) {
		struct pollfd p = { .fd = e->fd, .events = POLLIN };

		if (poll(&p, 1, STUCK_MS) == 0)
			return "no byte comes";
		n = recv(e->fd, bytes + e->n_read, PLAN_ID_SIZE - e->n_read,
		         MSG_DONTWAIT);
		if (n > 0)
			e->n_read += (uint64_t)n;
	}
	if (e->n_read == PLAN_ID_SIZE)
		return NULL;
	e->id = 0;
	if (n == 0 && e->n_read > 0)
		return "a FIN within the first bytes";
	return n < 0 && !is_reset(errno) ? strerror(errno) : NULL;
}

static const char *answer(struct end *e, const struct plan *plan)
{
	const uint64_t n_request = plan->n_bytes[REQUEST];
	const uint64_t n_answer = plan->n_bytes[ANSWER];
	const char *wrong = NULL;

	switch (plan->way) {
	case WAY_TALK:
	case WAY_HALF_CLOSE:
		wrong = run(e, 0, plan->way == WAY_TALK ? n_request : TO_THE_END);
		if (!wrong && !e->has_reset)
			wrong = run(e, n_answer, 0);
		break;
	case WAY_CLIENT_RESETS:
		return check_cut(e, run(e, 0, TO_THE_END), plan->n_cut);
	case WAY_SERVER_RESETS:
		wrong = run(e, plan->n_cut, 0);
		cut(e);
		return wrong;
	case WAY_LEAVE:
		return "bytes of a client that sent none";
	default:
		e->ends = true;
		wrong = run(e, n_answer, TO_THE_END);
	}
	return check_whole(e, wrong, n_request);
}

const char *talk_as_server(struct talker *talker, int fd, uint64_t *ret_id)
{
	struct end e = { .talker = talker, .fd = fd, .sends = ANSWER };
	const char *wrong = read_id(&e);
	struct plan plan;

	if (!wrong && e.id) {
		plan_init(&plan, e.id);
		wrong = answer(&e, &plan);
	}
	close(fd);
	*ret_id = e.id;
	return wrong;
}
