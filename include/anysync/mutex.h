/* SPDX-License-Identifier: MIT */
/*
 * Mutexes and conditions that threads and coroutines share.
 *
 *      ANYSYNC_LOCKED(account->mutex, &error)
 *      {
 *          while (account->balance < sum && !error)
 *              error = anysync_condition_wait(account->grew, account->mutex, deadline);
 *          if (!error)
 *              account->balance -= sum;
 *      }
 *
 * One object serves both worlds: a coroutine that has to wait suspends, and its loop goes on; any
 * other thread blocks; a callback of a loop can do neither (-EDEADLK), but may lock with
 * ANYSYNC_POLL.  A coroutine may hold a mutex while it suspends: that is what it is for.
 *
 * FAIRNESS  First come, first served, threads and coroutines in one line: an unlock hands the mutex
 *   to who has waited longest, and nobody overtakes.  So a thread that unlocks and locks again goes
 *   to the end of the line; keep what is done under a mutex short.
 *
 * OWNERS  The holder is a task, a job, or a thread, and nobody else unlocks.  A holder that locks
 *   again is told (-EDEADLK), and so is who closes a cycle of tasks that wait for one another, by
 *   mutexes or in any other way.  A task or a job that ends without unlocking (anysync_exit(), an
 *   early return) leaves a mutex that nobody gets any more (-ENOTRECOVERABLE, with its name):
 *   what the mutex guards may be half done.  So does one that is abandoned by its loop.
 *
 * PTHREAD MUTEXES  are for code that does not suspend: a coroutine that holds one while it does
 *   blocks its whole loop as soon as another one wants it.  A debug build of the library (make
 *   DEBUG=1) says who does that, and where it was locked: see docs/tools.md.
 *
 * FORK  In a child made by fork() a mutex or condition of the parent says -EOWNERDEAD.
 */
#ifndef ANYSYNC_MUTEX_H
#define ANYSYNC_MUTEX_H

#include <anysync/base.h>

