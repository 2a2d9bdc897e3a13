// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * guard_links.c - interfaces that the guard's program is attached to.
 *
 * G2: a link ends with its last descriptor, and nobody but us has one.
 */
#include "kernel/guard_parts.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <bpf/bpf.h>

#include "base/cleanup.h"

static struct guard_link *find_link(const struct guard *g, unsigned int ifindex)
{
	for (size_t i = 0; i < g->n_links; i++)
		if (g->links[i].ifindex == ifindex)
			return &g->links[i];
	return NULL;
}

static void remove_link(struct guard *g, struct guard_link *link)
{
	close(link->fd);
	*link = g->links[--g->n_links];
}

static int open_link(const struct guard *g, unsigned int ifindex, __u32 mode)
{
	LIBBPF_OPTS(bpf_link_create_opts, options, .flags = mode);

	return bpf_link_create(guard_program_fd(g), (int)ifindex, BPF_XDP, &options);
}

/* The one and the other mode exclude each other, with an error of its own. */
static bool is_taken(int error)
{
	return error == -EBUSY || error == -EEXIST;
}

static bool is_veth(unsigned int ifindex)
{
	auto_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };
	struct ifreq wanted = { .ifr_data = (char *)&info };

	return fd >= 0 && if_indextoname(ifindex, wanted.ifr_name) &&
	       ioctl(fd, SIOCETHTOOL, &wanted) == 0 && strcmp(info.driver, "veth") == 0;
}

/*
 * What a program in veth's driver sends (XDP_TX) waits in a queue of the other end, which
 * is only woken for it if it has an XDP program, too (veth_xdp_flush(); seen on Linux 6.18).
 * If it has none but receives by NAPI, as with GRO, the queue fills up, and then nothing
 * goes by this wire any more.
 */
static bool may_be_native(const struct guard_link *link)
{
	return !link->is_veth || !link->answers;
}

static int attach(const struct guard *g, struct guard_link *link,
                  enum guard_mode *ret_mode)
{
	char name[IF_NAMESIZE];
	enum guard_mode mode = GUARD_NATIVE;
	int fd = -EOPNOTSUPP;

	/* To the kernel it would be an invalid argument. */
	if (!if_indextoname(link->ifindex, name))
		return -ENODEV;
	link->is_veth = is_veth(link->ifindex);
	if (may_be_native(link))
		fd = open_link(g, link->ifindex, XDP_FLAGS_DRV_MODE);
	if (fd < 0 && !is_taken(fd)) {
		mode = GUARD_GENERIC;
		fd = open_link(g, link->ifindex, XDP_FLAGS_SKB_MODE);
	}
	if (fd < 0)
		return is_taken(fd) ? -EBUSY : fd;
	link->fd = fd;
	*ret_mode = mode;
	return 0;
}

int guard_attach(struct guard *g, unsigned int ifindex, bool answers,
                 enum guard_mode *ret_mode)
{
	struct guard_link link = { .ifindex = ifindex, .answers = answers };
	struct guard_link *links;
	int r;

	/* An interface that went, and another one has its number. */
	if (find_link(g, ifindex) && !guard_is_attached(g, ifindex))
		remove_link(g, find_link(g, ifindex));
	links = reallocarray(g->links, g->n_links + 1, sizeof(*links));
	if (!links)
		return -ENOMEM;
	g->links = links;
	r = attach(g, &link, ret_mode);
	if (r == 0)
		links[g->n_links++] = link;
	return r;
}

bool guard_is_attached(const struct guard *g, unsigned int ifindex)
{
	const struct guard_link *link = find_link(g, ifindex);
	struct bpf_link_info info = { 0 };
	__u32 len = sizeof(info);

	return link && bpf_obj_get_info_by_fd(link->fd, &info, &len) == 0 &&
	       info.xdp.ifindex == ifindex;
}

bool guard_suits(const struct guard *g, unsigned int ifindex, bool answers)
{
	const struct guard_link *link = find_link(g, ifindex);

	return link && (!link->is_veth || link->answers == answers);
}

int guard_detach(struct guard *g, unsigned int ifindex)
{
	struct guard_link *link = find_link(g, ifindex);

	if (!link)
		return -ENOENT;
	remove_link(g, link);
	return 0;
}

void guard_detach_all(struct guard *g)
{
	while (g->n_links > 0)
		remove_link(g, &g->links[0]);
	free(g->links);
	g->links = NULL;
}
