/* SPDX-License-Identifier: MIT */
/*
 * What objects with one line of those who wait have in common: a lock, references, a process.
 *
 *      struct asi_turn turn;
 *      error = asi_turn_may_wait(deadline);
 *      asi_turn_init(&turn);
 *      owner = asi_owned_take(&line->lock);
 *      ... look; nothing there: asi_turn_join(&line->turns, &turn) ...
 *      asi_owned_give(&line->lock, owner);
 *      error = asi_line_wait(line, &turn, deadline);
 */
#ifndef ASI_SCHED_LINE_H
#define ASI_SCHED_LINE_H

#include "sched/turn.h"
#include "thread/fork.h"
#include "thread/owned.h"
#include "thread/refs.h"

struct asi_line {
    struct asi_owned lock;
    struct asi_refs refs;
    uint32_t generation;   /* [const] of the process that made it */
    const char *what;      /* [const] "a condition", for sentences */
    struct asi_list turns; /* [lock] */
};

/* WHAT: a literal. */
void asi_line_init(struct asi_line *line, const char *what);

/* Drop a reference.  True: it was the last; nobody waits. */
bool asi_line_unref(struct asi_line *line);

/* Note why a call failed with ERROR (or did not: 0 or positive), and return it. */
int asi_line_say(const struct asi_line *line, int error);

/* Whether LINE is of this process; else nobody waits in it. */
static inline bool asi_line_is_ours(const struct asi_line *line)
{
    return ASI_LIKELY(line->generation == asi_fork_generation);
}

/*
 * Somebody in line for what is lost if nobody takes it.  A task that was handed it, and is
 * abandoned by its loop before it runs again, never had it: then it is handed on.
 */
struct asi_place {
    struct asi_turn turn;
    struct asi_line *line;
    void (*hand_on)(struct asi_line *line);
    struct asi_task_hook hook; /* of turn.task, while it waits */
};

/* PLACE, whose turn has joined LINE, waits from here on, to asi_place_out().  HAND_ON is called if
 * its turn was served and its item is not NULL. */
void asi_place_in(
        struct asi_place *place, struct asi_line *line, void (*hand_on)(struct asi_line *line));

void asi_place_out(struct asi_place *place);

/* TURN has joined: wait until it was served, or leave the line.  Returns its status, or -ETIMEDOUT
 * or -ECANCELED, not noted. */
int asi_line_wait(struct asi_line *line, struct asi_turn *turn, anysync_time deadline);

#endif
