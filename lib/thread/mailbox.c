/* SPDX-License-Identifier: MIT */
/*
 * Mailbox.  (What it promises: mailbox.h.  This comment: why that holds.)
 *
 * SHAPE
 *   Producers push onto a LIFO chain; the consumer takes the whole chain with one exchange and
 *   reverses it.  Nothing is ever popped from the middle, so there is no ABA, no dummy node, and
 *   no half-linked node for a reader to wait on.  Two marks that are no nodes share the word with
 *   the chain:
 *
 *       NULL      empty, the consumer is awake           push --> chain, QUEUED
 *       PARKED    empty, the consumer sleeps             push --> chain, WAKE
 *       CLOSED    empty, the consumer is gone            push refused
 *       n3 --> n2 --> n1 --> NULL                        push --> n4 --> n3 ..., QUEUED
 *
 *   Because "asleep" and "empty" are one word, the question "must I wake it?" is answered by the
 *   very instruction that pushes.  A separate flag would need a store-load fence on both sides.
 *
 * INVARIANTS
 *   I1  A node is reachable from `newest` from its push until the take_all that returns it.
 *   I2  A reachable node's `next` is never written.
 *   I3  Only the consumer writes a mark; only a producer replaces PARKED by a node.
 *
 * LINEARIZATION
 *   push: its successful CAS.  take_all: the exchange.  park, close: the successful CAS.
 *
 * ORDERING (every atomic access, and what it pairs with)
 *   M1  push, CAS success    acq_rel  release: makes the node and its `next` visible to M4.
 *       acquire: a push that replaces PARKED sees what the consumer wrote before M6 (how it wants
 *       to be woken).
 *   M2  push, first load and CAS failure   relaxed   the value is only compared and stored, never
 *       followed.
 *   M3  push that read CLOSED, load   acquire   reads M7: who is refused sees all that the
 *       consumer did before it closed.  Not on the way of a push that succeeds.
 *   M4  take_all, exchange   acquire  reads M1 of the last pusher.  Earlier pushers are covered
 *       too: each CAS is a read-modify-write, so it extends the release sequences of those before
 *       it (C11 5.1.2.4p10), and M4 synchronizes with all of them.
 *   M5  is_empty, load       relaxed  a hint: a stale answer costs one more look.
 *   M6  park, CAS success    release  pairs with the acquire of M1.
 *   M7  close, CAS success   release  orders the consumer's life before a reopening by init, and
 *       before each push that is refused (M3).
 *
 * NO LOST WAKE-UP
 *   All writes to `newest` after init are read-modify-writes, so each sees the value just before
 *   its own. The consumer sleeps only after M6 put PARKED where NULL was; from then on the next
 *   write is a push that sees PARKED and returns WAKE (or the consumer's own take_all, when it
 *   woke for another reason: then that push comes after it and finds the consumer awake).  A push
 *   that saw a node joins a chain whose first push saw NULL, a consumer that will look again
 *   before it parks, or PARKED, whose wake is due.
 *
 * CHECKED BY
 *   test/test_mailbox.c: order; publication, under the thread sanitizer; lost wake-ups, as a hang
 *   (wide windows in the race build).
 */
#include "thread/mailbox.h"

#include "base/assert.h"
#include "base/race.h"

#include <stddef.h>

/* Marks: addresses that no letter can have. */
static struct asi_letter parked_mark, closed_mark;
#define PARKED (&parked_mark)
#define CLOSED (&closed_mark)

void asi_mailbox_init(struct asi_mailbox *mailbox)
{
    asi_store(&mailbox->newest, NULL, release); /* M7's partner when a mailbox is opened again */
}

enum asi_push asi_mailbox_push(struct asi_mailbox *mailbox, struct asi_letter *letter)
{
    struct asi_letter *seen = asi_load(&mailbox->newest, relaxed); /* M2 */

    do {
        if (seen == CLOSED) {
            (void)asi_load(&mailbox->newest, acquire); /* M3 */
            return ASI_PUSH_CLOSED;
        }
        letter->next = seen == PARKED ? NULL : seen; /* I2: not reachable yet */
        asi_race_point();
        /* M1, M2 */
    } while (!asi_cas_weak(&mailbox->newest, &seen, letter, acq_rel, relaxed));

    asi_race_point();
    return seen == PARKED ? ASI_PUSH_WAKE : ASI_PUSH_QUEUED;
}

/* Put LIFO in order. */
static struct asi_taken reverse(struct asi_letter *lifo, asi_letter_fn *usual, size_t hint_at)
{
    struct asi_taken taken = {.last = lifo, .usual = true};
    void *later[ASI_MAILBOX_AHEAD];

    for (int i = 0; i < ASI_MAILBOX_AHEAD; i++)
        later[i] = ASI_MAILBOX_NO_HINT;

    while (lifo) {
        struct asi_letter *next = lifo->next;
        if (ASI_LIKELY(lifo->deliver == usual)) {
            void **hint = (void **)(void *)((char *)lifo + hint_at);
            void **slot = &later[taken.count % ASI_MAILBOX_AHEAD];
            __builtin_prefetch(*hint, 1);
            *hint = *slot;
            *slot = (char *)lifo + 1;
        } else {
            taken.usual = false;
        }
        lifo->next = taken.first;
        taken.first = lifo;
        taken.count++;
        lifo = next;
    }
    return taken;
}

struct asi_taken asi_mailbox_take_usual(
        struct asi_mailbox *mailbox, asi_letter_fn *usual, size_t hint_at)
{
    struct asi_letter *lifo = asi_exchange(&mailbox->newest, NULL, acquire); /* M4 */

    return reverse(lifo == PARKED ? NULL : lifo, usual, hint_at);
}

struct asi_letter *asi_mailbox_take_all(struct asi_mailbox *mailbox)
{
    return asi_mailbox_take_usual(mailbox, NULL, 0).first;
}

bool asi_mailbox_park(struct asi_mailbox *mailbox)
{
    struct asi_letter *seen = NULL;

    asi_race_point();
    /* M6; failure relaxed: the caller takes the letters with M4 */
    return asi_cas_strong(&mailbox->newest, &seen, PARKED, release, relaxed);
}

bool asi_mailbox_close(struct asi_mailbox *mailbox)
{
    struct asi_letter *seen = NULL;

    asi_race_point();
    /* M7; failure relaxed: the caller takes the letters with M4 */
    return asi_cas_strong(&mailbox->newest, &seen, CLOSED, release, relaxed);
}
