/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * g5x_abi.h - everything that crosses the kernel boundary, and nothing else.
 *
 * The only header that bpf/ and user/ share: keys and values of maps, limits. Types of
 * fixed width, no pointers, no implicit padding, no functions. Keys and values are
 * structs with names, so that `bpftool map dump` prints fields instead of bytes.
 */
#ifndef G5X_ABI_H
#define G5X_ABI_H

#ifndef __VMLINUX_H__ /* bpf/ has these types from vmlinux.h already */
#include <linux/types.h>
#endif

/* Key of a map of sockets that is an array. */
struct g5x_slot {
	__u32 index;
};
_Static_assert(sizeof(struct g5x_slot) == 4, "ABI: a sockmap's key is 4 bytes");

/* Value of a map of sockets: an fd when it is put in, the cookie when it is read. */
struct g5x_socket {
	__u64 fd_or_cookie;
};
_Static_assert(sizeof(struct g5x_socket) == 8, "ABI: what lookups of a sockmap need");

/* What the probe's verdict program has seen, in slot 0 of g5x_probe_seen. */
struct g5x_probe_seen {
	__u64 chunks;
	__u64 bytes;
};
_Static_assert(sizeof(struct g5x_probe_seen) == 16, "ABI: no padding");

#endif /* G5X_ABI_H */
