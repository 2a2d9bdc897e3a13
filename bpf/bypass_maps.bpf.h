/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * bypass_maps.bpf.h - what bypass.bpf.c and meet.bpf.c share: maps, for the most part.
 *
 * They are weak, so that the linker makes one of both. Sizes of 1 are set before the load, see
 * user/kernel/bypass.c.
 */
#ifndef G5X_BYPASS_MAPS_BPF_H
#define G5X_BYPASS_MAPS_BPF_H

#include "g5x_abi.h"

/* Sockets of applications that talk to us, by cookie. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 1);
	__type(key, struct g5x_cookie);
	__type(value, struct g5x_socket);
} g5x_applications SEC(".maps") __weak;

/* Our sockets of sessions that are bypassed, by cookie. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 1);
	__type(key, struct g5x_cookie);
	__type(value, struct g5x_socket);
} g5x_ours SEC(".maps") __weak;

/* Where what a socket sends belongs. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct g5x_cookie);
	__type(value, struct g5x_way);
} g5x_ways SEC(".maps") __weak;

/* Mapped into the daemon. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct g5x_bypass_session);
} g5x_bypassed SEC(".maps") __weak;

/* Connections that the daemon has not asked for yet. Some it never does. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1);
	__type(key, struct g5x_connection);
	__type(value, struct g5x_meeting);
} g5x_meetings SEC(".maps") __weak;

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct g5x_own_socket);
} g5x_own_sockets SEC(".maps") __weak;

/* The value says nothing. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct g5x_listener);
	__type(value, __u32);
} g5x_listeners SEC(".maps") __weak;

/* A member of an unnamed struct, which vmlinux/generate.py does not know. */
struct sock___charged {
	struct {
		atomic_t rmem_alloc;
	} sk_backlog;
} __attribute__((preserve_access_index));

/* Bytes that wait to be read, with what segments of TCP cost. */
static __always_inline __u32 n_charged(struct tcp_sock *tp)
{
	return (__u32)BPF_CORE_READ((struct sock___charged *)tp,
	                            sk_backlog.rmem_alloc.counter);
}

#endif /* G5X_BYPASS_MAPS_BPF_H */
