/* SPDX-License-Identifier: MIT */
/*
 * Timers: a pairing heap, intrusive, the earliest at the root.
 *
 * Arming links a timer in front of the root's children, in constant time.  Most timers are
 * deadlines of waits that end before: they are disarmed again, which cuts the timer out and pairs
 * its children.  Only firing has to order anything.  (Fredman, Sedgewick, Sleator and Tarjan, "The
 * pairing heap", 1986.)
 */
#include "loop/timers.h"

#include "base/assert.h"

#include <stddef.h>

void asi_timer_init(struct asi_timer *timer, void (*fire)(struct asi_timer *timer))
{
    *timer = (struct asi_timer){.fire = fire};
}

/* Make one heap of two; either may be NULL.  The later root becomes the first child of the other.
 */
static struct asi_timer *meld(struct asi_timer *one, struct asi_timer *two)
{
    if (!one)
        return two;
    if (!two)
        return one;
    if (two->deadline < one->deadline) {
        struct asi_timer *swap = one;
        one = two;
        two = swap;
    }
    two->next = one->child;
    two->previous = one;
    if (one->child)
        one->child->previous = two;
    one->child = two;
    return one;
}

/* Make one heap of a chain of siblings: pair them from the left, then join the pairs from the
 * right. */
static struct asi_timer *meld_siblings(struct asi_timer *first)
{
    struct asi_timer *pairs = NULL, *all = NULL;

    while (first) {
        struct asi_timer *second = first->next;
        struct asi_timer *rest = second ? second->next : NULL;
        first->next = NULL;
        if (second)
            second->next = NULL;
        struct asi_timer *pair = meld(first, second);
        pair->next = pairs;
        pairs = pair;
        first = rest;
    }
    while (pairs) {
        struct asi_timer *rest = pairs->next;
        pairs->next = NULL;
        all = meld(all, pairs);
        pairs = rest;
    }
    return all;
}

void asi_timer_arm(struct asi_timers *timers, struct asi_timer *timer, anysync_time deadline)
{
    ASI_ASSERT(!timer->armed, "a timer was armed twice");
    timer->child = NULL;
    timer->next = NULL;
    timer->previous = NULL;
    timer->deadline = deadline;
    timer->armed = true;
    timers->root = meld(timers->root, timer);
}

void asi_timer_disarm(struct asi_timers *timers, struct asi_timer *timer)
{
    if (!timer->armed)
        return;
    timer->armed = false;
    if (timer == timers->root) {
        timers->root = meld_siblings(timer->child);
        if (timers->root)
            timers->root->previous = NULL;
        return;
    }
    if (timer->previous->child == timer)
        timer->previous->child = timer->next;
    else
        timer->previous->next = timer->next;
    if (timer->next)
        timer->next->previous = timer->previous;
    if (timer->child)
        timers->root = meld(timers->root, meld_siblings(timer->child));
}

anysync_time asi_timers_next(const struct asi_timers *timers)
{
    return timers->root ? timers->root->deadline : ANYSYNC_FOREVER;
}

void asi_timers_fire(struct asi_timers *timers, anysync_time now)
{
    while (timers->root && timers->root->deadline <= now) {
        struct asi_timer *timer = timers->root;
        asi_timer_disarm(timers, timer);
        timer->fire(timer);
    }
}
