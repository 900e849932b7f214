/* SPDX-License-Identifier: MIT */
/*
 * Futures: a result that is there, or will be.
 *
 * A future is done once, with a value or with an error, and stays so.  Any number of threads and
 * coroutines wait for it at once; each is woken once.  It is completed by the task it belongs to,
 * or by hand (anysync_future_new, _set, _fail).  It is reference-counted: every holder has a
 * reference, and a waiting call must hold one until it returns.
 *
 * Waiting and the outcome are two things.  anysync_future_wait() tells of the wait alone and
 * anysync_future_result() of the outcome alone; anysync_wait() is both in one, and
 * anysync_last_error()->origin then tells which of them failed.
 */
#ifndef ANYSYNC_FUTURE_H
#define ANYSYNC_FUTURE_H

#include <anysync/base.h>
#include <anysync/error.h>

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct anysync_future; /* opaque */

/*
 * Make a future that is completed by hand.
 *
 * result_size  bytes of its value; 0 for a future that only tells that something happened.
 * ret_future   owned by the caller: one reference.
 *
 * Returns  0, or -ENOMEM.
 * Thread   any.
 */
ANYSYNC_API int anysync_future_new(
        size_t result_size, struct anysync_future **ret_future) ANYSYNC_MUST_CHECK;

/* Take one more reference to FUTURE, and return it.  Any thread. */
ANYSYNC_API struct anysync_future *anysync_future_ref(struct anysync_future *future);

/*
 * Drop a reference (consumed).  A task whose future nobody holds any more runs on.  NULL is fine.
 * Returns NULL, so that f = anysync_future_unref(f) leaves nothing dangling.  Any thread.
 */
ANYSYNC_API struct anysync_future *anysync_future_unref(struct anysync_future *future);

/*
 * Complete FUTURE with a value, and wake all who wait.
 *
 * future  borrowed; made by anysync_future_new().  A waiter that learns of the result may drop the
 *         last reference before this call has returned.
 * value   result_size bytes, copied; NULL leaves the value all zero.
 *
 * Returns     0  done now.
 *     -EALREADY  it was done or cancelled before; nothing was changed.
 *   -EOWNERDEAD  it was pending when this process was forked off; nothing was changed.
 *        -EPERM  it belongs to a task.
 *
 * Thread  any, tasks and callbacks too.  Never blocks.
 * Order   all that came before the call happens before any wait for FUTURE returns.
 */
ANYSYNC_API int anysync_future_set(struct anysync_future *future, const void *value);

/*
 * Complete FUTURE with an error.  CODE is negative; FORMAT as printf gives the sentence, NULL takes
 * the code's general one.  Otherwise as anysync_future_set().
 */
ANYSYNC_API int anysync_future_fail(
        struct anysync_future *future, int code, const char *format, ...) ANYSYNC_PRINTF(3, 4);

/*
 * anysync_future_set() for signal handlers: the one call of this library that is async-signal-safe,
 * with two conditions: the handler does not hold the last reference, and the handler does not
 * interrupt another set or fail of the same future.
 */
ANYSYNC_API int anysync_future_set_from_signal(struct anysync_future *future, const void *value);

/* Whether FUTURE is done.  Any thread; never blocks.  Order: as a wait that returned 0, when true.
 */
ANYSYNC_API bool anysync_future_done(struct anysync_future *future);

/*
 * Wait until FUTURE is done or DEADLINE passes.
 *
 * future    borrowed; the caller keeps its reference.
 * deadline  absolute; ANYSYNC_POLL looks once, ANYSYNC_FOREVER never gives up.
 *
 * Returns     0  FUTURE is done; ask anysync_future_result() how it ended.
 *    -ETIMEDOUT  DEADLINE passed first.  FUTURE is untouched and still running.
 *    -ECANCELED  the waiting task was cancelled.  FUTURE is untouched and still running.
 *      -EDEADLK  called by a callback of a loop, which must not wait, and FUTURE is not done; or
 *                the wait could never end: FUTURE's task waits, perhaps by way of others or of a
 *                thread that is blocked, for the one that calls.  The sentence prints the cycle.
 *                Found for waits without an end: DEADLINE is ANYSYNC_FOREVER, and no scope of the
 *                caller has a deadline.  It may come while the call waits.
 *   -EOWNERDEAD  FUTURE was pending when this process was forked off: nothing will complete it
 *                here.
 *       -ENOMEM  no memory to wait with.  FUTURE is untouched.
 *
 * Thread   any, including tasks; any number of waiters at once.
 * Blocks   in a task: suspends the task.  Elsewhere: blocks the thread.
 * Cancel   cancellation point; nothing is lost when it ends early.
 * Order    all the task did happens before a return of 0.
 */
ANYSYNC_API int anysync_future_wait(
        struct anysync_future *future, anysync_time deadline) ANYSYNC_MUST_CHECK;

/*
 * How FUTURE ended.
 *
 * ret_result  filled with the value when the return is 0, untouched otherwise; NULL to leave it.
 *
 * Returns     0  with a value.
 *       -EAGAIN  not done yet: wait for it first.
 *   -EOWNERDEAD  pending when this process was forked off.
 *         other  the code it failed with; anysync_last_error() then has sentence and chain.
 *
 * Thread  any, any number of times.  Never blocks.
 */
ANYSYNC_API int anysync_future_result(struct anysync_future *future, void *ret_result);

/* Both in one: wait for FUTURE, then its result.  Returns the codes of both. */
ANYSYNC_API int anysync_wait(
        struct anysync_future *future, void *ret_result, anysync_time deadline) ANYSYNC_MUST_CHECK;

/*
 * Wait until one of several futures is done.
 *
 * futures    borrowed, COUNT of them; NULL entries are passed over.  Set an entry to NULL after it
 *            was returned and call again, to take them as they complete.
 * ret_index  which one: the first in the array of those that are done.
 *
 * Returns       0  futures[*ret_index] is done.
 *    ANYSYNC_DONE  there is nothing to wait for: all entries are NULL.
 *    -ETIMEDOUT, -ECANCELED, -EDEADLK, -EOWNERDEAD, -ENOMEM  as anysync_future_wait(); -EDEADLK
 *                  when each of them could never be done.
 *
 * Thread, Blocks, Cancel, Order  as anysync_future_wait().
 */
ANYSYNC_API int anysync_wait_any(struct anysync_future *const *futures, size_t count,
        anysync_time deadline, size_t *ret_index) ANYSYNC_MUST_CHECK;

/*
 * Wait until all of several futures are done, whether with values or with errors.  NULL entries are
 * passed over.  Returns, Thread, Blocks, Cancel, Order as anysync_future_wait().
 */
ANYSYNC_API int anysync_wait_all(struct anysync_future *const *futures, size_t count,
        anysync_time deadline) ANYSYNC_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
