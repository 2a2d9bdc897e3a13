// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* kernel_none.c - kernel.h for a build without BPF: all bytes go through the daemon. */
#include "kernel/kernel.h"

#include <errno.h>
#include <stdio.h>

int kernel_probe(char *reason, size_t len)
{
	snprintf(reason, len, "kernel datapaths: no, built without BPF");
	return -EOPNOTSUPP;
}
