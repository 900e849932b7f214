/* SPDX-License-Identifier: MIT */
/* What the process sees of the library's threads: their numbers, their loops' bases. */
#include <anysync/executor.h>

#include "loop/poller.h"
#include "sched/error.h"
#include "sched/scheduler.h"
#include "thread/fork.h"
#include "thread/local.h"

#include <errno.h>

unsigned anysync_thread_serial(void)
{
    return asi_local_serial();
}

struct event_base *anysync_event_base(void)
{
    struct asi_scheduler *here = asi_scheduler_here();

    if (!here) {
        asi_call_fails(-EPERM, "this thread runs no loop, so it has no event base");
        return NULL;
    }
    if (here->generation != asi_fork_generation) {
        asi_call_fails(-EOWNERDEAD, "the loop belongs to the process this one was forked from");
        return NULL;
    }
    int error = asi_poller_open(&here->poller);
    if (error)
        asi_call_fails(error, "no event base could be made: %s", anysync_error_text(error));
    else
        asi_poller_share(&here->poller);
    return here->poller.base;
}
