/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * signals.h - signals as events of a loop.
 *
 * HUP, INT and TERM are blocked in every thread and read from a signalfd; PIPE is
 * ignored: writing to a peer that left is an errno, not an end.
 */
#ifndef G5X_CONTROL_SIGNALS_H
#define G5X_CONTROL_SIGNALS_H

/** signals_block() - before the first thread is started, which inherits it; 0 or -errno */
int signals_block(void);

/** signals_open() - 0 with a non-blocking fd the caller owns, or -errno */
int signals_open(int *ret_fd);

/** signals_next() - number of a signal that came, or 0 for no more */
int signals_next(int fd);

#endif /* G5X_CONTROL_SIGNALS_H */
