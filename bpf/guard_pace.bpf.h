/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* guard_pace.bpf.h - GCRA, as user/forward/rates.c keeps it. */
#ifndef G5X_GUARD_PACE_BPF_H
#define G5X_GUARD_PACE_BPF_H

#include "g5x_abi.h"

#define NS_PER_S 1000000000ULL

/*
 * One more at this pace? Two CPUs that ask at once may both be told yes, and count as one:
 * that is cheaper than a lock, and the pace is the same on average.
 */
static __always_inline bool is_too_fast(struct g5x_pace *pace, __u64 now_ns,
                                        __u64 interval_ns, __u64 slack_ns)
{
	__u64 last_ns = now_ns + slack_ns;
	__u64 due_ns = pace->next_ns > now_ns ? pace->next_ns : now_ns;

	/* Later than this rate can make it: another one was in force. */
	if (due_ns > last_ns + interval_ns + NS_PER_S)
		due_ns = last_ns;
	if (due_ns > last_ns)
		return true;
	pace->next_ns = due_ns + interval_ns;
	return false;
}

#endif /* G5X_GUARD_PACE_BPF_H */
