// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * splice.bpf.c - bytes of a spliced session go from socket to socket in the kernel.
 *
 * Hook: sk_skb/stream_verdict of g5x_sockets, attached by user/kernel/splice.c. It runs
 * for each chunk that a socket in the map receives, serialised by that socket's lock.
 *
 *     chunk ──> verdict ──┬── redirect: to the queue of the peer's socket, slot ^ 1
 *                         └── pass: into the own receive buffer, for the daemon
 *
 * A redirect takes the chunk off its socket, so the sender may go on, and the queue it
 * gets into has no limit and is charged to nobody. A chunk that is passed up is charged to
 * the receive buffer, and TCP stops the sender, but for one case: each socket has one
 * queue for what is redirected to it and what it passes up itself. Behind a chunk that
 * its TCP does not take, what is passed up waits uncharged, without limit as well (6.18).
 * Hence two rules:
 *
 * I5: only what the destination's TCP has room for right now is redirected, so that a
 *     queue waits for nothing but the kernel worker that empties it.
 * I6: while one direction is passed up, the other is as well. So nothing gets into the
 *     queue of a socket that passes bytes up, but what was on its way.
 *
 * A FIN comes as a chunk without bytes. TCP has acted on it already, so it is dropped:
 * redirected it would break the peer (EPIPE), and passed up its own socket, when it has
 * to wait in that queue (sk_psock_backlog() takes nothing moved for an error).
 *
 * I1: the daemon writes into a socket, or ends or closes it, only while nothing is
 *     queued for it. As long as it has passed bytes to relay, nothing is redirected
 *     (passed != relayed), so what it found empty stays empty.
 * I4: each byte is counted in redirected or passed, in the order of the stream.
 *
 * (I2 and I3 are the daemon's alone, see user/kernel/splice.h.)
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "g5x_abi.h"
#include "splice_maps.bpf.h"
#include "splice_room.bpf.h"
#include "splice_sequence.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

static __always_inline void tell_daemon(const struct g5x_session *s,
                                        struct g5x_slot slot)
{
	struct g5x_event event = {
		.slot = slot.index,
		.generation = s->generation,
	};
	struct g5x_slot worker = { .index = s->worker };
	void *ring = bpf_map_lookup_elem(&g5x_events, &worker);

	if (!ring || bpf_ringbuf_output(ring, &event, sizeof(event), 0))
		COUNT(events_lost);
}

/* Does the daemon have bytes to relay that came from end @from? */
static __always_inline bool is_passing(const struct g5x_session *s, __u32 from)
{
	return *(volatile __u64 *)&s->flow[from & 1].passed !=
	       *(volatile __u64 *)&s->relayed[from & 1];
}

static __always_inline int begin_to_pass(const struct g5x_session *s,
                                         struct g5x_flow *flow, struct g5x_slot slot,
                                         __u32 n)
{
	flow->passed += n;
	flow->n_switches++;
	tell_daemon(s, slot);
	return SK_PASS;
}

static __always_inline void note_time(struct g5x_session *s, __u32 from)
{
	struct g5x_flow *flow = &s->flow[from & 1];
	struct g5x_flow *other = &s->flow[~from & 1];
	/* The other's first: it may be written right now, and be later than now. */
	__u64 other_ns = *(volatile __u64 *)&other->last_ns;
	__u64 now = bpf_ktime_get_ns();

	if (flow->first_ns == 0)
		flow->first_ns = now;
	if (s->wants_responses && (from & 1) && other_ns > flow->last_ns &&
	    other_ns <= now) {
		s->n_responses++;
		s->response_ns += now - other_ns;
	}
	flow->last_ns = now;
}

SEC("sk_skb/stream_verdict")
int g5x_splice(struct __sk_buff *skb)
{
	struct g5x_cookie cookie = { .cookie = bpf_get_socket_cookie(skb) };
	struct g5x_slot *found = bpf_map_lookup_elem(&g5x_slots, &cookie);
	struct g5x_slot slot, peer, number;
	struct g5x_session *s;
	struct g5x_flow *flow;
	struct intake to = {};
	__u32 n, from;

	if (!found)
		return SK_PASS; /* about to be closed */
	slot.index = found->index;
	peer.index = slot.index ^ 1;
	number.index = slot.index / 2;
	s = bpf_map_lookup_elem(&g5x_sessions, &number);
	if (!s)
		return SK_PASS;

	from = slot.index & 1;
	flow = &s->flow[from];
	if (g5x_has_sequence)
		check_sequence(skb, flow);
	n = skb->len;
	if (n == 0)
		return SK_DROP; /* a FIN, see above */
	note_time(s, from);
	if (is_passing(s, from)) { /* I1 */
		flow->passed += n;
		return SK_PASS;
	}
	if (flow->n_gaps || is_passing(s, !from) /* I6 */ || !look_at(peer, &to) ||
	    !has_room(flow, s->relayed[from], &to, n))
		return begin_to_pass(s, flow, slot, n);
	if (bpf_sk_redirect_map(skb, &g5x_sockets, peer.index, 0) != SK_PASS) {
		COUNT(redirect_failed);
		return begin_to_pass(s, flow, slot, n);
	}
	flow->redirected += n;
	return SK_PASS;
}
