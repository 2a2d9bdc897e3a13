// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* test_log_threads.c - user/base/log.c: many who log, and a target that is slow. */
#include "test.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>

#include "logfile.h"

#define N_THREADS 4
#define N_LINES 1000

static void *log_many(void *arg)
{
	const unsigned int *number = arg;

	for (unsigned int i = 0; i < N_LINES; i++)
		log_info("thread %u line %u", *number, i);
	return NULL;
}

static void start_threads(pthread_t *threads, unsigned int *numbers)
{
	for (unsigned int i = 0; i < N_THREADS; i++) {
		numbers[i] = i;
		assert_ok(pthread_create(&threads[i], NULL, log_many, &numbers[i]));
	}
}

static void join_threads(const pthread_t *threads)
{
	for (int i = 0; i < N_THREADS; i++)
		assert_ok(pthread_join(threads[i], NULL));
}

static void each_threads_lines_come_in_their_order(void **state)
{
	pthread_t threads[N_THREADS];
	unsigned int numbers[N_THREADS], next[N_THREADS] = { 0 };
	auto_free char *text = NULL;
	char *saved = NULL;

	(void)state;
	assert_ok(log_start(path, LOG_FORMAT_TEXT, false));
	start_threads(threads, numbers);
	join_threads(threads);
	log_stop();

	text = read_text(path);
	for (char *line = strtok_r(text, "\n", &saved); line;
	     line = strtok_r(NULL, "\n", &saved)) {
		unsigned int thread, nth;

		assert_int_equal(
		        sscanf(line + TEXT_START, "thread %u line %u", &thread, &nth),
		        2);
		assert_in_range(thread, 0, N_THREADS - 1);
		assert_int_equal(nth, next[thread]++);
	}
	for (int i = 0; i < N_THREADS; i++)
		assert_int_equal(next[i], N_LINES);
}

static void lines_logged_while_the_log_stops_go_to_the_log_or_to_stderr(void **state)
{
	pthread_t threads[N_THREADS];
	unsigned int numbers[N_THREADS];

	(void)state;

	for (int round = 0; round < 20; round++) {
		auto_free char *logged = NULL, *err = NULL;

		assert_ok(log_start(path, LOG_FORMAT_TEXT, false));
		start_threads(threads, numbers);
		log_stop();
		join_threads(threads);
		logged = read_text(path);
		err = read_text(err_path);
		assert_int_equal(count_lines(logged) + count_lines(err),
		                 N_THREADS * N_LINES);
		assert_ok(truncate(path, 0));
		assert_ok(truncate(err_path, 0));
	}
}

/* ---- a target that takes nothing ---------------------------------------------- */

#define N_FLOOD 40000 /* lines of over 100 bytes: the queue four times over */

/* Everything that comes through a pipe goes to the file. */
static void *drain_pipe(void *arg)
{
	const int *pipe_fd = arg;
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	char buf[65536];
	ssize_t n;

	while ((n = read(*pipe_fd, buf, sizeof(buf))) > 0)
		if (write(fd, buf, (size_t)n) != n)
			break;
	close(fd);
	close(*pipe_fd);
	return NULL;
}

/* Log more than pipe and queue hold. *ret_pipe_fd: where the log could be read. */
static void log_into_pipe(enum log_format format, int *ret_pipe_fd)
{
	char name[32];
	int ends[2];

	assert_ok(pipe(ends));
	snprintf(name, sizeof(name), "/dev/fd/%d", ends[1]);
	assert_ok(log_start(name, format, false));
	close(ends[1]);
	for (int i = 0; i < N_FLOOD; i++)
		log_info("line %d %070d", i, 0);
	*ret_pipe_fd = ends[0];
}

/* What comes out of a target that takes nothing until all is logged. */
static void flood(enum log_format format)
{
	pthread_t thread;
	int pipe_fd;

	log_into_pipe(format, &pipe_fd);
	assert_ok(pthread_create(&thread, NULL, drain_pipe, &pipe_fd));
	log_stop();
	assert_ok(pthread_join(thread, NULL));
}

