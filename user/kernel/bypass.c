// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* bypass.c - see bypass.h. Loads bpf/bypass.bpf.c and bpf/meet.bpf.c, keeps their maps. */
#include "kernel/bypass.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/cleanup.h"
#include "bypass.skel.h"
#include "kernel/cgroup.h"
#include "kernel/entry.h"
#include "kernel/pins.h"

/* Connections between their establishment and the daemon's question. */
#define MEETINGS 16384

/* Only the daemon's. */
struct own {
	__u64 cookie[2][2];               /* of who sends what: [end][is ours] */
	struct entry_responses responses; /* taken */
	bool is_paired;
};

struct bypass {
	struct bypass_bpf *skel;
	struct bpf_link *link;
	uint32_t n_sessions;
	struct g5x_bypass_session *sessions; /* mapped */
	size_t n_mapped;
	struct own *own; /* mapped, so that pages come when they are used */
	size_t n_own_mapped;
	struct pins pins;
	char *pin_parent; /* owned */
};

/* ---- load ------------------------------------------------------------------ */

static int set_sizes(struct bypass_bpf *skel, const struct bypass_options *options)
{
	const uint32_t n = options->n_sessions + 1;
	const struct {
		struct bpf_map *map;
		uint32_t n;
	} sizes[] = {
		/* Twice: some are about to be closed, some are none of a session's. */
		{ skel->maps.g5x_applications, 4 * n }, { skel->maps.g5x_ours, 4 * n },
		{ skel->maps.g5x_ways, 4 * n },         { skel->maps.g5x_bypassed, n },
		{ skel->maps.g5x_meetings, MEETINGS },
	};

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		int r = bpf_map__set_max_entries(sizes[i].map, sizes[i].n);

		if (r < 0)
			return r;
	}
	return 0;
}

static int map_memory(struct bypass *bp)
{
	size_t n = bp->n_sessions + 1;

	bp->n_mapped = n * sizeof(*bp->sessions);
	bp->sessions = mmap(NULL, bp->n_mapped, PROT_READ | PROT_WRITE, MAP_SHARED,
	                    bpf_map__fd(bp->skel->maps.g5x_bypassed), 0);
	if (bp->sessions == MAP_FAILED) {
		bp->sessions = NULL;
		return -errno;
	}
	bp->n_own_mapped = n * sizeof(*bp->own);
	bp->own = mmap(NULL, bp->n_own_mapped, PROT_READ | PROT_WRITE,
	               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (bp->own == MAP_FAILED) {
		bp->own = NULL;
		return -errno;
	}
	return 0;
}

static int attach_to_map(const struct bpf_program *prog, const struct bpf_map *map,
                         enum bpf_attach_type type)
{
	return bpf_prog_attach(bpf_program__fd(prog), bpf_map__fd(map), type, 0);
}

static int attach(struct bypass *bp, bool has_verdict, const char **ret_step)
{
	auto_close int cgroup = -1;
	struct bypass_bpf *skel = bp->skel;
	int r;

	*ret_step = "cannot attach the bypass program";
	r = attach_to_map(skel->progs.g5x_bypass, skel->maps.g5x_applications,
	                  BPF_SK_MSG_VERDICT);
	if (r == 0)
		r = attach_to_map(skel->progs.g5x_bypass, skel->maps.g5x_ours,
		                  BPF_SK_MSG_VERDICT);
	if (r == 0 && has_verdict)
		r = attach_to_map(skel->progs.g5x_pass, skel->maps.g5x_applications,
		                  BPF_SK_SKB_STREAM_VERDICT);
	if (r < 0)
		return r;
	*ret_step = "no cgroup v2";
	cgroup = cgroup_open_root();
	if (cgroup < 0)
		return cgroup;
	*ret_step = "cannot attach to cgroup v2";
	bp->link = bpf_program__attach_cgroup(skel->progs.g5x_meet, cgroup);
	return bp->link ? 0 : -errno;
}

static int get_netns_cookie(__u64 *ret_cookie)
{
	auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(*ret_cookie);

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, ret_cookie, &len) < 0)
		return -errno;
	return 0;
}

