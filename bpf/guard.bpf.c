// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * guard.bpf.c - what no rule would accept is dropped before it is a socket.
 *
 * Hook: XDP, attached to interfaces by user/kernel/guard.c. Only packets that begin a
 * connection are looked at; all others cost their headers and no lookup.
 *
 *     frame ──SYN?──> to a listener? ──> blocked? ──> a rule's client? ──> too many
 *                                                     sessions? ──> too fast? ──> passed
 *
 * The daemon decides the same for what it accepts, so whatever cannot be read, found or
 * decided here is let through.
 */
#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "g5x_abi.h"
#include "guard_client.bpf.h"
#include "guard_maps.bpf.h"
#include "guard_pace.bpf.h"
#include "guard_packet.bpf.h"
#include "guard_reset.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

#define EVENT_INTERVAL_NS 100000000ULL /* of a CPU */

/* What is known of a packet to one of our listeners. */
struct looked_at {
	struct syn syn;
	const struct g5x_guard_settings *settings;
	const struct g5x_guarded *guarded;
	__u32 place;
	__u64 now_ns;
};

static __always_inline bool is_blocked(const struct looked_at *at)
{
	struct g5x_block_key key = {
		.prefix_len = 32 + 128,
		.network = at->syn.from.ip,
	};
	const struct g5x_block *block = bpf_map_lookup_elem(&g5x_blocked, &key);

	return block && (block->until_ns == 0 || at->now_ns < block->until_ns);
}

static __always_inline bool is_source_too_fast(const struct looked_at *at)
{
	const struct g5x_guard_settings *s = at->settings;
	struct g5x_source key = at->syn.from.ip;
	struct g5x_pace *pace;

	if (s->source_interval_ns == 0)
		return false;
	pace = bpf_map_lookup_elem(&g5x_source_paces, &key);
	if (!pace) {
		struct g5x_pace first = { at->now_ns + s->source_interval_ns };

		bpf_map_update_elem(&g5x_source_paces, &key, &first, BPF_ANY);
		return false;
	}
	return is_too_fast(pace, at->now_ns, s->source_interval_ns, s->source_slack_ns);
}

static __always_inline bool is_listener_too_fast(const struct looked_at *at)
{
	const struct g5x_guard_settings *s = at->settings;
	struct g5x_pace *pace;

	if (s->listener_interval_ns == 0)
		return false;
	pace = bpf_map_lookup_elem(&g5x_listener_paces, &at->guarded->listener);
	return pace && is_too_fast(pace, at->now_ns, s->listener_interval_ns,
	                           s->listener_slack_ns);
}

/* fe80::/10 */
static __always_inline bool is_link_local(const struct g5x_source *ip)
{
	return ip->family == 6 && bpf_ntohl(ip->address[0]) >> 22 == 0xfe80 >> 6;
}

/* Return: why it is not let through, or G5X_DROP_N. */
static __always_inline enum g5x_drop_reason judge(const struct looked_at *at)
{
	if (is_blocked(at))
		return G5X_DROP_BLOCKED;
	if (!is_wanted(at->place, at->guarded, &at->syn.from))
		return G5X_DROP_NO_RULE;
	if (at->guarded->is_manage)
		return G5X_DROP_N;
	/* One of a link is another host's on the next: the daemon knows which. */
	if (!is_link_local(&at->syn.from.ip)) {
		if (at->settings->limits_sessions &&
		    bpf_map_lookup_elem(&g5x_guard_full, &at->syn.from.ip))
			return G5X_DROP_SESSIONS;
		if (is_source_too_fast(at))
			return G5X_DROP_SOURCE_RATE;
	}
	if (is_listener_too_fast(at))
		return G5X_DROP_LISTENER_RATE;
	return G5X_DROP_N;
}

static __always_inline void count(struct g5x_drops *drops, enum g5x_drop_reason reason)
{
	if (reason < G5X_DROP_N)
		((__u64 *)drops)[reason]++;
}

static __always_inline void tell(const struct xdp_md *ctx, const struct looked_at *at,
                                 enum g5x_drop_reason reason)
{
	__u32 key = 0;
	struct told *told = bpf_map_lookup_elem(&g5x_guard_told, &key);
	struct g5x_guard_event *event = NULL;

	if (!told)
		return;
	if (at->now_ns - told->last_ns >= EVENT_INTERVAL_NS)
		event = bpf_ringbuf_reserve(&g5x_guard_events, sizeof(*event), 0);
	if (!event) {
		told->n_untold++;
		return;
	}
	event->source = at->syn.from;
	event->listener = at->guarded->listener;
	event->reason = reason;
	event->ifindex = ctx->ingress_ifindex;
	event->is_dry_run = at->settings->is_dry_run;
	event->reserved = 0;
	event->n_untold = told->n_untold;
	bpf_ringbuf_submit(event, 0);
	told->n_untold = 0;
	told->last_ns = at->now_ns;
}

static __always_inline int refuse(struct xdp_md *ctx, const struct looked_at *at,
                                  struct g5x_guard_counts *counts,
                                  enum g5x_drop_reason reason)
{
	tell(ctx, at, reason);
	if (at->settings->is_dry_run) {
		count(&counts->would_drop, reason);
		counts->passed++;
		return XDP_PASS;
	}
	count(&counts->dropped, reason);
	if (!at->settings->rejects || !make_reset(ctx, &at->syn))
		return XDP_DROP;
	counts->reset++;
	return XDP_TX;
}

SEC("xdp")
int g5x_guard(struct xdp_md *ctx)
{
	struct looked_at at = {};
	struct g5x_guard_counts *counts;
	enum g5x_drop_reason reason;
	void *addresses;

	if (!read_syn(ctx, &at.syn))
		return XDP_PASS;
	at.place = g5x_guard_active;
	addresses = bpf_map_lookup_elem(&g5x_addresses, &at.place);
	at.settings = bpf_map_lookup_elem(&g5x_guard_set, &at.place);
	if (!addresses || !at.settings)
		return XDP_PASS;
	at.guarded = bpf_map_lookup_elem(addresses, &at.syn.to);
	if (!at.guarded)
		return XDP_PASS;
	counts = bpf_map_lookup_elem(&g5x_guard_counts, &at.guarded->listener);
	if (!counts)
		return XDP_PASS;
	at.now_ns = bpf_ktime_get_ns();
	reason = judge(&at);
	if (reason != G5X_DROP_N)
		return refuse(ctx, &at, counts, reason);
	counts->passed++;
	return XDP_PASS;
}
