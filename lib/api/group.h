/* SPDX-License-Identifier: MIT */
/*
 * What a group is inside, for group.c (children) and group_close.c (open, close, the result).
 *
 *      OPEN --first failure, cancel, deadline--> ENDING (ended_by) --last child--> closed
 *
 * LOCAL CHILDREN  A coroutine that the group's loop itself spawns is the loop's alone, from its
 *   spawn to its end: so is the list of those, and no lock is taken for them.  Most groups have no
 *   others, and no failure: then nothing under the lock is ever written, which `slow` says.  Who
 *   writes there raises that flag first.  The loop may look at it without the lock, because what it
 *   would miss is concurrent, and so might as well have come later:
 *   - a cancel from another thread comes to the local children by letter, as it does to the opener;
 *   - a spawn by another thread happens before the close looks, as the close may not return before
 *     (who uses a group meanwhile is waited for by one of its children).
 *
 * ALL ELSE  is under the group's lock: blocking functions end on other threads, and anybody may
 *   spawn or cancel.  Under the lock tasks are handed to their loops, but nothing of a user's runs:
 *   jobs are started, and all are cancelled and freed, outside of it.
 *
 * Who has a reference: the opener, until its close returns, and then the local children that it
 * abandoned, together; each other child, until it has ended; a letter to the opener's loop.  So an
 * abandoned child finds the group when it ends after all.
 */
#ifndef ASI_API_GROUP_H
#define ASI_API_GROUP_H

#include "base/list.h"
#include "sched/graph.h"
#include "sched/scope.h"
#include "sched/task.h"
#include "sched/wait.h"
#include "thread/flag.h"
#include "thread/fork.h"
#include "thread/local.h"
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
    struct asi_scheduler *loop;   /* [const] the opener's; NULL: of a plain thread */
    struct asi_local_wait *light; /* [loop] the close waits for the local children alone */
    struct asi_list locals;       /* [loop] local children */
    uint32_t local_live;          /* [loop] so many */
    uint32_t generation;          /* [const] of the process that opened it */
    struct asi_refs refs;
    struct asi_flag slow;     /* [atomic] something under the lock was changed, or is about to be */
    bool entered;             /* [loop] the opener is in its scope */
    bool left;                /* [loop] it has gone, and left its reference to the local children */
    bool closed;              /* [lock] nobody asks for the result any more */
    struct asi_scope scope;   /* the opener's own code; when there is a loop */
    unsigned char ended_by;   /* [lock] enum asi_group_ending */
    int code;                 /* [lock] of what ended it; 0: it goes on */
    const char *reason;       /* [lock] likewise; for the cancelled; may be NULL */
    struct asi_list running;  /* [lock] children that are not local, nor cancelled by the group */
    struct asi_list asked;    /* [lock] those that are cancelled */
    struct asi_list failed;   /* [lock] all that have ended so, in order of time */
    uint32_t live;            /* [lock] of the first two */
    uint32_t failures;        /* [lock] of the third */
    uint32_t cut;             /* [lock] children that ended as they were cancelled */
    struct asi_party *closer; /* [lock] waits for the last child of any kind */
    struct asi_letter letter; /* cancels on the loop, from another thread */
    struct asi_lock lock;
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
    struct asi_list list;        /* [lock]; [loop] of a local one */
    struct anysync_group *group; /* a reference while it lives, unless it is local */
    struct anysync_task *task;   /* a reference; of a local one, when it has failed */
    struct asi_starter *starter; /* [lock]; [loop]: who waits for its start; NULL: nobody */
    bool local;                  /* [const] */
};

/* The group's lock; whoever takes it to change something, `_change`. */
static inline void asi_group_lock(struct anysync_group *group)
{
    asi_lock_take(&group->lock);
}

static inline void asi_group_change(struct anysync_group *group)
{
    asi_flag_set(&group->slow);
    asi_lock_take(&group->lock);
}

static inline void asi_group_unlock(struct anysync_group *group)
{
    asi_lock_give(&group->lock);
}

/* [lock] HOW ends GROUP with CODE, unless something has before.  Returns whether it did: then
 * asi_group_cut(), without the lock. */
bool asi_group_end(
        struct anysync_group *group, enum asi_group_ending how, int code, const char *reason);

/* Cancel all that is in GROUP, which was ended. */
void asi_group_cut(struct anysync_group *group);

/* Any thread: of a process that is gone here. */
static inline bool asi_group_is_orphan(const struct anysync_group *group)
{
    return ASI_UNLIKELY(group->generation != asi_fork_generation);
}

static inline void asi_group_unref(struct anysync_group *group)
{
    if (asi_refs_drop(&group->refs))
        asi_recycle_give(ASI_RECYCLE_RECORD, group);
}

/* With its reference to the task. */
void asi_child_free(struct asi_child *child);

#endif