static int load(struct bypass *bp, const struct bypass_options *options,
                const char **ret_step)
{
	__u64 netns = 0;
	int r;

	*ret_step = "no cookies of network namespaces";
	r = get_netns_cookie(&netns);
	if (r < 0)
		return r;
	*ret_step = "cannot load the bypass programs";
	bp->skel = bypass_bpf__open();
	if (!bp->skel)
		return -errno;
	bp->skel->rodata->g5x_netns_cookie = netns;
	r = set_sizes(bp->skel, options);
	if (r == 0)
		r = bypass_bpf__load(bp->skel);
	if (r < 0)
		return r;
	*ret_step = "cannot map the counters";
	r = map_memory(bp);
	return r < 0 ? r : attach(bp, options->has_verdict, ret_step);
}

int bypass_open(const struct bypass_options *options, struct bypass **ret_bypass,
                const char **ret_step)
{
	struct bypass *bp = calloc(1, sizeof(*bp));
	int r;

	*ret_step = "out of memory";
	if (!bp)
		return -ENOMEM;
	bp->n_sessions = options->n_sessions;
	r = load(bp, options, ret_step);
	if (r < 0) {
		bypass_close(bp);
		return r;
	}
	*ret_bypass = bp;
	return 0;
}

void bypass_close(struct bypass *bp)
{
	if (!bp)
		return;
	pins_remove(&bp->pins);
	if (bp->pin_parent)
		rmdir(bp->pin_parent); /* unless others use it */
	free(bp->pin_parent);
	bpf_link__destroy(bp->link);
	if (bp->own)
		munmap(bp->own, bp->n_own_mapped);
	if (bp->sessions)
		munmap(bp->sessions, bp->n_mapped);
	bypass_bpf__destroy(bp->skel);
	free(bp);
}

int bypass_pin(struct bypass *bp, const char *dir)
{
	const struct pin wanted[] = {
		{ "sessions", bpf_map__fd(bp->skel->maps.g5x_bypassed) },
		{ "ways", bpf_map__fd(bp->skel->maps.g5x_ways) },
		{ "applications", bpf_map__fd(bp->skel->maps.g5x_applications) },
		{ "listeners", bpf_map__fd(bp->skel->maps.g5x_listeners) },
	};
	auto_free char *below = NULL;
	int r;

	if (asprintf(&below, "%s/bypass", dir) < 0) {
		below = NULL;
		return -ENOMEM;
	}
	r = pins_make(&bp->pins, below, wanted, ARRAY_SIZE(wanted));
	if (r == 0)
		bp->pin_parent = strdup(dir);
	return r;
}

/* ---- where clients find us ------------------------------------------------- */

static struct g5x_listener listener_key(const struct addr *addr)
{
	struct g5x_listener key = { .port = addr_port(addr) };
	unsigned int len;
	const uint8_t *bytes = addr_ip_bytes(addr, &len);

	if (len == 4)
		key.address[2] = htonl(0xffff);
	memcpy((char *)key.address + sizeof(key.address) - len, bytes, len);
	return key;
}

static int add_one(struct bypass *bp, const struct addr *addr)
{
	const struct g5x_listener key = listener_key(addr);
	const __u32 nothing = 0;

	return bpf_map_update_elem(bpf_map__fd(bp->skel->maps.g5x_listeners), &key,
	                           &nothing, BPF_ANY);
}

static int add_all(struct bypass *bp, const struct addr *wildcard)
{
	struct ifaddrs *all;
	int r = 0;

	if (getifaddrs(&all) < 0)
		return -errno;
	for (const struct ifaddrs *i = all; i && r == 0; i = i->ifa_next) {
		struct addr addr;

		if (!i->ifa_addr || i->ifa_addr->sa_family != wildcard->sa.sa_family)
			continue;
		addr = addr_from_sockaddr(i->ifa_addr);
		addr_set_port(&addr, addr_port(wildcard));
		r = add_one(bp, &addr);
	}
	freeifaddrs(all);
	return r;
}

int bypass_add_listener(struct bypass *bp, const struct addr *addr)
{
	return addr_is_any(addr) ? add_all(bp, addr) : add_one(bp, addr);
}

void bypass_forget_listeners(struct bypass *bp)
{
	int map = bpf_map__fd(bp->skel->maps.g5x_listeners);
	struct g5x_listener key;

	while (bpf_map_get_next_key(map, NULL, &key) == 0 &&
	       bpf_map_delete_elem(map, &key) == 0)
		;
}

/* ---- sessions -------------------------------------------------------------- */

struct g5x_bypass_session *bypass_session(const struct bypass *bp, uint32_t number)
{
	return &bp->sessions[number];
}

