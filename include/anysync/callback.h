/* SPDX-License-Identifier: MIT */
/*
 * Futures without coroutines: one that is done at a time, and functions that are called when a
 * future is done.
 *
 * A coroutine that waits holds a stack, at least a page.  Who has a million things to wait for and
 * little to do for each needs neither:
 *
 *      static void on_due(struct anysync_future *future, void *session)
 *      {
 *          if (future && anysync_future_result(future, NULL) == 0)
 *              session_expires(session);                     // not if it was cancelled
 *      }
 *
 *      anysync_future_at(anysync_in_seconds(30), &session->expiry);
 *      anysync_future_on_done(session->expiry, on_due, session);
 *      ...
 *      anysync_cancel(session->expiry);                      // calls on_due, with -ECANCELED
 *
 * The two together take 192 bytes.  Any other future may have callbacks too: a task's, one that is
 * completed by hand.
 *
 * CALLBACKS run on the thread of a loop, on the loop's own stack, between its tasks, never inside
 *   any call of this library: not the one that registers, and not the one that completes the
 *   future.  They may call what never blocks: look at the result, complete other futures, spawn,
 *   cancel, register more.  A call that would wait says -EDEADLK; to wait, spawn a coroutine.  A
 *   callback that takes long holds up all that is on its loop.
 *
 * FORK  In a child made by fork() neither the inherited timers go off nor inherited callbacks are
 *   called.
 */
#ifndef ANYSYNC_CALLBACK_H
#define ANYSYNC_CALLBACK_H

#include <anysync/base.h>
#include <anysync/future.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Make a future that is done, without a value, at DEADLINE; never early.
 *
 * deadline    absolute.  One that has passed: done in the loop's next turn.  ANYSYNC_FOREVER: it
 *             is done only by hand.
 * ret_future  owned by the caller: one reference.  Dropping it changes nothing: callbacks are
 *             called all the same.
 *
 * It may be completed before, by anysync_future_set(), _fail() or anysync_cancel().  On the loop
 * that made it that takes the timer back at once; elsewhere the timer and its memory stay until
 * DEADLINE.  If its loop ends before DEADLINE, the future fails with -ECANCELED.
 *
 * Returns   0  made.
 *     -ENOMEM  no memory.
 *  -ESHUTDOWN, -EAGAIN, -EMFILE  called on a plain thread, and the global executor does not run
 *                                and cannot be started.
 * -EOWNERDEAD  called in a task of a loop that this process was forked off from.
 *
 * Thread  any.  On the thread of a loop it belongs to that loop; elsewhere to the global executor.
 *         Never blocks, except for the first start of the worker.
 */
ANYSYNC_API int anysync_future_at(
        anysync_time deadline, struct anysync_future **ret_future) ANYSYNC_MUST_CHECK;

/*
 * What is called when a future is done.
 *
 * future    done: ask anysync_future_result() how.  Borrowed for the call.  NULL: the loop on which
 *           this was to run has ended; free ARGUMENT, and do nothing else.  Then this is called on
 *           the thread that completed the future, or on that of a later loop.
 * argument  as given to anysync_future_on_done().
 */
typedef void anysync_done_fn(struct anysync_future *future, void *argument);

/*
 * Have FUNCTION called once, when FUTURE is done, or in the loop's next turn if it is done already.
 *
 * future    borrowed; the callback keeps a reference of its own until it has been called.  One that
 *           nobody ever completes keeps its callbacks for ever.
 * function  what is called: on the loop of the calling thread; from a plain thread, on that of the
 *           global executor.
 * argument  borrowed until then.
 *
 * Returns   0  it will be called.
 *     -ENOMEM  no memory.
 * -EOWNERDEAD  FUTURE was pending when this process was forked off, or as for anysync_future_at().
 *  -ESHUTDOWN, -EAGAIN, -EMFILE  as for anysync_future_at().
 *
 * Thread  any, tasks and callbacks too; any number of callbacks for a future, in no promised order.
 *         Never blocks, except for the first start of the worker.
 * Cancel  a callback cannot be taken back; cancelling the future calls it.
 * Order   all that came before the completion happens before the call of FUNCTION.
 */
ANYSYNC_API int anysync_future_on_done(struct anysync_future *future, anysync_done_fn *function,
        void *argument) ANYSYNC_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
