/* SPDX-License-Identifier: MIT */
/*
 * Waiting.
 *
 * A waiting party is an asi_waiter: a thread sleeps on it, a task suspends and is woken by its
 * letter.  It joins the cells it waits for, sleeps until there was a delivery, and then leaves all
 * of them.  A cell that cannot be left has delivered or is about to: that delivery is waited for,
 * because the deliverer still holds a pointer to the waiter.  It takes a few instructions, unless
 * the deliverer has lost its processor.
 *
 * A delivery that ends a task's sleep from another thread comes as a letter: the waiter may not go
 * before the letter has arrived.  Timers and cancels wake a task too; then asi_waiter_disarm tells
 * whether a letter is on its way as well.
 *
 * A thread looks at the cells for a short time first: what is done by then needs no link and no
 * delivery.
 */
#include "sched/wait.h"

#include "base/memory.h"
#include "coro/sanitize.h"
#include "sched/job.h"
#include "sched/scheduler.h"
#include "sched/scope.h"
#include "sched/task.h"
#include "thread/fork.h"
#include "thread/local.h"
#include "thread/spin.h"

#include <errno.h>

enum { FEW = 8 };

/* --- a task's sleep --------------------------------------------------------------------------- */

static void arrive(struct asi_party *party)
{
    party->arrived = true;
    asi_task_wake(party->task);
}

static void deliver_letter(struct asi_letter *letter, void *receiver)
{
    (void)receiver;
    arrive(asi_container_of(letter, struct asi_party, letter));
}

/* Called by who completed something, on any thread. */
static void wake_task(struct asi_waiter *waiter)
{
    struct asi_party *party = asi_container_of(waiter, struct asi_party, waiter);
    struct asi_scheduler *scheduler = party->task->scheduler;

    if (asi_local.scheduler == scheduler && asi_local.in_signal == 0)
        arrive(party);
    else
        asi_scheduler_post(scheduler, &party->letter); /* refused: the task was abandoned */
}

static void on_deadline(struct asi_timer *timer)
{
    struct asi_party *party = asi_container_of(timer, struct asi_party, timer);

    party->timed_out = true;
    asi_task_wake(party->task);
}

static void suspend(struct anysync_task *task, bool cancellable)
{
    task->cancellable = cancellable;
    asi_scheduler_suspend(task->scheduler);
    task->cancellable = false;
}

/* Suspend until there were more than SEEN deliveries; only if CANCELLABLE, also a cancel ends it.
 */
static int task_sleep(
        struct asi_party *party, uint32_t seen, anysync_time deadline, bool cancellable)
{
    struct anysync_task *task = party->task;
    struct asi_timers *timers = &task->scheduler->timers;

    party->arrived = false;
    party->timed_out = false;
    if (!asi_waiter_arm(&party->waiter, seen))
        return 0;
    if (deadline != ANYSYNC_FOREVER)
        asi_timer_arm(timers, &party->timer, deadline);
    do /* others may wake it for reasons of their own: the close of a generator */
        suspend(task, cancellable);
    while (!party->arrived && !party->timed_out && !(cancellable && task->cancelled));
    asi_timer_disarm(timers, &party->timer);
    if (!party->arrived && !asi_waiter_disarm(&party->waiter)) {
        while (!party->arrived) /* its letter is on its way */
            suspend(task, false);
    }
    if (asi_waiter_count(&party->waiter) > seen)
        return 0;
    return party->timed_out ? -ETIMEDOUT : -ECANCELED;
}

/* --- either ----------------------------------------------------------------------------------- */

void asi_party_init(struct asi_party *party, enum asi_world world)
{
    struct asi_scheduler *scheduler = asi_local.scheduler;

    party->task = world == ASI_WORLD_TASK ? scheduler->current : NULL;
    asi_waiter_init(&party->waiter, party->task ? wake_task : NULL);
    party->letter.deliver = deliver_letter;
    asi_timer_init(&party->timer, on_deadline);
}

