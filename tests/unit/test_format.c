// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* test_format.c - user/rules/format.c: rules and files written again. */
#include "test.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "fakeresolver.h"
#include "rules/config.h"
#include "rules/format.h"
#include "samerules.h"

static struct fake_resolver fake;
static const struct config_resolver resolver = { .resolve = fake_resolve,
	                                         .ctx = &fake };

static struct config *parse(const char *text)
{
	struct diag_list diags = { 0 };
	struct config *c = NULL;

	if (config_parse(text, strlen(text), 0, NULL, &resolver, &diags, &c) < 0)
		fail_msg("%s\n%s", diag_first_error(&diags)->message, text);
	diag_list_fini(&diags);
	return c;
}

static char *dump(const struct config *c)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	format_config(out, c);
	fclose(out);
	return text;
}

static char *list(const struct rule *rule, bool with_counts)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	format_rule(out, rule, with_counts);
	fclose(out);
	return text;
}

/* @text is written as @expected, which means the same and is written as itself. */
static void assert_dump(const char *text, const char *expected)
{
	struct config *c = parse(text), *again;
	auto_free char *written = dump(c);
	auto_free char *rewritten = NULL;

	assert_string_equal(written, expected);
	again = parse(written);
	assert_true(same_config(c, again));
	rewritten = dump(again);
	assert_string_equal(rewritten, expected);
	config_free(c);
	config_free(again);
}

static void an_empty_file_is_written_as_one(void **state)
{
	(void)state;
	assert_dump("", "");
	assert_dump("( )\n", "");
}

static void rules_are_normalised_and_comments_and_blank_lines_kept(void **state)
{
	(void)state;
	assert_dump("# a\n"
	            "\n"
	            "  r\tRR   *:*  - 127.0.0.1:80 > 127.0.0.1:81 ; rest # one\n"
	            "   # b \n"
	            "\t\n"
	            "g G *:* - 127.0.0.1:82 > ;#two",
	            "# a\r\n"
	            "\r\n"
	            "r RR *:* - 127.0.0.1:80 > 127.0.0.1:81 ; # one\r\n"
	            "# b \r\n"
	            "\r\n"
	            "g G *:* - 127.0.0.1:82 ; #two\r\n");
}

static void the_global_block_comes_first_and_its_comment_stays(void **state)
{
	(void)state;
	assert_dump("# a\n"
	            "( maxsessions_per_ip 9 )\n"
	            "( workers 2 ) # two\n"
	            "( maxsessions_per_ip 50 )\n"
	            "# b\n",
	            "( maxsessions_per_ip 50 workers 2 )\r\n"
	            "# a\r\n"
	            "# two\r\n"
	            "# b\r\n");
}

static void a_global_block_says_no_more_than_the_file(void **state)
{
	(void)state;
	assert_dump("( maxsessions_per_ip 0 )\n", "");
	assert_dump("( maxsessions_per_ip 50 )\n", "( maxsessions_per_ip 50 )\r\n");
	assert_dump("( grace 30 )\n", "( grace 30 )\r\n");
	assert_dump("( log none )\n", "( log none )\r\n");
	assert_dump("( log_format text )\n", "( log_format text )\r\n");
	assert_dump("( workers 0 )\n", "( workers 0 )\r\n");
}

static void guard_and_blocks_have_lines_of_their_own(void **state)
{
	static const char normal[] =
	        "( grace 5 syn_rate 1 burst 2 listener_syn_rate 3 listener_burst 4 )"
	        "\r\n( guard eth0 eth1 dry-run reject )\r\n"
	        "( block 10.0.0.0/8 2001:db8::1/128 ::/0 )\r\n# c\r\n";

	(void)state;
	assert_dump("( block 10.0.0.0/8 guard reject eth0 grace 5 )\n"
	            "( listener_burst 4 guard eth1 dry-run burst 2 ) # c\n"
	            "( listener_syn_rate 3 block [2001:DB8::1] ::/0 syn_rate 1 )\n",
	            normal);
	assert_dump(normal, normal);
	assert_dump("( guard eth0 )\n", "( guard eth0 )\r\n");
	assert_dump("( syn_rate 0 burst 0 )\n", "");
}

