/* SPDX-License-Identifier: MIT */
/*
 * The life of a task (the diagram: task.h).
 *
 * One allocation holds the task, its future, the copy of its argument and its result; small ones
 * come from the recycler.  References: one for each holder of the future, and one of the loop's
 * from submission to end.  A cancel that is on its way to the loop holds one too.
 */
#include "sched/task.h"

#include "base/memory.h"
#include "sched/graph.h"
#include "sched/job.h"
#include "sched/quick.h"
#include "sched/scope.h"

#include <errno.h>
#include <string.h>

_Static_assert(sizeof(struct anysync_task) <= ASI_RECYCLE_RECORD_SIZE,
        "a task without argument and result has to fit the recycler's records");

const char *asi_task_name(const struct anysync_task *task)
{
    return task->future.named ? task->own_name : task->function->name;
}

void asi_task_deliver_submission(struct asi_letter *letter, void *receiver)
{
    asi_scheduler_add(receiver, asi_container_of(letter, struct anysync_task, letter));
}

void asi_task_deliver_parked(struct asi_letter *letter, void *receiver)
{
    asi_scheduler_park(receiver, asi_container_of(letter, struct anysync_task, letter));
}

void asi_task_prepare(struct anysync_task *task, const void *argument)
{
    if (task->function->kind == ANYSYNC_KIND_BLOCKING)
        asi_job_init(task);
    if (task->function->argument_size > 0)
        memcpy(asi_task_argument(task), argument, task->function->argument_size);
}

struct anysync_task *asi_task_new(
        const struct anysync_function *function, const void *argument, uint32_t refs)
{
    return asi_quick_new(function, argument, refs);
}

/* The hooks of a task that has ended, or will never run. */
static void call_hooks(struct anysync_task *task)
{
    struct asi_task_hook *hook = task->hooked ? task->hook : NULL;

    task->hooked = false;
    while (hook) {
        struct asi_task_hook *next = hook->next; /* the hook may go with what it does */
        if (hook->ended)
            hook->ended(hook, task);
        hook = next;
    }
}

void asi_task_free(struct anysync_task *task)
{
    if (ASI_UNLIKELY(task->hooked))
        call_hooks(task);
    if (ASI_UNLIKELY(task->vars))
        asi_vars_unref(task->vars);
    if (task->future.is_job)
        asi_job_fini(task);
    if (task->future.named)
        asi_free(task->own_name);
    if (task->future.recycled)
        asi_recycle_give(ASI_RECYCLE_RECORD, task);
    else
        asi_free(task);
}

/* The error object for a task that ends with STATUS: what its slot says, if it is about that. */
static struct asi_error *final_error(struct anysync_task *task, int status, const char *thread)
{
    struct asi_error *error = task->future.error;

    if (error && task->future.status == status)
        task->future.error = NULL;
    else
        error = asi_error_new(status, ANYSYNC_ORIGIN_TASK, NULL);
    return error ? asi_error_of_task(error, task->function, thread) : NULL;
}

/* How TASK, which ends with *STATUS, ended: the error, and perhaps another status. */
static struct asi_error *outcome(struct anysync_task *task, int *status, const char *thread)
{
    struct asi_error *error = NULL;

    if (ASI_UNLIKELY(*status > 0)) {
        asi_slot_put(asi_task_slot(task), -EINVAL,
                asi_error_new(-EINVAL, ANYSYNC_ORIGIN_TASK,
                        "the body returned %d; it has to return 0 or a negative code", *status));
        *status = -EINVAL;
    }
    if (ASI_UNLIKELY(*status < 0))
        error = final_error(task, *status, thread);
    if (ASI_UNLIKELY(task->future.error)) /* of a failure that the body dealt with */
        task->future.error = asi_error_unref(task->future.error);
    return error;
}

/* Of a task with hooks or values: before others can see that it is done. */
static void before_done(struct anysync_task *task)
{
    for (struct asi_task_hook *each = task->hooked ? task->hook : NULL; each; each = each->next) {
        if (each->ending)
            each->ending(each, task);
    }
    asi_vars_start_with(task, NULL);
}

/* Of a task with hooks: complete it, and let all know. */
static void complete_hooked(struct anysync_task *task, int status, struct asi_error *error)
{
    (void)asi_future_complete_held(&task->future, status, error); /* what a hook adds is of here */
    call_hooks(task);
    anysync_future_unref(&task->future);
}

