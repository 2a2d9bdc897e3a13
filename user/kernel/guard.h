/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * guard.h - XDP: what no rule would accept is dropped before it becomes a socket.
 *
 * The daemon enforces all of it as well, so the guard is never needed: what it cannot
 * parse, look up or decide it lets through (bpf/guard.bpf.c). It looks at packets that begin
 * a connection and at no other.
 *
 * G1: a packet sees one rule set, the old or the new.
 * G2: with the daemon the programs leave the interfaces (bpf_link, Linux 5.9).
 * G3: what is dropped here would be refused by the daemon. (Rates are counted by attempts
 *     here, and by connections there: forged addresses use up the first alone.)
 *
 * Thread: the main thread; guard_set_full() any.
 */
#ifndef G5X_KERNEL_GUARD_H
#define G5X_KERNEL_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "g5x_abi.h"

struct guard;

#define GUARD_BLOCKS_MAX 65536
#define GUARD_LISTENERS_MAX 4096 /* that have counters */

/**
 * guard_open() - load the program; it is nowhere attached and has no rule set
 * @ret_step: names what failed
 *
 * Return: 0 or -errno.
 */
int guard_open(struct guard **ret_guard, const char **ret_step);

/** guard_close() - detaches, unpins; NULL is fine */
void guard_close(struct guard *g);

/** guard_pin() - as splice_pin(), in the directory `guard` below @dir */
int guard_pin(struct guard *g, const char *dir);

/* ---- interfaces ------------------------------------------------------------------- */

enum guard_mode {
	GUARD_NATIVE,  /* in the driver */
	GUARD_GENERIC, /* behind it, where the driver cannot, or must not */
};

/**
 * guard_attach() - to an interface; native if its driver can
 * @answers: what it drops will be answered with resets (settings.rejects of its rule set):
 *           then generic on veth, whose driver may lose them, and the wire
 *
 * Return: 0; -EBUSY when another program is there; -ENODEV; or another -errno.
 */
int guard_attach(struct guard *g, unsigned int ifindex, bool answers,
                 enum guard_mode *ret_mode);

/** guard_suits() - is it attached as guard_attach() with this @answers would? */
bool guard_suits(const struct guard *g, unsigned int ifindex, bool answers);

/** guard_is_attached() - still? An interface that goes takes its program along. */
bool guard_is_attached(const struct guard *g, unsigned int ifindex);

/** guard_detach() - -ENOENT: it is not attached there */
int guard_detach(struct guard *g, unsigned int ifindex);

/* ---- the rule set ----------------------------------------------------------------- */

struct guard_address {
	struct g5x_guard_address key;
	struct g5x_guarded value;
};

/* Borrowed arrays. */
struct guard_set {
	struct g5x_guard_settings settings;
	const struct guard_address
	        *addresses; /* of two with one key the first counts */
	size_t n_addresses;
	const struct g5x_client_key *networks;
	size_t n_networks;
	const struct g5x_client_pattern *patterns;
	size_t n_patterns;
};

/**
 * guard_publish() - from one rule set to another at once (G1)
 *
 * Listeners that the new one does not have lose their counters. Waits for packets that
 * are under way: some ten milliseconds.
 *
 * Return: 0, or -errno: then the old one is still in force.
 */
int guard_publish(struct guard *g, const struct guard_set *set);

/** guard_source() - the address as a key; port and scope are left out */
struct g5x_source guard_source(const struct addr *a);

/**
 * guard_glob() - compile a glob over the text of an IP address or a port
 *
 * One that no such text can match gets end = 0.
 */
void guard_glob(struct g5x_glob *to, const char *glob);

/* ---- sources ---------------------------------------------------------------------- */

/** guard_block(), guard_unblock() - 0 or -errno; @until_ns: see struct g5x_block */
int guard_block(struct guard *g, const struct addr *network, unsigned int bits,
                uint64_t until_ns);
int guard_unblock(struct guard *g, const struct addr *network, unsigned int bits);

/** guard_set_full() - has this address as many sessions as it may have? 0 or -errno */
int guard_set_full(struct guard *g, const struct addr *source, bool is_full);

/** guard_forget_full() - none has; before another limit comes into force */
void guard_forget_full(struct guard *g);

/* ---- what it has seen ------------------------------------------------------------- */

/** guard_counts() - the sums over all CPUs; zeroes for one it does not know */
void guard_counts(const struct guard *g, const struct g5x_guard_address *listener,
                  struct g5x_guard_counts *ret_counts);

typedef void (*guard_event_fn)(void *ctx, const struct g5x_guard_event *event);

/** guard_events_fd() - readable when there are events */
int guard_events_fd(const struct guard *g);
void guard_read_events(struct guard *g, guard_event_fn fn, void *ctx);

/** guard_program_fd() - for BPF_PROG_TEST_RUN */
int guard_program_fd(const struct guard *g);

#endif /* G5X_KERNEL_GUARD_H */
