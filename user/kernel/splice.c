// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * splice.c - see splice.h. Loads bpf/splice.bpf.c and keeps its maps.
 *
 * How the daemon knows what a socket's TCP was given (written): acknowledged bytes, from
 * TCP_INFO, plus SIOCOUTQ, which is write_seq - snd_una. Both are exact, whatever is
 * retransmitted or dropped on the way out; tcpi_bytes_sent - tcpi_bytes_retrans is not,
 * for a segment that a queue below refuses counts as sent. Read in this order an
 * acknowledgement in between makes it too little, never too much: what seems queued may
 * have left, what seems drained is.
 */
#include "kernel/splice.h"

#include <errno.h>
#include <limits.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/cleanup.h"
#include "kernel/entry.h"
#include "kernel/pins.h"
#include "splice.skel.h"

/* For 4096 events; more than that and a worker looks at all its sessions. */
#define RING_SIZE (64U << 10)

/* Of an overfull receive buffer: room for what TCP has dropped, to be sent again. */
#define RECEIVE_MARGIN (256U << 10)

/* Only the daemon's. */
struct own {
	__u64 cookie[2];
	__u64 base[2]; /* what end's TCP had been given at insertion */
	struct entry_responses responses; /* taken */
	bool was_reset[2];                /* said the peek at insertion */
};

struct ring {
	int fd;
	struct ring_buffer *reader;
	__u64 n_lost; /* of totals->events_lost, as of the last call */
	splice_event_fn fn;
	void *ctx;
};

struct splice {
	struct splice_bpf *skel;
	uint32_t n_sessions;
	struct g5x_session *sessions; /* mapped */
	size_t n_mapped;
	struct g5x_totals *totals; /* mapped */
	struct own *own;           /* mapped, so that pages come when they are used */
	size_t n_own_mapped;
	struct ring *rings; /* owned, as are their fds and readers */
	unsigned int n_rings;
	struct pins pins;
};

static size_t whole_pages(size_t n)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (n + page - 1) / page * page;
}

/* ---- load ------------------------------------------------------------------ */

static int on_event(void *ctx, void *data, size_t len)
{
	struct ring *ring = ctx;

	if (len == sizeof(struct g5x_event))
		ring->fn(ring->ctx, data);
	return 0;
}

static int set_sizes(struct splice_bpf *skel, const struct splice_options *options)
{
	const struct {
		struct bpf_map *map;
		uint32_t n;
	} sizes[] = {
		{ skel->maps.g5x_sockets, 2 * (options->n_sessions + 1) },
		{ skel->maps.g5x_slots, 2 * (options->n_sessions + 1) },
		{ skel->maps.g5x_sessions, options->n_sessions + 1 },
		{ skel->maps.g5x_events, options->n_workers },
	};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		int r = bpf_map__set_max_entries(sizes[i].map, sizes[i].n);

		if (r < 0)
			return r;
	}
	return 0;
}

static void *map_shared(const struct bpf_map *map, size_t n)
{
	void *at = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map),
	                0);

	return at == MAP_FAILED ? NULL : at;
}

static int map_memory(struct splice *sp)
{
	sp->n_mapped = whole_pages((sp->n_sessions + 1) * sizeof(*sp->sessions));
	sp->sessions = map_shared(sp->skel->maps.g5x_sessions, sp->n_mapped);
	if (!sp->sessions)
		return -errno;
	sp->totals = map_shared(sp->skel->maps.g5x_totals, whole_pages(1));
	if (!sp->totals)
		return -errno;
	sp->n_own_mapped = whole_pages((sp->n_sessions + 1) * sizeof(*sp->own));
	sp->own = mmap(NULL, sp->n_own_mapped, PROT_READ | PROT_WRITE,
	               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (sp->own == MAP_FAILED) {
		sp->own = NULL;
		return -errno;
	}
	return 0;
}

static int open_ring(struct splice *sp, unsigned int number)
{
	struct ring *ring = &sp->rings[number];
	struct g5x_slot key = { .index = number };

	*ring = (struct ring){ .fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "g5x_ring", 0,
		                                    0, RING_SIZE, NULL) };
	if (ring->fd < 0)
		return ring->fd;
	sp->n_rings = number + 1;
	ring->reader = ring_buffer__new(ring->fd, on_event, ring, NULL);
	if (!ring->reader)
		return -errno;
	return bpf_map_update_elem(bpf_map__fd(sp->skel->maps.g5x_events), &key,
	                           &ring->fd, BPF_ANY);
}

