// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* test_listener.c - user/forward/listener.c: one address, a socket for each worker. */
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "forward/listener.h"
#include "forward/worker.h"
#include "tcp.h"

#define N_WORKERS 4

static struct worker workers[N_WORKERS];
static struct forward forward = { .workers = workers, .n_workers = N_WORKERS };
static struct listener *listener;
static struct addr address; /* free: nobody listens there */
static unsigned int n_fds;

static int start(void **state)
{
	int fd = tcp_listen();

	(void)state;

	address = tcp_local(fd);
	close(fd);
	listener = NULL;
	n_fds = fd_count();
	return 0;
}

static int end(void **state)
{
	(void)state;

	if (listener)
		listener_free(listener, N_WORKERS);
	assert_int_equal(fd_count(), n_fds);
	return 0;
}

static void open_it(void)
{
	assert_ok(listener_open(&forward, &address, false, &listener));
}

static int socket_of(int worker)
{
	return listener->ports[worker].source.fd;
}

static void each_worker_has_a_socket_of_its_own_on_the_same_address(void **state)
{
	(void)state;
	open_it();

	assert_true(addr_equal(&listener->addr, &address));
	for (int i = 0; i < N_WORKERS; i++) {
		struct addr a = tcp_local(socket_of(i));

		assert_true(addr_equal(&a, &address));
		assert_int_equal(tcp_option(socket_of(i), SOL_SOCKET, SO_ACCEPTCONN),
		                 1);
		assert_ptr_equal(listener->ports[i].worker, &workers[i]);
		assert_ptr_equal(listener->ports[i].listener, listener);
		assert_int_equal(listener->ports[i].source.id, 0);
		for (int j = 0; j < i; j++)
			assert_int_not_equal(socket_of(i), socket_of(j));
	}
}

static void sockets_do_not_block_and_are_not_inherited_by_programs(void **state)
{
	(void)state;
	open_it();

	for (int i = 0; i < N_WORKERS; i++) {
		assert_true(fcntl(socket_of(i), F_GETFL) & O_NONBLOCK);
		assert_true(fcntl(socket_of(i), F_GETFD) & FD_CLOEXEC);
	}
}

static void accepted_sockets_have_the_options_of_a_session(void **state)
{
	static const int options[][2] = { { IPPROTO_TCP, TCP_NODELAY },
		                          { SOL_SOCKET, SO_KEEPALIVE },
		                          { SOL_SOCKET, SO_OOBINLINE } };
	struct pollfd waiting[N_WORKERS];
	int client, accepted = -1;

	(void)state;
	open_it();
	client = tcp_connect(addr_port(&address));

	for (int i = 0; i < N_WORKERS; i++)
		waiting[i] = (struct pollfd){ .fd = socket_of(i), .events = POLLIN };
	assert_int_equal(poll(waiting, N_WORKERS, TCP_PATIENCE_MS), 1);
	for (int i = 0; i < N_WORKERS; i++)
		if (waiting[i].revents)
			accepted = tcp_accept(socket_of(i));
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		assert_int_equal(tcp_option(accepted, options[i][0], options[i][1]), 1);
	close(accepted);
	close(client);
}

static void a_second_owner_is_refused(void **state)
{
	struct listener *second = NULL;

	(void)state;
	open_it();

	assert_int_equal(listener_open(&forward, &address, false, &second),
	                 -EADDRINUSE);
	assert_null(second);
}

static void an_address_somebody_else_has_is_refused(void **state)
{
	int fd = tcp_listen();

	(void)state;
	address = tcp_local(fd);

	assert_int_equal(listener_open(&forward, &address, false, &listener),
	                 -EADDRINUSE);
	assert_null(listener);
	close(fd);
}

