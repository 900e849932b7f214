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
 *   Q2  the consumer's look, load   acquire  reads Q1.
 *   Q3  consumer_sleeps, CAS  acq_rel, acquire  release: see Q1; acquire on failure: as Q2.
 *   Q4  consumer_back, and    acquire  as Q2.
 *   Q5  flush, exchange       acq_rel  release: the places are empty before Q6 says so; acquire:
 *       who clears the mark sees what the producer wrote before Q7.
 *   Q6  the producer's look, load   acquire  reads Q5.
 *   Q7  producer_sleeps, CAS  acq_rel, acquire  as Q3.
 *   Q8  producer_back, and    acquire  as Q6.
 *
 * NO LOST WAKE-UP
 *   The CAS of a sleep succeeds only while the count is the one that the sleeper looked at and
 *   found wanting.  The next count is an exchange on the same word: it sees the mark, and wakes.  A
 *   consumer flushes before it sleeps, so that a producer that sleeps for lack of room is woken.
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
    asi_store(&ring->head, ASI_RING_ASLEEP, relaxed); /* likewise */
    ring->pushed = 0;
    ring->freed_seen = 0;
    ring->limit = limit;
    ring->mask = asi_ring_places(limit) - 1;
    ring->popped = 0;
    ring->flushed = 0;
    ring->pushed_seen = 0;
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
    return asi_cas_strong(&ring->head, &expected, marked, acq_rel, acquire); /* Q7 */
}

bool asi_ring_producer_back(struct asi_ring *ring)
{
    return asi_and(&ring->head, ~(uint64_t)ASI_RING_ASLEEP, acquire) & ASI_RING_ASLEEP; /* Q8 */
}

/* --- the consumer ----------------------------------------------------------------------------- */

bool asi_ring_is_over(struct asi_ring *ring)
{
    uint64_t tail = asi_load(&ring->tail, acquire); /* Q2 */

    return (tail & ASI_RING_ENDED) && tail / ASI_RING_ONE == ring->popped;
}

bool asi_ring_consumer_sleeps(struct asi_ring *ring)
{
    uint64_t expected = ring->popped * ASI_RING_ONE;

    asi_race_point();
    uint64_t marked = expected | ASI_RING_ASLEEP;
    return asi_cas_strong(&ring->tail, &expected, marked, acq_rel, acquire); /* Q3 */
}

bool asi_ring_consumer_back(struct asi_ring *ring)
{
    return asi_and(&ring->tail, ~(uint64_t)ASI_RING_ASLEEP, acquire) & ASI_RING_ASLEEP; /* Q4 */
}