static int open_rings(struct splice *sp, unsigned int n)
{
	sp->rings = calloc(n, sizeof(*sp->rings));
	if (!sp->rings)
		return -ENOMEM;
	for (unsigned int i = 0; i < n; i++) {
		int r = open_ring(sp, i);

		if (r < 0)
			return r;
	}
	return 0;
}

static int load(struct splice *sp, const struct splice_options *options,
                const char **ret_step)
{
	int r;

	*ret_step = "cannot load the splice program";
	sp->skel = splice_bpf__open();
	if (!sp->skel)
		return -errno;
	sp->skel->rodata->g5x_has_sequence = !options->has_no_sequence;
	r = set_sizes(sp->skel, options);
	if (r == 0)
		r = splice_bpf__load(sp->skel);
	if (r < 0)
		return r;
	*ret_step = "cannot map the counters";
	r = map_memory(sp);
	if (r < 0)
		return r;
	*ret_step = "cannot make ring buffers";
	r = open_rings(sp, options->n_workers);
	if (r < 0)
		return r;
	*ret_step = "cannot attach the splice program";
	return bpf_prog_attach(bpf_program__fd(sp->skel->progs.g5x_splice),
	                       bpf_map__fd(sp->skel->maps.g5x_sockets),
	                       BPF_SK_SKB_STREAM_VERDICT, 0);
}

int splice_open(const struct splice_options *options, struct splice **ret_splice,
                const char **ret_step)
{
	struct splice *sp = calloc(1, sizeof(*sp));
	int r;

	*ret_step = "out of memory";
	if (!sp)
		return -ENOMEM;
	sp->n_sessions = options->n_sessions;
	r = load(sp, options, ret_step);
	if (r < 0) {
		splice_close(sp);
		return r;
	}
	*ret_splice = sp;
	return 0;
}

void splice_close(struct splice *sp)
{
	if (!sp)
		return;
	pins_remove(&sp->pins);
	for (unsigned int i = 0; i < sp->n_rings; i++) {
		ring_buffer__free(sp->rings[i].reader);
		close(sp->rings[i].fd);
	}
	free(sp->rings);
	if (sp->own)
		munmap(sp->own, sp->n_own_mapped);
	if (sp->totals)
		munmap(sp->totals, whole_pages(1));
	if (sp->sessions)
		munmap(sp->sessions, sp->n_mapped);
	splice_bpf__destroy(sp->skel);
	free(sp);
}

int splice_pin(struct splice *sp, const char *dir)
{
	const struct pin wanted[] = {
		{ "sessions", bpf_map__fd(sp->skel->maps.g5x_sessions) },
		{ "sockets", bpf_map__fd(sp->skel->maps.g5x_sockets) },
		{ "slots", bpf_map__fd(sp->skel->maps.g5x_slots) },
		{ "totals", bpf_map__fd(sp->skel->maps.g5x_totals) },
	};

	return pins_make(&sp->pins, dir, wanted, ARRAY_SIZE(wanted));
}

/* ---- sessions -------------------------------------------------------------- */

struct g5x_session *splice_session(const struct splice *sp, uint32_t number)
{
	return &sp->sessions[number];
}

struct g5x_totals *splice_totals(const struct splice *sp)
{
	return sp->totals;
}

uint32_t splice_n_sessions(const struct splice *sp)
{
	return sp->n_sessions;
}

static struct tcp_info get_info(int fd)
{
	struct tcp_info info;
	socklen_t len = sizeof(info);

	memset(&info, 0, sizeof(info));
	getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len);
	return info;
}

static __u64 n_acknowledged(int fd)
{
	return get_info(fd).tcpi_bytes_acked;
}

static __u64 n_unacknowledged(int fd)
{
	int n = 0;

	ioctl(fd, SIOCOUTQ, &n);
	return (__u64)n;
}

/* Head of the file: at the most what @fd's TCP was given. */
static __u64 n_written(int fd)
{
	__u64 n = n_acknowledged(fd);

	return n + n_unacknowledged(fd);
}

/* Exactly: nobody writes now, but acknowledgements come. */
static __u64 n_written_exactly(int fd)
{
	struct tcp_info info = get_info(fd);
	__u64 before = info.tcpi_bytes_acked, after, n;

	if (info.tcpi_unacked == 0 && info.tcpi_notsent_bytes == 0)
		return before;
	for (;;) {
		n = before + n_unacknowledged(fd);
		after = n_acknowledged(fd);
		if (after == before)
			return n;
		before = after;
	}
}

