/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * guarding.h - keeps the guard as the configuration, the blocks and the host's interfaces
 * want it.
 *
 * Whatever goes wrong with it is a line of the log and a guard that drops less: workers
 * enforce the same. When a rule set cannot be handed to the kernel, the old one must not
 * stay either, for the new rules may want whom it drops: then the guard lets go of its
 * interfaces.
 */
#ifndef G5X_CONTROL_GUARDING_H
#define G5X_CONTROL_GUARDING_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/addr.h"
#include "base/loop.h"
#include "control/guard_blocks.h"
#include "control/links.h"
#include "kernel/guard.h"

struct config;
struct forward;
struct listing;
struct settings;

#define GUARDING_TEXT_LEN 256

/* An interface that the configuration names. */
struct guarded_link {
	char name[IFNAMSIZ];
	unsigned int ifindex; /* 0: not attached */
	enum guard_mode mode;
	int error; /* of the last attempt, 0 or -errno: told once */
};

/* Drops of one reason, as far as the log knows. */
struct guarding_told {
	uint64_t next_ms; /* the next line may come then */
	uint64_t n_untold;
};

/* Zeroed: off. */
struct guarding {
	struct loop *loop; /* borrowed, as all of these */
	struct forward *forward;
	const struct settings *settings;
	const struct config *config; /* in force; NULL: none, or no guard wanted */

	struct guard *guard;  /* owned; NULL: off */
	struct source events; /* its file descriptor is the guard's */
	struct links links;
	struct guarded_link *interfaces; /* owned */
	size_t n_interfaces;
	struct addr *addresses; /* owned: of this host, as the rule set knows them */
	size_t n_addresses;
	struct guard_blocks blocks;
	const char *pinned; /* static: what to say of its maps */
	struct guarding_told told[G5X_DROP_N];
	uint64_t retry_ms; /* look for interfaces again; 0: not needed */
	bool has_let_go;   /* is attached nowhere until the next configuration */
	char text[GUARDING_TEXT_LEN]; /* on or off, and why; "": it is not wanted */
};

/** guarding_apply() - after @config was published; the listeners are those in force */
void guarding_apply(struct guarding *g, const struct config *config);

/** guarding_sync_blocks() - after a change of the blocks */
void guarding_sync_blocks(struct guarding *g);

/** guarding_release() - leave the interfaces; whoever comes next has his own rules */
void guarding_release(struct guarding *g);

/** guarding_run_timers() - after each turn of the loop */
void guarding_run_timers(struct guarding *g);

/** guarding_wait_ms() - how long the loop may sleep; -1 for ever */
int guarding_wait_ms(const struct guarding *g);

/** guarding_list() - some lines of `list guard`; false when that were the last */
bool guarding_list(const struct guarding *g, FILE *out, struct listing *at);

/** guarding_stop() - before forward_free() */
void guarding_stop(struct guarding *g);

#endif /* G5X_CONTROL_GUARDING_H */
