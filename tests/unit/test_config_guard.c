// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * test_config_guard.c - user/rules/lists.c, config.c, build.c: what a file says of the
 * guard. The messages are in tests/conformance.
 */
#include "test.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "fakeresolver.h"
#include "rules/config.h"
#include "samerules.h"

#define RULE "r RR *:* - 127.0.0.1:80 > 127.0.0.1:81 ;"
#define ALL                                                                      \
	"( guard eth0 dry-run ) # one\n"                                         \
	"( block 10.0.0.0/8 2001:db8::1 syn_rate 5 burst 6 )\n"                  \
	"( listener_syn_rate 7 listener_burst 8 guard eth1 reject )\n" RULE "\n" \
	"( block 192.0.2.0/24 )\n"

static struct fake_resolver fake;
static const struct config_resolver resolver = { .resolve = fake_resolve,
	                                         .ctx = &fake };
static struct diag_list diags;

static int end(void **state)
{
	(void)state;

	diag_list_fini(&diags);
	return 0;
}

static struct config *parse(const char *text)
{
	struct config *c = NULL;

	if (config_parse(text, strlen(text), 0, NULL, &resolver, &diags, &c) < 0)
		fail_msg("%s", diag_first_error(&diags)->message);
	return c;
}

static void assert_block(const struct config *c, size_t nth, const char *expected)
{
	char text[NETWORK_TEXT_LEN];

	assert_string_equal(network_format(&c->blocks[nth], text), expected);
}

static void what_is_not_said_is_off(void **state)
{
	struct config *c = parse(RULE);

	(void)state;
	assert_int_equal(c->guard.n_interfaces, 0);
	assert_false(c->guard.is_dry_run || c->guard.rejects);
	assert_int_equal(c->n_blocks, 0);
	assert_false(c->syn_rate || c->burst || c->listener_syn_rate ||
	             c->listener_burst);
	config_free(c);
}

static void every_attribute_reaches_its_member_and_lists_add_up(void **state)
{
	struct config *c = parse(ALL);

	(void)state;
	assert_int_equal(c->guard.n_interfaces, 2);
	assert_string_equal(c->guard.interfaces[0], "eth0");
	assert_string_equal(c->guard.interfaces[1], "eth1");
	assert_true(c->guard.is_dry_run && c->guard.rejects);
	assert_int_equal(c->n_blocks, 3);
	assert_block(c, 0, "10.0.0.0/8");
	assert_block(c, 1, "2001:db8::1/128");
	assert_block(c, 2, "192.0.2.0/24");
	assert_int_equal(c->syn_rate, 5);
	assert_int_equal(c->burst, 6);
	assert_int_equal(c->listener_syn_rate, 7);
	assert_int_equal(c->listener_burst, 8);
	config_free(c);
}

static void commands_make_configurations_with_the_same_attributes(void **state)
{
	struct config *old = parse(ALL), *same = parse(ALL), *c = NULL;

	(void)state;
	assert_ok(config_remove_rule(old, "r", &c));
	config_free(old);
	assert_true(same_global(c, same));
	config_free(same);
	config_free(c);
}

static void a_file_may_block_65536_networks_and_no_more(void **state)
{
	auto_free char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	struct config *c = NULL;

	(void)state;
	fputs("( block", out);
	for (unsigned int i = 0; i < CONFIG_BLOCKS_MAX; i++)
		fprintf(out, " 10.%u.%u.0/24", i / 256, i % 256);
	fputs(" )\n", out);
	fflush(out);
	c = parse(text);
	assert_int_equal(c->n_blocks, CONFIG_BLOCKS_MAX);
	config_free(c);
	fputs("( block 10.0.0.1 10.0.0.2 )\n", out);
	fclose(out);
	assert_int_equal(config_parse(text, size, 0, NULL, &resolver, &diags, &c),
	                 -EINVAL);
	assert_int_equal(diags.n_errors, 1);
	assert_int_equal(diags.items[0].line, 2);
}

#define GUARD_TEST(test) cmocka_unit_test_setup_teardown(test, NULL, end)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		GUARD_TEST(what_is_not_said_is_off),
		GUARD_TEST(every_attribute_reaches_its_member_and_lists_add_up),
		GUARD_TEST(commands_make_configurations_with_the_same_attributes),
		GUARD_TEST(a_file_may_block_65536_networks_and_no_more),
	};

	return test_run("config_guard", tests, argc, argv);
}
