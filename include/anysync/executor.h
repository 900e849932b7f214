/* SPDX-License-Identifier: MIT */
/*
 * Executors: one worker thread, one event loop, one mailbox.
 *
 * The global executor needs no handle: wherever an executor is asked for, NULL means it, and its
 * worker starts on first use, once, however many threads race for it.  A program that wants work
 * kept apart makes executors of its own; they start their workers the same lazy way.
 *
 * LIFE  A worker is a daemon: a process that returns from main ends, whatever its tasks do.
 *   anysync_executor_shutdown() ends one in order; from then on it refuses work with -ESHUTDOWN,
 *   until anysync_executor_start() starts it again.  In a child made by fork() nothing of the
 *   parent runs: first use starts a fresh worker there, and futures inherited pending fail with
 *   -EOWNERDEAD.
 *
 * MEMORY  A suspended coroutine holds the pages its stack has touched, at least one, and 256 bytes.
 *   What a burst of tasks leaves behind goes back to the system within a second, a little at a
 *   time, between tasks: all stacks but 256 of each size, and all records but 16 MiB, that nobody
 *   has needed for 200 ms.  Bursts that follow each other faster than that find everything in
 *   place.  anysync_trim() does not wait.
 *
 * SIGNALS  Threads of the library block all signals but those of faults; children of fork() made
 *   on one of them start with the mask their program had before.  A handler for SIGSEGV and SIGBUS
 *   is installed when the first coroutine stack is made, to say in words that a stack overflowed;
 *   every other fault goes to the handler that was there before.
 */
#ifndef ANYSYNC_EXECUTOR_H
#define ANYSYNC_EXECUTOR_H

#include <anysync/base.h>

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct anysync_executor; /* opaque; one reference each for every holder */
struct event_base;       /* libevent's */

/* What anysync_run() does when it is called by a coroutine on a worker. */
enum anysync_nested {
    ANYSYNC_NESTED_THREAD,  /* a fresh thread runs the task, the worker waits for it (AnySync) */
    ANYSYNC_NESTED_SUSPEND, /* the coroutine suspends; the worker's other tasks go on */
    ANYSYNC_NESTED_ERROR    /* -EDEADLK */
};

/* How a thread waits for something that may come soon. */
enum anysync_spin {
    ANYSYNC_SPIN_ADAPTIVE, /* look for a short time where that has paid off, then sleep */
    ANYSYNC_SPIN_NEVER,    /* sleep at once */
    ANYSYNC_SPIN_ALWAYS    /* look for that short time always, then sleep */
};

enum anysync_shutdown {
    ANYSYNC_DRAIN, /* let the tasks end by themselves */
    ANYSYNC_CANCEL /* cancel them first */
};

/* How an executor is to work.  All zero is the default of everything. */
struct anysync_executor_options {
    const char *name; /* of the worker thread, 15 bytes shown; borrowed; NULL: "anysync" */
    enum anysync_nested nested; /* nested anysync_run() */
    enum anysync_spin spin;     /* of the worker, before it sleeps; the global executor's is also
                                   that of threads that wait outside of loops, and of pools */
    size_t stack_size;          /* bytes for each coroutine; 0: 256 KiB; at least 16 KiB */
    int64_t spin_ns;            /* how long it looks at most, up to a millisecond; 0: as long as a
                                   wake takes, which the first worker measures at its start in about
                                   a quarter of a millisecond */
    int64_t grace_ns;           /* how long a timed-out task may clean up; 0: one second; negative:
                                   no time at all */
};

/* Counters of one executor since it was made, over all its workers.  Snapshots: each is exact,
 * together they may differ. */
struct anysync_stats {
    uint64_t tasks;         /* tasks started, nested ones not included */
    uint64_t switches;      /* changes from one stack to another */
    uint64_t turns;         /* turns of the loop */
    uint64_t polls;         /* times libevent was asked */
    uint64_t sleeps;        /* times the worker slept */
    uint64_t live;          /* tasks started and not ended */
    unsigned workers;       /* worker threads ever started: more than one only after a shutdown */
    unsigned worker_serial; /* anysync_thread_serial() of the running worker; 0: none */
};

/*
 * Make an executor.  Its worker starts on first use.
 *
 * options       borrowed for the call (except `name`); NULL means all defaults.
 * ret_executor  owned by the caller: anysync_executor_unref() it.
 *
 * Returns   0  made.
 *     -ENOMEM  no memory.
 *     -EINVAL  an option is out of range; the sentence says which.
 *
 * Thread  any.
 */
