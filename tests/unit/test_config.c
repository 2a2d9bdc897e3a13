// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * test_config.c - user/rules/config.c, edit.c, rule.c: configurations from text and
 * from one another. What single rules mean is in tests/conformance.
 */
#include "test.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "fakeresolver.h"
#include "rules/config.h"
#include "rules/format.h"
#include "samerules.h"

#define A "a RR *:* - 127.0.0.1:80 > 127.0.0.1:81 127.0.0.1:82 ;"
#define B "b MS *:* - 127.0.0.1:90 > 127.0.0.1:91 ;"

static struct fake_resolver fake;
static const struct config_resolver resolver = { .resolve = fake_resolve,
	                                         .ctx = &fake };
static struct diag_list diags;

/* Every test starts with no message, and a resolver that works. */
static int nothing_reported(void **state)
{
	(void)state;
	fake = (struct fake_resolver){ .is_down = false };
	return 0;
}

static int no_state_is_left(void **state)
{
	(void)state;
	diag_list_fini(&diags);
	assert_int_equal(state_count(STATE_RULE), 0);
	assert_int_equal(state_count(STATE_SERVER), 0);
	assert_int_equal(state_count(STATE_CLIENT), 0);
	return 0;
}

static struct config *parse_after(const char *text, const struct config *old)
{
	struct config *c = NULL;

	if (config_parse(text, strlen(text), 0, old, &resolver, &diags, &c) < 0)
		fail_msg("%s", diag_first_error(&diags)->message);
	return c;
}

static struct config *parse(const char *text)
{
	return parse_after(text, NULL);
}

static int add(const struct config *old, const char *line, size_t max,
               struct config **ret)
{
	return config_add_rule(old, line, strlen(line), max, &resolver, &diags, ret);
}

static int modify(const struct config *old, const char *line, struct config **ret)
{
	return config_modify_rule(old, line, strlen(line), &resolver, &diags, ret);
}

static void assert_dump(const struct config *c, const char *expected)
{
	auto_free char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	format_config(out, c);
	fclose(out);
	assert_string_equal(text, expected);
}

static uint32_t version(const struct config *c, const char *id)
{
	const struct rule *rule = config_find_rule(c, id);

	assert_non_null(rule);
	return rule->version;
}

static void what_is_not_said_has_its_default(void **state)
{
	struct config *c = parse(A);
	const struct rule *a = config_find_rule(c, "a");

	(void)state;
	assert_int_equal(a->mode, RULE_MODE_RR);
	assert_int_equal(a->timeout_s, 0);
	assert_int_equal(a->connect_timeout_s, RULE_CONNECT_TIMEOUT_S);
	assert_int_equal(a->fin_timeout_s, RULE_FIN_TIMEOUT_S);
	assert_int_equal(a->moratorium_s, 0);
	assert_int_equal(a->datapath, DATAPATH_AUTO);
	assert_int_equal(a->splice_limit, 1048576);
	assert_int_equal(a->clients[0].maxclients, 0);
	assert_int_equal(a->servers[0].weight, 1);
	assert_int_equal(a->servers[0].maxconns, 0);
	assert_int_equal(c->maxsessions_per_ip, 0);
	assert_int_equal(c->workers, 0);
	assert_null(c->log_target);
	assert_int_equal(c->log_format, LOG_FORMAT_TEXT);
	assert_int_equal(c->grace_s, CONFIG_GRACE_S);
	assert_false(c->has_workers || c->has_log || c->has_log_format || c->has_grace);
	config_free(c);
}

