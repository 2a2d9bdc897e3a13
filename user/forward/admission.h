/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * admission.h - what is asked of a client's address: blocks, maxsessions_per_ip, rates.
 *
 * Whom it refuses has a line in the log. Clients of management rules are asked for
 * blocks only.
 */
#ifndef G5X_FORWARD_ADMISSION_H
#define G5X_FORWARD_ADMISSION_H

#include <stdbool.h>

struct addr;
struct port;
struct worker;

/** admission_is_blocked() - before any rule is looked for */
bool admission_is_blocked(struct worker *w, const struct addr *addr);

/**
 * admission_enter() - one session more of the client's IP, if it may have it now
 *
 * Each success is undone by limits_leave(). Rates do not forget whom they have counted.
 */
bool admission_enter(struct worker *w, const struct port *port,
                     const struct addr *addr);

#endif /* G5X_FORWARD_ADMISSION_H */
