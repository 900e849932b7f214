/* SPDX-License-Identifier: MIT */
/* What a future is inside.  (What it promises: <anysync/future.h>.) */
#ifndef ASI_SCHED_FUTURE_H
#define ASI_SCHED_FUTURE_H

#include "sched/error.h"
#include "thread/cell.h"
#include "thread/flag.h"
#include "thread/fork.h"
#include "thread/refs.h"

#include <anysync/future.h>

#include <stddef.h>
#include <string.h>

struct anysync_task;

/* One cache line: all that a waiter looks at, and nothing that the loop writes meanwhile. */
struct anysync_future {
    struct asi_cell cell;    /* [atomic] done, and who waits */
    struct asi_refs refs;    /* [atomic] */
    struct asi_flag seen;    /* [atomic] somebody asked for the result */
    bool watched;            /* [const] after submission: `seen` also says that a value was taken */
    bool is_timed;           /* [const] it is the first member of one (sched/callback.h) */
    void *result;            /* [const] inside this allocation; what it holds: as status */
    struct asi_error *error; /* [completer], constant when done; owned, may be NULL */
    int status;              /* [completer], constant when done: 0 or a negative code */
    uint32_t generation;     /* [const] of the process that made it */
    uint32_t result_size;    /* [const] */
    /* [const] four that are looked at as one: see asi_future_is_ordinary() */
    bool is_task;  /* it is the first member of a task */
    bool recycled; /* the memory came from the recycler */
    bool is_job;   /* it is the first member of a job (sched/job.h) */
    bool named;    /* [const] after submission: the task has a name of its own */
};

_Static_assert(
        offsetof(struct anysync_future, named) == offsetof(struct anysync_future, is_task) + 3,
        "the four are not side by side");
_Static_assert(sizeof(struct anysync_future) <= 64, "a future has outgrown its cache line");

/* Set up FUTURE with REFS references. */
static inline void asi_future_init(
        struct anysync_future *future, uint32_t refs, void *result, size_t result_size)
{
    asi_cell_init(&future->cell);
    asi_refs_init(&future->refs, refs);
    future->result = result;
    future->error = NULL;
    future->status = 0;
    future->generation = asi_fork_generation;
    future->result_size = (uint32_t)result_size;
    asi_flag_init(&future->seen);
    future->watched = false;
    future->is_timed = false;
    future->is_task = false;
    future->recycled = false;
    future->is_job = false;
    future->named = false;
    if (result_size > 0)
        memset(result, 0, result_size);
}

/* Complete it: the one who calls has the sole right to, and a reference meanwhile. */
static inline void asi_future_complete(
        struct anysync_future *future, int status, struct asi_error *error)
{
    future->status = status;
    future->error = error;
    asi_cell_complete(&future->cell);
}

/* The same, cheaper if the caller's reference is the only one.  Returns whether it is. */
static inline bool asi_future_complete_held(
        struct anysync_future *future, int status, struct asi_error *error)
{
    bool only = asi_refs_is_one(&future->refs);

    future->status = status;
    future->error = error;
    if (only)
        asi_cell_complete_alone(&future->cell); /* nobody is there to see it */
    else
        asi_cell_complete(&future->cell);
    return only;
}

/* The same, and drop the reference.  Returns whether it was the last: then the caller frees FUTURE.
 */
static inline bool asi_future_complete_and_drop(
        struct anysync_future *future, int status, struct asi_error *error)
{
    return asi_future_complete_held(future, status, error) || asi_refs_drop(&future->refs);
}

/* Whether FUTURE is that of a coroutine in a record of the recycler, without a name of its own. */
static inline bool asi_future_is_ordinary(const struct anysync_future *future)
{
    return memcmp(&future->is_task, (const bool[4]){true, true}, 4) == 0;
}

/* Free FUTURE: the last reference is gone. */
void asi_future_free(struct anysync_future *future);

/* Complete it, and drop a reference. */
static inline void asi_future_complete_and_unref(
        struct anysync_future *future, int status, struct asi_error *error)
{
    if (asi_future_complete_and_drop(future, status, error))
        asi_future_free(future);
}

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
