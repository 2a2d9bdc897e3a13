// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* blocking.c - see blocking.h. */
#include "control/blocking.h"

#include <limits.h>

#include "base/clock.h"
#include "control/commands.h"
#include "control/guarding.h"
#include "forward/blocks.h"
#include "forward/forward.h"

#define LINE_END "\r\n"
#define BLOCKS_AT_ONCE 512
#define S_MS 1000

/* Blocks that are over refuse nobody; they are dropped once a second at the most. */
static void set_due(struct blocking *b)
{
	uint64_t next_ms = blocks_next_ms(forward_blocks(b->forward));

	b->due_ms = next_ms ? (next_ms + S_MS - 1) / S_MS * S_MS : 0;
}

void blocking_changed(struct blocking *b)
{
	set_due(b);
	guarding_sync_blocks(b->guarding);
}

int blocking_block(struct blocking *b, const struct network *network,
                   unsigned int seconds)
{
	uint64_t until_ms = seconds ? clock_ms() + (uint64_t)seconds * S_MS : 0;
	int r = blocks_add(forward_blocks(b->forward), network, until_ms);

	if (r == 0)
		blocking_changed(b);
	return r;
}

int blocking_unblock(struct blocking *b, const struct network *network)
{
	int r = blocks_remove(forward_blocks(b->forward), network);

	if (r == 0)
		blocking_changed(b);
	return r;
}

void blocking_run_timers(struct blocking *b)
{
	uint64_t now_ms = clock_ms();

	if (b->due_ms == 0 || now_ms < b->due_ms)
		return;
	blocks_expire(forward_blocks(b->forward), now_ms);
	blocking_changed(b);
}

int blocking_wait_ms(const struct blocking *b)
{
	uint64_t now_ms = clock_ms();
	uint64_t left_ms = b->due_ms > now_ms ? b->due_ms - now_ms : 0;

	if (b->due_ms == 0)
		return -1;
	return left_ms < INT_MAX ? (int)left_ms : INT_MAX;
}

/* @now_ms: one that is over is no line */
static void put_block(FILE *out, const struct block *b, uint64_t now_ms)
{
	bool is_over = b->until_ms > 0 && b->until_ms <= now_ms;
	char text[NETWORK_TEXT_LEN];

	if (!b->is_of_file && is_over)
		return;
	fprintf(out, "block %s%s", network_format(&b->network, text),
	        b->is_of_file ? " file" : "");
	if (b->is_of_command && b->until_ms == 0)
		fputs(" command for ever", out);
	else if (b->is_of_command && !is_over)
		fprintf(out, " command %llu seconds",
		        (unsigned long long)(b->until_ms - now_ms + S_MS - 1) / S_MS);
	fputs(LINE_END, out);
}

bool blocking_list(const struct blocking *b, FILE *out, struct listing *at)
{
	size_t n;
	const struct block *blocks = blocks_get(forward_blocks(b->forward), &n);

	for (int i = 0; i < BLOCKS_AT_ONCE && at->next < n; i++)
		put_block(out, &blocks[at->next++], clock_ms());
	return at->next < n;
}