static void every_attribute_reaches_its_member(void **state)
{
	struct config *c = parse(
	        "( maxsessions_per_ip 1 workers 2 log f.log log_format json grace 3 )\n"
	        "r LC ( timeout 4 connect_timeout 5 fin_timeout 6 moratorium 7 "
	        "datapath splice splice_limit 65536 ) *:* ( maxclients 8 ) - "
	        "127.0.0.1:80 > 127.0.0.1:81 ( weight 9 maxconns 10 ) ;");
	const struct rule *r = config_find_rule(c, "r");

	(void)state;
	assert_int_equal(c->maxsessions_per_ip, 1);
	assert_int_equal(c->workers, 2);
	assert_string_equal(c->log_target, "f.log");
	assert_int_equal(c->log_format, LOG_FORMAT_JSON);
	assert_int_equal(c->grace_s, 3);
	assert_true(c->has_workers && c->has_log && c->has_log_format && c->has_grace);
	assert_int_equal(r->timeout_s, 4);
	assert_int_equal(r->connect_timeout_s, 5);
	assert_int_equal(r->fin_timeout_s, 6);
	assert_int_equal(r->moratorium_s, 7);
	assert_int_equal(r->datapath, DATAPATH_SPLICE);
	assert_int_equal(r->splice_limit, 65536);
	assert_int_equal(r->clients[0].maxclients, 8);
	assert_int_equal(r->servers[0].weight, 9);
	assert_int_equal(r->servers[0].maxconns, 10);
	assert_int_equal(r->weight_sum, 9);
	assert_int_equal(r->n_schedule, 1);
	config_free(c);
}

static void addresses_are_kept_as_text_and_as_addresses(void **state)
{
	struct config *c = parse("r RR *:* - 127.1:080 [::]:81 127.0.0.1:* > "
	                         "[::1]:91 seven.test:92 six.example:93 ;");
	const struct rule *r = config_find_rule(c, "r");
	char text[ADDR_TEXT_LEN];

	(void)state;
	assert_string_equal(r->forwards[0].text, "127.1:080");
	assert_string_equal(addr_format(&r->forwards[0].addr, text), "127.0.0.1:80");
	assert_true(pattern_matches(&r->forwards[0].pattern, &r->forwards[0].addr));
	assert_false(r->forwards[0].is_pattern);
	assert_string_equal(addr_format(&r->forwards[1].addr, text), "[::]:81");
	assert_false(r->forwards[1].is_pattern);
	assert_true(r->forwards[2].is_pattern);
	assert_true(pattern_matches(&r->forwards[2].pattern, &r->forwards[0].addr));
	assert_string_equal(addr_format(&r->servers[0].addr, text), "[::1]:91");
	assert_string_equal(r->servers[1].text, "seven.test:92");
	assert_string_equal(addr_format(&r->servers[1].addr, text), "127.0.0.10:92");
	assert_string_equal(addr_format(&r->servers[2].addr, text), "[::6]:93");
	assert_int_equal(fake.n_calls, 2);
	config_free(c);
}

static void equal_servers_and_clients_of_a_rule_have_states_of_their_own(void **state)
{
	struct config *c = parse("r RR *:* *:* - 127.0.0.1:80 > 127.0.0.1:81 "
	                         "127.0.0.1:82 127.0.0.1:81 ;");
	const struct rule *r = config_find_rule(c, "r");

	(void)state;
	assert_ptr_not_equal(r->clients[0].state, r->clients[1].state);
	assert_ptr_not_equal(r->servers[0].state, r->servers[1].state);
	assert_ptr_not_equal(r->servers[0].state, r->servers[2].state);
	config_free(c);
}

static void states_survive_a_reload_by_name(void **state)
{
	struct config *old = parse(A), *c;
	const struct rule *before = config_find_rule(old, "a"), *after;

	(void)state;
	before->servers[1].state->n_total = 7;
	c = parse_after("a LC *:* - 127.0.0.1:80 > 127.0.0.1:82 ;", old);
	after = config_find_rule(c, "a");
	assert_ptr_equal(after->state, before->state);
	assert_ptr_equal(after->clients[0].state, before->clients[0].state);
	assert_ptr_equal(after->servers[0].state, before->servers[1].state);
	config_free(old);
	assert_int_equal(after->servers[0].state->n_total, 7);
	config_free(c);
}

static void a_bad_file_leaves_no_configuration_and_no_state(void **state)
{
	static const char text[] = A "\nb XX\n" B "\n";
	struct config *c = NULL;

	(void)state;
	assert_int_equal(
	        config_parse(text, strlen(text), 0, NULL, &resolver, &diags, &c),
	        -EINVAL);
	assert_null(c);
	assert_int_equal(diags.n_errors, 1);
	assert_int_equal(state_count(STATE_RULE), 0);
}

