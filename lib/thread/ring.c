/* SPDX-License-Identifier: MIT */
/*
 * Ring.  (What it promises: ring.h.)
 *
 * Each side has one word that it counts in, and the mark in it says that the *other* side sleeps.
 * So "is there something new" and "does somebody wait for it" are one word, and no two words have
 * to be ordered against each other.
 *
 * INVARIANTS
 *   I1  flushed <= popped <= pushed <= flushed + limit.
 *   I2  The count in `tail` is written by the producer only, that in `head` by the consumer only.
 *       A mark is set by the side that sleeps; who clears it by a count owes one wake.
 *
 * LINEARIZATION  push: Q1.  flush: Q5.  A sleep begins with a CAS that succeeds (Q3, Q7).
 *
 * ORDERING
 *   Q1  push, end: exchange   acq_rel  release: the item is visible to Q2; acquire: who clears the
 *       mark sees what the consumer wrote before Q3.
 *   Q2  the consumer's look, load   acquire  reads Q1.  (In Q3's function relaxed: compared only.)
 *   Q3  consumer_sleeps, CAS  release, relaxed  see Q1.  It sees what Q2 saw, or has Q2 look again.
 *   Q4  consumer_back, and    relaxed  who was first; what comes is told by Q2, or by the wake.
 *   Q5  flush, exchange       acq_rel  release: the places are empty before Q6 says so; acquire:
 *       who clears the mark sees what the producer wrote before Q7.
 *   Q6  the producer's look, load   acquire  reads Q5.
 *   Q7  producer_sleeps, CAS  release, relaxed  as Q3, with Q5 and Q6.
 *   Q8  producer_back, and    relaxed  as Q4.
 *   Q9  push, load of loose   relaxed  twice, around Q10 and a light barrier: see LOOSE.
 *   Q10 push, store of count  release  the item is visible to Q11.
 *   Q11 the consumer's look at count   acquire  reads Q10.
 *   Q12 loosen, and the end of that in consumer_sleeps, store   relaxed  see LOOSE.
 *
 * NO LOST WAKE-UP
 *   The CAS of a sleep succeeds only while the count is the one that the sleeper looked at and
 *   found wanting.  The next count is an exchange on the same word: it sees the mark, and wakes.  A
 *   consumer flushes before it sleeps, so that a producer that sleeps for lack of room is woken.
 *
 * LOOSE
 *   An exchange for each item costs the producer a line that the consumer looks at, at once; a
 *   store does not wait for it.  While `loose` is up nobody sleeps, so there is no mark to be seen,
 *   and a push stores into `count` only.  A consumer that wants to sleep takes `loose` down, lets
 *   all processors pass a barrier (barrier.h), then looks again.  A push either has stored its
 *   count before that, and the look sees it; or it looks at `loose` after that, finds it down, and
 *   does its exchange, which finds the mark or makes the CAS of the sleep fail.  `count` and the
 *   count in `tail` only grow, and neither is ever ahead of what was pushed: the larger is true.
 *   One barrier in ASI_RING_LOOSE_AFTER pops at most.
 *
 * CHECKED BY  test_ring.c; test_generators.c (stress).
 */
#include "thread/ring.h"

#include "base/race.h"

uint32_t asi_ring_places(uint32_t limit)
{
    uint32_t places = 1;

    while (places < limit)
        places *= 2;
    return places;
}

void asi_ring_init(struct asi_ring *ring, uint32_t limit)
{
    asi_store(&ring->tail, 0, relaxed);               /* before it is shared */
    asi_store(&ring->count, 0, relaxed);              /* likewise */
    asi_store(&ring->loose, false, relaxed);          /* likewise */
    asi_store(&ring->head, ASI_RING_ASLEEP, relaxed); /* likewise */
    ring->pushed = 0;
    ring->freed_seen = 0;
    ring->limit = limit;
    ring->mask = asi_ring_places(limit) - 1;
    ring->popped = 0;
    ring->flushed = 0;
    ring->pushed_seen = 0;
    ring->slept = 0;
    ring->is_loose = false;
    ring->batch = limit > 3 ? limit - limit / 4 : 1;
}

/* --- the producer ----------------------------------------------------------------------------- */

bool asi_ring_end(struct asi_ring *ring)
{
    asi_race_point();
    return asi_exchange(&ring->tail, ring->pushed * ASI_RING_ONE | ASI_RING_ENDED, acq_rel) &
           ASI_RING_ASLEEP; /* Q1 */
}

bool asi_ring_producer_sleeps(struct asi_ring *ring)
{
    uint64_t expected = ring->freed_seen * ASI_RING_ONE;

    asi_race_point();
    uint64_t marked = expected | ASI_RING_ASLEEP;
    return asi_cas_strong(&ring->head, &expected, marked, release, relaxed); /* Q7 */
}

bool asi_ring_producer_back(struct asi_ring *ring)
{
    return asi_and(&ring->head, ~(uint64_t)ASI_RING_ASLEEP, relaxed) & ASI_RING_ASLEEP; /* Q8 */
}

/* --- the consumer ----------------------------------------------------------------------------- */

bool asi_ring_is_over(struct asi_ring *ring)
{
    uint64_t tail = asi_load(&ring->tail, acquire); /* Q2 */

    return (tail & ASI_RING_ENDED) && tail / ASI_RING_ONE == ring->popped;
}

void asi_ring_loosen(struct asi_ring *ring)
{
    ring->slept = ring->popped; /* if there is no barrier: ask again later */
    ring->is_loose = asi_barrier_available();
    if (ring->is_loose)
        asi_store(&ring->loose, true, relaxed); /* Q12 */
}

bool asi_ring_consumer_sleeps(struct asi_ring *ring)
{
    if (ring->is_loose) {
        ring->is_loose = false;
        asi_store(&ring->loose, false, relaxed); /* Q12 */
        asi_barrier_heavy();
    }
    ring->slept = ring->popped;
    uint64_t expected = asi_load(&ring->tail, relaxed); /* Q2; it may be behind `count` */
    if (asi_ring_has_item(ring) || (expected & ASI_RING_ENDED))
        return false;
    asi_race_point();
    uint64_t marked = expected | ASI_RING_ASLEEP;
    return asi_cas_strong(&ring->tail, &expected, marked, release, relaxed); /* Q3 */
}

bool asi_ring_consumer_back(struct asi_ring *ring)
{
    return asi_and(&ring->tail, ~(uint64_t)ASI_RING_ASLEEP, relaxed) & ASI_RING_ASLEEP; /* Q4 */
}
