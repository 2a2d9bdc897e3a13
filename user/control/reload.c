// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* reload.c - see reload.h. */
#include "control/reload.h"

#include "base/cleanup.h"
#include "base/log.h"
#include "control/commands.h"
#include "control/control.h"
#include "control/file.h"
#include "control/resolve.h"
#include "control/settings.h"
#include "rules/config.h"

#define REJECTED "configuration rejected, the old one stays"

int reload_read(const struct settings *settings, const struct config *old,
                struct diag_list *diags, struct config **ret_config)
{
	auto_free char *text = NULL;
	size_t len;
	int r;

	r = file_read(settings->file, &text, &len);
	if (r < 0)
		return r;
	return config_parse(text, len, settings->max_rules, old, &resolve_with_libc,
	                    diags, ret_config);
}

static void print_diags(const struct settings *settings, const struct diag_list *diags,
                        int r)
{
	for (size_t i = 0; i < diags->n_items; i++) {
		auto_free char *text = diag_format(&diags->items[i], settings->file);

		fputs(text, stderr);
	}
	if (r < 0 && diags->n_errors == 0)
		fprintf(stderr, "g5x: cannot read the rule file %s: %s\n",
		        settings->file, file_reason(r));
}

int reload_read_first(const struct settings *settings, struct config **ret_config)
{
	struct diag_list diags = { 0 };
	int r = reload_read(settings, NULL, &diags, ret_config);

	print_diags(settings, &diags, r);
	diag_list_fini(&diags);
	return r;
}

int reload_check(const struct settings *settings, FILE *out)
{
	struct diag_list diags = { 0 };
	struct config *config;
	int r = reload_read(settings, NULL, &diags, &config);

	print_diags(settings, &diags, r);
	if (r == 0) {
		fprintf(out, "%s: %zu rules, %zu warnings\n", settings->file,
		        config->n_rules, diags.n_items - diags.n_errors);
		config_free(config);
	}
	diag_list_fini(&diags);
	return r;
}

static void log_diags(const struct settings *settings, const struct diag_list *diags,
                      int r)
{
	for (size_t i = 0; i < diags->n_items; i++) {
		const struct diag *d = &diags->items[i];

		log_at(d->severity == DIAG_ERROR ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING,
		       "%s:%u:%u: %s%s%s", settings->file, d->line, d->column,
		       d->message, d->expected ? "; expected " : "",
		       d->expected ? d->expected : "");
	}
	if (r < 0 && diags->n_errors == 0)
		log_error("cannot read the rule file %s: %s", settings->file,
		          file_reason(r));
}

const char *reload_log_target(const struct config *config)
{
	return config->log_target ? config->log_target : "stderr";
}

/* For rotation it has to be opened anew even when nothing else changes. */
static int reopen_log(const struct config *config)
{
	int r = log_reopen(reload_log_target(config), config->log_format);

	if (r < 0)
		return log_errno(r, "cannot open the log %s",
		                 reload_log_target(config));
	return 0;
}

static void warn_of_workers(const struct control *c, const struct config *config)
{
	if (c->settings->n_workers == SETTINGS_WORKERS_OF_FILE &&
	    config->workers != c->first_workers)
		log_warning("workers: a change takes effect at the next start");
}

/* Takes @config over. The log goes first: it is what can be taken back. */
static int put_in_force(struct control *c, struct config *config)
{
	char reason[COMMANDS_REASON_LEN] = "";
	int r = reopen_log(config);

	if (r < 0) {
		config_free(config);
		return r;
	}
	warn_of_workers(c, config);
	r = control_apply(c, config, reason);
	if (r < 0) {
		reopen_log(c->config);
		log_error("%s", reason);
	}
	return r;
}

void reload(struct control *c)
{
	struct diag_list diags = { 0 };
	struct config *config;
	int r = reload_read(c->settings, c->config, &diags, &config);

	if (r < 0)
		reopen_log(c->config);
	log_diags(c->settings, &diags, r);
	if (r == 0)
		r = put_in_force(c, config);
	if (r < 0)
		log_error(REJECTED);
	else
		log_info("configuration reloaded: %zu rules", c->config->n_rules);
	diag_list_fini(&diags);
}
