/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * lexer.h - a rule file as lines, a line as tokens.
 *
 * Lines end in LF. Tokens are separated by space, TAB, CR and LF only; every other
 * byte, printable or not, is part of one. '#' starts a comment wherever it stands,
 * inside a token too. Nothing is copied: lines and tokens point into the text.
 */
#ifndef G5X_RULES_LEXER_H
#define G5X_RULES_LEXER_H

#include <stdbool.h>
#include <stddef.h>

#include "rules/diag.h"

struct lexer {
	const char *text;
	size_t len, at;
	unsigned int line; /* number of the last line read */
};

struct line {
	const char *text;
	size_t len; /* without LF, and without the CR of CRLF */
	size_t end; /* where the comment starts, or len */
	size_t at;  /* where the next token is looked for */
	unsigned int number;
};

struct token {
	const char *text;
	size_t len;
	struct diag_span span;
};

/* A token in a message: in quotes, and not all of it if it is long. */
#define QUOTED "\"%.*s%s\""
#define QUOTE(t) (int)((t).len > 80 ? 80 : (t).len), (t).text, (t).len > 80 ? "..." : ""

/** lexer_next_line() - false at the end of the text */
bool lexer_next_line(struct lexer *lexer, struct line *ret_line);

/** line_next_token() - false at the end of the line; the rest is comment */
bool line_next_token(struct line *line, struct token *ret_token);

/** line_peek_token() - the same token again next time */
bool line_peek_token(const struct line *line, struct token *ret_token);

/** line_comment() - from '#' on; NULL when there is none */
const char *line_comment(const struct line *line, size_t *ret_len);

/** line_find_nul() - the first NUL byte outside the comment */
bool line_find_nul(const struct line *line, struct diag_span *ret_span);

/** line_end_span() - the place after the last token read */
struct diag_span line_end_span(const struct line *line);

/** line_span() - @len bytes at @at, which points into the line */
struct diag_span line_span(const struct line *line, const char *at, size_t len);

/** token_part() - @len bytes of @t from @at on, as a token of its own */
struct token token_part(const struct token *t, size_t at, size_t len);

/** token_is() - the whole token, and nothing else */
bool token_is(const struct token *t, const char *text);

#endif /* G5X_RULES_LEXER_H */
