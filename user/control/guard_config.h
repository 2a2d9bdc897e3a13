/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* guard_config.h - a configuration as the guard's rule set. */
#ifndef G5X_CONTROL_GUARD_CONFIG_H
#define G5X_CONTROL_GUARD_CONFIG_H

#include <stddef.h>

#include "base/addr.h"

struct config;
struct forward;
struct guard_rules;

/**
 * guard_config_collect() - all listeners of @forward with the clients they are for
 * @rules:     initialised; gets settings as well
 * @addresses: of this host; at these a listener on a wildcard address is reached
 *
 * What would not fit is left to the workers, with a warning in the log.
 */
void guard_config_collect(struct guard_rules *rules, const struct config *config,
                          struct forward *forward, const struct addr *addresses,
                          size_t n);

#endif /* G5X_CONTROL_GUARD_CONFIG_H */
