/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * net.h - the few calls on sockets that both sides of the load generator need.
 *
 * All sockets are non-blocking and have TCP_NODELAY set.
 */
#ifndef G5X_BENCH_NET_H
#define G5X_BENCH_NET_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

/** net_parse() - "127.0.0.1:80" */
int net_parse(const char *text, struct sockaddr_in *ret_addr);
int net_listen(const struct sockaddr_in *addr, int *ret_fd);

/** net_connect() - starts it: the result is there when the socket gets writable */
int net_connect(const struct sockaddr_in *addr, int *ret_fd);

/** net_connect_result() - 0, or -errno of the connect that has ended */
int net_connect_result(int fd);
int net_set_nodelay(int fd);

/** net_send() - number of bytes sent, 0 when the socket is full, or -errno */
int net_send(int fd, const void *data, size_t size);

/** net_recv() - number of bytes read, 0 at the end, -EAGAIN, or another -errno */
int net_recv(int fd, void *buffer, size_t size);

/** net_reset() - close with a RST: leaves nothing in TIME_WAIT */
void net_reset(int fd);

int net_watch(int epoll_fd, int fd, int operation, uint32_t events, void *data);

#endif /* G5X_BENCH_NET_H */
