// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * pattern.c - "IP:PORT" with wildcards: compiled once, compared on every accept.
 *
 * What can be decided by bytes is: only a true glob looks at text. A pattern that
 * was written in brackets means IPv6 alone, one without them is held against the
 * text of either family (so '*' is everybody). Scopes of link-local addresses are
 * left out on both sides: fe80::1%eth0 in a rule means fe80::1 on any link.
 */
#include "rules/pattern.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"

#define PORT_MAX_DIGITS 5 /* 65535 */
#define PORT_TEXT_LEN 6

struct piece {
	const char *text; /* not terminated */
	size_t len;
};

/* IP, IP/BITS or [IP6], [IP6]/BITS before the ':', and what is after it */
struct halves {
	struct piece ip;
	struct piece bits;
	struct piece port;
	bool has_bits;
	bool is_bracketed;
};

static bool consists_of(struct piece piece, const char *set)
{
	for (size_t i = 0; i < piece.len; i++)
		if (!strchr(set, piece.text[i]))
			return false;
	return true;
}

static bool has_wildcard(struct piece piece)
{
	return memchr(piece.text, '*', piece.len) || memchr(piece.text, '?', piece.len);
}

static int invalid(const char *reason, const char **ret_reason)
{
	*ret_reason = reason;
	return -EINVAL;
}

/* "[IP6" has an end; *ret_rest is what comes after the ']' */
static int split_brackets(struct piece text, struct halves *h, struct piece *ret_rest,
                          const char **ret_reason)
{
	const char *end = text.text + text.len;
	const char *close = memchr(text.text, ']', text.len);
	const char *scope;

	if (!close)
		return invalid("'[' without ']'", ret_reason);
	h->is_bracketed = true;
	h->ip = (struct piece){ text.text + 1, (size_t)(close - text.text) - 1 };
	if (h->ip.len == 0)
		return invalid("nothing between '[' and ']'", ret_reason);
	scope = memchr(h->ip.text, '%', h->ip.len);
	if (scope)
		h->ip.len = (size_t)(scope - h->ip.text);
	*ret_rest = (struct piece){ close + 1, (size_t)(end - close) - 1 };
	if (ret_rest->len > 0 && !strchr(":/", *ret_rest->text))
		return invalid("']' must be followed by ':' or '/'", ret_reason);
	return 0;
}

static int split(struct piece text, struct halves *ret_halves, const char **ret_reason)
{
	struct halves h = { .ip.text = "", .bits.text = "" };
	struct piece rest = text;
	struct piece before;
	const char *colon, *slash;

	/* Globs become C strings: what follows a NUL would be lost, and with it
	 * what narrows the pattern. */
	if (memchr(text.text, '\0', text.len))
		return invalid("contains a NUL byte", ret_reason);
	if (text.len > 0 && text.text[0] == '[') {
		int r = split_brackets(text, &h, &rest, ret_reason);

		if (r < 0)
			return r;
	}
	colon = memchr(rest.text, ':', rest.len);
	if (!colon)
		return invalid("has no port", ret_reason);
	before = (struct piece){ rest.text, (size_t)(colon - rest.text) };
	h.port = (struct piece){ colon + 1, rest.len - before.len - 1 };
	if (memchr(h.port.text, ':', h.port.len))
		return invalid(h.is_bracketed ? "more than one ':' after ']'"
		                              : "an IPv6 address needs brackets",
		               ret_reason);
	slash = memchr(before.text, '/', before.len);
	if (slash) {
		h.has_bits = true;
		h.bits.text = slash + 1;
		h.bits.len = (size_t)(colon - slash) - 1;
		before.len = (size_t)(slash - before.text);
	}
	if (!h.is_bracketed)
		h.ip = before;
	*ret_halves = h;
	return 0;
}

static int parse_number(struct piece digits, unsigned int max, unsigned int *ret_number)
{
	unsigned int n = 0;

	if (digits.len == 0 || digits.len > PORT_MAX_DIGITS ||
	    !consists_of(digits, "0123456789"))
		return -EINVAL;
	for (size_t i = 0; i < digits.len; i++)
		n = n * 10 + (unsigned int)(digits.text[i] - '0');
	if (n > max)
		return -EINVAL;
	*ret_number = n;
	return 0;
}

