// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * test_guard_commands.c - user/control/guard_commands.c: block, unblock, list guard. The
 * program behind them remembers the last that was asked for.
 */
#include "test.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "control/commands.h"
#include "control/settings.h"
#include "logfile.h"
#include "rules/network.h"

#define BLOCK_USAGE "expected block IP/BITS [SECONDS]\r\n"
#define UNBLOCK_USAGE "expected unblock IP/BITS\r\n"

static char asked[128]; /* "block 10.0.0.0/8 60" */
static int result;

static int block(void *ctx, const struct network *network, unsigned int seconds)
{
	char text[NETWORK_TEXT_LEN];

	(void)ctx;

	snprintf(asked, sizeof(asked), "block %s %u", network_format(network, text),
	         seconds);
	return result;
}

static int unblock(void *ctx, const struct network *network)
{
	char text[NETWORK_TEXT_LEN];

	(void)ctx;

	snprintf(asked, sizeof(asked), "unblock %s", network_format(network, text));
	return result;
}

static bool list_guard(void *ctx, FILE *out, struct listing *at)
{
	(void)ctx;

	fprintf(out, "block %u\r\n", ++at->next);
	return at->next < 3;
}

static const struct commands_ops ops = {
	.block = block,
	.unblock = unblock,
	.list_guard = list_guard,
};

static int start(void **state)
{
	asked[0] = '\0';
	result = 0;
	return start_log(state);
}

/* All of the answer; owned by the caller. */
static char *answer(const char *text)
{
	const struct settings settings = { .max_rules = 0 };
	const struct commands commands = { .ops = &ops, .settings = &settings };
	const struct command_line line = { "127.0.0.1:5", text, strlen(text) };
	struct command_run run = { 0 };
	enum command_result r;
	char *said = NULL;
	size_t size;
	FILE *out = open_memstream(&said, &size);

	r = commands_execute(&commands, &line, &run, out);
	while (r == COMMAND_MORE)
		r = commands_continue(&commands, &run, out);
	assert_int_equal(r, COMMAND_DONE);
	fclose(out);
	return said;
}

static void assert_answer(const char *text, const char *expected,
                          const char *expected_asked)
{
	auto_free char *said = answer(text);

	assert_string_equal(said, expected);
	assert_string_equal(asked, expected_asked);
	asked[0] = '\0';
}

/* Nobody is asked for anything then. */
static void assert_bad(const char *text, const char *expected)
{
	assert_answer(text, expected, "");
}

static void a_network_is_blocked_for_a_time_or_for_ever(void **state)
{
	(void)state;
	assert_answer("block 10.0.0.0/8", "block ok\r\n", "block 10.0.0.0/8 0");
	assert_answer("block 10.0.0.1 60", "block ok\r\n", "block 10.0.0.1/32 60");
	assert_answer("\tblock  [2001:DB8::]/32 31536000 # a year", "block ok\r\n",
	              "block 2001:db8::/32 31536000");
}

static void a_block_is_taken_back(void **state)
{
	(void)state;
	assert_answer("unblock 10.0.0.0/8", "unblock ok\r\n", "unblock 10.0.0.0/8");
	assert_answer("unblock ::1", "unblock ok\r\n", "unblock ::1/128");
}

static void a_bad_network_is_answered_with_what_would_be_right(void **state)
{
	(void)state;
	assert_bad("block", "block failed[-1] no network; " BLOCK_USAGE);
	assert_bad("unblock # 10.0.0.0/8",
	           "unblock failed[-1] no network; " UNBLOCK_USAGE);
	assert_bad("block 10.0.0.1/8 60",
	           "block failed[-1] \"10.0.0.1/8\" has bits after the prefix; "
	           "expected 10.0.0.0/8\r\n");
	assert_bad("unblock a.test",
	           "unblock failed[-1] \"a.test\" is not an IP address; expected IP "
	           "or IP/BITS, such as 10.0.0.0/8 or 2001:db8::/32\r\n");
}

static void a_bad_time_is_answered_with_what_would_be_right(void **state)
{
	static const char *const times[] = { "0",  "-1", "31536001", "4294967297",
		                             "5s", "x",  "1.5" };
	char line[64], expected[160];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		snprintf(line, sizeof(line), "block 10.0.0.0/8 %s", times[i]);
		snprintf(expected, sizeof(expected),
		         "block failed[-2] \"%s\" is no time; expected 1 to 31536000 "
		         "seconds, or nothing: for ever\r\n",
		         times[i]);
		assert_bad(line, expected);
	}
}

static void more_words_are_a_mistake(void **state)
{
	(void)state;
	assert_bad("block 10.0.0.0/8 60 seconds",
	           "block failed[-1] \"seconds\" is too much; " BLOCK_USAGE);
	assert_bad("unblock 10.0.0.0/8 60",
	           "unblock failed[-1] \"60\" is too much; " UNBLOCK_USAGE);
}

static void what_the_program_cannot_do_is_answered_with_the_reason(void **state)
{
	(void)state;
	result = -ENOSPC;
	assert_answer("block ::/0",
	              "block failed[-3] there are as many blocks as there may be\r\n",
	              "block ::/0 0");
	result = -ENOMEM;
	assert_answer("block ::/0", "block failed[-3] Cannot allocate memory\r\n",
	              "block ::/0 0");
	result = -ENOENT;
	assert_answer("unblock ::/0",
	              "unblock failed[-2] no block is of this network\r\n",
	              "unblock ::/0");
	result = -EPERM;
	assert_answer("unblock ::/0",
	              "unblock failed[-3] the rule file has it, and no command: remove "
	              "it there and reload\r\n",
	              "unblock ::/0");
}

static void what_was_done_is_logged_and_what_failed_is_not(void **state)
{
	auto_free char *text = NULL;

	(void)state;
	assert_ok(log_start(path, LOG_FORMAT_TEXT, false));
	free(answer("block 10.0.0.0/8 60"));
	free(answer("block 10.0.0.0/8"));
	free(answer("unblock 10.0.0.0/8"));
	result = -ENOENT;
	free(answer("unblock 10.0.0.0/8"));
	free(answer("block 10.0.0.0/8"));
	free(answer("block 10.0.0.1/8"));
	log_stop();
	text = read_text(path);
	assert_int_equal(count_lines(text), 3);
	assert_non_null(strstr(text, "management client 127.0.0.1:5: block 10.0.0.0/8 "
	                             "for 60 seconds\n"));
	assert_non_null(strstr(text, ": block 10.0.0.0/8 for ever\n"));
	assert_non_null(strstr(text, ": unblock 10.0.0.0/8\n"));
}

static void a_list_goes_on_until_it_is_complete(void **state)
{
	(void)state;
	assert_bad("list guard", "block 1\r\nblock 2\r\nblock 3\r\n");
}

#define COMMAND_TEST(test) cmocka_unit_test_setup_teardown(test, start, end_log)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		COMMAND_TEST(a_network_is_blocked_for_a_time_or_for_ever),
		COMMAND_TEST(a_block_is_taken_back),
		COMMAND_TEST(a_bad_network_is_answered_with_what_would_be_right),
		COMMAND_TEST(a_bad_time_is_answered_with_what_would_be_right),
		COMMAND_TEST(more_words_are_a_mistake),
		COMMAND_TEST(what_the_program_cannot_do_is_answered_with_the_reason),
		COMMAND_TEST(what_was_done_is_logged_and_what_failed_is_not),
		COMMAND_TEST(a_list_goes_on_until_it_is_complete),
	};

	return test_run("guard_commands", tests, argc, argv);
}
