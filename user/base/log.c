// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * log.c - a queue between the threads that log and the one thread that writes.
 *
 * The queue is two byte buffers: callers append records to one under a lock held
 * for a memcpy, the writer swaps them and writes the other without the lock. A
 * record is a small header and the text with its newline.
 */
#include "base/log.h"

#include <errno.h>
#include <json-c/json.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log_target.h"
#include "base/utf8.h"

#define QUEUE_SIZE (1U << 20)
#define LINE_MAX_LEN 4096
#define STOP_WAIT_S 2

static struct {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	pthread_t thread;
	bool is_started, is_stopping;
	bool is_stuck;           /* log_stop() gave the writer up */
	char *filling, *writing; /* QUEUE_SIZE each */
	size_t n_filled;
	uint64_t n_dropped;

	/* atomic: read by every caller */
	enum log_format format;
	bool is_debug;
} logger = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.wake = PTHREAD_COND_INITIALIZER,
};

static const char *const level_names[] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARNING] = "warning",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};

bool log_is_debug(void)
{
	return __atomic_load_n(&logger.is_debug, __ATOMIC_RELAXED);
}

bool log_is_off(void)
{
	return log_target_is_off();
}

enum log_format log_get_format(void)
{
	return __atomic_load_n(&logger.format, __ATOMIC_RELAXED);
}

static int format_json(char *line, size_t size, enum log_level level, char *text)
{
	json_object *record = json_object_new_object();
	int n;

	utf8_clean(text);
	json_object_object_add(record, "time", json_object_new_string(log_timestamp()));
	json_object_object_add(record, "level",
	                       json_object_new_string(level_names[level]));
	json_object_object_add(record, "message", json_object_new_string(text));
	n = snprintf(line, size, "%s\n",
	             json_object_to_json_string_ext(record, LOG_JSON_FLAGS));
	json_object_put(record);
	return n;
}

/* Return: its length; it ends in a newline. */
static size_t format_line(char *line, size_t size, enum log_level level, char *text)
{
	int n;

	if (log_get_format() == LOG_FORMAT_JSON)
		n = format_json(line, size, level, text);
	else
		n = snprintf(line, size, "%s | %s%s\n", log_timestamp(),
		             level == LOG_LEVEL_ERROR     ? "error: "
		             : level == LOG_LEVEL_WARNING ? "warning: "
		                                          : "",
		             text);
	return (size_t)n < size ? (size_t)n : size - 1;
}

static void put_dropped(uint64_t n)
{
	char text[96];
	char record[sizeof(struct log_record) + 256];
	struct log_record r = { .level = LOG_LEVEL_WARNING };

	snprintf(text, sizeof(text), "log: %llu lines lost, the log was too slow",
	         (unsigned long long)n);
	r.len = (uint32_t)format_line(record + sizeof(r), sizeof(record) - sizeof(r),
	                              LOG_LEVEL_WARNING, text);
	memcpy(record, &r, sizeof(r));
	log_target_write(record, sizeof(r) + r.len);
}

static void *writer(void *arg)
{
	bool is_stopping;

	(void)arg;
	do {
		size_t len;
		uint64_t n_dropped;
		char *batch;

		pthread_mutex_lock(&logger.lock);
		while (logger.n_filled == 0 && !logger.is_stopping)
			pthread_cond_wait(&logger.wake, &logger.lock);
		batch = logger.filling;
		logger.filling = logger.writing;
		logger.writing = batch;
		len = logger.n_filled;
		logger.n_filled = 0;
		n_dropped = logger.n_dropped;
		logger.n_dropped = 0;
		is_stopping = logger.is_stopping;
		pthread_mutex_unlock(&logger.lock);

		log_target_write(batch, len);
		if (n_dropped > 0)
			put_dropped(n_dropped);
	} while (!is_stopping);
	return NULL;
}

int log_reopen(const char *target, enum log_format format)
{
	int r = log_target_set(target);

	if (r == 0)
		__atomic_store_n(&logger.format, format, __ATOMIC_RELAXED);
	return r;
}

int log_start(const char *target, enum log_format format, bool is_debug)
{
	int r = log_reopen(target, format);

	if (r < 0)
		return r;
	logger.is_debug = is_debug;
	logger.filling = malloc(QUEUE_SIZE);
	logger.writing = malloc(QUEUE_SIZE);
	if (!logger.filling || !logger.writing)
		return -ENOMEM;
	logger.is_stopping = false;
	r = pthread_create(&logger.thread, NULL, writer, NULL);
	if (r != 0)
		return -r;
	pthread_setname_np(logger.thread, "g5x-log");
	pthread_mutex_lock(&logger.lock);
	logger.is_started = true;
	pthread_mutex_unlock(&logger.lock);
	return 0;
}

