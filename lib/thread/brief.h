/* SPDX-License-Identifier: MIT */
/*
 * A lock that is held for a few instructions: inside an object that threads and coroutines share.
 *
 * It costs one exchange to take and one store to give, half of what a mutex costs.  Who finds it
 * taken looks for a while, then gives its time slice away, then naps: nobody has to be woken, so
 * giving it back never costs a system call.  No user code, no allocation, no wait under it.
 *
 * ORDERING
 *   B1  take, exchange     acquire  sees what the last holder did.  Pairs with B3.
 *   B2  take, look         relaxed  only says when to try B1 again.
 *   B3  give, store        release  publishes what this holder did.
 *   B4  init, store        relaxed  before the object is shared.
 *
 * Progress  blocking: a holder that loses its processor holds up the others.
 * Fork      objects of the parent are not used in a child (they carry a generation), so a lock that
 *           was held at the fork stays so, and nobody asks for it.
 */
#ifndef ASI_THREAD_BRIEF_H
#define ASI_THREAD_BRIEF_H

#include "base/assert.h"
#include "thread/atomic.h"

struct asi_brief {
    asi_atomic(unsigned char) held;
};

static inline void asi_brief_init(struct asi_brief *brief)
{
    asi_store(&brief->held, 0, relaxed); /* B4 */
}

/* The lock was taken: wait until it looks free. */
void asi_brief_wait(struct asi_brief *brief);

static inline void asi_brief_take(struct asi_brief *brief)
{
    while (ASI_UNLIKELY(asi_exchange(&brief->held, 1, acquire))) /* B1 */
        asi_brief_wait(brief);
}

static inline void asi_brief_give(struct asi_brief *brief)
{
    asi_store(&brief->held, 0, release); /* B3 */
}

#endif
