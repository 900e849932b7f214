/* SPDX-License-Identifier: MIT */
/*
 * Waiting: the only way anything in this library blocks or suspends.
 *
 * A wait has a deadline, and in a task it ends on a cancel.  What arrived before the end of the
 * wait counts: a value is never lost to a timeout or a cancel that came at the same moment.
 */
#ifndef ASI_SCHED_WAIT_H
#define ASI_SCHED_WAIT_H

#include "loop/timers.h"
#include "sched/future.h"
#include "sched/graph.h"
#include "sched/scheduler.h"
#include "thread/fork.h"
#include "thread/mailbox.h"
#include "thread/waiter.h"

#include <stdbool.h>
#include <stddef.h>

struct anysync_task;

/* How this code may wait. */
enum asi_world {
    ASI_WORLD_THREAD,  /* no loop on this thread: block */
    ASI_WORLD_TASK,    /* suspend */
    ASI_WORLD_CALLBACK /* the loop itself is on the stack: neither */
};

static inline enum asi_world asi_world(void)
{
    struct asi_scheduler *scheduler = asi_scheduler_here();

    if (!scheduler)
        return ASI_WORLD_THREAD;
    return scheduler->current ? ASI_WORLD_TASK : ASI_WORLD_CALLBACK;
}

/*
 * A party is somebody who waits for deliveries: the kernel of all that blocks or suspends.
 *
 *      struct asi_party party;
 *      asi_party_init(&party, asi_world());
 *      ... tell somebody of it, under a lock; any thread: asi_party_deliver(&party) ...
 *      error = asi_party_wait(&party, 0, deadline, true);
 *
 * A wait that ends otherwise (a deadline, a cancel) does not take the party back: who waits has to
 * do that, and if it finds that a delivery is due (it is not on the list any more), has to wait for
 * it, not cancellable, before the party may go.
 */
struct asi_party {
    struct asi_waiter waiter;
    struct asi_letter letter;  /* tasks: how a wake from another thread comes */
    struct asi_timer timer;    /* tasks: the deadline */
    struct anysync_task *task; /* NULL: a thread */
    bool arrived;              /* tasks: the wake of the current sleep has come */
    bool timed_out;
};

/* WORLD: thread or task. */
void asi_party_init(struct asi_party *party, enum asi_world world);

/*
 * Wait until there were more than SEEN deliveries.
 * Returns 0, -ETIMEDOUT, -ECANCELED or -EOWNERDEAD, the last two only if CANCELLABLE.
 */
int asi_party_wait(struct asi_party *party, uint32_t seen, anysync_time deadline, bool cancellable);

/*
 * The same for who knows on which tasks the deliveries depend, AIM: also returns -EDEADLK, with the
 * sentence noted, when they could never come.  RET_EXTRA: set when the party had one delivery more
 * than others made (also if the return is 0).
 */
int asi_party_wait_aimed(struct asi_party *party, uint32_t seen, anysync_time deadline,
        bool cancellable, const struct asi_aim *aim, bool *ret_extra);

/* Whether PARTY is a task that was abandoned in its wait: it takes nothing any more.  (Its stack
 * and its record stay.) */
static inline bool asi_party_is_gone(const struct asi_party *party)
{
    return party->task && asi_cell_done(&party->task->future.cell);
}

/* One delivery, from any thread. */
static inline void asi_party_deliver(struct asi_party *party)
{
    asi_waiter_deliver(&party->waiter);
}

/*
 * Wait until one of COUNT FUTURES is done (entries may be NULL): its index goes to RET_INDEX.
 * WORLD says how; a thread that runs a loop may be made to block as if it did not (nested run).
 * Returns 0, ANYSYNC_DONE, -ETIMEDOUT, -ECANCELED, -EDEADLK, -EOWNERDEAD, -ENOMEM; notes no
 * sentence but that for an -EDEADLK outside callbacks: the cycle.
 */
int asi_wait_any(enum asi_world world, struct anysync_future *const *futures, size_t count,
        anysync_time deadline, size_t *ret_index);

/* If FUTURE is of a task that only this loop can end, the running task, which can wait for it
 * without any atomic; else NULL. */
static inline struct anysync_task *asi_wait_is_here(struct anysync_future *future)
{
    struct asi_scheduler *here = asi_scheduler_here();

    if (ASI_LIKELY(here && future->is_task && asi_task_of(future)->scheduler == here))
        return here->current;
    return NULL;
}

/* SELF, the running task, suspends in WAIT, an edge that it has filled in: until that is woken, or
 * SELF is cancelled.  Returns whether it was woken. */
static inline bool asi_wait_in_edge(struct anysync_task *self, struct asi_local_wait *wait)
{
    self->local_wait = wait;
    self->cancellable = true;
    do
        asi_scheduler_suspend(self->scheduler);
    while (ASI_UNLIKELY(!wait->woken && !self->cancelled));
    self->cancellable = false;
    self->local_wait = NULL;
    self->scheduler->waits_ended++;
    return wait->woken;
}

/* For that: SELF waits for TASK.  Returns as asi_wait_any(). */
int asi_wait_here(struct anysync_task *self, struct anysync_task *task, anysync_time deadline);

/* The same for one. */
int asi_wait_one(enum asi_world world, struct anysync_future *future, anysync_time deadline);

/* The same for FUTURE that tells of the end of LOOP. */
int asi_wait_end(enum asi_world world, struct anysync_future *future, struct asi_scheduler *loop,
        anysync_time deadline);

/* The same for a task that was started by this very call: no -ENOMEM, because the caller is
 * promised that then nothing was started. */
int asi_wait_started(enum asi_world world, struct anysync_future *future, anysync_time deadline);

/* For one, whatever happens to this task meanwhile.  Returns whether it is done. */
bool asi_wait_out(enum asi_world world, struct anysync_future *future, anysync_time deadline);

/*
 * In a task: suspend until asi_task_wake() by something on this loop (a descriptor that became
 * ready), a cancel, or DEADLINE.  *WOKEN, set by that something, decides which it was.
 * Returns 0 when *WOKEN, -ETIMEDOUT, -ECANCELED or -EOWNERDEAD.
 */
int asi_wait_local(const bool *woken, anysync_time deadline);

/*
 * asi_wait_local() for what only WAIT's target, a task of this loop, does: also -EDEADLK, with the
 * sentence noted, when that could never come.  WAIT: its target is filled in; several tasks may
 * wait in the same one.
 */
int asi_wait_local_for(struct asi_local_wait *wait, const bool *woken, anysync_time deadline);

/* The running task was cancelled, or its loop is not this process's: the code to return; 0: go on.
 * A cancelled task gives way to the others once, so that one that refuses to end cannot starve
 * them. */
int asi_wait_refused(struct asi_scheduler *scheduler);

static inline int asi_wait_checkpoint(void)
{
    struct asi_scheduler *scheduler = asi_scheduler_here();

    ASI_ASSERT(scheduler->current, "a wait of tasks was reached outside one");
    if (ASI_LIKELY(!scheduler->current->cancelled && scheduler->generation == asi_fork_generation))
        return 0;
    return asi_wait_refused(scheduler);
}

#endif
