// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * guard_publish.c - from one rule set to another.
 *
 * G1: between two calls no packet is in the idle place, so it can be filled. Then it is made
 * the active one. Packets that are still in the other are waited for: what follows, here or
 * in the next call, does not meet them.
 *
 * A packet must find the counters and paces of its set's listeners: they are made before
 * and deleted after that.
 */
#include "kernel/guard_parts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "base/cleanup.h"

#define TRIES 50

/* ---- listeners ------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct g5x_guard_address));
}

/* Each once, sorted. */
static int list_listeners(const struct guard_set *set,
                          struct g5x_guard_address **ret_list, size_t *ret_n)
{
	struct g5x_guard_address *list = calloc(set->n_addresses + 1, sizeof(*list));
	size_t n = 0;

	if (!list)
		return -ENOMEM;
	for (size_t i = 0; i < set->n_addresses; i++)
		list[i] = set->addresses[i].value.listener;
	qsort(list, set->n_addresses, sizeof(*list), compare);
	for (size_t i = 0; i < set->n_addresses; i++)
		if (n == 0 || compare(&list[n - 1], &list[i]) != 0)
			list[n++] = list[i];
	if (n > GUARD_LISTENERS_MAX) {
		free(list);
		return -E2BIG;
	}
	*ret_list = list;
	*ret_n = n;
	return 0;
}

/* Memory of each CPU comes from a reserve, which the kernel fills up in the background: when
 * many listeners are new it needs a moment (5.10). */
static int add_new(int map, const struct g5x_guard_address *listener,
                   const void *zeroes)
{
	int r = -ENOMEM;

	for (int i = 0; i < TRIES && r == -ENOMEM; i++) {
		if (i > 0)
			usleep(1000);
		r = bpf_map_update_elem(map, listener, zeroes, BPF_NOEXIST);
	}
	return r == -EEXIST ? 0 : r;
}

static int add_listeners(const struct guard *g, const struct g5x_guard_address *list,
                         size_t n)
{
	const int n_cpus = libbpf_num_possible_cpus();
	auto_free void *zeroes = NULL;
	int r = 0;

	if (n_cpus < 0)
		return n_cpus;
	zeroes = calloc((size_t)n_cpus, sizeof(struct g5x_guard_counts));
	if (!zeroes)
		return -ENOMEM;
	for (size_t i = 0; i < n && r == 0; i++) {
		r = add_new(bpf_map__fd(g->skel->maps.g5x_guard_counts), &list[i],
		            zeroes);
		if (r == 0)
			r = add_new(bpf_map__fd(g->skel->maps.g5x_listener_paces),
			            &list[i], zeroes);
	}
	return r;
}

static void keep_in(const struct guard *g, int map)
{
	struct g5x_guard_address key, next;
	int r = bpf_map_get_next_key(map, NULL, &next);

	while (r == 0) {
		key = next;
		r = bpf_map_get_next_key(map, &key, &next);
		if (!bsearch(&key, g->listeners, g->n_listeners, sizeof(key), compare))
			bpf_map_delete_elem(map, &key);
	}
}

/* Those of the rule set in force, and no others. */
static void keep_listeners(const struct guard *g)
{
	keep_in(g, bpf_map__fd(g->skel->maps.g5x_guard_counts));
	keep_in(g, bpf_map__fd(g->skel->maps.g5x_listener_paces));
}

/* ---- inner maps ------------------------------------------------------------ */

struct kind {
	enum bpf_map_type type;
	const char *name;
	__u32 flags;
	const char *key_name, *value_name; /* of types; NULL: __u32 */
	__u32 key_size, value_size;
};

static const struct kind address_kind = {
	.type = BPF_MAP_TYPE_HASH,
	.name = "g5x_addresses",
	.key_name = "g5x_guard_address",
	.value_name = "g5x_guarded",
	.key_size = sizeof(struct g5x_guard_address),
	.value_size = sizeof(struct g5x_guarded),
};

static const struct kind network_kind = {
	.type = BPF_MAP_TYPE_LPM_TRIE,
	.name = "g5x_networks",
	.flags = BPF_F_NO_PREALLOC,
	.key_name = "g5x_client_key",
	.key_size = sizeof(struct g5x_client_key),
	.value_size = sizeof(__u32),
};

static const struct kind pattern_kind = {
	.type = BPF_MAP_TYPE_ARRAY,
	.name = "g5x_patterns",
	.flags = BPF_F_INNER_MAP,
	.value_name = "g5x_client_pattern",
	.key_size = sizeof(__u32),
	.value_size = sizeof(struct g5x_client_pattern),
};

