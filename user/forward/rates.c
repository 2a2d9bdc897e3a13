// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * rates.c - see rates.h.
 *
 * A table of fixed size, in rows: the hash of an address says which row it may be in.
 * The kernel gives the memory as rows are used, so without rates there is none.
 */
#include "forward/rates.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

#include "forward/ip.h"

#define N_ROWS 4096
#define N_PLACES 16 /* of a row; together RATES_MAX */
#define N_LOCKS 64
#define NS_PER_S UINT64_C(1000000000)

_Static_assert(N_ROWS *N_PLACES == RATES_MAX, "the bound that is promised");

struct place {
	struct ip ip; /* family 0: free */
	uint64_t next_ns;
};

struct lock {
	pthread_mutex_t mutex;
} __attribute__((aligned(64)));

struct rates {
	struct lock locks[N_LOCKS]; /* of each N_LOCKS-th row */
	struct place (*rows)[N_PLACES];
	uint64_t seed; /* so that nobody can choose addresses that share a row */
};

struct rate rate_of(unsigned int per_s, unsigned int burst)
{
	struct rate rate = { .interval_ns = 0 };

	if (per_s == 0)
		return rate;
	rate.interval_ns = NS_PER_S / per_s;
	rate.slack_ns = rate.interval_ns * ((burst ? burst : per_s) - 1);
	return rate;
}

bool rate_enter(const struct rate *rate, uint64_t *next_ns, uint64_t now_ns)
{
	/* Nobody is later than that at this rate; a second is for clocks that were read
	 * by other threads a moment later. If he is, a reload has brought another rate,
	 * and the old one shall not keep him out. */
	const uint64_t last_ns = now_ns + rate->slack_ns;
	const uint64_t never_ns = last_ns + rate->interval_ns + NS_PER_S;
	uint64_t next = __atomic_load_n(next_ns, __ATOMIC_RELAXED), due;

	if (rate->interval_ns == 0)
		return true;
	do {
		due = next > now_ns ? next : now_ns;
		if (due > never_ns)
			due = last_ns;
		if (due > last_ns)
			return false;
	} while (!__atomic_compare_exchange_n(next_ns, &next, due + rate->interval_ns,
	                                      true, __ATOMIC_RELAXED,
	                                      __ATOMIC_RELAXED));
	return true;
}

struct rates *rates_new(void)
{
	struct rates *r = aligned_alloc(64, sizeof(*r));

	if (!r)
		return NULL;
	r->rows = calloc(N_ROWS, sizeof(*r->rows));
	if (!r->rows) {
		free(r);
		return NULL;
	}
	/* Without random numbers, as early at boot: then all hash alike. */
	if (getrandom(&r->seed, sizeof(r->seed), GRND_NONBLOCK) < 0)
		r->seed = 0;
	for (int i = 0; i < N_LOCKS; i++)
		pthread_mutex_init(&r->locks[i].mutex, NULL);
	return r;
}

void rates_free(struct rates *r)
{
	if (!r)
		return;
	for (int i = 0; i < N_LOCKS; i++)
		pthread_mutex_destroy(&r->locks[i].mutex);
	free(r->rows);
	free(r);
}

/* Each word goes through the finalizer of MurmurHash3, with what is there so far. */
static uint32_t row_of(const struct rates *r, const struct ip *ip)
{
	uint64_t words[sizeof(*ip) / sizeof(uint64_t)], h = r->seed;

	memcpy(words, ip, sizeof(words));
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		h ^= words[i];
		h = (h ^ h >> 33) * UINT64_C(0xff51afd7ed558ccd);
		h = (h ^ h >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
		h ^= h >> 33;
	}
	return (uint32_t)(h % N_ROWS);
}

/* The place of @ip, or one that nobody needs any more; NULL: there is none. */
static struct place *find_place(struct place *row, const struct ip *ip, uint64_t now_ns)
{
	struct place *unused = NULL;

	for (size_t i = 0; i < N_PLACES; i++) {
		if (memcmp(&row[i].ip, ip, sizeof(*ip)) == 0)
			return &row[i];
		if (row[i].ip.family == 0 || row[i].next_ns <= now_ns)
			unused = &row[i];
	}
	if (unused)
		*unused = (struct place){ .ip = *ip };
	return unused;
}

bool rates_enter(struct rates *r, const struct addr *client, const struct rate *rate,
                 uint64_t now_ns)
{
	const struct ip ip = ip_of(client);
	uint32_t row = row_of(r, &ip);
	pthread_mutex_t *lock = &r->locks[row % N_LOCKS].mutex;
	struct place *place;
	bool is_in_time;

	if (rate->interval_ns == 0)
		return true;
	pthread_mutex_lock(lock);
	place = find_place(r->rows[row], &ip, now_ns);
	is_in_time = !place || rate_enter(rate, &place->next_ns, now_ns);
	pthread_mutex_unlock(lock);
	return is_in_time;
}

size_t rates_n_addresses(struct rates *r)
{
	size_t n = 0;

	for (uint32_t row = 0; row < N_ROWS; row++) {
		pthread_mutex_t *lock = &r->locks[row % N_LOCKS].mutex;

		pthread_mutex_lock(lock);
		for (size_t i = 0; i < N_PLACES; i++)
			n += r->rows[row][i].ip.family != 0;
		pthread_mutex_unlock(lock);
	}
	return n;
}
