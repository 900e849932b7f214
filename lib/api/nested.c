/* SPDX-License-Identifier: MIT */
/*
 * A nested run: a fresh thread with a loop of its own, as AnySync makes it.
 *
 * The calling worker blocks meanwhile, and serves nobody.  Only the thread is fresh: its
 * scheduler, with mailbox, doorbell and fault stack, comes from the pool, and a base is made only
 * if the task waits for a descriptor.  The task is put into the mailbox before the thread exists.
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

    asi_scheduler_run(scheduler);
    if (asi_flag_raise(&scheduler->parted)) {
        asi_thread_detach(&scheduler->thread);
        asi_scheduler_give(scheduler);
    }
}

/* A loop of its own for TASK, with TASK in its mailbox. */
static struct asi_scheduler *make_loop(
        struct anysync_task *task, const struct anysync_executor_options *options)
{
    struct asi_scheduler *scheduler = asi_scheduler_take();

    if (!scheduler)
        return NULL;
    asi_scheduler_open(scheduler, ASI_LOOP_NESTED, options);
    scheduler->root = task;
    task->scheduler = scheduler;
    asi_scheduler_post(scheduler, &task->letter);
    return scheduler;
}

/* Names are inherited where there are any, so a worker's nested threads have its name. */
static int start_thread(struct asi_scheduler *scheduler)
{
#if defined(__linux__)
    return asi_thread_start_like_this(&scheduler->thread, run_nested, scheduler);
#else
    return asi_thread_start(&scheduler->thread, scheduler->options.name, run_nested, scheduler);
#endif
}

static void unmake_loop(struct asi_scheduler *scheduler)
{
    (void)asi_mailbox_take_all(&scheduler->mailbox);
    asi_mailbox_close(&scheduler->mailbox);
    asi_scheduler_give(scheduler);
}

int asi_run_nested(struct anysync_task *task, void *ret_result, anysync_time deadline)
{
    struct asi_scheduler *here = asi_scheduler_here();
    struct asi_scheduler *scheduler = make_loop(task, &here->options);
    bool abandoned;

    int error = scheduler ? start_thread(scheduler) : -ENOMEM;
    if (error) {
        if (scheduler)
            unmake_loop(scheduler);
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
