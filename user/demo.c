// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * demo.c - G5X at work without anything to set up: `make run`.
 *
 *      curl --> g5x :8080 --+--> backend A :18081   (threads of this process)
 *                           +--> backend B :18082
 *      nc   --> g5x :8060       management port
 *
 * The g5x beside this program runs as a child, with a rule file made for it, and its
 * log on this terminal. Whichever of the two ends, the other one ends too, and the rule
 * file goes with them.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <microhttpd.h>

#include "base/cleanup.h"

#define N_BACKENDS 2

/* The four ports keep their distance, so one number moves all of them. */
#define DEFAULT_PORT 8080
#define ADMIN_BELOW 20
#define BACKENDS_ABOVE 10001
#define MIN_PORT (ADMIN_BELOW + 1)
#define MAX_PORT (65535 - BACKENDS_ABOVE - N_BACKENDS + 1)

static const char usage[] =
        "usage: g5x-demo [--port N]\n"
        "N (or G5X_DEMO_PORT in the environment, else 8080) is the port of the demo;\n"
        "it also takes N-20, N+10001 and N+10002.\n";

static const char rules[] =
        "# Written by g5x-demo, and removed when it ends.\n"
        "\n"
        "# Everybody may come; the two servers take turns, one connection each.\n"
        "web RR ( datapath auto ) *:* - 127.0.0.1:%d > 127.0.0.1:%d 127.0.0.1:%d ;\n"
        "\n"
        "# The management port, for this host only; idle for 300 s, it hangs up.\n"
        "admin G ( timeout 300 ) 127.0.0.1:* - 127.0.0.1:%d ;\n";

static const char invitation[] =
        "g5x forwards, by these rules (%s):\n"
        "\n"
        "%s"
        "\n"
        "Try it in another terminal:\n"
        "  curl http://127.0.0.1:%d/      and again: the servers A and B take turns\n"
        "  printf 'list rules\\r\\nquit\\r\\n' | nc 127.0.0.1 %d\n"
        "Ctrl-C ends all of it. What follows is the log of g5x.\n"
        "\n";

struct backend {
	const char *name;
	struct MHD_Daemon *server;
};

/* libmicrohttpd wants all these arguments; only the name and the path are used. */
static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection,
                                  const char *path, const char *method,
                                  const char *version, const char *upload,
                                  size_t *upload_len, void **request)
{
	const struct backend *backend = ctx;
	struct MHD_Response *response;
	enum MHD_Result result;
	char text[512];

	(void)method;
	(void)version;
	(void)upload;
	(void)request;
	if (*upload_len) { /* not interested, but it has to be taken */
		*upload_len = 0;
		return MHD_YES;
	}
	snprintf(text, sizeof(text), "hello from backend %s: %.400s\n", backend->name,
	         path);
	response = MHD_create_response_from_buffer(strlen(text), text,
	                                           MHD_RESPMEM_MUST_COPY);
	if (!response)
		return MHD_NO;
	MHD_add_response_header(response, "Content-Type", "text/plain");
	result = MHD_queue_response(connection, MHD_HTTP_OK, response);
	MHD_destroy_response(response);
	return result;
}

static int bind_port(int port, int *ret_fd)
{
	struct sockaddr_in in4 = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons((uint16_t)port),
	};
	auto_close int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
	if (bind(fd, (struct sockaddr *)&in4, sizeof(in4)) || listen(fd, 64)) {
		int r = -errno;

		fprintf(stderr,
		        "g5x-demo: cannot use port %d: %s; other ports: --port N or "
		        "G5X_DEMO_PORT=N\n",
		        port, strerror(-r));
		return r;
	}
	*ret_fd = take_fd(fd);
	return 0;
}

/* g5x binds with SO_REUSEPORT and would share a port with another g5x: ask first. */
static int check_port(int port)
{
	auto_close int fd = -1;

	return bind_port(port, &fd);
}

static int start_backend(struct backend *backend, int port)
{
	auto_close int fd = -1;
	int r = bind_port(port, &fd);

	if (r)
		return r;
	backend->server = MHD_start_daemon(
	        MHD_USE_AUTO | MHD_USE_INTERNAL_POLLING_THREAD, 0, NULL, NULL,
	        on_request, backend, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_END);
	if (!backend->server) {
		fprintf(stderr, "g5x-demo: cannot start backend %s\n", backend->name);
		return -EIO;
	}
	take_fd(fd); /* the server's now */
	return 0;
}

