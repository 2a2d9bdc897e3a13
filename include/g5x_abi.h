/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * g5x_abi.h - everything that crosses the kernel boundary, and nothing else.
 *
 * The only header that bpf/ and user/ share: keys and values of maps, limits. Types of
 * fixed width, no pointers, no implicit padding, no functions. Keys and values are
 * structs with names, so that `bpftool map dump` prints fields instead of bytes.
 */
#ifndef G5X_ABI_H
#define G5X_ABI_H

#ifndef __VMLINUX_H__ /* bpf/ has these types from vmlinux.h already */
#include <linux/types.h>
#endif

/* Key of a map of sockets that is an array. */
struct g5x_slot {
	__u32 index;
};
_Static_assert(sizeof(struct g5x_slot) == 4, "ABI: a sockmap's key is 4 bytes");

/* Value of a map of sockets: an fd when it is put in, the cookie when it is read. */
struct g5x_socket {
	__u64 fd_or_cookie;
};
_Static_assert(sizeof(struct g5x_socket) == 8, "ABI: what lookups of a sockmap need");

/* What the probe's verdict program has seen, in slot 0 of g5x_probe_seen. */
struct g5x_probe_seen {
	__u64 chunks;
	__u64 bytes;
};
_Static_assert(sizeof(struct g5x_probe_seen) == 16, "ABI: no padding");

/*
 * A spliced session: bytes of both directions go from socket to socket in the kernel
 * (bpf/splice.bpf.c), beside those that the daemon relays. Entry n of g5x_sessions is
 * session n; all zero: not spliced. flow[0] and relayed[0] belong to the direction from
 * client to server, [1] to the reverse.
 *
 * Counters only grow. redirected + relayed - what the destination's TCP has taken is
 * queued inside the kernel.
 */
enum g5x_session_state {
	G5X_NOT_SPLICED,
	G5X_RELAYING,
	G5X_CLIENT_ENDED, /* the client's FIN was passed on */
	G5X_SERVER_ENDED,
};

/* One direction; written by the verdict program only, under the source's socket lock. */
struct g5x_flow {
	__u64 redirected; /* bytes sent on in the kernel */
	__u64 passed;     /* bytes handed up to the daemon */
	__u64 first_ns; /* CLOCK_MONOTONIC of the first byte since insertion; 0: none */
	__u64 last_ns;  /* ... and of the last */
	__u32 base;     /* destination's write_seq when nothing was redirected yet */
	__u32 next_seq; /* of the source: where the next chunk has to begin */
	__u32 mark;     /* chunks are counted before and after this place */
	__u32 n_before; /* chunks redirected and perhaps still queued */
	__u32 n_after;
	__u32 n_switches; /* times that bytes began to be passed up */
	__u32 n_gaps;     /* chunks that did not begin where they had to */
	__u32 reserved;
};
_Static_assert(sizeof(struct g5x_flow) == 64, "ABI: a direction has its cache line");

#define G5X_RULE_LEN 64
#define G5X_ADDRESS_LEN 48

struct g5x_session {
	char rule[G5X_RULE_LEN]; /* its id */
	char client[G5X_ADDRESS_LEN];
	char listener[G5X_ADDRESS_LEN];
	char server[G5X_ADDRESS_LEN];

	/* written by the daemon */
	enum g5x_session_state state;
	__u32 worker;     /* whose ring gets the events */
	__u32 generation; /* tells sessions with the same number apart */
	__u32 limit;      /* bytes: the send buffer of each socket */
	__u64 relayed
	        [2]; /* passed bytes that the daemon has put into the destination */

	/* Response times, where the balancing asks for them: from the last byte of a
	 * request to the first of its response. */
	__u32 wants_responses;
	__u32 n_responses;
	__u64 response_ns; /* sum */

	struct g5x_flow flow[2];
};
_Static_assert(sizeof(struct g5x_session) == 384, "ABI: six cache lines");
_Static_assert(__builtin_offsetof(struct g5x_session, flow) % 64 == 0,
               "ABI: each direction has its cache line");