/* Why no port has this text; NULL: one may have. */
static const char *why_no_port(struct piece port)
{
	size_t n_characters = 0;
	unsigned int number;

	if (!consists_of(port, "0123456789*?"))
		return "a port has digits, '*' and '?' only";
	for (size_t i = 0; i < port.len; i++)
		n_characters += port.text[i] != '*';
	if (n_characters > PORT_MAX_DIGITS)
		return "no port is that long";
	if (port.text[0] == '0' && port.len > 1)
		return "no port begins with 0";
	if (!has_wildcard(port) && parse_number(port, UINT16_MAX, &number) < 0)
		return "no port is greater than 65535";
	return NULL;
}

static int parse_port(struct piece port, struct pattern *p, const char **ret_note)
{
	unsigned int number = 0;

	if (consists_of(port, "*")) {
		p->port_kind = PATTERN_ANY;
		return 0;
	}
	*ret_note = why_no_port(port);
	/* "080", "http": no client's port, but G5 starts with such a rule */
	if (*ret_note || has_wildcard(port)) {
		p->port_kind = PATTERN_GLOB;
		p->port_glob = strndup(port.text, port.len);
		return p->port_glob ? 0 : -ENOMEM;
	}
	parse_number(port, UINT16_MAX, &number);
	p->port_kind = PATTERN_EXACT;
	/* Not addr_set_port(): the address may have no family, and in both
	 * families the port is at the same place. */
	p->addr.in4.sin_port = htons((uint16_t)number);
	return 0;
}

/* an address of the family that the brackets promise */
static int parse_address(const struct halves *h, struct addr *ret_addr)
{
	char text[ADDR_IP_TEXT_LEN];
	struct addr a;
	int r;

	if (h->ip.len >= sizeof(text))
		return -EINVAL;
	memcpy(text, h->ip.text, h->ip.len);
	text[h->ip.len] = '\0';
	r = addr_parse_ip(text, &a);
	if (r < 0)
		return r;
	if (a.sa.sa_family != (h->is_bracketed ? AF_INET6 : AF_INET))
		return -EINVAL;
	*ret_addr = a;
	return 0;
}

static void take_ip(struct pattern *p, enum pattern_kind kind, struct addr ip)
{
	ip.in4.sin_port = p->addr.in4.sin_port;
	p->addr = ip;
	p->ip_kind = kind;
}

static int parse_prefix(const struct halves *h, struct pattern *p,
                        const char **ret_reason)
{
	struct addr ip;
	unsigned int bits = 0;

	if (has_wildcard(h->ip))
		return invalid("a prefix has no wildcards", ret_reason);
	if (parse_address(h, &ip) < 0)
		return invalid("the prefix does not begin with an address", ret_reason);
	if (parse_number(h->bits, h->is_bracketed ? 128 : 32, &bits) < 0)
		return invalid(h->is_bracketed ? "a prefix of IPv6 has 0 to 128 bits"
		                               : "a prefix of IPv4 has 0 to 32 bits",
		               ret_reason);
	take_ip(p, PATTERN_PREFIX, ip);
	p->prefix_len = bits;
	return 0;
}

static int parse_glob(const struct halves *h, struct pattern *p)
{
	p->ip_kind = PATTERN_GLOB;
	p->ip_glob = strndup(h->ip.text, h->ip.len);
	if (!p->ip_glob)
		return -ENOMEM;
	if (!h->is_bracketed)
		return 0;

	p->addr.sa.sa_family = AF_INET6;
	/* RFC 5952 text is in lower case */
	for (char *c = p->ip_glob; *c; c++)
		if (*c >= 'A' && *c <= 'F')
			*c = (char)(*c - 'A' + 'a');
	return 0;
}

static int parse_ip(const struct halves *h, struct pattern *p, const char **ret_reason)
{
	struct addr ip;

	if (h->has_bits)
		return parse_prefix(h, p, ret_reason);
	if (!h->is_bracketed && consists_of(h->ip, "*")) {
		p->ip_kind = PATTERN_ANY;
		return 0;
	}
	if (h->is_bracketed && !consists_of(h->ip, "0123456789abcdefABCDEF:.*?"))
		return invalid("not an IPv6 address between '[' and ']'", ret_reason);
	if (has_wildcard(h->ip))
		return parse_glob(h, p);
	if (parse_address(h, &ip) == 0) {
		take_ip(p, PATTERN_EXACT, ip);
		return 0;
	}
	if (h->is_bracketed)
		return invalid("not an IPv6 address between '[' and ']'", ret_reason);
	/* "localhost", "127.1": no client's text, but G5 starts with such a rule */
	return parse_glob(h, p);
}

