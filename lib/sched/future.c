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

void asi_future_init(struct anysync_future *future, uint32_t refs, void *result, size_t result_size)
{
    asi_cell_init(&future->cell);
    asi_refs_init(&future->refs, refs);
    future->result = result;
    future->error = NULL;
    future->status = 0;
    future->generation = asi_fork_generation;
    future->result_size = (uint32_t)result_size;
    future->is_task = false;
    future->is_job = false;
    future->is_timed = false;
    future->watched = false;
    future->recycled = false;
    future->named = false;
    asi_flag_init(&future->seen);
    if (result_size > 0)
        memset(result, 0, result_size);
}

void asi_future_complete(struct anysync_future *future, int status, struct asi_error *error)
{
    future->status = status;
    future->error = error;
    asi_cell_complete(&future->cell);
}

void asi_future_complete_and_unref(
        struct anysync_future *future, int status, struct asi_error *error)
{
    future->status = status;
    future->error = error;
    if (asi_refs_is_one(&future->refs))
        asi_cell_complete_alone(&future->cell); /* nobody is there to see it */
    else
        asi_cell_complete(&future->cell);
    anysync_future_unref(future);
}

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

struct anysync_future *anysync_future_unref(struct anysync_future *future)
{
    if (!future || !asi_refs_drop(&future->refs))
        return NULL;
    if (ASI_UNLIKELY(future->status < 0)) {
        report_unseen(future);
        asi_error_unref(future->error);
    }
    asi_cell_fini(&future->cell);
    if (future->is_task)
        asi_task_free(asi_task_of(future));
    else if (future->is_timed)
        asi_timed_free(future);
    else
        asi_free(future);
    return NULL;
}
