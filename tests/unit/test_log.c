// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* test_log.c - user/base/log.c: what is logged arrives, in order, and stops nobody. */
#include "test.h"

#include <errno.h>

#include "logfile.h"

static void before_the_start_lines_go_to_stderr(void **state)
{
	(void)state;

	log_info("number %d", 7);
	assert_line(err_path, "number 7\n");
}

static void after_the_stop_lines_go_to_stderr_again(void **state)
{
	(void)state;

	assert_ok(log_start(path, LOG_FORMAT_JSON, false));
	log_stop();
	log_info("late");
	assert_line(err_path, "late\n");
	assert_empty(path);
}

static void a_line_goes_to_the_file_that_was_named(void **state)
{
	(void)state;

	assert_ok(log_start(path, LOG_FORMAT_TEXT, false));
	log_info("hello");
	log_stop();
	assert_line(path, "hello\n");
	assert_empty(err_path);
}

static void a_file_is_appended_to(void **state)
{
	auto_free char *text = NULL;

	(void)state;

	for (int i = 0; i < 2; i++) {
		assert_ok(log_start(path, LOG_FORMAT_TEXT, false));
		log_info("run %d", i);
		log_stop();
	}
	text = read_text(path);
	assert_int_equal(count_lines(text), 2);
}

static void a_file_that_cannot_be_opened_is_an_error(void **state)
{
	char name[128];

	(void)state;
	snprintf(name, sizeof(name), "%s/missing/log", dir);

	assert_int_equal(log_start(name, LOG_FORMAT_TEXT, false), -ENOENT);
	log_info("still here");
	assert_line(err_path, "still here\n");
}

static void errors_and_warnings_say_what_they_are(void **state)
{
	auto_free char *text = NULL;

	(void)state;
	assert_ok(log_start(path, LOG_FORMAT_TEXT, false));

	log_error("a");
	log_warning("b");
	log_info("c");
	assert_int_equal(log_errno(-ENOENT, "no %s", "file"), -ENOENT);
	log_stop();
	text = read_text(path);
	assert_non_null(strstr(text, " | error: a\n"));
	assert_non_null(strstr(text, " | warning: b\n"));
	assert_non_null(strstr(text, " | c\n"));
	assert_non_null(strstr(text, " | error: no file: No such file or directory\n"));
}

static int n_evaluated;

static int evaluate(void)
{
	return ++n_evaluated;
}

static void debug_lines_cost_nothing_unless_wanted(void **state)
{
	(void)state;

	n_evaluated = 0;
	assert_ok(log_start(path, LOG_FORMAT_TEXT, false));
	assert_false(log_is_debug());
	log_debug("%d", evaluate());
	log_stop();
	assert_int_equal(n_evaluated, 0);
	assert_empty(path);

	assert_ok(log_start(path, LOG_FORMAT_TEXT, true));
	assert_true(log_is_debug());
	log_debug("%d", evaluate());
	log_stop();
	assert_line(path, "1\n");
	assert_ok(
	        log_start("none", LOG_FORMAT_TEXT, false)); /* debug off for the rest */
}

static void the_target_none_takes_everything_and_says_so(void **state)
{
	(void)state;

	assert_false(log_is_off());
	assert_ok(log_start("none", LOG_FORMAT_TEXT, false));
	assert_true(log_is_off());
	log_error("nobody reads this");
	log_stop();
	assert_false(log_is_off());
	assert_empty(err_path);
	assert_int_equal(access("none", F_OK), -1);
}

static void after_a_rename_reopening_starts_a_new_file(void **state)
{
	(void)state;
	assert_ok(log_start(path, LOG_FORMAT_TEXT, false));
	log_info("old");
	log_stop(); /* the line is written */
	assert_ok(log_start(path, LOG_FORMAT_TEXT, false));
	assert_ok(rename(path, other_path));

	assert_ok(log_reopen(path, LOG_FORMAT_TEXT));
	log_info("new");
	log_stop();
	assert_line(other_path, "old\n");
	assert_line(path, "new\n");
}

