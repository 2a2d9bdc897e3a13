// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* splice_start.c - from nothing to a splice that has proved itself. */
#include "kernel/splice.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kernel/kernel.h"

static int open_and_test(const struct splice_options *options,
                         struct splice **ret_splice, char *reason, size_t len)
{
	struct splice *sp;
	const char *step;
	int r = splice_open(options, &sp, &step);

	if (r < 0) {
		snprintf(reason, len, "%s: %s", step, strerrordesc_np(-r));
		return r;
	}
	r = splice_self_test(sp, reason, len);
	if (r < 0)
		splice_close(sp);
	else
		*ret_splice = sp;
	return r;
}

int splice_start(const struct splice_options *options, struct splice **ret_splice,
                 char *reason, size_t len)
{
	struct splice_options without = *options;
	int r = kernel_probe(reason, len);

	if (r < 0)
		return r;
	r = open_and_test(options, ret_splice, reason, len);
	if (r != -EBADMSG)
		return r;
	/* Before 6.0 there are no sequence numbers where the program looks for them,
	 * and no need for them either. */
	without.has_no_sequence = true;
	return open_and_test(&without, ret_splice, reason, len);
}