static void the_first_rule_over_the_maximum_is_named(void **state)
{
	static const char text[] = A "\n\n" B "\n"
	                             "c MS *:* - 127.0.0.1:90 > 127.0.0.1:91 ;\n"
	                             "d MS *:* - 127.0.0.1:90 > 127.0.0.1:91 ;\n";
	struct config *c = NULL;

	(void)state;
	assert_ok(config_parse(text, strlen(text), 4, NULL, &resolver, &diags, &c));
	config_free(c);
	assert_int_equal(
	        config_parse(text, strlen(text), 2, NULL, &resolver, &diags, &c),
	        -EINVAL);
	assert_int_equal(diags.n_items, 1);
	assert_int_equal(diags.items[0].line, 4);
	assert_int_equal(diags.items[0].column, 1);
	assert_non_null(strstr(diags.items[0].message, "too many forward rule"));
}

static void fifty_thousand_rules_are_no_trouble(void **state)
{
	enum { N = 50000 };
	auto_free char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	struct config *c, *again;

	(void)state;
	for (int i = 0; i < N; i++)
		fprintf(out, "rule%d RR *:* - 127.0.0.1:80 > 127.0.0.1:81 ;\n", i);
	fclose(out);
	c = parse(text);
	assert_int_equal(c->n_rules, N);
	again = parse_after(text, c);
	assert_int_equal(again->rules[N - 1]->version, c->rules[N - 1]->version);
	config_free(c);
	config_free(again);
}

static void a_rule_that_did_not_change_keeps_its_version(void **state)
{
	struct config *old = parse(A "\n" B "\n"), *c;

	(void)state;
	c = parse_after("# moved, and spaced out\n\n" B "\n"
	                "a  RR ( timeout 0 ) *:* -\t127.0.0.1:80 > 127.0.0.1:81 "
	                "127.0.0.1:82 ( weight 1 ) ; # same\n",
	                old);
	assert_int_equal(version(c, "a"), version(old, "a"));
	assert_int_equal(version(c, "b"), version(old, "b"));
	assert_int_not_equal(version(c, "a"), version(c, "b"));
	config_free(old);
	config_free(c);
}

static void a_rule_that_changed_gets_a_version_that_none_had(void **state)
{
	struct config *old = parse(A "\n" B "\n"), *c;

	(void)state;
	c = parse_after(A "\nb MS ( timeout 1 ) *:* - 127.0.0.1:90 > 127.0.0.1:91 ;",
	                old);
	assert_int_equal(version(c, "a"), version(old, "a"));
	assert_true(version(c, "b") > version(old, "a"));
	assert_true(version(c, "b") > version(old, "b"));
	config_free(old);
	config_free(c);
}

static int resolve_to_another(void *ctx, const char *host, uint16_t port,
                              struct addr *ret_addr, const char **ret_reason)
{
	int r = fake_resolve(ctx, host, port, ret_addr, ret_reason);

	ret_addr->in4.sin_addr.s_addr ^= htonl(64);
	return r;
}

static void a_name_that_moved_makes_another_version(void **state)
{
	static const char text[] = "r RR *:* - 127.0.0.1:80 > one.test:81 ;";
	const struct config_resolver moved = { .resolve = resolve_to_another,
		                               .ctx = &fake };
	struct config *old = parse(text), *same = parse_after(text, old), *c = NULL;

	(void)state;
	assert_ok(config_parse(text, strlen(text), 0, old, &moved, &diags, &c));
	assert_int_equal(version(same, "r"), version(old, "r"));
	assert_int_not_equal(version(c, "r"), version(old, "r"));
	config_free(old);
	config_free(same);
	config_free(c);
}

static void a_name_that_no_longer_resolves_keeps_its_address(void **state)
{
	static const char text[] = "r RR *:* - 127.0.0.1:80 > one.test:81 ;";
	struct config *old = parse(text), *c;

	(void)state;
	fake.is_down = true;
	c = parse_after("# again\nr RR *:* - 127.0.0.1:80 > one.test:81 ;", old);
	assert_true(addr_equal(&c->rules[0]->servers[0].addr,
	                       &old->rules[0]->servers[0].addr));
	assert_int_equal(version(c, "r"), version(old, "r"));
	assert_int_equal(diags.n_items, 1);
	assert_int_equal(diags.items[0].severity, DIAG_WARNING);
	assert_non_null(strstr(diags.items[0].message, "it keeps 127.0.0.8:81"));
	config_free(old);
	config_free(c);
}

