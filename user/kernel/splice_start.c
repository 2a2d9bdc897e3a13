// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/* splice_start.c - from nothing to a splice that has proved itself. */
#include "kernel/splice.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <bpf/btf.h>

#include "kernel/kernel.h"

/* A machine that is busy for a moment is no reason to do without for ever: bytes that come
 * late, or a sender that goes on until the kernel's worker has had its turn. */
#define TRIES 3

/* Are sequence numbers where bpf/splice_sequence.bpf.h looks for them? They are where the
 * program is given TCP's own sk_buff, and tcp_read_skb() (6.0) is what gives it. */
static bool has_sequence(void)
{
	struct btf *btf = btf__load_vmlinux_btf();
	bool is_there = btf &&
	                btf__find_by_name_kind(btf, "tcp_read_skb", BTF_KIND_FUNC) > 0;

	btf__free(btf);
	return is_there;
}

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
	if (r < 0) {
		splice_close(sp);
		return r;
	}
	memset(splice_totals(sp), 0, sizeof(struct g5x_totals));
	*ret_splice = sp;
	return 0;
}

int splice_start(const struct splice_options *options, struct splice **ret_splice,
                 char *reason, size_t len)
{
	struct splice_options o = *options;
	int r = kernel_probe(reason, len);

	if (r < 0)
		return r;
	o.has_no_sequence = !has_sequence();
	r = -ETIMEDOUT;
	for (int i = 0; i < TRIES && (r == -ETIMEDOUT || r == -ENOBUFS); i++)
		r = open_and_test(&o, ret_splice, reason, len);
	return r;
}