uint64_t splice_n_redirected(const struct splice *sp, uint32_t number, int from)
{
	return __atomic_load_n(&sp->sessions[number].flow[from].redirected,
	                       __ATOMIC_ACQUIRE);
}

uint64_t splice_n_passed(const struct splice *sp, uint32_t number, int from)
{
	return __atomic_load_n(&sp->sessions[number].flow[from].passed,
	                       __ATOMIC_ACQUIRE);
}

uint64_t splice_n_relayed(const struct splice *sp, uint32_t number, int from)
{
	return __atomic_load_n(&sp->sessions[number].relayed[from], __ATOMIC_RELAXED);
}

uint64_t splice_n_queued(const struct splice *sp, uint32_t number, int from, int fd)
{
	const struct own *own = &sp->own[number];
	/* Redirected first: what is redirected after it was read is written after. */
	uint64_t redirected = splice_n_redirected(sp, number, from);
	uint64_t sent = redirected + splice_n_relayed(sp, number, from);
	uint64_t written;

	if (redirected == 0)
		return 0;
	written = n_written(fd) - own->base[!from];
	return written >= sent ? 0 : sent - written;
}

bool splice_relayed(struct splice *sp, uint32_t number, int from, uint32_t n)
{
	struct g5x_session *s = &sp->sessions[number];
	__u64 relayed = s->relayed[from] + n;
	/* Before the store: if it is more, passed and relayed differ all the time. */
	__u64 passed = splice_n_passed(sp, number, from);

	__atomic_store_n(&s->relayed[from], relayed, __ATOMIC_RELEASE);
	return passed > relayed;
}

void splice_set_state(struct splice *sp, uint32_t number, enum g5x_session_state state)
{
	sp->sessions[number].state = state;
}

int64_t splice_take_response_us(struct splice *sp, uint32_t number)
{
	const struct g5x_session *s = &sp->sessions[number];

	return entry_take_response_us(&sp->own[number].responses, &s->response_ns,
	                              &s->n_responses);
}

/*
 * I5: the program redirects what the destination's send buffer has room for, so that
 * buffer is the limit. Set, it no longer grows by itself.
 */
static int set_limit(int fd, uint32_t limit)
{
	const int half = (int)(limit / 2); /* the kernel doubles it, see socket(7) */

	const int all = INT_MAX;

	/* The system's net.ipv4.tcp_notsent_lowat would be another, lower limit. */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &half, sizeof(half)) < 0 ||
	    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &all, sizeof(all)) < 0)
		return -errno;
	return 0;
}

/* What a chunk that comes as soon as the sockets are in has to find. */
static int prepare(struct splice *sp, const struct splice_pair *pair)
{
	struct g5x_session *s = &sp->sessions[pair->number];
	struct own *own = &sp->own[pair->number];

	memset(s, 0, sizeof(*s));
	entry_set_text(s->rule, sizeof(s->rule), pair->rule);
	entry_set_text(s->client, sizeof(s->client), pair->client);
	entry_set_text(s->listener, sizeof(s->listener), pair->listener);
	entry_set_text(s->server, sizeof(s->server), pair->server);
	s->worker = pair->worker;
	s->generation = pair->generation;
	s->limit = pair->limit;
	s->wants_responses = pair->wants_responses;
	s->state = G5X_RELAYING;
	for (int i = 0; i < 2; i++) {
		socklen_t len = sizeof(own->cookie[i]);

		int r = set_limit(pair->fd[i], pair->limit);

		if (r < 0)
			return r;
		own->base[i] = n_written_exactly(pair->fd[i]);
		if (getsockopt(pair->fd[i], SOL_SOCKET, SO_COOKIE, &own->cookie[i],
		               &len) < 0)
			return -errno;
	}
	return 0;
}

static int add_slot(struct splice *sp, uint32_t number, int side)
{
	struct g5x_cookie cookie = { .cookie = sp->own[number].cookie[side] };
	struct g5x_slot slot = { .index = 2 * number + (uint32_t)side };

	return bpf_map_update_elem(bpf_map__fd(sp->skel->maps.g5x_slots), &cookie,
	                           &slot, BPF_NOEXIST);
}

static int add_socket(struct splice *sp, const struct splice_pair *pair, int side)
{
	struct g5x_slot slot = { .index = 2 * pair->number + (uint32_t)side };
	struct g5x_socket socket = { .fd_or_cookie = (__u64)pair->fd[side] };

	return bpf_map_update_elem(bpf_map__fd(sp->skel->maps.g5x_sockets), &slot,
	                           &socket, BPF_NOEXIST);
}

