/* SPDX-License-Identifier: MIT */
/*
 * Tasks: one running coroutine each.
 *
 *      QUEUED --begin--> RUNNING --end--> ENDED
 *         |               |    ^
 *         |        suspend|    |resume
 *         |               v    |
 *         |          SUSPENDED -> READY
 *         |               |
 *         +--cancel-------+--> ENDED       (SUSPENDED -> ABANDONED: nobody waits any more)
 *
 * It is made QUEUED, and linked to the next by the letter that brings it to the loop: so a chain of
 * such letters is a piece of the ready queue.
 * Fields are the loop thread's from the moment it takes the task out of its mailbox; before, they
 * are the submitter's.  What other threads may touch at any time is in the future, and in
 * `cancel_asked`.
 */
#ifndef ASI_SCHED_TASK_H
#define ASI_SCHED_TASK_H

#include "base/list.h"
#include "sched/error.h"
#include "sched/future.h"
#include "sched/limiter.h"
#include "thread/flag.h"
#include "thread/mailbox.h"

#include <anysync/task.h>

#include <stddef.h>
#include <stdint.h>

struct asi_coro;
struct asi_scheduler;
struct asi_scope;
struct asi_vars;
struct asi_way_back;

enum asi_task_state {
    ASI_TASK_QUEUED,
    ASI_TASK_RUNNING,
    ASI_TASK_SUSPENDED,
    ASI_TASK_READY,
    ASI_TASK_ENDED,
    ASI_TASK_ABANDONED
};

/* A coroutine of the same loop that waits for a task: no other thread can wake it or be woken. */
struct asi_local_wait {
    struct asi_local_wait *next;
    struct anysync_task *task;   /* who waits */
    struct anysync_task *target; /* for this one */
    bool woken;
};

/* In the place of a local_wait: the wait is a struct asi_edge (sched/graph.h). */
extern struct asi_local_wait asi_published;
#define ASI_PUBLISHED (&asi_published)

/* What a job, a task of a blocking function (sched/job.h), has where others have what their loop
 * needs. */
struct asi_job {
    struct asi_claim claim;          /* [limiter lock] its place among those who want a token */
    struct anysync_limiter *limiter; /* [const] after submission; owned; NULL: it needs no token */
    union {
        struct anysync_pool *pool;  /* [const] after submission; owned, if there is a limiter */
        struct anysync_task *outer; /* [const] without: the job that called this one */
    };
    void (*drop)(void *result); /* [const] after submission; for a value that nobody took */
};

/*
 * Two cache lines for all that an ordinary task needs, then what few need.  The argument's copy
 * and the result follow in the same allocation.  While a task runs, its future's `status` and
 * `error` are its slot (sched/error.h): nobody else looks at them before it is done.
 */
struct anysync_task {
    struct anysync_future future; /* first; the line that waiters look at */

    _Alignas(64) union {
        struct asi_letter letter; /* submission; then `next` links the ready queue */
        struct {
            struct asi_letter *letter_next;
            struct asi_local_wait *local_wait; /* [loop] from its beginning: the wait it is in that
                                                  has no end of its own, or NULL */
        };
        struct asi_way_back *back; /* [job lock] of a job: there if `cancellable` */
    };
    const struct anysync_function *function; /* [const] */
    struct asi_scheduler *scheduler;         /* [const] after submission */
    union {
        struct asi_coro *coro;        /* [loop] its stack, from its first suspension on */
        void *hint;                   /* before that: odd; see thread/mailbox.h */
        struct asi_scheduler *origin; /* [const] of a job: the loop it came from; NULL: none */
    };
    union {
        struct asi_local_wait *waits; /* [loop] coroutines of this loop that wait for it */
        uint64_t epoch; /* [const] of a job: its origin's; of one that runs back, until it is
                           there: of the loop it is meant for */
    };
    struct asi_vars *vars; /* [loop] its context variables; owned; NULL: it has none */
    /* Four that are asked about together, and four others: a compiler may read as many at once as
     * lie between two that one condition names, and cancel_asked is not the loop's to read so. */
    bool cancelled;               /* [loop] each suspension says -ECANCELED: see sched/scope.h */
    bool cancellable;             /* [loop] the suspension it is in ends on a cancel */
    bool scoped;                  /* [loop] `scope` is there */
    bool hooked;                  /* [loop] after submission: `hook` is there */
    unsigned char state;          /* [loop] enum asi_task_state */
    bool asked;                   /* [loop] a cancel of the whole task has come */
    bool vars_own;                /* [loop] `vars` came from no other task: see sched/vars.h */
    struct asi_flag cancel_asked; /* [atomic] cancel_letter is on its way or was */

    _Alignas(64) union {
        struct {
            struct asi_list list;            /* [loop] among the begun: there if it has a stack, or
                                                is parked */
            struct asi_scope *scope;         /* [loop] the innermost it is in; if `scoped` */
            const char *cancel_reason;       /* [loop] there if `asked` */
            struct asi_letter cancel_letter; /* of who raised cancel_asked first */
        };
        struct asi_job job; /* there if future.is_job */
    };
    struct asi_task_hook *hook; /* [loop] after submission; there if `hooked` */
    char *own_name;             /* [const] owned; there if future.named */
    union {
        const char *letter_reason;     /* of who raised cancel_asked first */
        struct asi_pointer job_reason; /* [atomic] of a job: NULL before it was asked to end */
    };
    struct asi_flag used; /* [atomic] of a task object: it was used */
    bool vars_given;      /* of a task object: it starts with a context that it was given */
    bool origin_blocked;  /* [const] of a job: its loop stands still until it has ended */
};

