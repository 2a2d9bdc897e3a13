/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* cgroup.h - the root of cgroup v2, for programs that look at all sockets. */
#ifndef G5X_KERNEL_CGROUP_H
#define G5X_KERNEL_CGROUP_H

/**
 * cgroup_open_root() - a directory fd of it, owned by the caller
 *
 * Of the first mount there is; where there is none, of one that nobody else sees.
 * (In a container it is the root of what the container may see.)
 *
 * Return: the fd or -errno.
 */
int cgroup_open_root(void);

#endif /* G5X_KERNEL_CGROUP_H */
