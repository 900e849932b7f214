/* SPDX-License-Identifier: MIT */
/*
 * Scopes: what is cancelled within a task.  (What they promise: <anysync/cancel.h>.)
 *
 * A task is in a chain of scopes, innermost first, and the task itself is like one around them all.
 * A cancel of any of them marks that one only; whether the task hears of it where it is (that is
 * what task->cancelled says, the only thing a wait looks at) depends on the shields in between and
 * is worked out anew whenever a mark or the chain changes.
 */
#ifndef ASI_SCHED_SCOPE_H
#define ASI_SCHED_SCOPE_H

#include "loop/timers.h"
#include "sched/task.h"
#include "thread/local.h"

#include <anysync/cancel.h>

#include <stdbool.h>

struct asi_scope {
    struct asi_scope *outer;   /* NULL: the outermost */
    struct anysync_task *task; /* [const] NULL: a thread's */
    anysync_time deadline;     /* [const] */
    const char *reason;        /* of a cancel by hand */
    /* [const] called when the task went without leaving it: by anysync_exit(), or abandoned; on
     * the loop's thread; may be NULL */
    void (*left_behind)(struct asi_scope *scope);
    bool shield;    /* [const] */
    bool cancelled; /* by hand */
    bool expired;   /* by time */
    bool timed;     /* [const] it is the first member of a struct asi_timed_scope */
};

/* One of a task with a deadline; users' scopes have room for it. */
struct asi_timed_scope {
    struct asi_scope scope;
    struct asi_timer timer;
};

/* The innermost scope of TASK; NULL: of this thread's code outside tasks. */
static inline struct asi_scope *asi_scope_innermost(struct anysync_task *task)
{
    if (ASI_LIKELY(task))
        return task->scoped ? task->scope : NULL;
    return asi_local.scope;
}

static inline void asi_scope_set_innermost(struct anysync_task *task, struct asi_scope *scope)
{
    if (ASI_UNLIKELY(!task)) {
        asi_local.scope = scope;
        return;
    }
    task->scoped = scope;
    task->scope = scope;
}

/* SELF becomes the innermost of TASK, the running one (NULL: of this thread), with nothing but a
 * DEADLINE, and without a timer. */
static inline void asi_scope_push(
        struct asi_scope *self, struct anysync_task *task, anysync_time deadline)
{
    self->outer = asi_scope_innermost(task);
    self->task = task;
    self->deadline = deadline;
    self->reason = NULL;
    self->left_behind = NULL;
    self->shield = false;
    self->cancelled = false;
    self->expired = false;
    self->timed = false;
    asi_scope_set_innermost(task, self);
}

/* Leave SELF, whose code ended with ERROR; returns as anysync_scope_exit(). */
int asi_scope_pop(struct asi_scope *self, struct anysync_task *task, int error);

/* Work out anew whether TASK hears a cancel, and wake it if so.  Loop thread. */
void asi_scope_update(struct anysync_task *task);

/* The inside of SCOPE. */
static inline struct asi_scope *asi_scope_of(struct anysync_scope *scope)
{
    return (struct asi_scope *)(void *)scope;
}

/* TASK goes for good and leaves its stack as it is, and with it the scopes it was in.  (Not for a
 * body that has returned: its frames, and the scopes in them, are gone.)  Loop thread. */
void asi_scope_leave_all(struct anysync_task *task);

/* The deadline a thread has to keep that blocks until DEADLINE, in a task or outside. */
anysync_time asi_scope_limit(anysync_time deadline);

/* Whether a shield is around the caller. */
bool asi_scope_is_deaf(void);

/* What a blocked thread returns that came to asi_scope_limit(DEADLINE) without success: -ETIMEDOUT,
 * or -ECANCELED if that was a scope's. */
int asi_scope_why(anysync_time deadline);

#endif
