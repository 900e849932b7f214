/* SPDX-License-Identifier: MIT */
/*
 * The wait-for graph: whether a wait could ever end.  (The argument: graph.c.)
 *
 * Who waits without an end of its own (no deadline, no scope with one) for tasks only is an edge.
 * Waits for a task of the same loop are the lightest: a pointer from waiter to record to target,
 * of that loop's thread alone (struct asi_local_wait).  All others, and threads of loops that
 * block, are a struct asi_edge, which others may look at under the graph's lock.
 *
 * To let something else that waits take part (a limiter, a group, a generator): fill in an asi_aim
 * and give it to asi_party_wait_aimed() (wait.h) in the place of asi_party_wait().
 */
#ifndef ASI_SCHED_GRAPH_H
#define ASI_SCHED_GRAPH_H

#include "sched/task.h"
#include "thread/waiter.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What somebody waits for: one of COUNT FUTURES, or all of them.  They are all tasks' (NULL ones
 * are passed over), and alive and the same until the wait is over, but for what is changed between
 * asi_graph_begin_change() and _end_change(). */
struct asi_aim {
    struct anysync_future *const *futures;
    size_t count;
    struct asi_scheduler *stops; /* not NULL: the end of this loop, which FUTURES[0] tells */
    bool all;                    /* no one of them is enough */
    bool hidden;      /* the waiter is in none of their cells: holders of a permit, say */
    bool loose;       /* the wait may end before they do: a generator's next item, a permit */
    bool patient;     /* it waits on in any case: another one of a cycle is told, if one can be */
    const bool *open; /* [lock] not NULL: while it is true there is a way out beside FUTURES */
    const bool *over; /* [lock] not NULL: when it is true the wait is about to end */
};

struct asi_edge {
    struct asi_edge *next; /* [lock] in its bucket */
    struct asi_aim aim;
    struct anysync_task *task;  /* [const] who waits; NULL: a callback of LOOP */
    struct asi_scheduler *loop; /* [const] whose thread it blocks; NULL: none */
    struct asi_waiter *waiter;  /* [const] gets one more delivery if it is doomed */
    uint32_t seen;              /* [const] with more deliveries than that the wait is over */
    struct asi_error *error;    /* [lock] owned: why it is doomed */
    uint64_t serial;            /* [lock] tells it from later ones in the same place */
    uint64_t cuts;              /* [lock] the round of the look around: see graph.c */
    uint64_t confirmed;         /* [lock] bits of aims that lead back here */
    unsigned thread;            /* [const] the serial of its thread */
    bool doomed;                /* [lock] it ends with -EDEADLK */
    bool cut;                   /* [lock] its wait ends by a cancel */
    bool deaf;                  /* [const] in a shield: no cancel of the task is heard */
    bool firm;                  /* [const] nothing but its targets ends it: it is never doomed */
};

/* How somebody waits. */
enum asi_waiting {
    ASI_WAIT_BLOCKS = 1, /* it blocks the thread, which may run a loop */
    ASI_WAIT_FIRM = 2    /* no cancel, scope or deadlock ends it */
};

/* Whether a wait of the calling task or thread for AIM until DEADLINE is an edge.  HOW: of enum
 * asi_waiting. */
bool asi_graph_counts(const struct asi_aim *aim, unsigned how, anysync_time deadline);

/*
 * The caller is about to wait for AIM, and has joined what it waits for: until WAITER has had more
 * than SEEN deliveries.  It gets one that tells of a deadlock found later, unless it is firm.
 * Returns true: wait, and asi_graph_leave().  False: it could never end; the reason is noted in the
 * caller's slot, and there is no delivery.
 */
bool asi_graph_enter(struct asi_edge *edge, const struct asi_aim *aim, unsigned how,
        struct asi_waiter *waiter, uint32_t seen);

/* The wait is over.  Returns whether it was doomed: then WAITER has had, or is just having, one
 * delivery more than others made.  RET_ERROR: why; owned by the caller. */
bool asi_graph_leave(struct asi_edge *edge, struct asi_error **ret_error);

/* Around a change of what those wait for who are in an edge already.  Who is new there runs now,
 * and looks around itself when it waits. */
void asi_graph_begin_change(void);
void asi_graph_end_change(void);

/* Who waited in a loose edge has just been given what it waits for, by the running task. */
void asi_graph_delivered(void);

/* A cancel of TASK, a coroutine of another loop, is on its way. */
void asi_graph_cancel_comes(const struct anysync_task *task);

/* The same for all tasks of LOOP. */
void asi_graph_loop_cancel_comes(const struct asi_scheduler *loop);

/* The running task is about to wait for TARGET, which is of its loop and suspended in an edge
 * itself.  Returns whether that could never end; the reason is then in the task's slot. */
bool asi_graph_closes(struct anysync_task *target);

/* TASK, suspended in an edge, goes on or is given up before that for which it waits.  Loop thread.
 */
void asi_graph_cut(struct anysync_task *task);

/* Whether LOOP's thread is blocked in an edge: none of its tasks will go on soon. */
bool asi_graph_is_blocked(const struct asi_scheduler *loop);

/* Around fork(). */
void asi_graph_before_fork(void);
void asi_graph_after_fork(void);
void asi_graph_in_child(void);

#endif
