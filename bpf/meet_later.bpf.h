/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* meet_later.bpf.h - what becomes of an application's socket that was noted. */
#ifndef G5X_MEET_LATER_BPF_H
#define G5X_MEET_LATER_BPF_H

#include "bypass_maps.bpf.h"

#define SOL_SOCKET 1
#define SO_SNDBUF 7
#define SOCK_SNDBUF_LOCK 1

/*
 * For the send buffers of applications, once bypassed; the kernel doubles it. While a
 * stream is on the long way its sender has to be stopped again and again until the daemon
 * has caught up, or it never gets off it: with the MiB that TCP makes of a send buffer over
 * loopback streams stay on the long way. But one segment (64 KiB there) may fill two thirds
 * at the most: bytes that are corked (sendfile(2) does that) wait for the rest of a segment,
 * and in a sockmap nobody pushes them when the buffer is full (6.18, tcp_bpf_sendmsg()).
 */
#define SEND_BUFFER 53248

/* Bytes that went by TCP until nobody expects a bypass any more. */
#define HOPE (1U << 20)

/* More than a segment without bytes costs a receive buffer. */
#define FIN_COST 4096

/* An acknowledgement: a noted socket goes the long way. */
static __always_inline void on_rtt(struct bpf_sock_ops *ctx)
{
	struct g5x_cookie key = { .cookie = bpf_get_socket_cookie(ctx) };
	struct g5x_way *way = bpf_map_lookup_elem(&g5x_ways, &key);
	struct bpf_sock *sk = ctx->sk;
	struct tcp_sock *tp = sk ? bpf_skc_to_tcp_sock(sk) : NULL;
	int size = SEND_BUFFER;

	if (!way && ctx->bytes_acked < HOPE)
		return;
	bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags &
	                                       ~BPF_SOCK_OPS_RTT_CB_FLAG);
	if (way && tp &&
	    !(BPF_CORE_READ_BITFIELD(&tp->inet_conn.icsk_inet.sk, sk_userlocks) &
	      SOCK_SNDBUF_LOCK)) /* who has chosen a size keeps it */
		bpf_setsockopt(ctx, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

/* @state: which it leaves. */
static __always_inline bool has_unread(struct tcp_sock *tp, __u32 state)
{
	if (state == BPF_TCP_ESTABLISHED)
		return n_charged(tp) > 0;
	/* A FIN is charged as well, until it is read. */
	return state == BPF_TCP_CLOSE_WAIT && tp->copied_seq != tp->rcv_nxt &&
	       n_charged(tp) > FIN_COST;
}

/*
 * A noted socket is about to change its state. TCP answers a close with bytes unread by a
 * reset, but does not know of those in the queue, and says FIN. The daemon makes it a
 * reset. When a close gets here the queue is not the socket's any more (6.18,
 * sock_map_close()), but still charged to it; a shutdown leaves it where it is.
 */
static __always_inline void on_state(struct bpf_sock_ops *ctx)
{
	struct g5x_cookie key = { .cookie = bpf_get_socket_cookie(ctx) };
	struct g5x_way *way = bpf_map_lookup_elem(&g5x_ways, &key);
	struct bpf_sock *sk = ctx->sk;
	struct tcp_sock *tp = sk ? bpf_skc_to_tcp_sock(sk) : NULL;
	struct g5x_bypass_session *s;
	struct g5x_bypass_flow *flow;

	if (!way || !tp || tp->inet_conn.icsk_inet.sk.sk_user_data ||
	    !has_unread(tp, ctx->args[0]))
		return;
	s = bpf_map_lookup_elem(&g5x_bypassed, &way->session);
	if (!s)
		return;
	flow = &s->flow[~way->from & 1];
	if (flow->to.cookie == key.cookie)
		flow->is_cut = true;
}

/*
 * A socket connects, again if it is one of ours: connect(2) to AF_UNSPEC has ended its last
 * connection, but left it its cookie, its place in the map and its queue.
 */
static __always_inline void forget(struct bpf_sock_ops *ctx)
{
	struct g5x_cookie key = { .cookie = bpf_get_socket_cookie(ctx) };
	struct bpf_sock *sk = ctx->sk;
	struct tcp_sock *tp = sk ? bpf_skc_to_tcp_sock(sk) : NULL;

	if (tp && tp->inet_conn.icsk_inet.sk.sk_user_data)
		bpf_map_delete_elem(&g5x_applications, &key);
}

#endif /* G5X_MEET_LATER_BPF_H */
