/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * splice_maps.bpf.h - the maps of splice.bpf.c.
 *
 * Sizes of 1 are set before the load, see user/kernel/splice.c. Each is pinned under
 * its name without g5x_. The key of an array has to be an integer: with a struct the
 * kernel takes the map without its BTF, and bpftool prints bytes.
 */
#ifndef G5X_SPLICE_MAPS_BPF_H
#define G5X_SPLICE_MAPS_BPF_H

/* Both sockets of session n, at 2n (client) and 2n + 1 (server). */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKMAP);
	__uint(max_entries, 1);
	__type(key, struct g5x_slot);
	__type(value, struct g5x_socket);
} g5x_sockets SEC(".maps");

/* A program is told the socket, not where in the map it is. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC); /* most sessions are never spliced */
	__type(key, struct g5x_cookie);
	__type(value, struct g5x_slot);
} g5x_slots SEC(".maps");

/* Mapped into the daemon: it reads counters without a system call. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct g5x_session);
} g5x_sessions SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct g5x_totals);
} g5x_totals SEC(".maps");

struct g5x_ring {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
};

/* A ring of struct g5x_event for each worker. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 1);
	__type(key, __u32);
	__array(values, struct g5x_ring);
} g5x_events SEC(".maps");

static __always_inline struct g5x_totals *totals(void)
{
	struct g5x_slot first = { .index = 0 };

	return bpf_map_lookup_elem(&g5x_totals, &first);
}

#define COUNT(name)                                        \
	do {                                               \
		struct g5x_totals *t = totals();           \
		if (t)                                     \
			__sync_fetch_and_add(&t->name, 1); \
	} while (0)

#endif /* G5X_SPLICE_MAPS_BPF_H */
