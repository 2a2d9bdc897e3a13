/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * test.h - what every C test includes first: cmocka, and a few words more.
 *
 * The runner (tests/conftest.py) starts the program once per test, with the name of
 * the test as its only argument; without an argument all tests of the file run.
 */
#ifndef G5X_TEST_H
#define G5X_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h> /* a group of its own: it needs some of the above */

#define assert_ok(call) assert_int_equal((call), 0)

/** test_skip() - leave this test; the runner shows the reason */
#define test_skip(...)                      \
	do {                                \
		print_message("skip: ");    \
		print_message(__VA_ARGS__); \
		print_message("\n");        \
		skip();                     \
	} while (0)

/* cmocka takes a filter that selects nothing for success. */
static inline bool test_select(const struct CMUnitTest *tests, size_t n_tests, int argc,
                               char **argv)
{
	if (argc < 2)
		return true;
	cmocka_set_test_filter(argv[1]);
	for (size_t i = 0; i < n_tests; i++) {
		if (!strcmp(tests[i].name, argv[1]))
			return true;
	}
	fprintf(stderr, "no test is named %s\n", argv[1]);
	return false;
}

/**
 * test_run() - the last line of main(): `return test_run("addr", tests, argc, argv);`
 * @tests: an array (not a pointer) of struct CMUnitTest
 */
#define test_run(name, tests, argc, argv)                                     \
	(test_select((tests), sizeof(tests) / sizeof((tests)[0]), argc, argv) \
	         ? cmocka_run_group_tests_name(name, tests, NULL, NULL)       \
	         : 1)

#endif /* G5X_TEST_H */
