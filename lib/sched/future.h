/* SPDX-License-Identifier: MIT */
/* What a future is inside.  (What it promises: <anysync/future.h>.) */
#ifndef ASI_SCHED_FUTURE_H
#define ASI_SCHED_FUTURE_H

#include "sched/error.h"
#include "thread/cell.h"
#include "thread/flag.h"
#include "thread/refs.h"

#include <anysync/future.h>

#include <string.h>

struct anysync_task;

/* One cache line: all that a waiter looks at, and nothing that the loop writes meanwhile. */
struct anysync_future {
    struct asi_cell cell;    /* [atomic] done, and who waits */
    struct asi_refs refs;    /* [atomic] */
    bool is_job;             /* [const] it is the first member of a job (sched/job.h) */
    bool watched;            /* [const] after submission: `seen` also says that a value was taken */
    bool is_timed;           /* [const] it is the first member of one (sched/callback.h) */
    void *result;            /* [const] inside this allocation; what it holds: as status */
    struct asi_error *error; /* [completer], constant when done; owned, may be NULL */
    int status;              /* [completer], constant when done: 0 or a negative code */
    uint32_t generation;     /* [const] of the process that made it */
    uint32_t result_size;    /* [const] */
    bool is_task;            /* [const] it is the first member of a task */
    bool recycled;           /* [const] the memory came from the recycler */
    bool named;              /* [const] the task has a name of its own */
    struct asi_flag seen;    /* [atomic] somebody asked for the result */
};

_Static_assert(sizeof(struct anysync_future) <= 64, "a future has outgrown its cache line");

/* Set up FUTURE with REFS references. */
void asi_future_init(
        struct anysync_future *future, uint32_t refs, void *result, size_t result_size);

/* Complete it: the one who calls has the sole right to, and a reference meanwhile. */
void asi_future_complete(struct anysync_future *future, int status, struct asi_error *error);

/* The same, and drop a reference: cheaper if it is the only one. */
void asi_future_complete_and_unref(
        struct anysync_future *future, int status, struct asi_error *error);

/* The outcome, for a caller that knows it is done: copies the value, or notes the error in the
 * caller's slot; returns the status. */
int asi_future_collect_error(struct anysync_future *future);

static inline int asi_future_collect(struct anysync_future *future, void *ret_result)
{
    if (ASI_UNLIKELY(future->status != 0))
        return asi_future_collect_error(future);
    if (ret_result && future->result_size > 0) {
        memcpy(ret_result, future->result, future->result_size);
        if (ASI_UNLIKELY(future->watched))
            asi_flag_set(&future->seen);
    }
    return 0;
}

/* Pending, and of the process that this one was forked from: it will never be done. */
bool asi_future_is_orphan(struct anysync_future *future);

#endif
