/* SPDX-License-Identifier: MIT */
/*
 * Futures: the public calls.  (Reference counts and completion: sched/future.c.)
 *
 * A future that somebody completes by hand is claimed first: whoever wins the claim has the sole
 * right to write value or error, and then completes it as a task does.  What a wait returned is
 * put into words here, once for all of them.
 */
#include "sched/future.h"

#include "base/memory.h"
#include "sched/callback.h"
#include "sched/scheduler.h"
#include "sched/task.h"
#include "sched/wait.h"
#include "thread/fork.h"
#include "thread/local.h"

#include <anysync/cancel.h>

#include <errno.h>
#include <string.h>

int anysync_future_new(size_t result_size, struct anysync_future **ret_future)
{
    size_t room = (sizeof(struct anysync_future) + 15) & ~(size_t)15;
    bool recycled = result_size <= ASI_RECYCLE_TIMED_SIZE - room;
    struct anysync_future *future = NULL;

    if (recycled)
        future = asi_recycle_take(ASI_RECYCLE_TIMED);
    else if (result_size <= ASI_MOST_BYTES)
        future = asi_allocate(room + result_size);
    if (!future)
        return asi_call_fails(-ENOMEM, "no memory for a future of %zu bytes", result_size);
    asi_future_init(future, 1, (char *)future + room, result_size);
    future->recycled = recycled;
    *ret_future = future;
    return 0;
}

static const char orphan_text[] =
        "the future was pending when this process was forked: nobody completes it here";

/* The sole right to complete FUTURE by hand; async-signal-safe. */
static int claim_silently(struct anysync_future *future)
{
    if (future->is_task)
        return -EPERM;
    if (asi_future_is_orphan(future))
        return -EOWNERDEAD;
    return asi_cell_claim(&future->cell) ? 0 : -EALREADY;
}

/* The same, with a sentence when it is refused. */
static int claim(struct anysync_future *future)
{
    int error = claim_silently(future);

    switch (error) {
    case -EPERM:
        return asi_call_fails(error, "the future of task \"%s\" cannot be set by hand",
                asi_task_name(asi_task_of(future)));
    case -EOWNERDEAD:
        return asi_call_fails(error, orphan_text);
    case -EALREADY:
        return asi_call_fails(error, "the future was done before");
    default:
        return error;
    }
}

/* FUTURE is this call's to complete: take back its timer.  Returns whether there is a reference to
 * drop afterwards. */
static bool stop_timer(struct anysync_future *future)
{
    return ASI_UNLIKELY(future->is_timed) && asi_timed_stop(future);
}

static void put_value(struct anysync_future *future, const void *value)
{
    if (value && future->result_size > 0)
        memcpy(future->result, value, future->result_size);
    asi_future_complete(future, 0, NULL);
}

int anysync_future_set(struct anysync_future *future, const void *value)
{
    int error = claim(future);

    if (error)
        return error;
    bool held = stop_timer(future);
    put_value(future, value);
    if (held)
        anysync_future_unref(future);
    return 0;
}

int anysync_future_set_from_signal(struct anysync_future *future, const void *value)
{
    int error = claim_silently(future);

    if (error)
        return error;
    /* Wakes take the way for other threads: this one may be in the middle of its ready queue. */
    asi_local.in_signal++;
    put_value(future, value);
    asi_local.in_signal--;
    return 0;
}

int anysync_future_fail(struct anysync_future *future, int code, const char *format, ...)
{
    va_list values;

    ASI_ASSERT(code < 0, "a future cannot fail with a code that is not negative");
    int error = claim(future);
    if (error)
        return error;
    bool held = stop_timer(future);
    va_start(values, format);
    asi_future_complete(
            future, code, asi_error_new_list(code, ANYSYNC_ORIGIN_TASK, format, values));
    va_end(values);
    if (held)
        anysync_future_unref(future);
    return 0;
}

