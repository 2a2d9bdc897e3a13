/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * splice_sequence.bpf.h - does a chunk begin where the one before it ended?
 *
 * The part of recv(2) that a verdict program does not get from TCP.
 */
#ifndef G5X_SPLICE_SEQUENCE_BPF_H
#define G5X_SPLICE_SEQUENCE_BPF_H

/* bpf_skb_adjust_room() takes off a page less one at the most; a chunk has 512 KiB. */
#define STEP 4095
#define MAX_STEPS 130

/*
 * Does skb->cb hold tcp_skb_cb here, sequence numbers first? So it is since 6.0, where
 * tcp_read_skb() gives the chunk itself; tcp_read_sock() before gave a clone and took
 * care of overlaps. user/kernel/splice.c finds out.
 */
const volatile bool g5x_has_sequence = false;

/*
 * A retransmission may begin with bytes that came before. recv(2) skips those; for a
 * verdict TCP does not. They are taken off here, in steps of what one call allows; all
 * of them are old where only the FIN is new.
 */
static __always_inline void check_sequence(struct __sk_buff *skb, struct g5x_flow *flow)
{
	__s32 len = skb->len, n_seen, n;
	struct tcp_sock *tp = NULL;

	if (flow->first_ns == 0 && skb->sk)
		tp = bpf_skc_to_tcp_sock(skb->sk);
	if (tp) /* what was read before the insertion is old as well */
		flow->next_seq = tp->copied_seq;
	n_seen = flow->next_seq - skb->cb[0];
	if (n_seen > len)
		n_seen = len;
	flow->next_seq += len - n_seen;
	if (n_seen > 0)
		COUNT(trimmed);
	for (int i = 0; n_seen > 0 && i < MAX_STEPS; i++) {
		n = n_seen < STEP ? n_seen : STEP;
		if (bpf_skb_adjust_room(skb, -n, 0, 0))
			break;
		n_seen -= n;
	}
	if (n_seen) {
		/* Bytes are missing, which cannot be, or could not be taken off. The
		 * daemon resets both. */
		flow->n_gaps++;
		COUNT(gaps);
	}
}

#endif /* G5X_SPLICE_SEQUENCE_BPF_H */