static void a_full_queue_drops_lines_counts_them_and_blocks_nobody(void **state)
{
	auto_free char *text = NULL;
	unsigned long n_lines = 0, n_lost = 0, next = 0, n;
	char *saved = NULL;

	(void)state;
	flood(LOG_FORMAT_TEXT);

	text = read_text(path);
	for (char *line = strtok_r(text, "\n", &saved); line;
	     line = strtok_r(NULL, "\n", &saved)) {
		if (sscanf(line + TEXT_START, "warning: log: %lu lines lost", &n) ==
		    1) {
			n_lost += n;
			continue;
		}
		assert_int_equal(sscanf(line + TEXT_START, "line %lu", &n), 1);
		assert_true(n >= next); /* dropped ones leave gaps, nothing more */
		next = n + 1;
		n_lines++;
	}
	assert_true(n_lost > 0);
	assert_int_equal(n_lines + n_lost, N_FLOOD);
	assert_true(n_lines * 112 >= 1 << 20); /* what the queue holds came */
}

static void lost_lines_are_told_in_json_too(void **state)
{
	auto_free char *last = NULL;

	(void)state;
	flood(LOG_FORMAT_JSON);

	assert_true(parse_json_lines(path, "message", &last) > 1);
	assert_non_null(strstr(last, " lines lost"));
}

static void another_target_is_in_use_at_once_while_the_old_one_blocks(void **state)
{
	auto_free char *text = NULL;
	pthread_t thread;
	int pipe_fd;

	(void)state;
	log_into_pipe(LOG_FORMAT_TEXT, &pipe_fd);

	assert_ok(log_reopen(other_path, LOG_FORMAT_TEXT));
	assert_ok(pthread_create(&thread, NULL, drain_pipe, &pipe_fd));
	/* Ends only when the old target was closed after its last write. */
	assert_ok(pthread_join(thread, NULL));
	log_stop();
	text = read_text(other_path);
	assert_non_null(strstr(text, "line "));
}

static void the_end_does_not_wait_for_a_target_that_blocks(void **state)
{
	auto_close int pipe_fd = -1;

	(void)state;
	signal(SIGPIPE, SIG_IGN); /* as the daemon does: the writer is still there */
	log_into_pipe(LOG_FORMAT_TEXT, &pipe_fd);

	log_stop();
	log_info("lost, not written to stderr, which may be what blocks");
	assert_empty(err_path);
}

static void a_fifo_that_nobody_reads_is_refused(void **state)
{
	(void)state;
	assert_ok(mkfifo(path, 0600));

	assert_int_equal(log_start(path, LOG_FORMAT_TEXT, false), -ENXIO);
}

static void a_target_that_fails_is_nobodys_crash(void **state)
{
	(void)state;

	assert_ok(log_start("/dev/full", LOG_FORMAT_TEXT, false));
	log_info("lost");
	log_stop();
	log_info("alive");
	assert_line(err_path, "alive\n");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		LOG_TEST(each_threads_lines_come_in_their_order),
		LOG_TEST(lines_logged_while_the_log_stops_go_to_the_log_or_to_stderr),
		LOG_TEST(a_full_queue_drops_lines_counts_them_and_blocks_nobody),
		LOG_TEST(lost_lines_are_told_in_json_too),
		LOG_TEST(another_target_is_in_use_at_once_while_the_old_one_blocks),
		LOG_TEST(a_fifo_that_nobody_reads_is_refused),
		LOG_TEST(a_target_that_fails_is_nobodys_crash),
		/* The last one: its writer stays, and the process has only one. */
		LOG_TEST(the_end_does_not_wait_for_a_target_that_blocks),
	};

	return test_run("log_threads", tests, argc, argv);
}