static __u32 find_type(const struct guard *g, const char *name)
{
	const struct btf *btf = bpf_object__btf(g->skel->obj);
	int id = name ? btf__find_by_name_kind(btf, name, BTF_KIND_STRUCT)
	              : btf__find_by_name_kind(btf, "__u32", BTF_KIND_TYPEDEF);

	return id < 0 ? 0 : (__u32)id;
}

static int make_map(const struct guard *g, const struct kind *kind, size_t n)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = kind->flags,
	            .btf_fd = (__u32)bpf_object__btf_fd(g->skel->obj),
	            .btf_key_type_id = find_type(g, kind->key_name),
	            .btf_value_type_id = find_type(g, kind->value_name));

	return bpf_map_create(kind->type, kind->name, kind->key_size, kind->value_size,
	                      n ? (__u32)n : 1, &options);
}

/* The caller's to close. */
static int make_addresses(const struct guard *g, const struct guard_set *set)
{
	auto_close int map = make_map(g, &address_kind, set->n_addresses);
	int r = map < 0 ? map : 0;

	for (size_t i = 0; i < set->n_addresses && r == 0; i++) {
		r = bpf_map_update_elem(map, &set->addresses[i].key,
		                        &set->addresses[i].value, BPF_NOEXIST);
		if (r == -EEXIST) /* the first counts */
			r = 0;
	}
	return r < 0 ? r : take_fd(map);
}

static int make_networks(const struct guard *g, const struct guard_set *set)
{
	auto_close int map = make_map(g, &network_kind, set->n_networks);
	const __u32 nothing = 0;
	int r = map < 0 ? map : 0;

	for (size_t i = 0; i < set->n_networks && r == 0; i++)
		r = bpf_map_update_elem(map, &set->networks[i], &nothing, BPF_ANY);
	return r < 0 ? r : take_fd(map);
}

static int make_patterns(const struct guard *g, const struct guard_set *set)
{
	auto_close int map = make_map(g, &pattern_kind, set->n_patterns);
	int r = map < 0 ? map : 0;

	for (__u32 i = 0; i < set->n_patterns && r == 0; i++)
		r = bpf_map_update_elem(map, &i, &set->patterns[i], BPF_ANY);
	return r < 0 ? r : take_fd(map);
}

/* ---- places ---------------------------------------------------------------- */

/* Waits until the packets that are under way are through: the kernel does after each
 * change of a map of maps. */
static int put(const struct bpf_map *outer, __u32 place, int map)
{
	return map < 0 ? map
	               : bpf_map_update_elem(bpf_map__fd(outer), &place, &map, BPF_ANY);
}

static int fill(const struct guard *g, __u32 place, const struct guard_set *set,
                int *ret_addresses)
{
	auto_close int addresses = make_addresses(g, set);
	auto_close int networks = make_networks(g, set);
	auto_close int patterns = make_patterns(g, set);
	int r = bpf_map_update_elem(bpf_map__fd(g->skel->maps.g5x_guard_set), &place,
	                            &set->settings, BPF_ANY);

	if (r == 0)
		r = put(g->skel->maps.g5x_networks, place, networks);
	if (r == 0)
		r = put(g->skel->maps.g5x_patterns, place, patterns);
	if (r == 0)
		r = put(g->skel->maps.g5x_addresses, place, addresses);
	if (r == 0)
		*ret_addresses = take_fd(addresses);
	return r;
}

int guard_publish(struct guard *g, const struct guard_set *set)
{
	const __u32 idle = g->skel->bss->g5x_guard_active ? 0 : 1;
	auto_free struct g5x_guard_address *listeners = NULL;
	auto_close int addresses = -1;
	size_t n_listeners = 0;
	int r = list_listeners(set, &listeners, &n_listeners);

	if (r == 0)
		r = add_listeners(g, listeners, n_listeners);
	if (r == 0)
		r = fill(g, idle, set, &addresses);
	if (r < 0) {
		keep_listeners(g);
		return r;
	}
	__atomic_store_n(&g->skel->bss->g5x_guard_active, idle, __ATOMIC_RELEASE);
	/* What is there already, only to wait: it cannot fail. */
	put(g->skel->maps.g5x_addresses, idle, addresses);
	free(g->listeners);
	g->listeners = take_ptr(listeners);
	g->n_listeners = n_listeners;
	keep_listeners(g);
	return 0;
}
