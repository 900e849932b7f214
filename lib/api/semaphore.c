/* SPDX-License-Identifier: MIT */
/*
 * Semaphores.
 *
 * A count and a line (sched/line.h), of which one at least is empty.  A post hands what it can to
 * those in line, and whoever was handed a count and is abandoned by its loop before it runs again
 * hands it on by a post.
 */
#include <anysync/event.h>

#include "base/memory.h"
#include "sched/error.h"
#include "sched/line.h"

#include <errno.h>

struct anysync_semaphore {
    struct asi_line line;
    size_t count; /* [lock] 0 while somebody waits */
};

int anysync_semaphore_new(size_t count, struct anysync_semaphore **ret_semaphore)
{
    struct anysync_semaphore *semaphore = asi_allocate(sizeof(*semaphore));

    if (!semaphore)
        return asi_call_fails(-ENOMEM, "no memory for a semaphore");
    asi_line_init(&semaphore->line, "a semaphore");
    semaphore->count = count;
    *ret_semaphore = semaphore;
    return 0;
}

struct anysync_semaphore *anysync_semaphore_ref(struct anysync_semaphore *semaphore)
{
    asi_refs_add(&semaphore->line.refs);
    return semaphore;
}

struct anysync_semaphore *anysync_semaphore_unref(struct anysync_semaphore *semaphore)
{
    if (semaphore && asi_line_unref(&semaphore->line))
        asi_free(semaphore);
    return NULL;
}

void anysync_semaphore_post(struct anysync_semaphore *semaphore, size_t count)
{
    struct asi_line *line = &semaphore->line;
    struct asi_turn *turn;
    struct asi_list chain;

    if (!asi_line_is_ours(line))
        return;
    asi_list_init(&chain);
    bool owner = asi_owned_take(&line->lock);
    for (; count > 0 && (turn = asi_turn_first(&line->turns)); count--) {
        asi_turn_take(turn, 0);
        asi_list_add(&chain, &turn->list);
    }
    semaphore->count += count;
    asi_owned_give(&line->lock, owner);
    asi_turn_deliver_all(&chain);
}

static void hand_on(struct asi_line *line)
{
    anysync_semaphore_post(asi_container_of(line, struct anysync_semaphore, line), 1);
}

/* Lower the count, or (false) TURN joins, if it is there. */
static bool lower(struct anysync_semaphore *semaphore, struct asi_turn *turn)
{
    bool owner = asi_owned_take(&semaphore->line.lock);
    bool lowered = semaphore->count > 0;

    if (lowered)
        semaphore->count--;
    else if (turn)
        asi_turn_join(&semaphore->line.turns, turn);
    asi_owned_give(&semaphore->line.lock, owner);
    return lowered;
}

int anysync_semaphore_wait(struct anysync_semaphore *semaphore, anysync_time deadline)
{
    struct asi_line *line = &semaphore->line;
    struct asi_place place;

    if (!asi_line_is_ours(line))
        return asi_line_say(line, -EOWNERDEAD);
    if (lower(semaphore, NULL))
        return 0;
    int error = asi_turn_may_wait(deadline);
    if (error)
        return asi_line_say(line, error);
    asi_turn_init(&place.turn);
    place.turn.item = semaphore; /* a count is there for it in any case */
    if (lower(semaphore, &place.turn))
        return 0;
    asi_place_in(&place, line, hand_on);
    error = asi_line_wait(line, &place.turn, deadline);
    asi_place_out(&place);
    return asi_line_say(line, error);
}

size_t anysync_semaphore_count(struct anysync_semaphore *semaphore)
{
    if (!asi_line_is_ours(&semaphore->line))
        return 0;
    bool owner = asi_owned_take(&semaphore->line.lock);
    size_t count = semaphore->count;
    asi_owned_give(&semaphore->line.lock, owner);
    return count;
}
