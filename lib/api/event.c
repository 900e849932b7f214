/* SPDX-License-Identifier: MIT */
#include <anysync/event.h>

#include "base/memory.h"
#include "sched/error.h"
#include "sched/line.h"

#include <errno.h>

struct anysync_event {
    struct asi_line line;
    bool set; /* [lock] */
};

int anysync_event_new(struct anysync_event **ret_event)
{
    struct anysync_event *event = asi_allocate(sizeof(*event));

    if (!event)
        return asi_call_fails(-ENOMEM, "no memory for an event");
    asi_line_init(&event->line, "an event");
    event->set = false;
    *ret_event = event;
    return 0;
}

struct anysync_event *anysync_event_ref(struct anysync_event *event)
{
    asi_refs_add(&event->line.refs);
    return event;
}

struct anysync_event *anysync_event_unref(struct anysync_event *event)
{
    if (event && asi_line_unref(&event->line))
        asi_free(event);
    return NULL;
}

static void change(struct anysync_event *event, bool set)
{
    struct asi_list chain;

    if (!asi_line_is_ours(&event->line))
        return;
    asi_list_init(&chain);
    bool owner = asi_owned_take(&event->line.lock);
    event->set = set;
    if (set)
        asi_turn_take_all(&event->line.turns, &chain, 0);
    asi_owned_give(&event->line.lock, owner);
    asi_turn_deliver_all(&chain);
}

void anysync_event_set(struct anysync_event *event)
{
    change(event, true);
}

void anysync_event_reset(struct anysync_event *event)
{
    change(event, false);
}

/* Whether it is set; if not, TURN joins, if it is there. */
static bool look(struct anysync_event *event, struct asi_turn *turn)
{
    bool owner = asi_owned_take(&event->line.lock);
    bool set = event->set;

    if (!set && turn)
        asi_turn_join(&event->line.turns, turn);
    asi_owned_give(&event->line.lock, owner);
    return set;
}

bool anysync_event_is_set(struct anysync_event *event)
{
    return asi_line_is_ours(&event->line) && look(event, NULL);
}

int anysync_event_wait(struct anysync_event *event, anysync_time deadline)
{
    struct asi_turn turn;

    if (!asi_line_is_ours(&event->line))
        return asi_line_say(&event->line, -EOWNERDEAD);
    if (look(event, NULL))
        return 0;
    int error = asi_turn_may_wait(deadline);
    if (error)
        return asi_line_say(&event->line, error);
    asi_turn_init(&turn);
    if (look(event, &turn))
        return 0;
    return asi_line_say(&event->line, asi_line_wait(&event->line, &turn, deadline));
}
