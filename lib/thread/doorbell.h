/* SPDX-License-Identifier: MIT */
/*
 * Doorbell: waking the thread of a loop, wherever it sleeps: on a word, or in a poll of
 * descriptors.
 *
 * The mailbox decides whether a wake is due (ASI_PUSH_WAKE); the bell only carries it.  A ring
 * that comes late, when the loop woke for another reason, does no harm: at worst one turn with
 * nothing to do.  That is why the descriptor, once made, stays open as long as the process lives,
 * and why doorbells are part of recycled memory: a late ringer may still touch both.
 *
 *              | ring | ticket, sleep, use_* |   "-": may run at the same time
 *   ring       |  -   |          -           |   "X": the caller must keep them apart
 *   the others |  -   |          X           |        (they belong to the loop)
 *
 * Order  what came before ring happens before sleep returns true because of it.  (The loop does
 *        not need it: what it must see comes through the mailbox.)
 */
#ifndef ASI_THREAD_DOORBELL_H
#define ASI_THREAD_DOORBELL_H

#include "thread/atomic.h"

#include <anysync/base.h>

#include <stdbool.h>
#include <stdint.h>

struct asi_doorbell {
    asi_atomic(int) target;     /* the descriptor to write to; -1: the word */
    asi_atomic(uint32_t) rings; /* the word */
    int read_fd;                /* [loop] what the loop polls; -1 until first needed */
    int write_fd;               /* [loop] the same, for an eventfd */
};

void asi_doorbell_init(struct asi_doorbell *bell);

/* From any thread.  Async-signal-safe. */
void asi_doorbell_ring(struct asi_doorbell *bell);

/* Take a ticket before parking; then sleep until a ring after the ticket (true, also for no
 * reason) or DEADLINE (false). */
uint32_t asi_doorbell_ticket(struct asi_doorbell *bell);
bool asi_doorbell_sleep(struct asi_doorbell *bell, uint32_t ticket, anysync_time deadline);

/* From now on rings make a descriptor readable: returned, or -EMFILE, -ENFILE, -ENOMEM. */
int asi_doorbell_use_descriptor(struct asi_doorbell *bell);

/* From now on they change the word. */
void asi_doorbell_use_word(struct asi_doorbell *bell);

/* Whether the descriptor stays readable until it is read.  If not, never read it: an edge is
 * enough. */
bool asi_doorbell_is_level(const struct asi_doorbell *bell);
void asi_doorbell_drain(struct asi_doorbell *bell);

/* In a forked child: forget the parent's descriptors. */
void asi_doorbell_in_child(struct asi_doorbell *bell);

#endif
