// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* test_match.c - user/rules/match.c: which rule is this client's. */
#include "test.h"

#include "rules/match.h"
#include "ruleset.h"

#define LISTENER "127.0.0.1:19080"

static struct rule *make_rule(const char *id, const char *client, const char *forward)
{
	struct rule *rule = ruleset_rule(id, RULE_MODE_RR);

	if (client)
		ruleset_add_client(rule, client);
	ruleset_add_forward(rule, forward);
	return rule;
}

/* The id of the client's rule; "" when nobody wants the client. */
static const char *find_text(const struct config *config, const char *listener,
                             const char *client, const char **ret_pattern)
{
	struct addr l = ruleset_addr(listener), c = ruleset_addr(client);
	struct match *m = match_compile(config, &l);
	const struct rule_client *entry = NULL;
	const struct rule *rule = NULL;
	bool is_found = match_find(m, &c, &rule, &entry);

	match_free(m);
	assert_true(is_found == (rule != NULL) && is_found == (entry != NULL));
	*ret_pattern = entry ? entry->text : "";
	return rule ? rule->id : "";
}

static const char *find(const struct config *config, const char *listener,
                        const char *client)
{
	const char *pattern;

	return find_text(config, listener, client, &pattern);
}

static void the_first_rule_in_file_order_wins(void **state)
{
	struct rule *rules[] = {
		make_rule("wide", "127.*:*", LISTENER),
		make_rule("narrow", "127.0.0.2:*", LISTENER),
		make_rule("rest", "*:*", LISTENER),
	};
	struct config *config = ruleset_config(rules, 3);

	(void)state;

	assert_string_equal(find(config, LISTENER, "127.0.0.2:5"), "wide");
	assert_string_equal(find(config, LISTENER, "10.0.0.1:5"), "rest");
	ruleset_config_free(config);
}

static void the_first_client_entry_of_that_rule_that_fits_is_returned(void **state)
{
	struct rule *rule = make_rule("r", "10.0.0.0/8:80", LISTENER);
	struct config *config;
	const char *pattern;

	(void)state;
	ruleset_add_client(rule, "10.*:*");
	ruleset_add_client(rule, "*:*");
	config = ruleset_config(&rule, 1);

	assert_string_equal(find_text(config, LISTENER, "10.0.0.1:80", &pattern), "r");
	assert_string_equal(pattern, "10.0.0.0/8:80");
	assert_string_equal(find_text(config, LISTENER, "10.0.0.1:81", &pattern), "r");
	assert_string_equal(pattern, "10.*:*");
	assert_string_equal(find_text(config, LISTENER, "11.0.0.1:80", &pattern), "r");
	assert_string_equal(pattern, "*:*");
	ruleset_config_free(config);
}

static void nobody_wants_a_client_that_fits_no_pattern(void **state)
{
	struct rule *rules[] = { make_rule("a", "10.0.0.1:*", LISTENER),
		                 make_rule("b", "10.0.0.?:80", LISTENER) };
	struct config *config = ruleset_config(rules, 2);

	(void)state;

	assert_string_equal(find(config, LISTENER, "10.0.0.2:81"), "");
	assert_string_equal(find(config, LISTENER, "[2001:db8::1]:80"), "");
	ruleset_config_free(config);
}

static void rules_of_other_listeners_take_no_part(void **state)
{
	struct rule *rules[] = {
		make_rule("port", "*:*", "127.0.0.1:19081"),
		make_rule("ip", "*:*", "127.0.0.2:19080"),
		make_rule("any", "*:*", "0.0.0.0:19080"),
		make_rule("six", "*:*", "[::1]:19080"),
		make_rule("own", "*:*", LISTENER),
	};
	struct config *config = ruleset_config(rules, 5);

	(void)state;

	assert_string_equal(find(config, LISTENER, "10.0.0.1:80"), "own");
	assert_string_equal(find(config, "[::1]:19080", "[::1]:80"), "six");
	assert_string_equal(find(config, "0.0.0.0:19080", "10.0.0.1:80"), "any");
	assert_string_equal(find(config, "127.0.0.9:19080", "10.0.0.1:80"), "");
	ruleset_config_free(config);
}

