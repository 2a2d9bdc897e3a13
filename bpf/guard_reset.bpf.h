/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * guard_reset.bpf.h - a SYN becomes the answer that a closed port would give.
 *
 * RFC 9293, 3.10.7.1: <SEQ=0><ACK=SEG.SEQ+SEG.LEN><CTL=RST,ACK>. The frame goes back where
 * it came from, so only one with nothing but addresses in its headers is answered.
 */
#ifndef G5X_GUARD_RESET_BPF_H
#define G5X_GUARD_RESET_BPF_H

#include "guard_packet.bpf.h"

#define TTL 64
#define IP_DONT_FRAGMENT 0x4000

static __always_inline bool is_one_host(const struct g5x_source *ip)
{
	__u32 front = bpf_ntohl(ip->address[0]);

	if (ip->family == 4)
		return front >> 24 != 0 && front >> 28 < 14; /* not 224.0.0.0/3 */
	return front >> 24 != 0xff &&
	       (ip->address[0] | ip->address[1] | ip->address[2] | ip->address[3]) != 0;
}

static __always_inline bool may_answer(const struct xdp_md *ctx, const struct syn *syn)
{
	const struct ethhdr *eth = bytes_at(ctx, 0, sizeof(*eth));

	return eth && syn->is_plain && !(eth->h_dest[0] & 1) &&
	       !(eth->h_source[0] & 1) && is_one_host(&syn->from.ip) &&
	       is_one_host(&syn->to.ip);
}

static __always_inline void swap_ethernet(struct ethhdr *eth)
{
	__u8 source[6];

	__builtin_memcpy(source, eth->h_source, sizeof(source));
	__builtin_memcpy(eth->h_source, eth->h_dest, sizeof(source));
	__builtin_memcpy(eth->h_dest, source, sizeof(source));
}

static __always_inline __u16 fold(__u64 sum)
{
	/* Of at most 14 words: the third takes what the second carries over. */
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)~sum;
}

/* Of words in network byte order; so is the sum. */
static __always_inline __u64 sum_of(const __u32 *words, int n)
{
	__u64 sum = 0;

	for (int i = 0; i < n; i++)
		sum += words[i];
	return sum;
}

static __always_inline void write_tcp(struct tcphdr *to, const struct syn *syn)
{
	__u32 words[5] = {
		bpf_htonl(syn->to.port << 16 | syn->from.port),
		0,
		bpf_htonl(syn->next_seq),
		bpf_htonl(5U << 28 | (TCP_RST | TCP_ACK) << 16),
		0,
	};
	__u64 sum = sum_of(words, 5) + sum_of(syn->from.ip.address, 4) +
	            sum_of(syn->to.ip.address, 4) +
	            bpf_htonl(IPPROTO_TCP + sizeof(words));

	__builtin_memcpy(to, words, sizeof(words));
	to->check = fold(sum);
}

static __always_inline void write_ip4(struct iphdr *to, const struct syn *syn)
{
	__u32 words[5] = {
		bpf_htonl(0x45U << 24 | (sizeof(*to) + sizeof(struct tcphdr))),
		bpf_htonl(IP_DONT_FRAGMENT),
		bpf_htonl(TTL << 24 | IPPROTO_TCP << 16),
		syn->to.ip.address[0],
		syn->from.ip.address[0],
	};

	__builtin_memcpy(to, words, sizeof(words));
	to->check = fold(sum_of(words, 5));
}

static __always_inline void write_ip6(struct ipv6hdr *to, const struct syn *syn)
{
	__u32 words[2] = {
		bpf_htonl(6U << 28),
		bpf_htonl(sizeof(struct tcphdr) << 16 | IPPROTO_TCP << 8 | TTL),
	};

	__builtin_memcpy(to, words, sizeof(words));
	__builtin_memcpy(&to->saddr, syn->to.ip.address, sizeof(to->saddr));
	__builtin_memcpy(&to->daddr, syn->from.ip.address, sizeof(to->daddr));
}

/* Return: is the frame the answer now? If not it may be cut, and can only be dropped. */
static __always_inline bool make_reset(struct xdp_md *ctx, const struct syn *syn)
{
	__u64 n_frame = ctx->data_end - ctx->data;
	struct ethhdr *eth;
	struct tcphdr *tcp;
	void *ip;

	if (!may_answer(ctx, syn))
		return false;
	asm volatile("" : "+r"(n_frame)); /* or other terms are subtracted first */
	if (bpf_xdp_adjust_tail(ctx, (int)(syn->tcp_at + sizeof(*tcp) - n_frame)))
		return false;
	eth = bytes_at(ctx, 0, sizeof(*eth));
	tcp = bytes_at(ctx, syn->tcp_at, sizeof(*tcp));
	if (!eth || !tcp)
		return false;
	if (syn->from.ip.family == 4) {
		ip = bytes_at(ctx, syn->ip_at, sizeof(struct iphdr));
		if (!ip)
			return false;
		write_ip4(ip, syn);
	} else {
		ip = bytes_at(ctx, syn->ip_at, sizeof(struct ipv6hdr));
		if (!ip)
			return false;
		write_ip6(ip, syn);
	}
	write_tcp(tcp, syn);
	swap_ethernet(eth);
	return true;
}

#endif /* G5X_GUARD_RESET_BPF_H */
