/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* meet_ends.bpf.h - addresses of a socket, and whether they are ours. */
#ifndef G5X_MEET_ENDS_BPF_H
#define G5X_MEET_ENDS_BPF_H

#include "bypass_maps.bpf.h"

#define AF_INET 2

/* Of the daemon. A loopback address is another one in each namespace. */
const volatile __u64 g5x_netns_cookie = 0;

/* The verifier wants each member of the context read at its own place. */
#define APART asm volatile("" ::: "memory")

static __always_inline void map_ip4(__u32 to[4], __u32 ip4)
{
	to[0] = to[1] = 0;
	to[2] = bpf_htonl(0xffff);
	to[3] = ip4;
}

static __always_inline void read_ends(struct bpf_sock_ops *ctx, __u32 local[4],
                                      __u32 remote[4])
{
	if (ctx->family == AF_INET) {
		map_ip4(local, ctx->local_ip4);
		APART;
		map_ip4(remote, ctx->remote_ip4);
		APART;
		return;
	}
	for (int i = 0; i < 4; i++) {
		APART;
		local[i] = ctx->local_ip6[i];
		APART;
		remote[i] = ctx->remote_ip6[i];
		APART;
	}
}

static __always_inline bool is_loopback(const __u32 ip[4])
{
	if (ip[0] || ip[1])
		return false;
	if (ip[2] == 0)
		return ip[3] == bpf_htonl(1);
	return ip[2] == bpf_htonl(0xffff) && (bpf_ntohl(ip[3]) >> 24) == 127;
}

static __always_inline bool is_listener(struct bpf_sock_ops *ctx,
                                        const struct g5x_connection *c)
{
	struct g5x_listener key = { .port = c->remote_port };

	__builtin_memcpy(key.address, c->remote, sizeof(key.address));
	return bpf_map_lookup_elem(&g5x_listeners, &key) &&
	       (!is_loopback(c->remote) ||
	        bpf_get_netns_cookie(ctx) == g5x_netns_cookie);
}

/* With bytes in its SYN (TCP Fast Open) it would not begin at the sequence numbers. */
static __always_inline bool has_begun(const struct bpf_sock_ops *ctx)
{
	return ctx->data_segs_out > 0 || ctx->data_segs_in > 0;
}

#endif /* G5X_MEET_ENDS_BPF_H */