int pattern_parse(const char *text, size_t len, struct pattern *ret_pattern,
                  const char **ret_reason)
{
	__attribute__((cleanup(pattern_fini))) struct pattern p = { 0 };
	const char *note = NULL;
	struct halves h;
	int r;

	r = split((struct piece){ text, len }, &h, ret_reason);
	if (r < 0)
		return r;
	r = parse_port(h.port, &p, &note);
	if (r < 0)
		return r;
	r = parse_ip(&h, &p, ret_reason);
	if (r < 0)
		return r;

	*ret_pattern = p;
	*ret_reason = note;
	p = (struct pattern){ 0 };
	return 0;
}

void pattern_fini(struct pattern *p)
{
	free(p->ip_glob);
	free(p->port_glob);
	*p = (struct pattern){ 0 };
}

static bool has_prefix(const struct addr *a, const struct addr *prefix,
                       unsigned int n_bits)
{
	unsigned int len, n_bytes = n_bits / 8, n_more = n_bits % 8;
	const uint8_t *x, *y;

	if (a->sa.sa_family != prefix->sa.sa_family)
		return false;
	x = addr_ip_bytes(a, &len);
	y = addr_ip_bytes(prefix, &len);
	if (memcmp(x, y, n_bytes) != 0)
		return false;
	return n_more == 0 || (x[n_bytes] ^ y[n_bytes]) >> (8 - n_more) == 0;
}

static bool matches_port(const struct pattern *p, const struct addr *a)
{
	char text[PORT_TEXT_LEN];

	if (p->port_kind == PATTERN_ANY)
		return true;
	if (p->port_kind == PATTERN_EXACT)
		return a->in4.sin_port == p->addr.in4.sin_port;
	snprintf(text, sizeof(text), "%u", (unsigned int)addr_port(a));
	return pattern_glob(p->port_glob, text);
}

static bool is_ip(const struct addr *a)
{
	return a->sa.sa_family == AF_INET || a->sa.sa_family == AF_INET6;
}

const char *pattern_ip_text(const struct addr *a, char buf[static ADDR_IP_TEXT_LEN])
{
	struct addr plain = *a;

	if (!is_ip(a)) {
		buf[0] = '\0';
		return buf;
	}
	if (plain.sa.sa_family == AF_INET6)
		plain.in6.sin6_scope_id = 0;
	return addr_format_ip(&plain, buf);
}

bool pattern_matches_text(const struct pattern *p, const struct addr *a,
                          const char *ip_text)
{
	if (!is_ip(a) || !matches_port(p, a))
		return false;

	switch (p->ip_kind) {
	case PATTERN_ANY:
		return true;
	case PATTERN_EXACT:
		return has_prefix(a, &p->addr, a->sa.sa_family == AF_INET ? 32 : 128);
	case PATTERN_PREFIX:
		return has_prefix(a, &p->addr, p->prefix_len);
	case PATTERN_GLOB:
		break;
	}
	if (p->addr.sa.sa_family != AF_UNSPEC &&
	    p->addr.sa.sa_family != a->sa.sa_family)
		return false;
	return pattern_glob(p->ip_glob, ip_text);
}

bool pattern_matches(const struct pattern *p, const struct addr *a)
{
	char text[ADDR_IP_TEXT_LEN];

	return pattern_matches_text(
	        p, a, p->ip_kind == PATTERN_GLOB ? pattern_ip_text(a, text) : NULL);
}

/*
 * When a character does not fit, the last star takes one character more and
 * everything after it is compared again from its start. Earlier stars need no
 * second chance: whatever they could take, the last one can take instead.
 */
bool pattern_glob(const char *glob, const char *text)
{
	const char *star = NULL;  /* behind the last '*' */
	const char *taken = text; /* where the text after that star's run begins */

	while (*text) {
		if (*glob == '*') {
			star = ++glob;
			taken = text;
		} else if (*glob == '?' || *glob == *text) {
			glob++;
			text++;
		} else if (star) {
			glob = star;
			text = ++taken;
		} else {
			return false;
		}
	}
	while (*glob == '*')
		glob++;
	return *glob == '\0';
}
