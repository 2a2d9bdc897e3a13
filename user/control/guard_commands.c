// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* guard_commands.c - block, unblock, list guard. */
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "control/invocation.h"
#include "rules/config.h"
#include "rules/network.h"

/* What scripts may read, as the numbers of other commands. */
enum failure {
	FAILURE_NETWORK = -1,
	FAILURE_TIME = -2, /* block */
	FAILURE_NONE = -2, /* unblock: no such block */
	FAILURE_APPLY = -3,
};

struct request {
	const char *verb;
	const char *usage;
	struct network network;
	unsigned int seconds;
};

static bool fail(const struct invocation *i, const struct request *r, enum failure code)
{
	fprintf(i->out, "%s failed[%d] ", r->verb, code);
	return false;
}

static bool read_network(struct invocation *i, struct request *r)
{
	char right[NETWORK_TEXT_LEN];
	const char *reason;
	struct token t;

	if (!line_next_token(&i->line, &t)) {
		fail(i, r, FAILURE_NETWORK);
		fprintf(i->out, "no network; expected %s" LINE_END, r->usage);
		return false;
	}
	if (network_parse(t.text, t.len, &r->network, &reason) == 0)
		return true;
	fail(i, r, FAILURE_NETWORK);
	fprintf(i->out, QUOTED " %s; expected %s" LINE_END, QUOTE(t), reason,
	        network_suggest(t.text, t.len, right));
	return false;
}

/* Of a line that may end before it. */
static bool read_seconds(struct invocation *i, struct request *r)
{
	unsigned int seconds = 0;
	struct token t;
	size_t n = 0;

	if (!line_next_token(&i->line, &t))
		return true;
	while (n < t.len && t.text[n] >= '0' && t.text[n] <= '9' &&
	       seconds <= TIMEOUT_MAX_S)
		seconds = 10 * seconds + (unsigned int)(t.text[n++] - '0');
	if (n == t.len && seconds > 0 && seconds <= TIMEOUT_MAX_S) {
		r->seconds = seconds;
		return true;
	}
	fail(i, r, FAILURE_TIME);
	fprintf(i->out,
	        QUOTED " is no time; expected 1 to %d seconds, or nothing: for "
	               "ever" LINE_END,
	        QUOTE(t), TIMEOUT_MAX_S);
	return false;
}

/* "block 10.0.0.0/8 60 seconds" is perhaps not what was meant. */
static bool is_at_end(struct invocation *i, const struct request *r)
{
	struct token t;

	if (!line_next_token(&i->line, &t))
		return true;
	fail(i, r, FAILURE_NETWORK);
	fprintf(i->out, QUOTED " is too much; expected %s" LINE_END, QUOTE(t),
	        r->usage);
	return false;
}

static const char *reason_of(int error)
{
	if (error == -ENOSPC)
		return "there are as many blocks as there may be";
	if (error == -ENOENT)
		return "no block is of this network";
	if (error == -EPERM)
		return "the rule file has it, and no command: remove it there and "
		       "reload";
	return strerror(-error);
}

/* Return: was it done? If not, that was answered. */
static bool answer(struct invocation *i, const struct request *r, int result,
                   enum failure code)
{
	if (result < 0) {
		fail(i, r, code);
		fprintf(i->out, "%s" LINE_END, reason_of(result));
		return false;
	}
	fprintf(i->out, "%s ok" LINE_END, r->verb);
	return true;
}

enum command_result command_block(struct invocation *i)
{
	const struct commands *c = i->commands;
	struct request r = { .verb = "block", .usage = "block IP/BITS [SECONDS]" };
	char text[NETWORK_TEXT_LEN];

	if (!read_network(i, &r) || !read_seconds(i, &r) || !is_at_end(i, &r) ||
	    !answer(i, &r, c->ops->block(c->ctx, &r.network, r.seconds), FAILURE_APPLY))
		return COMMAND_DONE;
	network_format(&r.network, text);
	if (r.seconds > 0)
		log_info("management client %s: block %s for %u seconds", i->peer, text,
		         r.seconds);
	else
		log_info("management client %s: block %s for ever", i->peer, text);
	return COMMAND_DONE;
}

enum command_result command_unblock(struct invocation *i)
{
	const struct commands *c = i->commands;
	struct request r = { .verb = "unblock", .usage = "unblock IP/BITS" };
	char text[NETWORK_TEXT_LEN];
	int result;

	if (!read_network(i, &r) || !is_at_end(i, &r))
		return COMMAND_DONE;
	result = c->ops->unblock(c->ctx, &r.network);
	if (answer(i, &r, result, result == -ENOENT ? FAILURE_NONE : FAILURE_APPLY))
		log_info("management client %s: unblock %s", i->peer,
		         network_format(&r.network, text));
	return COMMAND_DONE;
}

enum command_result command_list_guard(struct invocation *i)
{
	const struct commands *c = i->commands;

	return c->ops->list_guard(c->ctx, i->out, i->listing) ? COMMAND_MORE
	                                                      : COMMAND_DONE;
}
