/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * session.h - one forwarded connection: its record, its states, the table of all.
 *
 *      client <──TCP──> end[CLIENT] │ session │ end[SERVER] <──TCP──> server
 *                          flow[CLIENT] = bytes from the client to the server
 *                          flow[SERVER] = bytes from the server to the client
 *
 * Sessions are numbers, from 1, into one array in a memfd; the two ends of session n
 * are slots 2n (client) and 2n+1 (server), so the peer of a slot is slot ^ 1. A
 * record holds no pointer and can be read by whoever maps the array: the management
 * port while workers run, later another process.
 *
 *      ACCEPTED ──> CONNECTING ──> RELAYING ──> CLIENT_ENDED ─┐
 *         │  ^          │ │           │  └────> SERVER_ENDED ─┤
 *         │  └──────────┘ │           │                       │
 *         └───────────────┴───────────┴───────────────────────┴──> CLOSED ──> FREE
 *
 * ACCEPTED: waits for a file descriptor to connect with. X_ENDED: the FIN of X was
 * passed on after all its bytes; the other direction goes on.
 *
 * I1: a record is written only by the worker that owns it (record->worker), from
 *     session_alloc() to session_free().
 * I2: a socket of a session is sent a FIN only when every byte before it was handed to
 *     it; in all other cases it is reset.
 */
#ifndef G5X_FORWARD_SESSION_H
#define G5X_FORWARD_SESSION_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/ilist.h"
#include "base/wheel.h"

enum session_state {
	SESSION_FREE,
	SESSION_ACCEPTED,
	SESSION_CONNECTING,
	SESSION_RELAYING,
	SESSION_CLIENT_ENDED,
	SESSION_SERVER_ENDED,
	SESSION_CLOSED,

	SESSION_STATE_N
};

/* To add one: here, a row in close_reasons[] in session.c, a line in g5x(8). */
enum close_reason {
	CLOSE_DONE,         /* both directions ended */
	CLOSE_CLIENT_RESET, /* RST from the client */
	CLOSE_SERVER_RESET, /* RST from the server */
	CLOSE_CLIENT_LEFT,  /* gone before a server was connected */
	CLOSE_NO_SERVER,    /* each server was tried and failed */
	CLOSE_SERVERS_FULL, /* each server has maxconns sessions */
	CLOSE_RULE_REMOVED, /* while connecting */
	CLOSE_IDLE_TIMEOUT, /* no byte in either direction for timeout */
	CLOSE_FIN_TIMEOUT,  /* one direction ended, the other silent for fin_timeout */
	CLOSE_CLEANED,      /* `clean forwards` after its rule changed */
	CLOSE_SHUTDOWN,     /* grace was over */
	CLOSE_NO_RESOURCES, /* memory, or no file descriptor in time */
	CLOSE_KERNEL_FAULT, /* spliced bytes went missing: see spliced.c */

	CLOSE_N_REASONS
};

enum { CLIENT, SERVER }; /* index of ends and flows */

/* One socket. */
struct session_end {
	int32_t fd;       /* -1: none */
	bool is_readable; /* epoll said so, and no read has said otherwise since */
	bool is_writable;
	bool has_hangup;   /* FIN or reset: its peer sends no more, read to the end */
	bool has_fin;      /* ... and epoll said so without an error: a FIN */
	bool has_error;    /* epoll said so: reads fail once what came before is read */
	bool is_urgent;    /* out-of-band data came: short reads prove nothing */
	bool is_cut;       /* a send told of its reset: a read of 0 is no FIN */
	bool is_spliced;   /* in the kernel's map: its bytes may go on without us */
	bool watches_in;   /* spliced: is epoll asked for EPOLLIN? */
	bool watches_out;  /* ... for EPOLLOUT? */
	uint32_t n_unsent; /* bytes still to be sent when the timer last looked */
};

/* Bytes that arrive at one end and must leave by the other. */
struct session_flow {
	uint64_t n_bytes; /* handed to the destination's socket */
	uint32_t buffer;  /* pool number of what waits for the destination; 0: none */
	uint32_t offset, len; /* of the waiting bytes in that buffer */
	bool has_eof;         /* the source's FIN was read */
	bool has_ended;       /* ... and passed on */
	/* spliced: */
	bool is_passing;  /* the kernel passes bytes up to us */
	bool is_drained;  /* I1 of splice.h was seen to hold, and still does */
	bool is_draining; /* we wait for that */
	bool is_behind;   /* passed bytes cannot be read yet: behind what is queued */
};

