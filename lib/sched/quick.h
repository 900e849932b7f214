/* SPDX-License-Identifier: MIT */
/*
 * The life of an ordinary task, in line, for the few places where each instruction is paid for by
 * every task: where one is made, where a runner calls its body, and where it ends.  Whatever is
 * not ordinary (a failure, hooks, variables, a job, large arguments) is done out of line.
 */
#ifndef ASI_SCHED_QUICK_H
#define ASI_SCHED_QUICK_H

#include "base/memory.h"
#include "sched/scheduler.h"
#include "sched/task.h"
#include "sched/vars.h"
#include "thread/local.h"

#include <errno.h>

/* What only few tasks need, when FUNCTION is blocking or takes an argument. */
void asi_task_prepare(struct anysync_task *task, const void *argument);

/* asi_task_end() of one that is not ordinary. */
void asi_task_end_slowly(struct asi_scheduler *scheduler, struct anysync_task *task, int status);

static inline size_t asi_task_rounded(size_t size)
{
    return (size + ASI_TASK_ALIGNMENT - 1) & ~(size_t)(ASI_TASK_ALIGNMENT - 1);
}

/* asi_task_new() */
static inline __attribute__((always_inline)) struct anysync_task *asi_quick_new(
        const struct anysync_function *function, const void *argument, uint32_t refs)
{
    if (ASI_UNLIKELY((function->argument_size | function->result_size) > ASI_MOST_BYTES))
        return NULL;
    size_t result_at = ASI_TASK_ARGUMENT_AT + asi_task_rounded(function->argument_size);
    size_t size = result_at + asi_task_rounded(function->result_size);
    bool recycled = size <= ASI_RECYCLE_RECORD_SIZE;
    struct anysync_task *task =
            ASI_LIKELY(recycled) ? asi_recycle_take(ASI_RECYCLE_RECORD) : asi_allocate(size);

    if (ASI_UNLIKELY(!task))
        return NULL;
    asi_future_init(&task->future, refs, (char *)task + result_at, function->result_size);
    task->future.is_task = true;
    task->future.recycled = recycled;
    task->letter.deliver = asi_task_deliver_submission;
    task->function = function;
    task->scheduler = NULL;
    task->hint = ASI_MAILBOX_NO_HINT;
    task->waits = NULL;
    task->vars = asi_vars_capture();
    task->state = ASI_TASK_QUEUED;
    task->asked = false;
    task->cancelled = false;
    task->cancellable = false;
    task->vars_own = false;
    task->scoped = false;
    task->hooked = false;
    asi_flag_init(&task->cancel_asked); /* the rest is set when it is used */
    if (function->argument_size > 0 || function->kind == ANYSYNC_KIND_BLOCKING)
        asi_task_prepare(task, argument);
    return task;
}

/* asi_task_wake() of a task of SCHEDULER */
static inline void asi_quick_wake(struct asi_scheduler *scheduler, struct anysync_task *task)
{
    if (ASI_UNLIKELY(task->state != ASI_TASK_SUSPENDED))
        return;
    task->state = ASI_TASK_READY;
    if (ASI_UNLIKELY(!asi_task_has_stack(task))) /* it was parked */
        asi_list_unlink(&task->list);
    asi_scheduler_ready(scheduler, task);
}

/* TASK is over: its loop has nothing of it any more, and who waits for it there goes on. */
static inline void asi_quick_leave(struct asi_scheduler *scheduler, struct anysync_task *task)
{
    struct asi_local_wait *wait = task->waits;

    task->waits = NULL;
    task->state = ASI_TASK_ENDED;
    if (asi_task_has_stack(task))
        asi_list_unlink(&task->list);
    asi_counter_add(&scheduler->ended, 1);
    if (ASI_UNLIKELY(task == scheduler->root))
        asi_scheduler_root_ended(scheduler);
    while (wait) {
        struct asi_local_wait *next = wait->next; /* the wait goes when its task goes on */
        wait->woken = true;
        asi_quick_wake(scheduler, wait->task);
        wait = next;
    }
}

/* asi_task_end() */
static inline void asi_quick_end(
        struct asi_scheduler *scheduler, struct anysync_task *task, int status)
{
    asi_held_ends(task, asi_task_name(task));
    if (ASI_UNLIKELY(
                status != 0 || task->future.error || task->vars || task->scoped || task->hooked)) {
        asi_task_end_slowly(scheduler, task, status);
        return;
    }
    asi_quick_leave(scheduler, task);
    if (asi_future_complete_and_drop(&task->future, 0, NULL)) {
        if (ASI_LIKELY(asi_future_is_ordinary(&task->future)))
            asi_recycle_give(ASI_RECYCLE_RECORD, task);
        else
            asi_future_free(&task->future);
    }
}

/* Run the body of TASK, from beginning to end, on this stack.  Loop thread. */
static inline void asi_quick_begin(struct asi_scheduler *scheduler, struct anysync_task *task)
{
    int status = -ECANCELED;

    /* A cancel whose letter has yet to be taken counts too: the flag is in a line that is here. */
    if (ASI_LIKELY(!task->cancelled && !asi_flag_get(&task->cancel_asked) &&
                   scheduler->stopping != ASI_STOP_CANCEL)) {
        task->state = ASI_TASK_RUNNING;
        task->local_wait = NULL; /* the letter has done its service */
        scheduler->current = task;
        status = task->function->body(asi_task_argument(task), task->future.result);
        scheduler->current = NULL;
    }
    asi_quick_end(scheduler, task, status);
}

#endif
