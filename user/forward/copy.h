/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* copy.h - the datapath through the daemon: recv, send. See copy.c. */
#ifndef G5X_FORWARD_COPY_H
#define G5X_FORWARD_COPY_H

#include "forward/relay.h"

extern const struct relay copy_relay;

#endif /* G5X_FORWARD_COPY_H */