/* Block this thread, no longer than its scopes allow. */
static int thread_sleep(
        struct asi_party *party, uint32_t seen, anysync_time deadline, bool cancellable)
{
    anysync_time end = cancellable ? asi_scope_limit(deadline) : deadline;

    if (asi_waiter_count(&party->waiter) > seen)
        return 0;
    struct anysync_limiter *limiter = asi_job_pause();
    anysync_time start = asi_sleep_begin(&asi_local.spin);
    bool arrived = asi_waiter_sleep(&party->waiter, seen, end);
    if (arrived)
        asi_sleep_end(&asi_local.spin, start);
    asi_job_resume(limiter);
    if (arrived)
        return 0;
    return cancellable ? asi_scope_why(deadline) : -ETIMEDOUT;
}

static int party_sleep(
        struct asi_party *party, uint32_t seen, anysync_time deadline, bool cancellable)
{
    if (party->task)
        return task_sleep(party, seen, deadline, cancellable);
    return thread_sleep(party, seen, deadline, cancellable);
}

/* A thread looks for a short time before it goes to sleep. */
static bool look_for_delivery(struct asi_party *party, uint32_t seen)
{
    struct asi_look look;

    asi_look_begin(&look, &asi_local.spin, asi_spin_policy());
    while (asi_waiter_count(&party->waiter) <= seen && asi_look_again(&look))
        ;
    bool found = asi_waiter_count(&party->waiter) > seen;
    asi_look_end(&look, found);
    return found;
}

/* Sleep for what AIM tells, which could perhaps never come. */
static int sleep_aimed(struct asi_party *party, uint32_t seen, anysync_time deadline,
        bool cancellable, const struct asi_aim *aim, bool *ret_extra)
{
    unsigned how = (party->task ? 0 : ASI_WAIT_BLOCKS) | (cancellable ? 0 : ASI_WAIT_FIRM);
    struct asi_error *why;
    struct asi_edge edge;

    if (!asi_graph_counts(aim, how, deadline))
        return party_sleep(party, seen, deadline, cancellable);
    if (!asi_graph_enter(&edge, aim, how, &party->waiter, seen))
        return -EDEADLK;
    int status = party_sleep(party, seen, deadline, cancellable);
    if (!asi_graph_leave(&edge, &why))
        return status;
    *ret_extra = true;
    if (asi_waiter_count(&party->waiter) > seen + 1) { /* it came after all */
        asi_error_unref(why);
        return 0;
    }
    asi_slot_put(asi_slot(), -EDEADLK, why);
    return -EDEADLK;
}

/* What can be said without a sleep.  Returns whether that was all. */
static bool party_settle(struct asi_party *party, uint32_t seen, anysync_time deadline,
        bool cancellable, int *ret_status)
{
    *ret_status = 0;
    if (asi_waiter_count(&party->waiter) > seen)
        return true;
    if (party->task && cancellable) {
        *ret_status = asi_wait_checkpoint();
        if (*ret_status)
            return true;
    }
    if (deadline == ANYSYNC_POLL) {
        *ret_status = -ETIMEDOUT;
        return true;
    }
    return !party->task && look_for_delivery(party, seen);
}

int asi_party_wait_aimed(struct asi_party *party, uint32_t seen, anysync_time deadline,
        bool cancellable, const struct asi_aim *aim, bool *ret_extra)
{
    int status;

    *ret_extra = false;
    if (party_settle(party, seen, deadline, cancellable, &status))
        return status;
    return sleep_aimed(party, seen, deadline, cancellable, aim, ret_extra);
}

int asi_party_wait(struct asi_party *party, uint32_t seen, anysync_time deadline, bool cancellable)
{
    int status;

    if (party_settle(party, seen, deadline, cancellable, &status))
        return status;
    return party_sleep(party, seen, deadline, cancellable);
}

/* --- many cells ------------------------------------------------------------------------------- */

