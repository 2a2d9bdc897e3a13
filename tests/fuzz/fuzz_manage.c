// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * fuzz_manage.c - any bytes from a management client.
 *
 * The first byte says what fails and into which pieces the rest is cut, both on the way
 * in and on the way out. Beyond not crashing: the answers are CRLF lines and prompts,
 * one prompt for the greeting and one for each line executed; nothing after quit or
 * after a line that is too long; what is dumped can be loaded; no state outlives the
 * session.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "control/manage.h"
#include "control/settings.h"
#include "fakeresolver.h"
#include "rules/config.h"
#include "rules/format.h"
#include "samerules.h"

#define APPLY_FAILS 1
#define DUMP_FAILS 2

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct program {
	struct settings settings;
	struct config *config;
	struct commands commands;
	struct manage manage;
	uint8_t flags;
	uint32_t random;
	char *said; /* all that was sent to the client; owned */
	size_t said_len;
};

static struct fake_resolver fake;
static const struct config_resolver resolver = { .resolve = fake_resolve,
	                                         .ctx = &fake };

static void require(bool is_true, const char *what)
{
	if (is_true)
		return;
	fprintf(stderr, "broken: %s\n", what);
	abort();
}

static const struct config *get_config(void *ctx)
{
	const struct program *p = ctx;

	return p->config;
}

static int apply(void *ctx, struct config *config, char reason[COMMANDS_REASON_LEN])
{
	struct program *p = ctx;

	if (p->flags & APPLY_FAILS) {
		snprintf(reason, COMMANDS_REASON_LEN, "no");
		config_free(config);
		return -EADDRINUSE;
	}
	config_publish_versions(config, p->config);
	config_free(p->config);
	p->config = config;
	return 0;
}

/* Whatever the commands made of the rules, a file of them must mean the same. */
static int dump(void *ctx)
{
	struct program *p = ctx;
	auto_free char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	struct diag_list diags = { 0 };
	struct config *again = NULL;

	format_config(out, p->config);
	fclose(out);
	require(config_parse(text, len, 0, p->config, &resolver, &diags, &again) == 0,
	        "a dump can be loaded");
	require(same_config(p->config, again), "a dump means what was in force");
	config_free(again);
	diag_list_fini(&diags);
	return p->flags & DUMP_FAILS ? -EACCES : 0;
}

static void clean(void *ctx)
{
	(void)ctx;
}

static bool list_forwards(void *ctx, FILE *out, struct listing *at)
{
	(void)ctx;

	fprintf(out, "%6u : LISTEN\r\n", ++at->n_lines);
	return at->n_lines < 50;
}

/* What a command names is a network, and is written as one. */
static void check_network(const struct network *network)
{
	char text[NETWORK_TEXT_LEN];
	struct network again;
	const char *reason;

	network_format(network, text);
	require(network_parse(text, strlen(text), &again, &reason) == 0 &&
	                network_compare(network, &again) == 0,
	        "a network is one");
}

static int block(void *ctx, const struct network *network, unsigned int seconds)
{
	const struct program *p = ctx;

	check_network(network);
	require(seconds <= TIMEOUT_MAX_S, "a time is within bounds");
	return p->flags & APPLY_FAILS ? -ENOSPC : 0;
}

static int unblock(void *ctx, const struct network *network)
{
	const struct program *p = ctx;

	check_network(network);
	return p->flags & APPLY_FAILS ? -ENOENT : 0;
}

static const char *get_splice_text(void *ctx)
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
	.block = block,
	.unblock = unblock,
	.list_guard = list_forwards,
	.get_splice_text = get_splice_text,
	.get_bypass_text = get_splice_text,
	.get_guard_text = get_splice_text,
};

