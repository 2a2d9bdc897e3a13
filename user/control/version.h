/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* version.h - which G5X this is. */
#ifndef G5X_CONTROL_VERSION_H
#define G5X_CONTROL_VERSION_H

#include <stdio.h>

#define G5X_VERSION "0.1.0"

struct settings;

/**
 * version_print() - "vX.Y.Z build DATE TIME R:S:B,0:0:0,64", without line end
 *
 * In the shape of G5, whose scripts count fields: the values of -r, -s and -b, the
 * limits of clients, forwards and servers in one rule, the longest rule id. 0 is for
 * "no limit".
 */
void version_print(FILE *out, const struct settings *settings);

#endif /* G5X_CONTROL_VERSION_H */
