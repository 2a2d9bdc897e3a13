/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* guard_parts.h - what the guard*.c files of this folder share. */
#ifndef G5X_KERNEL_GUARD_PARTS_H
#define G5X_KERNEL_GUARD_PARTS_H

#include "guard.skel.h"
#include "kernel/guard.h"
#include "kernel/pins.h"

struct ring_buffer;

struct guard_link {
	unsigned int ifindex;
	int fd; /* owned */
	bool is_veth;
	bool answers; /* what it drops: see guard_attach() */
};

struct guard {
	struct guard_bpf *skel;
	struct ring_buffer *events;
	guard_event_fn on_event; /* while events are read */
	void *ctx;
	struct guard_link *links; /* owned */
	size_t n_links;
	struct g5x_guard_address *listeners; /* owned; of the rule set, sorted */
	size_t n_listeners;
	struct pins pins;
	char *pin_parent; /* owned */
};

/** guard_detach_all() - before the program goes */
void guard_detach_all(struct guard *g);

#endif /* G5X_KERNEL_GUARD_PARTS_H */
