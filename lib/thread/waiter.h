/* SPDX-License-Identifier: MIT */
/*
 * Waiter: somebody who waits for deliveries, a thread or (by a wake function) anything else.
 *
 * One word: bit 0 says that the waiter sleeps, the bits above count deliveries.
 *
 *                  | deliver | arm, disarm, sleep |   "-": may run at the same time
 *   deliver        |    -    |         -          |   "X": the caller must keep them apart
 *   the others     |    -    |         X          |        (they belong to the waiter)
 *
 * Progress  deliver is lock-free.
 * Order     what a deliverer did before deliver happens before a count() that includes it.
 * Memory    the deliverer's last access is its one read-modify-write, unless that ended a sleep:
 *           then the wake function runs after it, and the waiter must not leave before that wake
 *           arrived. A thread (no wake function) may: a futex wake touches no memory.
 */
#ifndef ASI_THREAD_WAITER_H
#define ASI_THREAD_WAITER_H

#include "thread/atomic.h"
#include "thread/spin.h"

#include <anysync/base.h>

#include <stdbool.h>
#include <stdint.h>

struct asi_waiter;

typedef void asi_waiter_wake_fn(struct asi_waiter *waiter);

struct asi_waiter {
    asi_atomic(uint32_t) word;
    asi_waiter_wake_fn *wake; /* [const] NULL: a thread that sleeps on `word` */
};

void asi_waiter_init(struct asi_waiter *waiter, asi_waiter_wake_fn *wake);

/* One delivery, from any thread.  Async-signal-safe if the wake function is. */
void asi_waiter_deliver(struct asi_waiter *waiter);

/*
 * From now until _give, the next wake of a sleeping thread by this one is held back: for a thread
 * that is about to end, and that the sleeper joins next.  One wake then does for both.  Only for
 * who runs no code of users and waits for nobody in between.
 */
void asi_waiter_hold_wake(void);
void asi_waiter_give_wake(void);

/* Deliveries so far. */
uint32_t asi_waiter_count(struct asi_waiter *waiter);

/* About to sleep until there are more than SEEN deliveries.  Returns false: there are already. */
bool asi_waiter_arm(struct asi_waiter *waiter, uint32_t seen);

/* Woken by something else.  Returns false: a delivery ended the sleep too, and its wake is on its
 * way. */
bool asi_waiter_disarm(struct asi_waiter *waiter);

/* Block this thread until there are more than SEEN deliveries (true) or DEADLINE passes (false). */
bool asi_waiter_sleep(struct asi_waiter *waiter, uint32_t seen, anysync_time deadline);

#endif
