/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* startup.h - the surroundings a start looks at, and what it says about itself. */
#ifndef G5X_CONTROL_STARTUP_H
#define G5X_CONTROL_STARTUP_H

#include <stdint.h>

struct config;
struct settings;

/** startup_raise_fd_limit() - to the hard limit: a session needs two descriptors */
void startup_raise_fd_limit(void);

/** startup_n_workers() - by command line, by rule file, else one for each core */
unsigned int startup_n_workers(const struct settings *settings,
                               const struct config *config);

/** startup_log() - version, sizes, what the kernel can do, each rule normalised */
void startup_log(const struct settings *settings, const struct config *config,
                 unsigned int n_workers, uint32_t n_sessions);

#endif /* G5X_CONTROL_STARTUP_H */