void asi_task_end(struct asi_scheduler *scheduler, struct anysync_task *task, int status)
{
    asi_quick_end(scheduler, task, status);
}

/* The child of a group, as a rule: one hook is all that is not ordinary about TASK. */
static bool has_hook_only(const struct anysync_task *task)
{
    return task->hooked && !task->future.error && !task->vars && !task->scoped &&
           !task->hook->next && !task->hook->ending;
}

void asi_task_end_slowly(struct asi_scheduler *scheduler, struct anysync_task *task, int status)
{
    if (status == 0 && has_hook_only(task)) {
        asi_quick_leave(scheduler, task);
        complete_hooked(task, 0, NULL);
        return;
    }
    struct asi_error *error = outcome(task, &status, scheduler->options.name);

    ASI_ASSERT(!task->scoped, "a body returned within a scope or a group: exit or close it before");
    asi_quick_leave(scheduler, task);
    if (ASI_UNLIKELY(task->hooked || task->vars))
        before_done(task);
    asi_task_complete(task, status, error);
}

struct asi_error *asi_task_settle(struct anysync_task *task, int *status, const char *name)
{
    struct asi_error *error = outcome(task, status, name);

    task->state = ASI_TASK_ENDED;
    before_done(task);
    return error;
}

void asi_task_complete(struct anysync_task *task, int status, struct asi_error *error)
{
    if (ASI_UNLIKELY(task->hooked))
        complete_hooked(task, status, error);
    else
        asi_future_complete_and_unref(&task->future, status, error);
}

/* TASK is abandoned: let the objects know that it waits for, before others can see it. */
static void leave_waits(struct anysync_task *task)
{
    for (struct asi_task_hook *each = task->hooked ? task->hook : NULL; each; each = each->next) {
        if (!each->ended)
            each->ending(each, task);
    }
}

void asi_task_abandon(struct anysync_task *task)
{
    struct asi_scheduler *scheduler = task->scheduler;

    if (task->local_wait)
        asi_graph_cut(task);
    task->state = ASI_TASK_ABANDONED;
    asi_error_unref(task->future.error);
    if (task->scoped)
        asi_scope_leave_all(task);
    leave_waits(task);
    asi_counter_add(&scheduler->ended, 1);
    asi_future_complete(&task->future, -ECANCELED,
            asi_error_new(-ECANCELED, ANYSYNC_ORIGIN_TASK,
                    "task \"%s\" was abandoned: it did not end in its grace time after a cancel",
                    asi_task_name(task)));
    call_hooks(task);
}

void asi_task_refuse(
        struct anysync_task *task, int status, struct asi_error *error, const char *name)
{
    asi_slot_put(asi_task_slot(task), status, error);
    error = asi_task_settle(task, &status, name);
    asi_task_complete(task, status, error);
}

void asi_task_wake(struct anysync_task *task)
{
    asi_quick_wake(task->scheduler, task);
}

void asi_task_cancel(struct anysync_task *task, const char *reason)
{
    if (task->asked)
        return;
    task->asked = true;
    task->cancel_reason = reason;
    asi_scope_update(task);
}

static void deliver_cancel(struct asi_letter *letter, void *receiver)
{
    struct anysync_task *task = asi_container_of(letter, struct anysync_task, cancel_letter);

    /* A loop that was opened later may get the letter: then the task has ended. */
    if (!asi_cell_done(&task->future.cell)) {
        ASI_ASSERT(task->scheduler == receiver, "a cancel came to the wrong loop");
        asi_task_cancel(task, task->letter_reason);
    }
    anysync_future_unref(&task->future);
}

int asi_task_ask_cancel(struct anysync_task *task, const char *reason)
{
    if (asi_cell_done(&task->future.cell))
        return ANYSYNC_DONE;
    if (task->future.is_job)
        return asi_job_ask_cancel(task, reason);
    if (task->scheduler == asi_scheduler_here()) {
        asi_task_cancel(task, reason);
        return 0;
    }
    if (asi_flag_raise(&task->cancel_asked))
        return 0; /* somebody asked before */
    anysync_future_ref(&task->future);
    task->letter_reason = reason;
    task->cancel_letter.deliver = deliver_cancel;
    if (asi_scheduler_post(task->scheduler, &task->cancel_letter)) {
        asi_graph_cancel_comes(task);
        return 0;
    }
    /* Its loop has ended since we looked, and so has the task: perhaps cut by the flag alone, which
     * is seen before the letter.  So it was asked. */
    anysync_future_unref(&task->future);
    return 0;
}
