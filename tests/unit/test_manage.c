// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * test_manage.c - user/control/manage.c and commands.c: what the management port
 * answers. The program behind it is a configuration and a few switches.
 */
#include "test.h"

#include <errno.h>

#include "base/cleanup.h"
#include "control/manage.h"
#include "control/settings.h"
#include "fakeresolver.h"
#include "rules/config.h"

#define VERSION_START "version v"
#define N_FORWARDS 100000

struct program {
	struct settings settings;
	struct config *config;
	struct commands commands;
	struct manage manage;
	int apply_result, dump_result;
	unsigned int n_dumped, n_cleaned;
	char *said; /* what the client has got and nobody has looked at; owned */
};

static const char rules[] =
        "admin G ( timeout 300 ) 127.0.0.1:* ( maxclients 3 ) - 127.0.0.1:19060 ;\n"
        "web RR *:* - 127.0.0.1:19080 > 127.0.0.1:19091 127.0.0.1:19092 ;\n";

static const struct config *get_config(void *ctx)
{
	const struct program *p = ctx;

	return p->config;
}

static int apply(void *ctx, struct config *config, char reason[COMMANDS_REASON_LEN])
{
	struct program *p = ctx;

	if (p->apply_result < 0) {
		snprintf(reason, COMMANDS_REASON_LEN, "the reason");
		config_free(config);
		return p->apply_result;
	}
	config_publish_versions(config, p->config);
	config_free(p->config);
	p->config = config;
	return 0;
}

static int dump(void *ctx)
{
	struct program *p = ctx;

	p->n_dumped++;
	return p->dump_result;
}

static void clean(void *ctx)
{
	struct program *p = ctx;

	p->n_cleaned++;
}

static bool list_forwards(void *ctx, FILE *out, struct listing *at)
{
	(void)ctx;

	fprintf(out, "%6u : LISTEN\r\n", ++at->n_lines);
	return at->n_lines < N_FORWARDS;
}

static const char *get_no_text(void *ctx)
{
	(void)ctx;

	return "";
}

static const struct commands_ops ops = {
	.get_config = get_config,
	.apply = apply,
	.dump = dump,
	.clean = clean,
	.list_forwards = list_forwards,
	.get_splice_text = get_no_text,
	.get_bypass_text = get_no_text,
	.get_guard_text = get_no_text,
};

static struct fake_resolver fake;
static const struct config_resolver resolver = { .resolve = fake_resolve,
	                                         .ctx = &fake };

static struct config *parse(const char *text)
{
	struct diag_list diags = { 0 };
	struct config *config;

	assert_ok(
	        config_parse(text, strlen(text), 0, NULL, &resolver, &diags, &config));
	diag_list_fini(&diags);
	config_publish_versions(config, NULL);
	return config;
}

static int a_client_of_two_rules(void **state)
{
	struct program *p = calloc(1, sizeof(*p));
	struct addr client;

	assert_non_null(p);
	assert_ok(addr_parse_ip("127.0.0.1", &client));
	p->settings.buffer_size = 4096;
	p->config = parse(rules);
	p->commands = (struct commands){
		.ops = &ops,
		.ctx = p,
		.settings = &p->settings,
		.resolver = &resolver,
	};
	manage_init(&p->manage, &p->commands, &client);
	*state = p;
	return 0;
}

static int gone(void **state)
{
	struct program *p = *state;

	manage_fini(&p->manage);
	config_free(p->config);
	free(p->said);
	free(p);
	return 0;
}

/* Everything there is to say, appended to what was said before. */
static void receive(struct program *p, size_t *len)
{
	size_t n;

	do {
		const char *data;

		assert_ok(manage_run(&p->manage));
		data = manage_output(&p->manage, &n);
		p->said = realloc(p->said, *len + n + 1);
		assert_non_null(p->said);
		if (n > 0)
			memcpy(p->said + *len, data, n);
		*len += n;
		p->said[*len] = '\0';
		manage_sent(&p->manage, n);
	} while (n > 0);
}

/* What comes back for @bytes, sent @at_once bytes at a time; the greeting first. */
static const char *exchange_in_pieces(struct program *p, const char *bytes, size_t len,
                                      size_t at_once)
{
	size_t said_len = 0;

	receive(p, &said_len);
	while (len > 0) {
		size_t n;
		char *to = manage_room(&p->manage, &n);

		if (n == 0)
			break;
		n = n < len ? n : len;
		n = n < at_once ? n : at_once;
		memcpy(to, bytes, n);
		manage_filled(&p->manage, n);
		bytes += n;
		len -= n;
		receive(p, &said_len);
	}
	return p->said;
}