static void a_failed_reopen_keeps_the_old_target(void **state)
{
	char name[128];

	(void)state;
	snprintf(name, sizeof(name), "%s/missing/log", dir);
	assert_ok(log_start(path, LOG_FORMAT_TEXT, false));

	assert_int_equal(log_reopen(name, LOG_FORMAT_JSON), -ENOENT);
	assert_int_equal(log_get_format(), LOG_FORMAT_TEXT);
	log_info("kept");
	log_stop();
	assert_line(path, "kept\n");
}

static void reopening_leaves_no_descriptor_behind(void **state)
{
	int before, after;

	(void)state;
	assert_ok(log_start(path, LOG_FORMAT_TEXT, false));
	before = dup(STDERR_FILENO);
	close(before);

	for (int i = 0; i < 10; i++) {
		assert_ok(log_reopen("none", LOG_FORMAT_TEXT));
		assert_ok(log_reopen("stderr", LOG_FORMAT_TEXT));
		assert_ok(log_reopen(i % 2 ? path : other_path, LOG_FORMAT_TEXT));
	}
	after = dup(STDERR_FILENO);
	close(after);
	assert_int_equal(after, before);
}

static void a_control_character_is_a_question_mark(void **state)
{
	(void)state;
	assert_ok(log_start(path, LOG_FORMAT_TEXT, false));

	log_info("a\nb\rc\033[2Jd\177e\tf");
	log_stop();
	assert_line(path, "a?b?c?[2Jd?e?f\n");
}

/* Rule files may be in any encoding, and so their ids. */
static void text_of_any_encoding_stays_as_it_is(void **state)
{
	(void)state;
	assert_ok(log_start(path, LOG_FORMAT_TEXT, false));

	log_info("\xc3\xa9 \xe2\x82\xac \xb9\xe6\xd4\xf2");
	log_stop();
	assert_line(path, "\xc3\xa9 \xe2\x82\xac \xb9\xe6\xd4\xf2\n");
}

static void assert_json_message(const char *message, const char *expected)
{
	auto_free char *last = NULL;

	assert_ok(log_start(path, LOG_FORMAT_JSON, false));
	log_info("%s", message);
	log_stop();
	assert_int_equal(parse_json_lines(path, "message", &last), 1);
	assert_string_equal(last, expected);
	unlink(path);
}

static void a_json_line_is_one_object_whatever_the_message(void **state)
{
	(void)state;

	assert_json_message("plain", "plain");
	assert_json_message("say \"no\" \\ /", "say \"no\" \\ /");
	assert_json_message("two\nlines\ttab\001", "two?lines?tab?");
	assert_json_message("\xb9\xe6\xd4\xf2", "????");
	/* good: 2, 3, 4 bytes; bad: alone, cut, overlong, surrogate, too large */
	assert_json_message(
	        "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x8c|\x80|\xe2\x82|\xc0\xaf|"
	        "\xe0\x80\xaf|\xed\xa0\x80|\xf4\x90\x80\x80|\xff",
	        "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x8c|?|??|??|???|???|????|?");
	assert_json_message("", "");
}

static void a_json_line_has_time_level_and_message(void **state)
{
	auto_free char *level = NULL, *time = NULL;

	(void)state;
	assert_ok(log_start(path, LOG_FORMAT_JSON, false));
	log_warning("x");
	log_stop();

	assert_int_equal(parse_json_lines(path, "level", &level), 1);
	assert_string_equal(level, "warning");
	assert_int_equal(parse_json_lines(path, "time", &time), 1);
	assert_int_equal(strlen(time), strlen("YYYY-MM-DD HH:MM:SS"));
}

/* Every character of the message needs two in JSON. */
static void a_message_of_any_length_is_one_whole_line(void **state)
{
	static char message[6000];
	auto_free char *last = NULL, *text = NULL;

	(void)state;
	memset(message, '"', sizeof(message) - 1);

	assert_ok(log_start(path, LOG_FORMAT_JSON, false));
	for (size_t len = 1000; len < sizeof(message); len += 100)
		log_error("%s", message + sizeof(message) - 1 - len);
	log_stop();
	assert_int_equal(parse_json_lines(path, "message", &last), 50);

	unlink(path);
	assert_ok(log_start(path, LOG_FORMAT_TEXT, false));
	for (size_t len = 1000; len < sizeof(message); len += 100)
		log_error("%s", message + sizeof(message) - 1 - len);
	log_stop();
	text = read_text(path);
	assert_int_equal(count_lines(text), 50);
}

