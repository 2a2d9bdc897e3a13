// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* cgroup.c - see cgroup.h. */
#include "kernel/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "base/cleanup.h"

static int open_mounted(void)
{
	char text[4096];
	struct mntent mount;
	FILE *file = setmntent("/proc/self/mounts", "re");
	int fd = -ENOENT;

	if (!file)
		return -errno;
	while (fd < 0 && getmntent_r(file, &mount, text, sizeof(text))) {
		if (strcmp(mount.mnt_type, "cgroup2") != 0)
			continue;
		fd = open(mount.mnt_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			fd = -errno;
	}
	endmntent(file);
	return fd;
}

/* A mount without a place. */
static int open_unmounted(void)
{
	auto_close int fs = fsopen("cgroup2", FSOPEN_CLOEXEC);
	int fd;

	if (fs < 0 || fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	fd = fsmount(fs, FSMOUNT_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

int cgroup_open_root(void)
{
	int fd = open_mounted();

	return fd < 0 ? open_unmounted() : fd;
}
