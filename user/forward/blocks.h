/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * blocks.h - networks whose clients are refused, of the rule file and of commands.
 *
 * Those of the file change with it; those of commands stay over reloads, until their time
 * is over or they are taken back. Kept sorted, so that what is inside another network
 * follows it. Any thread may ask blocks_has(); the rest is the main thread's.
 */
#ifndef G5X_FORWARD_BLOCKS_H
#define G5X_FORWARD_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "rules/network.h"

#define BLOCKS_MAX 65536

struct blocks;

/** blocks_new() - none; NULL when out of memory */
struct blocks *blocks_new(void);
void blocks_free(struct blocks *b);

/** blocks_set_file() - instead of those that the file had before. 0, -ENOSPC, -ENOMEM */
int blocks_set_file(struct blocks *b, const struct network *networks, size_t n);

/**
 * blocks_add() - by command
 * @until_ms: of clock_ms(); 0: for ever. Of one that is there already this replaces the time.
 *
 * Return: 0; -ENOSPC; -ENOMEM.
 */
int blocks_add(struct blocks *b, const struct network *network, uint64_t until_ms);

/** blocks_remove() - one of a command; -ENOENT; -EPERM: only the file has it */
int blocks_remove(struct blocks *b, const struct network *network);

/** blocks_expire() - drop those of commands whose time is over; were there any? */
bool blocks_expire(struct blocks *b, uint64_t now_ms);

/** blocks_next_ms() - when the first of them ends; 0: none does */
uint64_t blocks_next_ms(const struct blocks *b);

/**
 * blocks_has() - is a client of this address refused? Hot path of accept.
 * @ret_by: the smallest network that says so; untouched if none does
 */
bool blocks_has(struct blocks *b, const struct addr *client, uint64_t now_ms,
                struct network *ret_by);

struct block {
	struct network network;
	bool is_of_file;
	bool is_of_command;
	uint64_t until_ms; /* of the command; 0: for ever, or there is none */
	/* When the last of it and of the networks around it ends; 0: never. What a longest
	 * match alone would not see. */
	uint64_t effective_ms;
};

/** blocks_get() - all, sorted; good until the next change */
const struct block *blocks_get(const struct blocks *b, size_t *ret_n);

#endif /* G5X_FORWARD_BLOCKS_H */