ANYSYNC_API int anysync_executor_new(const struct anysync_executor_options *options,
        struct anysync_executor **ret_executor) ANYSYNC_MUST_CHECK;

/* Take one more reference to EXECUTOR, and return it.  Any thread. */
ANYSYNC_API struct anysync_executor *anysync_executor_ref(struct anysync_executor *executor);

/*
 * Drop a reference (consumed).  The last one cancels the tasks that are left and lets the worker
 * end by itself; it does not wait for that.  NULL is fine.  Returns NULL.  Any thread.
 */
ANYSYNC_API struct anysync_executor *anysync_executor_unref(struct anysync_executor *executor);

/*
 * Set the options of the global executor.
 *
 * options  borrowed for the call (except `name`).
 *
 * Returns   0  they hold from the next start of its worker.
 *      -EBUSY  its worker runs; set them before first use or after a shutdown.
 *     -EINVAL  an option is out of range.
 *
 * Thread  any.
 */
ANYSYNC_API int anysync_configure(
        const struct anysync_executor_options *options) ANYSYNC_MUST_CHECK;

/*
 * Start EXECUTOR's worker now, so that no first call pays for it; or start it again after a
 * shutdown, which nothing else does.
 *
 * executor  borrowed; NULL means the global one.
 *
 * Returns   0  its worker runs.
 *  -ESHUTDOWN  a shutdown is under way and its deadline has not come: wait for that first.
 *     -EAGAIN, -ENOMEM  the system has no thread or memory left.
 *
 * Thread  any.   Blocks  for the start of a thread.
 */
ANYSYNC_API int anysync_executor_start(struct anysync_executor *executor) ANYSYNC_MUST_CHECK;

/*
 * Give all memory that is kept for tasks to come back to the system now, but for what MEMORY above
 * says is kept for good.  Any thread; blocks for some 0.4 us for each stack that goes.
 */
ANYSYNC_API void anysync_trim(void);

/*
 * End EXECUTOR's worker: from now on others may not submit; what was accepted is drained or
 * cancelled.  Tasks that are running may still spawn on their own loop.  Any number of threads may
 * ask at once: all wait, and a cancel hardens a drain.  A worker that an earlier shutdown left
 * behind at its deadline is asked and waited for again.
 *
 * executor  borrowed; NULL means the global one.
 * ret_left  tasks not ended when the call returned; NULL if that is of no interest.
 *
 * Returns      0  all tasks have ended and the worker is gone; also when none was running.
 *     -ETIMEDOUT  DEADLINE passed first.  The worker goes on with the tasks that are left and ends
 *                 after the last; if nobody else waits for it, another may be started meanwhile.
 *   -EINPROGRESS  called on that worker's own thread: it was asked, and ends after its tasks.
 *     -ECANCELED  the calling task (of another loop) was cancelled; the shutdown goes on.
 *       -EDEADLK  the worker could never end before this call returns: its thread, or one of its
 *                 tasks, waits for the caller.  It was asked to stop; the sentence has the cycle.
 *
 * Thread  any.
 * Blocks  the thread, or suspends the calling coroutine of another loop.
 * Order   all that the tasks did happens before a return of 0.
 */
ANYSYNC_API int anysync_executor_shutdown(struct anysync_executor *executor,
        enum anysync_shutdown mode, anysync_time deadline, size_t *ret_left) ANYSYNC_MUST_CHECK;

/* anysync_executor_shutdown() of the global executor. */
ANYSYNC_API int anysync_shutdown(
        enum anysync_shutdown mode, anysync_time deadline, size_t *ret_left) ANYSYNC_MUST_CHECK;

/* Write EXECUTOR's counters (NULL: the global one's) to RET_STATS.  Any thread; starts nothing. */
ANYSYNC_API void anysync_executor_stats(
        struct anysync_executor *executor, struct anysync_stats *ret_stats);

/*
 * libevent's base of the loop this code runs on, made if the loop had none yet: register what you
 * like on it.  Callbacks run on the loop's thread, on the thread's own stack, outside any task.
 *
 * Returns  borrowed, valid until the loop ends; NULL when this thread runs no loop (-EPERM), or the
 *          base could not be made (-EMFILE, -ENOMEM): anysync_last_error() says which.
 * Thread   that of a loop, inside a task or a callback.
 */
ANYSYNC_API struct event_base *anysync_event_base(void);

/*
 * A small number for the calling thread, different for every thread there ever was in this process
 * and never used again (thread ids are).  Starts at 1.  Any thread.
 */
ANYSYNC_API unsigned anysync_thread_serial(void);

#ifdef __cplusplus
}
#endif

#endif
