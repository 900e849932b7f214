/* SPDX-License-Identifier: MIT */
/*
 * A pair of barriers, of which one costs nothing.
 *
 *      often, on one thread         seldom, on another
 *          store A                      store B
 *          asi_barrier_light()          asi_barrier_heavy()
 *          load B                       load A
 *
 * At least one of the two sees the other's store.  The light one only keeps the compiler from
 * changing the order; the heavy one is a system call that makes each processor on which a thread of
 * this process runs pass a full barrier of its own (membarrier(2)).
 *
 * The thread sanitizer knows nothing of it, and need not: this orders two words against each other,
 * and what they guard is handed on by a release and an acquire as everywhere.
 */
#ifndef ASI_THREAD_BARRIER_H
#define ASI_THREAD_BARRIER_H

#include <stdbool.h>

/* Whether the system has such barriers.  The heavy one must be called only if it says so, in the
 * same process. */
bool asi_barrier_available(void);

static inline void asi_barrier_light(void)
{
    __asm__ volatile("" ::: "memory");
}

void asi_barrier_heavy(void);

#endif