/* The first that is done, COUNT if none is.  RET_PENDING: whether there is one to wait for. */
static size_t find_done(
        struct anysync_future *const *futures, size_t count, bool *ret_pending, bool *ret_orphan)
{
    *ret_pending = false;
    *ret_orphan = false;
    for (size_t i = 0; i < count; i++) {
        if (!futures[i])
            continue;
        if (asi_cell_done(&futures[i]->cell))
            return i;
        *ret_pending = true;
        if (futures[i]->generation != asi_fork_generation)
            *ret_orphan = true;
    }
    return count;
}

static bool any_done(struct anysync_future *const *futures, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (futures[i] && asi_cell_done(&futures[i]->cell))
            return true;
    }
    return false;
}

/* A thread looks for a short time before it goes to sleep. */
static bool look_for_done(
        struct anysync_future *const *futures, size_t count, anysync_time deadline)
{
    struct asi_look look;
    unsigned rounds = 0;

    asi_look_begin(&look, &asi_local.spin, asi_spin_policy());
    while (!any_done(futures, count) && asi_look_again(&look)) {
        if (++rounds % 64 == 0 && deadline != ANYSYNC_FOREVER && anysync_now() >= deadline)
            break;
    }
    bool found = any_done(futures, count);
    asi_look_end(&look, found);
    return found;
}

/* Join all cells.  Returns how many entries were gone through; RET_STATUS: 0, or -ENOMEM. */
static size_t join_all(struct asi_party *party, struct anysync_future *const *futures, size_t count,
        struct asi_link **links, int *ret_status)
{
    *ret_status = 0;
    for (size_t i = 0; i < count; i++) {
        links[i] = NULL;
        if (!futures[i])
            continue;
        struct asi_link *link = asi_link_new();
        if (!link) {
            *ret_status = -ENOMEM;
            return i;
        }
        if (!asi_cell_join(&futures[i]->cell, link, &party->waiter)) {
            asi_link_free(link);
            return i;
        }
        links[i] = link;
    }
    return count;
}

/* Leave all cells again, and wait for the deliveries that are due, beside EXTRA ones. */
static void leave_all(struct asi_party *party, struct anysync_future *const *futures,
        struct asi_link **links, size_t joined, uint32_t extra)
{
    uint32_t due = extra;

    for (size_t i = 0; i < joined; i++) {
        if (links[i] && asi_cell_leave(&futures[i]->cell, links[i]))
            links[i] = NULL; /* consumed */
        else if (links[i])
            due++;
    }
    for (uint32_t seen = asi_waiter_count(&party->waiter); seen < due;
            seen = asi_waiter_count(&party->waiter))
        (void)party_sleep(party, seen, ANYSYNC_FOREVER, false);
    for (size_t i = 0; i < joined; i++) {
        if (links[i])
            asi_link_free(links[i]);
    }
}

static int wait_with(struct asi_party *party, const struct asi_aim *aim, struct asi_link **links,
        anysync_time deadline, bool cancellable)
{
    bool extra = false;
    int status;
    size_t joined = join_all(party, aim->futures, aim->count, links, &status);

    if (joined == aim->count && status == 0)
        status = sleep_aimed(party, 0, deadline, cancellable, aim, &extra);
    leave_all(party, aim->futures, links, joined, extra);
    return status;
}

/* What can be said without waiting.  Returns whether that was all. */
static bool settle(enum asi_world world, struct anysync_future *const *futures, size_t count,
        anysync_time deadline, size_t *ret_index, int *ret_status)
{
    bool pending, orphan;

    *ret_index = find_done(futures, count, &pending, &orphan);
    if (*ret_index < count)
        *ret_status = 0;
    else if (!pending)
        *ret_status = ANYSYNC_DONE;
    else if (orphan)
        *ret_status = -EOWNERDEAD;
    else if (world == ASI_WORLD_CALLBACK)
        *ret_status = deadline == ANYSYNC_POLL ? -ETIMEDOUT : -EDEADLK;
    else
        return false;
    return true;
}

