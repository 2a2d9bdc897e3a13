/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * rig.h - one worker without a thread, between clients and a server that a test plays.
 *
 *      test's client <──TCP──> worker: rule "r" <──TCP──> test's server
 *
 * Everything is the daemon's own code; only the loop is turned by the test, so that
 * a test decides what has happened before the worker looks. rig_stop() checks that no
 * session left anything behind: counts, limits, buffers, descriptors.
 */
#ifndef G5X_TESTS_RIG_H
#define G5X_TESTS_RIG_H

#include "base/clock.h"
#include "forward/worker.h"
#include "ruleset.h"
#include "tcp.h"

#define RIG_CAPACITY 8

struct rig {
	struct forward forward;
	struct worker worker;
	struct snapshot snapshot;
	struct listener *listener;
	uint16_t port;     /* that the worker listens on */
	int server_fd;     /* that the test's server listens on */
	struct rule *rule; /* lets everybody in; may be changed before rig_connect() */
	struct config *config;
	unsigned int n_fds;
};

/* One session, seen from outside and inside. */
struct rig_session {
	int client, server; /* the test's ends */
	uint32_t number;
	struct session *s;
};

void rig_start(struct rig *rig, enum rule_mode mode, size_t buffer_size);

/** rig_stop() - after the test closed its own ends */
void rig_stop(struct rig *rig);

/** rig_turn() - one turn if there is anything to do soon */
void rig_turn(struct rig *rig);

/** rig_settle() - turn until there is nothing to do */
void rig_settle(struct rig *rig);

/** rig_until() - turn until @condition; fails the test if that never comes */
#define rig_until(rig, condition)                                   \
	do {                                                        \
		uint64_t give_up_ms = clock_ms() + TCP_PATIENCE_MS; \
		while (!(condition)) {                              \
			assert_true(clock_ms() < give_up_ms);       \
			rig_turn(rig);                              \
		}                                                   \
	} while (0)

/** rig_connect() - a client that is connected through to the server */
struct rig_session rig_connect(struct rig *rig);

/** rig_close() - the test's ends of it */
void rig_close(struct rig_session *rs);

/** rig_find() - the session of that client socket; 0 when there is none */
uint32_t rig_find(struct rig *rig, int client);

/** rig_n_lent() - pool buffers, without the worker's own */
uint32_t rig_n_lent(const struct rig *rig);

#endif /* G5X_TESTS_RIG_H */