static void a_new_name_that_does_not_resolve_is_an_error_also_in_a_reload(void **state)
{
	static const char text[] = "r RR *:* - 127.0.0.1:80 > one.test:82 ;";
	struct config *old = parse("r RR *:* - 127.0.0.1:80 > one.test:81 ;"),
	              *c = NULL;

	(void)state;
	fake.is_down = true;
	assert_int_equal(
	        config_parse(text, strlen(text), 0, old, &resolver, &diags, &c),
	        -EINVAL);
	assert_int_equal(diags.items[0].code, DIAG_BAD_SERVER);
	config_free(old);
}

static void an_added_rule_goes_to_the_end_and_the_others_are_shared(void **state)
{
	struct config *old = parse("# top\n" A " # first\n\n# end\n"), *c = NULL;

	(void)state;
	assert_ok(add(old, B " junk", 2, &c));
	assert_ptr_equal(c->rules[0], old->rules[0]);
	assert_int_equal(old->n_rules, 1);
	assert_dump(old, "# top\r\n" A " # first\r\n\r\n# end\r\n");
	assert_dump(c, "# top\r\n" A " # first\r\n\r\n# end\r\n" B "\r\n");
	config_free(old);
	assert_string_equal(config_find_rule(c, "a")->id, "a");
	config_free(c);
}

static void an_added_rule_needs_a_free_id_and_room(void **state)
{
	struct config *old = parse(A "\n"), *c = NULL;

	(void)state;
	assert_int_equal(add(old, A, 2, &c), -EEXIST);
	assert_int_equal(add(old, B, 1, &c), -ENOSPC);
	assert_null(c);
	assert_int_equal(diags.n_items, 0);
	assert_ok(add(old, B, 0, &c));
	config_free(c);
	config_free(old);
}

static void assert_add_fails(const char *line, enum diag_code code)
{
	struct config *old = parse(A "\n"), *c = NULL;

	assert_int_equal(add(old, line, 0, &c), -EINVAL);
	assert_null(c);
	assert_int_equal(diags.n_errors, 1);
	assert_int_equal(diag_first_error(&diags)->code, code);
	diag_list_fini(&diags);
	config_free(old);
}

static void a_bad_command_is_answered_with_the_code_of_its_mistake(void **state)
{
	(void)state;
	assert_add_fails("", DIAG_NO_MODE);
	assert_add_fails("   # nothing", DIAG_NO_MODE);
	assert_add_fails("c", DIAG_NO_MODE);
	assert_add_fails("c XX", DIAG_UNKNOWN_MODE);
	assert_add_fails("c RR", DIAG_NO_CLIENT);
	assert_add_fails("( maxsessions_per_ip 3 )", DIAG_MODE_TOO_LONG);
	assert_add_fails("c RR *:* - 127.0.0.1:80 > 127.0.0.1:81", DIAG_NO_SERVER);
	assert_add_fails(
	        "12345678901234567890123456789012345678901234567890123456789012345"
	        " RR *:* - 127.0.0.1:80 > 127.0.0.1:81 ;",
	        DIAG_ID_TOO_LONG);
}

static void a_nul_byte_in_a_command_is_an_error(void **state)
{
	static const char line[] = "c RR *:* - 127.0.0.1:80 > 127.0.0.1:81\0 ;";
	struct config *old = parse(A), *c = NULL;

	(void)state;
	assert_int_equal(
	        config_add_rule(old, line, sizeof(line) - 1, 0, &resolver, &diags, &c),
	        -EINVAL);
	config_free(old);
}

