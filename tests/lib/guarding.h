/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * guarding.h - a guard without interfaces, and frames for it that no wire has seen.
 *
 * Frames are run through the program one by one (BPF_PROG_TEST_RUN).
 */
#ifndef G5X_TESTS_GUARDING_H
#define G5X_TESTS_GUARDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/guard_rules.h"
#include "kernel/guard.h"

#define GUARDING_FIN 0x01
#define GUARDING_SYN 0x02
#define GUARDING_RST 0x04
#define GUARDING_ACK 0x10

/* Zeroes and two addresses are a plain SYN. */
struct guarding_frame {
	unsigned int n_tags; /* VLAN: 0x8100; of two the outer one is 0x88a8 */
	unsigned int ether_type, inner_tag; /* 0: the right ones */
	unsigned int n_options;             /* IPv4: bytes of them */
	unsigned int fragment;              /* IPv4: field of flags and offset */
	/* IPv6, one letter for each header: hop-by-hop, destination options (D: of 1 KiB),
	 * routing (R: with segments left), authentication (A: of 12 bytes), fragment,
	 * mobility */
	const char *extensions;
	unsigned int protocol; /* 0: TCP */
	unsigned int flags;    /* 0: SYN */
	uint32_t seq;
	unsigned int n_tcp_options, n_payload;
	unsigned int n_padding; /* after the IP packet */
	uint8_t to_mac;         /* first byte of the destination's; 0: 2 */
	struct addr from, to;
};

#define GUARDING_FRAME_MAX 4096

struct guarding_bytes {
	size_t len;
	size_t ip_at, tcp_at;
	uint8_t at[GUARDING_FRAME_MAX];
};

struct guarding {
	struct guard *g;
	struct guard_rules rules;
	struct guarding_bytes out; /* what the last frame became */
};

/** guarding_open() - skips the test where BPF is not allowed; without rules */
void guarding_open(struct guarding *in);
void guarding_close(struct guarding *in);

/** guarding_listen() - a listener in the rules, reached at its own address */
void guarding_listen(struct guarding *in, const char *listener);

/** guarding_take() - it takes clients of this pattern */
void guarding_take(struct guarding *in, const char *pattern);
void guarding_publish(struct guarding *in);

/** guarding_new_rules() - begin with an empty set; what is published stays so */
void guarding_new_rules(struct guarding *in);

struct guarding_frame guarding_frame(const char *from, const char *to);
void guarding_build(const struct guarding_frame *f, struct guarding_bytes *to);

/** guarding_run() - the program's verdict about @n bytes; in->out is what became of them */
uint32_t guarding_run(struct guarding *in, const uint8_t *bytes, size_t n);
uint32_t guarding_verdict(struct guarding *in, const struct guarding_frame *f);

/** guarding_syn() - does a plain SYN from there to there pass? */
bool guarding_syn(struct guarding *in, const char *from, const char *to);

struct g5x_guard_counts guarding_counts(const struct guarding *in,
                                        const char *listener);

#endif /* G5X_TESTS_GUARDING_H */
