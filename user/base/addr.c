// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* addr.c - addresses and their text; RFC 5952 comes from inet_ntop(3). */
#include "base/addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct addr addr_from_sockaddr(const struct sockaddr *sa)
{
	struct addr a;

	memset(&a, 0, sizeof(a)); /* an initializer of a union may leave the rest */
	if (sa->sa_family == AF_INET) {
		memcpy(&a.in4, sa, sizeof(a.in4));
		memset(a.in4.sin_zero, 0, sizeof(a.in4.sin_zero));
	} else if (sa->sa_family == AF_INET6) {
		memcpy(&a.in6, sa, sizeof(a.in6));
		a.in6.sin6_flowinfo = 0; /* not part of who it is */
	}
	return a;
}

socklen_t addr_len(const struct addr *a)
{
	return a->sa.sa_family == AF_INET6 ? sizeof(a->in6) : sizeof(a->in4);
}

uint16_t addr_port(const struct addr *a)
{
	return ntohs(a->sa.sa_family == AF_INET6 ? a->in6.sin6_port : a->in4.sin_port);
}

void addr_set_port(struct addr *a, uint16_t port)
{
	if (a->sa.sa_family == AF_INET6)
		a->in6.sin6_port = htons(port);
	else
		a->in4.sin_port = htons(port);
}

static int parse_scope(const char *name, uint32_t *ret_scope)
{
	char *end;
	unsigned long number;
	unsigned int index = if_nametoindex(name);

	if (index == 0) {
		errno = 0;
		number = strtoul(name, &end, 10);
		if (*name < '0' || *name > '9' || *end != '\0' || errno != 0 ||
		    number > UINT32_MAX)
			return -EINVAL;
		index = (unsigned int)number;
	}
	*ret_scope = index;
	return 0;
}

int addr_parse_ip(const char *text, struct addr *ret_addr)
{
	struct addr a;
	char ip[ADDR_IP_TEXT_LEN];
	const char *percent = strchr(text, '%');
	size_t len = percent ? (size_t)(percent - text) : strlen(text);

	if (len >= sizeof(ip))
		return -EINVAL;
	memcpy(ip, text, len);
	ip[len] = '\0';

	memset(&a, 0, sizeof(a));
	if (!percent && inet_pton(AF_INET, ip, &a.in4.sin_addr) == 1) {
		a.in4.sin_family = AF_INET;
	} else if (inet_pton(AF_INET6, ip, &a.in6.sin6_addr) == 1) {
		a.in6.sin6_family = AF_INET6;
		if (percent && parse_scope(percent + 1, &a.in6.sin6_scope_id) < 0)
			return -EINVAL;
	} else {
		return -EINVAL;
	}
	*ret_addr = a;
	return 0;
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
	return addr_equal_ip(a, b) && addr_port(a) == addr_port(b);
}

bool addr_equal_ip(const struct addr *a, const struct addr *b)
{
	if (a->sa.sa_family != b->sa.sa_family)
		return false;
	if (a->sa.sa_family == AF_INET)
		return a->in4.sin_addr.s_addr == b->in4.sin_addr.s_addr;
	return memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, sizeof(struct in6_addr)) ==
	               0 &&
	       a->in6.sin6_scope_id == b->in6.sin6_scope_id;
}

bool addr_is_any(const struct addr *a)
{
	static const struct in6_addr any6 = IN6ADDR_ANY_INIT;

	if (a->sa.sa_family == AF_INET)
		return a->in4.sin_addr.s_addr == htonl(INADDR_ANY);
	return memcmp(&a->in6.sin6_addr, &any6, sizeof(any6)) == 0;
}

const uint8_t *addr_ip_bytes(const struct addr *a, unsigned int *ret_len)
{
	if (a->sa.sa_family == AF_INET) {
		*ret_len = sizeof(a->in4.sin_addr);
		return (const uint8_t *)&a->in4.sin_addr;
	}
	*ret_len = sizeof(a->in6.sin6_addr);
	return (const uint8_t *)&a->in6.sin6_addr;
}

const char *addr_format_ip(const struct addr *a, char buf[static ADDR_IP_TEXT_LEN])
{
	size_t len;

	if (a->sa.sa_family == AF_INET)
		inet_ntop(AF_INET, &a->in4.sin_addr, buf, ADDR_IP_TEXT_LEN);
	else if (a->sa.sa_family == AF_INET6)
		inet_ntop(AF_INET6, &a->in6.sin6_addr, buf, ADDR_IP_TEXT_LEN);
	else
		snprintf(buf, ADDR_IP_TEXT_LEN, "?");

	if (a->sa.sa_family == AF_INET6 && a->in6.sin6_scope_id != 0) {
		char name[IF_NAMESIZE];

		len = strlen(buf);
		if (if_indextoname(a->in6.sin6_scope_id, name))
			snprintf(buf + len, ADDR_IP_TEXT_LEN - len, "%%%s", name);
		else
			snprintf(buf + len, ADDR_IP_TEXT_LEN - len, "%%%u",
			         a->in6.sin6_scope_id);
	}
	return buf;
}

const char *addr_format(const struct addr *a, char buf[static ADDR_TEXT_LEN])
{
	char ip[ADDR_IP_TEXT_LEN];

	snprintf(buf, ADDR_TEXT_LEN, a->sa.sa_family == AF_INET6 ? "[%s]:%u" : "%s:%u",
	         addr_format_ip(a, ip), addr_port(a));
	return buf;
}