static void a_listener_may_be_any_forward_of_a_rule(void **state)
{
	struct rule *rules[] = { make_rule("r1", "127.0.0.2:*", LISTENER),
		                 make_rule("r2", "*:*", "127.0.0.1:19089") };
	struct config *config = ruleset_config(rules, 2);

	(void)state;
	ruleset_add_forward(rules[1], LISTENER);

	assert_string_equal(find(config, LISTENER, "127.0.0.2:5"), "r1");
	assert_string_equal(find(config, LISTENER, "127.0.0.1:5"), "r2");
	assert_string_equal(find(config, "127.0.0.1:19089", "127.0.0.2:5"), "r2");
	ruleset_config_free(config);
}

static void a_pattern_forward_takes_every_listener_that_it_matches(void **state)
{
	struct rule *rules[] = { make_rule("all", "10.*:*", "127.0.0.1:*"),
		                 make_rule("web", "*:*", "*:80??") };
	struct config *config = ruleset_config(rules, 2);

	(void)state;

	assert_string_equal(find(config, LISTENER, "10.0.0.1:5"), "all");
	assert_string_equal(find(config, LISTENER, "11.0.0.1:5"), "");
	assert_string_equal(find(config, "127.0.0.1:8080", "11.0.0.1:5"), "web");
	assert_string_equal(find(config, "127.0.0.2:8080", "10.0.0.1:5"), "web");
	assert_string_equal(find(config, "0.0.0.0:8081", "10.0.0.1:5"), "web");
	ruleset_config_free(config);
}

static void a_rule_without_clients_never_matches(void **state)
{
	struct rule *rules[] = { make_rule("empty", NULL, LISTENER),
		                 make_rule("next", "*:*", LISTENER) };
	struct config *config = ruleset_config(rules, 2);

	(void)state;

	assert_string_equal(find(config, LISTENER, "10.0.0.1:5"), "next");
	ruleset_config_free(config);
}

static void a_configuration_without_rules_wants_nobody(void **state)
{
	struct config *config = ruleset_config(NULL, 0);

	(void)state;

	assert_string_equal(find(config, LISTENER, "10.0.0.1:5"), "");
	ruleset_config_free(config);
}

static void globs_see_the_text_of_each_client_anew(void **state)
{
	struct rule *rules[] = { make_rule("four", "*.7:*", LISTENER),
		                 make_rule("six", "[*::7]:*", LISTENER) };
	struct config *config = ruleset_config(rules, 2);
	struct addr l = ruleset_addr(LISTENER);
	struct match *m = match_compile(config, &l);
	const struct rule_client *entry;
	const struct rule *rule;
	struct addr four = ruleset_addr("10.0.0.7:1");
	struct addr six = ruleset_addr("[2001:db8::7]:1");
	struct addr none = ruleset_addr("10.0.0.8:1");

	(void)state;

	assert_true(match_find(m, &six, &rule, &entry));
	assert_string_equal(rule->id, "six");
	assert_true(match_find(m, &four, &rule, &entry));
	assert_string_equal(rule->id, "four");
	assert_false(match_find(m, &none, &rule, &entry));
	assert_string_equal(rule->id, "four");
	match_free(m);
	ruleset_config_free(config);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_rule_in_file_order_wins),
		cmocka_unit_test(
		        the_first_client_entry_of_that_rule_that_fits_is_returned),
		cmocka_unit_test(nobody_wants_a_client_that_fits_no_pattern),
		cmocka_unit_test(rules_of_other_listeners_take_no_part),
		cmocka_unit_test(a_listener_may_be_any_forward_of_a_rule),
		cmocka_unit_test(
		        a_pattern_forward_takes_every_listener_that_it_matches),
		cmocka_unit_test(a_rule_without_clients_never_matches),
		cmocka_unit_test(a_configuration_without_rules_wants_nobody),
		cmocka_unit_test(globs_see_the_text_of_each_client_anew),
	};

	return test_run("match", tests, argc, argv);
}
