/* SPDX-License-Identifier: MIT */
#include "sched/future.h"

#include "base/memory.h"
#include "sched/callback.h"
#include "sched/scheduler.h"
#include "sched/task.h"
#include "thread/fork.h"
#include "thread/recycle.h"

#include <errno.h>
#include <string.h>

int asi_future_collect_error(struct anysync_future *future)
{
    asi_flag_set(&future->seen);
    asi_slot_put(asi_slot(), future->status, asi_error_ref(future->error));
    return future->status;
}

bool asi_future_is_orphan(struct anysync_future *future)
{
    return future->generation != asi_fork_generation && !asi_cell_done(&future->cell);
}

struct anysync_future *anysync_future_ref(struct anysync_future *future)
{
    asi_refs_add(&future->refs);
    return future;
}

static void report_unseen(struct anysync_future *future)
{
    bool unseen = asi_cell_done(&future->cell) && !asi_flag_get(&future->seen);

    if (future->is_task && unseen && future->status < 0 && future->status != -ECANCELED) {
        const struct anysync_task *task = asi_task_of(future);
        asi_error_report(asi_task_name(task), task->function->file, task->function->line,
                future->status, future->error);
    }
}

void asi_future_free(struct anysync_future *future)
{
    if (ASI_UNLIKELY(future->status < 0)) {
        report_unseen(future);
        asi_error_unref(future->error);
    }
    asi_cell_fini(&future->cell);
    if (future->is_task)
        asi_task_free(asi_task_of(future));
    else if (future->is_timed)
        asi_timed_free(future);
    else if (future->recycled)
        asi_recycle_give(ASI_RECYCLE_TIMED, future);
    else
        asi_free(future);
}

struct anysync_future *anysync_future_unref(struct anysync_future *future)
{
    if (!future || !asi_refs_drop(&future->refs))
        return NULL;
    if (ASI_LIKELY(asi_future_is_ordinary(future) && future->status == 0 &&
                   asi_cell_done(&future->cell)))
        asi_recycle_give(
                ASI_RECYCLE_RECORD, asi_task_of(future)); /* it has hooks and values no more */
    else
        asi_future_free(future);
    return NULL;
}
