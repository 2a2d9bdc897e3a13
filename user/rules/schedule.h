/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* schedule.h - the order in which servers of different weights take their turns. */
#ifndef G5X_RULES_SCHEDULE_H
#define G5X_RULES_SCHEDULE_H

struct rule;

/** schedule_build() - sets schedule, n_schedule and weight_sum from the weights */
void schedule_build(struct rule *rule);

#endif /* G5X_RULES_SCHEDULE_H */
