// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* journal.c - see journal.h. */
#include "forward/journal.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/utf8.h"
#include "rules/config.h"
#include "rules/state.h"

#define MS_TEXT_LEN 32

/* Milliseconds from accept to @at_us as text; "-" if it never came to that. */
static const char *since_accept(const struct session *s, uint64_t at_us,
                                char buf[static MS_TEXT_LEN])
{
	if (at_us == 0)
		return "-";
	snprintf(buf, MS_TEXT_LEN, "%.3f", (double)(at_us - s->accepted_us) / 1000);
	return buf;
}

static const char *rule_id(const struct session *s)
{
	const struct rule_state *rule = state_get(STATE_RULE, s->rule);

	return rule->state.name;
}

static const char *server_text(const struct session *s, char buf[static ADDR_TEXT_LEN])
{
	return s->server_addr.sa.sa_family == AF_UNSPEC
	               ? "-"
	               : addr_format(&s->server_addr, buf);
}

static void write_text(const struct session *s, const char *reason, uint64_t now_us)
{
	char client[ADDR_TEXT_LEN], listener[ADDR_TEXT_LEN], server[ADDR_TEXT_LEN];
	char connect[MS_TEXT_LEN], first[MS_TEXT_LEN], total[MS_TEXT_LEN];

	log_info("session rule=%s client=%s listener=%s server=%s in=%llu out=%llu "
	         "connect_ms=%s first_byte_ms=%s total_ms=%s datapath=%s reason=\"%s\"",
	         rule_id(s), addr_format(&s->client_addr, client),
	         addr_format(&s->listener_addr, listener), server_text(s, server),
	         (unsigned long long)s->flow[CLIENT].n_bytes,
	         (unsigned long long)s->flow[SERVER].n_bytes,
	         since_accept(s, s->connected_us, connect),
	         since_accept(s, s->first_byte_us, first),
	         since_accept(s, now_us, total), datapath_name(s->datapath), reason);
}

static void add_text(json_object *o, const char *name, const char *text)
{
	json_object_object_add(o, name, json_object_new_string(text));
}

static void add_ms(json_object *o, const char *name, const struct session *s,
                   uint64_t at_us)
{
	char text[MS_TEXT_LEN];

	json_object_object_add(o, name,
	                       at_us ? json_object_new_double_s(
	                                       (double)(at_us - s->accepted_us) / 1000,
	                                       since_accept(s, at_us, text))
	                             : NULL);
}

static void write_json(const struct session *s, const char *reason, uint64_t now_us)
{
	json_object *o = json_object_new_object();
	char text[ADDR_TEXT_LEN], id[RULE_ID_MAX + 1];
	size_t len;
	const char *line;

	add_text(o, "time", log_timestamp());
	add_text(o, "event", "session");
	snprintf(id, sizeof(id), "%s", rule_id(s));
	utf8_clean(id);
	add_text(o, "rule", id);
	add_text(o, "client", addr_format(&s->client_addr, text));
	add_text(o, "listener", addr_format(&s->listener_addr, text));
	if (s->server_addr.sa.sa_family == AF_UNSPEC)
		json_object_object_add(o, "server", NULL);
	else
		add_text(o, "server", addr_format(&s->server_addr, text));
	json_object_object_add(o, "in",
	                       json_object_new_uint64(s->flow[CLIENT].n_bytes));
	json_object_object_add(o, "out",
	                       json_object_new_uint64(s->flow[SERVER].n_bytes));
	add_ms(o, "connect_ms", s, s->connected_us);
	add_ms(o, "first_byte_ms", s, s->first_byte_us);
	add_ms(o, "total_ms", s, now_us);
	add_text(o, "datapath", datapath_name(s->datapath));
	add_text(o, "reason", reason);
	line = json_object_to_json_string_length(o, LOG_JSON_FLAGS, &len);
	log_raw(line, len);
	json_object_put(o);
}

void journal_session(const struct session *s, enum close_reason reason)
{
	if (log_is_off())
		return;
	if (log_get_format() == LOG_FORMAT_JSON)
		write_json(s, close_reason_text(reason), clock_us());
	else
		write_text(s, close_reason_text(reason), clock_us());
}
