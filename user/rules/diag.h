/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * diag.h - what is wrong with a rule file, and where.
 *
 * The parser reports every mistake it finds, not the first; each carries its
 * place, what was found and what would have been right. One is printed as
 *
 *     web.conf:3:14: error: client address "10.0.0.1" has no port
 *         web RR 10.0.0.1 - 127.0.0.1:80 > 10.1.0.1:80 ;
 *                ^~~~~~~~
 *         expected IP:PORT, such as 10.0.0.1:* for any port
 */
#ifndef G5X_RULES_DIAG_H
#define G5X_RULES_DIAG_H

#include <stdbool.h>
#include <stddef.h>

enum diag_severity { DIAG_ERROR, DIAG_WARNING };

/* The numbers that G5 answers on its management port; scripts read them. */
enum diag_code {
	DIAG_OTHER = -1, /* has no number in G5 */
	DIAG_DUPLICATE_ID = -2,
	DIAG_BIND = -3,
	DIAG_ID_TOO_LONG = -12,
	DIAG_NO_MODE = -21,
	DIAG_MODE_TOO_LONG = -22,
	DIAG_UNKNOWN_MODE = -23,
	DIAG_ATTRIBUTE = -30,
	DIAG_NO_CLIENT = -31,
	DIAG_BAD_CLIENT = -32,
	DIAG_NO_FORWARD = -41,
	DIAG_BAD_FORWARD = -42,
	DIAG_NO_SERVER = -51,
	DIAG_BAD_SERVER = -52,
	DIAG_G_WITH_SERVER = -61,
	DIAG_WITHOUT_FORWARD = -62,
	DIAG_WITHOUT_SERVER = -63,
};

struct diag {
	enum diag_severity severity;
	enum diag_code code;
	unsigned int line, column; /* from 1; columns count bytes */
	unsigned int len;          /* bytes of the offending text, at least 1 */
	char *message;             /* owned; what is wrong, with the value in quotes */
	char *expected; /* owned; what would be right; NULL: the message says it */
	char *source;   /* owned; the line, or about 160 bytes of a long one */
	unsigned int
	        source_column; /* of source[0]; 1 unless the line was cut before it */
	bool is_source_cut;    /* the line goes on after it */
};

/* A place in a rule file while it is being read; points into the text. */
struct diag_span {
	unsigned int line, column, len;
	const char *source; /* the line, not owned, not terminated */
	size_t source_len;
};

struct diag_list {
	struct diag *items; /* owned; in file order, what only its end shows last */
	size_t n_items;
	size_t n_errors;
};

/**
 * diag_add() - report one mistake
 * @span:     where; what it points to is copied
 * @expected: plain text of what would be right, or NULL; copied
 *
 * Out of memory ends the program: this happens at load, never on the hot path.
 */
__attribute__((format(printf, 6, 7))) void
diag_add(struct diag_list *list, enum diag_severity severity, enum diag_code code,
         struct diag_span span, const char *expected, const char *message, ...);

/** diag_first_error() - NULL when there is none */
const struct diag *diag_first_error(const struct diag_list *list);

/**
 * diag_format() - one diagnostic as the text above, ending in a newline
 * @name: the file's name as the user gave it
 *
 * Tabs before the caret stay tabs; bytes that are not printable ASCII or valid
 * UTF-8 come out as '?', so a terminal cannot be written to by a rule file.
 *
 * Return: malloc'ed text, owned by the caller.
 */
char *diag_format(const struct diag *d, const char *name);

void diag_list_fini(struct diag_list *list);

#endif /* G5X_RULES_DIAG_H */