static void start(struct program *p)
{
	static const char rules[] =
	        "admin G 127.0.0.1:* ( maxclients 3 ) - 127.0.0.1:19060 ;\n"
	        "web RR *:* - 127.0.0.1:19080 > a.test:19091 127.0.0.1:19092 ;\n";
	struct diag_list diags = { 0 };
	struct addr client;

	require(config_parse(rules, strlen(rules), 0, NULL, &resolver, &diags,
	                     &p->config) == 0,
	        "the rules to start with are good");
	diag_list_fini(&diags);
	config_publish_versions(p->config, NULL);
	require(addr_parse_ip("127.0.0.1", &client) == 0, "an address is one");
	p->settings.max_rules = 8;
	p->commands = (struct commands){
		.ops = &ops,
		.ctx = p,
		.settings = &p->settings,
		.resolver = &resolver,
	};
	manage_init(&p->manage, &p->commands, &client);
}

/* From 1 to @max: mostly little, now and then all. */
static size_t some(struct program *p, size_t max)
{
	size_t n;

	p->random = p->random * 1664525 + 1013904223;
	n = p->random >> 30 == 0 ? max : 1 + (p->random >> 8) % 16;
	return n < max ? n : max;
}

/* What the kernel would take of the answers; all of them in the end. */
static void send_some(struct program *p, bool is_all)
{
	size_t len;
	const char *data;

	do {
		require(manage_run(&p->manage) == 0, "there is memory");
		data = manage_output(&p->manage, &len);
		if (len == 0)
			return;
		if (!is_all)
			len = some(p, len);
		p->said = realloc(p->said, p->said_len + len);
		require(p->said, "there is memory");
		memcpy(p->said + p->said_len, data, len);
		p->said_len += len;
		manage_sent(&p->manage, len);
	} while (is_all);
}

static void receive(struct program *p, const char *data, size_t size)
{
	size_t room;

	while (size > 0 && !p->manage.is_ended) {
		char *to = manage_room(&p->manage, &room);

		if (room > 0) {
			size_t n = some(p, room < size ? room : size);

			memcpy(to, data, n);
			manage_filled(&p->manage, n);
			data += n;
			size -= n;
		}
		send_some(p, room == 0);
	}
	send_some(p, true);
}

/* Prompts at the start of a line; what else there is must be whole lines. */
static size_t count_prompts(const char *said, size_t len)
{
	size_t at = 0, n = 0;

	while (at < len) {
		const char *end;

		if (len - at >= 2 && memcmp(said + at, "> ", 2) == 0) {
			n++;
			at += 2;
			continue;
		}
		end = memchr(said + at, '\n', len - at);
		require(end && end > said + at && end[-1] == '\r',
		        "an answer is lines that end in CRLF");
		at = (size_t)(end - said) + 1;
	}
	return n;
}

/* Lines up to the first that is too long. */
static size_t count_lines(const char *data, size_t size, bool *ret_is_too_long)
{
	size_t n = 0;
	const char *end;

	*ret_is_too_long = false;
	while ((end = size ? memchr(data, '\n', size) : NULL) &&
	       end - data < MANAGE_LINE_MAX) {
		size -= (size_t)(end - data) + 1;
		data = end + 1;
		n++;
	}
	*ret_is_too_long = size >= MANAGE_LINE_MAX;
	return n;
}

static void check(const struct program *p, const char *data, size_t size)
{
	bool is_too_long;
	size_t n_lines = count_lines(data, size, &is_too_long);
	size_t n_prompts = count_prompts(p->said, p->said_len);

	require(!is_too_long || p->manage.is_ended, "a line too long ends the session");
	if (!p->manage.is_ended)
		require(n_prompts == 1 + n_lines, "each line has one prompt");
	else
		require(n_prompts <= 1 + n_lines, "nothing is executed after the end");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct program p = { .settings = { .buffer_size = 4096 } };
	const char *text = (const char *)data + 1;

	if (size == 0)
		return 0;
	if (!log_is_off())
		require(log_start("none", LOG_FORMAT_TEXT, false) == 0, "a log starts");
	p.flags = data[0];
	p.random = data[0];
	start(&p);
	receive(&p, text, size - 1);
	check(&p, text, size - 1);

	manage_fini(&p.manage);
	config_free(p.config);
	free(p.said);
	for (int kind = STATE_RULE; kind <= STATE_CLIENT; kind++)
		require(state_count((enum state_kind)kind) == 0, "no state is left");
	return 0;
}
