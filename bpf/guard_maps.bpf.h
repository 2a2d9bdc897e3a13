/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * guard_maps.bpf.h - the maps of guard.bpf.c.
 *
 * A rule set has two places; who reads one stays with it (G1, user/kernel/guard_publish.c).
 * A map that is full stops nothing: what has no entry is let through. Sizes of 1 are set
 * before the load, see user/kernel/guard.c, or when a rule set is published.
 */
#ifndef G5X_GUARD_MAPS_BPF_H
#define G5X_GUARD_MAPS_BPF_H

#include "g5x_abi.h"

#define N_PLACES 2

/* Written by the daemon only: which place counts. */
volatile __u32 g5x_guard_active;

/* ---- the rule set ------------------------------------------------------------------ */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, N_PLACES);
	__type(key, __u32);
	__type(value, struct g5x_guard_settings);
} g5x_guard_set SEC(".maps");

/* clang 14 describes a type of an inner map only when something else has it as well. */
struct of_inner_maps {
	struct g5x_guard_address address;
	struct g5x_guarded guarded;
	struct g5x_client_key key;
	struct g5x_client_pattern pattern;
} * of_inner_maps __attribute__((unused));

struct g5x_addresses {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, struct g5x_guard_address);
	__type(value, struct g5x_guarded);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, N_PLACES);
	__type(key, __u32);
	__array(values, struct g5x_addresses);
} g5x_addresses SEC(".maps");

/* The value says nothing. */
struct g5x_networks {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct g5x_client_key);
	__type(value, __u32);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, N_PLACES);
	__type(key, __u32);
	__array(values, struct g5x_networks);
} g5x_networks SEC(".maps");

struct g5x_patterns {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_INNER_MAP);
	__type(key, __u32);
	__type(value, struct g5x_client_pattern);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, N_PLACES);
	__type(key, __u32);
	__array(values, struct g5x_patterns);
} g5x_patterns SEC(".maps");

/* ---- sources ----------------------------------------------------------------------- */

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct g5x_block_key);
	__type(value, struct g5x_block);
} g5x_blocked SEC(".maps");

/* Those with as many sessions as they may have. The value says nothing. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct g5x_source);
	__type(value, __u32);
} g5x_guard_full SEC(".maps");

/* Entries are made by packets; the least recently used make room. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct g5x_source);
	__type(value, struct g5x_pace);
} g5x_source_paces SEC(".maps");

/* ---- listeners: entries are made by the daemon ------------------------------------- */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct g5x_guard_address);
	__type(value, struct g5x_pace);
} g5x_listener_paces SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct g5x_guard_address);
	__type(value, struct g5x_guard_counts);
} g5x_guard_counts SEC(".maps");

/* ---- events ------------------------------------------------------------------------ */

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 << 10);
} g5x_guard_events SEC(".maps");

struct told {
	__u64 last_ns;
	__u64 n_untold;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct told);
} g5x_guard_told SEC(".maps");

#endif /* G5X_GUARD_MAPS_BPF_H */