/* Key of g5x_slots. */
struct g5x_cookie {
	__u64 cookie; /* SO_COOKIE */
};
_Static_assert(sizeof(struct g5x_cookie) == 8, "ABI: no padding");

/* To the ring of the session's worker: this slot passes bytes up from now on. */
struct g5x_event {
	__u32 slot;
	__u32 generation;
};
_Static_assert(sizeof(struct g5x_event) == 8, "ABI: no padding");

/* Since the start, all sessions together. */
struct g5x_totals {
	__u64 spliced;         /* sessions: handed to the kernel */
	__u64 half_spliced;    /* sessions: one end only, the other had sent its FIN */
	__u64 not_connected;   /* sessions left to copy: an end was not ESTABLISHED */
	__u64 table_full;      /* ... number is beyond the end of the maps */
	__u64 insert_failed;   /* ... the kernel said no */
	__u64 redirect_failed; /* chunks: passed up because of that */
	__u64 trimmed;         /* chunks: began with bytes seen before */
	__u64 gaps;            /* chunks: began too late */
	__u64 events_lost;     /* ring full: the worker looks at all its sessions */
	__u64 room_made; /* send buffers that had to grow, see splice_make_room() */
	__u64 receive_fitted; /* receive buffers, see splice_fit_receive_buffer() */
};
_Static_assert(sizeof(struct g5x_totals) == 88, "ABI: no padding");

/*
 * Bypass: both applications of a session run on this host, and what one sends goes into
 * the receive queue of the other (bpf/bypass.bpf.c, bpf/meet.bpf.c).
 */

/* A connection, as the end that began it sees it. Sequence numbers are those of the first
 * bytes: with them it is one of a kind, among all network namespaces. */
struct g5x_connection {
	__u32 local[4]; /* network byte order; IPv4 as ::ffff:a.b.c.d */
	__u32 remote[4];
	__u16 local_port; /* host byte order */
	__u16 remote_port;
	__u32 local_seq;
	__u32 remote_seq;
};
_Static_assert(sizeof(struct g5x_connection) == 44, "ABI: no padding");

/* An application's socket. */
struct g5x_local {
	__u64 cookie;    /* SO_COOKIE; 0: none */
	__u64 tcp_sock;  /* where it is in the kernel */
	__u32 sent_from; /* sequence number of the first byte that it sends */
	__u32 reserved;
};
_Static_assert(sizeof(struct g5x_local) == 24, "ABI: no padding");

/* What is known of a connection between an application and us. */
struct g5x_meeting {
	struct g5x_local application;
	__u32 is_to_server; /* we began it */
	__u32 reserved;
};
_Static_assert(sizeof(struct g5x_meeting) == 32, "ABI: no padding");

/* Kept with a socket of our own. */
enum g5x_own_state {
	G5X_OWN_NEW,       /* is about to connect to a server */
	G5X_OWN_CONNECTED, /* has done so */
	G5X_OWN_ACCEPTED,  /* its client is an application on this host */
};

struct g5x_own_socket {
	enum g5x_own_state state;
	struct g5x_connection connection; /* CONNECTED */
	struct g5x_local application;     /* ACCEPTED */
	__u64 tcp_sock;
};
_Static_assert(sizeof(struct g5x_own_socket) == 80, "ABI: no padding");

/* Where a client connects to when it wants us. */
struct g5x_listener {
	__u32 address[4]; /* as above */
	__u32 port;       /* host byte order */
};
_Static_assert(sizeof(struct g5x_listener) == 20, "ABI: no padding");

/* Key is the cookie of a socket that sends. */
struct g5x_way {
	__u32 session;
	__u32 from;    /* the end whose bytes these are: 0 client, 1 server */
	__u32 is_ours; /* the socket is the daemon's; else the application's */
};
_Static_assert(sizeof(struct g5x_way) == 12, "ABI: no padding");

