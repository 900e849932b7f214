/* SPDX-License-Identifier: MIT */
/*
 * Seat: taken by one at a time, and nobody waits for it.  (A lock without a queue: who finds it
 * taken is told so.)
 *
 * ORDERING
 *   take   exchange acquire  what the one before did in the seat is seen.  Pairs with leave.
 *   leave  store release     see there.
 */
#ifndef ASI_THREAD_SEAT_H
#define ASI_THREAD_SEAT_H

#include "thread/atomic.h"

#include <stdbool.h>

struct asi_seat {
    asi_atomic(unsigned char) taken;
};

static inline void asi_seat_init(struct asi_seat *seat)
{
    asi_store(&seat->taken, 0, relaxed); /* before it is shared */
}

/* Returns whether it is the caller's now. */
static inline bool asi_seat_take(struct asi_seat *seat)
{
    return !asi_exchange(&seat->taken, 1, acquire); /* see above */
}

static inline void asi_seat_leave(struct asi_seat *seat)
{
    asi_store(&seat->taken, 0, release); /* see above */
}

#endif
