// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * test_conformance.c - the rule language, row by row: tests/conformance/X.rows.
 *
 * The folder's README has the format. A row that fails does not keep the others from
 * being tried. Runs from the top folder, as the runner does.
 */
#include "test.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "fakeresolver.h"
#include "rules/config.h"
#include "rules/format.h"
#include "samerules.h"

#define FOLDER "tests/conformance/"
#define MAX_REMARKS 32

struct row {
	char name[128];
	unsigned int line;
	char *config; /* unescaped, may hold NUL bytes */
	size_t config_len;
	char *expected[MAX_REMARKS]; /* '<' lines */
	size_t n_expected;
	char *dump[MAX_REMARKS]; /* '~' lines, unescaped */
	size_t n_dump;
};

static struct fake_resolver fake;
static const struct config_resolver resolver = { .resolve = fake_resolve,
	                                         .ctx = &fake };

static char *read_file(const char *name, size_t *ret_len)
{
	FILE *file = fopen(name, "rb");
	char *text;
	long len;

	if (!file)
		fail_msg("%s: %s", name, strerror(errno));
	fseek(file, 0, SEEK_END);
	len = ftell(file);
	rewind(file);
	text = calloc(1, (size_t)len + 1);
	assert_int_equal(fread(text, 1, (size_t)len, file), len);
	fclose(file);
	*ret_len = (size_t)len;
	return text;
}

/* What follows a backslash; returns where to go on. */
static const char *put_escape(FILE *out, const char *s)
{
	static const char letters[] = "trfv0\\";
	static const char bytes[] = "\t\r\f\v\0\\";
	const char *letter = strchr(letters, *s);
	char *end;

	if (*s == 'x') {
		char hex[3] = { s[1], s[2], '\0' };

		fputc((int)strtoul(hex, NULL, 16), out);
		return s + 3;
	}
	if (*s == '{') {
		unsigned long n = strtoul(s + 1, &end, 10);
		const char *close = strchr(end, '}');

		while (n--)
			fwrite(end + 1, 1, (size_t)(close - end - 1), out);
		return close + 1;
	}
	if (!letter)
		fail_msg("unknown escape \\%s", s);
	fputc(bytes[letter - letters], out);
	return s + 1;
}

static bool put_unescaped(FILE *out, const char *s)
{
	while (*s) {
		if (s[0] == '\\' && s[1] == 'c')
			return false;
		if (*s == '\\')
			s = put_escape(out, s + 1);
		else
			fputc(*s++, out);
	}
	return true;
}

static char *unescaped(const char *s)
{
	char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);

	put_unescaped(out, s);
	fclose(out);
	return text;
}

static bool fails(const struct row *row, const char *what, const char *value)
{
	print_error("line %u, %s: %s: %s\n", row->line, row->name, what, value);
	return false;
}

/* "error CODE LINE:COLUMN words" or "warning LINE:COLUMN words" */
static bool is_as_expected(const struct diag *d, const char *expected)
{
	bool is_error = strncmp(expected, "error ", 6) == 0;
	int code = d->code, n = 0;
	unsigned int line, column;

	if (is_error)
		n = sscanf(expected, "error %d %u:%u", &code, &line, &column) - 1;
	else
		n = sscanf(expected, "warning %u:%u", &line, &column);
	for (int blanks = is_error ? 3 : 2; blanks > 0; blanks--)
		expected = strchr(expected, ' ') + 1;
	return n == 2 && is_error == (d->severity == DIAG_ERROR) &&
	       code == (int)d->code && line == d->line && column == d->column &&
	       (strstr(d->message, expected) ||
	        (d->expected && strstr(d->expected, expected)));
}

static bool has_line(const char *text, const char *line)
{
	size_t len = strlen(line);

	for (const char *at = text; (at = strstr(at, line)); at++)
		if ((at == text || at[-1] == '\n') && at[len] == '\r')
			return true;
	return false;
}