/* One direction that waits for a queue in the kernel; see spliced.c and bypassed.c. */
struct session_wait {
	uint64_t n_queued;   /* spliced: what it waits for; bypassed: bytes it took */
	uint32_t counted_ms; /* the last look that counts; low bits of the time */
	uint16_t wait_ms;    /* how long it waited for this look; 0: it does not */
	uint8_t n_still;     /* looks in a row that saw the same */
	uint8_t n_idle;      /* ... and nothing unacknowledged */
};

struct session_drain {
	struct ilink link; /* in the list of looks.h */
	uint64_t look_ms;  /* there: when to look again */
	uint64_t doom_ms;  /* doomed: to be reset then at the latest */
	struct session_wait way[2];
	bool is_doomed; /* to be reset when it is drained */
	uint8_t dead;   /* ... because of this end */
};

struct session {
	/* even while the record changes owner, odd while it is live: readers in other
	 * threads compare it before and after */
	uint32_t generation;
	uint8_t state;    /* enum session_state; atomic */
	uint8_t datapath; /* enum datapath, never AUTO once relaying */
	uint16_t worker;
	/* datapath auto, while it may still be promoted: see relay_promote() */
	bool may_promote;
	uint8_t last_from; /* which end's bytes were moved last */
	uint16_t n_turns;  /* how often that changed, since the last look */
	uint32_t n_turns_all;
	struct session_end end[2];
	struct session_flow flow[2];

	struct wheel_timer timer; /* the next thing to look at, see worker.c */
	struct ilink ready;       /* in the worker's list of sessions with work left */

	uint64_t last_active_ms; /* a byte moved, or a state changed */
	uint64_t deadline_ms;    /* ACCEPTED, CONNECTING: give up this try */
	uint32_t timeout_s;      /* 0: none; copies of the rule's at accept */
	uint32_t fin_timeout_s;
	uint64_t request_us; /* RT: last byte to the server; 0: no answer awaited */

	/* the books */
	uint32_t rule, server, client; /* numbers of states, each referenced; 0: none */
	uint32_t rule_version;
	uint32_t tried; /* worker's number of the list of tried servers; 0: none */
	uint32_t splice_limit;  /* bytes; the rule's at accept */
	bool measures_response; /* RT */
	uint8_t bypass_tries;   /* to find both applications on this host */
	struct addr client_addr, listener_addr, server_addr;
	uint64_t accepted_us, connected_us, first_byte_us; /* clock_us(); 0: not yet */
	struct session_drain drain;
} __attribute__((aligned(64)));

_Static_assert(sizeof(struct session) <= 384, "an idle session costs little");

/* How many sessions of a worker are in each state; written by that worker only. */
struct session_counts {
	uint32_t n[SESSION_STATE_N];
} __attribute__((aligned(64)));

struct session_table {
	struct session *sessions;      /* of session n at [n]; [0] is not used */
	struct session_counts *counts; /* owned; one for each worker */
	unsigned int n_workers;
	uint32_t capacity; /* highest session number */
	int memfd;
	size_t n_mapped; /* bytes */

	pthread_mutex_t lock; /* guards the three below */
	uint32_t first_free;  /* linked through ready.next */
	uint32_t
	        n_touched; /* records above were never used: their pages do not exist */
	uint32_t n_live;   /* atomic to read */
};

/** session_table_init() - room for @capacity sessions; 0 or -errno */
int session_table_init(struct session_table *t, uint32_t capacity,
                       unsigned int n_workers);
void session_table_fini(struct session_table *t);

/**
 * session_alloc() - take a free record, zeroed but for its generation, in ACCEPTED
 *
 * O(1), any thread. Return: its number, or 0 when @capacity are live.
 */
uint32_t session_alloc(struct session_table *t, unsigned int worker);

/** session_free() - the record must be CLOSED, its fds closed, its buffers returned */
void session_free(struct session_table *t, uint32_t number);

uint32_t session_n_live(const struct session_table *t);
/** session_n_touched() - no session ever had a higher number than this */
uint32_t session_n_touched(struct session_table *t);

/**
 * session_copy() - a consistent enough copy of a live record, from any thread
 *
 * Numbers in it may be a moment apart; it never mixes two sessions.
 *
 * Return: false when there is no session of that number.
 */
bool session_copy(const struct session_table *t, uint32_t number,
                  struct session *ret_copy);

/** session_set_state() - asserts that the drawing above has that edge, counts, logs */
void session_set_state(struct session_table *t, uint32_t number,
                       enum session_state state);

/** session_count() - how many are in @state now, over all workers */
uint32_t session_count(const struct session_table *t, enum session_state state);

const char *session_state_name(enum session_state state);
const char *close_reason_text(enum close_reason reason);

#endif /* G5X_FORWARD_SESSION_H */
