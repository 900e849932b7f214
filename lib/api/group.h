/* SPDX-License-Identifier: MIT */
/*
 * What a group is inside, for group.c (children) and group_close.c (open, close, the result).
 *
 *      OPEN --first failure, cancel, deadline--> ENDING (ended_by) --last child--> closed
 *
 * All state is under the group's lock, for children end on the loop's thread, blocking functions
 * end on others, and anybody may spawn or cancel.  Under the lock tasks are handed to their loops,
 * but nothing of a user's runs: jobs are started, and all are cancelled and freed, outside of it.
 *
 * Who has a reference: the opener, until its close returns; each child, until it has ended; a
 * letter to the opener's loop.  So an abandoned child finds the group when it ends after all.
 */
#ifndef ASI_API_GROUP_H
#define ASI_API_GROUP_H

#include "base/list.h"
#include "sched/graph.h"
#include "sched/scope.h"
#include "sched/task.h"
#include "sched/wait.h"
#include "thread/lock.h"
#include "thread/recycle.h"
#include "thread/refs.h"

#include <anysync/group.h>

#include <stdint.h>

enum asi_group_ending {
    ASI_GROUP_GOES_ON,
    ASI_GROUP_CHILD_FAILED,
    ASI_GROUP_OPENER_FAILED,
    ASI_GROUP_CANCELLED,        /* by hand */
    ASI_GROUP_CALLER_CANCELLED, /* while it closed */
    ASI_GROUP_TIMED_OUT
};

struct anysync_group {
    struct asi_lock lock;
    struct asi_refs refs;
    uint32_t generation;        /* [const] of the process that opened it */
    struct asi_scheduler *loop; /* [const] the opener's; NULL: of a plain thread */
    struct asi_scope scope;     /* the opener's own code; when there is a loop */
    bool entered;               /* [loop] the opener is in it */
    bool closed;                /* [lock] nobody asks for the result any more */
    unsigned char ended_by;     /* [lock] enum asi_group_ending */
    int code;                   /* [lock] of what ended it; 0: it goes on */
    const char *reason;         /* [lock] likewise; for the cancelled; may be NULL */
    struct asi_list running;    /* [lock] children, not cancelled by the group */
    struct asi_list asked;      /* [lock] children, cancelled */
    struct asi_list failed;     /* [lock] children that have ended so, in order of time */
    uint32_t live;              /* [lock] of the first two */
    uint32_t failures;          /* [lock] of the third */
    uint32_t cut;               /* [lock] children that ended as they were cancelled */
    struct asi_party *closer;   /* [lock] waits for the last child */
    struct asi_letter letter;   /* cancels the opener's own code, from another thread */
};

_Static_assert(sizeof(struct anysync_group) <= ASI_RECYCLE_RECORD_SIZE,
        "a group has to fit the recycler's records");

/* As the public calls see it: they use no more of it. */
static inline struct anysync_scope *asi_group_scope(struct anysync_group *group)
{
    return (struct anysync_scope *)(void *)&group->scope;
}

struct asi_starter;

struct asi_child {
    struct asi_task_hook hook;
    struct asi_list list;        /* [lock] */
    struct anysync_group *group; /* a reference while it lives */
    struct anysync_task *task;   /* a reference */
    struct asi_starter *starter; /* [lock] who waits for its start; NULL: nobody */
};

/* [lock] HOW ends GROUP with CODE, unless something has before.  Returns whether it did: then
 * asi_group_cut(), without the lock. */
bool asi_group_end(
        struct anysync_group *group, enum asi_group_ending how, int code, const char *reason);

/* Cancel all that is in GROUP, which was ended. */
void asi_group_cut(struct anysync_group *group);

/* Any thread: of a process that is gone here. */
bool asi_group_is_orphan(const struct anysync_group *group);

void asi_group_unref(struct anysync_group *group);
void asi_child_free(struct asi_child *child);

#endif