static void attributes_are_written_unless_they_are_defaults(void **state)
{
	static const char full[] =
	        "r HS ( timeout 1 connect_timeout 0 fin_timeout 2 moratorium 3 "
	        "datapath splice splice_limit 1073741824 ) *:* ( maxclients 4 ) "
	        "10.0.0.0/8:* - 127.0.0.1:80 127.0.0.1:* > "
	        "[::1]:81 ( weight 0 maxconns 5 ) one.test:82 ( weight 256 ) ;\r\n";

	(void)state;
	assert_dump(full, full);
	assert_dump("r HS ( timeout 0 connect_timeout 10 fin_timeout 60 datapath auto "
	            "splice_limit 1048576 ) *:* ( maxclients 0 ) - 127.0.0.1:80 > "
	            "127.0.0.1:81 ( weight 1 maxconns 0 ) ;",
	            "r HS *:* - 127.0.0.1:80 > 127.0.0.1:81 ;\r\n");
}

static void bytes_of_comments_are_written_as_they_were(void **state)
{
	(void)state;
	assert_dump("# \xb9\xe6\xd4\xf2 \xff\t\x01 ## x\r\n",
	            "# \xb9\xe6\xd4\xf2 \xff\t\x01 ## x\r\n");
}

static void a_mark_before_an_id_is_not_mistaken_for_a_part_of_it(void **state)
{
	(void)state;
	assert_dump("( )\n\xef\xbb\xbfr G *:* - 127.0.0.1:80 ;\n",
	            "r G *:* - 127.0.0.1:80 ;\r\n");
}

static void a_list_shows_how_many_sessions_a_client_has(void **state)
{
	struct config *c = parse("admin G ( timeout 300 ) 127.0.0.1:* ( maxclients 3 ) "
	                         "*:* - 127.0.0.1:19060 ;");
	auto_free char *listed = NULL, *written = NULL;

	(void)state;
	c->rules[0]->clients[0].state->n_sessions = 1;
	listed = list(c->rules[0], true);
	assert_string_equal(listed, "admin G ( timeout 300 ) 127.0.0.1:* "
	                            "( conntions[1/3] ) *:* - 127.0.0.1:19060 ;");
	written = list(c->rules[0], false);
	assert_string_equal(written, "admin G ( timeout 300 ) 127.0.0.1:* "
	                             "( maxclients 3 ) *:* - 127.0.0.1:19060 ;");
	config_free(c);
}

/* ---- any configuration ---- */

static unsigned int seed;

static unsigned int below(unsigned int n)
{
	return (unsigned int)rand_r(&seed) % n;
}

static void put_maybe(FILE *out, const char *name, unsigned int max)
{
	if (!below(3))
		fprintf(out, " ( %s %u )", name, below(max));
}

static void put_random_datapath(FILE *out)
{
	const unsigned int limits[] = { RULE_SPLICE_LIMIT_MIN, RULE_SPLICE_LIMIT,
		                        RULE_SPLICE_LIMIT_MAX,
		                        RULE_SPLICE_LIMIT_MIN + below(1 << 20) };

	if (below(2))
		fprintf(out, " ( datapath %s )",
		        datapath_name((enum datapath)below(DATAPATH_N)));
	if (below(2))
		fprintf(out, " ( splice_limit %u )", limits[below(ARRAY_SIZE(limits))]);
}

