// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * diag.c - keeps diagnostics and draws them.
 *
 * What a diagnostic shows of the file is kept with it, so it can be printed after
 * the text is gone; of a long line only the part around the mistake, so that a
 * long line with many mistakes costs no more than many lines. Nothing of the file
 * reaches a terminal unfiltered: messages are filtered when they are made, source
 * lines when they are drawn.
 */
#include "rules/diag.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "rules/alloc.h"

#define WINDOW_BYTES 160
#define WINDOW_BEFORE 60 /* of these, before the mistake */
#define INDENT "    "
#define CUT "..."

struct range {
	uint32_t first, last;
};

/* Invisible, or able to reorder what is already on the screen. */
static const struct range refused[] = {
	{ 0x0000, 0x001f }, { 0x007f, 0x009f }, { 0x200b, 0x200f }, { 0x2028, 0x202e },
	{ 0x2060, 0x206f }, { 0xd800, 0xdfff }, { 0xfeff, 0xfeff }, { 0xfff9, 0xfffb },
};

/* Two columns wide on a terminal. */
static const struct range wide[] = {
	{ 0x1100, 0x115f }, { 0x2e80, 0xa4cf },   { 0xac00, 0xd7a3 },
	{ 0xf900, 0xfaff }, { 0xfe30, 0xfe6f },   { 0xff00, 0xff60 },
	{ 0xffe0, 0xffe6 }, { 0x1f300, 0x1faff }, { 0x20000, 0x3fffd },
};

static bool is_in(const struct range *ranges, size_t n_ranges, uint32_t c)
{
	for (size_t i = 0; i < n_ranges; i++)
		if (c >= ranges[i].first && c <= ranges[i].last)
			return true;
	return false;
}

static bool is_continuation(char byte)
{
	return ((unsigned char)byte & 0xc0) == 0x80;
}

/* Bytes of the UTF-8 character at @s, with its code; 0 when it is none. */
static size_t decode(const char *s, size_t len, uint32_t *ret_code)
{
	static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned char first = (unsigned char)s[0];
	size_t n = first < 0x80             ? 1
	           : (first & 0xe0) == 0xc0 ? 2
	           : (first & 0xf0) == 0xe0 ? 3
	           : (first & 0xf8) == 0xf0 ? 4
	                                    : 0;
	uint32_t code = n <= 1 ? first : first & (0x7fU >> n);

	if (!n || n > len)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if (!is_continuation(s[i]))
			return 0;
		code = code << 6 | ((unsigned char)s[i] & 0x3f);
	}
	if (code < smallest[n] || code > 0x10ffff)
		return 0;
	*ret_code = code;
	return n;
}

/* One character to @out, '?' for what must not be shown; returns bytes read. */
static size_t put_character(FILE *out, const char *s, size_t len,
                            unsigned int *ret_width)
{
	uint32_t code = 0;
	size_t n = decode(s, len, &code);

	*ret_width = 1;
	if (!n || is_in(refused, ARRAY_SIZE(refused), code)) {
		fputc('?', out);
		return n ? n : 1;
	}
	if (is_in(wide, ARRAY_SIZE(wide), code))
		*ret_width = 2;
	fwrite(s, 1, n, out);
	return n;
}

static void put_text(FILE *out, const char *s, size_t len)
{
	unsigned int width;

	for (size_t at = 0; at < len;)
		at += put_character(out, s + at, len - at, &width);
}

static char *filtered(const char *text)
{
	char *result = NULL;
	size_t size = 0;
	FILE *out = alloc_checked(open_memstream(&result, &size));

	put_text(out, text, strlen(text));
	fclose(out);
	return alloc_checked(result);
}

