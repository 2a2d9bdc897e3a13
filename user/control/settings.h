/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* settings.h - what the command line says; the rule file says the rest. */
#ifndef G5X_CONTROL_SETTINGS_H
#define G5X_CONTROL_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>

#define SETTINGS_WORKERS_OF_FILE -1
#define SETTINGS_BPFFS_DEFAULT "/sys/fs/bpf/g5x"

struct settings {
	const char *file; /* as given; relative names are read from where we started */
	size_t max_rules; /* 0: no limit */
	size_t max_sessions; /* 0: as many as file descriptors allow */
	size_t buffer_size;  /* bytes, of one direction of a session */
	int n_workers;       /* 0: one for each core; or SETTINGS_WORKERS_OF_FILE */
	const char *bpffs;   /* where maps are pinned: absolute, but not "/" */
	bool is_debug;
};

#endif /* G5X_CONTROL_SETTINGS_H */
