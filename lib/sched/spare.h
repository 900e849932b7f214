/* SPDX-License-Identifier: MIT */
/*
 * Spare memory: what a burst of tasks has left behind, and who gives it back.
 *
 * Stacks and records that come back are kept at first, because the next task wants one.  A loop
 * that sees more of them than are kept for good arms a timer.  Each time it fires, what nobody has
 * needed since the last time goes back to the system, in small portions, between which the loop
 * does all else it has to.  When nothing is spare any more the timer rests.  So the memory of a
 * burst is gone within a second of its end, and a program whose bursts follow each other faster
 * than that keeps it.
 *
 * A loop that ends gives back what is spare then: there may be no other.
 *
 * Loop thread only.
 */
#ifndef ASI_SCHED_SPARE_H
#define ASI_SCHED_SPARE_H

#include "coro/stack.h"
#include "thread/recycle.h"
#include "thread/slab.h"

struct asi_scheduler;

/* Arm the timer. */
void asi_spare_watch(struct asi_scheduler *scheduler);

/* Give back all that is spare. */
void asi_spare_trim_all(void);

/* Whether there is any. */
static inline bool asi_spare_any(void)
{
    return asi_stacks_spare() || asi_recycle_spare() || asi_slabs_spare();
}

#endif