static int get_own_socket(const struct bypass *bp, int fd,
                          struct g5x_own_socket *ret_socket)
{
	return bpf_map_lookup_elem(bpf_map__fd(bp->skel->maps.g5x_own_sockets), &fd,
	                           ret_socket);
}

bool bypass_is_local(const struct bypass *bp, int fd)
{
	struct g5x_own_socket own;

	return get_own_socket(bp, fd, &own) == 0 && own.state == G5X_OWN_ACCEPTED;
}

int bypass_expect(struct bypass *bp, int fd)
{
	const struct g5x_own_socket own = { .state = G5X_OWN_NEW };

	return bpf_map_update_elem(bpf_map__fd(bp->skel->maps.g5x_own_sockets), &fd,
	                           &own, BPF_ANY);
}

/* What the kernel noted about both connections. */
static int find_ends(const struct bypass *bp, const struct bypass_pair *pair,
                     struct g5x_local ret_end[2], __u64 ret_our_sock[2])
{
	int meetings = bpf_map__fd(bp->skel->maps.g5x_meetings);
	struct g5x_own_socket own[2];
	struct g5x_meeting meeting;

	if (get_own_socket(bp, pair->fd[0], &own[0]) < 0 ||
	    own[0].state != G5X_OWN_ACCEPTED)
		return -ENOENT;
	if (get_own_socket(bp, pair->fd[1], &own[1]) < 0 ||
	    own[1].state != G5X_OWN_CONNECTED ||
	    bpf_map_lookup_elem(meetings, &own[1].connection, &meeting) < 0 ||
	    meeting.application.cookie == 0)
		return -EAGAIN;
	bpf_map_delete_elem(meetings, &own[1].connection);
	ret_end[0] = own[0].application;
	ret_end[1] = meeting.application;
	ret_our_sock[0] = own[0].tcp_sock;
	ret_our_sock[1] = own[1].tcp_sock;
	return 0;
}

static void describe(struct g5x_bypass_session *s, const struct bypass_pair *pair)
{
	entry_set_text(s->rule, sizeof(s->rule), pair->rule);
	entry_set_text(s->client, sizeof(s->client), pair->client);
	entry_set_text(s->listener, sizeof(s->listener), pair->listener);
	entry_set_text(s->server, sizeof(s->server), pair->server);
	s->limit = pair->limit;
	s->wants_responses = pair->wants_responses;
}

static int begin_flow(struct bypass *bp, const struct bypass_pair *pair, int from,
                      const struct g5x_local end[2], __u64 our_sock)
{
	struct g5x_bypass_flow *flow = &bp->sessions[pair->number].flow[from];
	socklen_t len = sizeof(flow->our_cookie);

	if (getsockopt(pair->fd[!from], SOL_SOCKET, SO_COOKIE, &flow->our_cookie,
	               &len) < 0)
		return -errno;
	flow->our_sock = our_sock;
	flow->to = end[!from];
	flow->relayed = pair->relayed[from];
	flow->from = end[from];
	return 0;
}

static int add_way(struct bypass *bp, uint32_t number, int from, bool is_ours)
{
	const struct g5x_bypass_flow *flow = &bp->sessions[number].flow[from];
	const struct g5x_cookie key = { .cookie = is_ours ? flow->our_cookie
		                                          : flow->from.cookie };
	const struct g5x_way way = {
		.session = number,
		.from = (__u32)from,
		.is_ours = is_ours,
	};
	int r = bpf_map_update_elem(bpf_map__fd(bp->skel->maps.g5x_ways), &key, &way,
	                            BPF_NOEXIST);

	if (r == 0)
		bp->own[number].cookie[from][is_ours] = key.cookie;
	return r;
}

static int add_our_socket(struct bypass *bp, uint32_t number, int from, int fd)
{
	const struct g5x_cookie key = {
		.cookie = bp->sessions[number].flow[from].our_cookie,
	};
	const struct g5x_socket value = { .fd_or_cookie = (__u64)fd };

	return bpf_map_update_elem(bpf_map__fd(bp->skel->maps.g5x_ours), &key, &value,
	                           BPF_NOEXIST);
}

