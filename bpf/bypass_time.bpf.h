/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* bypass_time.bpf.h - when bytes moved, and how long answers took. */
#ifndef G5X_BYPASS_TIME_BPF_H
#define G5X_BYPASS_TIME_BPF_H

#include "g5x_abi.h"

/* For both ways: the daemon sees nothing of the short one. */
static __always_inline void note_time(struct g5x_bypass_session *s, __u32 from)
{
	struct g5x_bypass_flow *flow = &s->flow[from & 1];
	__u64 other_ns = *(volatile __u64 *)&s->flow[~from & 1].last_ns;
	__u64 now;

	if (flow->first_ns && !s->wants_responses) {
		flow->last_ns = bpf_ktime_get_coarse_ns();
		return;
	}
	now = bpf_ktime_get_ns();
	if (flow->first_ns == 0)
		flow->first_ns = now;
	if (s->wants_responses && (from & 1) && other_ns > flow->last_ns &&
	    other_ns <= now) {
		s->n_responses++;
		s->response_ns += now - other_ns;
	}
	flow->last_ns = now;
}

#endif /* G5X_BYPASS_TIME_BPF_H */