#ifdef __cplusplus
extern "C" {
#endif

struct anysync_mutex;     /* opaque; reference-counted */
struct anysync_condition; /* opaque; reference-counted */

/*
 * Make a mutex, which nobody holds.
 *
 * ret_mutex  owned by the caller: anysync_mutex_unref() it.
 *
 * Returns  0, or -ENOMEM.
 * Thread   any.
 */
ANYSYNC_API int anysync_mutex_new(struct anysync_mutex **ret_mutex) ANYSYNC_MUST_CHECK;

/* Take one more reference to MUTEX, and return it.  Any thread. */
ANYSYNC_API struct anysync_mutex *anysync_mutex_ref(struct anysync_mutex *mutex);

/* Drop a reference (consumed).  Nobody may hold or want it when the last one goes.  NULL is fine.
 * Returns NULL.  Any thread. */
ANYSYNC_API struct anysync_mutex *anysync_mutex_unref(struct anysync_mutex *mutex);

/*
 * Lock MUTEX (borrowed); anysync_mutex_unlock() it.
 *
 * deadline  absolute; ANYSYNC_POLL: only if nobody holds it.
 *
 * Returns         0  the caller holds it.
 *        -ETIMEDOUT  DEADLINE passed first.
 *        -ECANCELED  the calling task was cancelled.
 *          -EDEADLK  the caller holds it already; or the holder waits, in the end, for the caller
 *                    (the sentence names the cycle); or called by a callback of a loop, and it
 *                    would have to wait.
 *  -ENOTRECOVERABLE  a task or job ended while it held it.
 *       -EOWNERDEAD  the mutex is of the process this one was forked from.
 *
 * Thread  any.
 * Blocks  in a coroutine: suspends.  Elsewhere: blocks the thread.
 * Cancel  cancellation point if it has to wait; nothing is lost.
 * Order   all that was done before the unlock happens before the return.
 */
ANYSYNC_API int anysync_mutex_lock(
        struct anysync_mutex *mutex, anysync_time deadline) ANYSYNC_MUST_CHECK;

/* Unlock MUTEX, which the caller holds: the next in line has it.  To unlock what one does not hold
 * is a bug, and ends the process with a sentence.  The holder, on its thread.  Never blocks, and no
 * other task runs meanwhile. */
ANYSYNC_API void anysync_mutex_unlock(struct anysync_mutex *mutex);

/*
 * A block that holds MUTEX.  ERROR (int *): when it cannot be locked (it waits as long as it
 * takes), *ERROR says why, and the block does not run; else it is 0 at the beginning of the block.
 * break, return and goto unlock too.
 */
#define ANYSYNC_LOCKED(mutex, error)                                                               \
    ASI_LOCKED_NAMED(ASI_UNIQUE(asi_held), ASI_UNIQUE(asi_once), mutex, error)

/* --- conditions ------------------------------------------------------------------------------- */

/*
 * Make a condition.
 *
 * ret_condition  owned by the caller: anysync_condition_unref() it.
 *
 * Returns  0, or -ENOMEM.
 * Thread   any.
 */
ANYSYNC_API int anysync_condition_new(struct anysync_condition **ret_condition) ANYSYNC_MUST_CHECK;

/* Take one more reference to CONDITION, and return it.  Any thread. */
ANYSYNC_API struct anysync_condition *anysync_condition_ref(struct anysync_condition *condition);

/* Drop a reference (consumed).  Nobody may wait when the last one goes.  NULL is fine.  Returns
 * NULL.  Any thread. */
ANYSYNC_API struct anysync_condition *anysync_condition_unref(struct anysync_condition *condition);

/*
 * Unlock MUTEX, wait for a signal, lock MUTEX again.  Between the unlock and the beginning of the
 * wait no signal is missed.  It never returns without a signal (nobody is woken for nothing), but
 * others may have been there before it: look again at what you wait for.
 *
 * condition, mutex  borrowed; the caller holds MUTEX.
 * deadline          absolute, of the wait for the signal; to lock again takes as long as it takes.
 *
 * Returns         0  a signal was meant for the caller.
 *        -ETIMEDOUT  DEADLINE passed first.
 *        -ECANCELED  the calling task was cancelled.
 *          -EDEADLK  called by a callback of a loop.
 *       -EOWNERDEAD  of the process this one was forked from.
 *  -ENOTRECOVERABLE  the caller does not hold MUTEX any more: see anysync_mutex_lock().
 *
 * The caller holds MUTEX after all returns but the last.
 *
 * Thread  any.
 * Blocks  as anysync_mutex_lock().
 * Cancel  cancellation point; a signal that was given to who is cancelled counts: 0.
 */
ANYSYNC_API int anysync_condition_wait(struct anysync_condition *condition,
        struct anysync_mutex *mutex, anysync_time deadline) ANYSYNC_MUST_CHECK;

/* Wake who has waited longest; nobody waits: nothing happens.  Best called with the mutex held.
 * Any thread, callbacks too.  Never blocks. */
ANYSYNC_API void anysync_condition_signal(struct anysync_condition *condition);

/* Wake all who wait now.  Any thread, callbacks too.  Never blocks. */
ANYSYNC_API void anysync_condition_broadcast(struct anysync_condition *condition);

/* --- the rest is how -------------------------------------------------------------------------- */

static inline struct anysync_mutex *asi_locked_begin(struct anysync_mutex *mutex, int *error)
{
    *error = anysync_mutex_lock(mutex, ANYSYNC_FOREVER);
    return *error ? (struct anysync_mutex *)0 : mutex;
}

static inline void asi_locked_end(struct anysync_mutex **mutex)
{
    if (*mutex)
        anysync_mutex_unlock(*mutex);
}

#define ASI_LOCKED_NAMED(held, once, mutex, error)                                                 \
    for (struct anysync_mutex * held                                                               \
                    __attribute__((cleanup(asi_locked_end))) = asi_locked_begin(mutex, error),     \
                    *once = held;                                                                  \
            once; once = (struct anysync_mutex *)0)

#ifdef __cplusplus
}
#endif

#endif