bool anysync_future_done(struct anysync_future *future)
{
    return asi_cell_done(&future->cell);
}

int anysync_cancel(struct anysync_future *future)
{
    return anysync_cancel_because(future, NULL);
}

int anysync_cancel_because(struct anysync_future *future, const char *reason)
{
    if (asi_future_is_orphan(future))
        return asi_call_fails(-EOWNERDEAD, orphan_text);
    if (future->is_task)
        return asi_task_ask_cancel(asi_task_of(future), reason);
    if (!asi_cell_claim(&future->cell))
        return ANYSYNC_DONE;
    bool held = stop_timer(future);
    asi_future_complete(future, -ECANCELED,
            asi_error_new(-ECANCELED, ANYSYNC_ORIGIN_TASK, "the future was cancelled%s%s",
                    reason ? ": " : "", reason ? reason : ""));
    if (held)
        anysync_future_unref(future);
    return 0;
}

/* --- waiting ---------------------------------------------------------------------------------- */

/* Note a sentence for what a wait returned. */
static int say_why(int error)
{
    switch (error) {
    case -EDEADLK:
        if (asi_world() != ASI_WORLD_CALLBACK)
            return error; /* the cycle is noted */
        return asi_call_fails(error,
                "a callback of the loop cannot wait for a future: spawn a coroutine that does");
    case -EOWNERDEAD:
        return asi_call_fails(error, orphan_text);
    case -ETIMEDOUT:
    case -ECANCELED:
    case -ENOMEM:
        return asi_call_fails(error, NULL);
    default:
        return error;
    }
}

static bool is_own(const struct anysync_future *future)
{
    return asi_world() == ASI_WORLD_TASK && &asi_scheduler_here()->current->future == future;
}

/* Whether all there is to wait for is the running task itself. */
static bool only_own(struct anysync_future *const *futures, size_t count)
{
    bool found = false;

    for (size_t i = 0; i < count; i++) {
        if (futures[i] && !is_own(futures[i]))
            return false;
        found = found || futures[i];
    }
    return found;
}

int anysync_future_wait(struct anysync_future *future, anysync_time deadline)
{
    if (is_own(future))
        return asi_call_fails(
                -EDEADLK, "task \"%s\" waits for itself", asi_task_name(asi_task_of(future)));
    return say_why(asi_wait_one(asi_world(), future, deadline));
}

int anysync_future_result(struct anysync_future *future, void *ret_result)
{
    if (asi_cell_done(&future->cell))
        return asi_future_collect(future, ret_result);
    if (asi_future_is_orphan(future))
        return say_why(-EOWNERDEAD);
    return asi_call_fails(-EAGAIN, "the future is not done yet: wait for it first");
}

int anysync_wait(struct anysync_future *future, void *ret_result, anysync_time deadline)
{
    struct anysync_task *self = asi_wait_is_here(future);
    int error;

    if (ASI_LIKELY(self && &self->future != future)) {
        error = asi_wait_here(self, asi_task_of(future), deadline);
        if (ASI_UNLIKELY(error))
            return say_why(error);
    } else {
        error = anysync_future_wait(future, deadline);
        if (error)
            return error;
    }
    return asi_future_collect(future, ret_result);
}

int anysync_wait_any(struct anysync_future *const *futures, size_t count, anysync_time deadline,
        size_t *ret_index)
{
    size_t index;

    if (only_own(futures, count))
        return asi_call_fails(-EDEADLK, "task \"%s\" waits for nobody but itself",
                asi_task_name(asi_scheduler_here()->current));
    int error = asi_wait_any(asi_world(), futures, count, deadline, &index);

    if (!error)
        *ret_index = index;
    return say_why(error);
}

int anysync_wait_all(struct anysync_future *const *futures, size_t count, anysync_time deadline)
{
    for (size_t i = 0; i < count; i++) {
        int error = futures[i] ? anysync_future_wait(futures[i], deadline) : 0;
        if (error)
            return error;
    }
    return 0;
}
