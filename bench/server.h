/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/*
 * server.h - the server side: does for each connection what its hello asks for.
 *
 * A client that breaks the protocol, or whose bytes are not those it must have sent,
 * is told so by a RST, and standard error says why.
 */
#ifndef G5X_BENCH_SERVER_H
#define G5X_BENCH_SERVER_H

#include <netinet/in.h>

/** server_run() - prints "listening" when it does; returns only when it cannot go on */
int server_run(const struct sockaddr_in *addr);

#endif /* G5X_BENCH_SERVER_H */
