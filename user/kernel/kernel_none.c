// SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only
/*
 * kernel_none.c - kernel.h, splice.h, bypass.h and guard.h for a build without BPF: all
 * bytes go through the daemon.
 *
 * There is never a splice, a bypass or a guard here, so what takes one is not called; it is
 * there to be linked.
 */
#include "kernel/kernel.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

#include "kernel/bypass.h"
#include "kernel/guard.h"
#include "kernel/splice.h"

int kernel_probe(char *reason, size_t len)
{
	snprintf(reason, len, "kernel datapaths: no, built without BPF");
	return -EOPNOTSUPP;
}

int splice_start(const struct splice_options *options, struct splice **ret_splice,
                 char *reason, size_t len)
{
	(void)options;
	(void)ret_splice;

	snprintf(reason, len, "built without BPF");
	return -EOPNOTSUPP;
}

void splice_close(struct splice *sp)
{
	assert(!sp);
}

int bypass_start(const struct bypass_options *options, struct bypass **ret_bypass,
                 char *reason, size_t len)
{
	(void)options;
	(void)ret_bypass;

	snprintf(reason, len, "built without BPF");
	return -EOPNOTSUPP;
}

void bypass_close(struct bypass *bp)
{
	assert(!bp);
}

int guard_open(struct guard **ret_guard, const char **ret_step)
{
	(void)ret_guard;

	*ret_step = "built without BPF";
	return -EOPNOTSUPP;
}

void guard_close(struct guard *g)
{
	assert(!g);
}

#define NEVER_CALLED(type, name, ...)         \
	type name(__VA_ARGS__)                \
	{                                     \
		assert(!"built without BPF"); \
		__builtin_unreachable();      \
	}

/* clang-format off */
#pragma GCC diagnostic ignored "-Wunused-parameter"
NEVER_CALLED(int, splice_pin, struct splice *sp, const char *dir)
NEVER_CALLED(int, splice_insert, struct splice *sp, const struct splice_pair *pair,
             bool ret_is_in[2])
NEVER_CALLED(bool, splice_was_reset, const struct splice *sp, uint32_t number, int side)
NEVER_CALLED(void, splice_detach, struct splice *sp, uint32_t number)
NEVER_CALLED(void, splice_forget, struct splice *sp, uint32_t number)
NEVER_CALLED(struct g5x_session *, splice_session, const struct splice *sp,
             uint32_t number)
NEVER_CALLED(uint32_t, splice_n_sessions, const struct splice *sp)
NEVER_CALLED(void, splice_set_state, struct splice *sp, uint32_t number,
             enum g5x_session_state state)
NEVER_CALLED(uint64_t, splice_n_queued, const struct splice *sp, uint32_t number,
             int from, int fd)
NEVER_CALLED(void, splice_make_room, struct splice *sp, uint32_t number, int fd)
NEVER_CALLED(void, splice_fit_receive_buffer, struct splice *sp, int fd)
NEVER_CALLED(uint64_t, splice_n_redirected, const struct splice *sp, uint32_t number,
             int from)
NEVER_CALLED(uint64_t, splice_n_passed, const struct splice *sp, uint32_t number,
             int from)
NEVER_CALLED(uint64_t, splice_n_relayed, const struct splice *sp, uint32_t number,
             int from)
NEVER_CALLED(bool, splice_relayed, struct splice *sp, uint32_t number, int from,
             uint32_t n)
NEVER_CALLED(int64_t, splice_take_response_us, struct splice *sp, uint32_t number)
NEVER_CALLED(int, splice_events_fd, const struct splice *sp, unsigned int worker)
NEVER_CALLED(bool, splice_has_lost_events, const struct splice *sp, unsigned int worker)
NEVER_CALLED(bool, splice_read_events, struct splice *sp, unsigned int worker,
             splice_event_fn fn, void *ctx)

NEVER_CALLED(int, bypass_pin, struct bypass *bp, const char *dir)
NEVER_CALLED(void, bypass_forget_listeners, struct bypass *bp)
NEVER_CALLED(int, bypass_add_listener, struct bypass *bp, const struct addr *addr)
NEVER_CALLED(bool, bypass_is_local, const struct bypass *bp, int fd)
NEVER_CALLED(int, bypass_expect, struct bypass *bp, int fd)
NEVER_CALLED(int, bypass_pair, struct bypass *bp, const struct bypass_pair *pair)
NEVER_CALLED(void, bypass_unpair, struct bypass *bp, uint32_t number)
NEVER_CALLED(bool, bypass_may_send, const struct bypass *bp, uint32_t number, int from,
             uint32_t n)
NEVER_CALLED(uint32_t, bypass_n_by_tcp, const struct bypass *bp, uint32_t number,
             int from)
NEVER_CALLED(uint32_t, bypass_n_queued, const struct bypass *bp, uint32_t number,
             int from)
NEVER_CALLED(bool, bypass_was_cut, const struct bypass *bp, uint32_t number, int from)
NEVER_CALLED(void, bypass_relayed, struct bypass *bp, uint32_t number, int from,
             uint64_t n)
NEVER_CALLED(uint64_t, bypass_n_direct, const struct bypass *bp, uint32_t number,
             int from)
NEVER_CALLED(uint64_t, bypass_last_ms, const struct bypass *bp, uint32_t number,
             int from)
NEVER_CALLED(uint64_t, bypass_first_us, const struct bypass *bp, uint32_t number,
             int from)
NEVER_CALLED(int64_t, bypass_take_response_us, struct bypass *bp, uint32_t number)

NEVER_CALLED(int, guard_pin, struct guard *g, const char *dir)
NEVER_CALLED(int, guard_attach, struct guard *g, unsigned int ifindex, bool answers,
             enum guard_mode *ret_mode)
NEVER_CALLED(bool, guard_suits, const struct guard *g, unsigned int ifindex,
             bool answers)
NEVER_CALLED(bool, guard_is_attached, const struct guard *g, unsigned int ifindex)
NEVER_CALLED(int, guard_detach, struct guard *g, unsigned int ifindex)
NEVER_CALLED(int, guard_publish, struct guard *g, const struct guard_set *set)
NEVER_CALLED(struct g5x_source, guard_source, const struct addr *a)
NEVER_CALLED(void, guard_glob, struct g5x_glob *to, const char *glob)
NEVER_CALLED(int, guard_block, struct guard *g, const struct addr *network,
             unsigned int bits, uint64_t until_ns)
NEVER_CALLED(int, guard_unblock, struct guard *g, const struct addr *network,
             unsigned int bits)
NEVER_CALLED(int, guard_set_full, struct guard *g, const struct addr *source,
             bool is_full)
NEVER_CALLED(void, guard_forget_full, struct guard *g)
NEVER_CALLED(void, guard_counts, const struct guard *g,
             const struct g5x_guard_address *listener,
             struct g5x_guard_counts *ret_counts)
NEVER_CALLED(int, guard_events_fd, const struct guard *g)
NEVER_CALLED(void, guard_read_events, struct guard *g, guard_event_fn fn, void *ctx)
NEVER_CALLED(int, guard_program_fd, const struct guard *g)
