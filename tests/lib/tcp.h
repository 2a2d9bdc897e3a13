/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * tcp.h - TCP on 127.0.0.1, for tests that are both ends.
 *
 * Every function fails the test when the kernel refuses. Sockets of tcp_connect()
 * and tcp_pair() neither block nor collect small writes; waiting is done here, for at
 * most TCP_PATIENCE_MS.
 */
#ifndef G5X_TESTS_TCP_H
#define G5X_TESTS_TCP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"

#define TCP_PATIENCE_MS 10000

/** tcp_address() - 127.0.0.1 with that port */
struct addr tcp_address(uint16_t port);

/** tcp_local() - getsockname(2) */
struct addr tcp_local(int fd);

/** tcp_listen() - on a port that the kernel chooses; see tcp_local() */
int tcp_listen(void);
int tcp_connect(uint16_t port);
int tcp_accept(int listen_fd);

/** tcp_pair() - two ends of one connection; the second was accepted */
void tcp_pair(int *ret_a, int *ret_b);

/** tcp_reset() - close with a RST */
void tcp_reset(int fd);

/** tcp_wait() - for poll(2) events; false when they do not come */
bool tcp_wait(int fd, short events);

/** tcp_send() - all of it */
void tcp_send(int fd, const void *data, size_t len);

/** tcp_expect() - exactly these bytes come next */
void tcp_expect(int fd, const void *data, size_t len);

/** tcp_expect_end() - a FIN comes next */
void tcp_expect_end(int fd);

/** tcp_expect_reset() - a RST comes next */
void tcp_expect_reset(int fd);

/** tcp_expect_silence() - nothing is there, and nobody has ended */
void tcp_expect_silence(int fd);

/** tcp_fill() - send until the kernel takes no more; returns how many bytes */
size_t tcp_fill(int fd);

int tcp_option(int fd, int level, int option);
void tcp_set_option(int fd, int level, int option, int value);

/** fd_count() - open descriptors of this process, to look for leaks */
unsigned int fd_count(void);

#endif /* G5X_TESTS_TCP_H */
