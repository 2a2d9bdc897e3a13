// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* test_lexer.c - user/rules/lexer.c: text into lines, lines into tokens. */
#include "test.h"

#include "rules/lexer.h"

/* The tokens of a text, each in <>, lines ended by |. */
static const char *tokens(const char *text, size_t len)
{
	static char result[256];
	struct lexer lexer = { .text = text, .len = len };
	size_t at = 0;
	struct line line;
	struct token t;

	result[0] = '\0';
	while (lexer_next_line(&lexer, &line)) {
		while (line_next_token(&line, &t))
			at += (size_t)snprintf(result + at, sizeof(result) - at,
			                       "<%.*s>", (int)t.len, t.text);
		at += (size_t)snprintf(result + at, sizeof(result) - at, "|");
	}
	return result;
}

#define assert_tokens(text, expected) \
	assert_string_equal(tokens(text, sizeof(text) - 1), expected)

static struct line line_of(const char *text, size_t len)
{
	struct lexer lexer = { .text = text, .len = len };
	struct line line;

	assert_true(lexer_next_line(&lexer, &line));
	return line;
}

static void lines_end_in_lf_or_cr_lf_or_with_the_text(void **state)
{
	(void)state;
	assert_tokens("", "");
	assert_tokens("a", "<a>|");
	assert_tokens("a\n", "<a>|");
	assert_tokens("a\r\nb\n\n\r\nc", "<a>|<b>|||<c>|");
}

static void space_tab_and_cr_separate_tokens_and_nothing_else_does(void **state)
{
	(void)state;
	assert_tokens("  a \t b\rc  ", "<a><b><c>|");
	assert_tokens("a\vb\fc\x1a"
	              "d\xc2\xa0"
	              "e",
	              "<a\vb\fc\x1a"
	              "d\xc2\xa0"
	              "e>|");
}

static void bytes_above_127_belong_to_tokens(void **state)
{
	(void)state;
	assert_tokens("\xb9\xe6 \xff\x80", "<\xb9\xe6><\xff\x80>|");
}

static void a_comment_starts_anywhere_also_inside_a_token(void **state)
{
	(void)state;
	assert_tokens("# a b", "|");
	assert_tokens("a # b", "<a>|");
	assert_tokens("a:1#80 b\nc", "<a:1>|<c>|");
}

static void a_comment_is_kept_from_its_sign_to_the_end_of_the_line(void **state)
{
	static const char text[] = "a # b # c \t\r\nd";
	struct line line = line_of(text, sizeof(text) - 1);
	size_t len;
	const char *comment = line_comment(&line, &len);

	(void)state;
	assert_int_equal(len, strlen("# b # c \t"));
	assert_memory_equal(comment, "# b # c \t", len);
	line = line_of("a b", 3);
	assert_null(line_comment(&line, &len));
}

static void a_byte_order_mark_is_skipped_at_the_start_of_a_line(void **state)
{
	(void)state;
	assert_tokens("\xef\xbb\xbf"
	              "a\n \xef\xbb\xbf\xef\xbb\xbf b",
	              "<a>|<b>|");
	assert_tokens("a \xef\xbb\xbf"
	              "b",
	              "<a><\xef\xbb\xbf"
	              "b>|");
	assert_tokens("\xef\xbb", "<\xef\xbb>|");
}

static void tokens_know_their_place(void **state)
{
	static const char text[] = "x\n\t ab  cde\r\n";
	struct lexer lexer = { .text = text, .len = sizeof(text) - 1 };
	struct line line;
	struct token t, part;

	(void)state;
	assert_true(lexer_next_line(&lexer, &line));
	assert_true(lexer_next_line(&lexer, &line));
	assert_true(line_peek_token(&line, &t));
	assert_true(line_next_token(&line, &t));
	assert_true(token_is(&t, "ab"));
	assert_false(token_is(&t, "a"));
	assert_false(token_is(&t, "abc"));
	assert_true(line_next_token(&line, &t));
	assert_int_equal(t.span.line, 2);
	assert_int_equal(t.span.column, 7);
	assert_int_equal(t.span.len, 3);
	assert_int_equal(t.span.source_len, strlen("\t ab  cde"));
	part = token_part(&t, 1, 2);
	assert_true(token_is(&part, "de"));
	assert_int_equal(part.span.column, 8);
	assert_int_equal(part.span.len, 2);
	assert_false(line_next_token(&line, &t));
	assert_int_equal(line_end_span(&line).column, 10);
}

static void a_nul_byte_is_found_unless_it_is_in_a_comment(void **state)
{
	struct diag_span span = { .column = 99 };
	struct line line = line_of("a b # \0", 7);

	(void)state;
	assert_false(line_find_nul(&line, &span));
	assert_int_equal(span.column, 99);
	line = line_of("a \0b", 4);
	assert_true(line_find_nul(&line, &span));
	assert_int_equal(span.column, 3);
	assert_int_equal(span.len, 1);
}

static void a_long_token_is_quoted_in_part(void **state)
{
	char text[200], quoted[300];
	struct token t = { .text = text, .len = sizeof(text) };

	(void)state;
	memset(text, 'x', sizeof(text));
	snprintf(quoted, sizeof(quoted), QUOTED, QUOTE(t));
	assert_int_equal(strlen(quoted), strlen("\"\"...") + 80);
	t.len = 80;
	snprintf(quoted, sizeof(quoted), QUOTED, QUOTE(t));
	assert_int_equal(strlen(quoted), strlen("\"\"") + 80);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_end_in_lf_or_cr_lf_or_with_the_text),
		cmocka_unit_test(
		        space_tab_and_cr_separate_tokens_and_nothing_else_does),
		cmocka_unit_test(bytes_above_127_belong_to_tokens),
		cmocka_unit_test(a_comment_starts_anywhere_also_inside_a_token),
		cmocka_unit_test(
		        a_comment_is_kept_from_its_sign_to_the_end_of_the_line),
		cmocka_unit_test(a_byte_order_mark_is_skipped_at_the_start_of_a_line),
		cmocka_unit_test(tokens_know_their_place),
		cmocka_unit_test(a_nul_byte_is_found_unless_it_is_in_a_comment),
		cmocka_unit_test(a_long_token_is_quoted_in_part),
	};

	return test_run("lexer", tests, argc, argv);
}
