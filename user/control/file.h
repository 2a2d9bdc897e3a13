/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * file.h - the rule file on disk.
 *
 * Reading takes all of it or nothing. Writing replaces it in one step: whoever opens
 * it sees the old text or the new one, also after a power failure.
 */
#ifndef G5X_CONTROL_FILE_H
#define G5X_CONTROL_FILE_H

#include <stddef.h>

struct config;

#define FILE_LEN_MAX (256U << 20)

/**
 * file_read() - @ret_text gets *ret_len bytes, not terminated, owned by the caller
 *
 * Return: 0; -EISDIR; -ENOTSUP for a pipe or socket, which could not be read again;
 * -EFBIG above FILE_LEN_MAX; another -errno.
 */
int file_read(const char *path, char **ret_text, size_t *ret_len);

/**
 * file_write() - replace the file by @config's text
 *
 * Mode and owner stay. A symbolic link stays too: what it points to is replaced. On
 * failure nothing has changed.
 *
 * Return: 0 or -errno.
 */
int file_write(const char *path, const struct config *config);

/** file_reason() - what a result of the above means, as text */
const char *file_reason(int r);

#endif /* G5X_CONTROL_FILE_H */
