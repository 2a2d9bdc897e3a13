// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * values.c - checks and stores the values of attributes.
 *
 * Names that G5 knows take their numbers as its atol() does: what follows the
 * digits is ignored, no digits are 0, too many are the maximum; the difference is a
 * warning. Names of our own are strict.
 */
#include "rules/values.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "rules/alloc.h"
#include "rules/similar.h"

static void set_number(const struct block *b, const struct attribute *a,
                       uint64_t number)
{
	char *member = (char *)b->target + a->offset;
	uint32_t small = (uint32_t)number;

	if (a->size == sizeof(small))
		memcpy(member, &small, sizeof(small));
	else
		memcpy(member, &number, sizeof(number));
}

/* Digits from @at on, as far as they go; saturates. */
static size_t read_digits(const struct token *t, size_t at, uint64_t *ret_number)
{
	uint64_t number = 0;
	size_t start = at;

	for (; at < t->len && t->text[at] >= '0' && t->text[at] <= '9'; at++) {
		unsigned int digit = (unsigned int)(t->text[at] - '0');

		if (number > (UINT64_MAX - digit) / 10)
			number = UINT64_MAX;
		else
			number = number * 10 + digit;
	}
	*ret_number = number;
	return at - start;
}

static void describe_number(const struct attribute *a, char *text, size_t size)
{
	if (a->max == INT64_MAX)
		snprintf(text, size, "a whole number, such as 100; 0 is no limit");
	else
		snprintf(text, size, "a whole number from %" PRIu64 " to %" PRIu64 "%s",
		         a->min, a->max, a->unit ? a->unit : "");
}

void value_read_lenient(struct block *b, const struct attribute *a,
                        const struct token *value)
{
	bool is_negative = value->text[0] == '-';
	size_t sign = is_negative || value->text[0] == '+';
	uint64_t number;
	size_t n_digits = read_digits(value, sign, &number);
	char expected[80];

	describe_number(a, expected, sizeof(expected));
	if (!number)
		is_negative = false;
	if (is_negative && !a->is_limit) {
		block_report(b, value->span, expected, "%s " QUOTED " is negative",
		             a->name, QUOTE(*value));
		return;
	}
	if (number > a->max && !a->is_limit) {
		diag_add(b->diags, DIAG_WARNING, DIAG_ATTRIBUTE, value->span, expected,
		         "%s " QUOTED " is taken for the most there is, %" PRIu64 "%s",
		         a->name, QUOTE(*value), a->max, a->unit ? a->unit : "");
		number = a->max;
	} else if (is_negative || number > a->max) {
		diag_add(b->diags, DIAG_WARNING, DIAG_ATTRIBUTE, value->span, expected,
		         "%s " QUOTED " is taken for no limit", a->name, QUOTE(*value));
		number = 0;
	} else if (sign || !n_digits || n_digits < value->len) {
		diag_add(b->diags, DIAG_WARNING, DIAG_ATTRIBUTE, value->span, expected,
		         "%s " QUOTED " is read as %" PRIu64, a->name, QUOTE(*value),
		         number);
	}
	set_number(b, a, number);
}

void value_read_strict(struct block *b, const struct attribute *a,
                       const struct token *value)
{
	uint64_t number;
	size_t n_digits = read_digits(value, 0, &number);
	char expected[80];

	describe_number(a, expected, sizeof(expected));
	if (n_digits < value->len)
		block_report(b, value->span, expected,
		             "%s " QUOTED " is not a whole number", a->name,
		             QUOTE(*value));
	else if (number < a->min || number > a->max)
		block_report(b, value->span, expected, "%s " QUOTED " is out of range",
		             a->name, QUOTE(*value));
	else
		set_number(b, a, number);
}

/* The nearest of @words, as the end of a message. */
static const char *suggest(char *text, size_t size, const struct token *t,
                           const char *const *words)
{
	struct similar s = { .text = t->text, .len = t->len };

	for (; *words; words++)
		similar_offer(&s, *words);
	text[0] = '\0';
	if (s.best)
		snprintf(text, size, "; did you mean \"%s\"?", s.best);
	return text;
}

/* "datapath auto, datapath copy or datapath splice" */
static void list_words(const struct attribute *a, char *text, size_t size)
{
	size_t at = 0;

	for (unsigned int i = 0; a->words[i] && at < size; i++) {
		const char *before = i == 0 ? "" : a->words[i + 1] ? ", " : " or ";

		at += (size_t)snprintf(text + at, size - at, "%s%s %s", before, a->name,
		                       a->words[i]);
	}
}

void value_read_choice(struct block *b, const struct attribute *a,
                       const struct token *value)
{
	char hint[64], expected[96];

	for (unsigned int i = 0; a->words[i]; i++) {
		if (token_is(value, a->words[i])) {
			set_number(b, a, i);
			return;
		}
	}
	list_words(a, expected, sizeof(expected));
	block_report(b, value->span, expected, "there is no %s " QUOTED "%s", a->name,
	             QUOTE(*value), suggest(hint, sizeof(hint), value, a->words));
}

void value_read_log_target(struct block *b, const struct attribute *a,
                           const struct token *value)
{
	char **member = (char **)(void *)((char *)b->target + a->offset);
	struct similar s = { .text = value->text, .len = value->len };
	bool is_word = false;

	for (const char *const *word = a->words; *word; word++) {
		is_word = is_word || token_is(value, *word);
		similar_offer(&s, *word);
	}
	if (!is_word && s.best && !memchr(value->text, '/', value->len)) {
		block_report(b, value->span,
		             "stderr, syslog, none, or a path with a '/' in it",
		             "there is no log " QUOTED
		             "; did you mean \"%s\"? A file of that name is written "
		             "./%.*s",
		             QUOTE(*value), s.best, (int)value->len, value->text);
		return;
	}
	free(*member);
	*member = alloc_text(value->text, value->len);
}
