// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* test_diag.c - user/rules/diag.c: what is wrong, drawn under the line it is in. */
#include "test.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "rules/diag.h"

static struct diag_span span(const char *source, unsigned int column, unsigned int len)
{
	return (struct diag_span){
		.line = 3,
		.column = column,
		.len = len,
		.source = source,
		.source_len = strlen(source),
	};
}

/* One error with the message "wrong", drawn. */
static char *draw(const char *source, unsigned int column, unsigned int len,
                  const char *expected)
{
	struct diag_list list = { 0 };
	char *text;

	diag_add(&list, DIAG_ERROR, DIAG_OTHER, span(source, column, len), expected,
	         "wrong");
	text = diag_format(&list.items[0], "web.conf");
	diag_list_fini(&list);
	return text;
}

static void assert_drawn(const char *source, unsigned int column, unsigned int len,
                         const char *drawn)
{
	auto_free char *text = draw(source, column, len, NULL);

	assert_string_equal(text, drawn);
}

static void a_diagnostic_names_its_place_and_what_would_be_right(void **state)
{
	auto_free char *text = draw("web RR 10.0.0.1 - 127.0.0.1:80 ;", 8, 8,
	                            "IP:PORT, such as 10.0.0.1:*");

	(void)state;
	assert_string_equal(text, "web.conf:3:8: error: wrong\n"
	                          "    web RR 10.0.0.1 - 127.0.0.1:80 ;\n"
	                          "           ^~~~~~~~\n"
	                          "    expected IP:PORT, such as 10.0.0.1:*\n");
}

static void a_warning_says_that_it_is_one(void **state)
{
	struct diag_list list = { 0 };
	auto_free char *text = NULL;

	(void)state;
	diag_add(&list, DIAG_WARNING, DIAG_OTHER, span("x", 1, 1), NULL, "odd");
	text = diag_format(&list.items[0], "f");
	assert_string_equal(text, "f:3:1: warning: odd\n    x\n    ^\n");
	diag_list_fini(&list);
}

static void the_first_error_is_found_behind_warnings(void **state)
{
	struct diag_list list = { 0 };

	(void)state;
	assert_null(diag_first_error(&list));
	diag_add(&list, DIAG_WARNING, DIAG_OTHER, span("x", 1, 1), NULL, "odd");
	assert_null(diag_first_error(&list));
	diag_add(&list, DIAG_ERROR, DIAG_NO_MODE, span("x", 1, 1), NULL, "no %s",
	         "mode");
	diag_add(&list, DIAG_ERROR, DIAG_NO_CLIENT, span("x", 1, 1), NULL, "no client");
	assert_ptr_equal(diag_first_error(&list), &list.items[1]);
	assert_string_equal(list.items[1].message, "no mode");
	assert_int_equal(list.items[1].code, DIAG_NO_MODE);
	assert_int_equal(list.n_errors, 2);
	diag_list_fini(&list);
	assert_int_equal(list.n_items, 0);
}

static void the_caret_may_stand_behind_the_line(void **state)
{
	(void)state;
	assert_drawn("r RR", 5, 1, "web.conf:3:5: error: wrong\n    r RR\n        ^\n");
	assert_drawn("", 1, 1, "web.conf:3:1: error: wrong\n    \n    ^\n");
}

static void tabs_before_the_caret_stay_tabs(void **state)
{
	(void)state;
	assert_drawn("r\tRR\tx", 6, 1,
	             "web.conf:3:6: error: wrong\n    r\tRR\tx\n     \t  \t^\n");
}

static void columns_count_bytes_but_the_caret_stands_under_characters(void **state)
{
	(void)state;
	/* e with an accent is two bytes in one column, the ideograph three in two */
	assert_drawn("\xc3\xa9 \xe4\xb8\xad x", 8, 1,
	             "web.conf:3:8: error: wrong\n"
	             "    \xc3\xa9 \xe4\xb8\xad x\n"
	             "         ^\n");
	assert_drawn("\xe4\xb8\xad\xe6\x96\x87", 1, 6,
	             "web.conf:3:1: error: wrong\n"
	             "    \xe4\xb8\xad\xe6\x96\x87\n"
	             "    ^~~~\n");
}

static void bytes_that_are_no_text_are_shown_as_question_marks(void **state)
{
	static const char *const bad[] = {
		"\x1b",         /* escape */
		"\x7f",         /* delete */
		"\xb9",         /* a continuation alone */
		"\xc3",         /* a start alone */
		"\xc0",         /* a start of nothing */
		"\xff",         /* never used */
		"\xc2\x9b",     /* CSI as one character */
		"\xe2\x80\xae", /* writes from right to left */
		"\xed\xa0\x80", /* half of a UTF-16 pair */
		"\xef\xbb\xbf", /* byte order mark */
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		char source[16];
		auto_free char *text = NULL;

		snprintf(source, sizeof(source), "a%sb", bad[i]);
		text = draw(source, 1, 1, NULL);
		assert_string_equal(text,
		                    "web.conf:3:1: error: wrong\n    a?b\n    ^\n");
	}
}

