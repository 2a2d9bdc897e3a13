// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* test_options.c - user/options.c: the command line. */
#include "test.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "options.h"

#define ARGS_MAX 16

static char said[1024]; /* to stderr, by the last parse() */

/* As the shell would split @line. */
static int parse(const char *line, struct options *ret_options)
{
	static char copy[256]; /* options point into it */
	char *argv[ARGS_MAX + 1] = { NULL };
	auto_close int saved = dup(STDERR_FILENO);
	auto_close int file = memfd_create("stderr", MFD_CLOEXEC);
	int argc = 0, r;

	assert_true(saved >= 0 && file >= 0);
	memset(said, 0, sizeof(said));
	snprintf(copy, sizeof(copy), "g5x %s", line);
	for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) {
		assert_true(argc < ARGS_MAX);
		argv[argc++] = word;
	}
	dup2(file, STDERR_FILENO);
	r = options_parse(argc, argv, ret_options);
	dup2(saved, STDERR_FILENO);
	assert_true(pread(file, said, sizeof(said) - 1, 0) >= 0);
	return r;
}

static void a_file_is_enough(void **state)
{
	struct options o;

	(void)state;

	assert_ok(parse("-f web.conf", &o));
	assert_int_equal(o.action, OPTIONS_RUN);
	assert_string_equal(o.settings.file, "web.conf");
	assert_int_equal(o.settings.max_rules, 0);
	assert_int_equal(o.settings.max_sessions, 0);
	assert_int_equal(o.settings.buffer_size, 65536);
	assert_int_equal(o.settings.n_workers, SETTINGS_WORKERS_OF_FILE);
	assert_string_equal(o.settings.bpffs, "/sys/fs/bpf/g5x");
	assert_false(o.settings.is_debug);
}

static void the_options_of_g5_are_understood(void **state)
{
	struct options o;

	(void)state;

	assert_ok(parse("-f web.conf -r 10 -s 20 -b 4096 -d", &o));
	assert_int_equal(o.settings.max_rules, 10);
	assert_int_equal(o.settings.max_sessions, 20);
	assert_int_equal(o.settings.buffer_size, 4096);
	assert_true(o.settings.is_debug);
}

static void each_option_has_a_long_name(void **state)
{
	struct options o;

	(void)state;

	assert_ok(parse(
	        "--file=x --rules 1 --sessions=2 --buffer 512 --workers 0 --debug "
	        "--bpffs /a/b",
	        &o));
	assert_string_equal(o.settings.file, "x");
	assert_int_equal(o.settings.max_rules, 1);
	assert_int_equal(o.settings.max_sessions, 2);
	assert_int_equal(o.settings.buffer_size, 512);
	assert_int_equal(o.settings.n_workers, 0);
	assert_string_equal(o.settings.bpffs, "/a/b");
	assert_true(o.settings.is_debug);
	assert_ok(parse("--test --file x", &o));
	assert_int_equal(o.action, OPTIONS_TEST);
}

static void version_and_help_need_no_file(void **state)
{
	struct options o;

	(void)state;

	assert_ok(parse("-v", &o));
	assert_int_equal(o.action, OPTIONS_VERSION);
	assert_ok(parse("--help", &o));
	assert_int_equal(o.action, OPTIONS_HELP);
	assert_ok(parse("-v -t", &o));
	assert_int_equal(o.action, OPTIONS_VERSION);
}

static void what_is_not_an_option_is_refused(void **state)
{
	static const char *const lines[] = {
		"", "-t", "-f", "-f -", "-f x -x", "-f x extra", "-x", "-f x -b",
	};
	struct options o = { .action = OPTIONS_HELP };

	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++)
		assert_int_equal(parse(lines[i], &o), -EINVAL);
	assert_int_equal(o.action, OPTIONS_HELP);
}

static void a_number_is_decimal_and_nothing_else(void **state)
{
	static const char *const numbers[] = {
		"-1", "+1", "1k", "0x10", "abc", "1.5", "99999999999999999999"
	};
	struct options o = { .action = OPTIONS_HELP };
	char line[64];

	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		snprintf(line, sizeof(line), "-f x -s %s", numbers[i]);
		assert_int_equal(parse(line, &o), -EINVAL);
	}
	assert_int_equal(o.action, OPTIONS_HELP);
}

static void a_buffer_has_at_most_16_mib(void **state)
{
	struct options o;

	(void)state;

	assert_int_equal(parse("-f x -b 16777217", &o), -EINVAL);
	assert_ok(parse("-f x -b 16777216", &o));
	assert_int_equal(o.settings.buffer_size, 16777216);
	assert_string_equal(said, "");
}

static void a_buffer_of_less_than_512_bytes_gets_512_and_a_warning(void **state)
{
	struct options o;

	(void)state;

	assert_ok(parse("-f x -b 100", &o));
	assert_int_equal(o.settings.buffer_size, 512);
	assert_string_equal(said, "g5x: -b 100: buffers are at least 512 bytes\n");
	assert_ok(parse("-f x --buffer=0", &o));
	assert_int_equal(o.settings.buffer_size, 512);
	assert_string_equal(said, "g5x: -b 0: buffers are at least 512 bytes\n");
	assert_ok(parse("-f x -b 512", &o));
	assert_int_equal(o.settings.buffer_size, 512);
	assert_string_equal(said, "");
	assert_int_equal(parse("-f x -b -1", &o), -EINVAL);
}

static void the_folder_of_maps_is_an_absolute_path_other_than_the_root(void **state)
{
	static const char *const dirs[] = { "", "/", "///", "bpf", "./bpf/", "~/bpf" };
	struct options o = { .action = OPTIONS_HELP };
	char line[64], expected[96];

	(void)state;

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++) {
		snprintf(line, sizeof(line), "-f x --bpffs=%s", dirs[i]);
		snprintf(expected, sizeof(expected),
		         "g5x: --bpffs: \"%s\" is not an absolute path below \"/\"\n",
		         dirs[i]);
		assert_int_equal(parse(line, &o), -EINVAL);
		assert_memory_equal(said, expected, strlen(expected));
	}
	assert_int_equal(parse("-f x --bpffs", &o), -EINVAL);
	assert_int_equal(o.action, OPTIONS_HELP);
}

static void the_folder_of_maps_loses_the_slashes_at_its_end(void **state)
{
	struct options o;

	(void)state;

	assert_ok(parse("-f x --bpffs /sys/fs/bpf/two///", &o));
	assert_string_equal(o.settings.bpffs, "/sys/fs/bpf/two");
	assert_ok(parse("-f x --bpffs=//a//b/", &o));
	assert_string_equal(o.settings.bpffs, "//a//b");
	assert_string_equal(said, "");
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_is_enough),
		cmocka_unit_test(the_options_of_g5_are_understood),
		cmocka_unit_test(each_option_has_a_long_name),
		cmocka_unit_test(version_and_help_need_no_file),
		cmocka_unit_test(what_is_not_an_option_is_refused),
		cmocka_unit_test(a_number_is_decimal_and_nothing_else),
		cmocka_unit_test(a_buffer_has_at_most_16_mib),
		cmocka_unit_test(
		        a_buffer_of_less_than_512_bytes_gets_512_and_a_warning),
		cmocka_unit_test(
		        the_folder_of_maps_is_an_absolute_path_other_than_the_root),
		cmocka_unit_test(the_folder_of_maps_loses_the_slashes_at_its_end),
	};

	return test_run("options", tests, argc, argv);
}
