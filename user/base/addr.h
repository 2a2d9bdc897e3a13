/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * addr.h - an IPv4 or IPv6 address with its port, and its text.
 *
 * A plain value of 28 bytes: copied freely, owns nothing, kept in the session
 * slab as it is. Unused bytes are zero, so two equal addresses are equal bytes.
 */
#ifndef G5X_BASE_ADDR_H
#define G5X_BASE_ADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct addr {
	union {
		struct sockaddr sa;
		struct sockaddr_in in4;
		struct sockaddr_in6 in6;
	};
};

#define ADDR_IP_TEXT_LEN 64 /* an IPv6 address with its scope, and the NUL */
#define ADDR_TEXT_LEN 72    /* "[ip]:port" and the NUL */

/** addr_from_sockaddr() - copy a kernel's answer; other families become AF_UNSPEC */
struct addr addr_from_sockaddr(const struct sockaddr *sa);

/** addr_len() - what bind(2) and connect(2) want as the length */
socklen_t addr_len(const struct addr *a);

/** addr_port() - in host byte order */
uint16_t addr_port(const struct addr *a);
void addr_set_port(struct addr *a, uint16_t port);

/**
 * addr_parse_ip() - numeric text to address, port 0
 * @text: "127.0.0.1", "::1", "fe80::1%eth0"; no brackets, no names
 *
 * Strict dotted quads only (inet_pton): what inet_addr() also takes, such as
 * "127.1", is refused here.
 *
 * Return: 0, or -EINVAL with *ret_addr untouched.
 */
int addr_parse_ip(const char *text, struct addr *ret_addr);

/** addr_equal() - same family, address, scope and port */
bool addr_equal(const struct addr *a, const struct addr *b);

/** addr_equal_ip() - the same, whatever the ports */
bool addr_equal_ip(const struct addr *a, const struct addr *b);

/** addr_is_any() - 0.0.0.0 or :: */
bool addr_is_any(const struct addr *a);

/**
 * addr_ip_bytes() - the address in network byte order, for hashing and prefixes
 *
 * Return: 4 or 16 bytes inside @a; *ret_len says which.
 */
const uint8_t *addr_ip_bytes(const struct addr *a, unsigned int *ret_len);

/** addr_format_ip() - "127.0.0.1" or RFC 5952 text without brackets; returns @buf */
const char *addr_format_ip(const struct addr *a, char buf[static ADDR_IP_TEXT_LEN]);

/** addr_format() - "127.0.0.1:80" or "[::1]:80"; returns @buf */
const char *addr_format(const struct addr *a, char buf[static ADDR_TEXT_LEN]);

#endif /* G5X_BASE_ADDR_H */
