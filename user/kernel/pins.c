// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* pins.c - see pins.h. */
#include "kernel/pins.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/cleanup.h"

#define TRIES 8

/* Where @dir is to be: its own file system, or that of the nearest one above it. */
static int check_file_system(const char *dir)
{
	auto_free char *path = strdup(dir);
	struct statfs fs;

	if (!path)
		return -ENOMEM;
	while (statfs(path, &fs) < 0) {
		char *slash = strrchr(path, '/');

		if (errno != ENOENT || !slash || slash == path)
			return errno == ENOENT ? -EMEDIUMTYPE : -errno;
		*slash = '\0';
	}
	return fs.f_type == BPF_FS_MAGIC ? 0 : -EMEDIUMTYPE;
}

static int make_dirs(const char *dir)
{
	auto_free char *path = strdup(dir);

	if (!path)
		return -ENOMEM;
	for (char *at = path + 1; at[-1]; at++) {
		if (*at != '/' && *at != '\0')
			continue;
		char end = *at;

		*at = '\0';
		if (mkdir(path, 0700) < 0 && errno != EEXIST)
			return -errno;
		*at = end;
	}
	return 0;
}

/* Is @fd what @dir names now, or what was removed meanwhile? */
static bool is_same(int fd, const char *dir)
{
	struct stat opened, named;

	return fstat(fd, &opened) == 0 && stat(dir, &named) == 0 &&
	       opened.st_ino == named.st_ino && opened.st_dev == named.st_dev;
}

/* Return: a locked fd, or -errno. */
static int lock_dir(const char *dir)
{
	for (int i = 0; i < TRIES; i++) {
		auto_close int fd = -1;
		int r = make_dirs(dir);

		if (r < 0)
			return r;
		fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0 && errno == ENOENT)
			continue;
		if (fd < 0)
			return -errno;
		if (flock(fd, LOCK_EX | LOCK_NB) < 0)
			return errno == EWOULDBLOCK ? -EBUSY : -errno;
		if (is_same(fd, dir))
			return take_fd(fd);
	}
	return -EBUSY;
}

static int add_pin(struct pins *p, const struct pin *pin)
{
	auto_free char *path = NULL;
	int r;

	if (asprintf(&path, "%s/%s", p->dir, pin->name) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	if (unlink(path) < 0 && errno != ENOENT)
		return -errno;
	r = bpf_obj_pin(pin->fd, path);
	if (r == 0)
		p->names[p->n++] = pin->name;
	return r;
}

int pins_make(struct pins *p, const char *dir, const struct pin *wanted, size_t n)
{
	int r = check_file_system(dir);
	int fd;

	assert(n <= PINS_MAX && !p->dir);
	if (r < 0)
		return r;
	fd = lock_dir(dir);
	if (fd < 0)
		return fd;
	*p = (struct pins){ .dir = strdup(dir), .dir_fd = fd };
	if (!p->dir) {
		close(fd);
		return -ENOMEM;
	}
	for (size_t i = 0; i < n && r == 0; i++)
		r = add_pin(p, &wanted[i]);
	if (r < 0)
		pins_remove(p);
	return r;
}

void pins_remove(struct pins *p)
{
	if (!p->dir)
		return;
	for (size_t i = 0; i < p->n; i++)
		unlinkat(p->dir_fd, p->names[i], 0);
	rmdir(p->dir); /* not empty: not ours alone */
	close(p->dir_fd);
	free(p->dir);
	*p = (struct pins){ 0 };
}
