/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * rawpeer.h - a TCP client that is no kernel's: it sends segments as a test cuts them.
 *
 *      rawpeer 192.0.2.2 <──TUN──> 192.0.2.1 the kernel's TCP
 *
 * Its stream is a pattern, the same for everybody, and places in it are counted from 0:
 * bytes that are sent again are the same bytes. It acknowledges what it gets, in order.
 * Without SACK and timestamps; waiting fails the test after TCP_PATIENCE_MS.
 */
#ifndef G5X_TESTS_RAWPEER_H
#define G5X_TESTS_RAWPEER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The most that one segment may carry. */
#define RAWPEER_MAX (65535 - 40)

enum rawpeer_flags { RAWPEER_FIN = 1, RAWPEER_URGENT = 2 /* the last byte is */ };

struct rawpeer {
	int tun_fd;
	uint16_t port;
	uint32_t first_seq; /* of byte 0 of the stream */
	uint32_t n_sent;    /* where rawpeer_feed() goes on */
	uint32_t n_acked;   /* a FIN counts as one */
	uint32_t window, first_window, most_window;
	unsigned int shift; /* of the windows that come */
	uint64_t acked_ms;  /* when n_acked grew, or a segment went again */

	uint32_t next_seq; /* of the kernel's stream */
	uint32_t n_received;
	bool has_fin, has_reset;
};

/**
 * rawpeer_open() - move this process into a network namespace of its own, with a TUN
 *
 * Return: 0, or -errno where that is not possible; the process is where it was then.
 */
int rawpeer_open(struct rawpeer *p);
void rawpeer_close(struct rawpeer *p);

/**
 * rawpeer_connect() - to a socket that listens on any address
 * @first_seq: what the first byte gets
 *
 * Return: the kernel's end, accepted, not blocking.
 */
int rawpeer_connect(struct rawpeer *p, uint32_t first_seq);

/** rawpeer_send() - one segment with the bytes [@from, @until) */
void rawpeer_send(struct rawpeer *p, uint32_t from, uint32_t until, unsigned int flags);

/** rawpeer_feed() - go on in segments of @piece bytes, as far as the window allows
 *
 * What gets no acknowledgement for a while goes again: it may have been lost, and so may
 * the acknowledgement.
 *
 * Return: false when nothing moved.
 */
bool rawpeer_feed(struct rawpeer *p, uint32_t until, uint32_t piece);

/** rawpeer_read() - take all that the kernel has sent; false when there was nothing */
bool rawpeer_read(struct rawpeer *p);

/** rawpeer_wait_acked() - until all before @place is acknowledged */
void rawpeer_wait_acked(struct rawpeer *p, uint32_t place);

/** rawpeer_bytes() - of the stream, from @place, RAWPEER_MAX at the least */
const char *rawpeer_bytes(uint32_t place);

#endif /* G5X_TESTS_RAWPEER_H */
