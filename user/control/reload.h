/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * reload.h - from a rule file to a configuration, at the start and on SIGHUP.
 *
 * A file is taken as a whole or not at all. After a reload the file is what counts:
 * changes made on the management port and not dumped are gone.
 */
#ifndef G5X_CONTROL_RELOAD_H
#define G5X_CONTROL_RELOAD_H

#include <stdio.h>

struct config;
struct control;
struct diag_list;
struct settings;

/**
 * reload_read() - read and understand the rule file
 * @old:   configuration in force, or NULL
 * @diags: must be initialised; if it has no errors after a failure, the file could
 *         not be read, and file_reason() has the text
 *
 * Return: 0 with *ret_config owned by the caller, or -errno.
 */
int reload_read(const struct settings *settings, const struct config *old,
                struct diag_list *diags, struct config **ret_config);

/** reload_read_first() - the same at the start: what is wrong goes to stderr */
int reload_read_first(const struct settings *settings, struct config **ret_config);

/** reload_check() - -t: say on @out how many rules there are; 0 or -errno */
int reload_check(const struct settings *settings, FILE *out);

/**
 * reload() - SIGHUP: put the file in force as it is now, and reopen the log
 *
 * On any error the configuration in force stays, and the log says why.
 */
void reload(struct control *c);

/** reload_log_target() - where the configuration wants the log */
const char *reload_log_target(const struct config *config);

#endif /* G5X_CONTROL_RELOAD_H */
