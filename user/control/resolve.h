/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* resolve.h - host names of servers, looked up while a configuration is read. */
#ifndef G5X_CONTROL_RESOLVE_H
#define G5X_CONTROL_RESOLVE_H

struct config_resolver;

/**
 * resolve_with_libc() - as this host looks names up: /etc/hosts, DNS, ...
 *
 * Of several addresses the first IPv4 one is taken, else the first. A slow name
 * server stops the main thread for as long, and nobody's traffic.
 */
extern const struct config_resolver resolve_with_libc;

#endif /* G5X_CONTROL_RESOLVE_H */
