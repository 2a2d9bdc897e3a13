/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* ip.h - what makes a client's IP: addresses with different ports are the same here. */
#ifndef G5X_FORWARD_IP_H
#define G5X_FORWARD_IP_H

#include <stdint.h>
#include <string.h>

#include "base/addr.h"

struct ip {
	uint8_t bytes[16];
	uint32_t scope;
	uint32_t family;
};

static inline struct ip ip_of(const struct addr *a)
{
	struct ip ip = { .family = a->sa.sa_family };
	unsigned int len;
	const uint8_t *bytes = addr_ip_bytes(a, &len);

	memcpy(ip.bytes, bytes, len);
	if (a->sa.sa_family == AF_INET6)
		ip.scope = a->in6.sin6_scope_id;
	return ip;
}

/** ip_addr() - as an address, with port 0 */
static inline struct addr ip_addr(const struct ip *ip)
{
	struct addr a;

	memset(&a, 0, sizeof(a));
	a.sa.sa_family = (sa_family_t)ip->family;
	if (ip->family == AF_INET6) {
		memcpy(&a.in6.sin6_addr, ip->bytes, sizeof(a.in6.sin6_addr));
		a.in6.sin6_scope_id = ip->scope;
	} else {
		memcpy(&a.in4.sin_addr, ip->bytes, sizeof(a.in4.sin_addr));
	}
	return a;
}

#endif /* G5X_FORWARD_IP_H */