static void a_modified_rule_keeps_its_place_and_comment(void **state)
{
	struct config *old = parse(A " # first\n" B "\n"), *c = NULL;

	(void)state;
	assert_ok(modify(old, "a G *:* - 127.0.0.1:99 ;", &c));
	assert_dump(c, "a G *:* - 127.0.0.1:99 ; # first\r\n" B "\r\n");
	assert_dump(old, A " # first\r\n" B "\r\n");
	assert_ptr_equal(c->rules[1], old->rules[1]);
	assert_true(version(c, "a") > version(old, "b"));
	config_free(old);
	config_free(c);
}

static void a_modified_rule_may_bring_its_own_comment(void **state)
{
	struct config *old = parse(A " # first\n"), *c = NULL;

	(void)state;
	assert_ok(modify(old, A " # better", &c));
	assert_dump(c, A " # better\r\n");
	assert_int_equal(version(c, "a"), version(old, "a"));
	config_free(old);
	config_free(c);
}

static void a_removed_rule_takes_its_line_along(void **state)
{
	struct config *old = parse("# top\n" A " # first\n" B "\n# end\n"), *c = NULL;

	(void)state;
	assert_ok(config_remove_rule(old, "a", &c));
	assert_int_equal(c->n_rules, 1);
	assert_null(config_find_rule(c, "a"));
	assert_dump(c, "# top\r\n" B "\r\n# end\r\n");
	assert_dump(old, "# top\r\n" A " # first\r\n" B "\r\n# end\r\n");
	config_free(old);
	config_free(c);
}

static void what_is_not_there_cannot_be_modified_or_removed(void **state)
{
	struct config *old = parse(A "\n"), *c = NULL;

	(void)state;
	assert_int_equal(modify(old, B, &c), -ENOENT);
	assert_int_equal(config_remove_rule(old, "b", &c), -ENOENT);
	assert_int_equal(config_remove_rule(old, "", &c), -ENOENT);
	assert_null(c);
	config_free(old);
}

static void global_attributes_survive_commands(void **state)
{
	struct config *old = parse("( maxsessions_per_ip 3 log x.log )\n" A "\n");
	struct config *c = NULL;

	(void)state;
	assert_ok(config_remove_rule(old, "a", &c));
	config_free(old);
	assert_dump(c, "( maxsessions_per_ip 3 log x.log )\r\n");
	config_free(c);
}

static void publishing_makes_versions_current(void **state)
{
	struct config *old = parse(A "\n" B "\n"), *c = NULL;
	const struct rule *a = config_find_rule(old, "a");
	const struct rule *b = config_find_rule(old, "b");

	(void)state;
	config_publish_versions(old, NULL);
	assert_int_equal(a->state->version, a->version);
	assert_int_equal(b->state->version, b->version);

	assert_ok(modify(old, "a G *:* - 127.0.0.1:99 ;", &c));
	assert_int_equal(a->state->version, a->version);
	config_publish_versions(c, old);
	assert_int_equal(a->state->version, version(c, "a"));
	assert_int_not_equal(a->state->version, a->version);
	assert_int_equal(b->state->version, b->version);
	config_free(old);
	config_free(c);
}

static void a_vanished_rule_has_a_version_that_no_rule_has(void **state)
{
	struct config *old = parse(A "\n" B "\n"), *c = NULL, *again;
	const struct rule *a = config_find_rule(old, "a");
	uint32_t vanished;

	(void)state;
	config_publish_versions(old, NULL);
	assert_ok(config_remove_rule(old, "a", &c));
	config_publish_versions(c, old);
	vanished = a->state->version;
	assert_int_not_equal(vanished, a->version);
	assert_int_not_equal(vanished, version(c, "b"));

	again = parse_after(A "\n" B "\n", c);
	assert_int_not_equal(version(again, "a"), vanished);
	assert_int_not_equal(version(again, "a"), a->version);
	config_publish_versions(again, c);
	assert_int_equal(a->state->version, version(again, "a"));
	config_free(again);
	config_free(c);
	config_free(old);
}