static ASI_REAL_FRAME int wait_aimed(
        enum asi_world world, const struct asi_aim *aim, anysync_time deadline, size_t *ret_index)
{
    struct anysync_future *const *futures = aim->futures;
    size_t count = aim->count;
    struct asi_link *few[FEW], **links = few;
    struct asi_party party;
    int status;

    if (settle(world, futures, count, deadline, ret_index, &status))
        return status;
    if (world == ASI_WORLD_TASK) {
        status = asi_wait_checkpoint();
        if (status)
            return status;
    } else if (deadline != ANYSYNC_POLL && look_for_done(futures, count, deadline) &&
               settle(world, futures, count, deadline, ret_index, &status)) {
        return status;
    }
    if (deadline == ANYSYNC_POLL)
        return -ETIMEDOUT;
    if (count > FEW) {
        links = asi_allocate(count * sizeof(struct asi_link *));
        if (!links)
            return -ENOMEM;
    }
    asi_party_init(&party, world);
    status = wait_with(&party, aim, links, deadline, true);
    if (links != few)
        asi_free(links);
    /* What is done by now counts, however the wait ended. */
    int settled;
    if (settle(world, futures, count, deadline, ret_index, &settled))
        return settled;
    return status;
}

int asi_wait_any(enum asi_world world, struct anysync_future *const *futures, size_t count,
        anysync_time deadline, size_t *ret_index)
{
    struct asi_aim aim = {.futures = futures, .count = count};

    return wait_aimed(world, &aim, deadline, ret_index);
}

int asi_wait_end(enum asi_world world, struct anysync_future *future, struct asi_scheduler *loop,
        anysync_time deadline)
{
    struct asi_aim aim = {.futures = &future, .count = 1, .stops = loop, .hidden = true};
    size_t index;

    return wait_aimed(world, &aim, deadline, &index);
}

static void remove_wait(struct anysync_task *task, struct asi_local_wait *wait)
{
    struct asi_local_wait **at = &task->waits;

    while (*at != wait)
        at = &(*at)->next;
    *at = wait->next;
}

/* Whether a scope of the running task ends each wait some time. */
static bool has_limit(void)
{
    return asi_scope_limit(ANYSYNC_FOREVER) != ANYSYNC_FOREVER;
}

int asi_wait_local_for(struct asi_local_wait *wait, const bool *woken, anysync_time deadline)
{
    struct anysync_task *self = asi_scheduler_here()->current, *target = wait->target;

    if (deadline == ANYSYNC_FOREVER && (!self->scoped || !has_limit())) {
        if (target->state == ASI_TASK_SUSPENDED && target->local_wait && !self->cancelled &&
                asi_graph_closes(target))
            return -EDEADLK;
        self->local_wait = wait;
    }
    int error = asi_wait_local(woken, deadline);
    self->local_wait = NULL;
    self->scheduler->waits_ended++;
    return error;
}

/* SELF waits for TASK, both of this loop, until that ends or SELF is cancelled. */
static int suspend_for(struct anysync_task *self, struct anysync_task *task)
{
    struct asi_local_wait wait = {.next = task->waits, .task = self, .target = task};

    task->waits = &wait;
    if (ASI_LIKELY(asi_wait_in_edge(self, &wait)))
        return 0;
    remove_wait(task, &wait);
    return -ECANCELED;
}

/* The same with a deadline, in scopes, or when it is refused. */
static int wait_limited(struct anysync_task *self, struct anysync_task *task, anysync_time deadline)
{
    struct asi_local_wait wait = {.next = task->waits, .task = self, .target = task};

    if (deadline == ANYSYNC_POLL) {
        int refused = asi_wait_checkpoint();
        return refused ? refused : -ETIMEDOUT;
    }
    task->waits = &wait;
    int error = asi_wait_local_for(&wait, &wait.woken, deadline);
    if (!wait.woken)
        remove_wait(task, &wait);
    return wait.woken ? 0 : error;
}