static void a_character_that_is_cut_at_the_end_leaves_no_half(void **state)
{
	static char message[6001];
	auto_free char *last = NULL;

	(void)state;
	for (size_t i = 0; i + 3 < sizeof(message); i += 3)
		memcpy(message + i, "\xe2\x82\xac", 3);

	assert_ok(log_start(path, LOG_FORMAT_JSON, false));
	for (int i = 0; i < 3; i++)
		log_info("%.*s%s", i, "xx", message);
	log_stop();
	assert_int_equal(parse_json_lines(path, "message", &last), 3);
}

static void a_raw_record_is_written_as_it_is(void **state)
{
	auto_free char *text = NULL;

	(void)state;
	assert_ok(log_start(path, LOG_FORMAT_JSON, false));

	log_raw("{\"a\":1}", 7);
	log_raw("{\"b\":2}", 7);
	log_stop();
	text = read_text(path);
	assert_string_equal(text, "{\"a\":1}\n{\"b\":2}\n");
}

static void a_limited_message_comes_once_a_second_and_counts_the_others(void **state)
{
	struct log_limit limit = { 0 };
	auto_free char *text = NULL;

	(void)state;
	assert_ok(log_start(path, LOG_FORMAT_TEXT, false));

	for (int i = 0; i < 100; i++)
		log_limited(&limit, LOG_LEVEL_INFO, "flood %d", i);
	limit.next_ms += 3600000; /* the hundred may have taken longer than a second */
	log_limited(&limit, LOG_LEVEL_INFO, "left out");
	limit.n_left_out = 7;
	limit.next_ms = 0; /* the second is over */
	log_limited(&limit, LOG_LEVEL_INFO, "after");
	log_stop();

	text = read_text(path);
	assert_int_equal(strncmp(text + TEXT_START, "flood 0\n", 8), 0);
	assert_null(strstr(text, "left out"));
	assert_non_null(strstr(text, " | after (and 7 more like it)\n"));
	assert_int_equal(limit.n_left_out, 0);
	assert_true(count_lines(text) < 100);
}

static void limits_do_not_share(void **state)
{
	struct log_limit a = { 0 }, b = { 0 };
	auto_free char *text = NULL;

	(void)state;
	assert_ok(log_start(path, LOG_FORMAT_TEXT, false));

	log_limited(&a, LOG_LEVEL_INFO, "a");
	log_limited(&b, LOG_LEVEL_INFO, "b");
	log_stop();
	text = read_text(path);
	assert_int_equal(count_lines(text), 2);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		LOG_TEST(before_the_start_lines_go_to_stderr),
		LOG_TEST(after_the_stop_lines_go_to_stderr_again),
		LOG_TEST(a_line_goes_to_the_file_that_was_named),
		LOG_TEST(a_file_is_appended_to),
		LOG_TEST(a_file_that_cannot_be_opened_is_an_error),
		LOG_TEST(errors_and_warnings_say_what_they_are),
		LOG_TEST(debug_lines_cost_nothing_unless_wanted),
		LOG_TEST(the_target_none_takes_everything_and_says_so),
		LOG_TEST(after_a_rename_reopening_starts_a_new_file),
		LOG_TEST(a_failed_reopen_keeps_the_old_target),
		LOG_TEST(reopening_leaves_no_descriptor_behind),
		LOG_TEST(a_control_character_is_a_question_mark),
		LOG_TEST(text_of_any_encoding_stays_as_it_is),
		LOG_TEST(a_json_line_is_one_object_whatever_the_message),
		LOG_TEST(a_json_line_has_time_level_and_message),
		LOG_TEST(a_message_of_any_length_is_one_whole_line),
		LOG_TEST(a_character_that_is_cut_at_the_end_leaves_no_half),
		LOG_TEST(a_raw_record_is_written_as_it_is),
		LOG_TEST(a_limited_message_comes_once_a_second_and_counts_the_others),
		LOG_TEST(limits_do_not_share),
	};

	return test_run("log", tests, argc, argv);
}
