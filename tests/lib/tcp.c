// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
#include "tcp.h"

#include "test.h"

#include <dirent.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <unistd.h>

struct addr tcp_address(uint16_t port)
{
	struct addr a;

	assert_ok(addr_parse_ip("127.0.0.1", &a));
	addr_set_port(&a, port);
	return a;
}

struct addr tcp_local(int fd)
{
	struct sockaddr_storage sa;
	socklen_t len = sizeof(sa);

	assert_ok(getsockname(fd, (struct sockaddr *)&sa, &len));
	return addr_from_sockaddr((struct sockaddr *)&sa);
}

static int open_socket(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	return fd;
}

int tcp_listen(void)
{
	struct addr a = tcp_address(0);
	int fd = open_socket();

	assert_ok(bind(fd, &a.sa, addr_len(&a)));
	assert_ok(listen(fd, SOMAXCONN));
	return fd;
}

int tcp_connect(uint16_t port)
{
	struct addr a = tcp_address(port);
	int fd = open_socket();

	if (connect(fd, &a.sa, addr_len(&a)) < 0)
		assert_int_equal(errno, EINPROGRESS);
	assert_true(tcp_wait(fd, POLLOUT));
	tcp_set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	return fd;
}

int tcp_accept(int listen_fd)
{
	int fd;

	assert_true(tcp_wait(listen_fd, POLLIN));
	fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	assert_true(fd >= 0);
	tcp_set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	return fd;
}

void tcp_pair(int *ret_a, int *ret_b)
{
	int listen_fd = tcp_listen();
	struct addr a = tcp_local(listen_fd);

	*ret_a = tcp_connect(addr_port(&a));
	*ret_b = tcp_accept(listen_fd);
	close(listen_fd);
}

void tcp_reset(int fd)
{
	const struct linger at_once = { .l_onoff = 1, .l_linger = 0 };

	assert_ok(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)));
	assert_ok(close(fd));
}

bool tcp_wait(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, TCP_PATIENCE_MS) == 1;
}

void tcp_send(int fd, const void *data, size_t len)
{
	const char *at = data;

	while (len > 0) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);

		if (n < 0) {
			assert_int_equal(errno, EAGAIN);
			assert_true(tcp_wait(fd, POLLOUT));
			continue;
		}
		at += n;
		len -= (size_t)n;
	}
}

void tcp_expect(int fd, const void *data, size_t len)
{
	const char *expected = data;
	char got[4096];

	while (len > 0) {
		size_t part = len < sizeof(got) ? len : sizeof(got);
		ssize_t n;

		assert_true(tcp_wait(fd, POLLIN));
		n = recv(fd, got, part, 0);
		assert_true(n > 0);
		assert_memory_equal(got, expected, (size_t)n);
		expected += n;
		len -= (size_t)n;
	}
}

void tcp_expect_end(int fd)
{
	char byte;

	assert_true(tcp_wait(fd, POLLIN));
	assert_int_equal(recv(fd, &byte, 1, 0), 0);
}

void tcp_expect_reset(int fd)
{
	char byte;

	assert_true(tcp_wait(fd, POLLIN));
	assert_int_equal(recv(fd, &byte, 1, 0), -1);
	assert_int_equal(errno, ECONNRESET);
}

void tcp_expect_silence(int fd)
{
	char byte;

	assert_int_equal(recv(fd, &byte, 1, MSG_DONTWAIT), -1);
	assert_int_equal(errno, EAGAIN);
}

size_t tcp_fill(int fd)
{
	static const char zeros[65536];
	size_t n_sent = 0;
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	/* The kernel moves bytes on to the other end's queue for a moment still. */
	do {
		ssize_t n;

		while ((n = send(fd, zeros, sizeof(zeros), MSG_NOSIGNAL)) > 0)
			n_sent += (size_t)n;
		assert_int_equal(errno, EAGAIN);
	} while (poll(&p, 1, 50) > 0);
	return n_sent;
}

int tcp_option(int fd, int level, int option)
{
	int value = -1;
	socklen_t len = sizeof(value);

	assert_ok(getsockopt(fd, level, option, &value, &len));
	return value;
}

void tcp_set_option(int fd, int level, int option, int value)
{
	assert_ok(setsockopt(fd, level, option, &value, sizeof(value)));
}

unsigned int fd_count(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned int n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}
