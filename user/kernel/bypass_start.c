// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* bypass_start.c - from nothing to a bypass that has proved itself. */
#include "kernel/bypass.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kernel/kernel.h"

static int open_and_test(const struct bypass_options *options,
                         struct bypass **ret_bypass, char *reason, size_t len)
{
	struct bypass *bp;
	const char *step;
	int r = bypass_open(options, &bp, &step);

	if (r < 0) {
		snprintf(reason, len, "%s: %s", step, strerrordesc_np(-r));
		return r;
	}
	r = bypass_self_test(bp, reason, len);
	if (r < 0) {
		bypass_close(bp);
		return r;
	}
	*ret_bypass = bp;
	return 0;
}

int bypass_start(const struct bypass_options *options, struct bypass **ret_bypass,
                 char *reason, size_t len)
{
	struct bypass_options o = *options;
	int r = kernel_probe(reason, len);

	if (r < 0)
		return r;
	/* Without the verdict program first: it is the faster way. */
	for (int i = 0; i < 2; i++) {
		o.has_verdict = i > 0;
		r = open_and_test(&o, ret_bypass, reason, len);
		if (r != -ENOTSUP)
			break;
	}
	/* A machine that is busy for a moment is no reason to do without for ever. */
	if (r == -ETIMEDOUT)
		r = open_and_test(&o, ret_bypass, reason, len);
	return r;
}
