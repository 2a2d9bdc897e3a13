/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * log.h - one line per event, never in the way of traffic.
 *
 * Callers on any thread format a line and queue it; a writer thread of its own
 * puts it out. A log that blocks (a full pipe, a stuck disk) therefore never
 * stops a worker: when the queue (1 MiB) is full, lines are dropped and counted,
 * and the count is logged once there is room again. Before log_start(), in tests
 * and in tools, lines go straight to stderr.
 *
 * A text line is "YYYY-MM-DD HH:MM:SS | text" in local time, as in G5.
 */
#ifndef G5X_BASE_LOG_H
#define G5X_BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

/**
 * log_start() - start the writer thread
 * @target: "stderr", "syslog", "none" or a file's path (opened for appending)
 *
 * Return: 0, or -errno when the file cannot be opened (nothing is started then).
 */
int log_start(const char *target, enum log_format format, bool is_debug);

/**
 * log_reopen() - go over to another target or format, or reopen the same file
 *
 * For a reload and for log rotation. On failure the old target stays in use.
 *
 * Return: 0 or -errno.
 */
int log_reopen(const char *target, enum log_format format);

/**
 * log_stop() - write what is queued, end the thread; later lines go to stderr
 *
 * A target that blocks gets two seconds; then what is queued, and later lines, are lost.
 */
void log_stop(void);

/** log_is_debug() - for callers that would have to work to make a debug line */
bool log_is_debug(void);

/** log_is_off() - the target is "none": what only ends in the log need not be made */
bool log_is_off(void);
enum log_format log_get_format(void);

__attribute__((format(printf, 2, 3))) void log_at(enum log_level level, const char *fmt,
                                                  ...);
#define log_error(...) log_at(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_at(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_at(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)                                        \
	do {                                                  \
		if (log_is_debug())                           \
			log_at(LOG_LEVEL_DEBUG, __VA_ARGS__); \
	} while (0)

/** log_errno() - log @fmt and the text of errno -@r as an error; returns @r */
__attribute__((format(printf, 2, 3))) int log_errno(int r, const char *fmt, ...);

/** log_timestamp() - now, as lines carry it; valid until the thread's next call */
const char *log_timestamp(void);

/* How JSON records are written, for json-c. */
#define LOG_JSON_FLAGS (JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)

/** log_raw() - queue a finished record (one JSON object, say) without time or level */
void log_raw(const char *line, size_t len);

/*
 * One kind of message that must not flood the log: at most one line a second;
 * the next one says how many were left out. Safe to share between threads.
 */
struct log_limit {
	uint64_t next_ms; /* atomic; monotonic time before which lines are left out */
	uint64_t n_left_out; /* atomic */
};

/** log_limited() - log_at() through a limit */
__attribute__((format(printf, 3, 4))) void
log_limited(struct log_limit *limit, enum log_level level, const char *fmt, ...);

#endif /* G5X_BASE_LOG_H */