/* One direction. The daemon writes what is above the line, the programs the rest. */
struct g5x_bypass_flow {
	struct g5x_local from; /* cookie 0: the flow is nobody's */
	struct g5x_local to;
	__u64 our_cookie; /* our socket that is connected to @to */
	__u64 our_sock;   /* ... its tcp_sock */
	__u64 relayed;    /* bytes from @from that we have sent there */
	/* ---- */
	__u64 direct;   /* bytes put into the queue of @to by @from itself */
	__u64 injected; /* ... by us; relayed counts them as well */
	__u64 first_ns; /* CLOCK_MONOTONIC of the first byte; 0: none */
	__u64 last_ns;  /* ... of the last; may be 10 ms late */
	__u32 mark;     /* messages are counted before and after this place */
	__u32 n_before; /* messages in the queue, at the most */
	__u32 n_after;
	/* Messages that had to go the long way, and why. */
	__u32 n_behind; /* earlier bytes were with us */
	__u32 n_unread; /* earlier bytes came by TCP and were not read */
	__u32 n_full;   /* the queue was */
	__u32 n_closed; /* an end was closing, or encrypts in the kernel */
	__u32 has_read; /* all that we sent by TCP was read, and none sent since */
	__u32 is_cut;   /* @to was closed with bytes in its queue */
	__u32 reserved;
};
_Static_assert(sizeof(struct g5x_bypass_flow) == 144, "ABI: no padding");

/* From the daemon: may it send so many bytes of that direction now? */
struct g5x_question {
	__u32 session;
	__u32 from;
	__u32 n_bytes;
	/* The answer tells: */
	__u32 n_queued; /* bytes in the reader's queue */
	__u32 n_by_tcp; /* how many could follow those of TCP that it has not read */
	__u32 reserved;
};
_Static_assert(sizeof(struct g5x_question) == 24, "ABI: no padding");

struct g5x_bypass_session {
	char rule[G5X_RULE_LEN]; /* its id */
	char client[G5X_ADDRESS_LEN];
	char listener[G5X_ADDRESS_LEN];
	char server[G5X_ADDRESS_LEN];
	__u32 limit; /* bytes in a queue, at the most */
	__u32 wants_responses;
	__u32 n_responses;
	__u32 reserved;
	__u64 response_ns; /* sum */
	struct g5x_bypass_flow flow[2];
};
_Static_assert(sizeof(struct g5x_bypass_session) == 520, "ABI: no padding");

/*
 * The guard (bpf/guard.bpf.c): what no rule would accept is dropped before it is a socket.
 * Only packets that begin a connection (SYN without ACK or RST) are looked at.
 *
 * A rule set is four maps in one place of four maps of maps. There are two places, and
 * g5x_guard_active says which one counts: a packet reads it once and stays with it.
 */
struct g5x_source {
	__u32 family; /* 4 or 6 */
	__u32 address
	        [4]; /* network byte order; IPv4 is the first word, the rest zero */
};
_Static_assert(sizeof(struct g5x_source) == 20, "ABI: no padding");

/* Where a client connects to. */
struct g5x_guard_address {
	struct g5x_source ip;
	__u32 port; /* host byte order */
};
_Static_assert(sizeof(struct g5x_guard_address) == 24, "ABI: no padding");

/* Key of a trie: a blocked network. */
struct g5x_block_key {
	__u32 prefix_len; /* 32 + bits of the network */
	struct g5x_source network;
};
_Static_assert(sizeof(struct g5x_block_key) == 24, "ABI: no padding");

struct g5x_block {
	__u64 until_ns; /* CLOCK_MONOTONIC; 0: for ever. Of all networks around it the latest */
};
_Static_assert(sizeof(struct g5x_block) == 8, "ABI: no padding");

/* Key of a trie of the rule set: a network that a listener has a client pattern for. */
struct g5x_client_key {
	__u32 prefix_len; /* 64 + bits of the network */
	__u32 listener;   /* number in the rule set */
	struct g5x_source network;
};
_Static_assert(sizeof(struct g5x_client_key) == 28, "ABI: no padding");

#define G5X_GLOB_N_CHARACTERS 18

/*
 * A glob as a set of places in it that a text can have got to: bit i is "the first i
 * characters of the glob are matched". A character moves a place on, or keeps it where a
 * '*' stands before the next one.
 */
