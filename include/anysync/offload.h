/* SPDX-License-Identifier: MIT */
/*
 * Offload: blocking functions on threads of their own, and the way back to the loop.
 *
 * A *blocking function* may block its thread: it reads files, computes for long, calls a library
 * that knows nothing of loops.  It is described like a coroutine function, with the kind
 * ANYSYNC_KIND_BLOCKING (<anysync/blocking.h> writes it for you), and never runs on a loop's
 * thread.  A *job* is one run of it on a thread of a pool:
 *
 *                      plain thread         pool thread, in a job     coroutine
 *   anysync_call       a plain call         a plain call              a job; suspends
 *   anysync_run        a job; blocks        a job; blocks             a job; blocks the loop
 *   anysync_run_here   a plain call         a plain call              -EDEADLK
 *   anysync_await      -EPERM               -EPERM                    a job; suspends
 *   anysync_run_on     a job; blocks        a job; blocks             a job; suspends
 *   anysync_spawn      a job and its future, at once, everywhere
 *   anysync_offload    a job; blocks        a job; blocks             a job; suspends
 *
 * The option nested of an executor is for anysync_run of a blocking function too.  A job has values
 * of context variables like a task, which start with its caller's, and an error of its own.
 *
 * HOW MANY  A job needs a token of a limiter; without options it is anysync_default_limiter(), with
 *   40.  Jobs that get none wait in order of their arrival, and take no thread meanwhile.  A job
 *   that waits in a call of this library gives its token to others and takes one again afterwards,
 *   before all newcomers: so jobs that wait for jobs do not lock each other out.  Where no token
 *   comes back for 20 ms it goes on with one too many (docs/decisions/0023).
 *
 * CANCEL  A job that has not begun never does.  One that runs is asked: anysync_check_cancelled()
 *   tells it, and to end is up to it.  Nothing interrupts it, but for a task it waits
 *   for by anysync_run_back(): that is cancelled with it.  Who waits for a job by anysync_call,
 *   anysync_await or anysync_offload, and is cancelled or comes to its deadline, asks the job and
 *   waits for its end, or with the option abandon leaves it alone at once.  anysync_run and
 *   anysync_run_on wait for the end no longer than the executor's grace time.
 *
 * MEMORY  Argument and result are the job's own copies.  Nothing is ever written where a caller
 *   stood that has left.
 */
#ifndef ANYSYNC_OFFLOAD_H
#define ANYSYNC_OFFLOAD_H

#include <anysync/base.h>
#include <anysync/task.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct anysync_limiter; /* opaque; reference-counted */
struct anysync_pool;    /* opaque; reference-counted */

/* How a job is to run.  All zero is the default of everything. */
struct anysync_offload_options {
    struct anysync_limiter *limiter; /* borrowed; the job takes a reference; NULL: the default */
    struct anysync_pool *pool;       /* likewise; NULL: the common one */
    bool abandon; /* who waits leaves at once when it is cancelled or its time is over; the job runs
                     on, with memory of its own */
    /* called once with the job's value if nobody took it, when the job has ended and its last
     * reference goes, on whatever thread; it must not block; NULL: nothing to do */
    void (*drop)(void *result);
};

/*
 * Run FUNCTION as a job, and wait for its result.
 *
 * function    borrowed; its kind is ANYSYNC_KIND_BLOCKING.
 * argument    argument_size bytes, copied; NULL when 0.
 * ret_result  result_size bytes, written when the return is 0, untouched otherwise; NULL to leave
 *             it (then the option drop gets the value).
 * options     borrowed for the call; NULL: all defaults.
 * deadline    of the wait, for a token too; what then becomes of the job: see CANCEL above.
 *
 * Returns       0  the body returned 0, perhaps after the deadline or a cancel.
 *      -ETIMEDOUT  DEADLINE passed; the job never began, has ended, or was abandoned.
 *      -ECANCELED  the calling task was cancelled (origin: the call), or the job was.
 *        -EDEADLK  called by a callback of a loop: anysync_offload_start() there.
 *         -EINVAL  FUNCTION is a coroutine function: anysync_call() or anysync_run() it.
 *         -EAGAIN  the system has no thread left, and no thread of the pool is there to wait for.
 *         -ENOMEM  nothing was started.
 *           other  what the body returned.
 *
 * Thread  any.
 * Blocks  a thread; suspends a coroutine.
 * Cancel  cancellation point; a value that arrived is returned all the same.
 * Order   what came before the call happens before the body; the body happens before the return.
 */
