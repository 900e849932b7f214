/* SPDX-License-Identifier: MIT */
/*
 * Scheduler: one loop of one thread, where tasks, timers, descriptors and letters from other
 * threads meet.
 *
 * ONE TURN
 *   1. take the mailbox whole: new tasks join the ready queue, wakes and cancels take effect;
 *   2. run ready tasks, until there is none or the budget is used up;
 *   3. every so many tasks, and when there is nothing to do: fire timers, look at descriptors;
 *   4. nothing to do at all: look at the mailbox for a short time, then park it and sleep.
 *
 * STACKS  The thread's own stack is the host: it does 1, 3 and 4, and libevent runs on it.  Tasks
 *   run on coroutine stacks, whose lowest frame is a runner: it calls the bodies of new tasks one
 *   after another on the same stack.  A body that suspends keeps the stack, runner frame and all,
 *   and the loop goes on with another; when the body ends later, its runner just goes on as the
 *   runner.  A body that never suspends thus costs no switch and no stack, and a suspension one
 *   switch:
 *
 *       host <--> runner (new tasks)      suspended bodies, each above a runner of its own
 *                    |   \___ body            ^
 *                    |                        |
 *                    +--- goes idle, and -----+  resumed
 *
 * Loop thread only, except where said.  No locks, no atomics: those are in lib/thread.
 * Schedulers are taken from a pool and never freed, so that a late letter finds memory of the
 * right kind.
 */
#ifndef ASI_SCHED_SCHEDULER_H
#define ASI_SCHED_SCHEDULER_H

#include "base/list.h"
#include "coro/coro.h"
#include "loop/poller.h"
#include "loop/timers.h"
#include "sched/task.h"
#include "thread/doorbell.h"
#include "thread/flag.h"
#include "thread/held.h"
#include "thread/local.h"
#include "thread/lock.h"
#include "thread/mailbox.h"
#include "thread/spin.h"
#include "thread/thread.h"

#include <anysync/executor.h>

struct asi_edge;

enum asi_loop_kind { ASI_LOOP_WORKER, ASI_LOOP_NESTED, ASI_LOOP_HERE };

enum asi_stopping { ASI_STOP_NOT, ASI_STOP_DRAIN, ASI_STOP_CANCEL };

/* Where waits of the loop's tasks lead, as long as none of them has ended: see sched/graph.c. */
struct asi_chains {
    uint64_t age; /* waits_ended when they were found */
    struct {
        struct anysync_task *start; /* compared only */
        struct anysync_task *end;
    } ways[16];
};

struct asi_scheduler {
    _Alignas(64) struct asi_mailbox mailbox; /* [atomic] a line of its own: producers write it */

    _Alignas(64) struct asi_doorbell bell; /* [atomic] */
    struct asi_letter drain_letter;        /* of who stops it; see asi_scheduler_ask_stop */
    struct asi_letter cancel_letter;
    struct asi_flag cancel_comes; /* [atomic] that one was sent, or is about to be */

    _Alignas(64) struct anysync_task *current; /* the task that runs; NULL in the host */
    struct asi_letter *ready_head;             /* of tasks, FIFO; NULL: there is none */
    struct asi_letter *ready_tail;             /* there if ready_head is */
    struct asi_coro *idle;                     /* runners that wait for work */
    unsigned idle_count;
    unsigned budget; /* tasks until the host has its turn */
    unsigned pace;   /* tasks between two looks at the clock, when there is something to miss */
    unsigned ran;    /* tasks since the last one */
    unsigned found;  /* ready descriptors in the last look */
    anysync_time checked_at; /* the last look at the clock; 0: the loop has slept since */
    anysync_time looked_at;  /* the last look at timers and descriptors */
    int *errno_at; /* of its thread: tasks share it, and each finds its own after a wait */
    struct asi_coro host;
    struct asi_coro *left; /* a stack whose task ended by anysync_exit() */
    struct asi_timers timers;
    struct asi_list begun; /* tasks that have been suspended, until their end, and parked ones */
    struct anysync_task *root;    /* of a nested or here-loop: its end stops the loop */
    struct asi_timer root_timer;  /* of a here-loop: the deadline of its root */
    struct asi_timer grace_timer; /* of both: how long cancelled tasks may clean up */
    struct asi_timer spare_timer; /* while memory is spare: see sched/spare.h */
    enum asi_stopping stopping;
    bool timed_out; /* root_timer fired before the root ended */
    bool abandon;   /* leave what is still suspended, and return */
    struct asi_poller poller;
    struct asi_spin spin;

