/* SPDX-License-Identifier: MIT */
/*
 * Cancelling: tasks, scopes, shields.
 *
 * A cancel asks.  Who is asked hears -ECANCELED from the wait it is in, and from each later wait,
 * until what was cancelled is over: for a task that is its end, for a scope the end of the scope.
 * Nothing interrupts code between two waits, and a value that has arrived is not lost to a cancel.
 *
 * A scope limits a stretch of code, with a deadline, by hand, or both:
 *
 *      struct anysync_scope scope;
 *
 *      anysync_scope_enter(&scope, anysync_in_ms(50));
 *      error = fetch(&page, url);
 *      error = anysync_scope_exit(&scope, error);      -ETIMEDOUT if the scope cut it short
 *
 * or as a block, that may be left in any way:
 *
 *      ANYSYNC_SCOPE(&error, anysync_in_ms(50))
 *      {
 *          error = fetch(&page, url);
 *      }
 *
 * Scopes nest.  The nearest deadline counts; that of an inner scope does not touch the outer one.
 * A shield is a scope whose outside is not heard within: no cancel of the task, no deadline around
 * it, only its own.  Clean-up that has to wait goes into a shield with a deadline.
 *
 * A scope belongs to the task, or the thread outside tasks, that entered it, and is exited by it,
 * in reverse order.  A coroutine function called by its name is in its caller's scopes; a new task
 * is in none, but who awaits one within a scope ends it when the scope is cut.  A body that returns
 * within a scope it entered stops the program with a sentence; anysync_exit() leaves them all.
 * On a plain thread a scope's deadline ends the waits within.
 */
#ifndef ANYSYNC_CANCEL_H
#define ANYSYNC_CANCEL_H

#include <anysync/base.h>

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct anysync_future;

/* A stretch of code that can be cancelled.  Storage of the caller, alive from enter to exit. */
struct anysync_scope {
    void *asi_private[14];
};

/*
 * Ask the task behind FUTURE to end.  From now on each of its suspension points returns -ECANCELED,
 * but within a shield; a task that did not begin yet never does.  A blocking function that runs is
 * asked: it sees anysync_check_cancelled().  A future made by hand fails with -ECANCELED at once.
 *
 * reason  a literal (kept as a pointer) that says why, for error sentences; NULL: none.
 *
 * Returns       0  asked; wait for FUTURE to see how it ends.
 *    ANYSYNC_DONE  it had finished; nothing was changed.
 *     -EOWNERDEAD  it belongs to the process this one was forked from.
 *
 * Thread  any, callbacks too.  Never blocks.
 */
ANYSYNC_API int anysync_cancel_because(struct anysync_future *future, const char *reason);

/* anysync_cancel_because() without a reason. */
ANYSYNC_API int anysync_cancel(struct anysync_future *future);

/*
 * Enter SCOPE, cut at DEADLINE (ANYSYNC_FOREVER: never by time).
 * Thread  any but a callback of a loop.   Blocks  never; not a cancellation point.
 */
ANYSYNC_API void anysync_scope_enter(struct anysync_scope *scope, anysync_time deadline);

/* Enter SCOPE as a shield: cancels and deadlines from outside are heard after it.  Otherwise as
 * anysync_scope_enter(). */
ANYSYNC_API void anysync_shield_enter(struct anysync_scope *scope, anysync_time deadline);

/*
 * Leave SCOPE, the innermost.
 *
 * error  how the code in it ended: 0 or a code.
 *
 * Returns  ERROR, but for an -ECANCELED of this scope's own making:
 *    -ETIMEDOUT  its deadline cut the code short.
 *    -ECANCELED  anysync_scope_cancel() did, or something around it; the sentence has the reason.
 *                After the scope anysync_check_cancelled() tells whether something around it did.
 *                A shield answers for itself alone.
 *
 * Thread  the one that entered.   Blocks  never.
 */
ANYSYNC_API int anysync_scope_exit(struct anysync_scope *scope, int error);

/*
 * Cancel what runs in SCOPE.
 *
 * reason  as for anysync_cancel_because().
 * Thread  that of the loop the scope's task runs on, tasks and callbacks; outside tasks the thread
 *         that entered it.  From elsewhere: anysync_run_on(), or cancel the task.
 */
ANYSYNC_API void anysync_scope_cancel(struct anysync_scope *scope, const char *reason);

/* Whether SCOPE was cut, by time or by hand; also after its exit.  Thread as for cancel. */
ANYSYNC_API bool anysync_scope_cancelled(const struct anysync_scope *scope);

/*
 * Whether the calling task, job or thread is cancelled here, where it is.
 *
 * Returns     0  no.
 *    -ECANCELED  yes: each wait will say so.  In a blocking function that was offloaded: who waits
 *                for it, or its future, was cancelled; its own waits go on (but for what it waits
 *                for by anysync_run_back(), which is cancelled too), and to end is up to it.
 *
 * Thread  any.   Blocks  never; does not suspend.
 */
ANYSYNC_API int anysync_check_cancelled(void);

/* Why, if a reason was given: of the innermost cancel that is heard here.  NULL otherwise.  Any
 * thread. */
ANYSYNC_API const char *anysync_cancel_reason(void);

/* The nearest deadline of the scopes around this code, up to the next shield; ANYSYNC_FOREVER when
 * there is none.  Any thread. */
ANYSYNC_API anysync_time anysync_scope_deadline(void);

/* A block that is a scope.  ERROR (int *, may be NULL): at the end *ERROR becomes what
 * anysync_scope_exit() makes of it.  break, return and goto leave the scope too. */
#define ANYSYNC_SCOPE(error, deadline) ASI_SCOPE_BLOCK(anysync_scope_enter, error, deadline)

/* A block that is a shield. */
#define ANYSYNC_SHIELD(error, deadline) ASI_SCOPE_BLOCK(anysync_shield_enter, error, deadline)

/* --- the rest is how -------------------------------------------------------------------------- */

struct asi_scope_block {
    struct anysync_scope scope;
    int *error;
};

static inline struct asi_scope_block *asi_scope_block_begin(struct asi_scope_block *block,
        void (*enter)(struct anysync_scope *scope, anysync_time deadline), int *error,
        anysync_time deadline)
{
    block->error = error;
    enter(&block->scope, deadline);
    return block;
}

static inline void asi_scope_block_end(struct asi_scope_block *block)
{
    int status = anysync_scope_exit(&block->scope, block->error ? *block->error : 0);

    if (block->error)
        *block->error = status;
}

#define ASI_SCOPE_BLOCK(enter, error, deadline)                                                    \
    ASI_SCOPE_NAMED(ASI_UNIQUE(asi_block), ASI_UNIQUE(asi_once), enter, error, deadline)
#define ASI_SCOPE_NAMED(block, once, enter, error, deadline)                                       \
    for (struct asi_scope_block block __attribute__((cleanup(asi_scope_block_end))),               \
            *once = asi_scope_block_begin(&block, enter, error, deadline);                         \
            once; once = NULL)

#ifdef __cplusplus
}
#endif

#endif
