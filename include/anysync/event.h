/* SPDX-License-Identifier: MIT */
/*
 * Events, semaphores and barriers that threads and coroutines share, and what is done once.
 *
 * One object serves both worlds: a coroutine that has to wait suspends, any other thread blocks,
 * and a callback of a loop can do neither (-EDEADLK), but may look with ANYSYNC_POLL, set and post.
 *
 * Nobody can tell who will set an event or post to a semaphore, so a wait that never ends is not
 * told as a deadlock: give it a deadline where that could happen.
 *
 * All waits return these besides their own:
 *        0  what was waited for has come.
 *   -ETIMEDOUT  DEADLINE passed first.
 *   -ECANCELED  the calling task was cancelled.
 *     -EDEADLK  called by a callback of a loop, and it would have to wait.
 *  -EOWNERDEAD  the object is of the process this one was forked from.
 *
 * Thread  any.
 * Blocks  in a coroutine: suspends.  Elsewhere: blocks the thread.
 * Cancel  cancellation point if there is something to wait for; nothing is lost.
 * Order   what came before the set, the post or the arrival happens before the return of a wait.
 */
#ifndef ANYSYNC_EVENT_H
#define ANYSYNC_EVENT_H

#include <anysync/base.h>

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- events -----------------------------------------------------------------------------------
 *
 * A state, set or not, that anybody may change and wait for. */

struct anysync_event; /* opaque; reference-counted */

/* Make an event, not set.  RET_EVENT is owned by the caller: anysync_event_unref() it.
 * Returns 0, or -ENOMEM.  Any thread. */
ANYSYNC_API int anysync_event_new(struct anysync_event **ret_event) ANYSYNC_MUST_CHECK;

/* Take one more reference to EVENT, and return it.  Any thread. */
ANYSYNC_API struct anysync_event *anysync_event_ref(struct anysync_event *event);

/* Drop a reference (consumed).  Nobody may wait when the last one goes.  NULL is fine.  Returns
 * NULL.  Any thread. */
ANYSYNC_API struct anysync_event *anysync_event_unref(struct anysync_event *event);

/* Set EVENT: all who wait go on, even if it is reset at once.  Any thread, callbacks too.  Never
 * blocks. */
ANYSYNC_API void anysync_event_set(struct anysync_event *event);

/* Reset EVENT: who waits from now on waits for the next set.  Any thread, callbacks too. */
ANYSYNC_API void anysync_event_reset(struct anysync_event *event);

/* Whether EVENT is set.  Any thread; a snapshot. */
ANYSYNC_API bool anysync_event_is_set(struct anysync_event *event);

/* Wait until EVENT (borrowed) is set.  Returns: see above. */
ANYSYNC_API int anysync_event_wait(
        struct anysync_event *event, anysync_time deadline) ANYSYNC_MUST_CHECK;

/* --- semaphores -------------------------------------------------------------------------------
 *
 * A count that anybody raises, and that waits lower.  Who lowers it need not raise it again: where
 * that is meant, a limiter (<anysync/offload.h>) also finds deadlocks. */

struct anysync_semaphore; /* opaque; reference-counted */

/* Make a semaphore with COUNT to begin with.  RET_SEMAPHORE is owned by the caller:
 * anysync_semaphore_unref() it.  Returns 0, or -ENOMEM.  Any thread. */
ANYSYNC_API int anysync_semaphore_new(
        size_t count, struct anysync_semaphore **ret_semaphore) ANYSYNC_MUST_CHECK;

/* Take one more reference to SEMAPHORE, and return it.  Any thread. */
ANYSYNC_API struct anysync_semaphore *anysync_semaphore_ref(struct anysync_semaphore *semaphore);

/* Drop a reference (consumed).  Nobody may wait when the last one goes.  NULL is fine.  Returns
 * NULL.  Any thread. */
ANYSYNC_API struct anysync_semaphore *anysync_semaphore_unref(struct anysync_semaphore *semaphore);

/* Raise the count of SEMAPHORE by COUNT: as many of those who wait go on, first come, first served.
 * Any thread, callbacks too.  Never blocks. */
ANYSYNC_API void anysync_semaphore_post(struct anysync_semaphore *semaphore, size_t count);

/* Lower the count of SEMAPHORE (borrowed) by one; wait while it is 0, or while others wait.  First
 * come, first served: nobody overtakes.  Returns: see above; after an error the count is as it
 * was. */
ANYSYNC_API int anysync_semaphore_wait(
        struct anysync_semaphore *semaphore, anysync_time deadline) ANYSYNC_MUST_CHECK;

/* The count of SEMAPHORE.  Any thread; a snapshot. */
ANYSYNC_API size_t anysync_semaphore_count(struct anysync_semaphore *semaphore);

/* --- barriers ---------------------------------------------------------------------------------
 *
 * Parties that meet, round after round: each waits until all have arrived. */

struct anysync_barrier; /* opaque; reference-counted */

/* Make a barrier for PARTIES (at least 1).  RET_BARRIER is owned by the caller:
 * anysync_barrier_unref() it.  Returns 0, -ENOMEM or -EINVAL.  Any thread. */
ANYSYNC_API int anysync_barrier_new(
        size_t parties, struct anysync_barrier **ret_barrier) ANYSYNC_MUST_CHECK;

/* Take one more reference to BARRIER, and return it.  Any thread. */
ANYSYNC_API struct anysync_barrier *anysync_barrier_ref(struct anysync_barrier *barrier);

/* Drop a reference (consumed).  Nobody may wait when the last one goes.  NULL is fine.  Returns
 * NULL.  Any thread. */
ANYSYNC_API struct anysync_barrier *anysync_barrier_unref(struct anysync_barrier *barrier);

/*
 * Arrive at BARRIER (borrowed), and wait for the others of this round.
 *
 * Returns ANYSYNC_DONE to the one that arrived last, 0 to the others; or as above.  Who gives up
 * has not arrived: the round goes on without it, and it may come again.
 */
ANYSYNC_API int anysync_barrier_wait(
        struct anysync_barrier *barrier, anysync_time deadline) ANYSYNC_MUST_CHECK;

/* --- once ------------------------------------------------------------------------------------- */

struct anysync_mutex;

/* Something that is to be done once.  All zero before the first use: a static one, or the member of
 * a struct, needs no other initialization.  Its fields are the library's. */
struct anysync_once {
    struct anysync_once_state *state;
};

/*
 * Call FUNCTION, unless a call of it for ONCE has returned 0 before; wait while another one is at
 * it.  If that fails, the next in line tries.
 *
 * function  may suspend in a coroutine, or block elsewhere.  What it returns is returned to its
 *           caller: 0, or a negative code.
 * argument  borrowed, for FUNCTION.
 *
 * Returns  0: it was done, here or before.  What FUNCTION returned, here.  -ENOMEM: nothing was
 *          done.  -EDEADLK besides: FUNCTION itself came here again.  -ENOTRECOVERABLE: the task or
 *          job that was at it ended without returning.
 * Thread, Blocks, Cancel  as anysync_mutex_lock(); DEADLINE is for the wait for another one.
 * Order    all that FUNCTION did happens before each return of 0.
 */
ANYSYNC_API int anysync_once_run(struct anysync_once *once, int (*function)(void *argument),
        void *argument, anysync_time deadline) ANYSYNC_MUST_CHECK;

/* Free what ONCE holds, when nobody uses it any more; then it is as it was before its first use.
 * Not needed for a static one. */
ANYSYNC_API void anysync_once_reset(struct anysync_once *once);

#ifdef __cplusplus
}
#endif

#endif
