// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * file.c - see file.h.
 *
 * The new text goes to a temporary file in the same folder, which then takes the
 * name: rename(2) is what makes it one step, the two fsync(2) what makes it last.
 */
#include "control/file.h"

#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "rules/format.h"

static int open_for_reading(const char *path, int *ret_fd)
{
	auto_close int fd = -1;
	struct stat st;

	/* Non-blocking, or a pipe nobody writes to would stop us here. */
	fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode))
		return -ENOTSUP;
	*ret_fd = take_fd(fd);
	return 0;
}

int file_read(const char *path, char **ret_text, size_t *ret_len)
{
	auto_close int fd = -1;
	auto_free char *text = NULL;
	size_t len = 0, capacity = 0;
	ssize_t n;
	int r;

	r = open_for_reading(path, &fd);
	if (r < 0)
		return r;
	do {
		if (len == capacity) {
			char *larger;

			capacity = capacity ? 2 * capacity : 16384;
			if (capacity > 2 * (size_t)FILE_LEN_MAX)
				return -EFBIG;
			larger = realloc(text, capacity);
			if (!larger)
				return -ENOMEM;
			text = larger;
		}
		n = read(fd, text + len, capacity - len);
		if (n < 0 && errno != EINTR)
			return -errno;
		len += n > 0 ? (size_t)n : 0;
	} while (n != 0);
	if (len > FILE_LEN_MAX)
		return -EFBIG;

	*ret_text = take_ptr(text);
	*ret_len = len;
	return 0;
}

/* Before the text is written: nobody may read it who may not read the old one. */
static int copy_mode_and_owner(const char *path, int fd)
{
	struct stat old = { .st_mode = 0644 }, new;

	if (fstat(fd, &new) < 0)
		return -errno;
	if (stat(path, &old) < 0) {
		if (errno != ENOENT)
			return -errno;
		old.st_uid = new.st_uid;
		old.st_gid = new.st_gid;
	}
	if (fchmod(fd, old.st_mode & 0777) < 0)
		return -errno;
	if ((old.st_uid != new.st_uid || old.st_gid != new.st_gid) &&
	    fchown(fd, old.st_uid, old.st_gid) < 0)
		return -errno;
	return 0;
}

static int write_text(int fd, const struct config *config)
{
	auto_close int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	FILE *out;
	int r = 0;

	if (copy < 0)
		return -errno;
	out = fdopen(copy, "w");
	if (!out)
		return -errno;
	take_fd(copy);

	errno = EIO;
	format_config(out, config);
	if (fflush(out) != 0 || ferror(out) || fsync(fileno(out)) < 0)
		r = -errno;
	fclose(out);
	return r;
}

/* So that the new name is on disk too, not only the new text. */
static int sync_folder(const char *path)
{
	auto_free char *copy = strdup(path);
	auto_close int fd = -1;

	if (!copy)
		return -ENOMEM;
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return -errno;
	return 0;
}

static int fill_and_rename(int fd, const char *temporary, const char *path,
                           const struct config *config)
{
	int r = copy_mode_and_owner(path, fd);

	if (r < 0)
		return r;
	r = write_text(fd, config);
	if (r < 0)
		return r;
	return rename(temporary, path) < 0 ? -errno : 0;
}

/* Where the text shall be: what a symbolic link points to. */
static int resolve_links(const char *path, char **ret_path)
{
	char *target = realpath(path, NULL);

	if (!target && errno == ENOENT)
		target = strdup(path); /* was deleted meanwhile */
	if (!target)
		return -errno;
	*ret_path = target;
	return 0;
}

int file_write(const char *path, const struct config *config)
{
	auto_free char *target = NULL, *temporary = NULL;
	auto_close int fd = -1;
	int r;

	r = resolve_links(path, &target);
	if (r < 0)
		return r;
	if (asprintf(&temporary, "%s.XXXXXX", target) < 0) {
		temporary = NULL;
		return -ENOMEM;
	}
	fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return -errno;

	r = fill_and_rename(fd, temporary, target, config);
	if (r < 0) {
		unlink(temporary);
		return r;
	}
	return sync_folder(target);
}

const char *file_reason(int r)
{
	return r == -ENOTSUP ? "not a regular file" : strerror(-r);
}