static void put_random_rule(FILE *out, unsigned int number)
{
	static const char *const clients[] = { "*:*", ":", "10.*:8?", "10.0.0.0/8:*",
		                               "[::1]:*" };
	static const char *const forwards[] = { "127.1:80", "[::]:81", "0.0.0.0:82",
		                                "127.0.0.1:083" };
	static const char *const servers[] = { "127.0.0.1:80", "a.test:81", "[::1]:82",
		                               "0x7f.1:83x" };
	enum rule_mode mode = (enum rule_mode)below(RULE_MODE_N);

	fprintf(out, "r%u\t%s", number, rule_mode_name(mode));
	put_maybe(out, "timeout", 100);
	put_maybe(out, "connect_timeout", 20);
	put_maybe(out, "fin_timeout", 100);
	put_maybe(out, "moratorium", 9);
	put_random_datapath(out);
	for (unsigned int i = below(4); i; i--) {
		fprintf(out, "  %s", clients[below(ARRAY_SIZE(clients))]);
		put_maybe(out, "maxclients", 9);
	}
	fprintf(out, " - %s", forwards[below(ARRAY_SIZE(forwards))]);
	for (unsigned int i = below(3); i; i--)
		fprintf(out, " %s", below(2) ? "127.0.0.1:*" : ":80");
	if (mode != RULE_MODE_G)
		fprintf(out, " >");
	for (unsigned int i = 1 + below(4); i && mode != RULE_MODE_G; i--) {
		fprintf(out, " %s", servers[below(ARRAY_SIZE(servers))]);
		put_maybe(out, "weight", 6);
		put_maybe(out, "maxconns", 9);
	}
	fprintf(out, " ;%s", below(3) ? "" : " # comment");
}

static void put_random_global(FILE *out)
{
	if (below(2))
		fprintf(out, "( syn_rate %u ", 1 + below(3));
	else
		fprintf(out, "( maxsessions_per_ip %u ", below(3));
	for (unsigned int i = below(20); i; i--)
		fprintf(out, "block %u.%u.0.0/%u ", below(256), below(256),
		        16 + below(17));
	if (below(2))
		fprintf(out, "block 2001:db8::/%u ", 32 + below(97));
	if (below(2))
		fprintf(out, "guard net%u%s ", below(3), below(2) ? " reject" : "");
	fprintf(out, ")%s", below(2) ? "" : " # g");
}

static void put_random_line(FILE *out, unsigned int number)
{
	switch (below(6)) {
	case 0:
		fprintf(out, "# remark %u", number);
		break;
	case 1:
		break;
	case 2:
		put_random_global(out);
		break;
	default:
		put_random_rule(out, number);
	}
	fputs(below(2) ? "\n" : "\r\n", out);
}

static void what_is_written_means_the_same(void **state)
{
	(void)state;
	for (seed = 1; seed <= 300; seed++) {
		auto_free char *text = NULL, *written = NULL;
		size_t size;
		FILE *out = open_memstream(&text, &size);
		unsigned int restart = seed;
		struct config *c, *again;

		for (unsigned int i = 0; i < 10; i++)
			put_random_line(out, i);
		seed = restart;
		fclose(out);
		c = parse(text);
		written = dump(c);
		again = parse(written);
		if (!same_config(c, again))
			fail_msg("from\n%s\nwritten\n%s", text, written);
		config_free(c);
		config_free(again);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_empty_file_is_written_as_one),
		cmocka_unit_test(
		        rules_are_normalised_and_comments_and_blank_lines_kept),
		cmocka_unit_test(the_global_block_comes_first_and_its_comment_stays),
		cmocka_unit_test(a_global_block_says_no_more_than_the_file),
		cmocka_unit_test(guard_and_blocks_have_lines_of_their_own),
		cmocka_unit_test(attributes_are_written_unless_they_are_defaults),
		cmocka_unit_test(bytes_of_comments_are_written_as_they_were),
		cmocka_unit_test(a_mark_before_an_id_is_not_mistaken_for_a_part_of_it),
		cmocka_unit_test(a_list_shows_how_many_sessions_a_client_has),
		cmocka_unit_test(what_is_written_means_the_same),
	};

	return test_run("format", tests, argc, argv);
}