static void modes_have_names_in_capital_letters(void **state)
{
	(void)state;
	for (int mode = 0; mode < RULE_MODE_N; mode++) {
		const char *name = rule_mode_name((enum rule_mode)mode);

		assert_int_equal(rule_mode_from_name(name, strlen(name)), mode);
	}
	assert_int_equal(rule_mode_from_name("RR", 2), RULE_MODE_RR);
	assert_int_equal(rule_mode_from_name("RRx", 2), RULE_MODE_RR);
	assert_int_equal(rule_mode_from_name("rr", 2), -1);
	assert_int_equal(rule_mode_from_name("R", 1), -1);
	assert_int_equal(rule_mode_from_name("", 0), -1);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_not_said_has_its_default,
		                                nothing_reported, no_state_is_left),
		cmocka_unit_test_setup_teardown(every_attribute_reaches_its_member,
		                                nothing_reported, no_state_is_left),
		cmocka_unit_test_setup_teardown(
		        addresses_are_kept_as_text_and_as_addresses, nothing_reported,
		        no_state_is_left),
		cmocka_unit_test_setup_teardown(
		        equal_servers_and_clients_of_a_rule_have_states_of_their_own,
		        nothing_reported, no_state_is_left),
		cmocka_unit_test_setup_teardown(states_survive_a_reload_by_name,
		                                nothing_reported, no_state_is_left),
		cmocka_unit_test_setup_teardown(
		        a_bad_file_leaves_no_configuration_and_no_state,
		        nothing_reported, no_state_is_left),
		cmocka_unit_test_setup_teardown(
		        the_first_rule_over_the_maximum_is_named, nothing_reported,
		        no_state_is_left),
		cmocka_unit_test_setup_teardown(fifty_thousand_rules_are_no_trouble,
		                                nothing_reported, no_state_is_left),
		cmocka_unit_test_setup_teardown(
		        a_rule_that_did_not_change_keeps_its_version, nothing_reported,
		        no_state_is_left),
		cmocka_unit_test_setup_teardown(
		        a_rule_that_changed_gets_a_version_that_none_had,
		        nothing_reported, no_state_is_left),
		cmocka_unit_test_setup_teardown(a_name_that_moved_makes_another_version,
		                                nothing_reported, no_state_is_left),
		cmocka_unit_test_setup_teardown(
		        a_name_that_no_longer_resolves_keeps_its_address,
		        nothing_reported, no_state_is_left),
		cmocka_unit_test_setup_teardown(
		        a_new_name_that_does_not_resolve_is_an_error_also_in_a_reload,
		        nothing_reported, no_state_is_left),
		cmocka_unit_test_setup_teardown(
		        an_added_rule_goes_to_the_end_and_the_others_are_shared,
		        nothing_reported, no_state_is_left),
		cmocka_unit_test_setup_teardown(an_added_rule_needs_a_free_id_and_room,
		                                nothing_reported, no_state_is_left),
		cmocka_unit_test_setup_teardown(
		        a_bad_command_is_answered_with_the_code_of_its_mistake,
		        nothing_reported, no_state_is_left),
		cmocka_unit_test_setup_teardown(a_nul_byte_in_a_command_is_an_error,
		                                nothing_reported, no_state_is_left),
		cmocka_unit_test_setup_teardown(
		        a_modified_rule_keeps_its_place_and_comment, nothing_reported,
		        no_state_is_left),
		cmocka_unit_test_setup_teardown(
		        a_modified_rule_may_bring_its_own_comment, nothing_reported,
		        no_state_is_left),
		cmocka_unit_test_setup_teardown(a_removed_rule_takes_its_line_along,
		                                nothing_reported, no_state_is_left),
		cmocka_unit_test_setup_teardown(
		        what_is_not_there_cannot_be_modified_or_removed,
		        nothing_reported, no_state_is_left),
		cmocka_unit_test_setup_teardown(global_attributes_survive_commands,
		                                nothing_reported, no_state_is_left),
		cmocka_unit_test_setup_teardown(publishing_makes_versions_current,
		                                nothing_reported, no_state_is_left),
		cmocka_unit_test_setup_teardown(
		        a_vanished_rule_has_a_version_that_no_rule_has,
		        nothing_reported, no_state_is_left),
		cmocka_unit_test_setup_teardown(modes_have_names_in_capital_letters,
		                                nothing_reported, no_state_is_left),
	};

	return test_run("config", tests, argc, argv);
}