/* Return: false when the writer hangs in its target: it keeps its buffers then, and what
 * is still logged is lost rather than written to what may hang as well. */
static bool join_writer(void)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += STOP_WAIT_S;
	if (pthread_timedjoin_np(logger.thread, NULL, &until) == 0)
		return true;
	pthread_detach(logger.thread);
	logger.is_stuck = true;
	return false;
}

void log_stop(void)
{
	if (!logger.is_started)
		return;
	pthread_mutex_lock(&logger.lock);
	logger.is_stopping = true;
	logger.is_started = false; /* nothing is queued that nobody would write */
	pthread_cond_signal(&logger.wake);
	pthread_mutex_unlock(&logger.lock);
	if (!join_writer())
		return;
	log_reopen("stderr", LOG_FORMAT_TEXT);
	free(logger.filling);
	free(logger.writing);
	logger.filling = logger.writing = NULL;
}

/* @line ends in a newline. */
static void queue(enum log_level level, const char *line, size_t len)
{
	struct log_record r = { .len = (uint32_t)len, .level = level };

	pthread_mutex_lock(&logger.lock);
	if (!logger.is_started) {
		pthread_mutex_unlock(&logger.lock);
		if (logger.is_stuck)
			return;
		log_target_write_text(STDERR_FILENO, line, len);
		return;
	}
	if (logger.n_filled + sizeof(r) + len > QUEUE_SIZE) {
		logger.n_dropped++;
	} else {
		memcpy(logger.filling + logger.n_filled, &r, sizeof(r));
		memcpy(logger.filling + logger.n_filled + sizeof(r), line, len);
		if (logger.n_filled == 0)
			pthread_cond_signal(&logger.wake);
		logger.n_filled += sizeof(r) + len;
	}
	pthread_mutex_unlock(&logger.lock);
}

/* "YYYY-MM-DD HH:MM:SS"; local time is worked out once a second, not once a line. */
const char *log_timestamp(void)
{
	static _Thread_local time_t cached;
	static _Thread_local char text[24];
	time_t now = time(NULL);
	struct tm tm;

	if (now != cached) {
		localtime_r(&now, &tm);
		strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
		cached = now;
	}
	return text;
}

/* What peers and files send may end up in a line: no line of theirs in our log. */
static void make_printable(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			*text = '?';
}

static void vlog(enum log_level level, const char *suffix, const char *fmt,
                 va_list args)
{
	char text[LINE_MAX_LEN / 2];
	/* JSON doubles quotes and backslashes, and a cut record would not be one. */
	char line[LINE_MAX_LEN + 128];
	size_t len;
	int n;

	n = vsnprintf(text, sizeof(text), fmt, args);
	if (n < 0)
		return;
	len = strlen(text);
	snprintf(text + len, sizeof(text) - len, "%s", suffix);
	make_printable(text);

	queue(level, line, format_line(line, sizeof(line), level, text));
}

void log_at(enum log_level level, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vlog(level, "", fmt, args);
	va_end(args);
}

int log_errno(int r, const char *fmt, ...)
{
	char suffix[128], reason[96];
	va_list args;

	snprintf(suffix, sizeof(suffix), ": %s",
	         strerror_r(-r, reason, sizeof(reason)));
	va_start(args, fmt);
	vlog(LOG_LEVEL_ERROR, suffix, fmt, args);
	va_end(args);
	return r;
}

void log_raw(const char *line, size_t len)
{
	char copy[LINE_MAX_LEN];

	if (len > sizeof(copy) - 1)
		len = sizeof(copy) - 1;
	memcpy(copy, line, len);
	copy[len] = '\n';
	queue(LOG_LEVEL_INFO, copy, len + 1);
}

void log_limited(struct log_limit *limit, enum log_level level, const char *fmt, ...)
{
	uint64_t now = clock_ms();
	uint64_t next = __atomic_load_n(&limit->next_ms, __ATOMIC_RELAXED);
	uint64_t n_left_out;
	char suffix[64] = "";
	va_list args;

	if (now < next ||
	    !__atomic_compare_exchange_n(&limit->next_ms, &next, now + 1000, false,
	                                 __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
		__atomic_add_fetch(&limit->n_left_out, 1, __ATOMIC_RELAXED);
		return;
	}
	n_left_out = __atomic_exchange_n(&limit->n_left_out, 0, __ATOMIC_RELAXED);
	if (n_left_out > 0)
		snprintf(suffix, sizeof(suffix), " (and %llu more like it)",
		         (unsigned long long)n_left_out);
	va_start(args, fmt);
	vlog(level, suffix, fmt, args);
	va_end(args);
}