/* Bytes that came before the insertion wait in the receive queue, unseen by the program
 * until a receive looks for them; a read of 0 bytes would not (6.18). */
static void show_early_bytes(struct splice *sp, uint32_t number, int side, int fd)
{
	char byte;

	/* A socket tells of its reset once; after that it says 0, as at a FIN. */
	sp->own[number].was_reset[side] = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) <
	                                          0 &&
	                                  errno != EAGAIN;
}

static void count(__u64 *total)
{
	__atomic_add_fetch(total, 1, __ATOMIC_RELAXED);
}

void splice_fit_receive_buffer(struct splice *sp, int fd)
{
	uint32_t info[SK_MEMINFO_VARS] = { 0 };
	socklen_t len = sizeof(info);
	int half;

	if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &len) < 0 ||
	    info[SK_MEMINFO_RMEM_ALLOC] <= info[SK_MEMINFO_RCVBUF])
		return;
	half = (int)((info[SK_MEMINFO_RMEM_ALLOC] + RECEIVE_MARGIN) / 2);
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &half, sizeof(half)) == 0)
		count(&sp->totals->receive_fitted);
}

void splice_make_room(struct splice *sp, uint32_t number, int fd)
{
	uint32_t wanted = 2 * sp->sessions[number].limit;
	int now = 0;
	socklen_t len = sizeof(now);

	if (getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &now, &len) < 0 ||
	    (uint32_t)now >= wanted || set_limit(fd, wanted) < 0)
		return;
	count(&sp->totals->room_made);
}

int splice_insert(struct splice *sp, const struct splice_pair *pair, bool ret_is_in[2])
{
	bool is_in[2] = { false, false };
	int r;

	if (pair->number == 0 || pair->number > sp->n_sessions) {
		count(&sp->totals->table_full);
		return -ENOSPC;
	}
	r = prepare(sp, pair);
	for (int i = 0; i < 2 && r == 0; i++)
		r = add_slot(sp, pair->number, i);
	for (int i = 0; i < 2 && r == 0; i++) {
		r = add_socket(sp, pair, i);
		is_in[i] = r == 0;
		if (r == -EOPNOTSUPP)
			r = 0; /* its FIN has come; the other end may do */
	}
	if (!is_in[0] && !is_in[1]) {
		splice_detach(sp, pair->number);
		splice_forget(sp, pair->number);
		count(r < 0 ? &sp->totals->insert_failed : &sp->totals->not_connected);
		return r < 0 ? r : -EOPNOTSUPP;
	}
	count(is_in[0] && is_in[1] ? &sp->totals->spliced : &sp->totals->half_spliced);
	for (int i = 0; i < 2; i++) {
		if (is_in[i])
			show_early_bytes(sp, pair->number, i, pair->fd[i]);
		ret_is_in[i] = is_in[i];
	}
	return 0;
}

bool splice_was_reset(const struct splice *sp, uint32_t number, int side)
{
	return sp->own[number].was_reset[side];
}

void splice_detach(struct splice *sp, uint32_t number)
{
	for (int i = 0; i < 2; i++) {
		struct g5x_cookie cookie = { .cookie = sp->own[number].cookie[i] };

		bpf_map_delete_elem(bpf_map__fd(sp->skel->maps.g5x_slots), &cookie);
	}
}

void splice_forget(struct splice *sp, uint32_t number)
{
	memset(&sp->sessions[number], 0, sizeof(sp->sessions[number]));
	sp->own[number] = (struct own){ 0 };
}

/* ---- events ---------------------------------------------------------------- */

int splice_events_fd(const struct splice *sp, unsigned int worker)
{
	return ring_buffer__epoll_fd(sp->rings[worker].reader);
}

bool splice_has_lost_events(const struct splice *sp, unsigned int worker)
{
	return __atomic_load_n(&sp->totals->events_lost, __ATOMIC_RELAXED) !=
	       sp->rings[worker].n_lost;
}

bool splice_read_events(struct splice *sp, unsigned int worker, splice_event_fn fn,
                        void *ctx)
{
	struct ring *ring = &sp->rings[worker];
	__u64 n_lost;
	bool is_complete;

	ring->fn = fn;
	ring->ctx = ctx;
	ring_buffer__consume(ring->reader);
	n_lost = __atomic_load_n(&sp->totals->events_lost, __ATOMIC_ACQUIRE);
	is_complete = n_lost == ring->n_lost;
	ring->n_lost = n_lost;
	return is_complete;
}