struct g5x_glob {
	/* Bit i: the glob's i-th character is this one, or '?'. "0".."9", "a".."f" ".", ":". */
	__u64 takes[G5X_GLOB_N_CHARACTERS];
	__u64 stays; /* bit i: a '*' stands before the i-th character, or at the end */
	__u64 end;   /* the place of the end, one bit; 0: matches nothing */
};
_Static_assert(sizeof(struct g5x_glob) == 160, "ABI: no padding");

enum g5x_pattern_kind {
	G5X_PATTERN_ANY,
	G5X_PATTERN_PREFIX, /* IP */
	G5X_PATTERN_EXACT,  /* port */
	G5X_PATTERN_GLOB,
};

/* A client pattern that is more than a network with any port. */
struct g5x_client_pattern {
	__u32 ip_kind;
	__u32 port_kind;
	struct g5x_source network; /* GLOB: the family alone; 0: the text of either */
	__u32 prefix_len;          /* bits */
	__u32 port;                /* host byte order */
	__u32 reserved;
	struct g5x_glob ip;
	struct g5x_glob port_text;
};
_Static_assert(sizeof(struct g5x_client_pattern) == 360, "ABI: no padding");

#define G5X_GUARD_N_PATTERNS 64 /* of one listener, at the most */

/* Value of the rule set's map of addresses. */
struct g5x_guarded {
	struct g5x_guard_address
	        listener; /* as configured, perhaps a wildcard: counters */
	__u32 number;
	__u32 takes_all;    /* some rule wants everybody */
	__u32 has_networks; /* the trie of clients has some of it */
	__u32 first_pattern;
	__u32 n_patterns;
	__u32 is_manage; /* limits and rates are not for those who manage */
};
_Static_assert(sizeof(struct g5x_guarded) == 48, "ABI: no padding");

/* Rates as in GCRA (ITU-T I.371): a connection each interval, some of them at once. */
struct g5x_guard_settings {
	__u64 source_interval_ns; /* 0: no rate */
	__u64 source_slack_ns;    /* interval x (burst - 1) */
	__u64 listener_interval_ns;
	__u64 listener_slack_ns;
	__u32 limits_sessions; /* g5x_guard_full counts */
	__u32 is_dry_run;      /* count, and let all through */
	__u32 rejects;         /* answer with a reset */
	__u32 reserved;
};
_Static_assert(sizeof(struct g5x_guard_settings) == 48, "ABI: no padding");

enum g5x_drop_reason {
	G5X_DROP_BLOCKED,
	G5X_DROP_NO_RULE,
	G5X_DROP_SESSIONS,
	G5X_DROP_SOURCE_RATE,
	G5X_DROP_LISTENER_RATE,

	G5X_DROP_N
};

struct g5x_drops {
	__u64 blocked;
	__u64 no_rule;
	__u64 sessions;
	__u64 source_rate;
	__u64 listener_rate;
};
_Static_assert(sizeof(struct g5x_drops) == 8 * G5X_DROP_N, "ABI: one for each reason");

/* Of a listener, for each CPU; packets. */
struct g5x_guard_counts {
	__u64 passed;
	__u64 reset; /* of those dropped */
	struct g5x_drops dropped;
	struct g5x_drops would_drop; /* in a dry run; passed counts them as well */
};
_Static_assert(sizeof(struct g5x_guard_counts) == 96, "ABI: no padding");

struct g5x_pace {
	__u64 next_ns; /* CLOCK_MONOTONIC: when the next one is due at this rate */
};
_Static_assert(sizeof(struct g5x_pace) == 8, "ABI: no padding");

/* A packet was dropped, one of many. */
struct g5x_guard_event {
	struct g5x_guard_address source;
	struct g5x_guard_address listener; /* as in g5x_guarded */
	__u32 reason;
	__u32 ifindex;
	__u32 is_dry_run;
	__u32 reserved;
	__u64 n_untold; /* others since the last event of this CPU */
};
_Static_assert(sizeof(struct g5x_guard_event) == 72, "ABI: no padding");

#endif /* G5X_ABI_H */
