// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* listener.c - see listener.h. */
#include "forward/listener.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "forward/worker.h"

/* The kernel cuts what is more than this; asking for more is asking for all. */
static int backlog(void)
{
	FILE *file = fopen("/proc/sys/net/core/somaxconn", "re");
	int n = SOMAXCONN;

	if (file) {
		if (fscanf(file, "%d", &n) != 1 || n < 1)
			n = SOMAXCONN;
		fclose(file);
	}
	return n;
}

static int set_option(int fd, int level, int option)
{
	const int on = 1;

	return setsockopt(fd, level, option, &on, sizeof(on)) < 0 ? -errno : 0;
}

/* Accepted sockets inherit these (Linux clones the listener's socket). */
static int set_inherited_options(int fd)
{
	int r = set_option(fd, IPPROTO_TCP, TCP_NODELAY);

	if (r == 0)
		r = set_option(fd, SOL_SOCKET, SO_KEEPALIVE);
	/* An out-of-band byte is a byte all the same: it stays in the stream. */
	if (r == 0)
		r = set_option(fd, SOL_SOCKET, SO_OOBINLINE);
	return r;
}

static int open_socket(const struct addr *addr, bool is_shared, int *ret_fd)
{
	auto_close int fd = -1;
	int r;

	fd = socket(addr->sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* A restarted daemon must not wait for its old sockets in TIME_WAIT. */
	r = set_option(fd, SOL_SOCKET, SO_REUSEADDR);
	if (r == 0 && is_shared)
		r = set_option(fd, SOL_SOCKET, SO_REUSEPORT);
	if (r == 0 && addr->sa.sa_family == AF_INET6)
		r = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY);
	if (r == 0)
		r = set_inherited_options(fd);
	if (r < 0)
		return r;
	if (bind(fd, &addr->sa, addr_len(addr)) < 0)
		return -errno;
	/* From now on the other workers' sockets may join; set before listen(2),
	 * which is where the kernel makes the group. */
	if (!is_shared)
		r = set_option(fd, SOL_SOCKET, SO_REUSEPORT);
	if (r < 0)
		return r;
	*ret_fd = take_fd(fd);
	return 0;
}

int listener_open(struct forward *f, const struct addr *addr, bool overlaps,
                  struct listener **ret_listener)
{
	struct listener *l = calloc(1, sizeof(*l));
	const int n_waiting = backlog();
	int r = l ? 0 : -ENOMEM;

	if (r == 0) {
		l->addr = *addr;
		l->ports = calloc(f->n_workers, sizeof(*l->ports));
		r = l->ports ? 0 : -ENOMEM;
	}
	for (unsigned int i = 0; r == 0 && i < f->n_workers; i++)
		l->ports[i] = (struct port){
			.source.fd = -1,
			.worker = &f->workers[i],
			.listener = l,
		};
	for (unsigned int i = 0; r == 0 && i < f->n_workers; i++)
		r = open_socket(addr, overlaps || i > 0, &l->ports[i].source.fd);
	/* All or none: nobody gets through to half of a listener. */
	for (unsigned int i = 0; r == 0 && i < f->n_workers; i++)
		if (listen(l->ports[i].source.fd, n_waiting) < 0)
			r = -errno;
	if (r < 0) {
		if (l)
			listener_free(l, l->ports ? f->n_workers : 0);
		return r;
	}
	*ret_listener = l;
	return 0;
}

void listener_free(struct listener *l, unsigned int n_workers)
{
	for (unsigned int i = 0; i < n_workers; i++)
		if (l->ports[i].source.fd >= 0)
			close(l->ports[i].source.fd);
	free(l->ports);
	free(l);
}