    enum asi_loop_kind kind;
    struct asi_pointer owner; /* [atomic] of a worker: its executor, NULL when that was freed */
    struct anysync_executor_options options; /* constant while it runs */
    uint32_t generation;                     /* of the process whose thread runs it */
    uint64_t epoch; /* how often it was opened: a loop of the past is no loop of today */
    struct asi_counter tasks, ended, switches, turns; /* of tasks: taken, and gone */

    struct asi_scheduler *next_free; /* [pool lock] */
    struct asi_scheduler *next_all;  /* [pool lock] */
    bool taken;                      /* [pool lock] */
    uint64_t waits_ended;            /* for tasks of this loop */
    struct asi_chains chains;
    struct asi_edge
            *blocked;  /* [graph lock] what its thread waits for; NULL: nothing, or unknown */
    void *fault_stack; /* for the overflow handler of its thread; owned, NULL until needed */
    struct asi_thread thread; /* of a nested loop */
    struct asi_lock opening;  /* of a nested loop: until it is open its thread waits */
    struct asi_flag parted;   /* of a nested loop: caller or thread has left */
};

/* What has to be done once in a process, by whoever comes first.  Any thread. */
void asi_scheduler_prepare_process(void);

/* A closed scheduler from the pool, NULL when there is no memory.  Any thread. */
struct asi_scheduler *asi_scheduler_take(void);
void asi_scheduler_give(struct asi_scheduler *scheduler);

/* Free idle runners but for KEEP.  A loop that has run, and may run on another thread next, keeps
 * none: they began on this one, and a coroutine never changes its thread.  (give sees to it.) */
void asi_scheduler_free_idle(struct asi_scheduler *scheduler, unsigned keep);

/* Once for each user of a scheduler, before it is opened or while it is. */
void asi_scheduler_set_options(
        struct asi_scheduler *scheduler, const struct anysync_executor_options *options);

/* Open it for letters.  From now on others may post.  OPTIONS: NULL, and it has those of last time.
 */
void asi_scheduler_open(struct asi_scheduler *scheduler, enum asi_loop_kind kind,
        const struct anysync_executor_options *options);

/* Be its thread until it has stopped and all tasks have ended (or were abandoned); then it is
 * closed. */
void asi_scheduler_run(struct asi_scheduler *scheduler);

/* From any thread: send LETTER (consumed unless false).  False: the loop is closed. */
bool asi_scheduler_post(struct asi_scheduler *scheduler, struct asi_letter *letter);

/* From any thread, one at a time: have it stop.  Asking again in the same way changes nothing. */
void asi_scheduler_ask_stop(struct asi_scheduler *scheduler, enum asi_stopping how);

/* On its thread: stop. */
void asi_scheduler_stop(struct asi_scheduler *scheduler, enum asi_stopping how);

/* On its thread: cancel the root at DEADLINE, and leave it after the grace time. */
void asi_scheduler_limit_root(struct asi_scheduler *scheduler, anysync_time deadline);

/* On its thread: the root has ended; cancel what it left, and leave that after the grace time. */
void asi_scheduler_root_ended(struct asi_scheduler *scheduler);

/* On its thread: TASK (which has the loop's reference) is one of its tasks, and begins when it is
 * woken; it needs no stack until then. */
void asi_scheduler_park(struct asi_scheduler *scheduler, struct anysync_task *task);

/* Put TASK into the ready queue. */
static inline void asi_scheduler_ready(struct asi_scheduler *scheduler, struct anysync_task *task)
{
    task->letter.next = NULL;
    if (scheduler->ready_head)
        scheduler->ready_tail->next = &task->letter;
    else
        scheduler->ready_head = &task->letter;
    scheduler->ready_tail = &task->letter;
}

