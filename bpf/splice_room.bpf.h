/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * splice_room.bpf.h - how much the destination of a direction may be sent; I5 of
 * splice.bpf.c.
 */
#ifndef G5X_SPLICE_ROOM_BPF_H
#define G5X_SPLICE_ROOM_BPF_H

/* What an sk_buff of a send buffer costs beside its bytes, rounded up. */
#define SKB_COST 1536

/* What the TCP of a socket was given, and may be given. */
struct intake {
	__u32 write_seq; /* end of what it was given */
	__u32 mss;
	__s64 room; /* bytes of memory left in its send buffer */
};

static __always_inline bool look_at(struct g5x_slot slot, struct intake *ret_intake)
{
	struct bpf_sock *sk = bpf_map_lookup_elem(&g5x_sockets, &slot);
	struct tcp_sock *tp;

	if (!sk)
		return false;
	tp = bpf_skc_to_tcp_sock(sk);
	if (tp) {
		ret_intake->write_seq = tp->write_seq;
		ret_intake->mss = tp->mss_cache;
		ret_intake->room = (__s64)tp->inet_conn.icsk_inet.sk.sk_sndbuf -
		                   tp->inet_conn.icsk_inet.sk.sk_wmem_queued;
	}
	bpf_sk_release(sk);
	return tp;
}

/* I5. Counts the chunk of @n bytes. */
static __always_inline bool has_room(struct g5x_flow *flow, __u64 relayed,
                                     const struct intake *to, __u32 n)
{
	__u32 sent = (__u32)(flow->redirected + relayed);
	__u32 written, queued, n_skbs;

	if (flow->redirected == 0)
		flow->base = to->write_seq - (__u32)relayed;
	written = to->write_seq - flow->base;
	queued = sent - written;
	/* Memory goes by chunks as well: those before the mark have left the queue when
	 * TCP has taken the bytes before it. */
	if ((__s32)(written - flow->mark) >= 0) {
		flow->n_before = flow->n_after;
		flow->n_after = 0;
		flow->mark = sent;
	}
	if (queued == 0) {
		flow->n_before = flow->n_after = 0;
		flow->mark = sent; /* it may be 2 GiB behind, when all was relayed */
	}
	/* TCP begins a new sk_buff for each segment at the most. */
	n_skbs = flow->n_before + flow->n_after + 1;
	if (to->mss > 0)
		n_skbs += (queued + n) / to->mss;
	if ((__s64)queued + n + (__s64)n_skbs * SKB_COST > to->room)
		return false;
	flow->n_after++;
	return true;
}

#endif /* G5X_SPLICE_ROOM_BPF_H */
