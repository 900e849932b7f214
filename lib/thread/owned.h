/* SPDX-License-Identifier: MIT */
/*
 * Owned: a brief lock (brief.h) that costs nothing as long as one thread uses it alone.
 *
 * The first thread that takes it owns it (if that may be): it takes it by a store and a look from
 * then on.  The first other thread that wants it ends the ownership, for good: it says so in
 * `owner`, has every processor pass a barrier (barrier.h), and waits until the owner is not inside.
 * From then on it is the brief lock.  That costs a microsecond, once.
 *
 * INVARIANTS
 *   I1  `owner` changes under `brief` only: NOBODY to a thread or SHARED, a thread to SHARED.
 *   I2  `inside` is written by the owner only.
 *
 * ORDERING
 *   O1  the owner's look, load      relaxed  its own number was written by itself.
 *   O2  inside, store               relaxed  against O3 by the light barrier.
 *   O3  the owner's second look     relaxed  if it still says the owner, then the heavy barrier of
 *       who ends the ownership is yet to come, and O2 is seen by its O6.
 *   O4  not inside any more, store  release  publishes what the owner did.  Pairs with O6.
 *   O5  end of the ownership, store relaxed  against O6 by the heavy barrier; all other looks at
 *       `owner` are under `brief`.
 *   O6  is the owner inside?, load  acquire  sees what it did.
 *   O7  init, store                 relaxed  before it is shared.
 *
 * Progress  blocking, as brief.h.
 * Fork      as brief.h.
 *
 * CHECKED BY  test_owned.c
 */
#ifndef ASI_THREAD_OWNED_H
#define ASI_THREAD_OWNED_H

#include "base/assert.h"
#include "base/race.h"
#include "thread/atomic.h"
#include "thread/barrier.h"
#include "thread/brief.h"
#include "thread/local.h"

#include <limits.h>
#include <stdbool.h>

/* Other numbers: asi_local.serial, which is 0 as long as a thread has none. */
enum { ASI_OWNED_NOBODY = INT_MAX - 1, ASI_OWNED_SHARED = INT_MAX };

struct asi_owned {
    asi_atomic(unsigned) owner;
    struct asi_brief inside; /* the owner is */
    struct asi_brief brief;  /* of all others */
    bool loops_only;         /* [const] a thread without a loop cannot own it */
};

static inline void asi_owned_init(struct asi_owned *owned, bool loops_only)
{
    owned->loops_only = loops_only;
    asi_store(&owned->owner, ASI_OWNED_NOBODY, relaxed); /* O7 */
    asi_brief_init(&owned->inside);
    asi_brief_init(&owned->brief);
}

/* Take it as its owner.  False: somebody else may be. */
static inline bool asi_owned_enter(struct asi_owned *owned)
{
    unsigned self = asi_local.serial;

    if (ASI_UNLIKELY(asi_load(&owned->owner, relaxed) != self)) /* O1 */
        return false;
    asi_store(&owned->inside.held, 1, relaxed); /* O2 */
    asi_barrier_light();
    asi_race_point();
    if (ASI_LIKELY(asi_load(&owned->owner, relaxed) == self)) /* O3 */
        return true;
    asi_store(&owned->inside.held, 0, release); /* O4 */
    return false;
}

/* Give it back, as its owner. */
static inline void asi_owned_leave(struct asi_owned *owned)
{
    asi_store(&owned->inside.held, 0, release); /* O4 */
}

/* Take it, whoever calls.  Returns what has to be given to asi_owned_give(). */
bool asi_owned_take(struct asi_owned *owned);

static inline void asi_owned_give(struct asi_owned *owned, bool by_owner)
{
    if (by_owner)
        asi_owned_leave(owned);
    else
        asi_brief_give(&owned->brief);
}

#endif
