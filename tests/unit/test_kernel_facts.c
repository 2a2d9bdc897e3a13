// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * test_kernel_facts.c - what the code takes for granted about Linux.
 *
 * No line of the daemon runs here. A failure means that this kernel behaves in another
 * way than the code that names the fact expects.
 */
#include "test.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/cleanup.h"
#include "forward/worker.h"
#include "tcp.h"

#define END_EVENTS WORKER_END_EVENTS

static int epoll_fd, a, b; /* b is watched */

static void watch(int fd, uint32_t events)
{
	struct epoll_event ev = { .events = events };

	assert_ok(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev));
}

static int start(void **state)
{
	(void)state;

	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	assert_true(epoll_fd >= 0);
	tcp_pair(&a, &b);
	watch(b, END_EVENTS);
	return 0;
}

static int end(void **state)
{
	(void)state;

	if (a >= 0)
		close(a);
	if (b >= 0)
		close(b);
	close(epoll_fd);
	return 0;
}

/* The next report within some time; 0 when there is none. */
static uint32_t report(int timeout_ms)
{
	struct epoll_event ev;

	return epoll_wait(epoll_fd, &ev, 1, timeout_ms) == 1 ? ev.events : 0;
}

static uint32_t next_report(void)
{
	return report(TCP_PATIENCE_MS);
}

/* Reports until one has @events; nothing else can be told from the order. */
static uint32_t report_with(uint32_t events)
{
	uint32_t reported;

	do
		reported = next_report();
	while (reported && !(reported & events));
	return reported;
}

static void the_state_at_the_time_of_adding_is_reported_as_an_edge(void **state)
{
	(void)state;

	assert_int_equal(next_report(), EPOLLOUT);
	assert_int_equal(report(0), 0);
}

/* copy.c: a short read ends a round, the FIN must be told apart from it. */
static void a_fin_after_a_short_read_is_reported(void **state)
{
	char buf[64];

	(void)state;
	tcp_send(a, "hello", 5);
	assert_true(report_with(EPOLLIN) & EPOLLIN);
	assert_int_equal(recv(b, buf, sizeof(buf), 0), 5);

	assert_ok(shutdown(a, SHUT_WR));
	assert_true(report_with(EPOLLRDHUP) & EPOLLIN);
	assert_int_equal(recv(b, buf, sizeof(buf), 0), 0);
}

/* copy.c: with has_hangup, reads go on until 0. */
static void bytes_and_fin_may_come_in_one_report_and_need_two_reads(void **state)
{
	char buf[64];

	(void)state;
	tcp_send(a, "hello", 5);
	assert_ok(shutdown(a, SHUT_WR));
	assert_true(report_with(EPOLLRDHUP) & EPOLLIN);
	while (report(50))
		;

	assert_int_equal(recv(b, buf, sizeof(buf), 0), 5);
	assert_int_equal(report(50), 0);
	assert_int_equal(recv(b, buf, sizeof(buf), 0), 0);
}

/* copy.c, has_whole_stream(): the read that would say 0 can be left out. */
static void after_a_fin_was_reported_a_short_read_took_the_last_bytes(void **state)
{
	static char sent[20000], got[sizeof(sent) + 1];

	(void)state;

	for (size_t n = 1; n < sizeof(sent); n += 1999) {
		close(a);
		close(b);
		tcp_pair(&a, &b);
		watch(b, END_EVENTS);
		for (size_t at = 0; at < n; at += 1000)
			tcp_send(a, sent + at, n - at < 1000 ? n - at : 1000);
		assert_ok(shutdown(a, SHUT_WR));
		assert_false(report_with(EPOLLRDHUP) & EPOLLERR);
		assert_int_equal(recv(b, got, sizeof(got), 0), n);
		assert_int_equal(recv(b, got, sizeof(got), 0), 0);
	}
}

static void a_reset_is_no_hangup_without_an_error(void **state)
{
	(void)state;
	tcp_send(a, "hello", 5);
	tcp_reset(take_fd(a));
	assert_true(report_with(EPOLLRDHUP) & EPOLLERR);
}

