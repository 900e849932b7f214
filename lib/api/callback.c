/* SPDX-License-Identifier: MIT */
#include "sched/callback.h"

#include "api/executor.h"
#include "sched/scheduler.h"
#include "thread/fork.h"

#include <errno.h>

/* The loop of this thread, NULL on a plain thread. */
static int find_loop(struct asi_scheduler **ret_here)
{
    struct asi_scheduler *here = asi_scheduler_here();

    if (here && here->generation != asi_fork_generation)
        return asi_call_fails(-EOWNERDEAD, "the loop of this thread was left behind by a fork");
    *ret_here = here;
    return 0;
}

int anysync_future_at(anysync_time deadline, struct anysync_future **ret_future)
{
    struct asi_letter *away = NULL;
    struct asi_scheduler *here = NULL;
    struct asi_timed *timed;
    int error = find_loop(&here);

    if (error)
        return error;
    if (asi_timed_new(here, deadline, &timed, &away) != 0)
        return asi_call_fails(-ENOMEM, "no memory for a timed future");
    error = away ? asi_executor_post(NULL, away) : 0;
    if (error)
        asi_timed_take_back(timed);
    else
        *ret_future = &timed->future;
    return error;
}

int anysync_future_on_done(struct anysync_future *future, anysync_done_fn *function, void *argument)
{
    struct asi_letter *away = NULL;
    struct asi_callback *callback;
    struct asi_scheduler *here = NULL;
    int error = find_loop(&here);

    ASI_ASSERT(function, "a callback without a function");
    if (error)
        return error;
    if (asi_future_is_orphan(future))
        return asi_call_fails(-EOWNERDEAD,
                "the future was pending when this process was forked: nobody completes it here");
    if (asi_callback_new(here, future, function, argument, &callback, &away) != 0)
        return asi_call_fails(-ENOMEM, "no memory for a callback");
    error = away ? asi_executor_post(NULL, away) : 0;
    if (error)
        asi_callback_take_back(callback);
    return error;
}
