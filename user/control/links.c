// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * links.c - see links.h.
 *
 * What the kernel tells (rtnetlink(7)) is only taken for "something has changed": whoever
 * wants to know looks for himself, and so nothing is missed when a message is lost.
 */
#include "control/links.h"

#include <errno.h>
#include <ifaddrs.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"

static void on_messages(struct source *source, uint32_t events)
{
	struct links *l = container_of(source, struct links, source);
	char nowhere[8192];

	(void)events;
	/* ENOBUFS: some were lost, which is a change like any other. */
	while (recv(source->fd, nowhere, sizeof(nowhere), MSG_DONTWAIT) > 0 ||
	       errno == ENOBUFS || errno == EINTR)
		;
	l->on_change(l->ctx);
}

int links_watch(struct links *l, struct loop *loop, void (*on_change)(void *ctx),
                void *ctx)
{
	const struct sockaddr_nl groups = {
		.nl_family = AF_NETLINK,
		.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR,
	};
	auto_close int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK,
	                           NETLINK_ROUTE);
	int r;

	if (fd < 0)
		return -errno;
	if (bind(fd, (const struct sockaddr *)&groups, sizeof(groups)) < 0)
		return -errno;
	*l = (struct links){
		.source = { .on_event = on_messages, .fd = fd },
		.loop = loop,
		.on_change = on_change,
		.ctx = ctx,
	};
	r = loop_add(loop, &l->source, EPOLLIN);
	if (r < 0) {
		l->source.fd = -1;
		return r;
	}
	take_fd(fd);
	return 0;
}

void links_close(struct links *l)
{
	if (l->source.fd < 0)
		return;
	loop_remove(l->loop, &l->source);
	close(l->source.fd);
	l->source.fd = -1;
}

static size_t count(const struct ifaddrs *all)
{
	size_t n = 0;

	for (; all; all = all->ifa_next)
		n++;
	return n;
}

int links_addresses(struct addr **ret_addrs, size_t *ret_n)
{
	struct ifaddrs *all;
	struct addr *addrs;
	size_t n = 0;

	if (getifaddrs(&all) < 0)
		return -errno;
	addrs = calloc(count(all) + 1, sizeof(*addrs));
	for (const struct ifaddrs *i = all; addrs && i; i = i->ifa_next) {
		if (!i->ifa_addr || (i->ifa_addr->sa_family != AF_INET &&
		                     i->ifa_addr->sa_family != AF_INET6))
			continue;
		addrs[n] = addr_from_sockaddr(i->ifa_addr);
		if (addrs[n].sa.sa_family == AF_INET6)
			addrs[n].in6.sin6_scope_id = 0;
		n++;
	}
	freeifaddrs(all);
	if (!addrs)
		return -ENOMEM;
	*ret_addrs = addrs;
	*ret_n = n;
	return 0;
}
