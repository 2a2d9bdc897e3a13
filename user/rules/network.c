// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* network.c - see network.h. */
#include "rules/network.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define BITS_MAX_DIGITS 3 /* 128 */

/* The address before the '/', and the digits after it. */
struct parts {
	char ip[ADDR_IP_TEXT_LEN];
	const char *bits; /* NULL: no '/' */
	size_t bits_len;
	bool is_bracketed;
};

static int invalid(const char *reason, const char **ret_reason)
{
	*ret_reason = reason;
	return -EINVAL;
}

static unsigned int max_bits(const struct addr *ip)
{
	return ip->sa.sa_family == AF_INET ? 32 : 128;
}

static uint8_t *bytes_of(struct addr *ip, unsigned int *ret_len)
{
	*ret_len = max_bits(ip) / 8;
	return ip->sa.sa_family == AF_INET ? (uint8_t *)&ip->in4.sin_addr
	                                   : (uint8_t *)&ip->in6.sin6_addr;
}

static int split(const char *text, size_t len, struct parts *ret_parts,
                 const char **ret_reason)
{
	struct parts p = { .is_bracketed = len > 0 && text[0] == '[' };
	const char *slash = len ? memchr(text, '/', len) : NULL;
	size_t ip_len = slash ? (size_t)(slash - text) : len;

	if (slash) {
		p.bits = slash + 1;
		p.bits_len = len - ip_len - 1;
	}
	if (p.is_bracketed) {
		if (ip_len < 2 || text[ip_len - 1] != ']')
			return invalid("has a '[' without ']'", ret_reason);
		text++;
		ip_len -= 2;
	}
	if (memchr(text, '\0', ip_len) || ip_len >= sizeof(p.ip))
		return invalid("is not an IP address", ret_reason);
	if (memchr(text, '%', ip_len))
		return invalid("names a link: a network has none", ret_reason);
	memcpy(p.ip, text, ip_len);
	*ret_parts = p;
	return 0;
}

static int parse_bits(const struct parts *p, unsigned int max, unsigned int *ret_bits)
{
	unsigned int bits = 0;

	if (p->bits_len == 0 || p->bits_len > BITS_MAX_DIGITS)
		return -EINVAL;
	for (size_t i = 0; i < p->bits_len; i++) {
		if (p->bits[i] < '0' || p->bits[i] > '9')
			return -EINVAL;
		bits = bits * 10 + (unsigned int)(p->bits[i] - '0');
	}
	if (bits > max)
		return -EINVAL;
	*ret_bits = bits;
	return 0;
}

/* Return: were they zero already? */
static bool clear_after_prefix(struct network *network)
{
	unsigned int len;
	uint8_t *bytes = bytes_of(&network->ip, &len);
	bool was_clear = true;

	for (unsigned int i = 0; i < len; i++) {
		unsigned int n_kept = network->bits > 8 * i ? network->bits - 8 * i : 0;
		uint8_t kept = n_kept >= 8 ? 0xff : (uint8_t)(0xff00 >> n_kept);

		was_clear = was_clear && (bytes[i] & ~kept) == 0;
		bytes[i] &= kept;
	}
	return was_clear;
}

/* All but what comes after the prefix, which is cleared. */
static int parse(const char *text, size_t len, struct network *ret_network,
                 bool *ret_was_clear, const char **ret_reason)
{
	struct network network;
	struct parts p;
	int r = split(text, len, &p, ret_reason);

	if (r < 0)
		return r;
	if (addr_parse_ip(p.ip, &network.ip) < 0)
		return invalid("is not an IP address", ret_reason);
	if (p.is_bracketed && network.ip.sa.sa_family == AF_INET)
		return invalid("has brackets, which are for IPv6", ret_reason);
	network.bits = max_bits(&network.ip);
	if (p.bits && parse_bits(&p, network.bits, &network.bits) < 0)
		return invalid(network.bits == 32
		                       ? "is IPv4, and its prefix not 0 to 32 bits"
		                       : "is IPv6, and its prefix not 0 to 128 bits",
		               ret_reason);
	*ret_was_clear = clear_after_prefix(&network);
	*ret_network = network;
	return 0;
}

int network_parse(const char *text, size_t len, struct network *ret_network,
                  const char **ret_reason)
{
	struct network network;
	bool was_clear;
	int r = parse(text, len, &network, &was_clear, ret_reason);

	if (r < 0)
		return r;
	if (!was_clear)
		return invalid("has bits after the prefix", ret_reason);
	*ret_network = network;
	return 0;
}

const char *network_suggest(const char *text, size_t len,
                            char buf[static NETWORK_TEXT_LEN])
{
	struct network network;
	const char *reason;
	bool was_clear;

	if (parse(text, len, &network, &was_clear, &reason) == 0)
		return network_format(&network, buf);
	snprintf(buf, NETWORK_TEXT_LEN,
	         "IP or IP/BITS, such as 10.0.0.0/8 or 2001:db8::/32");
	return buf;
}

bool network_has(const struct network *network, const struct addr *a)
{
	unsigned int len, n_bytes = network->bits / 8, n_more = network->bits % 8;
	const uint8_t *x, *y;

	if (a->sa.sa_family != network->ip.sa.sa_family)
		return false;
	x = addr_ip_bytes(a, &len);
	y = addr_ip_bytes(&network->ip, &len);
	if (memcmp(x, y, n_bytes) != 0)
		return false;
	return n_more == 0 || (x[n_bytes] ^ y[n_bytes]) >> (8 - n_more) == 0;
}

bool network_covers(const struct network *outer, const struct network *inner)
{
	return outer->bits <= inner->bits && network_has(outer, &inner->ip);
}

int network_compare(const struct network *a, const struct network *b)
{
	unsigned int len;
	int r;

	if (a->ip.sa.sa_family != b->ip.sa.sa_family)
		return a->ip.sa.sa_family < b->ip.sa.sa_family ? -1 : 1;
	r = memcmp(addr_ip_bytes(&a->ip, &len), addr_ip_bytes(&b->ip, &len),
	           max_bits(&a->ip) / 8);
	if (r != 0 || a->bits == b->bits)
		return r;
	return a->bits < b->bits ? -1 : 1;
}

struct network network_of(const struct addr *a)
{
	struct network network = { .ip = *a, .bits = max_bits(a) };

	addr_set_port(&network.ip, 0);
	if (a->sa.sa_family == AF_INET6)
		network.ip.in6.sin6_scope_id = 0;
	return network;
}

const char *network_format(const struct network *network,
                           char buf[static NETWORK_TEXT_LEN])
{
	char ip[ADDR_IP_TEXT_LEN];

	snprintf(buf, NETWORK_TEXT_LEN, "%s/%u", addr_format_ip(&network->ip, ip),
	         network->bits);
	return buf;
}
