// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * options.c - see options.h. Numbers are plain decimal and taken whole or not at all:
 * "10k" or "-1" are mistakes, not 10 and not very many.
 */
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define BUFFER_DEFAULT 65536
#define BUFFER_MIN 512
#define BUFFER_MAX (16U << 20)
#define SESSIONS_MAX (1U << 29) /* two slots each, numbered in 31 bits */
#define RULES_MAX UINT32_MAX
#define WORKERS_MAX 1024

enum { WORKERS = 256, BPFFS }; /* have no letter */

static const struct option long_options[] = {
	{ "file", required_argument, NULL, 'f' },
	{ "rules", required_argument, NULL, 'r' },
	{ "sessions", required_argument, NULL, 's' },
	{ "buffer", required_argument, NULL, 'b' },
	{ "workers", required_argument, NULL, WORKERS },
	{ "bpffs", required_argument, NULL, BPFFS },
	{ "test", no_argument, NULL, 't' },
	{ "debug", no_argument, NULL, 'd' },
	{ "version", no_argument, NULL, 'v' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

#define USAGE                                                                \
	"usage: g5x -f FILE [-t] [-d] [-r RULES] [-s SESSIONS] [-b BYTES]\n" \
	"           [--workers N] [--bpffs DIR]\n"                           \
	"       g5x -v | -h\n"

void options_print_help(FILE *out)
{
	fputs("G5X - TCP forwarder and load balancer\n" USAGE
	      "  -f, --file FILE     rule file\n"
	      "  -t, --test          check the rule file and end\n"
	      "  -r, --rules N       at most N rules (0: no limit)\n"
	      "  -s, --sessions N    at most N sessions (0: as many as file "
	      "descriptors "
	      "allow)\n"
	      "  -b, --buffer BYTES  size of a session's buffers (65536)\n"
	      "      --workers N     threads that forward, whatever the file says "
	      "(0: one per core)\n"
	      "      --bpffs DIR     where BPF maps are pinned (" SETTINGS_BPFFS_DEFAULT
	      ")\n"
	      "  -d, --debug         log more\n"
	      "  -v, --version       show the version and end\n"
	      "  -h, --help          show this and end\n",
	      out);
}

static int read_number(const char *name, uint64_t min, uint64_t max,
                       uint64_t *ret_number)
{
	unsigned long long number;
	char *end;

	errno = 0;
	number = strtoull(optarg, &end, 10);
	if (!isdigit((unsigned char)optarg[0]) || *end != '\0' || errno != 0 ||
	    number < min || number > max) {
		fprintf(stderr, "g5x: %s: \"%s\" is not a number from %llu to %llu\n",
		        name, optarg, (unsigned long long)min, (unsigned long long)max);
		return -EINVAL;
	}
	*ret_number = number;
	return 0;
}

static int read_size(const char *name, size_t min, size_t max, size_t *ret_size)
{
	uint64_t number;
	int r = read_number(name, min, max, &number);

	if (r == 0)
		*ret_size = (size_t)number;
	return r;
}

/* Less than there can be was no mistake in G5, where it had no effect. */
static int read_buffer_size(size_t *ret_size)
{
	size_t size = 0;
	int r = read_size("--buffer", 0, BUFFER_MAX, &size);

	if (r < 0)
		return r;
	if (size < BUFFER_MIN) {
		fprintf(stderr, "g5x: -b %zu: buffers are at least %d bytes\n", size,
		        BUFFER_MIN);
		size = BUFFER_MIN;
	}
	*ret_size = size;
	return 0;
}

static int read_dir(const char *name, const char **ret_dir)
{
	size_t len = strlen(optarg);

	while (len > 0 && optarg[len - 1] == '/')
		len--;
	if (optarg[0] != '/' || len == 0) {
		fprintf(stderr, "g5x: %s: \"%s\" is not an absolute path below \"/\"\n",
		        name, optarg);
		return -EINVAL;
	}
	optarg[len] = '\0';
	*ret_dir = optarg;
	return 0;
}

static int read_option(int option, struct options *o)
{
	size_t n_workers = 0;
	int r;

	switch (option) {
	case 'f':
		o->settings.file = optarg;
		return 0;
	case 'r':
		return read_size("--rules", 0, RULES_MAX, &o->settings.max_rules);
	case 's':
		return read_size("--sessions", 0, SESSIONS_MAX,
		                 &o->settings.max_sessions);
	case 'b':
		return read_buffer_size(&o->settings.buffer_size);
	case WORKERS:
		r = read_size("--workers", 0, WORKERS_MAX, &n_workers);
		if (r == 0)
			o->settings.n_workers = (int)n_workers;
		return r;
	case BPFFS:
		return read_dir("--bpffs", &o->settings.bpffs);
	case 't':
		if (o->action == OPTIONS_RUN)
			o->action = OPTIONS_TEST;
		return 0;
	case 'd':
		o->settings.is_debug = true;
		return 0;
	case 'v':
		o->action = OPTIONS_VERSION;
		return 0;
	case 'h':
		o->action = OPTIONS_HELP;
		return 0;
	default:
		return -EINVAL; /* getopt said what is wrong */
	}
}

/* What no option alone can see. */
static int check(int argc, char **argv, const struct options *o)
{
	if (optind < argc) {
		fprintf(stderr, "g5x: \"%s\" is not an option\n", argv[optind]);
		return -EINVAL;
	}
	if (o->action == OPTIONS_VERSION || o->action == OPTIONS_HELP)
		return 0;
	if (!o->settings.file || o->settings.file[0] == '\0') {
		fprintf(stderr, "g5x: there is no rule file; -f names it\n");
		return -EINVAL;
	}
	if (strcmp(o->settings.file, "-") == 0) {
		fprintf(stderr,
		        "g5x: the rule file cannot be standard input: it is read "
		        "again on SIGHUP and written by `dump rules`\n");
		return -EINVAL;
	}
	return 0;
}

int options_parse(int argc, char **argv, struct options *ret_options)
{
	struct options o = {
		.settings = {
			.buffer_size = BUFFER_DEFAULT,
			.n_workers = SETTINGS_WORKERS_OF_FILE,
			.bpffs = SETTINGS_BPFFS_DEFAULT,
		},
	};
	int option, r = 0;

	optind = 0; /* glibc: start anew */
	while (r == 0) {
		option = getopt_long(argc, argv, "f:r:s:b:tdvh", long_options, NULL);
		if (option < 0)
			break;
		r = read_option(option, &o);
	}
	if (r == 0)
		r = check(argc, argv, &o);
	if (r < 0) {
		fputs(USAGE, stderr);
		return r;
	}
	*ret_options = o;
	return 0;
}