/* On its thread: give TASK (which has the loop's reference) to the ready queue. */
static inline void asi_scheduler_add(struct asi_scheduler *scheduler, struct anysync_task *task)
{
    asi_counter_add(&scheduler->tasks, 1);
    asi_scheduler_ready(scheduler, task);
}

/* Tasks begun or queued here, and not ended.  Any thread, which may see it late. */
static inline uint64_t asi_scheduler_live(struct asi_scheduler *scheduler)
{
    uint64_t ended = asi_counter_get(&scheduler->ended);
    uint64_t tasks = asi_counter_get(&scheduler->tasks);

    return tasks > ended ? tasks - ended : 0;
}

/* For tests: called at each suspension, when the task can be woken again.  It may cancel the task.
 * Set it before the library's first use. */
extern void (*asi_suspend_hook)(struct anysync_task *task);

/* Suspend the running task until asi_task_wake; other tasks run meanwhile. */
void asi_scheduler_suspend(struct asi_scheduler *scheduler);

/* The same, in line, for the running TASK, and if the next to run waits on a stack straight there.
 * (errno is the caller's to save.) */
static inline __attribute__((always_inline)) void asi_scheduler_suspend_quickly(
        struct asi_scheduler *scheduler, struct anysync_task *task)
{
    struct asi_letter *first = scheduler->ready_head;
    struct anysync_task *next = first ? asi_container_of(first, struct anysync_task, letter) : NULL;

    if (ASI_UNLIKELY(!next || !asi_task_has_stack(next) || scheduler->budget == 0 ||
                     !asi_task_has_stack(task) || asi_suspend_hook)) {
        asi_scheduler_suspend(scheduler);
        return;
    }
    asi_held_suspends(task, asi_task_name(task));
    scheduler->ready_head = first->next;
    scheduler->budget--;
    task->state = ASI_TASK_SUSPENDED;
    next->state = ASI_TASK_RUNNING;
    scheduler->current = next;
    asi_counter_add(&scheduler->switches, 1);
    asi_coro_switch(asi_coro_running, next->coro);
}

/* asi_task_wake(OTHER), which waits or is ready, then suspend TASK, which runs.  In line, and if
 * nobody else is ready straight to OTHER (which is suspended then): see SPEED in relay.c.  (errno
 * is the caller's to save.) */
static inline __attribute__((always_inline)) void asi_scheduler_hand_over(
        struct asi_scheduler *scheduler, struct anysync_task *task, struct anysync_task *other)
{
    if (ASI_UNLIKELY(scheduler->ready_head || scheduler->budget == 0 || !asi_task_has_stack(task) ||
                     !asi_task_has_stack(other) || asi_suspend_hook)) {
        asi_task_wake(other);
        asi_scheduler_suspend(scheduler);
        return;
    }
    asi_held_suspends(task, asi_task_name(task));
    scheduler->budget--;
    task->state = ASI_TASK_SUSPENDED;
    other->state = ASI_TASK_RUNNING;
    scheduler->current = other;
    asi_counter_add(&scheduler->switches, 1);
    asi_coro_switch(asi_coro_running, other->coro);
}

/* Its errno is SAVED again, after a wait.  (Compared first: a store would have each switch wait for
 * the one before it.) */
static inline void asi_scheduler_restore_errno(struct asi_scheduler *scheduler, int saved)
{
    if (ASI_UNLIKELY(*scheduler->errno_at != saved))
        *scheduler->errno_at = saved;
}

/* Let the other ready tasks run, then go on. */
void asi_scheduler_yield(struct asi_scheduler *scheduler);

/* The same as a public call: returns 0, or -ECANCELED, noted, if the task is cancelled by then. */
int asi_scheduler_yield_call(struct asi_scheduler *scheduler);

/* Leave the running task's stack for good; the task has ended. */
void asi_scheduler_leave(struct asi_scheduler *scheduler) __attribute__((noreturn));

/* The loop of the calling thread, NULL on a plain thread. */
static inline struct asi_scheduler *asi_scheduler_here(void)
{
    return asi_local.scheduler;
}

#endif
