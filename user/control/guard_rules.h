/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * guard_rules.h - puts a rule set for the guard together.
 *
 * Listener by listener: guard_rules_add_listener(), then its clients and the addresses at
 * which it is reached. Allocation never fails, as with all of a configuration
 * (rules/alloc.h).
 */
#ifndef G5X_CONTROL_GUARD_RULES_H
#define G5X_CONTROL_GUARD_RULES_H

#include <stdbool.h>
#include <stddef.h>

#include "kernel/guard.h"

struct pattern;

struct guard_rules {
	struct g5x_guard_settings settings; /* zero; the caller's to set */
	struct g5x_guarded *listeners;      /* these arrays are owned */
	size_t n_listeners;
	struct guard_address *addresses; /* value.number is all that is known yet */
	size_t n_addresses;
	struct g5x_client_key *networks;
	size_t n_networks;
	struct g5x_client_pattern *patterns;
	size_t n_patterns;
};

/** guard_rules_init() - no listener, settings that limit nothing */
void guard_rules_init(struct guard_rules *r);
void guard_rules_fini(struct guard_rules *r);

/** guard_rules_add_listener() - @listener: as configured, perhaps a wildcard */
void guard_rules_add_listener(struct guard_rules *r, const struct addr *listener,
                              bool is_manage);

/**
 * guard_rules_add_client() - the last listener takes these clients
 *
 * Return: 0; -E2BIG: more patterns than the guard looks at, so that it lets all of the
 * listener's clients through and the daemon decides.
 */
int guard_rules_add_client(struct guard_rules *r, const struct pattern *p);

/** guard_rules_add_address() - the last listener is reached there; the first of two that
 * say so about the same address is the one */
void guard_rules_add_address(struct guard_rules *r, const struct addr *real);

/** guard_rules_set() - what guard_publish() takes; good until the next change of @r */
struct guard_set guard_rules_set(struct guard_rules *r);

#endif /* G5X_CONTROL_GUARD_RULES_H */
