/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* bypass_room.bpf.h - what is to be known of a reader: has its queue room (B2)? */
#ifndef G5X_BYPASS_ROOM_BPF_H
#define G5X_BYPASS_ROOM_BPF_H

#include "bypass_maps.bpf.h"

#define RCV_SHUTDOWN 1

/* struct sk_msg, rounded up: what a message costs beside its bytes. */
#define MESSAGE_COST 1024

/* More than a segment costs beside its bytes. */
#define SEGMENT_COST 4096

/* So much memory has a socket also when there is little (tcp_rmem[0]). */
#define SURE 4096

/* Of a message, and where it is to go. */
struct message {
	struct tcp_sock *sender;
	struct tcp_sock *reader; /* an address: to be read with BPF_CORE_READ() */
	struct g5x_bypass_flow *flow;
	__u64 sender_cookie, reader_cookie;
	bool is_ours;
};

/* ---- of a reader, by its address alone ---- */

static __always_inline __u64 cookie_of(struct tcp_sock *tp)
{
	return BPF_CORE_READ(tp, inet_conn.icsk_inet.sk.__sk_common.skc_cookie.counter);
}

static __always_inline bool has_ulp(const struct tcp_sock *tp)
{
	return BPF_CORE_READ(tp, inet_conn.icsk_ulp_ops);
}

/* Closed, or not in the map of sockets any more. What was in its queue is charged to it for
 * a while. (A FIN from us shuts it down as well, after the last that we send.) */
static __always_inline bool is_closing(const struct tcp_sock *tp)
{
	return !BPF_CORE_READ(tp, inet_conn.icsk_inet.sk.sk_user_data) ||
	       BPF_CORE_READ(tp, inet_conn.icsk_inet.sk.sk_shutdown) & RCV_SHUTDOWN;
}

static __always_inline bool is_memory_short(struct tcp_sock *to)
{
	unsigned long *pressure = BPF_CORE_READ(
	        to, inet_conn.icsk_inet.sk.__sk_common.skc_prot, memory_pressure);
	unsigned long is_short = 0;

	bpf_probe_read_kernel(&is_short, sizeof(is_short), pressure);
	return is_short;
}

/* Bytes that TCP would certainly take for it; half of it, for what a segment costs. */
static __always_inline __u32 tcp_room(struct tcp_sock *to)
{
	__u32 size = BPF_CORE_READ(to, inet_conn.icsk_inet.sk.sk_rcvbuf);
	__u32 used = n_charged(to) + SEGMENT_COST;

	return used < size && !is_memory_short(to) ? (size - used) / 2 : 0;
}

/* B2. */
static __always_inline bool has_room(const struct message *m, __u32 limit, __u32 n)
{
	struct g5x_bypass_flow *flow = m->flow;
	struct tcp_sock *reader = m->reader;
	__u32 bytes = (__u32)(flow->direct + flow->injected);
	__u32 queued = n_charged(reader);

	/* What was put in before the mark was read when fewer bytes are queued than came
	 * after it. */
	if ((__s32)(bytes - queued - flow->mark) >= 0) {
		flow->n_before = flow->n_after;
		flow->n_after = 0;
		flow->mark = bytes;
	}
	if (queued + n > SURE && is_memory_short(reader))
		return m->is_ours && queued == 0;
	return queued == 0 ||
	       queued + n + (flow->n_before + flow->n_after + 1) * MESSAGE_COST <=
	               limit;
}

#endif /* G5X_BYPASS_ROOM_BPF_H */
