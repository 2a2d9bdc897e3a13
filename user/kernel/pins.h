/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * pins.h - names of BPF maps in a directory of a bpffs, for as long as we run.
 *
 * The directory is locked while it is in use: names that are there although nobody
 * holds the lock were left by a program that was killed.
 */
#ifndef G5X_KERNEL_PINS_H
#define G5X_KERNEL_PINS_H

#include <stddef.h>

#define PINS_MAX 8

struct pin {
	const char *name; /* static */
	int fd;
};

/* Zeroed: nothing is pinned. */
struct pins {
	char *dir; /* owned */
	int dir_fd;
	const char *names[PINS_MAX];
	size_t n;
};

/**
 * pins_make() - pin all of @wanted in @dir, which is made if need be
 *
 * Return: 0; -EBUSY when somebody else holds the lock; -EMEDIUMTYPE when @dir is not on
 * a bpffs; or another -errno. On failure nothing of it stays.
 */
int pins_make(struct pins *p, const char *dir, const struct pin *wanted, size_t n);

/** pins_remove() - and the directory, if it is empty then; once more does nothing */
void pins_remove(struct pins *p);

#endif /* G5X_KERNEL_PINS_H */