static const char *exchange(struct program *p, const char *text)
{
	return exchange_in_pieces(p, text, strlen(text), SIZE_MAX);
}

/* The answer to one line, without the greeting. */
static const char *answer(struct program *p, const char *line)
{
	auto_free char *text = NULL;

	exchange(p, ""); /* so that the greeting is out */
	assert_true(asprintf(&text, "%s\r\n", line) > 0);
	return exchange(p, text);
}

#define assert_starts_with(text, start) assert_memory_equal(text, start, strlen(start))

static void a_client_is_greeted_by_a_prompt(void **state)
{
	assert_string_equal(exchange(*state, ""), "> ");
}

static void lines_that_come_at_once_are_all_executed_in_order(void **state)
{
	assert_string_equal(exchange(*state, "a\r\nb\n\nc\r\nd"),
	                    "> command invalid [a]\r\n> command invalid [b]\r\n> "
	                    "> command invalid [c]\r\n> ");
}

static void a_line_may_come_byte_by_byte(void **state)
{
	static const char text[] = "list  nothing\r\nx\r\n";

	assert_string_equal(exchange_in_pieces(*state, text, strlen(text), 1),
	                    "> command invalid [list  nothing]\r\n> "
	                    "command invalid [x]\r\n> ");
}

static void an_empty_line_is_answered_by_the_prompt_alone(void **state)
{
	assert_string_equal(answer(*state, ""), "> ");
}

static void a_line_of_blanks_is_invalid(void **state)
{
	assert_string_equal(answer(*state, "   "), "command invalid [   ]\r\n> ");
}

static void a_comment_is_not_part_of_a_command(void **state)
{
	assert_string_equal(answer(*state, "# ver"), "command invalid []\r\n> ");
	assert_starts_with(answer(*state, "ver#c"), VERSION_START);
}

static void commands_are_case_sensitive_and_whole_words(void **state)
{
	assert_string_equal(answer(*state, "VER"), "command invalid [VER]\r\n> ");
	assert_string_equal(answer(*state, "list"), "command invalid [list]\r\n> ");
	assert_string_equal(answer(*state, "dump rule"),
	                    "command invalid [dump rule]\r\n> ");
	assert_starts_with(answer(*state, " \tver  more words"), VERSION_START);
}

static void a_nul_byte_makes_its_line_invalid(void **state)
{
	static const char text[] = "ver\0x\r\nver\r\n";

	assert_starts_with(exchange_in_pieces(*state, text, sizeof(text) - 1, SIZE_MAX),
	                   "> command invalid [ver?x]\r\n> version v");
}

static void an_answer_has_no_line_ends_of_the_clients(void **state)
{
	assert_string_equal(answer(*state, "a\rb\x1b[31m"),
	                    "command invalid [a?b?[31m]\r\n> ");
}

static void telnet_negotiation_before_a_line_is_ignored(void **state)
{
	static const char text[] =
	        "\xff\xfd\x03\xff\xfa\x1f\0\x50\xff\xf0\xff\xf1ver\r\n";

	assert_starts_with(exchange_in_pieces(*state, text, sizeof(text) - 1, SIZE_MAX),
	                   "> version v");
}

static void a_line_may_have_4095_bytes(void **state)
{
	char line[MANAGE_LINE_MAX + 1];
	struct program *p = *state;

	memset(line, 'x', sizeof(line));
	line[MANAGE_LINE_MAX - 1] = '\n';
	exchange_in_pieces(p, line, MANAGE_LINE_MAX, SIZE_MAX);
	assert_int_equal(strlen(p->said),
	                 strlen("> command invalid []\r\n> ") + MANAGE_LINE_MAX - 1);
	assert_false(p->manage.is_ended);
}

static void a_longer_line_ends_the_session_after_the_lines_before_it(void **state)
{
	char text[3 + MANAGE_LINE_MAX + 1];
	struct program *p = *state;

	memset(text, 'x', sizeof(text));
	memcpy(text, "a\r\n", 3);
	text[sizeof(text) - 1] = '\n';
	assert_string_equal(exchange_in_pieces(p, text, sizeof(text), SIZE_MAX),
	                    "> command invalid [a]\r\n> ");
	assert_true(p->manage.is_ended);
}