int asi_wait_here(struct anysync_task *self, struct anysync_task *task, anysync_time deadline)
{
    if (asi_cell_done(&task->future.cell))
        return 0;
    if (ASI_UNLIKELY(deadline != ANYSYNC_FOREVER || self->scoped || self->cancelled ||
                     self->scheduler->generation != asi_fork_generation))
        return wait_limited(self, task, deadline);
    if (task->state == ASI_TASK_SUSPENDED && task->local_wait && asi_graph_closes(task))
        return -EDEADLK;
    return suspend_for(self, task);
}

int asi_wait_one(enum asi_world world, struct anysync_future *future, anysync_time deadline)
{
    struct anysync_task *self = asi_wait_is_here(future);
    size_t index;

    if (world == ASI_WORLD_TASK && self)
        return asi_wait_here(self, asi_task_of(future), deadline);
    return asi_wait_any(world, &future, 1, deadline, &index);
}

/* There is no memory to wait with: let others run, who may free some, and try again.  A job is to
 * count as one that waits, as in thread_sleep(): what it waits for may need its token, or can only
 * fail for want of a thread if nobody relies on this one. */
static void give_way(enum asi_world world)
{
    if (world == ASI_WORLD_TASK) {
        asi_scheduler_yield(asi_local.scheduler);
        return;
    }
    struct anysync_limiter *limiter = asi_job_pause();
    asi_thread_yield();
    asi_job_resume(limiter);
}

int asi_wait_started(enum asi_world world, struct anysync_future *future, anysync_time deadline)
{
    for (;;) {
        int error = asi_wait_one(world, future, deadline);
        if (ASI_LIKELY(error != -ENOMEM))
            return error;
        if (deadline != ANYSYNC_FOREVER && anysync_now() >= deadline)
            return -ETIMEDOUT;
        give_way(world);
    }
}

ASI_REAL_FRAME bool asi_wait_out(
        enum asi_world world, struct anysync_future *future, anysync_time deadline)
{
    struct asi_link *link;
    struct asi_party party;

    while (!asi_cell_done(&future->cell)) {
        struct asi_aim aim = {.futures = &future, .count = 1};
        asi_party_init(&party, world);
        if (wait_with(&party, &aim, &link, deadline, false) != -ENOMEM)
            break;
        if (deadline != ANYSYNC_FOREVER && anysync_now() >= deadline)
            break;
        give_way(world);
    }
    return asi_cell_done(&future->cell);
}

/* --- on this loop only ------------------------------------------------------------------------ */

int asi_wait_refused(struct asi_scheduler *scheduler)
{
    if (scheduler->generation != asi_fork_generation)
        return -EOWNERDEAD;
    asi_scheduler_yield(scheduler);
    return -ECANCELED;
}

/* The deadline of a wait that only this loop ends. */
struct alarm {
    struct asi_timer timer;
    struct anysync_task *task;
    bool rang;
};

static void on_alarm(struct asi_timer *timer)
{
    struct alarm *alarm = asi_container_of(timer, struct alarm, timer);

    alarm->rang = true;
    asi_task_wake(alarm->task);
}

static int wait_until(struct anysync_task *task, const bool *woken, anysync_time deadline)
{
    struct asi_timers *timers = &task->scheduler->timers;
    struct alarm alarm = {.task = task};

    asi_timer_init(&alarm.timer, on_alarm);
    asi_timer_arm(timers, &alarm.timer, deadline);
    while (!*woken && !alarm.rang && !task->cancelled)
        suspend(task, true);
    asi_timer_disarm(timers, &alarm.timer);
    if (*woken)
        return 0;
    return alarm.rang ? -ETIMEDOUT : -ECANCELED;
}

int asi_wait_local(const bool *woken, anysync_time deadline)
{
    struct anysync_task *task = asi_scheduler_here()->current;
    int error = asi_wait_checkpoint();

    if (ASI_UNLIKELY(error))
        return error;
    if (deadline != ANYSYNC_FOREVER)
        return wait_until(task, woken, deadline);
    while (!*woken && !task->cancelled)
        suspend(task, true);
    return *woken ? 0 : -ECANCELED;
}