static int write_rules(const char *text, char *path)
{
	auto_close int fd = mkostemp(path, O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text)) {
		int r = errno ? -errno : -EIO;

		fprintf(stderr, "g5x-demo: cannot write %s: %s\n", path, strerror(-r));
		if (fd >= 0)
			unlink(path);
		return r;
	}
	return 0;
}

/* Only returns when it fails; then this process, a child, has nothing left to do. */
static void exec_g5x(const char *rules_path, pid_t parent, const sigset_t *old_signals)
{
	char path[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", path, sizeof(path) - sizeof("g5x"));
	char *slash;

	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent || len < 0)
		return;
	path[len] = '\0';
	slash = strrchr(path, '/');
	strcpy(slash + 1, "g5x");
	sigprocmask(SIG_SETMASK, old_signals, NULL);
	execl(path, "g5x", "-f", rules_path, (char *)NULL);
	fprintf(stderr, "g5x-demo: cannot start %s: %s\n", path, strerror(errno));
}

/* Passes signals on until the child has ended; its exit status as a shell tells it. */
static int wait_for(pid_t child, const sigset_t *signals)
{
	siginfo_t info;
	int status;

	for (;;) {
		int signal = sigwaitinfo(signals, &info);

		if (signal == SIGCHLD && waitpid(child, &status, WNOHANG) == child)
			break;
		/* Ctrl-C comes from the kernel, and the child has had it too. */
		if ((signal == SIGINT || signal == SIGTERM) &&
		    info.si_code != SI_KERNEL)
			kill(child, signal);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int run_g5x(int port, const sigset_t *signals, const sigset_t *old_signals)
{
	char path[] = "/tmp/g5x-demo-XXXXXX";
	char text[sizeof(rules) + 32];
	pid_t parent = getpid();
	pid_t child;
	int status;

	snprintf(text, sizeof(text), rules, port, port + BACKENDS_ABOVE,
	         port + BACKENDS_ABOVE + 1, port - ADMIN_BELOW);
	if (write_rules(text, path))
		return 1;
	printf(invitation, path, text, port, port - ADMIN_BELOW);
	fflush(stdout);

	child = fork();
	if (!child) {
		exec_g5x(path, parent, old_signals);
		_exit(127);
	}
	if (child < 0)
		perror("g5x-demo: fork");
	status = child < 0 ? 1 : wait_for(child, signals);
	unlink(path);
	return status;
}

static int run(int port)
{
	struct backend backends[N_BACKENDS] = { { .name = "A" }, { .name = "B" } };
	sigset_t signals, old_signals;
	bool is_ready;
	int status = 1;

	/* Before there are threads, so that none of them takes a signal. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGCHLD);
	sigprocmask(SIG_BLOCK, &signals, &old_signals);

	is_ready = !check_port(port) && !check_port(port - ADMIN_BELOW);
	for (int i = 0; i < N_BACKENDS && is_ready; i++)
		is_ready = !start_backend(&backends[i], port + BACKENDS_ABOVE + i);
	if (is_ready)
		status = run_g5x(port, &signals, &old_signals);
	for (int i = 0; i < N_BACKENDS; i++) {
		if (backends[i].server)
			MHD_stop_daemon(backends[i].server);
	}
	return status;
}

/* 0 for anything that is no port of use. */
static int parse_port(const char *text)
{
	char *end;
	long port = strtol(text, &end, 10);

	return *end || port < MIN_PORT || port > MAX_PORT ? 0 : (int)port;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{ "port", required_argument, NULL, 'p' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *given = getenv("G5X_DEMO_PORT");
	int port = given ? parse_port(given) : DEFAULT_PORT;
	int option;

	while ((option = getopt_long(argc, argv, "p:h", options, NULL)) >= 0) {
		if (option == 'h')
			return fputs(usage, stdout) < 0;
		port = option == 'p' ? parse_port(optarg) : 0;
		if (!port)
			break;
	}
	if (!port || optind != argc) {
		fprintf(stderr, "%sN is a number from %d to %d.\n", usage, MIN_PORT,
		        MAX_PORT);
		return 2;
	}
	return run(port);
}
