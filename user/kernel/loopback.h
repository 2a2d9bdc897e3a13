/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* loopback.h - a TCP connection to try things on. */
#ifndef G5X_KERNEL_LOOPBACK_H
#define G5X_KERNEL_LOOPBACK_H

/** loopback_pair() - both ends of a new connection of this process with itself, blocking
 *
 * Return: 0 or -errno.
 */
int loopback_pair(int *ret_near, int *ret_far);

#endif /* G5X_KERNEL_LOOPBACK_H */
