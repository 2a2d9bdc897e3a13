/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * cleanup.h - scope-bound ownership.
 *
 * A local marked auto_close or auto_free owns what it holds until its scope
 * ends; take_fd() and take_ptr() are the only ways to move it out. An fd that
 * owns nothing is -1, a pointer that owns nothing is NULL. So one function can
 * be read alone to see that it neither leaks nor frees twice.
 */
#ifndef G5X_BASE_CLEANUP_H
#define G5X_BASE_CLEANUP_H

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_close(const int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	errno = saved;
}

static inline void cleanup_free(void *ptr)
{
	free(*(void **)ptr);
}

#define auto_close __attribute__((cleanup(cleanup_close)))
#define auto_free __attribute__((cleanup(cleanup_free)))

#define take_fd(fd)               \
	({                        \
		int taken = (fd); \
		(fd) = -1;        \
		taken;            \
	})
#define take_ptr(ptr)                          \
	({                                     \
		__typeof__(ptr) taken = (ptr); \
		(ptr) = NULL;                  \
		taken;                         \
	})

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#endif /* G5X_BASE_CLEANUP_H */
