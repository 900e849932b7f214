/* SPDX-License-Identifier: MIT */
/*
 * Callbacks of futures, and futures with a timer.  (What they promise: <anysync/callback.h>.)
 *
 * A callback waits in its future's cell as a waiter that never leaves.  The delivery does not call
 * it: it sends the callback, as a letter, to its loop, which calls it in its next turn.  So user
 * code runs neither inside the call that completes nor on the stack of a task.
 *
 * A timed future is one record of 192 bytes, with room for one callback of the same loop.  It has
 * a reference of its timer's, from being armed until the timer fires or is taken back.
 */
#ifndef ASI_SCHED_CALLBACK_H
#define ASI_SCHED_CALLBACK_H

#include "loop/timers.h"
#include "sched/future.h"
#include "thread/cell.h"
#include "thread/mailbox.h"
#include "thread/waiter.h"

#include <anysync/callback.h>

#include <stdbool.h>
#include <stdint.h>

struct asi_scheduler;

struct asi_callback {
    union {
        struct {
            struct asi_link link; /* in the future's cell */
            struct asi_waiter waiter;
        };
        struct asi_letter letter; /* before that, from a plain thread; and after the delivery */
    };
    anysync_done_fn *function;       /* [const] NULL: this one is not used */
    void *argument;                  /* [const] */
    struct anysync_future *future;   /* [const] a reference */
    struct asi_scheduler *scheduler; /* [const] once it is in the cell: where it is to run */
    uint32_t epoch;                  /* [const] likewise: as the scheduler's */
    bool inside;                     /* [const] it is that of a timed future */
};

struct asi_timed {
    struct anysync_future future; /* first */
    struct asi_timer timer;       /* [loop] */
    /* [loop] `scheduler` and `epoch` are the timer's loop, NULL if a plain thread made it: then the
     * letter is how it gets to its loop */
    struct asi_callback callback;
};

/* The same as the public calls, on the thread of the loop HERE, NULL on a plain thread: then *AWAY
 * is a letter that has to be sent to a loop, or be taken back by what follows. */
int asi_timed_new(struct asi_scheduler *here, anysync_time deadline, struct asi_timed **ret_timed,
        struct asi_letter **ret_away);
int asi_callback_new(struct asi_scheduler *here, struct anysync_future *future,
        anysync_done_fn *function, void *argument, struct asi_callback **ret_callback,
        struct asi_letter **ret_away);

/* The letter could not be sent: as if nothing had been made. */
void asi_timed_take_back(struct asi_timed *timed);
void asi_callback_take_back(struct asi_callback *callback);

/* FUTURE, a timed one, is about to be completed: take its timer back, if this is its loop.  Returns
 * whether the timer's reference is the caller's now. */
bool asi_timed_stop(struct anysync_future *future);

/* The last reference is gone. */
void asi_timed_free(struct anysync_future *future);

/* The loop has ended: what was to be done later fails now. */
void asi_timed_end_all(struct asi_scheduler *scheduler);

#endif