ANYSYNC_API int anysync_offload(const struct anysync_function *function, const void *argument,
        void *ret_result, const struct anysync_offload_options *options,
        anysync_time deadline) ANYSYNC_MUST_CHECK;

/*
 * Start FUNCTION as a job now, and get its future.
 *
 * ret_future  owned by the caller: one reference.  NULL leaves the job on its own.
 *
 * Returns  0, or -EINVAL, -EAGAIN, -ENOMEM as anysync_offload(): nothing was started.
 * Thread   any, callbacks too.   Blocks  never, but for the start of a thread.
 */
ANYSYNC_API int anysync_offload_start(const struct anysync_function *function, const void *argument,
        const struct anysync_offload_options *options,
        struct anysync_future **ret_future) ANYSYNC_MUST_CHECK;

/* --- the way back ----------------------------------------------------------------------------- */

/*
 * In a job: run the coroutine function FUNCTION as a task of the loop the job came from, on that
 * loop's thread, and wait for its result.  A job started by a job comes from the same loop.
 *
 * deadline  when it passes the task is cancelled, and waited for one second at most.
 *
 * Returns  as anysync_run(), and
 *          -EPERM  outside a job, or in one that no loop started: anysync_run(), anysync_run_on()
 *                  or anysync_run_back_or_here() do it.
 *      -ESHUTDOWN  that loop has ended, or is being cancelled.  The task never ran.
 *        -EDEADLK  that loop is blocked: it waits for this job by anysync_run().
 *         -EINVAL  FUNCTION is blocking: just call it.
 *     -EOWNERDEAD  the job called fork(), and this is the child.
 *
 * Thread  that of a job.   Blocks  the thread, whose token goes to others meanwhile.
 * Order   as anysync_call(), in both directions.
 */
ANYSYNC_API int anysync_run_back(const struct anysync_function *function, const void *argument,
        void *ret_result, anysync_time deadline) ANYSYNC_MUST_CHECK;

/* anysync_run_back() where there is a loop to go back to, anysync_run_here() where there is none
 * (where anysync_run_back() says -EPERM). */
ANYSYNC_API int anysync_run_back_or_here(const struct anysync_function *function,
        const void *argument, void *ret_result, anysync_time deadline) ANYSYNC_MUST_CHECK;

/* --- limiters ---------------------------------------------------------------------------------
 *
 * Tokens that jobs, tasks and threads borrow.  Where a limiter is asked for, NULL means the default
 * one.  Waiting is first come, first served, all kinds in one line; a task or thread that gives up
 * loses nothing, and a token that was just given to it goes to the next.  Who acquires a token
 * releases it.  (Another may do so; but until that has happened once, waits of tasks that hold
 * tokens are judged as if nobody did, and may be told -EDEADLK.)  In a child of fork() all tokens
 * are back. */

struct anysync_limiter_figures {
    size_t total;    /* tokens there are */
    size_t borrowed; /* in use; more than total after it was lowered, or see HOW MANY above */
    size_t waiting;  /* jobs, tasks and threads in line */
};

/*
 * Make a limiter.
 *
 * total        tokens; at least 1.
 * ret_limiter  owned by the caller: anysync_limiter_unref() it.  Jobs keep it alive.
 *
 * Returns  0, -ENOMEM, or -EINVAL.
 * Thread   any.
 */
ANYSYNC_API int anysync_limiter_new(
        size_t total, struct anysync_limiter **ret_limiter) ANYSYNC_MUST_CHECK;

