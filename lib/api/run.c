/* SPDX-License-Identifier: MIT */
/*
 * Running a task and waiting for it.
 *
 * Every way of running ends in asi_run_finish: wait; at the deadline, or when the caller is
 * cancelled, ask the task to end, wait for that, but no longer than the grace time; then collect
 * what there is.  Only how the task gets to its loop, and how the caller waits, differ.
 *
 * Each function is given two references to its task.  The caller's is borrowed; the loop's goes to
 * the loop with the task, or is dropped when the task does not get there.  Whoever makes a task
 * sets its count once, for all who will hold it: no reference is added between making and running.
 */
#include "api/run.h"

#include "api/executor.h"
#include "base/clock.h"
#include "sched/graph.h"
#include "sched/job.h"
#include "sched/scheduler.h"
#include "sched/scope.h"
#include "thread/fork.h"
#include "thread/local.h"

#include <errno.h>

int asi_run_cut_short(struct anysync_task *task, void *ret_result, int reason, bool gone)
{
    const char *why = reason == -ETIMEDOUT ? "the deadline passed" : "the caller was cancelled";

    if (gone && task->future.status == 0)
        return asi_future_collect(&task->future, ret_result); /* it arrived after all */
    asi_flag_set(&task->future.seen);
    if (gone)
        return asi_call_fails(
                reason, "%s; task \"%s\" was cancelled and has ended", why, asi_task_name(task));
    return asi_call_fails(reason,
            "%s; task \"%s\" was cancelled, did not end in its grace time, and was abandoned", why,
            asi_task_name(task));
}

/* What a task hears whose caller's wait ended with ERROR. */
static const char *why_cancelled(int error)
{
    switch (error) {
    case -ETIMEDOUT:
        return "the deadline passed";
    case -EDEADLK:
        return "the caller would have waited for ever: a deadlock";
    default:
        return "the caller was cancelled";
    }
}

int asi_run_finish(enum asi_world world, struct anysync_task *task, void *ret_result,
        anysync_time deadline, int64_t grace_ns, bool *ret_abandoned)
{
    struct anysync_future *future = &task->future;
    int error = asi_wait_started(world, future, deadline);

    if (ret_abandoned)
        *ret_abandoned = false;
    if (!error)
        return asi_future_collect(future, ret_result);
    asi_task_ask_cancel(task, why_cancelled(error));
    /* In a deadlock the task's thread may be blocked until this call returns, as a job's is: then
     * it cannot end, and will not begin. */
    if (error == -EDEADLK && (task->future.is_job || asi_graph_is_blocked(task->scheduler)))
        grace_ns = 0;
    bool gone = asi_wait_out(world, future, asi_clock_after(anysync_now(), grace_ns));
    if (ret_abandoned)
        *ret_abandoned = !gone;
    if (error == -EDEADLK && !(gone && future->status == 0)) {
        asi_flag_set(&future->seen);
        return error; /* the cycle is noted */
    }
    return asi_run_cut_short(task, ret_result, error, gone);
}

/* TASK does not get to a loop: drop the loop's reference.  Returns ERROR. */
static int keep_back(struct anysync_task *task, int error)
{
    anysync_future_unref(&task->future);
    return error;
}

/* ORIGIN: of a job, which goes to the pool. */
static int submit(
        struct anysync_executor *executor, struct anysync_task *task, enum asi_origin origin)
{
    int error = task->future.is_job ? asi_job_start(task, NULL, NULL, origin)
                                    : asi_executor_submit(executor, task);

    return ASI_UNLIKELY(error) ? keep_back(task, error) : 0;
}

/* On a loop's thread: TASK joins it. */
static int add_here(struct asi_scheduler *scheduler, struct anysync_task *task)
{
    if (scheduler->generation != asi_fork_generation)
        return keep_back(task, asi_call_fails(-EOWNERDEAD,
                                       "the loop belongs to the process this one was forked from"));
    task->scheduler = scheduler;
    asi_scheduler_add(scheduler, task);
    return 0;
}

int asi_start(struct anysync_task *task)
{
    struct asi_scheduler *here = asi_scheduler_here();

    return here && !task->future.is_job ? add_here(here, task)
                                        : submit(NULL, task, ASI_ORIGIN_HERE);
}

int asi_start_on(struct anysync_executor *executor, struct anysync_task *task)
{
    return asi_executor_is_here(executor) ? asi_start(task)
                                          : submit(executor, task, ASI_ORIGIN_HERE);
}

int asi_await(struct anysync_task *task, void *ret_result, anysync_time deadline)
{
    struct asi_scheduler *here = asi_scheduler_here();

    if (asi_world() != ASI_WORLD_TASK)
        return keep_back(
                task, asi_call_fails(-EPERM,
                              "only a coroutine can await task \"%s\": use anysync_run() or "
                              "anysync_call()",
                              asi_task_name(task)));
    int error = asi_wait_checkpoint();
    if (error)
        return keep_back(task, asi_call_fails(error, NULL));
    error = task->future.is_job ? submit(NULL, task, ASI_ORIGIN_HERE) : add_here(here, task);
    if (error)
        return error;
    if (task->future.is_job)
        return asi_wait_for_job(ASI_WORLD_TASK, task, ret_result, deadline, false);
    return asi_run_finish(ASI_WORLD_TASK, task, ret_result, deadline, here->options.grace_ns, NULL);
}

