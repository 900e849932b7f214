/* SPDX-License-Identifier: MIT */
/* What a future is inside.  (What it promises: <anysync/future.h>.) */
#ifndef ASI_SCHED_FUTURE_H
#define ASI_SCHED_FUTURE_H

#include "sched/error.h"
#include "thread/cell.h"
#include "thread/flag.h"
#include "thread/refs.h"

#include <anysync/future.h>

struct anysync_task;

struct anysync_future {
    struct asi_cell cell;    /* [atomic] done, and who waits */
    struct asi_refs refs;    /* [atomic] */
    int status;              /* [completer], constant when done: 0 or a negative code */
    void *result;            /* [completer], constant when done: inside this allocation */
    struct asi_error *error; /* [completer], constant when done; owned, may be NULL */
    uint32_t generation;     /* [const] of the process that made it */
    uint32_t result_size;    /* [const] */
    bool is_task;            /* [const] it is the first member of a task */
    bool recycled;           /* [const] the memory came from the recycler */
    struct asi_flag seen;    /* [atomic] somebody asked for the result */
};

/* Set up FUTURE with REFS references. */
void asi_future_init(
        struct anysync_future *future, uint32_t refs, void *result, size_t result_size);

/* Complete it: the one who calls has the sole right to, and a reference meanwhile. */
void asi_future_complete(struct anysync_future *future, int status, struct asi_error *error);

/* The outcome, for a caller that knows it is done: copies the value, or notes the error in the caller's
 * slot; returns the status. */
int asi_future_collect(struct anysync_future *future, void *ret_result);

/* Pending, and of the process that this one was forked from: it will never be done. */
bool asi_future_is_orphan(struct anysync_future *future);

#endif
