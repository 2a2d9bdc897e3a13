// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * lexer.c - cuts a rule file into lines and tokens.
 *
 * A byte order mark at the start of a line is skipped: editors put one there, and
 * files that were joined have one in the middle.
 */
#include "rules/lexer.h"

#include <string.h>

#define BOM "\xef\xbb\xbf"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool skip_bom(struct line *line)
{
	if (line->end - line->at < strlen(BOM) ||
	    memcmp(line->text + line->at, BOM, strlen(BOM)) != 0)
		return false;
	line->at += strlen(BOM);
	return true;
}

static void skip_blanks(struct line *line)
{
	while (line->at < line->end && is_blank(line->text[line->at]))
		line->at++;
}

bool lexer_next_line(struct lexer *lexer, struct line *ret_line)
{
	size_t left = lexer->len - lexer->at;
	const char *start, *newline, *hash;

	if (!left)
		return false;

	start = lexer->text + lexer->at;
	newline = memchr(start, '\n', left);
	*ret_line = (struct line){
		.text = start,
		.len = newline ? (size_t)(newline - start) : left,
		.number = ++lexer->line,
	};
	lexer->at += ret_line->len + (newline != NULL);
	while (ret_line->len && start[ret_line->len - 1] == '\r')
		ret_line->len--;

	hash = memchr(start, '#', ret_line->len);
	ret_line->end = hash ? (size_t)(hash - start) : ret_line->len;
	do
		skip_blanks(ret_line);
	while (skip_bom(ret_line));
	return true;
}

bool line_next_token(struct line *line, struct token *ret_token)
{
	size_t start;

	skip_blanks(line);
	if (line->at == line->end)
		return false;

	start = line->at;
	while (line->at < line->end && !is_blank(line->text[line->at]))
		line->at++;
	*ret_token = (struct token){
		.text = line->text + start,
		.len = line->at - start,
		.span = line_span(line, line->text + start, line->at - start),
	};
	return true;
}

bool line_peek_token(const struct line *line, struct token *ret_token)
{
	struct line ahead = *line;

	return line_next_token(&ahead, ret_token);
}

const char *line_comment(const struct line *line, size_t *ret_len)
{
	if (line->end == line->len)
		return NULL;
	*ret_len = line->len - line->end;
	return line->text + line->end;
}

bool line_find_nul(const struct line *line, struct diag_span *ret_span)
{
	const char *nul = line->end ? memchr(line->text, '\0', line->end) : NULL;

	if (!nul)
		return false;
	*ret_span = line_span(line, nul, 1);
	return true;
}

struct diag_span line_end_span(const struct line *line)
{
	return line_span(line, line->text + line->at, 1);
}

struct diag_span line_span(const struct line *line, const char *at, size_t len)
{
	return (struct diag_span){
		.line = line->number,
		.column = (unsigned int)(at - line->text) + 1,
		.len = (unsigned int)len,
		.source = line->text,
		.source_len = line->len,
	};
}

struct token token_part(const struct token *t, size_t at, size_t len)
{
	struct token part = { .text = t->text + at, .len = len, .span = t->span };

	part.span.column += (unsigned int)at;
	part.span.len = (unsigned int)len;
	return part;
}

bool token_is(const struct token *t, const char *text)
{
	return t->len == strlen(text) && memcmp(t->text, text, t->len) == 0;
}
