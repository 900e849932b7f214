/* SPDX-License-Identifier: MIT */
/*
 * Timers of one loop: a pairing heap (Fredman, Sedgewick, Sleator, Tarjan 1986), intrusive, so that
 * arming can never fail for lack of memory.
 *
 * Arming is a few instructions; disarming one that has not come near the top is too, which is what
 * happens to nearly all deadlines.  Taking the earliest is O(log n) amortized.  Loop thread only.
 */
#ifndef ASI_LOOP_TIMERS_H
#define ASI_LOOP_TIMERS_H

#include <anysync/base.h>

#include <stdbool.h>

struct asi_timer {
    struct asi_timer *child;    /* first of those that are later than this one */
    struct asi_timer *next;     /* sibling */
    struct asi_timer *previous; /* sibling before, or the parent for the first child */
    anysync_time deadline;
    void (*fire)(
            struct asi_timer *timer); /* called disarmed, on the loop's thread, outside tasks */
    bool armed;
};

struct asi_timers {
    struct asi_timer *root; /* the earliest; NULL when there is none */
};

void asi_timer_init(struct asi_timer *timer, void (*fire)(struct asi_timer *timer));

/* Arm TIMER (borrowed until it fires or is disarmed).  It is not armed. */
void asi_timer_arm(struct asi_timers *timers, struct asi_timer *timer, anysync_time deadline);

/* Take it out, if it is in. */
void asi_timer_disarm(struct asi_timers *timers, struct asi_timer *timer);

/* When the earliest is due; ANYSYNC_FOREVER when there is none. */
anysync_time asi_timers_next(const struct asi_timers *timers);

/* Fire all that are due at NOW, earliest first. */
void asi_timers_fire(struct asi_timers *timers, anysync_time now);

#endif