static void quit_ends_the_session_without_a_word(void **state)
{
	struct program *p = *state;

	assert_string_equal(exchange(p, "quit now\r\nver\r\n"), "> ");
	assert_true(p->manage.is_ended);
}

static void help_has_the_eight_lines_of_g5(void **state)
{
	assert_string_equal(answer(*state, "?"),
	                    "ver\r\nlist rules (also: list guard)\r\n"
	                    "add rule ... (also: block IP/BITS [SECONDS])\r\n"
	                    "modify rule ...\r\n"
	                    "remove rule ... (also: unblock IP/BITS)\r\n"
	                    "dump rule (spelt: dump rules)\r\n"
	                    "list forwards (also: clean forwards)\r\nquit\r\n> ");
}

static void ver_has_the_fields_of_g5(void **state)
{
	struct program *p = *state;
	char month[4], rest[32];
	int day, year;

	p->settings.max_rules = 7;
	assert_int_equal(sscanf(answer(p, "ver"),
	                        "version v%*d.%*d.%*d build %3s %d %d %*d:%*d:%*d %31s",
	                        month, &day, &year, rest),
	                 4);
	assert_string_equal(rest, "7:0:4096,0:0:0,64");
}

static void list_rules_counts_the_clients_of_a_limit(void **state)
{
	assert_string_equal(
	        answer(*state, "list rules"),
	        "     1 : admin G ( timeout 300 ) 127.0.0.1:* ( conntions[0/3] )"
	        " - 127.0.0.1:19060 ;\r\n"
	        "     2 : web RR *:* - 127.0.0.1:19080 > 127.0.0.1:19091"
	        " 127.0.0.1:19092 ;\r\n> ");
}

static void an_added_rule_is_the_last(void **state)
{
	struct program *p = *state;

	assert_string_equal(
	        answer(p, "add rule w\tMS *:* - 127.0.0.1:1 > 127.0.0.1:2 ;"),
	        "add forward rule ok\r\n> ");
	assert_int_equal(p->config->n_rules, 3);
	assert_string_equal(p->config->rules[2]->id, "w");
}

static void adding_an_id_twice_is_failure_2(void **state)
{
	assert_string_equal(
	        answer(*state, "add rule web MS *:* - 127.0.0.1:1 > 127.0.0.1:2 ;"),
	        "add forward rule failed[-2]\r\n> ");
}

static void adding_to_a_full_table_is_failure_1(void **state)
{
	struct program *p = *state;

	p->settings.max_rules = 2;
	assert_string_equal(
	        answer(p, "add rule w MS *:* - 127.0.0.1:1 > 127.0.0.1:2 ;"),
	        "add forward rule failed[-1]\r\n> ");
}

static void what_cannot_be_listened_on_is_3_for_add_and_2_for_modify(void **state)
{
	struct program *p = *state;

	p->apply_result = -EADDRINUSE;
	assert_string_equal(
	        answer(p, "add rule w MS *:* - 127.0.0.1:1 > 127.0.0.1:2 ;"),
	        "add forward rule failed[-3] the reason\r\n> ");
	assert_string_equal(
	        answer(p, "modify rule web MS *:* - 127.0.0.1:1 > 127.0.0.1:2 ;"),
	        "modify forward rule failed[-2] the reason\r\n> ");
	assert_int_equal(p->config->n_rules, 2);
	assert_int_equal(p->config->rules[1]->mode, RULE_MODE_RR);
}

static void a_bad_rule_is_answered_with_its_code_and_column(void **state)
{
	assert_starts_with(
	        answer(*state, "add rule w RR 10.0.0.1 - 127.0.0.1:1 > 127.0.0.1:2 ;"),
	        "parse forward rule failed[-32] column 15: ");
	assert_starts_with(answer(*state, "modify  rule web LB"),
	                   "parse forward rule failed[-23] column 18: ");
}

static void a_rule_command_without_an_id_fails_and_changes_nothing(void **state)
{
	struct program *p = *state;

	assert_starts_with(answer(p, "add rule"), "parse forward rule failed[-21] ");
	assert_starts_with(answer(p, "modify rule #w"),
	                   "parse forward rule failed[-21] ");
	answer(p, "ver x web");
	assert_string_equal(answer(p, "remove rule"),
	                    "remove forward rule failed[-2] no rule id\r\n> ");
	assert_int_equal(p->config->n_rules, 2);
}

