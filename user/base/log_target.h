/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * log_target.h - where the log's writer thread puts records: for log.c only.
 *
 * A target may block (a full pipe, a stuck disk). Then it holds up the writer, and
 * nobody else: going over to another target never waits for a write that hangs.
 */
#ifndef G5X_BASE_LOG_TARGET_H
#define G5X_BASE_LOG_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is queued: this, then the text with its newline. */
struct log_record {
	uint32_t len;
	uint32_t level; /* enum log_level */
};

/**
 * log_target_set() - go over to "stderr", "syslog", "none" or a file
 *
 * The old one is closed, once a write to it that is under way has ended. Any thread.
 *
 * Return: 0; -errno when the file cannot be opened, then nothing has changed (ENXIO:
 * a FIFO that nobody reads).
 */
int log_target_set(const char *target);

/** log_target_is_off() - the target is "none" */
bool log_target_is_off(void);

/** log_target_write() - put out a batch of records; writer thread only; spoils @batch */
void log_target_write(char *batch, size_t len);

/** log_target_write_text() - write(2) all of it, or as much as can be */
void log_target_write_text(int fd, const char *text, size_t len);

#endif /* G5X_BASE_LOG_TARGET_H */