int bypass_pair(struct bypass *bp, const struct bypass_pair *pair)
{
	struct g5x_bypass_session *s;
	struct g5x_local end[2];
	__u64 our_sock[2];
	int r;

	if (pair->number == 0 || pair->number > bp->n_sessions)
		return -ENOSPC;
	r = find_ends(bp, pair, end, our_sock);
	if (r < 0)
		return r;
	s = &bp->sessions[pair->number];
	memset(s, 0, sizeof(*s));
	bp->own[pair->number] = (struct own){ .is_paired = true };
	describe(s, pair);
	for (int i = 0; i < 2 && r == 0; i++)
		r = begin_flow(bp, pair, i, end, our_sock[!i]);
	/* Ours before theirs: with its way it goes on without us. */
	for (int i = 0; i < 2 && r == 0; i++) {
		r = add_way(bp, pair->number, i, true);
		if (r == 0)
			r = add_our_socket(bp, pair->number, i, pair->fd[!i]);
	}
	for (int i = 0; i < 2 && r == 0; i++)
		r = add_way(bp, pair->number, i, false);
	if (r < 0)
		bypass_unpair(bp, pair->number);
	return r;
}

void bypass_unpair(struct bypass *bp, uint32_t number)
{
	struct own *own = &bp->own[number];

	if (number > bp->n_sessions || !own->is_paired)
		return;
	for (int i = 0; i < 4; i++) {
		const struct g5x_cookie key = { .cookie = own->cookie[i / 2][i % 2] };

		if (key.cookie)
			bpf_map_delete_elem(bpf_map__fd(bp->skel->maps.g5x_ways), &key);
	}
	/* B4: who has found the entry before does not any more. */
	for (int i = 0; i < 2; i++) {
		struct g5x_bypass_flow *flow = &bp->sessions[number].flow[i];

		__atomic_store_n(&flow->from.cookie, 0, __ATOMIC_RELEASE);
		__atomic_store_n(&flow->our_cookie, 0, __ATOMIC_RELEASE);
	}
	own->is_paired = false;
}

/* Return: 0 for no, 1 for yes, or -errno. */
static int ask(const struct bypass *bp, struct g5x_question *question)
{
	LIBBPF_OPTS(bpf_test_run_opts, run, .ctx_in = question,
	            .ctx_size_in = sizeof(*question));
	int r = bpf_prog_test_run_opts(bpf_program__fd(bp->skel->progs.g5x_ask), &run);

	return r < 0 ? r : run.retval != 0;
}

bool bypass_may_send(const struct bypass *bp, uint32_t number, int from, uint32_t n)
{
	struct g5x_question question = {
		.session = number,
		.from = (__u32)from,
		.n_bytes = n,
	};

	return ask(bp, &question) > 0;
}

uint32_t bypass_n_by_tcp(const struct bypass *bp, uint32_t number, int from)
{
	struct g5x_question question = {
		.session = number,
		.from = (__u32)from,
		.n_bytes = 1,
	};

	return ask(bp, &question) == 0 ? question.n_by_tcp : 0;
}

uint32_t bypass_n_queued(const struct bypass *bp, uint32_t number, int from)
{
	struct g5x_question question = { .session = number, .from = (__u32)from };

	return ask(bp, &question) < 0 ? 0 : question.n_queued;
}

bool bypass_was_cut(const struct bypass *bp, uint32_t number, int from)
{
	return bp->sessions[number].flow[from].is_cut;
}

void bypass_relayed(struct bypass *bp, uint32_t number, int from, uint64_t n)
{
	/* What we sent may have gone by TCP although the program was not asked: after one
	 * that it let through and TCP had no room for the kernel does not ask for the next
	 * (6.18, tcp_bpf_send_verdict() keeps psock->eval). Until the count below is there
	 * nobody else may rely on it. */
	__atomic_store_n(&bp->sessions[number].flow[from].has_read, 0,
	                 __ATOMIC_RELAXED);
	__atomic_store_n(&bp->sessions[number].flow[from].relayed, n, __ATOMIC_RELEASE);
}

static __u64 get(const __u64 *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

uint64_t bypass_n_direct(const struct bypass *bp, uint32_t number, int from)
{
	return get(&bp->sessions[number].flow[from].direct);
}

uint64_t bypass_last_ms(const struct bypass *bp, uint32_t number, int from)
{
	return get(&bp->sessions[number].flow[from].last_ns) / 1000000;
}

uint64_t bypass_first_us(const struct bypass *bp, uint32_t number, int from)
{
	return get(&bp->sessions[number].flow[from].first_ns) / 1000;
}

int64_t bypass_take_response_us(struct bypass *bp, uint32_t number)
{
	const struct g5x_bypass_session *s = &bp->sessions[number];

	return entry_take_response_us(&bp->own[number].responses, &s->response_ns,
	                              &s->n_responses);
}