int asi_run_on(struct anysync_executor *executor, struct anysync_task *task, void *ret_result,
        anysync_time deadline)
{
    enum asi_world world = asi_world();

    if (asi_executor_is_here(executor)) {
        if (world == ASI_WORLD_TASK)
            return asi_await(task, ret_result, deadline);
        return keep_back(task,
                asi_call_fails(-EDEADLK,
                        "a callback of the loop cannot wait for task \"%s\" of the same loop: "
                        "spawn it",
                        asi_task_name(task)));
    }
    int error = world == ASI_WORLD_TASK ? asi_wait_checkpoint() : 0;
    if (error)
        return keep_back(task, asi_call_fails(error, NULL));
    error = submit(executor, task, world == ASI_WORLD_TASK ? ASI_ORIGIN_HERE : ASI_ORIGIN_BLOCKED);
    if (error)
        return error;
    return asi_run_finish(world == ASI_WORLD_CALLBACK ? ASI_WORLD_THREAD : world, task, ret_result,
            deadline, asi_executor_grace(executor), NULL);
}

/* Block this thread, loop or not, while the global worker or the pool runs TASK. */
static int run_on_worker(struct anysync_task *task, void *ret_result, anysync_time deadline)
{
    int error = submit(NULL, task, ASI_ORIGIN_BLOCKED);

    if (error)
        return error;
    return asi_run_finish(
            ASI_WORLD_THREAD, task, ret_result, deadline, asi_executor_grace(NULL), NULL);
}

int asi_run(struct anysync_task *task, void *ret_result, anysync_time deadline)
{
    struct asi_scheduler *here = asi_scheduler_here();

    if (!here || here->kind == ASI_LOOP_HERE)
        return run_on_worker(task, ret_result, deadline);
    switch (here->options.nested) {
    case ANYSYNC_NESTED_SUSPEND:
        if (here->current)
            return asi_await(task, ret_result, deadline);
        break; /* a callback cannot suspend */
    case ANYSYNC_NESTED_ERROR:
        return keep_back(task,
                asi_call_fails(-EDEADLK,
                        "anysync_run() of task \"%s\" on worker \"%s\" would block it: use "
                        "anysync_await() or anysync_call(), or let the executor's option nested "
                        "allow it",
                        asi_task_name(task), here->options.name));
    case ANYSYNC_NESTED_THREAD:
        break;
    }
    if (task->future.is_job) /* it has a thread of its own anyway */
        return run_on_worker(task, ret_result, deadline);
    return asi_run_nested(task, ret_result, deadline);
}

/* --- on a loop of this thread ----------------------------------------------------------------- */

static struct asi_scheduler *here_loop(void)
{
    struct asi_scheduler *scheduler = asi_local.here;

    if (ASI_UNLIKELY(!scheduler)) {
        scheduler = asi_scheduler_take();
        if (scheduler) { /* it keeps its options from one run to the next */
            struct anysync_executor_options options = ASI_DEFAULT_OPTIONS;
            options.name = "here";
            asi_scheduler_set_options(scheduler, &options);
        }
        asi_local.here = scheduler;
        asi_local_attach();
    }
    return scheduler;
}

/* Run SCHEDULER, which is open, until TASK, its root, has ended; at END at the latest.  A job's
 * thread is seen to wait for TASK: who waits for the job may be the one that TASK will wait for.
 * (It is in no cell, so TASK does not know of it: `hidden`.) */
static void run_until_root_ended(
        struct asi_scheduler *scheduler, struct anysync_task *task, anysync_time end)
{
    struct anysync_future *root = &task->future;
    struct asi_aim aim = {.futures = &root, .count = 1, .hidden = true};
    struct asi_edge edge;
    struct asi_error *none;
    unsigned how = ASI_WAIT_BLOCKS | ASI_WAIT_FIRM;
    bool seen = asi_local.job && asi_graph_counts(&aim, how, end) &&
                asi_graph_enter(&edge, &aim, how, NULL, 0);

    asi_scheduler_run(scheduler);
    if (seen)
        asi_graph_leave(&edge, &none); /* it is firm: nobody has told it anything */
}

static int run_loop(struct asi_scheduler *scheduler, struct anysync_task *task, void *ret_result,
        anysync_time deadline)
{
    asi_scheduler_open(scheduler, ASI_LOOP_HERE, NULL);
    task->scheduler = scheduler;
    scheduler->root = task;
    asi_scheduler_add(scheduler, task);
    anysync_time end = asi_scope_limit(deadline); /* of the thread, not of the loop's tasks */
    if (end != ANYSYNC_FOREVER)
        asi_scheduler_limit_root(scheduler, end);
    run_until_root_ended(scheduler, task, end);
    if (scheduler->timed_out)
        return asi_run_cut_short(
                task, ret_result, asi_scope_why(deadline), task->state != ASI_TASK_ABANDONED);
    return asi_future_collect(&task->future, ret_result);
}

int asi_run_here(struct anysync_task *task, void *ret_result, anysync_time deadline)
{
    if (asi_scheduler_here())
        return keep_back(task,
                asi_call_fails(-EDEADLK,
                        "this thread runs a loop already, so task \"%s\" cannot run on another "
                        "one here: use anysync_await(), anysync_call() or anysync_run()",
                        asi_task_name(task)));
    if (task->future.is_job) {
        asi_job_run_here(task);
        return asi_future_collect(&task->future, ret_result);
    }
    struct asi_scheduler *scheduler = here_loop();
    if (!scheduler)
        return keep_back(task, asi_call_fails(-ENOMEM, "no memory for a loop"));
    return run_loop(scheduler, task, ret_result, deadline);
}