/* copy.c: the last bytes and the FIN that follows them go together. */
static void bytes_sent_with_msg_more_leave_with_the_shutdown(void **state)
{
	(void)state;
	assert_int_equal(send(b, "hello", 5, MSG_MORE), 5);
	assert_ok(shutdown(b, SHUT_WR));
	tcp_expect(a, "hello", 5);
	tcp_expect_end(a);
}

static void bytes_after_a_short_read_are_reported_again(void **state)
{
	char buf[64];

	(void)state;

	for (int i = 0; i < 100; i++) {
		tcp_send(a, "hello", 5);
		assert_true(report_with(EPOLLIN) & EPOLLIN);
		assert_int_equal(recv(b, buf, sizeof(buf), 0), 5);
	}
}

static void read_all(size_t n_expected)
{
	static char sink[1 << 20];
	size_t n_read = 0;

	while (n_read < n_expected) {
		ssize_t n;

		assert_true(tcp_wait(a, POLLIN));
		n = recv(a, sink, sizeof(sink), 0);
		assert_true(n > 0);
		n_read += (size_t)n;
	}
}

/* copy.c: a send that took less than it was given is taken for EAGAIN. */
static void after_a_partial_send_room_is_reported_as_an_edge(void **state)
{
	static char chunk[64 << 20];
	ssize_t n;

	(void)state;
	assert_int_equal(next_report(), EPOLLOUT);
	n = send(b, chunk, sizeof(chunk), MSG_NOSIGNAL);
	assert_in_range(n, 1, sizeof(chunk) - 1);

	read_all((size_t)n);
	assert_true(report_with(EPOLLOUT) & EPOLLOUT);
}

static void a_full_buffer_that_drains_is_reported_as_an_edge(void **state)
{
	size_t n_sent;

	(void)state;
	assert_int_equal(next_report(), EPOLLOUT);
	n_sent = tcp_fill(b);
	while (report(0))
		;

	read_all(n_sent);
	assert_true(report_with(EPOLLOUT) & EPOLLOUT);
}

/* copy.c: is_urgent. */
static void a_read_stops_at_the_urgent_mark(void **state)
{
	char buf[64];

	(void)state;
	tcp_set_option(b, SOL_SOCKET, SO_OOBINLINE, 1);
	tcp_send(a, "ab", 2);
	assert_int_equal(send(a, "!", 1, MSG_OOB), 1);
	tcp_send(a, "cd", 2);
	assert_true(report_with(EPOLLPRI) & EPOLLIN);
	while (report(50))
		;

	assert_int_equal(recv(b, buf, sizeof(buf), 0), 2);
	assert_int_equal(recv(b, buf, sizeof(buf), 0), 3);
	assert_memory_equal(buf, "!cd", 3);
}

static void closing_the_only_descriptor_ends_the_watch(void **state)
{
	struct epoll_event ev = { 0 };
	int again, other;

	(void)state;
	assert_int_equal(next_report(), EPOLLOUT);
	close(b);
	tcp_pair(&again, &other);

	/* its number is free for another, and nothing is left of it */
	assert_int_equal(report(0), 0);
	assert_int_equal(epoll_ctl(epoll_fd, EPOLL_CTL_MOD, b, &ev), -1);
	assert_true(errno == ENOENT || errno == EBADF);
	b = -1;
	close(again);
	close(other);
}

static void what_came_before_a_reset_stays_readable(void **state)
{
	char buf[64];

	(void)state;
	tcp_send(a, "hello", 5);
	tcp_reset(take_fd(a));
	assert_true(report_with(EPOLLERR) & EPOLLIN);

	assert_int_equal(recv(b, buf, sizeof(buf), 0), 5);
	assert_int_equal(recv(b, buf, sizeof(buf), 0), -1);
	assert_int_equal(errno, ECONNRESET);
}

