/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * guard_client.bpf.h - does a listener have a pattern for this client?
 *
 * The answer is that of user/rules/pattern.c. There is no text here: its characters are
 * handed to the glob one by one as inet_ntop(3) would write them, so nothing has to be
 * kept.
 */
#ifndef G5X_GUARD_CLIENT_BPF_H
#define G5X_GUARD_CLIENT_BPF_H

#include "guard_maps.bpf.h"

/* Numbers of characters in a glob; digits are their own. */
#define DOT 16
#define COLON 17

/* Linux 5.10 refuses some of the loops that clang makes. */
#define UNROLL _Pragma("unroll")

/* The place before the first character. From memory: were it a constant, the verifier
 * would follow each text as far as it knows how long it is. */
static volatile __u64 at_begin = 1;

static __always_inline __u64 step(const struct g5x_glob *g, __u64 places,
                                  __u32 character)
{
	return (places & g->takes[character]) << 1 | (places & g->stays);
}

/* clang knows that a digit is one, the verifier does not. */
static __always_inline __u64 step_digit(const struct g5x_glob *g, __u64 places,
                                        __u64 digit)
{
	asm volatile("" : "+r"(digit));
	return step(g, places, digit & 15);
}

/* @value: below 100000 */
static __always_inline __u64 step_decimal(const struct g5x_glob *g, __u64 places,
                                          __u32 value)
{
	if (value >= 10000)
		places = step_digit(g, places, value / 10000);
	if (value >= 1000)
		places = step_digit(g, places, value / 1000 % 10);
	if (value >= 100)
		places = step_digit(g, places, value / 100 % 10);
	if (value >= 10)
		places = step_digit(g, places, value / 10 % 10);
	return step_digit(g, places, value % 10);
}

static __always_inline __u64 step_dotted(const struct g5x_glob *g, __u64 places,
                                         __u32 ip)
{
	UNROLL
	for (int shift = 24; shift >= 0; shift -= 8) {
		__u32 byte = ip >> shift & 255;

		if (byte >= 100)
			places = step_digit(g, places, byte / 100);
		if (byte >= 10)
			places = step_digit(g, places, byte / 10 % 10);
		places = step_digit(g, places, byte % 10);
		if (shift)
			places = step(g, places, DOT);
	}
	return places;
}

static __always_inline __u64 step_hex(const struct g5x_glob *g, __u64 places,
                                      __u32 word)
{
	if (word >> 12)
		places = step_digit(g, places, word >> 12);
	if (word >> 8)
		places = step_digit(g, places, word >> 8);
	if (word >> 4)
		places = step_digit(g, places, word >> 4);
	return step_digit(g, places, word);
}

/* The word that is @nth from the front. */
static __always_inline __u32 word_of(__u64 high, __u64 low, int nth)
{
	return (nth < 4 ? high : low) >> (48 - 16 * (nth & 3)) & 0xffff;
}

/*
 * Which words "::" stands for: the first of the longest runs of zeroes, of two at least.
 * Bit n: word n.
 */
static __always_inline __u32 find_gap(__u32 zeroes)
{
	__u32 begins = zeroes & zeroes >> 1; /* where runs of that length begin */
	__u32 gap = 3;

	if (!begins)
		return 0;
	UNROLL
	for (int len = 3; len <= 8; len++) {
		__u32 longer = begins & zeroes >> (len - 1);

		if (!longer)
			break;
		begins = longer;
		gap = gap << 1 | 1;
	}
	return gap * (begins & -begins);
}

static __always_inline __u64 step_ip6(const struct g5x_glob *g, __u64 places,
                                      __u64 high, __u64 low)
{
	__u32 zeroes = 0, gap;

	UNROLL
	for (int i = 0; i < 8; i++)
		zeroes |= (__u32)!word_of(high, low, i) << i;
	gap = find_gap(zeroes);
	UNROLL
	for (int i = 0; i < 8; i++) {
		if (gap >> i & 1) {
			if (i == 0 || !(gap >> (i - 1) & 1))
				places = step(g, places, COLON);
			continue;
		}
		if (i > 0)
			places = step(g, places, COLON);
		if (i == 6 && gap == 0x3f) /* ::a.b.c.d */
			return step_dotted(g, places, (__u32)low);
		places = step_hex(g, places, word_of(high, low, i));
	}
	return gap & 0x80 ? step(g, places, COLON) : places;
}

