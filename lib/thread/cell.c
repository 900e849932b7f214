/* SPDX-License-Identifier: MIT */
/*
 * Cell.  (What it promises: cell.h.  This comment: why that holds.)
 *
 * SHAPE
 *   `head` is a LIFO chain of links, or DONE.  Nothing is unlinked from the middle: who wants to
 *   remove links takes the whole chain, drops those without an owner, and puts the others back.
 *
 *       NULL --join--> l1 --join--> l2 -> l1 --complete--> DONE   (l2, l1 are the completer's now)
 *                                      \--sweep--> NULL --put back--> l2   (l1 had no owner: freed)
 *
 *   Each link's `owner` settles between completer and waiter who was first, in one exchange: the
 *   completer that gets the pointer delivers; the waiter that gets it back leaves the link behind.
 *   Who comes second frees the link.
 *
 * INVARIANTS
 *   I1  DONE is final.
 *   I2  A link is in exactly one chain: the cell's, or one that a single thread took.
 *   I3  A link's `next` is written only by who owns its chain.
 *   I4  A link whose owner is not NULL belongs to a waiter that has not returned from its wait.
 *
 * LINEARIZATION
 *   complete: the exchange of `head`.  join: its CAS.  leave: the exchange of `owner`.
 *
 * ORDERING
 *   C1  done, load                  acquire  pairs with C4: the result is visible.
 *   C2  join, CAS success           release  publishes link and owner to C4 and C6.
 *   C3  join, load and CAS failure  acquire  may read DONE: as C1.
 *   C4  complete, exchange of head  acq_rel  release: publishes the result (C1, C3, C7); acquire:
 *       sees the links of all joins (C2, each CAS extends the release sequences before it).
 *   C5  exchange of owner           the completer's acquire, the waiter's release.  A completer
 *       that comes second frees the link, and the waiter's exchange has to be over before that.  A
 *       waiter that comes second frees it after its delivery, which tells it what the completer
 *       did.  The waiter that join wrote is seen by C4 and C6.
 *   C6  sweep, CAS that takes       acquire  as C4.
 *   C7  sweep, CAS that puts back   release on success, as C2; acquire on failure: it may read
 *       DONE and then delivers in the completer's place.
 *   C8  sweep, load of owner        acquire  NULL: the waiter is through with the link (C5).
 *   C9  counters                    relaxed  they only say when a sweep is worth while.
 *   C10 claim, exchange             relaxed  a ticket; what it protects is published by C4.
 *   C11 leftovers, CAS and exchange release and acquire: the chain and its links.
 *   C12 complete_alone, load and store  relaxed  the caller's acquire of the last reference
 *       (refs.h R2) came after all that others did with the cell.
 *   C13 awaited, load           relaxed  only compared: what is to be seen happened before.
 *
 * NO LOST DELIVERY
 *   A sweep hides live links for a moment.  A completer that comes in that moment sees no links
 *   and sets DONE; the sweep's put-back then fails with DONE and delivers to them itself.  So each
 *   link whose owner stays gets its delivery from exactly one of the two, and neither waits for
 *   the other.
 *
 * CHECKED BY
 *   test/test_cell.c
 */
#include "thread/cell.h"

#include "base/assert.h"
#include "base/race.h"
#include "thread/local.h"
#include "thread/recycle.h"

#include <stddef.h>

enum { SWEEP_AT_LEAST = 8 };

struct asi_link asi_cell_done_mark;
#define DONE (&asi_cell_done_mark)

void asi_cell_free_links(struct asi_link *link)
{
    while (link) {
        struct asi_link *next = link->next;
        asi_link_free(link);
        link = next;
    }
}

bool asi_cell_claim(struct asi_cell *cell)
{
    return asi_exchange(&cell->claimed, 1, relaxed) == 0; /* C10 */
}

/* Links that a signal handler found without an owner: it must not free them. */
static asi_atomic(struct asi_link *) leftovers;

static void free_leftovers(void)
{
    if (ASI_UNLIKELY(asi_load(&leftovers, relaxed)))                  /* C11: a hint */
        asi_cell_free_links(asi_exchange(&leftovers, NULL, acquire)); /* C11 */
}

