/* SPDX-License-Identifier: MIT */
/*
 * Offload: the public calls.
 *
 * A job that is waited for is cut short like a task (run.c), but for how long its end is waited
 * for: without a limit, as nobody can make it end, or not at all.
 *
 * The way back: a task is sent to the loop that the job remembers, in a letter of its own kind.
 * Loops are used again, so it is only on the loop's thread, when the letter is there, that one can
 * say whether this is still the same loop: its epoch tells.
 */
#include "api/run.h"
#include "base/clock.h"
#include "sched/job.h"
#include "sched/scheduler.h"
#include "sched/vars.h"
#include "thread/fork.h"
#include "thread/pool.h"

#include <anysync/cancel.h>
#include <anysync/offload.h>

#include <errno.h>

/* --- offload ---------------------------------------------------------------------------------- */

int asi_wait_for_job(enum asi_world world, struct anysync_task *task, void *ret_result,
        anysync_time deadline, bool abandon)
{
    struct anysync_future *future = &task->future;
    int error = asi_wait_started(world, future, deadline);

    if (!error)
        return asi_future_collect(future, ret_result);
    if (error == -EDEADLK) { /* the job waits for the caller: it is left to itself */
        asi_task_ask_cancel(task, "waiting for it could never end");
        return error;
    }
    asi_task_ask_cancel(
            task, error == -ETIMEDOUT ? "the deadline passed" : "the caller was cancelled");
    bool gone = asi_wait_out(world, future, abandon ? ANYSYNC_POLL : ANYSYNC_FOREVER);
    if (gone)
        return asi_run_cut_short(task, ret_result, error, true);
    return asi_call_fails(error, "%s; blocking function \"%s\" was abandoned, and runs on",
            error == -ETIMEDOUT ? "the deadline passed" : "the caller was cancelled",
            asi_task_name(task));
}

/* A job of FUNCTION that is not started yet, or NULL and the error. */
static struct anysync_task *make_job(const struct anysync_function *function, const void *argument,
        const struct anysync_offload_options *options, uint32_t refs, int *ret_error)
{
    struct anysync_task *task = NULL;

    if (function->kind == ANYSYNC_KIND_BLOCKING)
        task = asi_task_make(function, argument, refs);
    if (task) {
        task->job.drop = options->drop;
        task->future.watched = options->drop;
        return task;
    }
    *ret_error = function->kind == ANYSYNC_KIND_BLOCKING
                         ? -ENOMEM
                         : asi_call_fails(-EINVAL,
                                   "%s is a coroutine function, which needs a loop and no pool "
                                   "thread: anysync_call() or anysync_run() it",
                                   function->name);
    return NULL;
}

static const struct anysync_offload_options no_options;

int anysync_offload(const struct anysync_function *function, const void *argument, void *ret_result,
        const struct anysync_offload_options *options, anysync_time deadline)
{
    const struct anysync_offload_options *how = options ? options : &no_options;
    enum asi_world world = asi_world();
    int error = world == ASI_WORLD_TASK ? asi_wait_checkpoint() : 0;

    if (world == ASI_WORLD_CALLBACK)
        return asi_call_fails(-EDEADLK,
                "a callback of the loop cannot wait for %s: use anysync_offload_start() there",
                function->name);
    if (error)
        return asi_call_fails(error, NULL);
    struct anysync_task *task = make_job(function, argument, how, 2, &error);
    if (!task)
        return error;
    int status = asi_job_start(task, how->limiter, how->pool, ASI_ORIGIN_HERE);
    if (status)
        anysync_future_unref(&task->future); /* the pool's reference */
    else
        status = asi_wait_for_job(world, task, ret_result, deadline, how->abandon);
    anysync_future_unref(&task->future);
    return status;
}

int anysync_offload_start(const struct anysync_function *function, const void *argument,
        const struct anysync_offload_options *options, struct anysync_future **ret_future)
{
    const struct anysync_offload_options *how = options ? options : &no_options;
    int error;
    struct anysync_task *task = make_job(function, argument, how, ret_future ? 2 : 1, &error);

    if (!task)
        return error;
    error = asi_job_start(task, how->limiter, how->pool, ASI_ORIGIN_HERE);
    if (error) {
        anysync_future_unref(&task->future);
        if (ret_future)
            anysync_future_unref(&task->future);
        return error;
    }
    if (ret_future)
        *ret_future = &task->future;
    return 0;
}

/* --- the way back ----------------------------------------------------------------------------- */

static const char gone_text[] = "the loop that \"%s\" was to run on has ended, or is cancelled";

