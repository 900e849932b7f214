/* SPDX-License-Identifier: MIT */
/*
 * Scopes.  (The idea: scope.h.)
 *
 * In a task a deadline is a timer of its loop; when it fires the scope is marked.  On a plain
 * thread nothing can fire: each wait looks for the nearest deadline before it sleeps, and scopes
 * that are over by then count as marked.  A coroutine that blocks its thread on purpose (a nested
 * run) is in both worlds: its loop's timers stand still, so it looks too.
 */
#include "sched/scope.h"

#include "sched/graph.h"
#include "sched/job.h"
#include "sched/scheduler.h"
#include "thread/local.h"

#include <errno.h>

_Static_assert(sizeof(struct asi_timed_scope) <= sizeof(struct anysync_scope),
        "a scope has outgrown its room");

static struct anysync_task *running_task(void)
{
    struct asi_scheduler *scheduler = asi_scheduler_here();

    return scheduler ? scheduler->current : NULL;
}

/* The innermost scope here; TASK NULL: of this thread. */
static inline struct asi_scope *innermost(struct anysync_task *task)
{
    return asi_scope_innermost(task);
}

static bool is_over(const struct asi_scope *scope)
{
    return scope->cancelled || scope->expired;
}

/* The innermost scope whose cancel is heard within SCOPE, NULL if there is none; RET_OPEN: whether
 * no shield is around, so that the task's own would be heard. */
static struct asi_scope *heard(struct asi_scope *scope, bool *ret_open)
{
    *ret_open = true;
    for (; scope; scope = scope->outer) {
        if (is_over(scope))
            return scope;
        if (scope->shield) {
            *ret_open = false;
            return NULL;
        }
    }
    return NULL;
}

void asi_scope_update(struct anysync_task *task)
{
    bool open;
    bool within = heard(innermost(task), &open);

    task->cancelled = within || (open && task->asked);
    if (task->cancelled && task->cancellable) {
        if (task->state == ASI_TASK_SUSPENDED && task->local_wait)
            asi_graph_cut(task);
        asi_task_wake(task);
    }
}

static inline struct asi_timer *timer_of(struct asi_scope *scope)
{
    return &asi_container_of(scope, struct asi_timed_scope, scope)->timer;
}

static void on_deadline(struct asi_timer *timer)
{
    struct asi_timed_scope *self = asi_container_of(timer, struct asi_timed_scope, timer);

    self->scope.expired = true;
    asi_scope_update(self->scope.task);
}

static inline __attribute__((always_inline)) void enter(
        struct anysync_scope *scope, anysync_time deadline, bool shield)
{
    struct asi_scope *self = asi_scope_of(scope);
    struct asi_scheduler *scheduler = asi_scheduler_here();
    struct anysync_task *task = scheduler ? scheduler->current : NULL;
    bool expired = deadline == ANYSYNC_POLL;

    ASI_ASSERT(task || !scheduler, "a callback of a loop cannot enter a scope");
    asi_scope_push(self, task, deadline);
    self->shield = shield;
    self->expired = expired;
    if (!task)
        return;
    if (deadline != ANYSYNC_FOREVER && !expired) {
        self->timed = true;
        asi_timer_init(timer_of(self), on_deadline);
        asi_timer_arm(&scheduler->timers, timer_of(self), deadline);
    }
    if (ASI_UNLIKELY(shield || expired))
        asi_scope_update(task);
}

void anysync_scope_enter(struct anysync_scope *scope, anysync_time deadline)
{
    enter(scope, deadline, false);
}

void anysync_shield_enter(struct anysync_scope *scope, anysync_time deadline)
{
    enter(scope, deadline, true);
}

/* Of a thread's scopes: mark those whose time is over. */
static void look_at_clock(struct asi_scope *scope)
{
    anysync_time now = 0;

    for (; scope; scope = scope->outer) {
        if (scope->expired || scope->deadline == ANYSYNC_FOREVER)
            continue;
        if (now == 0)
            now = anysync_now();
        scope->expired = now >= scope->deadline;
    }
}

/* What becomes of an ERROR of the code in SELF. */
static int outcome(const struct asi_scope *self, int error)
{
    if (error != -ECANCELED || !is_over(self))
        return error;
    if (self->expired && !self->cancelled)
        return asi_call_fails(-ETIMEDOUT, "the deadline of the scope passed");
    return asi_call_fails(-ECANCELED, "the scope was cancelled%s%s", self->reason ? ": " : "",
            self->reason ? self->reason : "");
}

