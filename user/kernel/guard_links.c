// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * guard_links.c - interfaces that the guard's program is attached to.
 *
 * G2: a link ends with its last descriptor, and nobody but us has one.
 */
#include "kernel/guard_parts.h"

#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdlib.h>

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

static int attach(const struct guard *g, unsigned int ifindex,
                  enum guard_mode *ret_mode)
{
	char name[IF_NAMESIZE];
	enum guard_mode mode = GUARD_NATIVE;
	int fd;

	/* To the kernel it would be an invalid argument. */
	if (!if_indextoname(ifindex, name))
		return -ENODEV;
	fd = open_link(g, ifindex, XDP_FLAGS_DRV_MODE);
	if (fd < 0 && !is_taken(fd)) {
		mode = GUARD_GENERIC;
		fd = open_link(g, ifindex, XDP_FLAGS_SKB_MODE);
	}
	if (fd < 0)
		return is_taken(fd) ? -EBUSY : fd;
	*ret_mode = mode;
	return fd;
}

int guard_attach(struct guard *g, unsigned int ifindex, enum guard_mode *ret_mode)
{
	struct guard_link *links;
	int fd;

	/* An interface that went, and another one has its number. */
	if (find_link(g, ifindex) && !guard_is_attached(g, ifindex))
		remove_link(g, find_link(g, ifindex));
	links = reallocarray(g->links, g->n_links + 1, sizeof(*links));
	if (!links)
		return -ENOMEM;
	g->links = links;
	fd = attach(g, ifindex, ret_mode);
	if (fd < 0)
		return fd;
	links[g->n_links++] = (struct guard_link){ .ifindex = ifindex, .fd = fd };
	return 0;
}

bool guard_is_attached(const struct guard *g, unsigned int ifindex)
{
	const struct guard_link *link = find_link(g, ifindex);
	struct bpf_link_info info = { 0 };
	__u32 len = sizeof(info);

	return link && bpf_obj_get_info_by_fd(link->fd, &info, &len) == 0 &&
	       info.xdp.ifindex == ifindex;
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
