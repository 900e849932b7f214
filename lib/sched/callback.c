/* SPDX-License-Identifier: MIT */
/*
 * The life of a callback:
 *
 *      away --letter--> in the cell --delivery--> letter --> called
 *      (a plain thread)     ^                       ^
 *                           |                       +-- done already
 *      on a loop -----------+
 *
 * Link and waiter are in use until the delivery, the letter before and after that: they share their
 * memory.  The completer touches neither once it has called the wake function (thread/waiter.h),
 * and the cell never frees a link that has an owner; this one has one until its delivery.
 *
 * A scheduler serves many loops, one after another.  A letter that comes to a later one than the
 * callback was meant for finds another epoch, and the callback is told that its loop has gone.
 */
#include "sched/callback.h"

#include "base/list.h"
#include "base/memory.h"
#include "sched/error.h"
#include "sched/scheduler.h"
#include "thread/fork.h"
#include "thread/local.h"
#include "thread/recycle.h"

#include <errno.h>

_Static_assert(sizeof(struct asi_timed) <= ASI_RECYCLE_TIMED_SIZE,
        "a timed future has outgrown the recycler's small records");

/* --- callbacks -------------------------------------------------------------------------------- */

static void call(struct asi_callback *callback, bool gone)
{
    struct anysync_future *future = callback->future;

    callback->function(gone ? NULL : future, callback->argument);
    if (!callback->inside)
        asi_free(callback);
    anysync_future_unref(future);
}

static void deliver_call(struct asi_letter *letter, void *receiver)
{
    struct asi_callback *callback = asi_container_of(letter, struct asi_callback, letter);
    struct asi_scheduler *scheduler = receiver;

    call(callback, callback->epoch != (uint32_t)scheduler->epoch);
}

static void send(struct asi_callback *callback)
{
    callback->letter.deliver = deliver_call;
    if (asi_scheduler_post(callback->scheduler, &callback->letter))
        return;
    if (asi_local.in_signal == 0) /* a handler can only forget it */
        call(callback, true);
}

static void wake(struct asi_waiter *waiter)
{
    send(asi_container_of(waiter, struct asi_callback, waiter));
}

/* On the thread of SCHEDULER, where it is to run. */
static void join(struct asi_callback *callback, struct asi_scheduler *scheduler)
{
    if (!callback->inside) { /* else others may be looking at them; they are the same */
        callback->scheduler = scheduler;
        callback->epoch = (uint32_t)scheduler->epoch;
    }
    asi_waiter_init(&callback->waiter, wake);
    asi_waiter_arm(&callback->waiter, 0); /* a sleeper: each delivery wakes it */
    if (!asi_cell_join(&callback->future->cell, &callback->link, &callback->waiter))
        send(callback); /* it is done already */
}

static void deliver_registration(struct asi_letter *letter, void *receiver)
{
    join(asi_container_of(letter, struct asi_callback, letter), receiver);
}

/* The callback in the record of FUTURE, if that is a timed one of this loop and it is free. */
static struct asi_callback *callback_inside(
        struct asi_scheduler *here, struct anysync_future *future)
{
    struct asi_timed *timed = asi_container_of(future, struct asi_timed, future);

    if (!here || !future->is_timed || timed->callback.scheduler != here ||
            timed->callback.epoch != (uint32_t)here->epoch || timed->callback.function)
        return NULL;
    return &timed->callback;
}

int asi_callback_new(struct asi_scheduler *here, struct anysync_future *future,
        anysync_done_fn *function, void *argument, struct asi_callback **ret_callback,
        struct asi_letter **ret_away)
{
    struct asi_callback *callback = callback_inside(here, future);
    bool inside = callback;

    if (!callback)
        callback = asi_allocate(sizeof(*callback));
    if (!callback)
        return -ENOMEM;
    callback->function = function;
    callback->argument = argument;
    callback->future = anysync_future_ref(future);
    callback->inside = inside;
    *ret_callback = callback;
    if (here) {
        join(callback, here);
    } else {
        callback->letter.deliver = deliver_registration;
        *ret_away = &callback->letter;
    }
    return 0;
}

void asi_callback_take_back(struct asi_callback *callback)
{
    anysync_future_unref(callback->future);
    asi_free(callback);
}

/* --- timed futures ---------------------------------------------------------------------------- */

static void on_due(struct asi_timer *timer)
{
    struct asi_timed *timed = asi_container_of(timer, struct asi_timed, timer);

    if (asi_cell_claim(&timed->future.cell))
        asi_future_complete_and_unref(&timed->future, 0, NULL);
    else
        anysync_future_unref(&timed->future); /* it was completed before, elsewhere */
}

static void deliver_timed(struct asi_letter *letter, void *receiver)
{
    struct asi_callback *callback = asi_container_of(letter, struct asi_callback, letter);
    struct asi_timed *timed = asi_container_of(callback, struct asi_timed, callback);
    struct asi_scheduler *scheduler = receiver;

    asi_timer_arm(&scheduler->timers, &timed->timer, timed->timer.deadline);
}

int asi_timed_new(struct asi_scheduler *here, anysync_time deadline, struct asi_timed **ret_timed,
        struct asi_letter **ret_away)
{
    bool ever = deadline != ANYSYNC_FOREVER;
    struct asi_timed *timed = asi_recycle_take(ASI_RECYCLE_TIMED);

    if (!timed)
        return -ENOMEM;
    asi_future_init(&timed->future, ever ? 2 : 1, NULL, 0); /* the caller's, and the timer's */
    timed->future.is_timed = true;
    timed->callback.function = NULL;
    timed->callback.scheduler = here;
    timed->callback.epoch = here ? (uint32_t)here->epoch : 0;
    asi_timer_init(&timed->timer, on_due);
    *ret_timed = timed;
    if (here && ever) {
        asi_timer_arm(&here->timers, &timed->timer, deadline);
    } else if (ever) {
        timed->timer.deadline = deadline;
        timed->callback.letter.deliver = deliver_timed;
        *ret_away = &timed->callback.letter;
    }
    return 0;
}

void asi_timed_take_back(struct asi_timed *timed)
{
    asi_timed_free(&timed->future);
}

bool asi_timed_stop(struct anysync_future *future)
{
    struct asi_timed *timed = asi_container_of(future, struct asi_timed, future);
    struct asi_scheduler *here = asi_scheduler_here();

    if (!here || timed->callback.scheduler != here ||
            timed->callback.epoch != (uint32_t)here->epoch || !timed->timer.armed)
        return false;
    asi_timer_disarm(&here->timers, &timed->timer);
    return true;
}

void asi_timed_free(struct anysync_future *future)
{
    asi_recycle_give(ASI_RECYCLE_TIMED, asi_container_of(future, struct asi_timed, future));
}

void asi_timed_end_all(struct asi_scheduler *scheduler)
{
    struct asi_timer *timer;

    while ((timer = asi_timers_take(&scheduler->timers)) != NULL) {
        if (timer->fire != on_due)
            continue; /* of a task that was abandoned */
        struct anysync_future *future = &asi_container_of(timer, struct asi_timed, timer)->future;
        if (asi_cell_claim(&future->cell))
            asi_future_complete_and_unref(future, -ECANCELED,
                    asi_error_new(-ECANCELED, ANYSYNC_ORIGIN_TASK,
                            "the loop of a timed future ended before its deadline"));
        else
            anysync_future_unref(future);
    }
}
