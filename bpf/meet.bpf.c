// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * meet.bpf.c - finds the applications' sockets at the far ends of our connections.
 *
 * Hook: sockops on the root of cgroup v2, attached by user/kernel/bypass.c. It sees each
 * TCP socket of this host when it is established; one that is none of our business costs
 * a lookup then and nothing after.
 *
 *     client ──────connects to a listener──────> own socket      own ──────> server
 *     "active": notes the connection             "passive": finds the note, and who
 *                                                made it
 *
 * The end that began a connection is established first. Both know both addresses and both
 * initial sequence numbers, so they meet at the same key, whatever network namespaces
 * they are in; where addresses are translated in between they do not.
 *
 * The daemon marks the sockets that it is about to connect to servers (bypass_expect()),
 * so only those servers are noted that it talks to.
 */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "bypass_maps.bpf.h"
#include "g5x_abi.h"
#include "meet_ends.bpf.h"
#include "meet_later.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Put the application's socket where its messages are looked at. */
static __always_inline bool note(struct bpf_sock_ops *ctx, struct g5x_local *to,
                                 __u32 sent_from)
{
	struct g5x_cookie key = { .cookie = bpf_get_socket_cookie(ctx) };
	struct bpf_sock *sk = ctx->sk;
	struct tcp_sock *tp = sk ? bpf_skc_to_tcp_sock(sk) : NULL;

	/* One that has left a bypassed session and not its number yet: see forget(). */
	if (bpf_map_lookup_elem(&g5x_ways, &key))
		return false;
	if (!tp || bpf_sock_hash_update(ctx, &g5x_applications, &key, BPF_NOEXIST))
		return false;
	bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags |
	                                       BPF_SOCK_OPS_RTT_CB_FLAG |
	                                       BPF_SOCK_OPS_STATE_CB_FLAG);
	to->tcp_sock = (__u64)tp;
	to->sent_from = sent_from;
	to->cookie = key.cookie; /* last: now it is known */
	return true;
}

static __always_inline void on_active(struct bpf_sock_ops *ctx,
                                      const struct g5x_connection *c)
{
	struct bpf_sock *sk = ctx->sk;
	struct g5x_meeting meeting = {};
	struct g5x_own_socket *own;

	if (!sk)
		return;
	own = bpf_sk_storage_get(&g5x_own_sockets, sk, 0, 0);
	if (own) {
		own->connection = *c;
		own->tcp_sock = (__u64)bpf_skc_to_tcp_sock(sk);
		own->state = G5X_OWN_CONNECTED;
		meeting.is_to_server = true;
	} else if (!is_listener(ctx, c) ||
	           !note(ctx, &meeting.application, c->local_seq)) {
		return;
	}
	bpf_map_update_elem(&g5x_meetings, c, &meeting, BPF_ANY);
}

static __always_inline void on_passive(struct bpf_sock_ops *ctx,
                                       const struct g5x_connection *c)
{
	struct g5x_meeting *meeting = bpf_map_lookup_elem(&g5x_meetings, c);
	struct bpf_sock *sk = ctx->sk;
	struct g5x_own_socket *own;

	if (!meeting || !sk)
		return;
	if (meeting->is_to_server) {
		/* A server that is a listener of ours is no application. */
		if (!is_listener(ctx, c))
			note(ctx, &meeting->application, c->remote_seq);
		return;
	}
	own = bpf_sk_storage_get(&g5x_own_sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (own) {
		own->application = meeting->application;
		own->tcp_sock = (__u64)bpf_skc_to_tcp_sock(sk);
		own->state = G5X_OWN_ACCEPTED;
	}
	bpf_map_delete_elem(&g5x_meetings, c);
}

SEC("sockops")
int g5x_meet(struct bpf_sock_ops *ctx)
{
	struct g5x_connection c = {};

	if (ctx->op == BPF_SOCK_OPS_RTT_CB) {
		on_rtt(ctx);
	} else if (ctx->op == BPF_SOCK_OPS_STATE_CB) {
		on_state(ctx);
	} else if (ctx->op == BPF_SOCK_OPS_TCP_CONNECT_CB) {
		forget(ctx);
	} else if (ctx->op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB) {
		if (has_begun(ctx))
			return 1;
		read_ends(ctx, c.local, c.remote);
		c.local_port = ctx->local_port;
		c.remote_port = bpf_ntohl(ctx->remote_port);
		c.local_seq = ctx->snd_nxt;
		c.remote_seq = ctx->rcv_nxt;
		on_active(ctx, &c);
	} else if (ctx->op == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB) {
		read_ends(ctx, c.remote, c.local);
		c.local_port = bpf_ntohl(ctx->remote_port);
		c.remote_port = ctx->local_port;
		c.local_seq = ctx->rcv_nxt;
		c.remote_seq = ctx->snd_nxt;
		on_passive(ctx, &c);
	}
	return 1;
}