int asi_scope_pop(struct asi_scope *self, struct anysync_task *task, int error)
{
    ASI_ASSERT(self->task == task && innermost(task) == self,
            "a scope was left that is not the innermost of this task or thread");
    if (!task || error == -ECANCELED) /* perhaps its loop could not look: it was blocked */
        look_at_clock(self);
    asi_scope_set_innermost(task, self->outer);
    if (task) {
        if (self->timed)
            asi_timer_disarm(&task->scheduler->timers, timer_of(self));
        if (self->shield || is_over(self)) /* else what is heard outside is what was heard within */
            asi_scope_update(task);
    }
    if (error != -ECANCELED)
        return error;
    /* A cancel from outside comes first, but what is in a shield does not hear it. */
    bool outside = !self->shield && anysync_check_cancelled() != 0;
    return outside ? error : outcome(self, error);
}

int anysync_scope_exit(struct anysync_scope *scope, int error)
{
    struct asi_scope *self = asi_scope_of(scope);
    struct anysync_task *task = running_task();

    if (ASI_UNLIKELY(!task || error == -ECANCELED || self->task != task ||
                     innermost(task) != self || self->shield || is_over(self)))
        return asi_scope_pop(self, task, error);
    asi_scope_set_innermost(task, self->outer); /* an uncut one, as nearly all are */
    if (self->timed)
        asi_timer_disarm(&task->scheduler->timers, timer_of(self));
    return error;
}

void anysync_scope_cancel(struct anysync_scope *scope, const char *reason)
{
    struct asi_scope *self = asi_scope_of(scope);

    ASI_ASSERT(self->task ? self->task->scheduler == asi_scheduler_here() : !running_task(),
            "a scope was cancelled from another thread than its own");
    if (is_over(self))
        return;
    self->cancelled = true;
    self->reason = reason;
    if (self->task)
        asi_scope_update(self->task);
}

bool anysync_scope_cancelled(const struct anysync_scope *scope)
{
    const struct asi_scope *self = (const struct asi_scope *)(const void *)scope;

    return is_over(self) ||
           (!self->task && self->deadline != ANYSYNC_FOREVER && anysync_now() >= self->deadline);
}

void asi_scope_leave_all(struct anysync_task *task)
{
    struct asi_scope *scope = innermost(task);

    task->scoped = false;
    while (scope) {
        struct asi_scope *outer = scope->outer; /* the scope may go with what is called */
        if (scope->timed)
            asi_timer_disarm(&task->scheduler->timers, timer_of(scope));
        if (scope->left_behind)
            scope->left_behind(scope);
        scope = outer;
    }
}

/* --- what is heard here ----------------------------------------------------------------------- */

int anysync_check_cancelled(void)
{
    struct anysync_task *task = running_task();
    bool open;

    if (task)
        return task->cancelled ? -ECANCELED : 0;
    look_at_clock(asi_local.scope);
    if (heard(asi_local.scope, &open))
        return -ECANCELED;
    return open && asi_job_asked() ? -ECANCELED : 0;
}

const char *anysync_cancel_reason(void)
{
    struct anysync_task *task = running_task();
    bool open;

    if (!task)
        look_at_clock(asi_local.scope);
    struct asi_scope *scope = heard(innermost(task), &open);
    if (scope)
        return scope->cancelled ? scope->reason : "the deadline of the scope passed";
    if (!open)
        return NULL;
    if (task)
        return task->asked ? task->cancel_reason : NULL;
    const char *reason = asi_job_asked();
    return reason && reason[0] ? reason : NULL;
}

anysync_time anysync_scope_deadline(void)
{
    anysync_time nearest = ANYSYNC_FOREVER;

    for (struct asi_scope *scope = innermost(running_task()); scope; scope = scope->outer) {
        if (scope->deadline < nearest)
            nearest = scope->deadline;
        if (scope->shield)
            break;
    }
    return nearest;
}

/* --- threads that block ----------------------------------------------------------------------- */

anysync_time asi_scope_limit(anysync_time deadline)
{
    anysync_time nearest;
    bool open;

    if (!innermost(running_task()))
        return deadline;
    if (heard(innermost(running_task()), &open))
        return ANYSYNC_POLL;
    nearest = anysync_scope_deadline();
    return nearest < deadline ? nearest : deadline;
}

bool asi_scope_is_deaf(void)
{
    bool open;

    (void)heard(innermost(running_task()), &open);
    return !open;
}

int asi_scope_why(anysync_time deadline)
{
    return asi_scope_limit(deadline) < deadline ? -ECANCELED : -ETIMEDOUT;
}