/* A dump of it would be read as a global block. */
static void no_rule_has_the_id_of_a_global_block(void **state)
{
	struct program *p = *state;

	assert_starts_with(answer(p, "add rule ( RR *:* - 127.0.0.1:1 > 127.0.0.1:2 ;"),
	                   "parse forward rule failed[-1] column 10: a rule cannot "
	                   "have the id \"(\"");
	assert_starts_with(answer(p, "modify rule ( G *:* - 127.0.0.1:1 ;"),
	                   "parse forward rule failed[-1] column 13: a rule cannot "
	                   "have the id \"(\"");
	assert_starts_with(answer(p, "add rule ( maxsessions_per_ip 3 )"),
	                   "parse forward rule failed[-22] column 10: ");
	assert_int_equal(p->config->n_rules, 2);
}

static void a_modified_rule_keeps_its_place(void **state)
{
	struct program *p = *state;

	assert_string_equal(
	        answer(p, "modify rule admin MS *:* - 127.0.0.1:1 > 127.0.0.1:2 ;"),
	        "modify forward rule ok\r\n> ");
	assert_string_equal(p->config->rules[0]->id, "admin");
	assert_int_equal(p->config->rules[0]->mode, RULE_MODE_MS);
}

static void modifying_an_unknown_rule_is_failure_1(void **state)
{
	assert_string_equal(
	        answer(*state, "modify rule w MS *:* - 127.0.0.1:1 > 127.0.0.1:2 ;"),
	        "modify forward rule failed[-1]\r\n> ");
}

static void removing_twice_is_failure_2_and_from_nothing_1(void **state)
{
	struct program *p = *state;

	assert_string_equal(answer(p, "remove rule web"),
	                    "remove forward rule ok\r\n> ");
	assert_string_equal(answer(p, "remove rule web"),
	                    "remove forward rule failed[-2]\r\n> ");
	answer(p, "remove rule admin");
	assert_string_equal(answer(p, "remove rule web"),
	                    "remove forward rule failed[-1]\r\n> ");
}

static void dump_rules_says_why_it_failed(void **state)
{
	struct program *p = *state;

	assert_string_equal(answer(p, "dump rules"), "dump all forward rules ok\r\n> ");
	p->dump_result = -EACCES;
	assert_string_equal(
	        answer(p, "dump rules"),
	        "can't open config file for writing: Permission denied\r\n> ");
	assert_int_equal(p->n_dumped, 2);
}

static void clean_forwards_cleans(void **state)
{
	struct program *p = *state;

	assert_string_equal(answer(p, "clean forwards"), "clean forwards ok\r\n> ");
	assert_int_equal(p->n_cleaned, 1);
}

static void a_long_list_arrives_whole(void **state)
{
	struct program *p = *state;
	const char *said = answer(p, "list forwards");
	size_t line_len = strlen("     1 : LISTEN\r\n");

	assert_int_equal(strlen(said), N_FORWARDS * line_len + strlen("> "));
	assert_string_equal(said + (N_FORWARDS - 1) * line_len,
	                    "100000 : LISTEN\r\n> ");
}

static void while_answers_wait_no_more_is_executed(void **state)
{
	struct program *p = *state;
	size_t n_waiting, room;

	exchange(p, "");
	memcpy(manage_room(&p->manage, &room), "list forwards\nadd rule\n", 23);
	manage_filled(&p->manage, 23);
	assert_ok(manage_run(&p->manage));
	assert_ok(manage_run(&p->manage));
	manage_output(&p->manage, &n_waiting);
	assert_in_range(n_waiting, MANAGE_PAUSE, MANAGE_PAUSE + 4096);
	assert_false(manage_has_work(&p->manage));

	manage_sent(&p->manage, 4096 + 1);
	assert_true(manage_has_work(&p->manage));
}

