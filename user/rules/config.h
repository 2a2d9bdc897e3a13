/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * config.h - a rule file, understood: an immutable snapshot.
 *
 * Text goes in, a configuration or a list of diagnostics comes out; nothing is
 * opened, bound or resolved here (host names go through a callback), so all of it
 * can be fuzzed. Rules are immutable too and shared between configurations: adding
 * one rule makes a new configuration that refers to the old rules.
 *
 * Thread: only the main thread makes, references and frees configurations. Workers
 * read the one they were given until they are given the next.
 *
 * To add an attribute: a member here, a row in the table of attributes.c, a line
 * in the manual page, a test.
 */
#ifndef G5X_RULES_CONFIG_H
#define G5X_RULES_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/log.h"
#include "rules/diag.h"
#include "rules/network.h"
#include "rules/pattern.h"
#include "rules/state.h"

enum rule_mode {
	RULE_MODE_G,  /* management port */
	RULE_MODE_MS, /* main and standby: one server until it fails */
	RULE_MODE_RR, /* round robin */
	RULE_MODE_LC, /* least connections */
	RULE_MODE_RT, /* shortest response time */
	RULE_MODE_RD, /* random */
	RULE_MODE_HS, /* hash of the client's IP */

	RULE_MODE_N
};

enum datapath {
	DATAPATH_AUTO,   /* whatever is best here */
	DATAPATH_COPY,   /* through the daemon */
	DATAPATH_SPLICE, /* inside the kernel */
	DATAPATH_BYPASS, /* from application to application, on one host */

	DATAPATH_N
};

#define RULE_ID_MAX 64            /* bytes */
#define RULE_CONNECT_TIMEOUT_S 10 /* default, per server tried */
#define RULE_FIN_TIMEOUT_S 60     /* default */
#define RULE_SKIPPED_PICKS 100    /* how long a failed server is passed over */
#define SERVER_WEIGHT_MAX 256
#define TIMEOUT_MAX_S 31536000 /* a year; G5 names no maximum, so its timeout is cut */

#define RULE_SPLICE_LIMIT 1048576 /* default, bytes */
#define RULE_SPLICE_LIMIT_MIN 65536
#define RULE_SPLICE_LIMIT_MAX 1073741824

struct rule_client {
	char *text; /* as written */
	struct pattern pattern;
	uint64_t maxclients;        /* 0: no limit */
	struct client_state *state; /* referenced */
};

struct rule_forward {
	char *text;
	bool is_pattern; /* has wildcards: matches listeners, opens none */
	struct addr addr;
	struct pattern pattern; /* of a pattern, and of a plain address too */
};

struct rule_server {
	char *text; /* as written, host names included */
	struct addr addr;
	unsigned int weight;        /* 0..SERVER_WEIGHT_MAX; 0: gets no new session */
	uint64_t maxconns;          /* 0: no limit */
	struct server_state *state; /* referenced */
};

struct rule {
	unsigned int refs; /* main thread only */
	char *id;
	enum rule_mode mode;
	uint32_t version; /* equals state->version while this definition is current */
	unsigned int timeout_s;         /* 0: none */
	unsigned int connect_timeout_s; /* 0: the kernel's own */
	unsigned int fin_timeout_s;     /* 0: none */
	unsigned int moratorium_s;      /* 0: RULE_SKIPPED_PICKS selections instead */
	enum datapath datapath;
	/* Bytes of one direction of a session that may be queued inside the kernel for
	 * a slow reader; above, the daemon takes over and TCP stops the sender. */
	uint32_t splice_limit;
	struct rule_client *clients;
	size_t n_clients;
	struct rule_forward *forwards;
	size_t n_forwards;
	struct rule_server *servers;
	size_t n_servers;
	/* RR and RD walk this: server positions, each as often as its weight
	 * (divided by the common factor), spread evenly (1 2 1 3 1, not 1 1 1 2 3). */
	uint32_t *schedule;
	size_t n_schedule;        /* 0 when every weight is 0 */
	uint64_t weight_sum;      /* HS: sum of the weights */
	struct rule_state *state; /* referenced */
};

/* One physical line, so that `dump rules` can keep what is not a rule. */
struct config_line {
	char *comment;     /* from its '#' on, without line end; NULL: none */
	struct rule *rule; /* NULL: comment, blank or global line */
};

