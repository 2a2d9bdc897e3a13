/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * logfile.h - a folder for the logs of one test, and what is in them.
 *
 * start_log() and end_log() are setup and teardown; between them stderr goes to the
 * file err_path. The log itself is started and stopped by the test.
 */
#ifndef G5X_TESTS_LOGFILE_H
#define G5X_TESTS_LOGFILE_H

#include "test.h"

#include <fcntl.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"

#define TEXT_START 22 /* after "YYYY-MM-DD HH:MM:SS | " */
#define LOG_TEST(test) cmocka_unit_test_setup_teardown(test, start_log, end_log)

static char dir[64], path[96], other_path[96], err_path[96];
static int saved_stderr;

/* stderr goes to a file, which a test may read. */
static inline int start_log(void **state)
{
	int fd;

	(void)state;

	strcpy(dir, "/tmp/g5x-test-log-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/log", dir);
	snprintf(other_path, sizeof(other_path), "%s/other", dir);
	snprintf(err_path, sizeof(err_path), "%s/stderr", dir);
	saved_stderr = dup(STDERR_FILENO);
	fd = open(err_path, O_WRONLY | O_CREAT | O_APPEND, 0600);
	assert_true(fd >= 0);
	assert_int_equal(dup2(fd, STDERR_FILENO), STDERR_FILENO);
	close(fd);
	return 0;
}

static inline int end_log(void **state)
{
	(void)state;

	log_stop();
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	unlink(path);
	unlink(other_path);
	unlink(err_path);
	return rmdir(dir);
}

/* Owned by the caller; "" when there is no such file. */
static inline char *read_text(const char *name)
{
	FILE *file = fopen(name, "re");
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	int c;

	while (file && (c = getc(file)) != EOF)
		putc(c, out);
	if (file)
		fclose(file);
	fclose(out);
	return text;
}

/* The file is this, but for the time at the start of its only line. */
static inline void assert_line(const char *name, const char *expected)
{
	auto_free char *text = read_text(name);
	int year, month, day, hour, minute, second;

	assert_int_equal(sscanf(text, "%4d-%2d-%2d %2d:%2d:%2d | ", &year, &month, &day,
	                        &hour, &minute, &second),
	                 6);
	assert_string_equal(text + TEXT_START, expected);
}

static inline void assert_empty(const char *name)
{
	auto_free char *text = read_text(name);

	assert_string_equal(text, "");
}

static inline size_t count_lines(const char *text)
{
	size_t n = 0;

	for (; *text; text++)
		n += *text == '\n';
	return n;
}

/* Each line of the file is one object; *ret_last is the last one's member. */
static inline size_t parse_json_lines(const char *name, const char *member,
                                      char **ret_last)
{
	auto_free char *text = read_text(name);
	char *saved = NULL;
	size_t n = 0;

	assert_true(text[0] == '\0' || text[strlen(text) - 1] == '\n');
	for (char *line = strtok_r(text, "\n", &saved); line;
	     line = strtok_r(NULL, "\n", &saved)) {
		struct json_tokener *tokener = json_tokener_new();
		json_object *record, *value;

		json_tokener_set_flags(tokener, JSON_TOKENER_STRICT |
		                                        JSON_TOKENER_VALIDATE_UTF8);
		record = json_tokener_parse_ex(tokener, line, (int)strlen(line) + 1);
		assert_true(json_object_is_type(record, json_type_object));
		assert_true(json_object_object_get_ex(record, member, &value));
		free(*ret_last);
		*ret_last = strdup(json_object_get_string(value));
		json_object_put(record);
		json_tokener_free(tokener);
		n++;
	}
	return n;
}

#endif /* G5X_TESTS_LOGFILE_H */
