// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * load.c - g5x-load: loads a forwarder, checks every byte, measures.
 *
 *   g5x-load server ADDRESS:PORT
 *   g5x-load pingpong|bulk|connect|storm|hold ADDRESS:PORT [OPTIONS]
 *
 * The client prints one JSON object a result. Errors that the forwarder made are in the
 * result; the exit status is 0 when there is one.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "net.h"
#include "server.h"
#include "workloads.h"

#define LEVELS_MAX 8
#define SESSIONS_MAX 100000
#define EXIT_USAGE 2

static const struct {
	const char *name;
	int (*run)(const struct client_options *options);
	const char *help;
} commands[] = {
	{ "pingpong", workload_pingpong, "messages to and fro" },
	{ "bulk", workload_bulk, "streams from the server, counted by the client" },
	{ "connect", workload_connect,
	  "connect, ask, be answered, closed upon; again" },
	{ "storm", workload_storm, "all sessions at once, one message each" },
};

#define COMMANDS_N (sizeof(commands) / sizeof(commands[0]))

static const struct option long_options[] = {
	{ "size", required_argument, NULL, 's' },
	{ "sessions", required_argument, NULL, 'n' },
	{ "warmup", required_argument, NULL, 'w' },
	{ "seconds", required_argument, NULL, 't' },
	{ "limit", required_argument, NULL, 'l' },
	{ NULL, 0, NULL, 0 },
};

static int usage(void)
{
	fputs("g5x-load server ADDRESS:PORT\ng5x-load COMMAND ADDRESS:PORT [OPTIONS]\n",
	      stderr);
	for (size_t i = 0; i < COMMANDS_N; i++)
		fprintf(stderr, "    %-10s %s\n", commands[i].name, commands[i].help);
	fputs("    hold       open sessions, let them idle; -n 1000,9000 goes on with "
	      "a "
	      "line\n"
	      "  -s, --size BYTES      of a message (64); a multiple of 8\n"
	      "  -n, --sessions N      (1)\n"
	      "  -w, --warmup SECONDS  not measured (0.2)\n"
	      "  -t, --seconds SECONDS measured (1)\n"
	      "  -l, --limit SECONDS   for all of it (30)\n",
	      stderr);
	return EXIT_USAGE;
}

static int parse_levels(const char *text, uint32_t *levels, size_t *ret_n)
{
	size_t n = 0;
	char *end;

	do {
		const unsigned long value = strtoul(text, &end, 10);

		if (end == text || value < 1 || value > SESSIONS_MAX ||
		    n == LEVELS_MAX || (n && value <= levels[n - 1]))
			return -EINVAL;
		levels[n++] = (uint32_t)value;
		text = end + 1;
	} while (*end == ',');
	if (*end)
		return -EINVAL;
	*ret_n = n;
	return 0;
}

static int parse_seconds(const char *text, double *ret_s)
{
	char *end;
	const double s = strtod(text, &end);

	if (end == text || *end || !(s >= 0 && s <= 3600))
		return -EINVAL;
	*ret_s = s;
	return 0;
}

static int parse_option(int option, struct client_options *options, uint32_t *levels,
                        size_t *n_levels)
{
	unsigned long size;

	switch (option) {
	case 's':
		size = strtoul(optarg, NULL, 10);
		if (size < WIRE_SIZE_MIN || size > WIRE_SIZE_MAX || size % 8)
			return -EINVAL;
		options->size = (uint32_t)size;
		return 0;
	case 'n':
		return parse_levels(optarg, levels, n_levels);
	case 'w':
		return parse_seconds(optarg, &options->warmup_s);
	case 't':
		return parse_seconds(optarg, &options->measure_s);
	case 'l':
		return parse_seconds(optarg, &options->limit_s);
	default:
		return -EINVAL;
	}
}

static int run(const char *name, struct client_options *options, const uint32_t *levels,
               size_t n_levels)
{
	options->sessions = levels[n_levels - 1];
	if (strcmp(name, "server") == 0)
		return server_run(&options->addr);
	if (strcmp(name, "hold") == 0)
		return workload_hold(options, levels, n_levels);
	for (size_t i = 0; i < COMMANDS_N && n_levels == 1; i++)
		if (strcmp(name, commands[i].name) == 0)
			return commands[i].run(options);
	exit(usage());
}

int main(int argc, char **argv)
{
	struct client_options options = {
		.size = 64, .warmup_s = 0.2, .measure_s = 1, .limit_s = 30
	};
	uint32_t levels[LEVELS_MAX] = { 1 };
	size_t n_levels = 1;
	int option, r;

	while ((option = getopt_long(argc, argv, "s:n:w:t:l:", long_options, NULL)) !=
	       -1)
		if (parse_option(option, &options, levels, &n_levels) < 0)
			return usage();
	if (argc - optind != 2 || net_parse(argv[optind + 1], &options.addr) < 0)
		return usage();
	r = run(argv[optind], &options, levels, n_levels);
	if (r < 0)
		fprintf(stderr, "g5x-load: %s\n", strerror(-r));
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
