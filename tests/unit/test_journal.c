// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* test_journal.c - user/forward/journal.c: the line of a finished session. */
#include "test.h"

#include <json-c/json.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "forward/journal.h"
#include "rules/config.h"
#include "ruleset.h"

static char path[64];
static struct session session;
static struct rule_state *rule;

static void set_rule(const char *id)
{
	if (rule)
		state_unref(&rule->state);
	rule = state_open(STATE_RULE, id, NULL, 0);
	session.rule = rule->state.index;
}

/* A session that went as it should: connected after 1.5 ms, answered after 2.25. */
static int start(void **state)
{
	int fd;

	(void)state;

	strcpy(path, "/tmp/g5x-test-journal-XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	close(fd);
	rule = NULL;
	memset(&session, 0, sizeof(session));
	set_rule("web");
	session.datapath = DATAPATH_COPY;
	session.client_addr = ruleset_addr("10.0.0.1:5000");
	session.listener_addr = ruleset_addr("[::1]:80");
	session.server_addr = ruleset_addr("10.0.0.2:8080");
	session.flow[CLIENT].n_bytes = 123;
	session.flow[SERVER].n_bytes = 5000000000;
	session.accepted_us = clock_us() - 10000;
	session.connected_us = session.accepted_us + 1500;
	session.first_byte_us = session.accepted_us + 2250;
	return 0;
}

static int end(void **state)
{
	(void)state;

	log_stop();
	state_unref(&rule->state);
	assert_int_equal(state_count(STATE_RULE), 0);
	return unlink(path);
}

static const char *write_line(enum log_format format, enum close_reason reason)
{
	static char line[4096];
	FILE *file;
	size_t n;

	assert_ok(log_start(path, format, false));
	journal_session(&session, reason);
	log_stop();
	file = fopen(path, "re");
	assert_non_null(file);
	n = fread(line, 1, sizeof(line) - 1, file);
	fclose(file);
	line[n] = '\0';
	return line;
}

static void assert_contains(const char *line, const char *part)
{
	if (!strstr(line, part))
		fail_msg("\"%s\" is not in: %s", part, line);
}

static void a_text_line_has_everything_in_its_place(void **state)
{
	const char *line = write_line(LOG_FORMAT_TEXT, CLOSE_DONE);
	double total_ms;
	int n = 0;

	(void)state;

	assert_contains(line,
	                " | session rule=web client=10.0.0.1:5000 listener=[::1]:80 "
	                "server=10.0.0.2:8080 in=123 out=5000000000 "
	                "connect_ms=1.500 first_byte_ms=2.250 total_ms=");
	assert_int_equal(sscanf(strstr(line, "total_ms="),
	                        "total_ms=%lf datapath=copy reason=\"done\"%n",
	                        &total_ms, &n),
	                 1);
	assert_true(n > 0);
	assert_true(total_ms >= 10);
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
}

static void what_never_happened_is_a_dash(void **state)
{
	const char *line;

	(void)state;
	session.connected_us = session.first_byte_us = 0;
	memset(&session.server_addr, 0, sizeof(session.server_addr));

	line = write_line(LOG_FORMAT_TEXT, CLOSE_NO_SERVER);
	assert_contains(line, " server=- ");
	assert_contains(line, " connect_ms=- first_byte_ms=- total_ms=");
	assert_contains(line, " reason=\"no server left to try\"\n");
}

static json_object *parse_line(enum close_reason reason)
{
	const char *line = write_line(LOG_FORMAT_JSON, reason);
	struct json_tokener *tokener = json_tokener_new();
	json_object *record;

	json_tokener_set_flags(tokener,
	                       JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
	record = json_tokener_parse_ex(tokener, line, (int)strlen(line));
	assert_true(json_object_is_type(record, json_type_object));
	json_tokener_free(tokener);
	return record;
}

static json_object *member(json_object *record, const char *name)
{
	json_object *value;

	if (!json_object_object_get_ex(record, name, &value))
		fail_msg("there is no %s", name);
	return value;
}

static void assert_member(json_object *record, const char *name, const char *expected)
{
	assert_string_equal(json_object_get_string(member(record, name)), expected);
}

static void a_json_line_has_the_same_names(void **state)
{
	json_object *record = parse_line(CLOSE_DONE);

	(void)state;

	assert_member(record, "event", "session");
	assert_member(record, "rule", "web");
	assert_member(record, "client", "10.0.0.1:5000");
	assert_member(record, "listener", "[::1]:80");
	assert_member(record, "server", "10.0.0.2:8080");
	assert_member(record, "datapath", "copy");
	assert_member(record, "reason", "done");
	assert_true(json_object_get_int64(member(record, "in")) == 123);
	assert_true(json_object_get_int64(member(record, "out")) == 5000000000);
	assert_true(json_object_get_double(member(record, "connect_ms")) == 1.5);
	assert_true(json_object_get_double(member(record, "first_byte_ms")) == 2.25);
	assert_true(json_object_get_double(member(record, "total_ms")) >= 10);
	assert_int_equal(json_object_get_string_len(member(record, "time")), 19);
	json_object_put(record);
}

static void what_never_happened_is_null_in_json(void **state)
{
	json_object *record;

	(void)state;
	session.connected_us = session.first_byte_us = 0;
	memset(&session.server_addr, 0, sizeof(session.server_addr));

	record = parse_line(CLOSE_CLIENT_LEFT);
	assert_null(member(record, "server"));
	assert_null(member(record, "connect_ms"));
	assert_null(member(record, "first_byte_ms"));
	assert_member(record, "reason", "client left while connecting");
	json_object_put(record);
}

static void an_id_of_any_encoding_and_length_makes_a_whole_line(void **state)
{
	static const char *const ids[][2] = {
		{ "\xb9\xe6\xd4\xf2", "????" },
		{ "\"quoted\\\"", "\"quoted\\\"" },
		{ "-", "-" },
	};
	char longest[RULE_ID_MAX + 1];
	json_object *record;

	(void)state;

	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		set_rule(ids[i][0]);
		record = parse_line(CLOSE_DONE);
		assert_member(record, "rule", ids[i][1]);
		json_object_put(record);
		assert_ok(truncate(path, 0));
	}
	memset(longest, '\\', RULE_ID_MAX);
	longest[RULE_ID_MAX] = '\0';
	set_rule(longest);
	record = parse_line(CLOSE_DONE);
	assert_member(record, "rule", longest);
	json_object_put(record);
}

static void a_log_that_is_off_gets_no_line(void **state)
{
	FILE *file;

	(void)state;
	assert_ok(log_start("none", LOG_FORMAT_TEXT, false));
	journal_session(&session, CLOSE_DONE);
	log_stop();
	file = fopen(path, "re");
	assert_int_equal(getc(file), EOF);
	fclose(file);
}

#define JOURNAL_TEST(test) cmocka_unit_test_setup_teardown(test, start, end)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		JOURNAL_TEST(a_text_line_has_everything_in_its_place),
		JOURNAL_TEST(what_never_happened_is_a_dash),
		JOURNAL_TEST(a_json_line_has_the_same_names),
		JOURNAL_TEST(what_never_happened_is_null_in_json),
		JOURNAL_TEST(an_id_of_any_encoding_and_length_makes_a_whole_line),
		JOURNAL_TEST(a_log_that_is_off_gets_no_line),
	};

	return test_run("journal", tests, argc, argv);
}