static void an_answer_is_appended_to_what_still_waits(void **state)
{
	struct program *p = *state;
	size_t len, room;

	exchange(p, "");
	memcpy(manage_room(&p->manage, &room), "a\nb\n", 4);
	manage_filled(&p->manage, 2);
	assert_ok(manage_run(&p->manage));
	manage_sent(&p->manage, strlen("command "));
	manage_filled(&p->manage, 2);
	assert_ok(manage_run(&p->manage));
	assert_memory_equal(manage_output(&p->manage, &len),
	                    "invalid [a]\r\n> command invalid [b]\r\n> ", 38);
	assert_int_equal(len, 38);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_client_is_greeted_by_a_prompt,
		                                a_client_of_two_rules, gone),
		cmocka_unit_test_setup_teardown(
		        lines_that_come_at_once_are_all_executed_in_order,
		        a_client_of_two_rules, gone),
		cmocka_unit_test_setup_teardown(a_line_may_come_byte_by_byte,
		                                a_client_of_two_rules, gone),
		cmocka_unit_test_setup_teardown(
		        an_empty_line_is_answered_by_the_prompt_alone,
		        a_client_of_two_rules, gone),
		cmocka_unit_test_setup_teardown(a_line_of_blanks_is_invalid,
		                                a_client_of_two_rules, gone),
		cmocka_unit_test_setup_teardown(a_comment_is_not_part_of_a_command,
		                                a_client_of_two_rules, gone),
		cmocka_unit_test_setup_teardown(
		        commands_are_case_sensitive_and_whole_words,
		        a_client_of_two_rules, gone),
		cmocka_unit_test_setup_teardown(a_nul_byte_makes_its_line_invalid,
		                                a_client_of_two_rules, gone),
		cmocka_unit_test_setup_teardown(
		        an_answer_has_no_line_ends_of_the_clients,
		        a_client_of_two_rules, gone),
		cmocka_unit_test_setup_teardown(
		        telnet_negotiation_before_a_line_is_ignored,
		        a_client_of_two_rules, gone),
		cmocka_unit_test_setup_teardown(a_line_may_have_4095_bytes,
		                                a_client_of_two_rules, gone),
		cmocka_unit_test_setup_teardown(
		        a_longer_line_ends_the_session_after_the_lines_before_it,
		        a_client_of_two_rules, gone),
		cmocka_unit_test_setup_teardown(quit_ends_the_session_without_a_word,
		                                a_client_of_two_rules, gone),
		cmocka_unit_test_setup_teardown(help_has_the_eight_lines_of_g5,
		                                a_client_of_two_rules, gone),
		cmocka_unit_test_setup_teardown(ver_has_the_fields_of_g5,
		                                a_client_of_two_rules, gone),
		cmocka_unit_test_setup_teardown(
		        list_rules_counts_the_clients_of_a_limit, a_client_of_two_rules,
		        gone),
		cmocka_unit_test_setup_teardown(an_added_rule_is_the_last,
		                                a_client_of_two_rules, gone),
		cmocka_unit_test_setup_teardown(adding_an_id_twice_is_failure_2,
		                                a_client_of_two_rules, gone),
		cmocka_unit_test_setup_teardown(adding_to_a_full_table_is_failure_1,
		                                a_client_of_two_rules, gone),
		cmocka_unit_test_setup_teardown(
		        what_cannot_be_listened_on_is_3_for_add_and_2_for_modify,
		        a_client_of_two_rules, gone),
		cmocka_unit_test_setup_teardown(
		        a_bad_rule_is_answered_with_its_code_and_column,
		        a_client_of_two_rules, gone),
		cmocka_unit_test_setup_teardown(
		        a_rule_command_without_an_id_fails_and_changes_nothing,
		        a_client_of_two_rules, gone),
		cmocka_unit_test_setup_teardown(no_rule_has_the_id_of_a_global_block,
		                                a_client_of_two_rules, gone),
		cmocka_unit_test_setup_teardown(a_modified_rule_keeps_its_place,
		                                a_client_of_two_rules, gone),
		cmocka_unit_test_setup_teardown(modifying_an_unknown_rule_is_failure_1,
		                                a_client_of_two_rules, gone),
		cmocka_unit_test_setup_teardown(
		        removing_twice_is_failure_2_and_from_nothing_1,
		        a_client_of_two_rules, gone),
		cmocka_unit_test_setup_teardown(dump_rules_says_why_it_failed,
		                                a_client_of_two_rules, gone),
		cmocka_unit_test_setup_teardown(clean_forwards_cleans,
		                                a_client_of_two_rules, gone),
		cmocka_unit_test_setup_teardown(a_long_list_arrives_whole,
		                                a_client_of_two_rules, gone),
		cmocka_unit_test_setup_teardown(while_answers_wait_no_more_is_executed,
		                                a_client_of_two_rules, gone),
		cmocka_unit_test_setup_teardown(
		        an_answer_is_appended_to_what_still_waits,
		        a_client_of_two_rules, gone),
	};

	return test_run("manage", tests, argc, argv);
}
