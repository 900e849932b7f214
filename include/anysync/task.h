/* SPDX-License-Identifier: MIT */
/*
 * Tasks: running coroutine functions from anywhere.
 *
 * A coroutine function is described once by a struct anysync_function (<anysync/typed.h> writes it
 * for you) and run by one of these, which differ only in who waits and how:
 *
 *                      plain thread         coroutine on a worker      coroutine on a here-loop
 *   anysync_call       blocks, on worker    a plain call of the body   a plain call of the body
 *   anysync_run        blocks, on worker    blocks, a fresh thread     blocks, on worker
 *   anysync_run_here   blocks, own loop     -EDEADLK                   -EDEADLK
 *   anysync_await      -EPERM               suspends, a new task       suspends, a new task
 *   anysync_run_on     blocks, on the executor named; suspends a coroutine
 *   anysync_spawn      a new task and its future, at once; on this loop, or on the worker
 *
 * The table is for coroutine functions; <anysync/offload.h> has that for blocking ones, which all
 * of these take too.
 *
 * A loop's callback (libevent calling you on a loop's thread, outside a task) may spawn and
 * anysync_run; it cannot call (-EDEADLK) or await (-EPERM), because nothing there can suspend.
 *
 * ARGUMENTS AND RESULTS  The argument is copied into the task before the call goes on, and the
 *   result is copied out of it at the end.  A caller that gives up at its deadline can leave at
 *   once: nothing is ever written where it stood.
 *
 * DEADLINES  A call that runs a task ends it at the deadline: it cancels the task, waits until its
 *   clean-up has ended, but no longer than the executor's grace time, and returns -ETIMEDOUT.  A
 *   task that is not gone by then is left running and the sentence says "abandoned".  A value that
 *   arrived in the meantime is returned after all.
 *
 * THREADS  A coroutine never changes its thread.  It runs on a stack of the executor's size; a
 *   stack that overflows ends the process with a sentence that names the task.
 */
#ifndef ANYSYNC_TASK_H
#define ANYSYNC_TASK_H

#include <anysync/base.h>
#include <anysync/error.h>
#include <anysync/executor.h>
#include <anysync/future.h>

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * The body of a coroutine function.
 *
 * argument  the task's copy of the argument: the body may change it.
 * result    result_size bytes of the task, all zero at first; kept if the body returns 0.
 *
 * Returns  0, or a negative code (say why with anysync_fail()).
 */
typedef int anysync_body_fn(void *argument, void *result);

enum anysync_kind {
    ANYSYNC_KIND_COROUTINE, /* waits by the calls of this library: runs on a loop */
    ANYSYNC_KIND_BLOCKING   /* may block its thread: never runs on a loop's (<anysync/offload.h>) */
};

/* A function that this library can call.  Constant, and alive as long as any task of it. */
struct anysync_function {
    const char *name;      /* for messages */
    const char *file;      /* where it is defined, for messages */
    int line;              /* likewise */
    anysync_body_fn *body; /* what runs */
    size_t argument_size;  /* bytes copied from the caller; 0: none */
    size_t result_size;    /* bytes copied to the caller; 0: none */
    size_t stack_size;     /* bytes of stack it needs; 0: the executor's default */
    enum anysync_kind kind;
};

/* One, written without the typed front: FUNCTION is its name, BODY what runs. */
#define ANYSYNC_FUNCTION(function, body, argument_size, result_size)                               \
    {                                                                                              \
#function, __FILE__, __LINE__, body, argument_size, result_size, 0, ANYSYNC_KIND_COROUTINE \
    }

struct anysync_task; /* opaque: a task that can be started once */

