/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * balance.h - choose the server for one new session.
 *
 * A policy looks at a rule and its states and points at one server; it opens
 * nothing and waits for nothing. One pick is one short critical section under the
 * rule's own lock, in which the session is also counted onto the server: so RR's
 * turn, LC's counts and maxconns are exact whatever the number of workers.
 *
 * A server that failed is *marked*: passed over for RULE_SKIPPED_PICKS selections of
 * its rule, or for moratorium_s seconds where the rule says so. When every server
 * that could be had is marked, the one marked longest is tried: a rule never goes
 * dead.
 *
 * To add a policy: a mode in config.h, a row in policies[] in balance.c, a test.
 */
#ifndef G5X_RULES_BALANCE_H
#define G5X_RULES_BALANCE_H

#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

struct rule;
struct rule_server;
struct server_state;

enum balance_result {
	BALANCE_PICKED,
	BALANCE_EXHAUSTED, /* each server was tried, or may get no session (weight 0) */
	BALANCE_FULL,      /* those left have maxconns sessions */
};

/**
 * balance_pick() - choose, and count the session onto the choice
 * @tried:      state numbers of the servers this client has tried already
 * @now_ms:     clock_ms()
 * @ret_server: on BALANCE_PICKED, a server of @rule, whose state's n_sessions went
 *              up by one and whose state got a reference: both until
 *              balance_release()
 */
enum balance_result balance_pick(const struct rule *rule, const struct addr *client,
                                 const uint32_t *tried, size_t n_tried, uint64_t now_ms,
                                 const struct rule_server **ret_server);

/** balance_release() - the session is over, or its connect failed */
void balance_release(struct server_state *server);

/**
 * balance_failed() - a connect to @server failed: mark it
 *
 * Moves MS to its next server, unless a concurrent failure already did.
 */
void balance_failed(const struct rule *rule, struct server_state *server,
                    uint64_t now_ms);

/** balance_connected() - a connect succeeded: clears the mark, counts */
void balance_connected(const struct rule *rule, struct server_state *server);

/**
 * balance_responded() - one response time, in microseconds, for RT
 *
 * @rule_state: of the server's rule (its lock guards the mean)
 */
struct rule_state;
void balance_responded(struct rule_state *rule_state, struct server_state *server,
                       uint64_t response_us);

/**
 * balance_hash() - G5's hash of a client's IP text
 *
 * h = 19791007, then for each byte h = h * 19830923 + byte, modulo 2^64.
 */
uint64_t balance_hash(const char *ip_text);

#endif /* G5X_RULES_BALANCE_H */
