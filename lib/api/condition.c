/* SPDX-License-Identifier: MIT */
#include "api/mutex.h"
#include "base/memory.h"
#include "sched/error.h"
#include "sched/line.h"

#include <errno.h>

struct anysync_condition {
    struct asi_line line;
};

int anysync_condition_new(struct anysync_condition **ret_condition)
{
    struct anysync_condition *condition = asi_allocate(sizeof(*condition));

    if (!condition)
        return asi_call_fails(-ENOMEM, "no memory for a condition");
    asi_line_init(&condition->line, "a condition");
    *ret_condition = condition;
    return 0;
}

struct anysync_condition *anysync_condition_ref(struct anysync_condition *condition)
{
    asi_refs_add(&condition->line.refs);
    return condition;
}

struct anysync_condition *anysync_condition_unref(struct anysync_condition *condition)
{
    if (condition && asi_line_unref(&condition->line))
        asi_free(condition);
    return NULL;
}

static void hand_on(struct asi_line *line)
{
    anysync_condition_signal(asi_container_of(line, struct anysync_condition, line));
}

int anysync_condition_wait(
        struct anysync_condition *condition, struct anysync_mutex *mutex, anysync_time deadline)
{
    struct asi_line *line = &condition->line;
    struct asi_place place;

    if (!asi_line_is_ours(line))
        return asi_line_say(line, -EOWNERDEAD);
    int error = asi_mutex_check(mutex);
    if (error)
        return error;
    ASI_ASSERT(asi_mutex_is_mine(mutex), "who waits for a condition has to hold the mutex");
    error = asi_turn_may_wait(deadline);
    if (error)
        return asi_line_say(line, error);
    asi_turn_init(&place.turn);
    place.turn.item = NULL; /* a broadcast is not handed on: all others have had it */
    bool owner = asi_owned_take(&line->lock);
    asi_turn_join(&line->turns, &place.turn);
    asi_owned_give(&line->lock, owner);
    asi_place_in(&place, line, hand_on);
    anysync_mutex_unlock(mutex);
    error = asi_line_wait(line, &place.turn, deadline);
    int lost = asi_mutex_lock_again(mutex);
    asi_place_out(&place);
    return lost ? lost : asi_line_say(line, error);
}

void anysync_condition_signal(struct anysync_condition *condition)
{
    struct asi_line *line = &condition->line;

    if (!asi_line_is_ours(line))
        return;
    bool owner = asi_owned_take(&line->lock);
    struct asi_turn *turn = asi_turn_first(&line->turns);
    if (turn) {
        asi_turn_take(turn, 0);
        turn->item = condition;
    }
    asi_owned_give(&line->lock, owner);
    if (turn)
        asi_turn_deliver(turn);
}

void anysync_condition_broadcast(struct anysync_condition *condition)
{
    struct asi_line *line = &condition->line;
    struct asi_list chain;

    if (!asi_line_is_ours(line))
        return;
    asi_list_init(&chain);
    bool owner = asi_owned_take(&line->lock);
    asi_turn_take_all(&line->turns, &chain, 0);
    asi_owned_give(&line->lock, owner);
    asi_turn_deliver_all(&chain);
}
