/* SPDX-License-Identifier: MIT */
/*
 * Mailbox: an unbounded, intrusive, lock-free queue of many producers and one consumer, that also
 * knows whether its consumer sleeps and whether it has gone for good.
 *
 *              | push | take_all | park | close |   "-": may run at the same time
 *   push       |  -   |    -     |  -   |   -   |   "X": the caller must keep them apart
 *   the others |  -   |    X     |  X   |   X   |        (they belong to the consumer)
 *
 * Progress  push is lock-free; the others are wait-free, take_all plus O(n) to restore order.
 * Order     what a producer did before push happens before take_all returns its node.  What the
 *           consumer did before park happens before a push that returns ASI_PUSH_WAKE.  Nodes of
 *           one producer come out in the order it pushed them.
 * Memory    nodes belong to the caller; none is allocated, none is touched after take_all gave it.
 * Bound     none here: every node is part of a task, a wait or a request that its maker counts.
 */
#ifndef ASI_THREAD_MAILBOX_H
#define ASI_THREAD_MAILBOX_H

#include "thread/atomic.h"

#include <stdbool.h>
#include <stddef.h>

struct asi_letter; /* a node */

/* Called on the consumer's thread with the letter it took; RECEIVER is the consumer. */
typedef void asi_letter_fn(struct asi_letter *letter, void *receiver);

struct asi_letter {
    struct asi_letter *next; /* owned by the pusher, then by the mailbox, then by the taker */
    asi_letter_fn *deliver;  /* [const] while in a mailbox */
};

struct asi_mailbox {
    asi_atomic(struct asi_letter *)
            newest; /* LIFO chain, or one of the marks; the only shared word */
};

enum asi_push {
    ASI_PUSH_QUEUED, /* the consumer is awake, or another producer's wake is due */
    ASI_PUSH_WAKE,   /* the consumer sleeps: the caller must wake it now */
    ASI_PUSH_CLOSED  /* refused: the consumer is gone; the letter is still the caller's */
};

void asi_mailbox_init(struct asi_mailbox *mailbox);

/* Add LETTER (consumed unless closed). */
enum asi_push asi_mailbox_push(struct asi_mailbox *mailbox, struct asi_letter *letter);

/* Whether nothing waits to be taken: a hint, for a consumer that looks before it takes. */
static inline bool asi_mailbox_is_empty(struct asi_mailbox *mailbox)
{
    return !asi_load(&mailbox->newest, relaxed); /* M5: only compared; take_all synchronizes */
}

/* Take everything: a chain in FIFO order (owned by the caller), or NULL.  Ends a park. */
struct asi_letter *asi_mailbox_take_all(struct asi_mailbox *mailbox);

/* What was taken. */
struct asi_taken {
    struct asi_letter *first; /* as take_all returns it */
    struct asi_letter *last;
    size_t count;
    bool usual; /* all are delivered by the same function, the one that was asked about */
};

/*
 * The same, and say whether all are delivered by USUAL: then they can be handled as one.
 *
 * Long chains are written by one processor and read by another, and each letter tells only where
 * the next one is: to go along would cost a trip to memory for each.  So usual letters have,
 * HINT_AT bytes from their beginning, the address of one that their sender sent a few letters
 * before: it is fetched meanwhile.  What they have there afterwards is one that comes some letters
 * later, for whoever handles them.  It is fetched and never looked at: any odd address will do, a
 * letter's plus one.
 */
struct asi_taken asi_mailbox_take_usual(
        struct asi_mailbox *mailbox, asi_letter_fn *usual, size_t hint_at);

#define ASI_MAILBOX_NO_HINT ((void *)1)
enum { ASI_MAILBOX_AHEAD = 8 }; /* how many letters a hint is away: a power of two */

/* Say that the consumer is about to sleep.  Returns false, and it must not, when there are
 * letters. */
bool asi_mailbox_park(struct asi_mailbox *mailbox);

/* Refuse all further letters.  Returns false, and nothing changed, when there are letters to take.
 */
bool asi_mailbox_close(struct asi_mailbox *mailbox);

#endif
