// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * probe.bpf.c - the least a kernel datapath needs, to see whether it is there.
 *
 * Hook: sk_skb/stream_verdict, attached to g5x_probe_sk by user/kernel/kernel_bpf.c,
 * which puts one socket in and takes everything away again. The verdict is always
 * SK_PASS: bytes take the way they would have taken without it.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "g5x_abi.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Slot 0 is the socket tried. The kernel takes it out when that socket is closed. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 1);
	__type(key, struct g5x_slot);
	__type(value, struct g5x_socket);
} g5x_probe_sk SEC(".maps");

/* Slot 0 counts: the proof that the program ran. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct g5x_probe_seen);
} g5x_probe_seen SEC(".maps");

SEC("sk_skb/stream_verdict")
int g5x_probe(struct __sk_buff *skb)
{
	struct g5x_slot slot = { .index = 0 };
	struct g5x_probe_seen *seen = bpf_map_lookup_elem(&g5x_probe_seen, &slot);

	if (seen) {
		__sync_fetch_and_add(&seen->chunks, 1);
		__sync_fetch_and_add(&seen->bytes, skb->len);
	}
	return SK_PASS;
}
