// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * soak.c - g5x-soak: many short sessions through a forwarder, each byte compared.
 *
 *   g5x-soak SECONDS SERVER_PORT ADDRESS:PORT...
 *
 * Is client and server. For each line of stdin, a number, it runs so many sessions, to
 * the addresses in turn and in all the ways of plan.h, as many at a time as there are
 * client threads; then it prints what there was so far as a JSON object. What was wrong
 * goes to stderr. No session is begun any more when SECONDS are over.
 *
 * Exit status: 0 when all sessions took place and all was right.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "talk.h"

#define CLIENTS_N 16
#define SERVERS_N 64
#define TARGETS_MAX 16
#define WRONG_MAX 20
#define SOURCES_N 8 /* 127.0.0.2 and up: one has not ports enough */
#define SMALL_BUFFER 8192
#define STACK_SIZE (512U << 10)

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

static struct {
	struct sockaddr_in targets[TARGETS_MAX];
	unsigned int n_targets;
	uint64_t next, end; /* ids */
	time_t deadline;
	int listener;

	uint64_t n_done[WAY_N];
	uint64_t n_bytes[2]; /* of sessions that nobody cut off */
	unsigned int n_wrong;
} soak;

static void complain(const char *who, uint64_t id, const char *wrong)
{
	struct plan plan;

	if (__atomic_fetch_add(&soak.n_wrong, 1, __ATOMIC_RELAXED) >= WRONG_MAX)
		return;
	plan_init(&plan, id);
	fprintf(stderr, "%s of session %llu (%s, %u and %u bytes%s): %s\n", who,
	        (unsigned long long)id, id ? way_name(plan.way) : "?",
	        plan.n_bytes[REQUEST], plan.n_bytes[ANSWER],
	        plan.is_slow ? ", slow" : "", wrong);
}

/* ---- clients --------------------------------------------------------------------- */

/* Return: fd, or -1 with errno. */
static int connect_to(const struct plan *plan)
{
	const struct sockaddr_in *to = &soak.targets[plan->id % soak.n_targets];
	struct sockaddr_in from = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 +
		                         (uint32_t)(plan->id % SOURCES_N)),
	};
	const int on = 1, small = SMALL_BUFFER;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on));
	if (plan->is_slow)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	if (bind(fd, (struct sockaddr *)&from, sizeof(from)) == 0 &&
	    connect(fd, (const struct sockaddr *)to, sizeof(*to)) == 0)
		return fd;
	close(fd);
	return -1;
}

static void count(const struct plan *plan)
{
	__atomic_fetch_add(&soak.n_done[plan->way], 1, __ATOMIC_RELAXED);
	if (plan->way == WAY_LEAVE || plan->way == WAY_CLIENT_RESETS ||
	    plan->way == WAY_SERVER_RESETS)
		return;
	for (int i = 0; i < 2; i++)
		__atomic_fetch_add(&soak.n_bytes[i], plan->n_bytes[i],
		                   __ATOMIC_RELAXED);
}

static void *be_client(void *arg)
{
	struct talker *talker = arg;
	struct plan plan;
	uint64_t id;

	while ((id = __atomic_fetch_add(&soak.next, 1, __ATOMIC_RELAXED)) < soak.end &&
	       time(NULL) < soak.deadline) {
		const char *wrong;
		int fd;

		plan_init(&plan, id);
		talker->choice = id;
		fd = connect_to(&plan);
		wrong = fd < 0 ? strerror(errno) : talk_as_client(talker, fd, &plan);
		if (wrong)
			complain("client", id, wrong);
		count(&plan);
	}
	return NULL;
}

/* ---- servers --------------------------------------------------------------------- */

static void *be_server(void *arg)
{
	struct talker *talker = arg;
	int fd;

	while ((fd = accept4(soak.listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
		uint64_t id = 0;
		const char *wrong = talk_as_server(talker, fd, &id);

		if (wrong)
			complain("server", id, wrong);
	}
	return NULL;
}

static int listen_on(uint16_t port)
{
	const struct sockaddr_in any = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_ANY),
		.sin_port = htons(port),
	};
	const int on = 1;

	soak.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (soak.listener < 0)
		return -errno;
	setsockopt(soak.listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(soak.listener, (const struct sockaddr *)&any, sizeof(any)) < 0 ||
	    listen(soak.listener, SOMAXCONN) < 0)
		return -errno;
	return 0;
}

/* ---- all of it ------------------------------------------------------------------- */

static void start(pthread_t *thread, void *(*be)(void *), struct talker *talker)
{
	pthread_attr_t attributes;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	if (pthread_create(thread, &attributes, be, talker) != 0) {
		fputs("g5x-soak: cannot start a thread\n", stderr);
		exit(1);
	}
	pthread_attr_destroy(&attributes);
}

static void run_clients(uint64_t n_sessions)
{
	static struct talker talkers[CLIENTS_N];
	pthread_t clients[CLIENTS_N];

	soak.next = soak.end;
	soak.end += n_sessions;
	for (int i = 0; i < CLIENTS_N; i++)
		start(&clients[i], be_client, &talkers[i]);
	for (int i = 0; i < CLIENTS_N; i++)
		pthread_join(clients[i], NULL);
}

static uint64_t print_counts(void)
{
	uint64_t n = 0;

	printf("{");
	for (int i = 0; i < WAY_N; i++) {
		n += soak.n_done[i];
		printf("\"%s\": %llu, ", way_name(i),
		       (unsigned long long)soak.n_done[i]);
	}
	printf("\"sessions\": %llu, \"in\": %llu, \"out\": %llu, \"wrong\": %u}\n",
	       (unsigned long long)n, (unsigned long long)soak.n_bytes[REQUEST],
	       (unsigned long long)soak.n_bytes[ANSWER], soak.n_wrong);
	fflush(stdout);
	return n;
}

/* Return: how many there are, 0 when one is none. */
static unsigned int read_targets(char **words, int n_words)
{
	for (int i = 0; i < n_words && i < TARGETS_MAX; i++) {
		char *colon = strrchr(words[i], ':');
		struct sockaddr_in *to = &soak.targets[i];

		if (!colon)
			return 0;
		*colon = '\0';
		to->sin_family = AF_INET;
		to->sin_port = htons((uint16_t)atoi(colon + 1));
		if (inet_pton(AF_INET, words[i], &to->sin_addr) != 1)
			return 0;
	}
	return n_words <= TARGETS_MAX ? (unsigned int)n_words : 0;
}

int main(int argc, char **argv)
{
	static struct talker servers[SERVERS_N];
	uint64_t n_wanted = 0, n_done = 0, n_sessions;
	char line[64];

	soak.n_targets = argc > 3 ? read_targets(argv + 3, argc - 3) : 0;
	if (soak.n_targets == 0) {
		fputs("usage: g5x-soak SECONDS SERVER_PORT ADDRESS:PORT...\n", stderr);
		return 2;
	}
	soak.end = 1; /* 0 is nobody's id */
	soak.deadline = time(NULL) + atol(argv[1]);
	if (listen_on((uint16_t)atoi(argv[2])) < 0) {
		perror("g5x-soak: cannot listen");
		return 1;
	}
	for (int i = 0; i < SERVERS_N; i++) {
		pthread_t thread;

		start(&thread, be_server, &servers[i]);
		pthread_detach(thread);
	}
	while (fgets(line, sizeof(line), stdin)) {
		n_sessions = strtoull(line, NULL, 10);
		n_wanted += n_sessions;
		run_clients(n_sessions);
		n_done = print_counts();
	}
	return n_done == n_wanted && soak.n_wrong == 0 ? 0 : 1;
}
