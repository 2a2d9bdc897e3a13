// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* log_target.c - see log_target.h. */
#include "base/log_target.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <syslog.h>
#include <unistd.h>

#include "base/log.h"

enum kind { KIND_FD, KIND_SYSLOG, KIND_NONE };

static struct {
	pthread_mutex_t lock; /* never held while writing */
	enum kind kind;
	int fd;         /* stderr where it is not a file */
	int writing_fd; /* -1: none; must not be closed under the writer */
	bool close_after_writing;
} target = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.fd = STDERR_FILENO,
	.writing_fd = -1,
};

static const int syslog_levels[] = {
	[LOG_LEVEL_ERROR] = LOG_ERR,
	[LOG_LEVEL_WARNING] = LOG_WARNING,
	[LOG_LEVEL_INFO] = LOG_INFO,
	[LOG_LEVEL_DEBUG] = LOG_DEBUG,
};

/* Return: an fd or -errno. */
static int open_file(const char *path)
{
	/* Without O_NONBLOCK a FIFO that nobody reads would hold us up here. */
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK,
	              0640);

	if (fd < 0)
		return -errno;
	if (fcntl(fd, F_SETFL, O_APPEND) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	return fd;
}

int log_target_set(const char *name)
{
	enum kind kind = KIND_FD;
	int fd = STDERR_FILENO, old;

	if (strcmp(name, "none") == 0) {
		kind = KIND_NONE;
	} else if (strcmp(name, "syslog") == 0) {
		openlog("g5x", LOG_PID, LOG_DAEMON);
		kind = KIND_SYSLOG;
	} else if (strcmp(name, "stderr") != 0) {
		fd = open_file(name);
		if (fd < 0)
			return fd;
	}

	pthread_mutex_lock(&target.lock);
	old = target.fd;
	target.fd = fd;
	__atomic_store_n(&target.kind, kind, __ATOMIC_RELAXED);
	if (old != STDERR_FILENO && old == target.writing_fd) {
		target.close_after_writing = true;
		old = STDERR_FILENO;
	}
	pthread_mutex_unlock(&target.lock);
	if (old != STDERR_FILENO)
		close(old);
	return 0;
}

bool log_target_is_off(void)
{
	return __atomic_load_n(&target.kind, __ATOMIC_RELAXED) == KIND_NONE;
}

void log_target_write_text(int fd, const char *text, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		/* A terminal or pipe that somebody made non-blocking. */
		if (n < 0 && errno == EAGAIN &&
		    poll(&(struct pollfd){ .fd = fd, .events = POLLOUT }, 1, -1) >= 0)
			continue;
		if (n <= 0)
			return; /* a log that cannot be written to is nobody's crash */
		text += n;
		len -= (size_t)n;
	}
}

/* Take the headers out, so that one write(2) does for a whole batch. */
static size_t join_texts(char *batch, size_t len, enum kind kind)
{
	struct log_record r;
	size_t at = 0, n_text = 0;

	while (at < len) {
		memcpy(&r, batch + at, sizeof(r));
		at += sizeof(r);
		if (kind == KIND_SYSLOG)
			syslog(syslog_levels[r.level], "%.*s", (int)r.len - 1,
			       batch + at);
		memmove(batch + n_text, batch + at, r.len);
		n_text += r.len;
		at += r.len;
	}
	return n_text;
}

void log_target_write(char *batch, size_t len)
{
	bool has_to_close;
	enum kind kind;
	int fd;

	pthread_mutex_lock(&target.lock);
	kind = target.kind;
	fd = target.writing_fd = target.fd;
	pthread_mutex_unlock(&target.lock);

	if (kind != KIND_NONE)
		len = join_texts(batch, len, kind);
	if (kind == KIND_FD)
		log_target_write_text(fd, batch, len);

	pthread_mutex_lock(&target.lock);
	target.writing_fd = -1;
	has_to_close = target.close_after_writing;
	target.close_after_writing = false;
	pthread_mutex_unlock(&target.lock);
	if (has_to_close)
		close(fd);
}
