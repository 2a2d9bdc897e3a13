// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* endpoint.c - reads the addresses of forwards and servers. */
#include "rules/endpoint.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define HOST_NAME_LEN 253 /* RFC 1035, without the final dot */
#define IPV4_EXAMPLE "IP:PORT, such as 127.0.0.1:80 or [::1]:80"
#define SERVER_EXAMPLE "IP:PORT, [IP6]:PORT or HOST:PORT, such as 127.0.0.1:80"
#define PORT_EXAMPLE "a port from 1 to 65535"

struct reader {
	const struct endpoint_kind *kind;
	const struct token *whole;
	struct diag_list *diags;
};

static const char *example(const struct reader *r)
{
	return r->kind->may_be_name ? SERVER_EXAMPLE : IPV4_EXAMPLE;
}

#define report(r, severity, t, expected, ...)                                \
	diag_add((r)->diags, severity, (r)->kind->code, (t)->span, expected, \
	         __VA_ARGS__)

static bool has_only(const struct token *t, const char *bytes)
{
	for (size_t i = 0; i < t->len; i++)
		if (!t->text[i] || !strchr(bytes, t->text[i]))
			return false;
	return true;
}

bool endpoint_split(const struct token *t, struct token *ret_host,
                    struct token *ret_port)
{
	const char *from = t->text, *colon;

	if (t->len && t->text[0] == '[') {
		from = memchr(t->text, ']', t->len);
		if (!from)
			return false;
	}
	colon = memchr(from, ':', t->len - (size_t)(from - t->text));
	if (!colon)
		return false;
	*ret_host = token_part(t, 0, (size_t)(colon - t->text));
	*ret_port = token_part(t, ret_host->len + 1, t->len - ret_host->len - 1);
	return true;
}

/* "::1:80" and "2001:db8::1": split at the first ':' they make no sense. */
static bool is_bare_ipv6(const struct token *t)
{
	const char *colon = memchr(t->text, ':', t->len);
	size_t at = colon ? (size_t)(colon - t->text) + 1 : t->len;

	return memchr(t->text + at, ':', t->len - at) && t->text[0] != '[' &&
	       has_only(t, "0123456789abcdefABCDEF:");
}

static bool read_port(const struct reader *r, const struct token *t, uint16_t *ret_port)
{
	bool has_sign = t->len && (t->text[0] == '+' || t->text[0] == '-');
	size_t at = has_sign;
	unsigned long port = 0;

	for (; at < t->len && isdigit((unsigned char)t->text[at]); at++)
		if (port <= UINT16_MAX)
			port = port * 10 + (unsigned long)(t->text[at] - '0');

	if (!t->len) {
		report(r, DIAG_ERROR, r->whole, example(r),
		       "%s address " QUOTED " has no port", r->kind->what,
		       QUOTE(*r->whole));
		return false;
	}
	if (at == has_sign) {
		report(r, DIAG_ERROR, t, PORT_EXAMPLE,
		       "%s port " QUOTED " is not a number", r->kind->what, QUOTE(*t));
		return false;
	}
	if (port == 0 || port > UINT16_MAX || t->text[0] == '-') {
		report(r, DIAG_ERROR, t, PORT_EXAMPLE,
		       "%s port " QUOTED " is out of range", r->kind->what, QUOTE(*t));
		return false;
	}
	if (has_sign || at < t->len || t->text[0] == '0')
		report(r, DIAG_WARNING, t, PORT_EXAMPLE,
		       "%s port " QUOTED " is read as %lu", r->kind->what, QUOTE(*t),
		       port);
	*ret_port = (uint16_t)port;
	return true;
}

/* By its last part, a name never ends in a number: "300.1.1.1", "127.1", "0x7f.1". */
static bool is_numeric(const struct token *host)
{
	size_t at = host->len;
	struct token last;

	while (at && host->text[at - 1] != '.')
		at--;
	last = token_part(host, at, host->len - at);
	if (!last.len || !isdigit((unsigned char)last.text[0]))
		return false;
	if (last.len > 2 && (last.text[1] == 'x' || last.text[1] == 'X')) {
		last = token_part(&last, 2, last.len - 2);
		return has_only(&last, "0123456789abcdefABCDEF");
	}
	return has_only(&last, "0123456789");
}

