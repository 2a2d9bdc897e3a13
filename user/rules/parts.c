// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* parts.c - checks the addresses of a rule and adds them to it. */
#include "rules/parts.h"

#include <string.h>

#include "base/cleanup.h"
#include "rules/alloc.h"
#include "rules/config.h"
#include "rules/endpoint.h"
#include "rules/parse.h"

#define CLIENT_EXAMPLE "IP:PORT, such as 10.0.0.1:* for any port"
#define PATTERN_EXAMPLE \
	"IP:PORT, where * is anything and ? one character, IP/BITS:PORT or [IP6]:PORT"

static const struct endpoint_kind forward_kind = {
	.what = "forward",
	.code = DIAG_BAD_FORWARD,
};
static const struct endpoint_kind server_kind = {
	.what = "server",
	.code = DIAG_BAD_SERVER,
	.may_be_name = true,
};

/* A pattern with its ':' but without one of its halves. */
static bool has_empty_half(const struct token *t)
{
	struct token host, port;

	return endpoint_split(t, &host, &port) && (!host.len || !port.len);
}

/* Reports what is wrong with a pattern, or what is odd about it. */
static bool parse_pattern(const struct parts *p, const struct token *t,
                          const char *what, enum diag_code code,
                          struct pattern *ret_pattern)
{
	const char *reason = "out of memory";
	struct token host, port;

	if (!endpoint_split(t, &host, &port)) {
		diag_add(p->env->diags, DIAG_ERROR, code, t->span, CLIENT_EXAMPLE,
		         "%s address " QUOTED " has no port", what, QUOTE(*t));
		return false;
	}
	if (pattern_parse(t->text, t->len, ret_pattern, &reason) < 0) {
		diag_add(p->env->diags, DIAG_ERROR, code, t->span, PATTERN_EXAMPLE,
		         "%s address " QUOTED ": %s", what, QUOTE(*t), reason);
		return false;
	}
	if (reason)
		diag_add(p->env->diags, DIAG_WARNING, code, t->span, PATTERN_EXAMPLE,
		         "%s address " QUOTED " matches %s: %s", what, QUOTE(*t),
		         code == DIAG_BAD_CLIENT ? "nobody" : "no listener", reason);
	if (has_empty_half(t))
		diag_add(p->env->diags, DIAG_WARNING, code, t->span,
		         "a * where anything will do",
		         "%s address " QUOTED ": an empty %s matches any", what,
		         QUOTE(*t),
		         host.len   ? "port"
		         : port.len ? "IP"
		                    : "half");
	return true;
}

void parts_add_client(struct parts *p, const struct token *t)
{
	struct rule *rule = p->rule;
	struct rule_client client = { .text = NULL };
	struct name *name;

	if (!parse_pattern(p, t, "client", DIAG_BAD_CLIENT, &client.pattern))
		return;
	name = names_add(&p->clients, t->text, t->len);
	if (name->number++)
		diag_add(p->env->diags, DIAG_WARNING, DIAG_BAD_CLIENT, t->span, NULL,
		         "client address " QUOTED
		         " is there twice: the first one counts",
		         QUOTE(*t));
	client.text = alloc_text(t->text, t->len);
	rule->clients = alloc_slot(rule->clients, rule->n_clients, sizeof(client));
	rule->clients[rule->n_clients++] = client;
}

static bool has_wildcard(const struct token *t)
{
	return memchr(t->text, '*', t->len) || memchr(t->text, '?', t->len) ||
	       memchr(t->text, '/', t->len);
}

/* Later forwards may stand for listeners of other rules: they open nothing. */
static bool parse_forward(struct parts *p, const struct token *t, bool is_first,
                          struct rule_forward *ret_forward)
{
	struct rule_forward forward = {
		.is_pattern = !is_first && (has_wildcard(t) || has_empty_half(t)),
	};
	struct endpoint e;

	if (forward.is_pattern) {
		if (!parse_pattern(p, t, "forward", DIAG_BAD_FORWARD, &forward.pattern))
			return false;
	} else if (is_first && has_wildcard(t)) {
		diag_add(p->env->diags, DIAG_ERROR, DIAG_BAD_FORWARD, t->span,
		         "IP:PORT first, such as 0.0.0.0:80 for any address of this "
		         "host",
		         "the first forward " QUOTED
		         " is a pattern: it cannot be opened",
		         QUOTE(*t));
		return false;
	} else {
		if (!endpoint_parse(&forward_kind, t, p->env->diags, &e))
			return false;
		forward.addr = e.addr;
		forward.pattern = (struct pattern){
			.ip_kind = PATTERN_EXACT,
			.port_kind = PATTERN_EXACT,
			.addr = e.addr,
		};
	}
	*ret_forward = forward;
	return true;
}

void parts_add_forward(struct parts *p, const struct token *t, bool is_first)
{
	struct rule *rule = p->rule;
	struct rule_forward forward;

	if (!parse_forward(p, t, is_first, &forward))
		return;
	if (names_add(&p->forwards, t->text, t->len)->number++)
		diag_add(p->env->diags, DIAG_WARNING, DIAG_BAD_FORWARD, t->span, NULL,
		         "forward address " QUOTED " is there twice", QUOTE(*t));
	forward.text = alloc_text(t->text, t->len);
	rule->forwards = alloc_slot(rule->forwards, rule->n_forwards, sizeof(forward));
	rule->forwards[rule->n_forwards++] = forward;
}

/* The address that this very text has in the configuration in force. */
static const struct addr *find_old_address(const struct config *old, const char *text)
{
	for (size_t i = 0; old && i < old->n_rules; i++) {
		const struct rule *rule = old->rules[i];

		for (size_t j = 0; j < rule->n_servers; j++)
			if (strcmp(rule->servers[j].text, text) == 0)
				return &rule->servers[j].addr;
	}
	return NULL;
}

static bool resolve(const struct parts *p, const struct token *t, const char *text,
                    struct endpoint *e)
{
	const struct config_resolver *resolver = p->env->resolver;
	auto_free char *host = alloc_text(e->host.text, e->host.len);
	const char *reason = "unknown";
	const struct addr *old;
	char kept[ADDR_TEXT_LEN];

	if (resolver->resolve(resolver->ctx, host, e->port, &e->addr, &reason) == 0) {
		addr_set_port(&e->addr, e->port);
		return true;
	}
	old = find_old_address(p->env->old, text);
	if (!old) {
		diag_add(p->env->diags, DIAG_ERROR, DIAG_BAD_SERVER, t->span,
		         "a host name that resolves, or IP:PORT",
		         "server name \"%s\" does not resolve: %s", host, reason);
		return false;
	}
	diag_add(p->env->diags, DIAG_WARNING, DIAG_BAD_SERVER, t->span, NULL,
	         "server name \"%s\" does not resolve: %s; it keeps %s", host, reason,
	         addr_format(old, kept));
	e->addr = *old;
	return true;
}

void parts_add_server(struct parts *p, const struct token *t)
{
	struct rule *rule = p->rule;
	auto_free char *text = alloc_text(t->text, t->len);
	struct endpoint e;

	if (!endpoint_parse(&server_kind, t, p->env->diags, &e))
		return;
	if (e.is_name && !resolve(p, t, text, &e))
		return;
	rule->servers = alloc_slot(rule->servers, rule->n_servers,
	                           sizeof(*rule->servers));
	rule->servers[rule->n_servers++] = (struct rule_server){
		.text = take_ptr(text),
		.addr = e.addr,
		.weight = 1,
	};
}

void parts_fini(struct parts *p)
{
	names_fini(&p->clients);
	names_fini(&p->forwards);
}