static void a_wildcard_of_our_own_may_overlap(void **state)
{
	struct addr any = address;
	struct listener *wildcard = NULL;

	(void)state;
	open_it();
	any.in4.sin_addr.s_addr = INADDR_ANY;

	assert_int_equal(listener_open(&forward, &any, false, &wildcard), -EADDRINUSE);
	assert_ok(listener_open(&forward, &any, true, &wildcard));
	listener_free(wildcard, N_WORKERS);
}

static void ipv4_and_ipv6_wildcards_share_a_port(void **state)
{
	uint16_t port = addr_port(&address);
	struct listener *six = NULL;
	struct addr any6;
	int fd = socket(AF_INET6, SOCK_STREAM, 0);

	(void)state;
	if (fd < 0)
		test_skip("there is no IPv6");
	close(fd);
	assert_ok(addr_parse_ip("::", &any6));
	addr_set_port(&any6, port);
	address.in4.sin_addr.s_addr = INADDR_ANY;
	open_it();

	assert_ok(listener_open(&forward, &any6, false, &six));
	for (int i = 0; i < N_WORKERS; i++)
		assert_int_equal(
		        tcp_option(six->ports[i].source.fd, IPPROTO_IPV6, IPV6_V6ONLY),
		        1);
	listener_free(six, N_WORKERS);
}

static void an_address_can_be_opened_again_right_after_it_was_closed(void **state)
{
	int client, accepted = -1;

	(void)state;
	open_it();
	client = tcp_connect(addr_port(&address));
	for (int i = 0; i < N_WORKERS && accepted < 0; i++)
		accepted = accept(socket_of(i), NULL, NULL);
	if (accepted < 0)
		test_skip("the client was not there at once");
	close(accepted); /* its port stays in TIME_WAIT */
	tcp_expect_end(client);
	close(client);
	listener_free(listener, N_WORKERS);
	listener = NULL;

	open_it();
}

static void an_address_that_is_not_ours_is_an_error(void **state)
{
	(void)state;
	assert_ok(addr_parse_ip("192.0.2.1", &address));
	addr_set_port(&address, 19080);

	assert_int_equal(listener_open(&forward, &address, false, &listener),
	                 -EADDRNOTAVAIL);
	assert_null(listener);
}

/* The limit leaves room for the first two sockets, and not for the third. */
static void a_listener_is_open_for_all_workers_or_not_at_all(void **state)
{
	struct rlimit limit, old;
	int next = dup(STDERR_FILENO), fd;

	(void)state;
	close(next);
	assert_ok(getrlimit(RLIMIT_NOFILE, &old));
	limit = old;
	limit.rlim_cur = (rlim_t)next + 2;

	assert_ok(setrlimit(RLIMIT_NOFILE, &limit));
	assert_int_equal(listener_open(&forward, &address, false, &listener), -EMFILE);
	assert_ok(setrlimit(RLIMIT_NOFILE, &old));
	assert_null(listener);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(fd, &address.sa, addr_len(&address)), -1);
	assert_int_equal(errno, ECONNREFUSED);
	close(fd);
	open_it();
}

#define LISTENER_TEST(test) cmocka_unit_test_setup_teardown(test, start, end)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		LISTENER_TEST(each_worker_has_a_socket_of_its_own_on_the_same_address),
		LISTENER_TEST(sockets_do_not_block_and_are_not_inherited_by_programs),
		LISTENER_TEST(accepted_sockets_have_the_options_of_a_session),
		LISTENER_TEST(a_second_owner_is_refused),
		LISTENER_TEST(an_address_somebody_else_has_is_refused),
		LISTENER_TEST(a_wildcard_of_our_own_may_overlap),
		LISTENER_TEST(ipv4_and_ipv6_wildcards_share_a_port),
		LISTENER_TEST(an_address_can_be_opened_again_right_after_it_was_closed),
		LISTENER_TEST(an_address_that_is_not_ours_is_an_error),
		LISTENER_TEST(a_listener_is_open_for_all_workers_or_not_at_all),
	};

	return test_run("listener", tests, argc, argv);
}