static bool check_diags(const struct row *row, const struct diag_list *diags)
{
	bool is_good = true;

	for (size_t i = 0; i < diags->n_items; i++) {
		auto_free char *text = diag_format(&diags->items[i], "row");
		char code[16];

		snprintf(code, sizeof(code), "code %d, ", (int)diags->items[i].code);
		if (i >= row->n_expected)
			is_good = fails(row, code, text);
		else if (!is_as_expected(&diags->items[i], row->expected[i]))
			is_good = fails(row, row->expected[i], text) &&
			          fails(row, code, "");
	}
	for (size_t i = diags->n_items; i < row->n_expected; i++)
		is_good = fails(row, "not reported", row->expected[i]);
	return is_good;
}

/* What is written again must say the same. */
static bool check_dump(const struct row *row, const struct config *c)
{
	auto_free char *text = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&text, &size);
	struct diag_list diags = { 0 };
	struct config *again = NULL;
	bool is_good = true;

	format_config(out, c);
	fclose(out);
	for (size_t i = 0; i < row->n_dump; i++)
		if (!has_line(text, row->dump[i]))
			is_good = fails(row, row->dump[i], text);
	if (config_parse(text, size, 0, c, &resolver, &diags, &again) < 0 ||
	    !same_config(c, again))
		is_good = fails(row, "means something else", text);
	config_free(again);
	diag_list_fini(&diags);
	return is_good;
}

static bool check_row(const struct row *row)
{
	struct diag_list diags = { 0 };
	struct config *c = NULL;
	int r = config_parse(row->config ? row->config : "", row->config_len, 0, NULL,
	                     &resolver, &diags, &c);
	bool is_good = check_diags(row, &diags);

	if (r != (diags.n_errors ? -EINVAL : 0))
		is_good = fails(row, "the result is not that of its messages", "");
	else if (r == 0)
		is_good = check_dump(row, c) && is_good;
	else if (row->n_dump)
		is_good = fails(row, "not loaded", row->dump[0]);
	config_free(c);
	diag_list_fini(&diags);
	return is_good;
}

static void end_row(struct row *row)
{
	free(row->config);
	for (size_t i = 0; i < row->n_expected; i++)
		free(row->expected[i]);
	for (size_t i = 0; i < row->n_dump; i++)
		free(row->dump[i]);
	*row = (struct row){ .name = "" };
}

static void add_config_line(struct row *row, const char *text)
{
	char *grown = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&grown, &size);

	if (row->config)
		fwrite(row->config, 1, row->config_len, out);
	if (put_unescaped(out, text))
		fputc('\n', out);
	fclose(out);
	free(row->config);
	row->config = grown;
	row->config_len = size;
}

static void read_row_line(struct row *row, const char *line)
{
	const char *text = line[1] == ' ' ? line + 2 : line + 1;

	if (line[0] == '>') {
		add_config_line(row, text);
	} else if (line[0] == '<') {
		assert_true(row->n_expected < MAX_REMARKS);
		row->expected[row->n_expected++] = strdup(text);
	} else if (line[0] == '~') {
		assert_true(row->n_dump < MAX_REMARKS);
		row->dump[row->n_dump++] = unescaped(text);
	}
}

static void check_rows(const char *name, unsigned int n_least)
{
	char path[128];
	auto_free char *line = NULL;
	size_t size = 0;
	unsigned int n_rows = 0, n_bad = 0, number = 0;
	struct row row = { .name = "" };
	ssize_t len;
	FILE *file;

	snprintf(path, sizeof(path), FOLDER "%s.rows", name);
	file = fopen(path, "r");
	if (!file)
		fail_msg("%s: %s", path, strerror(errno));
	while ((len = getline(&line, &size, file)) >= 0) {
		number++;
		line[strcspn(line, "\n")] = '\0';
		if (line[0] != '=') {
			read_row_line(&row, line);
			continue;
		}
		n_bad += n_rows && !check_row(&row);
		n_rows++;
		end_row(&row);
		row.line = number;
		snprintf(row.name, sizeof(row.name), "%s", line + 2);
	}
	n_bad += n_rows && !check_row(&row);
	end_row(&row);
	fclose(file);
	assert_int_equal(n_bad, 0);
	assert_in_range(n_rows, n_least, UINT32_MAX);
}