/*
 * Call FUNCTION, whatever the world: a thread outside tasks blocks while the worker runs it; in a
 * coroutine its body is called in the same task, on the same stack, like any C function.  A
 * blocking function is called like any C function outside tasks, and in a coroutine offloaded, as
 * anysync_offload() without options does (<anysync/offload.h>).
 *
 * function    borrowed.
 * argument    argument_size bytes, copied; NULL when 0.
 * ret_result  result_size bytes, written when the return is 0, untouched otherwise; NULL to leave
 *             it.
 *
 * Returns       0  the body returned 0.
 *        -EDEADLK  called by a callback of a loop: spawn it instead.
 *      -ESHUTDOWN  the executor is stopping.
 *  -ENOMEM, -EAGAIN, -EMFILE  the system is out of something; nothing was started.
 *           other  what the body returned.
 *
 * Thread  any.
 * Blocks  a plain thread; in a coroutine, whenever the body suspends.
 * Cancel  in a coroutine: the body's suspension points.
 * Order   what came before the call happens before the body; the body happens before the return.
 */
ANYSYNC_API int anysync_call(const struct anysync_function *function, const void *argument,
        void *ret_result) ANYSYNC_MUST_CHECK;

/*
 * Run FUNCTION as a task, and block this thread for its result.  On a worker's thread, that of any
 * executor or of a nested call, a fresh thread runs it and is joined before the return (or see
 * enum anysync_nested).  The blocked worker serves nobody meanwhile: prefer anysync_await() there.
 *
 * deadline  see DEADLINES above; the others as anysync_call().
 *
 * Returns  as anysync_call(), and
 *     -ETIMEDOUT  DEADLINE passed; the task was cancelled and has ended, or was abandoned.
 *       -EDEADLK  nested, and the executor's option forbids it; or waiting could never end, as for
 *                 anysync_future_wait(): the task was cancelled, and the sentence prints the cycle.
 *
 * Thread  any.   Blocks  the thread.   Order  as anysync_call().
 */
ANYSYNC_API int anysync_run(const struct anysync_function *function, const void *argument,
        void *ret_result, anysync_time deadline) ANYSYNC_MUST_CHECK;

/*
 * Run FUNCTION on a loop of the calling thread: no other thread is involved.  When it ends, tasks
 * it left on that loop are cancelled and waited for, no longer than the grace time.
 *
 * Returns  as anysync_run(), and
 *       -EDEADLK  this thread runs a loop already.
 *
 * Thread  any without a loop.   Blocks  the thread, which runs the loop meanwhile.
 */
ANYSYNC_API int anysync_run_here(const struct anysync_function *function, const void *argument,
        void *ret_result, anysync_time deadline) ANYSYNC_MUST_CHECK;

/*
 * Run FUNCTION as a new task of this loop, and suspend this coroutine for its result.  The task is
 * this call's own: when the calling task is cancelled it is cancelled too, and has ended before
 * the return.
 *
 * Returns  as anysync_run(), and
 *     -ECANCELED  the calling task was cancelled (origin: the call), or the new one was.
 *         -EPERM  called outside a coroutine.
 *
 * Thread  a coroutine.   Blocks  suspends.   Cancel  cancellation point, see above.
 */
ANYSYNC_API int anysync_await(const struct anysync_function *function, const void *argument,
        void *ret_result, anysync_time deadline) ANYSYNC_MUST_CHECK;

/*
 * Run FUNCTION as a task of EXECUTOR (NULL: the global one), and wait for its result: a coroutine
 * suspends, any other thread blocks.  On EXECUTOR's own thread outside a coroutine: -EDEADLK.
 * Otherwise as anysync_run().
 */
ANYSYNC_API int anysync_run_on(struct anysync_executor *executor,
        const struct anysync_function *function, const void *argument, void *ret_result,
        anysync_time deadline) ANYSYNC_MUST_CHECK;

/*
 * Start FUNCTION as a task now, and get its future.  On the thread of a loop the task belongs to
 * that loop, and does not begin before the caller suspends or returns to the loop; elsewhere it
 * belongs to the global executor and begins at once.
 *
 * ret_future  owned by the caller: one reference.  NULL leaves the task on its own: its error, if
 *             it has one, goes to the error hook.
 *
 * Returns  0, or -ESHUTDOWN, -ENOMEM, -EAGAIN, -EMFILE: nothing was started.
 * Thread   any, callbacks too.   Blocks  never, except for the first start of the worker.
 */
