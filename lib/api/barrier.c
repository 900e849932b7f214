/* SPDX-License-Identifier: MIT */
/*
 * Barriers that threads and coroutines share.  (lib/thread/barrier.h is about processors.)
 *
 * A round is the line: the one that completes it takes all the others off.
 */
#include <anysync/event.h>

#include "base/memory.h"
#include "sched/error.h"
#include "sched/line.h"

#include <errno.h>

struct anysync_barrier {
    struct asi_line line;
    size_t parties; /* [const] */
    size_t waiting; /* [lock] how many are in line */
};

int anysync_barrier_new(size_t parties, struct anysync_barrier **ret_barrier)
{
    if (parties == 0)
        return asi_call_fails(-EINVAL, "a barrier has at least one party");
    struct anysync_barrier *barrier = asi_allocate(sizeof(*barrier));
    if (!barrier)
        return asi_call_fails(-ENOMEM, "no memory for a barrier");
    asi_line_init(&barrier->line, "a barrier");
    barrier->parties = parties;
    barrier->waiting = 0;
    *ret_barrier = barrier;
    return 0;
}

struct anysync_barrier *anysync_barrier_ref(struct anysync_barrier *barrier)
{
    asi_refs_add(&barrier->line.refs);
    return barrier;
}

struct anysync_barrier *anysync_barrier_unref(struct anysync_barrier *barrier)
{
    if (barrier && asi_line_unref(&barrier->line))
        asi_free(barrier);
    return NULL;
}

/* [lock] How many wait: those that were abandoned never arrive again, and have to be told from
 * those who did. */
static size_t count_waiting(struct anysync_barrier *barrier)
{
    struct asi_list *turns = &barrier->line.turns;
    size_t count = 0;

    for (struct asi_list *each = turns->next, *next; each != turns; each = next) {
        struct asi_turn *turn = asi_container_of(each, struct asi_turn, list);
        next = each->next;
        if (asi_turn_is_gone(turn))
            asi_turn_take(turn, -ECANCELED);
        else
            count++;
    }
    return count;
}

/* Arrive: the last one opens the round, and gets true.  Others join with TURN if it is there. */
static bool arrive(struct anysync_barrier *barrier, struct asi_turn *turn)
{
    struct asi_line *line = &barrier->line;
    struct asi_list chain;

    asi_list_init(&chain);
    bool owner = asi_owned_take(&line->lock);
    bool last = barrier->waiting + 1 >= barrier->parties;
    if (last) {
        barrier->waiting = count_waiting(barrier);
        last = barrier->waiting + 1 == barrier->parties;
    }
    if (last) {
        asi_turn_take_all(&line->turns, &chain, 0);
        barrier->waiting = 0;
    } else if (turn) {
        asi_turn_join(&line->turns, turn);
        barrier->waiting++;
    }
    asi_owned_give(&line->lock, owner);
    asi_turn_deliver_all(&chain);
    return last;
}

int anysync_barrier_wait(struct anysync_barrier *barrier, anysync_time deadline)
{
    struct asi_line *line = &barrier->line;
    struct asi_turn turn;

    if (!asi_line_is_ours(line))
        return asi_line_say(line, -EOWNERDEAD);
    if (arrive(barrier, NULL))
        return ANYSYNC_DONE;
    int error = asi_turn_may_wait(deadline);
    if (error)
        return asi_line_say(line, error);
    asi_turn_init(&turn);
    if (arrive(barrier, &turn))
        return ANYSYNC_DONE;
    return asi_line_say(line, asi_line_wait(line, &turn, deadline));
}
