// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * server.c - the server side of the load generator: one thread, one epoll.
 *
 * A connection has a buffer of its own: of one message, or of the piece of the stream
 * that is being sent. What the socket does not take waits there for EPOLLOUT.
 */
#include "server.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net.h"
#include "wire.h"

#define EVENTS_MAX 256
#define ACCEPTS_MAX 64
#define STREAM_PIECE (128 * 1024)
/* One stream must not keep the others waiting. */
#define STREAM_PIECES_MAX 4

struct peer {
	int fd;
	bool is_watching_out;
	uint32_t sequence;
	struct hello hello;
	size_t have;   /* bytes of the hello, then of the message */
	size_t unsent; /* bytes at the end of the buffer */
	uint64_t position;
	char *buffer;
};

struct server {
	int epoll_fd;
	int listen_fd;
};

static void peer_free(struct peer *peer)
{
	free(peer->buffer);
	free(peer);
}

static int complain(const struct peer *peer, const char *what)
{
	fprintf(stderr, "session %u, message %u: %s\n", peer->hello.session,
	        peer->sequence, what);
	return -EBADMSG;
}

static size_t buffer_size(const struct peer *peer)
{
	return peer->hello.kind == WIRE_STREAM ? STREAM_PIECE : peer->hello.size;
}

static int peer_recv(struct peer *peer, void *buffer, size_t size)
{
	const int n = net_recv(peer->fd, (char *)buffer + peer->have,
	                       size - peer->have);

	if (n == 0)
		return peer->have && peer->buffer ? complain(peer, "ends within")
		                                  : -EPIPE;
	if (n > 0)
		peer->have += (size_t)n;
	return n < 0 ? n : 0;
}

static int read_hello(struct peer *peer)
{
	int r = peer_recv(peer, &peer->hello, sizeof(peer->hello));

	if (r < 0 || peer->have < sizeof(peer->hello))
		return r;
	if (!hello_is_valid(&peer->hello))
		return complain(peer, "this is no hello");
	peer->have = 0;
	peer->buffer = calloc(1, buffer_size(peer));
	return peer->buffer ? 0 : -ENOMEM;
}

static int send_rest(struct peer *peer)
{
	const char *from = peer->buffer + buffer_size(peer) - peer->unsent;
	const int n = net_send(peer->fd, from, peer->unsent);

	if (n < 0)
		return n;
	peer->unsent -= (size_t)n;
	return 0;
}

static int echo(struct peer *peer)
{
	int r = peer_recv(peer, peer->buffer, peer->hello.size);

	if (r < 0 || peer->have < peer->hello.size)
		return r;
	if (!message_is(peer->buffer, peer->hello.size, peer->hello.session,
	                peer->sequence))
		return complain(peer, "not the bytes that were sent");
	peer->sequence++;
	peer->have = 0;
	peer->unsent = peer->hello.size;
	return send_rest(peer);
}

static int stream(struct peer *peer)
{
	for (int i = 0; i < STREAM_PIECES_MAX && !peer->unsent; i++) {
		int r;

		stream_fill(peer->buffer, STREAM_PIECE, peer->hello.session,
		            peer->position);
		peer->position += STREAM_PIECE;
		peer->unsent = STREAM_PIECE;
		r = send_rest(peer);
		if (r < 0)
			return r;
	}
	return 0;
}

static int watch(const struct server *server, struct peer *peer)
{
	const bool is_wanted = peer->unsent ||
	                       (peer->buffer && peer->hello.kind == WIRE_STREAM);

	if (is_wanted == peer->is_watching_out)
		return 0;
	peer->is_watching_out = is_wanted;
	return net_watch(server->epoll_fd, peer->fd, EPOLL_CTL_MOD,
	                 is_wanted ? EPOLLOUT : EPOLLIN, peer);
}

/* -EPIPE: all is done and said. */
static int serve(const struct server *server, struct peer *peer)
{
	int r = 0;

	if (peer->unsent)
		r = send_rest(peer);
	else if (!peer->buffer)
		r = read_hello(peer);
	if (r == 0 && peer->buffer && !peer->unsent) {
		if (peer->hello.kind == WIRE_STREAM)
			r = stream(peer);
		else if (peer->hello.kind == WIRE_ECHO || peer->sequence == 0)
			r = echo(peer);
	}
	if (r < 0 && r != -EAGAIN)
		return r;
	if (peer->hello.kind == WIRE_ONCE && peer->sequence == 1 && !peer->unsent)
		return -EPIPE;
	return watch(server, peer);
}

static void on_event(const struct server *server, struct peer *peer)
{
	const int r = serve(server, peer);

	if (r == 0)
		return;
	if (r == -EPIPE)
		close(peer->fd);
	else
		net_reset(peer->fd);
	peer_free(peer);
}

static int accept_one(const struct server *server)
{
	int fd = accept4(server->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct peer *peer;

	if (fd < 0)
		return -errno;
	peer = calloc(1, sizeof(*peer));
	if (!peer || net_set_nodelay(fd) < 0 ||
	    net_watch(server->epoll_fd, fd, EPOLL_CTL_ADD, EPOLLIN, peer) < 0) {
		net_reset(fd);
		free(peer);
		return -ENOMEM;
	}
	peer->fd = fd;
	return 0;
}

/* Out of fds is an error of the set-up: to go on would be to measure something else. */
static int on_acceptable(const struct server *server)
{
	int r = 0;

	for (int i = 0; i < ACCEPTS_MAX && r == 0; i++)
		r = accept_one(server);
	return r == -EMFILE || r == -ENFILE || r == -ENOMEM ? r : 0;
}

static int loop(const struct server *server)
{
	struct epoll_event events[EVENTS_MAX];
	int r = 0;

	while (r == 0) {
		const int n = epoll_wait(server->epoll_fd, events, EVENTS_MAX, -1);

		if (n < 0 && errno != EINTR)
			return -errno;
		for (int i = 0; i < n && r == 0; i++) {
			if (events[i].data.ptr)
				on_event(server, events[i].data.ptr);
			else
				r = on_acceptable(server);
		}
	}
	return r;
}

int server_run(const struct sockaddr_in *addr)
{
	struct server server = { .epoll_fd = -1, .listen_fd = -1 };
	int r = net_listen(addr, &server.listen_fd);

	if (r < 0)
		return r;
	server.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (server.epoll_fd < 0)
		return -errno;
	r = net_watch(server.epoll_fd, server.listen_fd, EPOLL_CTL_ADD, EPOLLIN, NULL);
	if (r < 0)
		return r;
	puts("listening");
	fflush(stdout);
	return loop(&server);
}