/* copy.c: whoever learned of the reset from send() must not believe that EOF. */
static void a_reset_told_by_send_reads_as_the_end_of_the_stream(void **state)
{
	char buf[64];

	(void)state;
	tcp_send(a, "hello", 5);
	tcp_reset(take_fd(a));
	assert_true(report_with(EPOLLERR) & EPOLLIN);

	assert_int_equal(send(b, "x", 1, MSG_NOSIGNAL), -1);
	assert_int_equal(errno, ECONNRESET);
	assert_int_equal(recv(b, buf, sizeof(buf), 0), 5);
	assert_int_equal(recv(b, buf, sizeof(buf), 0), 0);
}

static void a_reset_after_a_fin_is_told_by_send_as_epipe(void **state)
{
	char buf[64];

	(void)state;
	tcp_send(a, "hello", 5);
	assert_ok(shutdown(a, SHUT_WR));
	assert_true(report_with(EPOLLRDHUP) & EPOLLIN);
	tcp_reset(take_fd(a));
	assert_true(report_with(EPOLLERR) & EPOLLIN);

	assert_int_equal(send(b, "x", 1, MSG_NOSIGNAL), -1);
	assert_int_equal(errno, EPIPE);
	assert_int_equal(recv(b, buf, sizeof(buf), 0), 5);
	assert_int_equal(recv(b, buf, sizeof(buf), 0), 0);
}

static void shutdown_of_a_reset_socket_says_so(void **state)
{
	(void)state;
	tcp_reset(take_fd(a));
	assert_true(report_with(EPOLLERR) & EPOLLERR);

	assert_int_equal(shutdown(b, SHUT_WR), -1);
	assert_int_equal(errno, ENOTCONN);
}

/* session_close.c: a FIN in order needs an empty receive queue. */
static void close_with_unread_bytes_is_a_reset(void **state)
{
	(void)state;
	tcp_send(a, "unread", 6);
	assert_true(tcp_wait(b, POLLIN));
	close(take_fd(b));

	tcp_expect_reset(a);
}

static void a_fin_does_not_count_as_an_unread_byte(void **state)
{
	int n = -1;

	(void)state;
	assert_ok(shutdown(a, SHUT_WR));
	assert_true(report_with(EPOLLRDHUP) & EPOLLIN);
	assert_ok(ioctl(b, SIOCINQ, &n));
	assert_int_equal(n, 0);
}

static void bytes_before_a_fin_count_as_unread(void **state)
{
	int n = -1;

	(void)state;
	tcp_send(a, "hello", 5);
	assert_ok(shutdown(a, SHUT_WR));
	assert_true(report_with(EPOLLRDHUP) & EPOLLIN);
	assert_ok(ioctl(b, SIOCINQ, &n));
	assert_int_equal(n, 5);
}

/* ---- listening sockets ------------------------------------------------------ */

static int bound_socket(const struct addr *addr, bool is_shared, int *ret_error)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	tcp_set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (is_shared)
		tcp_set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
	*ret_error = bind(fd, &addr->sa, addr_len(addr)) < 0 ? errno : 0;
	return fd;
}

static void accepted_sockets_inherit_the_listeners_options(void **state)
{
	int listen_fd = tcp_listen(), client, accepted;
	struct addr addr = tcp_local(listen_fd);

	(void)state;
	tcp_set_option(listen_fd, IPPROTO_TCP, TCP_NODELAY, 1);
	tcp_set_option(listen_fd, SOL_SOCKET, SO_KEEPALIVE, 1);
	tcp_set_option(listen_fd, SOL_SOCKET, SO_OOBINLINE, 1);

	client = tcp_connect(addr_port(&addr));
	accepted = tcp_accept(listen_fd);
	assert_int_equal(tcp_option(accepted, IPPROTO_TCP, TCP_NODELAY), 1);
	assert_int_equal(tcp_option(accepted, SOL_SOCKET, SO_KEEPALIVE), 1);
	assert_int_equal(tcp_option(accepted, SOL_SOCKET, SO_OOBINLINE), 1);
	assert_int_equal(tcp_option(client, SOL_SOCKET, SO_KEEPALIVE), 0);
	close(client);
	close(accepted);
	close(listen_fd);
}