static void every_row_about_syntax_is_answered_as_written(void **state)
{
	(void)state;
	check_rows("syntax", 70);
}

static void every_row_about_attributes_is_answered_as_written(void **state)
{
	(void)state;
	check_rows("attributes", 60);
}

static void every_row_about_addresses_is_answered_as_written(void **state)
{
	(void)state;
	check_rows("addresses", 40);
}

static void load(const char *path, size_t n_rules)
{
	size_t len;
	auto_free char *text = read_file(path, &len);
	struct diag_list diags = { 0 };
	struct config *c = NULL;

	config_parse(text, len, 0, NULL, &resolver, &diags, &c);
	for (size_t i = 0; i < diags.n_items; i++) {
		auto_free char *shown = diag_format(&diags.items[i], path);

		print_error("%s", shown);
	}
	assert_int_equal(diags.n_items, 0);
	assert_non_null(c);
	assert_int_equal(c->n_rules, n_rules);
	config_free(c);
	diag_list_fini(&diags);
}

static void samples_load_without_a_word(void **state)
{
	(void)state;
	load(FOLDER "samples/demo-gbk-crlf.conf", 6);
	load(FOLDER "samples/double-tabs.conf", 4);
	load(FOLDER "samples/windows.conf", 3);
}

/* "#web RR ..." is an option, "# words" a remark. */
static void every_option_of_the_sample_loads_when_it_is_uncommented(void **state)
{
	size_t len;
	auto_free char *text = read_file("conf/g5x.conf", &len);
	unsigned int n_options = 0;
	struct diag_list diags = { 0 };
	struct config *c = NULL;

	(void)state;
	for (char *at = text; (at = strchr(at, '#')); at++) {
		if ((at == text || at[-1] == '\n') && !isspace((unsigned char)at[1])) {
			*at = ' ';
			n_options++;
		}
	}
	config_parse(text, len, 0, NULL, &resolver, &diags, &c);
	if (diags.n_items)
		fail_msg("conf/g5x.conf:%u: %s", diags.items[0].line,
		         diags.items[0].message);
	assert_in_range(n_options, 15, 100);
	assert_true(c->n_rules > 10 && c->has_workers && c->has_log &&
	            c->has_log_format && c->has_grace && c->maxsessions_per_ip);
	config_free(c);
	diag_list_fini(&diags);
}

static void our_own_configuration_files_load_without_a_word(void **state)
{
	unsigned int n_files = 0;
	struct dirent *entry;
	DIR *folder = opendir("conf/examples");

	(void)state;
	load("conf/g5x.conf", 1);
	assert_non_null(folder);
	while ((entry = readdir(folder))) {
		char path[300];
		const char *dot = strrchr(entry->d_name, '.');
		size_t len;
		auto_free char *text = NULL;
		struct diag_list diags = { 0 };
		struct config *c = NULL;

		if (!dot || strcmp(dot, ".conf") != 0)
			continue;
		snprintf(path, sizeof(path), "conf/examples/%s", entry->d_name);
		text = read_file(path, &len);
		config_parse(text, len, 0, NULL, &resolver, &diags, &c);
		if (diags.n_items)
			fail_msg("%s:%u: %s", path, diags.items[0].line,
			         diags.items[0].message);
		assert_true(c->n_rules > 0);
		config_free(c);
		diag_list_fini(&diags);
		n_files++;
	}
	closedir(folder);
	assert_in_range(n_files, 3, 100);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_about_syntax_is_answered_as_written),
		cmocka_unit_test(every_row_about_attributes_is_answered_as_written),
		cmocka_unit_test(every_row_about_addresses_is_answered_as_written),
		cmocka_unit_test(samples_load_without_a_word),
		cmocka_unit_test(
		        every_option_of_the_sample_loads_when_it_is_uncommented),
		cmocka_unit_test(our_own_configuration_files_load_without_a_word),
	};

	return test_run("conformance", tests, argc, argv);
}
