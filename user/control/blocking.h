/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* blocking.h - the commands block and unblock, and the end of blocks that have one. */
#ifndef G5X_CONTROL_BLOCKING_H
#define G5X_CONTROL_BLOCKING_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct forward;
struct guarding;
struct listing;
struct network;

struct blocking {
	struct forward *forward;   /* borrowed, which keeps the blocks */
	struct guarding *guarding; /* borrowed, which tells the kernel of them */
	uint64_t due_ms; /* look for blocks that are over; 0: none has an end */
};

/** blocking_block() - @seconds 0: for ever; as blocks_add() */
int blocking_block(struct blocking *b, const struct network *network,
                   unsigned int seconds);

/** blocking_unblock() - as blocks_remove() */
int blocking_unblock(struct blocking *b, const struct network *network);

/** blocking_changed() - other blocks are in the file */
void blocking_changed(struct blocking *b);

/** blocking_run_timers() - after each turn of the loop */
void blocking_run_timers(struct blocking *b);

/** blocking_wait_ms() - how long the loop may sleep; -1 for ever */
int blocking_wait_ms(const struct blocking *b);

/** blocking_list() - some lines; false when that were the last */
bool blocking_list(const struct blocking *b, FILE *out, struct listing *at);

#endif /* G5X_CONTROL_BLOCKING_H */