/* listener.c: the first socket is bound without SO_REUSEPORT. */
static void reuseport_set_after_bind_lets_later_sockets_join(void **state)
{
	struct addr addr = tcp_address(0);
	int first, second, error;

	(void)state;
	first = bound_socket(&addr, false, &error);
	assert_int_equal(error, 0);
	addr = tcp_local(first);
	tcp_set_option(first, SOL_SOCKET, SO_REUSEPORT, 1);
	second = bound_socket(&addr, true, &error);
	assert_int_equal(error, 0);
	assert_ok(listen(first, 8));
	assert_ok(listen(second, 8));
	close(first);
	close(second);
}

static void a_bind_without_reuseport_refuses_a_second_owner(void **state)
{
	struct addr addr = tcp_address(0);
	int first, second, error;

	(void)state;
	first = bound_socket(&addr, false, &error);
	assert_int_equal(error, 0);
	addr = tcp_local(first);
	tcp_set_option(first, SOL_SOCKET, SO_REUSEPORT, 1);
	assert_ok(listen(first, 8));

	second = bound_socket(&addr, false, &error);
	assert_int_equal(error, EADDRINUSE);
	close(first);
	close(second);
}

static void reuseport_shares_the_clients_among_the_listeners(void **state)
{
	struct addr addr = tcp_address(0);
	int listeners[2], clients[64], n[2] = { 0, 0 }, error, fd;

	(void)state;
	listeners[0] = bound_socket(&addr, false, &error);
	tcp_set_option(listeners[0], SOL_SOCKET, SO_REUSEPORT, 1);
	addr = tcp_local(listeners[0]);
	listeners[1] = bound_socket(&addr, true, &error);
	for (int i = 0; i < 2; i++)
		assert_ok(listen(listeners[i], 128));

	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		clients[i] = tcp_connect(addr_port(&addr));
	while (n[0] + n[1] < (int)ARRAY_SIZE(clients))
		for (int i = 0; i < 2; i++)
			while ((fd = accept(listeners[i], NULL, NULL)) >= 0) {
				n[i]++;
				close(fd);
			}
	assert_true(n[0] > 0 && n[1] > 0);
	for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
		close(clients[i]);
	close(listeners[0]);
	close(listeners[1]);
}

#define FACT_TEST(test) cmocka_unit_test_setup_teardown(test, start, end)

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		FACT_TEST(the_state_at_the_time_of_adding_is_reported_as_an_edge),
		FACT_TEST(a_fin_after_a_short_read_is_reported),
		FACT_TEST(bytes_and_fin_may_come_in_one_report_and_need_two_reads),
		FACT_TEST(after_a_fin_was_reported_a_short_read_took_the_last_bytes),
		FACT_TEST(a_reset_is_no_hangup_without_an_error),
		FACT_TEST(bytes_sent_with_msg_more_leave_with_the_shutdown),
		FACT_TEST(bytes_after_a_short_read_are_reported_again),
		FACT_TEST(after_a_partial_send_room_is_reported_as_an_edge),
		FACT_TEST(a_full_buffer_that_drains_is_reported_as_an_edge),
		FACT_TEST(a_read_stops_at_the_urgent_mark),
		FACT_TEST(closing_the_only_descriptor_ends_the_watch),
		FACT_TEST(what_came_before_a_reset_stays_readable),
		FACT_TEST(a_reset_told_by_send_reads_as_the_end_of_the_stream),
		FACT_TEST(a_reset_after_a_fin_is_told_by_send_as_epipe),
		FACT_TEST(shutdown_of_a_reset_socket_says_so),
		FACT_TEST(close_with_unread_bytes_is_a_reset),
		FACT_TEST(a_fin_does_not_count_as_an_unread_byte),
		FACT_TEST(bytes_before_a_fin_count_as_unread),
		cmocka_unit_test(accepted_sockets_inherit_the_listeners_options),
		cmocka_unit_test(reuseport_set_after_bind_lets_later_sockets_join),
		cmocka_unit_test(a_bind_without_reuseport_refuses_a_second_owner),
		cmocka_unit_test(reuseport_shares_the_clients_among_the_listeners),
	};

	return test_run("kernel_facts", tests, argc, argv);
}