/* Take one more reference to LIMITER, and return it.  Any thread. */
ANYSYNC_API struct anysync_limiter *anysync_limiter_ref(struct anysync_limiter *limiter);

/* Drop a reference (consumed).  NULL is fine.  Returns NULL.  Any thread. */
ANYSYNC_API struct anysync_limiter *anysync_limiter_unref(struct anysync_limiter *limiter);

/* The one for jobs without options: 40 tokens, or what anysync_limiter_set_total() says.  It needs
 * no reference.  Any thread. */
ANYSYNC_API struct anysync_limiter *anysync_default_limiter(void);

/*
 * Acquire a token of LIMITER (borrowed); anysync_limiter_release() it.
 *
 * Returns     0  acquired.
 *    -ETIMEDOUT  DEADLINE passed first.
 *    -ECANCELED  the calling task was cancelled.
 *      -EDEADLK  called by a callback of a loop, and there is none left.
 *
 * Thread  any, tasks too.   Blocks  the thread, or suspends.   Cancel  cancellation point.
 * Order   what came before the release of the token happens before the return.
 */
ANYSYNC_API int anysync_limiter_acquire(
        struct anysync_limiter *limiter, anysync_time deadline) ANYSYNC_MUST_CHECK;

/* The same without waiting: 0, or -EAGAIN when there is none or others wait.  Any thread. */
ANYSYNC_API int anysync_limiter_try_acquire(struct anysync_limiter *limiter) ANYSYNC_MUST_CHECK;

/* Give a token back: it goes to the next in line.  Any thread.  Never blocks, but for the start of
 * a thread. */
ANYSYNC_API void anysync_limiter_release(struct anysync_limiter *limiter);

/* Have TOTAL tokens (at least 1) from now on.  More serve those who wait at once; fewer take none
 * away from who has one.  Returns 0, or -EINVAL.  Any thread.  Never blocks, but for the start of
 * threads. */
ANYSYNC_API int anysync_limiter_set_total(struct anysync_limiter *limiter, size_t total);

/* Write LIMITER's figures of this moment to RET_FIGURES.  Any thread. */
ANYSYNC_API void anysync_limiter_stats(
        struct anysync_limiter *limiter, struct anysync_limiter_figures *ret_figures);

/* --- pools ------------------------------------------------------------------------------------
 *
 * Threads for jobs.  They start when there is no idle one, the one used last is used first, and an
 * idle one ends after a while.  A pool has no limit of its own: limiters are for that.  Threads are
 * daemons: a process that returns from main ends, whatever its jobs do. */

struct anysync_pool_options {
    const char *name; /* of its threads; copied, 15 bytes; NULL: "anysync-pool" */
    int64_t idle_ns;  /* how long a thread waits for work before it ends; 0: ten seconds */
};

struct anysync_pool_figures {
    unsigned threads; /* there are now */
    unsigned idle;    /* of them */
};

/*
 * Make a pool, to keep jobs of one kind from the threads of another.
 *
 * options   borrowed for the call; NULL: all defaults.
 * ret_pool  owned by the caller: anysync_pool_unref() it.  Jobs keep it alive.
 *
 * Returns  0, -ENOMEM, or -EINVAL: idle_ns is negative.
 * Thread   any.
 */
ANYSYNC_API int anysync_pool_new(const struct anysync_pool_options *options,
        struct anysync_pool **ret_pool) ANYSYNC_MUST_CHECK;

/* Drop the reference (consumed); its threads end when its jobs have.  NULL is fine.  Returns NULL.
 * Any thread. */
ANYSYNC_API struct anysync_pool *anysync_pool_unref(struct anysync_pool *pool);

/* Write POOL's figures (NULL: the common one's) to RET_FIGURES.  Any thread. */
ANYSYNC_API void anysync_pool_stats(
        struct anysync_pool *pool, struct anysync_pool_figures *ret_figures);

#ifdef __cplusplus
}
#endif

#endif