/* `guard IFACE ... dry-run reject` */
struct config_guard {
	char **interfaces; /* owned, and each of them; in file order, none twice */
	size_t n_interfaces;
	bool is_dry_run;
	bool rejects;
};

struct config {
	struct rule **rules; /* in file order; each referenced */
	size_t n_rules;
	struct config_line *lines; /* in file order; rules are borrowed from above */
	size_t n_lines;

	/* the global block */
	uint64_t maxsessions_per_ip; /* 0: no limit */
	unsigned int workers;        /* 0: one per core */
	char *log_target;            /* NULL: stderr */
	enum log_format log_format;
	unsigned int grace_s;    /* default CONFIG_GRACE_S */
	unsigned int may_bypass; /* of datapath auto: 1 or 0 */
	struct config_guard guard;
	uint32_t syn_rate; /* new connections a second of one IP; 0: no limit */
	uint32_t burst;    /* ... at once; 0: as many as syn_rate */
	uint32_t listener_syn_rate; /* ... of one listener, from all clients */
	uint32_t listener_burst;
	struct network *blocks; /* owned; in file order; one may be there twice */
	size_t n_blocks;
	/* which of the above the file names, so that a dump says no more than it */
	bool has_workers, has_log, has_log_format, has_grace;
};

#define CONFIG_GRACE_S 30
#define CONFIG_RATE_MAX 1000000 /* of connections, per second and at once */
#define CONFIG_BLOCKS_MAX 65536

/**
 * config_resolve_fn - look up a server's host name
 * @port: decimal text
 *
 * Return: 0, or -errno with *ret_reason a static text ("Name or service not known").
 */
typedef int (*config_resolve_fn)(void *ctx, const char *host, uint16_t port,
                                 struct addr *ret_addr, const char **ret_reason);

struct config_resolver {
	config_resolve_fn resolve;
	void *ctx;
};

/**
 * config_parse() - a whole rule file
 * @text:     @len bytes, any; not terminated
 * @max_rules: 0 for no limit (-r of G5)
 * @old:      configuration in force, or NULL. A rule whose definition is the same
 *            there keeps its version, and a host name its address should it not
 *            resolve any more.
 * @diags:    gets every error and warning; must be initialised
 *
 * Return: 0 with *ret_config owned by the caller, or -EINVAL when there are errors.
 */
int config_parse(const char *text, size_t len, size_t max_rules,
                 const struct config *old, const struct config_resolver *resolver,
                 struct diag_list *diags, struct config **ret_config);

/**
 * config_add_rule() - the configuration with one more rule at its end
 * @line: "ID MODE ... ;", one line; what follows the ';' is ignored
 *
 * Return: 0; -EINVAL with @diags; -EEXIST when the id is taken; -ENOSPC when there
 * are @max_rules already.
 */
int config_add_rule(const struct config *old, const char *line, size_t len,
                    size_t max_rules, const struct config_resolver *resolver,
                    struct diag_list *diags, struct config **ret_config);

/** config_modify_rule() - replace in place; -ENOENT: no such id; -EINVAL: @diags */
int config_modify_rule(const struct config *old, const char *line, size_t len,
                       const struct config_resolver *resolver, struct diag_list *diags,
                       struct config **ret_config);

/** config_remove_rule() - -ENOENT: no such id */
int config_remove_rule(const struct config *old, const char *id,
                       struct config **ret_config);

/**
 * config_publish_versions() - make each rule's version the current one
 *
 * Called once a configuration has replaced @old (or NULL): sets rule_state.version
 * of every rule, and gives the states of rules that are gone a version that no
 * rule has.
 */
void config_publish_versions(const struct config *c, const struct config *old);

/** config_find_rule() - by id; NULL when there is none */
const struct rule *config_find_rule(const struct config *c, const char *id);

void config_free(struct config *c);

/** rule_mode_name() - "RR"; rule_mode_from_name() returns -1 for none */
const char *rule_mode_name(enum rule_mode mode);
int rule_mode_from_name(const char *name, size_t len);
const char *datapath_name(enum datapath datapath);

#endif /* G5X_RULES_CONFIG_H */
