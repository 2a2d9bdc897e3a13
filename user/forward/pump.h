/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * pump.h - moves the bytes of one direction of a session through the daemon.
 *
 * What the copy datapath does with all bytes, and the spliced one with those that the
 * kernel passes up.
 */
#ifndef G5X_FORWARD_PUMP_H
#define G5X_FORWARD_PUMP_H

struct session;
struct worker;

enum pump_result {
	PUMP_WAIT,        /* until epoll reports */
	PUMP_MORE,        /* there is more to do: make it ready */
	PUMP_DRAIN,       /* spliced or bypassed: until we may write; look again */
	PUMP_BEHIND,      /* spliced: until passed bytes can be read; look again */
	PUMP_ENDED,       /* this direction is over */
	PUMP_SOURCE_DEAD, /* read failed: reset */
	PUMP_DEST_DEAD,   /* write failed: reset */
	PUMP_NO_MEMORY,
	PUMP_FAULT, /* spliced: the kernel's counters and its bytes disagree */
};

/* Of an end that was reset: more calls than a receive buffer has bytes for. */
#define PUMP_LAST_SHARES 1024

/**
 * pump() - move bytes that came at end @from until there is a reason to stop
 *
 * At most a share of 256 KiB, so that others get their turn. Closes nothing.
 */
enum pump_result pump(struct worker *w, struct session *s, int from);

#endif /* G5X_FORWARD_PUMP_H */
