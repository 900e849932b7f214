/* SPDX-License-Identifier: MIT */
/*
 * A nested run: a fresh thread with a loop of its own, as AnySync makes it.
 *
 * The calling worker blocks meanwhile, and serves nobody.  Only the thread is fresh: its
 * scheduler, with mailbox, doorbell and fault stack, comes from the pool, and a base is made only
 * if the task waits for a descriptor.  The mailbox is opened, and the task put into it, as soon as
 * there is a thread, which waits for that at the lock `opening`.  Not before: who knows a task of
 * an earlier loop may send the scheduler a letter at any time, and without a thread nobody would
 * read it.
 *
 * Normally the caller joins the thread and gives the scheduler back.  When it leaves because the
 * grace time is over, the thread does that itself at its end: whoever raises `parted` second
 * tidies up.
 */
#include "api/run.h"

#include "sched/scheduler.h"
#include "thread/local.h"

#include <errno.h>

static void run_nested(void *argument)
{
    struct asi_scheduler *scheduler = argument;

    asi_lock_take(&scheduler->opening);
    asi_lock_give(&scheduler->opening);
    asi_scheduler_run(scheduler);
    if (asi_flag_raise(&scheduler->parted)) {
        asi_thread_detach(&scheduler->thread);
        asi_scheduler_give(scheduler);
    }
}

/* Open SCHEDULER, with TASK in its mailbox. */
static void open_loop(struct asi_scheduler *scheduler, struct anysync_task *task,
        const struct anysync_executor_options *options)
{
    asi_scheduler_open(scheduler, ASI_LOOP_NESTED, options);
    scheduler->root = task;
    task->scheduler = scheduler;
    asi_scheduler_post(scheduler, &task->letter);
}

/* Names are inherited where there are any, so a worker's nested threads have its name. */
static int start_thread(
        struct asi_scheduler *scheduler, const struct anysync_executor_options *options)
{
#if defined(__linux__)
    (void)options;
    return asi_thread_start_like_this(&scheduler->thread, run_nested, scheduler);
#else
    return asi_thread_start(&scheduler->thread, options->name, run_nested, scheduler);
#endif
}

/* A thread with a loop of its own for TASK: 0 or the error. */
static int start(struct anysync_task *task, const struct anysync_executor_options *options,
        struct asi_scheduler **ret_scheduler)
{
    struct asi_scheduler *scheduler = asi_scheduler_take();

    *ret_scheduler = scheduler;
    if (!scheduler)
        return -ENOMEM;
    asi_lock_take(&scheduler->opening);
    int error = start_thread(scheduler, options);
    if (!error)
        open_loop(scheduler, task, options);
    asi_lock_give(&scheduler->opening);
    if (error)
        asi_scheduler_give(scheduler);
    return error;
}

int asi_run_nested(struct anysync_task *task, void *ret_result, anysync_time deadline)
{
    struct asi_scheduler *here = asi_scheduler_here();
    struct asi_scheduler *scheduler;
    bool abandoned;

    int error = start(task, &here->options, &scheduler);
    if (error) {
        error = asi_call_fails(error, "no thread for the nested run of task \"%s\": %s",
                asi_task_name(task), anysync_error_text(error));
        anysync_future_unref(&task->future); /* the loop's reference */
        return error;
    }
    int status = asi_run_finish(
            ASI_WORLD_THREAD, task, ret_result, deadline, here->options.grace_ns, &abandoned);
    if (abandoned && !asi_flag_raise(&scheduler->parted))
        return status;
    asi_thread_join(&scheduler->thread);
    asi_scheduler_give(scheduler);
    return status;
}