/* On the thread of a loop that has, or once had, the job that sent this. */
static void deliver_back(struct asi_letter *letter, void *receiver)
{
    struct anysync_task *task = asi_container_of(letter, struct anysync_task, letter);
    struct asi_scheduler *scheduler = receiver;
    bool same = task->epoch == scheduler->epoch && scheduler->stopping != ASI_STOP_CANCEL;

    task->waits = NULL; /* it was the epoch until now */
    if (same)
        asi_scheduler_add(scheduler, task);
    else
        asi_task_refuse(task, -ESHUTDOWN,
                asi_error_new(-ESHUTDOWN, ANYSYNC_ORIGIN_CALL, gone_text, asi_task_name(task)),
                scheduler->options.name);
}

/* Whether there is a loop to go back to: 0, or the code, with a sentence. */
static int check_way_back(
        const struct anysync_task *job, const struct anysync_function *function, bool or_here)
{
    if (function->kind == ANYSYNC_KIND_BLOCKING)
        return asi_call_fails(
                -EINVAL, "%s is a blocking function: call it, no loop is needed", function->name);
    if (asi_world() == ASI_WORLD_CALLBACK)
        return asi_call_fails(
                -EDEADLK, "a callback of the loop cannot wait for %s", function->name);
    if (job && job->future.generation != asi_fork_generation)
        return asi_call_fails(
                -EOWNERDEAD, "the loop belongs to the process this one was forked from");
    if (job && job->origin_blocked)
        return asi_call_fails(-EDEADLK,
                "the loop that %s would go back to is blocked until this job has ended: start the "
                "job by anysync_await(), anysync_call() or anysync_offload()",
                function->name);
    if ((job && job->origin) || or_here)
        return 0;
    return asi_call_fails(-EPERM,
            "%s cannot run back: %s; use anysync_run(), anysync_run_on() an executor, or "
            "anysync_run_back_or_here()",
            function->name,
            job ? "this job was started outside of any loop" : "this is no pool thread's job");
}

static int run_back(struct anysync_task *job, const struct anysync_function *function,
        const void *argument, void *ret_result, anysync_time deadline)
{
    enum asi_world world = asi_world();
    int error = world == ASI_WORLD_TASK ? asi_wait_checkpoint() : 0;

    if (error)
        return asi_call_fails(error, NULL);
    struct anysync_task *task = asi_task_make(function, argument, 2);
    if (!task)
        return -ENOMEM;
    task->letter.deliver = deliver_back;
    task->scheduler = job->origin;
    task->epoch = job->epoch;
    if (asi_scheduler_post(job->origin, &task->letter)) {
        struct asi_way_back way = {.task = task};
        if (asi_job_waits_for(&way))
            asi_task_ask_cancel(task, anysync_cancel_reason());
        error = asi_run_finish(world, task, ret_result, deadline, ASI_NS_PER_SECOND, NULL);
        asi_job_waited(&way);
    } else {
        error = asi_call_fails(-ESHUTDOWN, gone_text, asi_task_name(task));
        anysync_future_unref(&task->future); /* the loop's reference */
    }
    anysync_future_unref(&task->future);
    return error;
}

int anysync_run_back(const struct anysync_function *function, const void *argument,
        void *ret_result, anysync_time deadline)
{
    struct anysync_task *job = asi_job_here();
    int error = check_way_back(job, function, false);

    return error ? error : run_back(job, function, argument, ret_result, deadline);
}

int anysync_run_back_or_here(const struct anysync_function *function, const void *argument,
        void *ret_result, anysync_time deadline)
{
    struct anysync_task *job = asi_job_here();
    int error = check_way_back(job, function, true);

    if (error)
        return error;
    if (!job || !job->origin)
        return anysync_run_here(function, argument, ret_result, deadline);
    return run_back(job, function, argument, ret_result, deadline);
}

/* --- pools ------------------------------------------------------------------------------------ */

int anysync_pool_new(const struct anysync_pool_options *options, struct anysync_pool **ret_pool)
{
    const char *name = options && options->name ? options->name : "anysync-pool";
    int64_t idle_ns = options ? options->idle_ns : 0;

    if (idle_ns < 0)
        return asi_call_fails(-EINVAL, "option idle_ns is %lld", (long long)idle_ns);
    asi_scheduler_prepare_process();
    struct anysync_pool *pool =
            asi_pool_new(name, idle_ns > 0 ? idle_ns : 10 * (int64_t)ASI_NS_PER_SECOND);
    if (!pool)
        return asi_call_fails(-ENOMEM, "no memory for a pool");
    *ret_pool = pool;
    return 0;
}

struct anysync_pool *anysync_pool_unref(struct anysync_pool *pool)
{
    if (pool)
        asi_pool_unref(pool);
    return NULL;
}

void anysync_pool_stats(struct anysync_pool *pool, struct anysync_pool_figures *ret_figures)
{
    asi_pool_count(pool ? pool : asi_pool_common(), &ret_figures->threads, &ret_figures->idle);
}
