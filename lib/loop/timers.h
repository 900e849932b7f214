/* SPDX-License-Identifier: MIT */
/*
 * Timers of one loop: intrusive, so that arming can never fail for lack of memory.
 *
 * Arming and disarming are a few instructions each, whatever else is armed: what happens to nearly
 * all deadlines costs nothing else.  Firing is O(1) for timers far from each other, and O(log n)
 * amortized among the n that are due within a millisecond.  Loop thread only.
 */
#ifndef ASI_LOOP_TIMERS_H
#define ASI_LOOP_TIMERS_H

#include "base/assert.h"

#include <anysync/base.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ASI_TIMERS_LEVELS = 4,
    ASI_TIMERS_SLOTS = 64, /* of a level; one bit each */
    ASI_TIMERS_BEYOND = ASI_TIMERS_LEVELS * ASI_TIMERS_SLOTS
};

struct asi_timer {
    struct asi_timer *next;     /* sibling, or the one after in its slot */
    struct asi_timer *previous; /* sibling before, or the parent for the first child; in a slot: the
                                   one before */
    struct asi_timer *child;    /* first of those that are later than this one */
    anysync_time deadline;
    void (*fire)(
            struct asi_timer *timer); /* called disarmed, on the loop's thread, outside tasks */
    int16_t slot; /* where it is, once it has its place; negative: in the heap */
    bool armed;
};

/* Timers in the order in which they came. */
struct asi_timer_slot {
    struct asi_timer *first;
    struct asi_timer *last;
    anysync_time earliest; /* no timer in it is earlier; not for empty ones */
};

struct asi_timers {
    struct asi_timer *newest;         /* armed last, and not in its place yet; may be NULL */
    struct asi_timer *root;           /* the earliest of the near ones; NULL when there are none */
    anysync_time base;                /* time has come to here */
    size_t far;                       /* timers in slots */
    uint64_t used[ASI_TIMERS_LEVELS]; /* bit i: slot i of the level is not empty */
    struct asi_timer_slot slots[ASI_TIMERS_BEYOND + 1];
};

/* A zeroed struct asi_timers is empty; so it is after this. */
void asi_timers_clear(struct asi_timers *timers);

static inline void asi_timer_init(struct asi_timer *timer, void (*fire)(struct asi_timer *timer))
{
    timer->fire = fire; /* the rest is set when it gets its place */
    timer->armed = false;
}

/* Put the newest timer, which there is, in its place. */
void asi_timers_place(struct asi_timers *timers);

/* Take TIMER out of its place. */
void asi_timer_remove(struct asi_timers *timers, struct asi_timer *timer);

/* Arm TIMER (borrowed until it fires or is disarmed).  It is not armed.  It gets its place when the
 * next one is armed, or somebody looks: most of those that scopes arm are gone before. */
static inline void asi_timer_arm(
        struct asi_timers *timers, struct asi_timer *timer, anysync_time deadline)
{
    ASI_ASSERT(!timer->armed, "a timer was armed twice");
    timer->deadline = deadline;
    timer->armed = true;
    if (timers->newest)
        asi_timers_place(timers);
    timers->newest = timer;
}

/* Take it out, if it is in. */
static inline void asi_timer_disarm(struct asi_timers *timers, struct asi_timer *timer)
{
    if (!timer->armed)
        return;
    timer->armed = false;
    if (timers->newest == timer)
        timers->newest = NULL;
    else
        asi_timer_remove(timers, timer);
}

/* Whether any timer is armed. */
static inline bool asi_timers_any(const struct asi_timers *timers)
{
    return timers->newest || timers->root || timers->far > 0;
}

/* When the earliest is due, or a little earlier where one was disarmed; ANYSYNC_FOREVER when there
 * is none. */
anysync_time asi_timers_next(struct asi_timers *timers);

/* Any timer that is armed, disarmed now; NULL when there is none. */
struct asi_timer *asi_timers_take(struct asi_timers *timers);

/* Fire all that are due at NOW, earliest first. */
void asi_timers_fire(struct asi_timers *timers, anysync_time now);

#endif