/* The @n bits in front; @n: 0 .. 64 */
static __always_inline __u64 front(__u32 n)
{
	return n == 0 ? 0 : ~0ULL << ((64 - n) & 63);
}

static __always_inline bool has_prefix(const struct g5x_client_pattern *p, __u64 high,
                                       __u64 low)
{
	const __u32 *ip = p->network.address;
	__u64 other_high = (__u64)bpf_ntohl(ip[0]) << 32 | bpf_ntohl(ip[1]);
	__u64 other_low = (__u64)bpf_ntohl(ip[2]) << 32 | bpf_ntohl(ip[3]);
	__u32 n = p->prefix_len;

	if (n <= 64)
		return ((high ^ other_high) & front(n)) == 0;
	return high == other_high && ((low ^ other_low) & front(n - 64)) == 0;
}

static __always_inline bool fits_port(const struct g5x_client_pattern *p, __u32 port)
{
	if (p->port_kind == G5X_PATTERN_ANY)
		return true;
	if (p->port_kind == G5X_PATTERN_EXACT)
		return p->port == port;
	return step_decimal(&p->port_text, at_begin, port) & p->port_text.end;
}

static __always_inline bool fits_ip(const struct g5x_client_pattern *p, __u32 family,
                                    __u64 high, __u64 low)
{
	__u64 places = at_begin;

	if (p->ip_kind == G5X_PATTERN_ANY)
		return true;
	if (p->network.family && p->network.family != family)
		return false;
	if (p->ip_kind == G5X_PATTERN_PREFIX)
		return has_prefix(p, high, low);
	places = family == 4 ? step_dotted(&p->ip, places, high >> 32)
	                     : step_ip6(&p->ip, places, high, low);
	return places & p->ip.end;
}

/*
 * A program of its own, so that it is verified once and not for each pattern. Linux 5.10
 * lets such a program have numbers only.
 *
 * @high, @low: the address from its front, in host byte order; IPv4 is the first 32 bits
 * @end: family << 16 | port
 */
__attribute__((noinline)) int g5x_fits(__u64 high, __u64 low, __u32 end, __u32 place,
                                       __u32 number)
{
	void *patterns = bpf_map_lookup_elem(&g5x_patterns, &place);
	const struct g5x_client_pattern *p;

	if (!patterns)
		return true;
	p = bpf_map_lookup_elem(patterns, &number);
	return !p || (fits_port(p, end & 0xffff) && fits_ip(p, end >> 16, high, low));
}

static __always_inline bool is_in_networks(__u32 place, __u32 listener,
                                           const struct g5x_source *source)
{
	struct g5x_client_key key = {
		.prefix_len = 64 + 128,
		.listener = listener,
		.network = *source,
	};
	void *networks = bpf_map_lookup_elem(&g5x_networks, &place);

	return !networks || bpf_map_lookup_elem(networks, &key);
}

static __always_inline bool is_wanted(__u32 place, const struct g5x_guarded *guarded,
                                      const struct g5x_guard_address *from)
{
	const __u32 *ip = from->ip.address;
	__u64 high, low;

	if (guarded->takes_all || (guarded->has_networks &&
	                           is_in_networks(place, guarded->number, &from->ip)))
		return true;
	high = (__u64)bpf_ntohl(ip[0]) << 32 | bpf_ntohl(ip[1]);
	low = (__u64)bpf_ntohl(ip[2]) << 32 | bpf_ntohl(ip[3]);
	for (__u32 i = 0; i < G5X_GUARD_N_PATTERNS; i++) {
		if (i >= guarded->n_patterns)
			break;
		if (g5x_fits(high, low, from->ip.family << 16 | from->port, place,
		             guarded->first_pattern + i))
			return true;
	}
	return false;
}

#endif /* G5X_GUARD_CLIENT_BPF_H */
