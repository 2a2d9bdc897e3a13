/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * kernel.h - what the running kernel can do for us.
 *
 * Two implementations, chosen by the build: kernel_bpf.c, the only file that knows the
 * skeletons of bpf/, and kernel_none.c for a build with BPF=0.
 */
#ifndef G5X_KERNEL_KERNEL_H
#define G5X_KERNEL_KERNEL_H

#include <stddef.h>

#define KERNEL_REASON_LEN 160

/**
 * kernel_probe() - could kernel datapaths work here?
 * @reason: gets the answer as one line for the log, without line end
 *
 * Tries it: loads a verdict program, attaches it to a sockmap and puts an established
 * loopback connection in. Nothing of that is left when it returns.
 *
 * Return: 0 for yes; -EPERM for missing privileges; -EOPNOTSUPP or another -errno for
 * a kernel, or a build, without the means.
 */
int kernel_probe(char *reason, size_t len);

#endif /* G5X_KERNEL_KERNEL_H */
