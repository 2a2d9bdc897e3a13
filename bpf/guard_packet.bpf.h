/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * guard_packet.bpf.h - from a frame to the SYN in it.
 *
 * Whatever is not understood is no SYN, so that it is let through: fragments, tunnels,
 * headers that nobody knows, lengths that contradict each other.
 */
#ifndef G5X_GUARD_PACKET_BPF_H
#define G5X_GUARD_PACKET_BPF_H

#include "g5x_abi.h"

#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd
#define ETH_P_8021Q 0x8100
#define ETH_P_8021AD 0x88a8
#define N_VLAN_TAGS 2

/* RFC 8200, RFC 4302 */
#define NEXT_HOP_BY_HOP 0
#define NEXT_ROUTING 43
#define NEXT_AUTHENTICATION 51
#define NEXT_DESTINATION 60
#define N_EXTENSIONS 8

#define IP_FRAGMENT 0x3fff /* more of them, or not the first */

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

/* No header begins after that: frames are one page. The verifier wants a bound. */
#define LAST_BYTE 4095

struct syn {
	struct g5x_guard_address from;
	struct g5x_guard_address to;
	__u64 ip_at;    /* offset of the IP header */
	__u64 tcp_at;   /* ... of TCP's */
	__u64 n_tcp;    /* bytes of TCP, with its header */
	__u32 next_seq; /* what an answer has to acknowledge */
	bool is_plain;  /* nothing between IP header and TCP's */
};

/* Return: @n bytes at @offset, or NULL when they are not there. */
static __always_inline void *bytes_at(const struct xdp_md *ctx, __u64 offset, __u64 n)
{
	void *data = (void *)(long)ctx->data;
	void *end = (void *)(long)ctx->data_end;

	if (offset > LAST_BYTE || data + offset + n > end)
		return NULL;
	return data + offset;
}

/* Return: the type of what begins at *ret_offset; 0: it is not there. */
static __always_inline __u16 read_ethernet(const struct xdp_md *ctx, __u64 *ret_offset)
{
	const struct ethhdr *eth = bytes_at(ctx, 0, sizeof(*eth));
	__u64 offset = sizeof(*eth);
	__u16 type;

	if (!eth)
		return 0;
	type = bpf_ntohs(eth->h_proto);
	for (int i = 0; i < N_VLAN_TAGS; i++) {
		const struct vlan_hdr *tag;

		if (type != ETH_P_8021Q && type != ETH_P_8021AD)
			break;
		tag = bytes_at(ctx, offset, sizeof(*tag));
		if (!tag)
			return 0;
		type = bpf_ntohs(tag->h_vlan_encapsulated_proto);
		offset += sizeof(*tag);
	}
	*ret_offset = offset;
	return type;
}

/* Return: false for one without TCP, or with only a part of it. */
static __always_inline bool read_ip4(const struct xdp_md *ctx, struct syn *syn)
{
	const struct iphdr *ip = bytes_at(ctx, syn->ip_at, sizeof(*ip));
	__u64 n_header;

	if (!ip || ip->version != 4 || ip->ihl < 5 || ip->protocol != IPPROTO_TCP ||
	    ip->frag_off & bpf_htons(IP_FRAGMENT))
		return false;
	n_header = ip->ihl * 4;
	syn->tcp_at = syn->ip_at + n_header;
	syn->n_tcp = bpf_ntohs(ip->tot_len) - n_header;
	syn->is_plain = n_header == sizeof(*ip);
	syn->from.ip.family = syn->to.ip.family = 4;
	syn->from.ip.address[0] = ip->saddr;
	syn->to.ip.address[0] = ip->daddr;
	return true;
}

/* Return: where TCP begins; 0: it does not, or only a part of it. */
static __always_inline __u64 skip_extensions(const struct xdp_md *ctx, __u64 offset,
                                             __u8 next)
{
	for (int i = 0; i < N_EXTENSIONS; i++) {
		const __u8 *header;

		if (next == IPPROTO_TCP)
			return offset;
		if (next != NEXT_HOP_BY_HOP && next != NEXT_DESTINATION &&
		    next != NEXT_ROUTING && next != NEXT_AUTHENTICATION)
			return 0;
		header = bytes_at(ctx, offset, 4);
		if (!header)
			return 0;
		/* A packet with segments left is not for this host, or not yet. */
		if (next == NEXT_ROUTING && header[3] > 0)
			return 0;
		offset += next == NEXT_AUTHENTICATION ? (header[1] + 2) * 4
		                                      : (header[1] + 1) * 8;
		next = header[0];
	}
	return next == IPPROTO_TCP ? offset : 0;
}

static __always_inline bool is_mapped(const __u32 ip[4])
{
	return ip[0] == 0 && ip[1] == 0 && ip[2] == bpf_htonl(0xffff);
}

/* As read_ip4(). */
static __always_inline bool read_ip6(const struct xdp_md *ctx, struct syn *syn)
{
	const struct ipv6hdr *ip = bytes_at(ctx, syn->ip_at, sizeof(*ip));
	__u64 after = syn->ip_at + sizeof(*ip);
	__u64 n_bytes;

	if (!ip || ip->version != 6)
		return false;
	n_bytes = bpf_ntohs(ip->payload_len);
	syn->from.ip.family = syn->to.ip.family = 6;
	__builtin_memcpy(syn->from.ip.address, &ip->saddr, sizeof(ip->saddr));
	__builtin_memcpy(syn->to.ip.address, &ip->daddr, sizeof(ip->daddr));
	if (is_mapped(syn->from.ip.address) || is_mapped(syn->to.ip.address))
		return false;
	syn->tcp_at = skip_extensions(ctx, after, ip->nexthdr);
	syn->n_tcp = n_bytes - (syn->tcp_at - after);
	syn->is_plain = syn->tcp_at == after;
	return syn->tcp_at > 0;
}

/* Return: is it a packet that begins a connection? */
static __always_inline bool read_tcp(const struct xdp_md *ctx, struct syn *syn)
{
	const struct tcphdr *tcp = bytes_at(ctx, syn->tcp_at, sizeof(*tcp));
	__u64 n_header;
	__u8 flags;

	if (!tcp)
		return false;
	flags = ((const __u8 *)tcp)[13];
	if ((flags & (TCP_SYN | TCP_ACK | TCP_RST)) != TCP_SYN)
		return false;
	n_header = (((const __u8 *)tcp)[12] >> 4) * 4;
	/* A length below that of the headers is a great one: it has wrapped. */
	if (n_header < sizeof(*tcp) || syn->n_tcp < n_header || syn->n_tcp > 0xffff)
		return false;
	syn->from.port = bpf_ntohs(tcp->source);
	syn->to.port = bpf_ntohs(tcp->dest);
	syn->next_seq = bpf_ntohl(tcp->seq) + 1 + (__u32)(syn->n_tcp - n_header) +
	                !!(flags & TCP_FIN);
	return true;
}

/* @to: zeroed. Return: is it a SYN, of which all that is needed is there? */
static __always_inline bool read_syn(const struct xdp_md *ctx, struct syn *to)
{
	__u16 type = read_ethernet(ctx, &to->ip_at);

	if (type == ETH_P_IP)
		return read_ip4(ctx, to) && read_tcp(ctx, to);
	if (type == ETH_P_IPV6)
		return read_ip6(ctx, to) && read_tcp(ctx, to);
	return false;
}

#endif /* G5X_GUARD_PACKET_BPF_H */
