// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* startup.c - see startup.h. */
#include "control/startup.h"

#include <sched.h>
#include <stdio.h>
#include <sys/resource.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "control/settings.h"
#include "control/version.h"
#include "kernel/kernel.h"
#include "rules/config.h"
#include "rules/format.h"

void startup_raise_fd_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		log_warning("cannot raise the limit of file descriptors");
}

/* Those that we may run on: a container often has fewer than the host. */
static unsigned int n_cores(void)
{
	cpu_set_t set;
	long n;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		return (unsigned int)CPU_COUNT(&set);
	n = sysconf(_SC_NPROCESSORS_ONLN); /* more than a cpu_set_t holds */
	return n > 0 ? (unsigned int)n : 1;
}

unsigned int startup_n_workers(const struct settings *settings,
                               const struct config *config)
{
	unsigned int n = settings->n_workers == SETTINGS_WORKERS_OF_FILE
	                         ? config->workers
	                         : (unsigned int)settings->n_workers;

	return n > 0 ? n : n_cores();
}

/* More would crowd out of the log's queue what comes after them. */
#define RULES_LOGGED 1000

static void log_rule(const struct rule *rule)
{
	auto_free char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return;
	format_rule(out, rule, false);
	if (fclose(out) == 0)
		log_info("%s", text);
}

void startup_log(const struct settings *settings, const struct config *config,
                 unsigned int n_workers, uint32_t n_sessions)
{
	char kernel[KERNEL_REASON_LEN];

	log_info("G5X %s - TCP forwarder and load balancer", G5X_VERSION);
	log_info("%u workers, at most %u sessions, buffers of %zu bytes", n_workers,
	         n_sessions, settings->buffer_size);
	kernel_probe(kernel, sizeof(kernel)); /* its answer is in the text */
	log_info("%s", kernel);
	for (size_t i = 0; i < config->n_rules && i < RULES_LOGGED; i++)
		log_rule(config->rules[i]);
	if (config->n_rules > RULES_LOGGED)
		log_info("... and %zu more rules", config->n_rules - RULES_LOGGED);
}