/* Somebody who has to know of a task's end at once, on its loop's thread: hooked in before the task
 * is submitted.  After `ended` the hook is not looked at any more.  A task that goes without ever
 * being run calls `ended` too, when it is freed, on any thread; then it is not done. */
struct asi_task_hook {
    struct asi_task_hook *next;
    /* before others can see that it is done; may be NULL */
    void (*ending)(struct asi_task_hook *hook, struct anysync_task *task);
    /* after that; NULL: a wait's, which is out before the task ends.  Its `ending` is called if the
     * task is abandoned in that wait. */
    void (*ended)(struct asi_task_hook *hook, struct anysync_task *task);
};

/* A task of FUNCTION with a copy of ARGUMENT and REFS references; NULL when there is no memory.
 * (In line: sched/quick.h.) */
struct anysync_task *asi_task_new(
        const struct anysync_function *function, const void *argument, uint32_t refs);

/* Whether TASK has been suspended, so that it has a stack of its own.  Loop thread. */
static inline bool asi_task_has_stack(const struct anysync_task *task)
{
    return !((uintptr_t)task->hint & 1);
}

/* How the letter of a new task is delivered. */
asi_letter_fn asi_task_deliver_submission;

/* The same for one that is parked there: asi_task_wake() begins it. */
asi_letter_fn asi_task_deliver_parked;

/* Its name, for messages. */
const char *asi_task_name(const struct anysync_task *task);

/* Where its copy of the argument lies: small ones use what the last line of the record leaves. */
enum {
    ASI_TASK_ALIGNMENT = 16,
    ASI_TASK_ARGUMENT_AT =
            (offsetof(struct anysync_task, vars_given) + sizeof(bool) + ASI_TASK_ALIGNMENT - 1) /
            ASI_TASK_ALIGNMENT * ASI_TASK_ALIGNMENT
};
static inline void *asi_task_argument(struct anysync_task *task)
{
    return (char *)task + ASI_TASK_ARGUMENT_AT;
}

/* The last reference of a task is gone: free it. */
void asi_task_free(struct anysync_task *task);

/* Loop thread: TASK is over; tell who waits, drop the loop's reference.  (In line, and running the
 * body too: sched/quick.h.) */
void asi_task_end(struct asi_scheduler *scheduler, struct anysync_task *task, int status);

/* Loop thread: a task that has a stack will never go on: stack and record stay as they are, for
 * good.  Its future is done, and who waits for it is told. */
void asi_task_abandon(struct anysync_task *task);

/* Loop thread: a task that is suspended goes on soon.  No effect in any other state. */
void asi_task_wake(struct anysync_task *task);

/* Loop thread: ask it to end.  REASON: a literal, or NULL. */
void asi_task_cancel(struct anysync_task *task, const char *reason);

/* Any thread: ask it to end.  Returns 0, or ANYSYNC_DONE when it had ended. */
int asi_task_ask_cancel(struct anysync_task *task, const char *reason);

/* --- jobs, and others that end without having been on a loop ---------------------------------- */

/* TASK ends with STATUS on the thread of NAME: all but telling others.  Returns the error, owned,
 * and may change the status. */
struct asi_error *asi_task_settle(struct anysync_task *task, int *status, const char *name);

/* After that: tell who waits, drop the reference that was the loop's. */
void asi_task_complete(struct anysync_task *task, int status, struct asi_error *error);

/* TASK never ran: it ends with STATUS, and ERROR (consumed) says why. */
void asi_task_refuse(
        struct anysync_task *task, int status, struct asi_error *error, const char *name);

/* Hook HOOK into TASK, which was not submitted yet. */
static inline void asi_task_hook_in(struct anysync_task *task, struct asi_task_hook *hook)
{
    hook->next = task->hooked ? task->hook : NULL;
    task->hook = hook;
    task->hooked = true;
}

/* Take HOOK out of TASK again, which runs. */
static inline void asi_task_hook_out(struct anysync_task *task, struct asi_task_hook *hook)
{
    struct asi_task_hook **at = &task->hook;

    while (*at != hook)
        at = &(*at)->next;
    *at = hook->next;
    task->hooked = task->hook;
}

/* TASK, which runs, begins to wait (NULL: no task does): if it is abandoned in that, ENDING is
 * called.  To asi_task_wait_out(). */
static inline void asi_task_wait_in(struct anysync_task *task, struct asi_task_hook *hook,
        void (*ending)(struct asi_task_hook *hook, struct anysync_task *task))
{
    if (!task)
        return;
    hook->ending = ending;
    hook->ended = NULL;
    asi_task_hook_in(task, hook);
}

static inline void asi_task_wait_out(struct anysync_task *task, struct asi_task_hook *hook)
{
    if (task)
        asi_task_hook_out(task, hook);
}

/* The slot of a task that runs. */
static inline struct asi_slot asi_task_slot(struct anysync_task *task)
{
    return (struct asi_slot){&task->future.error, &task->future.status};
}

_Static_assert(offsetof(struct anysync_task, list) == 128 && sizeof(struct asi_job) <= 48,
        "a task has outgrown its two cache lines");

static inline struct anysync_task *asi_task_of(struct anysync_future *future)
{
    return asi_container_of(future, struct anysync_task, future);
}

#endif