static void longer_spellings_of_a_character_are_not_that_character(void **state)
{
	(void)state;
	/* '/' in two bytes */
	assert_drawn("a\xc0\xaf"
	             "b",
	             4, 1, "web.conf:3:4: error: wrong\n    a\?\?b\n       ^\n");
}

static void a_message_cannot_control_the_terminal(void **state)
{
	struct diag_list list = { 0 };

	(void)state;
	diag_add(&list, DIAG_ERROR, DIAG_OTHER, span("x", 1, 1), "not \x1b",
	         "id \"%s\"", "\x1b[2J\xb9");
	assert_string_equal(list.items[0].message, "id \"?[2J?\"");
	assert_string_equal(list.items[0].expected, "not ?");
	diag_list_fini(&list);
}

static void a_nul_byte_does_not_hide_the_rest_of_the_line(void **state)
{
	struct diag_list list = { 0 };
	struct diag_span with_nul = { .line = 1, .column = 2, .len = 1 };

	(void)state;
	with_nul.source = "a\0b";
	with_nul.source_len = 3;
	diag_add(&list, DIAG_ERROR, DIAG_OTHER, with_nul, NULL, "wrong");
	assert_string_equal(list.items[0].source, "a?b");
	diag_list_fini(&list);
}

/* A line of @len dots with an X at each of the mistake's bytes. */
static char *long_line(size_t len, size_t column, size_t mistake_len)
{
	char *line = malloc(len + 1);

	memset(line, '.', len);
	memset(line + column - 1, 'X', mistake_len);
	line[len] = '\0';
	return line;
}

static void of_a_long_line_the_part_around_the_caret_is_shown(void **state)
{
	static const unsigned int columns[] = { 1, 50, 61, 62, 5000, 9850, 9990, 9998 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(columns); i++) {
		auto_free char *line = long_line(10000, columns[i], 3);
		auto_free char *text = draw(line, columns[i], 3, NULL);
		char *shown = strchr(text, '\n') + 1, *under = strchr(shown, '\n') + 1;

		bool is_first = columns[i] <= 61, is_last = columns[i] >= 9900;

		assert_int_equal(under - 1 - shown,
		                 strlen("    ") + 160 + (is_first ? 0 : strlen("...")) +
		                         (is_last ? 0 : strlen("...")));
		assert_int_equal(strchr(shown, 'X') - shown,
		                 strchr(under, '^') - under);
		assert_non_null(strstr(under, "^~~\n"));
	}
}

static void a_mistake_longer_than_the_window_is_cut(void **state)
{
	auto_free char *line = long_line(1000, 10, 900);
	auto_free char *text = draw(line, 10, 900, NULL);
	const char *caret = strchr(text, '^');

	(void)state;
	assert_in_range(strlen(caret), 100, 160);
}

static void a_character_is_not_cut_by_the_window(void **state)
{
	char line[601];
	auto_free char *text = NULL;

	(void)state;
	for (size_t i = 0; i < 600; i += 3)
		memcpy(line + i, "\xe4\xb8\xad", 3);
	line[600] = '\0';
	text = draw(line, 302, 3, NULL);
	assert_non_null(strstr(text, "    ...\xe4\xb8\xad"));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_diagnostic_names_its_place_and_what_would_be_right),
		cmocka_unit_test(a_warning_says_that_it_is_one),
		cmocka_unit_test(the_first_error_is_found_behind_warnings),
		cmocka_unit_test(the_caret_may_stand_behind_the_line),
		cmocka_unit_test(tabs_before_the_caret_stay_tabs),
		cmocka_unit_test(
		        columns_count_bytes_but_the_caret_stands_under_characters),
		cmocka_unit_test(bytes_that_are_no_text_are_shown_as_question_marks),
		cmocka_unit_test(
		        longer_spellings_of_a_character_are_not_that_character),
		cmocka_unit_test(a_message_cannot_control_the_terminal),
		cmocka_unit_test(a_nul_byte_does_not_hide_the_rest_of_the_line),
		cmocka_unit_test(of_a_long_line_the_part_around_the_caret_is_shown),
		cmocka_unit_test(a_mistake_longer_than_the_window_is_cut),
		cmocka_unit_test(a_character_is_not_cut_by_the_window),
	};

	return test_run("diag", tests, argc, argv);
}
