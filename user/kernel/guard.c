// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* guard.c - see guard.h. Loads bpf/guard.bpf.c and keeps its maps. */
#include "kernel/guard.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/cleanup.h"
#include "kernel/guard_parts.h"

/* ---- load ------------------------------------------------------------------ */

static int on_event(void *ctx, void *data, size_t len)
{
	struct guard *g = ctx;

	if (len == sizeof(struct g5x_guard_event))
		g->on_event(g->ctx, data);
	return 0;
}

static int set_sizes(const struct guard_bpf *skel)
{
	/* Listeners twice: for a moment there are those of two rule sets. */
	int r = bpf_map__set_max_entries(skel->maps.g5x_blocked, GUARD_BLOCKS_MAX);

	if (r == 0)
		r = bpf_map__set_max_entries(skel->maps.g5x_listener_paces,
		                             2 * GUARD_LISTENERS_MAX);
	if (r == 0)
		r = bpf_map__set_max_entries(skel->maps.g5x_guard_counts,
		                             2 * GUARD_LISTENERS_MAX);
	return r;
}

static int load(struct guard *g, const char **ret_step)
{
	int r;

	*ret_step = "cannot load the guard program";
	g->skel = guard_bpf__open();
	if (!g->skel)
		return -errno;
	r = set_sizes(g->skel);
	if (r == 0)
		r = guard_bpf__load(g->skel);
	if (r < 0)
		return r;
	*ret_step = "cannot read the guard's events";
	g->events = ring_buffer__new(bpf_map__fd(g->skel->maps.g5x_guard_events),
	                             on_event, g, NULL);
	return g->events ? 0 : -errno;
}

int guard_open(struct guard **ret_guard, const char **ret_step)
{
	struct guard *g = calloc(1, sizeof(*g));
	int r;

	*ret_step = "out of memory";
	if (!g)
		return -ENOMEM;
	r = load(g, ret_step);
	if (r < 0) {
		guard_close(g);
		return r;
	}
	*ret_guard = g;
	return 0;
}

void guard_close(struct guard *g)
{
	if (!g)
		return;
	guard_detach_all(g);
	pins_remove(&g->pins);
	if (g->pin_parent)
		rmdir(g->pin_parent); /* unless others use it */
	free(g->pin_parent);
	ring_buffer__free(g->events);
	guard_bpf__destroy(g->skel);
	free(g->listeners);
	free(g);
}

int guard_pin(struct guard *g, const char *dir)
{
	const struct pin wanted[] = {
		{ "blocked", bpf_map__fd(g->skel->maps.g5x_blocked) },
		{ "full", bpf_map__fd(g->skel->maps.g5x_guard_full) },
		{ "counts", bpf_map__fd(g->skel->maps.g5x_guard_counts) },
		{ "sources", bpf_map__fd(g->skel->maps.g5x_source_paces) },
	};
	auto_free char *below = NULL;
	int r;

	if (asprintf(&below, "%s/guard", dir) < 0) {
		below = NULL;
		return -ENOMEM;
	}
	r = pins_make(&g->pins, below, wanted, ARRAY_SIZE(wanted));
	if (r == 0)
		g->pin_parent = strdup(dir);
	return r;
}

int guard_program_fd(const struct guard *g)
{
	return bpf_program__fd(g->skel->progs.g5x_guard);
}

/* ---- sources --------------------------------------------------------------- */

struct g5x_source guard_source(const struct addr *a)
{
	struct g5x_source source = { .family = a->sa.sa_family == AF_INET ? 4 : 6 };
	unsigned int len;
	const uint8_t *bytes = addr_ip_bytes(a, &len);

	memcpy(source.address, bytes, len);
	return source;
}

static struct g5x_block_key block_key(const struct addr *network, unsigned int bits)
{
	return (struct g5x_block_key){
		.prefix_len = 8 * sizeof(__u32) + bits,
		.network = guard_source(network),
	};
}

int guard_block(struct guard *g, const struct addr *network, unsigned int bits,
                uint64_t until_ns)
{
	const struct g5x_block_key key = block_key(network, bits);
	const struct g5x_block block = { .until_ns = until_ns };

	return bpf_map_update_elem(bpf_map__fd(g->skel->maps.g5x_blocked), &key, &block,
	                           BPF_ANY);
}

int guard_unblock(struct guard *g, const struct addr *network, unsigned int bits)
{
	const struct g5x_block_key key = block_key(network, bits);

	return bpf_map_delete_elem(bpf_map__fd(g->skel->maps.g5x_blocked), &key);
}

int guard_set_full(struct guard *g, const struct addr *source, bool is_full)
{
	int full = bpf_map__fd(g->skel->maps.g5x_guard_full);
	const struct g5x_source key = guard_source(source);
	const __u32 nothing = 0;
	int r;

	if (is_full)
		return bpf_map_update_elem(full, &key, &nothing, BPF_ANY);
	r = bpf_map_delete_elem(full, &key);
	return r == -ENOENT ? 0 : r;
}

void guard_forget_full(struct guard *g)
{
	int full = bpf_map__fd(g->skel->maps.g5x_guard_full);
	struct g5x_source key, next;
	int r = bpf_map_get_next_key(full, NULL, &next);

	/* The next one first: who asks for that of a key that is gone begins anew. */
	while (r == 0) {
		key = next;
		r = bpf_map_get_next_key(full, &key, &next);
		bpf_map_delete_elem(full, &key);
	}
}

/* ---- what it has seen ------------------------------------------------------ */

void guard_counts(const struct guard *g, const struct g5x_guard_address *listener,
                  struct g5x_guard_counts *ret_counts)
{
	const size_t n_counters = sizeof(*ret_counts) / sizeof(__u64);
	const int n_cpus = libbpf_num_possible_cpus();
	auto_free __u64 *all = n_cpus > 0 ? calloc((size_t)n_cpus, sizeof(*ret_counts))
	                                  : NULL;
	__u64 sums[sizeof(*ret_counts) / sizeof(__u64)] = { 0 };

	if (all && bpf_map_lookup_elem(bpf_map__fd(g->skel->maps.g5x_guard_counts),
	                               listener, all) == 0)
		for (size_t i = 0; i < (size_t)n_cpus * n_counters; i++)
			sums[i % n_counters] += all[i];
	memcpy(ret_counts, sums, sizeof(sums));
}

int guard_events_fd(const struct guard *g)
{
	return ring_buffer__epoll_fd(g->events);
}

void guard_read_events(struct guard *g, guard_event_fn fn, void *ctx)
{
	g->on_event = fn;
	g->ctx = ctx;
	ring_buffer__consume(g->events);
}