/* Free the links of CHAIN, now or, in a signal handler, later. */
static void discard(struct asi_link *chain)
{
    struct asi_link *last = chain;

    if (!chain)
        return;
    if (asi_local.in_signal == 0) {
        asi_cell_free_links(chain);
        return;
    }
    while (last->next)
        last = last->next;
    last->next = asi_load(&leftovers, relaxed);                             /* C11: only compared */
    while (!asi_cas_weak(&leftovers, &last->next, chain, release, relaxed)) /* C11 */
        ;
}

/* Deliver to all of CHAIN; returns the links that had no owner. */
static struct asi_link *deliver_all(struct asi_link *link)
{
    struct asi_link *rest = NULL;

    while (link) {
        struct asi_link *next = link->next; /* before the exchange: then the link may go */
        asi_race_point();
        struct asi_waiter *owner = asi_exchange(&link->owner, NULL, acquire); /* C5 */
        if (owner) {
            asi_waiter_deliver(owner);
        } else {
            link->next = rest;
            rest = link;
        }
        link = next;
    }
    return rest;
}

void asi_cell_deliver(struct asi_link *chain)
{
    ASI_ASSERT(chain != DONE, "a future was completed twice");
    discard(deliver_all(chain));
}

struct asi_link *asi_link_new(void)
{
    free_leftovers();
    return asi_recycle_take(ASI_RECYCLE_LINK);
}

void asi_link_free(struct asi_link *link)
{
    asi_recycle_give(ASI_RECYCLE_LINK, link);
}

bool asi_cell_join(struct asi_cell *cell, struct asi_link *link, struct asi_waiter *waiter)
{
    struct asi_link *seen = asi_load(&cell->head, acquire); /* C3 */

    asi_store(&link->owner, waiter, relaxed); /* published by C2 */
    do {
        if (seen == DONE)
            return false;
        link->next = seen;
        asi_race_point();
        /* C2, C3 */
    } while (!asi_cas_weak(&cell->head, &seen, link, release, acquire));
    return true;
}

/* Put LINKS back; if the cell became done meanwhile, deliver to them. */
static void put_back(struct asi_cell *cell, struct asi_link *first, struct asi_link *last)
{
    struct asi_link *seen = asi_load(&cell->head, acquire); /* C7 */

    do {
        if (seen == DONE) {
            last->next = NULL;
            discard(deliver_all(first));
            return;
        }
        last->next = seen;
        asi_race_point();
        /* C7 */
    } while (!asi_cas_weak(&cell->head, &seen, first, release, acquire));
}

/* Free the links that were left behind. */
static void sweep(struct asi_cell *cell)
{
    struct asi_link *chain = asi_load(&cell->head, relaxed); /* C6 decides */
    struct asi_link *first = NULL, *last = NULL;
    uint32_t live = 0;

    do {
        if (!chain || chain == DONE)
            return;
        /* C6; relaxed on failure: only compared */
    } while (!asi_cas_weak(&cell->head, &chain, NULL, acquire, relaxed));

    asi_store(&cell->left, 0, relaxed); /* C9 */
    while (chain) {
        struct asi_link *next = chain->next;
        if (asi_load(&chain->owner, acquire)) { /* C8 */
            chain->next = first;
            first = chain;
            last = last ? last : chain;
            live++;
        } else {
            asi_link_free(chain);
        }
        chain = next;
    }
    asi_store(&cell->sweep_at, live, relaxed); /* C9 */
    asi_race_point();
    if (first)
        put_back(cell, first, last);
}

bool asi_cell_leave(struct asi_cell *cell, struct asi_link *link)
{
    asi_race_point();
    if (!asi_exchange(&link->owner, NULL, release)) /* C5 */
        return false;
    uint32_t left = asi_add(&cell->left, 1, relaxed) + 1;                     /* C9 */
    if (left >= SWEEP_AT_LEAST && left >= asi_load(&cell->sweep_at, relaxed)) /* C9 */
        sweep(cell);
    return true;
}