/* The part of the line that will be shown, and where it starts. */
static void keep_source(struct diag *d, const struct diag_span *span)
{
	size_t mistake = span->column - 1, start = 0, len = span->source_len;

	if (len > WINDOW_BYTES) {
		start = mistake > WINDOW_BEFORE ? mistake - WINDOW_BEFORE : 0;
		if (start + WINDOW_BYTES > len)
			start = len - WINDOW_BYTES;
		while (start < mistake && is_continuation(span->source[start]))
			start++;
		len = len - start < WINDOW_BYTES ? len - start : WINDOW_BYTES;
	}
	d->source = alloc_text(len ? span->source + start : "", len);
	for (size_t i = 0; i < len; i++)
		if (!d->source[i])
			d->source[i] = '?';
	d->source_column = (unsigned int)start + 1;
	d->is_source_cut = start + len < span->source_len;
}

void diag_add(struct diag_list *list, enum diag_severity severity, enum diag_code code,
              struct diag_span span, const char *expected, const char *message, ...)
{
	auto_free char *text = NULL;
	struct diag *d;
	va_list args;
	int r;

	va_start(args, message);
	r = vasprintf(&text, message, args);
	va_end(args);
	if (r < 0)
		alloc_checked(NULL);

	list->items = alloc_slot(list->items, list->n_items, sizeof(*d));
	d = &list->items[list->n_items++];
	*d = (struct diag){
		.severity = severity,
		.code = code,
		.line = span.line,
		.column = span.column,
		.len = span.len ? span.len : 1,
		.message = filtered(text),
		.expected = expected ? filtered(expected) : NULL,
	};
	keep_source(d, &span);
	list->n_errors += severity == DIAG_ERROR;
}

const struct diag *diag_first_error(const struct diag_list *list)
{
	for (size_t i = 0; i < list->n_items; i++)
		if (list->items[i].severity == DIAG_ERROR)
			return &list->items[i];
	return NULL;
}

/* Draws the line and, in step with it, what goes under it. */
static void put_source(FILE *out, FILE *under, const struct diag *d)
{
	size_t len = strlen(d->source), first = d->column - d->source_column;
	size_t end = first + d->len;
	bool has_caret = false;

	fputs(INDENT, out);
	fputs(INDENT, under);
	if (d->source_column > 1) {
		fputs(CUT, out);
		fprintf(under, "%*s", (int)strlen(CUT), "");
	}
	for (size_t at = 0; at < len;) {
		const char *s = d->source + at;
		bool is_tab = *s == '\t';
		unsigned int width = 1;
		size_t n = is_tab ? 1 : put_character(out, s, len - at, &width);

		if (is_tab)
			fputc('\t', out);
		if (at + n <= first) {
			fprintf(under, "%*s", (int)width, is_tab ? "\t" : "");
		} else if (at < end) {
			fputc(has_caret ? '~' : '^', under);
			if (width > 1)
				fputc('~', under);
			has_caret = true;
		}
		at += n;
	}
	if (d->is_source_cut)
		fputs(CUT, out);
	if (!has_caret)
		fputc('^', under);
}

char *diag_format(const struct diag *d, const char *name)
{
	char *result = NULL, *under_text = NULL;
	size_t size = 0, under_size = 0;
	FILE *out = alloc_checked(open_memstream(&result, &size));
	FILE *under = alloc_checked(open_memstream(&under_text, &under_size));

	fprintf(out, "%s:%u:%u: %s: %s\n", name, d->line, d->column,
	        d->severity == DIAG_ERROR ? "error" : "warning", d->message);
	put_source(out, under, d);
	fclose(under);
	alloc_checked(under_text);
	fprintf(out, "\n%s\n", under_text);
	if (d->expected)
		fprintf(out, INDENT "expected %s\n", d->expected);
	fclose(out);
	free(under_text);
	return alloc_checked(result);
}

void diag_list_fini(struct diag_list *list)
{
	for (size_t i = 0; i < list->n_items; i++) {
		free(list->items[i].message);
		free(list->items[i].expected);
		free(list->items[i].source);
	}
	free(list->items);
	*list = (struct diag_list){ 0 };
}
