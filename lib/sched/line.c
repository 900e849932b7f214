/* SPDX-License-Identifier: MIT */
#include "sched/line.h"

#include "base/race.h"
#include "sched/error.h"

#include <errno.h>

void asi_line_init(struct asi_line *line, const char *what)
{
    asi_owned_init(&line->lock, true);
    asi_refs_init(&line->refs, 1);
    line->generation = asi_fork_generation;
    line->what = what;
    asi_list_init(&line->turns);
}

bool asi_line_unref(struct asi_line *line)
{
    if (!asi_refs_drop(&line->refs))
        return false;
    ASI_ASSERT(!asi_line_is_ours(line) || !asi_turn_first(&line->turns),
            "the last reference to an object was dropped while somebody waits for it");
    return true;
}

int asi_line_say(const struct asi_line *line, int error)
{
    if (error >= 0)
        return error;
    if (error == -EDEADLK)
        return asi_call_fails(error,
                "a callback of the loop cannot wait for %s: spawn a coroutine that does",
                line->what);
    if (error == -EOWNERDEAD && !asi_line_is_ours(line))
        return asi_call_fails(
                error, "%s of the process this one was forked from is of no use here", line->what);
    return asi_call_fails(error, NULL);
}

/* Before others can see that the task has gone, as the line may go then. */
static void leave_abandoned(struct asi_task_hook *hook, struct anysync_task *task)
{
    struct asi_place *place = asi_container_of(hook, struct asi_place, hook);
    struct asi_line *line = place->line;

    (void)task;
    if (!place->turn.woken) {
        bool owner = asi_owned_take(&line->lock);
        if (place->turn.waits)
            asi_turn_take(&place->turn, -ECANCELED);
        asi_owned_give(&line->lock, owner);
    }
    if (place->turn.status == 0 && place->turn.item)
        place->hand_on(line);
}

void asi_place_in(
        struct asi_place *place, struct asi_line *line, void (*hand_on)(struct asi_line *line))
{
    place->line = line;
    place->hand_on = hand_on;
    asi_task_wait_in(place->turn.task, &place->hook, leave_abandoned);
}

void asi_place_out(struct asi_place *place)
{
    asi_task_wait_out(place->turn.task, &place->hook);
}

int asi_line_wait(struct asi_line *line, struct asi_turn *turn, anysync_time deadline)
{
    int error = asi_turn_sleep(turn, deadline, true);

    if (!error)
        return turn->status;
    asi_race_point();
    bool owner = asi_owned_take(&line->lock);
    bool waits = turn->waits;
    if (waits)
        asi_turn_take(turn, error);
    asi_owned_give(&line->lock, owner);
    while (!waits && asi_turn_sleep(turn, ANYSYNC_FOREVER, false) != 0)
        ; /* its turn has come, and is on its way */
    return turn->status;
}
