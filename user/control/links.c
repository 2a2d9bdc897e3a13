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
#include <string.h>
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

/* ---- stacked interfaces ----------------------------------------------------------- */

struct place {
	unsigned int master; /* of the bridge or bond that has it; 0: none */
	unsigned int link;   /* of the device below it; 0: none */
};

static struct place read_place(struct nlmsghdr *header)
{
	struct rtattr *a = IFLA_RTA(NLMSG_DATA(header));
	int len = (int)IFLA_PAYLOAD(header);
	struct place place = { 0 };
	bool is_elsewhere = false;

	for (; RTA_OK(a, len); a = RTA_NEXT(a, len)) {
		if (a->rta_type == IFLA_MASTER)
			memcpy(&place.master, RTA_DATA(a), sizeof(place.master));
		else if (a->rta_type == IFLA_LINK)
			memcpy(&place.link, RTA_DATA(a), sizeof(place.link));
		else if (a->rta_type == IFLA_LINK_NETNSID)
			is_elsewhere = true; /* the index is another namespace's */
	}
	if (is_elsewhere)
		place.link = 0;
	return place;
}

/* Nothing is known of one that cannot be asked for. */
static struct place place_of(unsigned int ifindex)
{
	struct {
		struct nlmsghdr header;
		struct ifinfomsg info;
	} question = {
		.header = { .nlmsg_len = sizeof(question),
		            .nlmsg_type = RTM_GETLINK,
		            .nlmsg_flags = NLM_F_REQUEST },
		.info = { .ifi_index = (int)ifindex },
	};
	_Alignas(struct nlmsghdr) char answer[16384];
	struct nlmsghdr *header = (struct nlmsghdr *)answer;
	auto_close int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	ssize_t n;

	if (fd < 0 || send(fd, &question, sizeof(question), 0) < 0)
		return (struct place){ 0 };
	n = recv(fd, answer, sizeof(answer), 0);
	if (n < 0 || !NLMSG_OK(header, (size_t)n) || header->nlmsg_type != RTM_NEWLINK)
		return (struct place){ 0 };
	return read_place(header);
}

#define STACK_MAX 8

bool links_is_above(unsigned int upper, unsigned int lower)
{
	for (int i = 0; i < STACK_MAX && upper != 0; i++) {
		unsigned int at = lower;

		for (int j = 0; j < STACK_MAX && at != 0; j++) {
			if (at == upper)
				return true;
			at = place_of(at).master;
		}
		upper = place_of(upper).link;
	}
	return false;
}

/* ---- addresses -------------------------------------------------------------------- */

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
