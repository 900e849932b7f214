/* SPDX-License-Identifier: MIT */
/*
 * Turns: those who wait in line for something that one object gives, threads and coroutines alike.
 *
 * A turn lies on the stack of who waits, and on a list of the object, under the object's lock.  Who
 * gives something takes the turn off its list, gives (the item, the mutex), and delivers after the
 * lock.  So what is waited for changes hands in one step, and a turn that gives up finds itself
 * either on the list still, with nothing lost, or off it, with its turn done.
 *
 * DELIVERY  A thread that waits is a party, and so is a task whose wait others may have to see
 *   (sched/graph.h).  Any other task suspends until `woken` is set on its loop's thread: by hand if
 *   who serves it runs there, else by a letter.  So whoever finds itself off the list waits for
 *   `woken`, whatever else has happened, and its memory stays until then.
 *
 * CHOICE  Several turns of one who waits for whichever comes first: on lists of several objects,
 *   with a lock each.  Who takes one of them off its list has to win the choice, which the others
 *   lose for good by that; a turn that lost is passed over like one whose task is gone.
 */
#ifndef ASI_SCHED_TURN_H
#define ASI_SCHED_TURN_H

#include "base/list.h"
#include "sched/quick.h"
#include "sched/wait.h"
#include "thread/flag.h"

#include <stdbool.h>

struct asi_choice;

/* Fields are of who waits until it is on a list. */
struct asi_turn {
    struct asi_list list;      /* [lock] while `waits` */
    void *item;                /* [const] the object's */
    bool waits;                /* [lock] on a list */
    bool woken;                /* [loop] a task's: it was taken off, and knows */
    int status;                /* [lock] set by who took it off */
    struct anysync_task *task; /* [const] NULL: a party */
    struct asi_choice *choice; /* [const] borrowed; NULL: it is the only one */
    union {
        struct asi_letter letter; /* a task's: how it is woken from another thread */
        struct asi_party party;
    };
};

struct asi_choice {
    struct asi_flag decided; /* raised by who takes one of the turns, or by who gives up */
    struct asi_turn *served; /* of who raised it; NULL: given up */
    struct asi_turn sleeper; /* on no list: who is told */
};

/* The caller's turn, on no list.  It is not for callbacks. */
static inline void asi_turn_init(struct asi_turn *turn)
{
    struct asi_scheduler *here = asi_scheduler_here();

    turn->waits = false;
    turn->woken = false;
    turn->choice = NULL;
    turn->task = here ? here->current : NULL;
    if (!turn->task)
        asi_party_init(&turn->party, ASI_WORLD_THREAD);
}

/* [lock] Whether TURN's task was abandoned in its wait: it never will take anything. */
static inline bool asi_turn_is_gone(struct asi_turn *turn)
{
    struct anysync_task *task = turn->task;

    if (task && task->scheduler == asi_scheduler_here())
        return task->state == ASI_TASK_ABANDONED;
    return task ? asi_cell_done(&task->future.cell) : asi_party_is_gone(&turn->party);
}

/* [lock] TURN joins LIST. */
static inline void asi_turn_join(struct asi_list *list, struct asi_turn *turn)
{
    turn->waits = true;
    asi_list_add(list, &turn->list);
}

/* [lock] Take TURN off its list: STATUS is what its wait returns. */
static inline void asi_turn_take(struct asi_turn *turn, int status)
{
    asi_list_remove(&turn->list);
    turn->waits = false;
    turn->status = status;
}

/* [lock] asi_turn_first() where the first is gone, or one of several. */
struct asi_turn *asi_turn_first_slowly(struct asi_list *list);

/* [lock] The first of LIST that can be served, and has to be; NULL: there is none. */
static inline struct asi_turn *asi_turn_first(struct asi_list *list)
{
    if (asi_list_is_empty(list))
        return NULL;
    struct asi_turn *turn = asi_container_of(list->next, struct asi_turn, list);
    if (ASI_UNLIKELY(turn->choice || asi_turn_is_gone(turn)))
        return asi_turn_first_slowly(list);
    return turn;
}

/* asi_turn_deliver() to a task of another loop. */
void asi_turn_send(struct asi_turn *turn);

/* TURN was taken off its list: let it know.  Outside the lock. */
static inline __attribute__((always_inline)) void asi_turn_deliver(struct asi_turn *turn)
{
    struct asi_scheduler *here = asi_scheduler_here();

    if (ASI_UNLIKELY(turn->choice))
        turn = &turn->choice->sleeper;
    if (ASI_UNLIKELY(!turn->task)) {
        asi_party_deliver(&turn->party);
    } else if (ASI_LIKELY(turn->task->scheduler == here)) {
        turn->woken = true;
        asi_quick_wake(here, turn->task);
    } else {
        asi_turn_send(turn);
    }
}

/* [lock] Take all that can be served off LIST, and put them on CHAIN. */
void asi_turn_take_all(struct asi_list *list, struct asi_list *chain, int status);

/* Deliver to all of CHAIN, outside the lock. */
void asi_turn_deliver_all(struct asi_list *chain);

/* Whether the caller may wait at all: 0, or why not. */
int asi_turn_may_wait(anysync_time deadline);

/* Wait until TURN was served.  CANCELLABLE or not: see asi_party_wait().  Returns 0 when it was, or
 * why the wait ended before: then it is to be taken off its list, or waited for. */
int asi_turn_sleep(struct asi_turn *turn, anysync_time deadline, bool cancellable);

#endif
