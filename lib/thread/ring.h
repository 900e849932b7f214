/* SPDX-License-Identifier: MIT */
/*
 * Ring: a bounded queue of one producer and one consumer, each of whom may go to sleep when it has
 * nothing to do, and is woken by the other.
 *
 *                    | push, end, producer_* | pop, flush, consumer_* |   "-": may run at the same
 *   push, end,       |           X           |            -           |        time
 *   producer_*       |                       |                        |   "X": one side is one
 *   pop, flush,      |           -           |            X           |        thread at a time
 *   consumer_*       |                       |                        |
 *
 * The ring says who has to be woken, and when; how is up to the caller.  A side that said that it
 * sleeps is woken exactly once, or takes it back.
 *
 * Progress  all are wait-free.
 * Order     what came before push happens before the pop of that item; what came before flush
 *           happens before a push into the room it made.  What the consumer did before
 *           consumer_sleeps happens before a push or end that has to wake it.
 * Memory    the items lie in storage of the caller, in places 0 to mask.
 * Bound     `limit` items; the producer sees room in batches, so that the sides seldom touch the
 *           same line.
 *
 * LOOSE  A consumer that has not slept for a while says so; then a push is a plain store, and the
 *   consumer's next sleep begins with the end of that (ring.c).
 */
#ifndef ASI_THREAD_RING_H
#define ASI_THREAD_RING_H

#include "base/race.h"
#include "thread/atomic.h"
#include "thread/barrier.h"

#include <stdbool.h>
#include <stdint.h>

enum { ASI_RING_ASLEEP = 1, ASI_RING_ENDED = 2, ASI_RING_ONE = 4, ASI_RING_LOOSE_AFTER = 256 };

struct asi_ring {
    /* how many were pushed, * 4; with ENDED, and ASLEEP for the consumer */
    _Alignas(64) asi_atomic(uint64_t) tail;
    asi_atomic(uint64_t) count; /* how many were pushed, as far as that was while `loose` */
    uint64_t pushed;            /* [producer] */
    uint64_t freed_seen;        /* [producer] what it last saw of `head` */
    uint64_t limit;             /* [const] */
    uint64_t mask;              /* [const] places - 1, a power of two - 1, at least limit - 1 */

    /* how many were popped, as far as was flushed, * 4; with ASLEEP for the producer */
    _Alignas(64) asi_atomic(uint64_t) head;
    uint64_t popped;      /* [consumer] */
    uint64_t flushed;     /* [consumer] how many of them are in `head` */
    uint64_t pushed_seen; /* [consumer] what it last saw of `tail` */
    uint64_t batch;       /* [const] pops between two flushes */
    uint64_t slept;       /* [consumer] `popped` when it last slept */
    bool is_loose;        /* [consumer] what it last wrote to `loose` */

    _Alignas(64) asi_atomic(bool) loose; /* seldom written, by the consumer */
};

/* For at most LIMIT items, at least 1.  The producer is asleep at first. */
void asi_ring_init(struct asi_ring *ring, uint32_t limit);

/* How many places the storage for LIMIT items has. */
uint32_t asi_ring_places(uint32_t limit);

/* --- the producer ----------------------------------------------------------------------------- */

/* Whether there is room for one more. */
static inline bool asi_ring_has_room(struct asi_ring *ring)
{
    if (ring->pushed - ring->freed_seen < ring->limit)
        return true;
    ring->freed_seen = asi_load(&ring->head, acquire) / ASI_RING_ONE; /* Q6 */
    return ring->pushed - ring->freed_seen < ring->limit;
}

/* Where the next item goes.  There is room. */
static inline uint64_t asi_ring_push_place(const struct asi_ring *ring)
{
    return ring->pushed & ring->mask;
}

/* The item is in its place.  Returns whether the consumer has to be woken. */
static inline bool asi_ring_push(struct asi_ring *ring)
{
    asi_race_point();
    ring->pushed++;
    if (asi_load(&ring->loose, relaxed)) {              /* Q9 */
        asi_store(&ring->count, ring->pushed, release); /* Q10 */
        asi_barrier_light();
        asi_race_point();
        if (asi_load(&ring->loose, relaxed)) /* Q9 */
            return false;
    }
    uint64_t before = asi_exchange(&ring->tail, ring->pushed * ASI_RING_ONE, acq_rel); /* Q1 */
    return before & ASI_RING_ASLEEP;
}

/* No more will come.  Returns whether the consumer has to be woken. */
bool asi_ring_end(struct asi_ring *ring);

/* About to sleep until there is room.  False: there is. */
bool asi_ring_producer_sleeps(struct asi_ring *ring);

/* Woken by something else.  False: the consumer has the duty to wake it, and will. */
bool asi_ring_producer_back(struct asi_ring *ring);

/* --- the consumer ----------------------------------------------------------------------------- */

/* Whether there is an item to pop. */
static inline bool asi_ring_has_item(struct asi_ring *ring)
{
    if (ring->popped != ring->pushed_seen)
        return true;
    uint64_t exact = asi_load(&ring->tail, acquire) / ASI_RING_ONE; /* Q2 */
    uint64_t loose = asi_load(&ring->count, acquire);               /* Q11 */
    ring->pushed_seen = exact > loose ? exact : loose;
    return ring->popped != ring->pushed_seen;
}

/* Where that item is. */
static inline uint64_t asi_ring_pop_place(const struct asi_ring *ring)
{
    return ring->popped & ring->mask;
}

void asi_ring_loosen(struct asi_ring *ring);

/* Let the producer see all pops.  Returns whether it has to be woken. */
static inline bool asi_ring_flush(struct asi_ring *ring)
{
    asi_race_point();
    if (!ring->is_loose && ring->popped - ring->slept >= ASI_RING_LOOSE_AFTER)
        asi_ring_loosen(ring);
    ring->flushed = ring->popped;
    uint64_t before = asi_exchange(&ring->head, ring->flushed * ASI_RING_ONE, acq_rel); /* Q5 */
    return before & ASI_RING_ASLEEP;
}

/* The item was copied from its place.  Returns whether the producer has to be woken. */
static inline bool asi_ring_pop(struct asi_ring *ring)
{
    ring->popped++;
    return ring->popped - ring->flushed >= ring->batch && asi_ring_flush(ring);
}

/* Whether all was popped, and no more will come. */
bool asi_ring_is_over(struct asi_ring *ring);

/* About to sleep until there is an item or the end.  False: there is one of them. */
bool asi_ring_consumer_sleeps(struct asi_ring *ring);

/* Woken by something else.  False: the producer has the duty to wake it, and will. */
bool asi_ring_consumer_back(struct asi_ring *ring);

#endif
