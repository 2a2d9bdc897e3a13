// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * format.c - writes rules and configurations.
 *
 * Attributes at their defaults are left out, so a file of G5's stays one that G5
 * reads, and what is left decides whether two rules are the same.
 */
#include "rules/format.h"

#include <inttypes.h>

#include "rules/config.h"

#define LINE_END "\r\n"
#define NETWORKS_OF_A_LINE 8

/* A block of attributes; not opened before it has one, so never empty. */
struct block {
	FILE *out;
	const char *opening;
	bool is_open;
};

static void put_name(struct block *b, const char *name)
{
	fprintf(b->out, "%s%s", b->is_open ? " " : b->opening, name);
	b->is_open = true;
}

static void put_number(struct block *b, const char *name, uint64_t number)
{
	put_name(b, name);
	fprintf(b->out, " %" PRIu64, number);
}

static void put_text(struct block *b, const char *name, const char *text)
{
	put_name(b, name);
	fprintf(b->out, " %s", text);
}

static void put_block_end(struct block *b)
{
	if (b->is_open)
		fputs(" )", b->out);
}

static void put_rule_block(FILE *out, const struct rule *rule)
{
	struct block b = { .out = out, .opening = " ( " };

	if (rule->timeout_s)
		put_number(&b, "timeout", rule->timeout_s);
	if (rule->connect_timeout_s != RULE_CONNECT_TIMEOUT_S)
		put_number(&b, "connect_timeout", rule->connect_timeout_s);
	if (rule->fin_timeout_s != RULE_FIN_TIMEOUT_S)
		put_number(&b, "fin_timeout", rule->fin_timeout_s);
	if (rule->moratorium_s)
		put_number(&b, "moratorium", rule->moratorium_s);
	if (rule->datapath != DATAPATH_AUTO)
		put_text(&b, "datapath", datapath_name(rule->datapath));
	if (rule->splice_limit != RULE_SPLICE_LIMIT)
		put_number(&b, "splice_limit", rule->splice_limit);
	put_block_end(&b);
}

static void put_client(FILE *out, const struct rule_client *client, bool with_counts)
{
	struct block b = { .out = out, .opening = " ( " };

	fprintf(out, " %s", client->text);
	if (!client->maxclients)
		return;
	if (with_counts) {
		fprintf(out, " ( conntions[%" PRIu64 "/%" PRIu64 "] )",
		        __atomic_load_n(&client->state->n_sessions, __ATOMIC_RELAXED),
		        client->maxclients);
		return;
	}
	put_number(&b, "maxclients", client->maxclients);
	put_block_end(&b);
}

static void put_server(FILE *out, const struct rule_server *server)
{
	struct block b = { .out = out, .opening = " ( " };

	fprintf(out, " %s", server->text);
	if (server->weight != 1)
		put_number(&b, "weight", server->weight);
	if (server->maxconns)
		put_number(&b, "maxconns", server->maxconns);
	put_block_end(&b);
}

void format_rule(FILE *out, const struct rule *rule, bool with_counts)
{
	fprintf(out, "%s %s", rule->id, rule_mode_name(rule->mode));
	put_rule_block(out, rule);
	for (size_t i = 0; i < rule->n_clients; i++)
		put_client(out, &rule->clients[i], with_counts);
	fputs(" -", out);
	for (size_t i = 0; i < rule->n_forwards; i++)
		fprintf(out, " %s", rule->forwards[i].text);
	if (rule->mode != RULE_MODE_G)
		fputs(" >", out);
	for (size_t i = 0; i < rule->n_servers; i++)
		put_server(out, &rule->servers[i]);
	fputs(" ;", out);
}

static void put_global_block(FILE *out, const struct config *c)
{
	struct block b = { .out = out, .opening = "( " };

	if (c->maxsessions_per_ip)
		put_number(&b, "maxsessions_per_ip", c->maxsessions_per_ip);
	if (c->has_workers)
		put_number(&b, "workers", c->workers);
	if (c->has_log)
		put_text(&b, "log", c->log_target);
	if (c->has_log_format)
		put_text(&b, "log_format",
		         c->log_format == LOG_FORMAT_JSON ? "json" : "text");
	if (c->has_grace)
		put_number(&b, "grace", c->grace_s);
	if (c->may_bypass)
		put_text(&b, "bypass", "on");
	if (c->syn_rate)
		put_number(&b, "syn_rate", c->syn_rate);
	if (c->burst)
		put_number(&b, "burst", c->burst);
	if (c->listener_syn_rate)
		put_number(&b, "listener_syn_rate", c->listener_syn_rate);
	if (c->listener_burst)
		put_number(&b, "listener_burst", c->listener_burst);
	put_block_end(&b);
	if (b.is_open)
		fputs(LINE_END, out);
}

static void put_guard(FILE *out, const struct config_guard *g)
{
	if (g->n_interfaces == 0)
		return;
	fputs("( guard", out);
	for (size_t i = 0; i < g->n_interfaces; i++)
		fprintf(out, " %s", g->interfaces[i]);
	fprintf(out, "%s%s )" LINE_END, g->is_dry_run ? " dry-run" : "",
	        g->rejects ? " reject" : "");
}

/* There may be many, and people read the file. */
static void put_blocks(FILE *out, const struct network *blocks, size_t n)
{
	char text[NETWORK_TEXT_LEN];

	for (size_t i = 0; i < n; i++) {
		bool is_first = i % NETWORKS_OF_A_LINE == 0;
		bool is_last = i + 1 == n || (i + 1) % NETWORKS_OF_A_LINE == 0;

		fprintf(out, "%s %s%s", is_first ? "( block" : "",
		        network_format(&blocks[i], text), is_last ? " )" LINE_END : "");
	}
}

void format_config(FILE *out, const struct config *config)
{
	put_global_block(out, config);
	put_guard(out, &config->guard);
	put_blocks(out, config->blocks, config->n_blocks);
	for (size_t i = 0; i < config->n_lines; i++) {
		const struct config_line *line = &config->lines[i];

		if (line->rule)
			format_rule(out, line->rule, false);
		if (line->rule && line->comment)
			fputc(' ', out);
		if (line->comment)
			fputs(line->comment, out);
		fputs(LINE_END, out);
	}
}