ANYSYNC_API int anysync_spawn(const struct anysync_function *function, const void *argument,
        struct anysync_future **ret_future) ANYSYNC_MUST_CHECK;

/* anysync_spawn() on EXECUTOR; NULL means the global one. */
ANYSYNC_API int anysync_spawn_on(struct anysync_executor *executor,
        const struct anysync_function *function, const void *argument,
        struct anysync_future **ret_future) ANYSYNC_MUST_CHECK;

/* --- a task before it is started -------------------------------------------------------------- */

/*
 * Make a task and run nothing: the C form of a coroutine object.  It can be used once, by one of
 * the calls below; each later use is -EALREADY.
 *
 * name      for messages; copied; NULL takes the function's.
 * ret_task  owned by the caller: anysync_task_unref() it, used or not.
 *
 * Returns  0, or -ENOMEM.
 * Thread   any.
 */
ANYSYNC_API int anysync_task_new(const struct anysync_function *function, const void *argument,
        const char *name, struct anysync_task **ret_task) ANYSYNC_MUST_CHECK;

/* Drop the caller's reference (consumed).  NULL is fine.  Returns NULL.  Any thread. */
ANYSYNC_API struct anysync_task *anysync_task_unref(struct anysync_task *task);

/* As the calls of the same names above, with a task (borrowed) in the place of a function. */
ANYSYNC_API int anysync_task_run(
        struct anysync_task *task, void *ret_result, anysync_time deadline) ANYSYNC_MUST_CHECK;
ANYSYNC_API int anysync_task_run_here(
        struct anysync_task *task, void *ret_result, anysync_time deadline) ANYSYNC_MUST_CHECK;
ANYSYNC_API int anysync_task_await(
        struct anysync_task *task, void *ret_result, anysync_time deadline) ANYSYNC_MUST_CHECK;

/* As anysync_spawn() and anysync_spawn_on(), with a task (borrowed) in the place of a function. */
ANYSYNC_API int anysync_task_start(
        struct anysync_task *task, struct anysync_future **ret_future) ANYSYNC_MUST_CHECK;
ANYSYNC_API int anysync_task_start_on(struct anysync_executor *executor, struct anysync_task *task,
        struct anysync_future **ret_future) ANYSYNC_MUST_CHECK;

/* --- inside a task ---------------------------------------------------------------------------- */

/* Whether this code runs in a coroutine, so that waiting suspends.  Any thread; never blocks. */
ANYSYNC_API bool anysync_in_coroutine(void);

/* The name of the running task; NULL outside tasks.  Borrowed while the task runs. */
ANYSYNC_API const char *anysync_task_name(void);

/* How many tasks the calling thread's loop has started; 0 where there is none. */
ANYSYNC_API uint64_t anysync_tasks_started(void);

/*
 * Let the loop's other tasks run, then go on.  On a plain thread: gives up its time slice.
 *
 * Returns     0  went on.
 *    -ECANCELED  the task was cancelled.
 *      -EDEADLK  called by a callback of a loop.
 *
 * Cancel  cancellation point.
 */
ANYSYNC_API int anysync_yield(void) ANYSYNC_MUST_CHECK;

/*
 * Sleep until DEADLINE.  In a coroutine: suspends.  Elsewhere: blocks the thread.
 *
 * Returns     0  DEADLINE has come; never early.
 *    -ECANCELED  the task was cancelled.
 *      -EDEADLK  called by a callback of a loop.
 *
 * Cancel  cancellation point.
 */
ANYSYNC_API int anysync_sleep(anysync_time deadline) ANYSYNC_MUST_CHECK;

/*
 * End the running task here, from however deep in its calls, with STATUS (0 or a negative code)
 * and the result it has written so far.  The worker lives on.  Nothing of the task's stack is
 * unwound: like longjmp, it passes over cleanup attributes.  Outside a task: stops the program
 * with a sentence.
 */
ANYSYNC_API void anysync_exit(int status) __attribute__((noreturn));

#ifdef __cplusplus
}
#endif

#endif