/* Numbers as inet_addr() takes them and addr_parse_ip() does not. */
static bool read_short_ipv4(const struct reader *r, const struct token *host,
                            const char *text, struct addr *ret_addr)
{
	struct addr a = { .in4.sin_family = AF_INET };
	char meant[ADDR_IP_TEXT_LEN];

	if (!has_only(host, "0123456789abcdefABCDEFxX.") ||
	    !inet_aton(text, &a.in4.sin_addr)) {
		report(r, DIAG_ERROR, host, example(r),
		       "%s address " QUOTED " is not an IPv4 address", r->kind->what,
		       QUOTE(*host));
		return false;
	}
	report(r, DIAG_WARNING, host, "an IPv4 address of four decimal numbers",
	       "%s address " QUOTED " is read as %s", r->kind->what, QUOTE(*host),
	       addr_format_ip(&a, meant));
	*ret_addr = a;
	return true;
}

static bool read_bracketed(const struct reader *r, const struct token *host,
                           struct addr *ret_addr)
{
	char text[ADDR_IP_TEXT_LEN] = "";
	struct addr a;

	if (host->text[host->len - 1] == ']' && host->len - 2 < sizeof(text) &&
	    !memchr(host->text, '\0', host->len))
		memcpy(text, host->text + 1, host->len - 2);
	if (addr_parse_ip(text, &a) < 0 || a.sa.sa_family != AF_INET6) {
		report(r, DIAG_ERROR, host, example(r),
		       "%s address " QUOTED " is not an IPv6 address in brackets",
		       r->kind->what, QUOTE(*host));
		return false;
	}
	*ret_addr = a;
	return true;
}

static bool is_host_name(const struct token *host)
{
	return host->len <= HOST_NAME_LEN && host->text[0] != '-' &&
	       host->text[0] != '.' &&
	       has_only(host, "0123456789abcdefghijklmnopqrstuvwxyz"
	                      "ABCDEFGHIJKLMNOPQRSTUVWXYZ-._");
}

static bool read_name(const struct reader *r, const struct token *host)
{
	if (memchr(host->text, '*', host->len) || memchr(host->text, '?', host->len)) {
		report(r, DIAG_ERROR, host, example(r),
		       "%s address " QUOTED " has wildcards", r->kind->what,
		       QUOTE(*r->whole));
		return false;
	}
	if (!r->kind->may_be_name) {
		report(r, DIAG_ERROR, host, example(r),
		       "%s address " QUOTED " is not an IP address", r->kind->what,
		       QUOTE(*host));
		return false;
	}
	if (!is_host_name(host)) {
		report(r, DIAG_ERROR, host, example(r),
		       "%s address " QUOTED " is neither an IP address nor a host name",
		       r->kind->what, QUOTE(*host));
		return false;
	}
	return true;
}

static bool read_host(const struct reader *r, const struct token *host,
                      struct endpoint *ret_endpoint)
{
	char text[ADDR_IP_TEXT_LEN] = "";

	if (!host->len) {
		report(r, DIAG_ERROR, r->whole, example(r),
		       "%s address " QUOTED " has no IP", r->kind->what,
		       QUOTE(*r->whole));
		return false;
	}
	if (host->text[0] == '[')
		return read_bracketed(r, host, &ret_endpoint->addr);
	if (host->len < sizeof(text))
		memcpy(text, host->text, host->len);
	if (addr_parse_ip(text, &ret_endpoint->addr) == 0)
		return true;
	if (is_numeric(host))
		return read_short_ipv4(r, host, text, &ret_endpoint->addr);
	ret_endpoint->is_name = read_name(r, host);
	return ret_endpoint->is_name;
}

bool endpoint_parse(const struct endpoint_kind *kind, const struct token *t,
                    struct diag_list *diags, struct endpoint *ret_endpoint)
{
	struct reader r = { .kind = kind, .whole = t, .diags = diags };
	struct endpoint e = { .is_name = false };
	struct token port;
	bool is_host_good, is_port_good;

	if (is_bare_ipv6(t)) {
		report(&r, DIAG_ERROR, t, "[IP6]:PORT, such as [::1]:80",
		       "%s address " QUOTED ": an IPv6 address stands in brackets",
		       kind->what, QUOTE(*t));
		return false;
	}
	if (!endpoint_split(t, &e.host, &port)) {
		report(&r, DIAG_ERROR, t, example(&r),
		       "%s address " QUOTED " has no port", kind->what, QUOTE(*t));
		return false;
	}
	is_host_good = read_host(&r, &e.host, &e);
	is_port_good = read_port(&r, &port, &e.port);
	if (!is_host_good || !is_port_good)
		return false;
	if (!e.is_name)
		addr_set_port(&e.addr, e.port);
	*ret_endpoint = e;
	return true;
}
