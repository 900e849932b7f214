/* SPDX-License-Identifier: MIT */
/*
 * Timers: a wheel for the far ones, a heap for the near ones.
 *
 * Time is cut into ticks of about a millisecond.  `base` is the time up to which the timers were
 * fired.  A timer of base's tick, or of one before, is near, and in the heap.  All others are in
 * slots: level 0 has one for each of the 64 ticks around base, level 1 one for each 64 ticks, and
 * so on; what four levels (five hours) do not reach is in one more slot.  Which level a timer is on
 * tells the highest digit, to the base of 64, in which the ticks of deadline and base differ; the
 * slot is that digit of the deadline.
 *
 *      base   12 : 47 : 03          12:47:03  near
 *                                   12:47:09  level 0, slot 9
 *                                   12:51:20  level 1, slot 51
 *                                   13:02:44  level 2, slot 13
 *
 * INVARIANTS
 *   I1  All of a level come after all of the level below, and level 0 after the heap.  On a level,
 *       a slot with a higher number comes later, and all are later than base's own digit.
 *   I2  Where a timer is depends on its deadline and base alone.
 *
 * When base moves, slots that it passed or reached are emptied, and their timers find new places:
 * near, or on a lower level.  A timer so moves at most once a level, and most are disarmed before.
 * Slots are emptied from the end, so that the heap gets what was armed in the order of its
 * deadlines as a chain, which needs no ordering any more.
 *
 * The timer armed last is in neither until it has to be: `newest`.  A scope that is entered and
 * left so touches no more than that.
 *
 * The HEAP is a pairing heap, the earliest at the root (Fredman, Sedgewick, Sleator and Tarjan,
 * 1986): it orders those of a few ticks, which fit a cache.  The wheel is that of Varghese and
 * Lauck ("Hashed and Hierarchical Timing Wheels", 1987).
 */
#include "loop/timers.h"

#include "base/assert.h"

#include <string.h>

enum { TICK_BITS = 20, DIGIT_BITS = 6, NEAR = -1 };

_Static_assert(1 << DIGIT_BITS == ASI_TIMERS_SLOTS, "a digit for each slot");

void asi_timers_clear(struct asi_timers *timers)
{
    timers->newest = NULL;
    timers->root = NULL;
    if (timers->far > 0) {
        memset(timers->used, 0, sizeof(timers->used));
        memset(timers->slots, 0, sizeof(timers->slots));
        timers->far = 0;
    }
}

/* --- the heap --------------------------------------------------------------------------------- */

/* Make one heap of two; either may be NULL.  The later root becomes the first child of the other.
 * ONE wins if both are equal. */
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

static void remove_near(struct asi_timers *timers, struct asi_timer *timer)
{
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

/* --- the wheel -------------------------------------------------------------------------------- */

static uint64_t tick_of(anysync_time time)
{
    return time > 0 ? (uint64_t)time >> TICK_BITS : 0;
}

/* The slot for DEADLINE; NEAR: the heap. */
static int place_of(const struct asi_timers *timers, anysync_time deadline)
{
    uint64_t tick = tick_of(deadline), base = tick_of(timers->base);

    if (tick <= base)
        return NEAR;
    int level = (63 - __builtin_clzll(tick ^ base)) / DIGIT_BITS;
    if (level >= ASI_TIMERS_LEVELS)
        return ASI_TIMERS_BEYOND;
    uint64_t digit = tick >> (level * DIGIT_BITS) & (ASI_TIMERS_SLOTS - 1);
    return level * ASI_TIMERS_SLOTS + (int)digit;
}

/* TIMER is in slot PLACE now, which knows of it already as its first or last. */
static void entered(struct asi_timers *timers, struct asi_timer *timer, int place)
{
    struct asi_timer_slot *slot = &timers->slots[place];
    bool alone = slot->first == slot->last;

    timer->slot = (int16_t)place;
    timers->far++;
    if (alone || timer->deadline < slot->earliest)
        slot->earliest = timer->deadline;
    if (alone && place != ASI_TIMERS_BEYOND)
        timers->used[place / ASI_TIMERS_SLOTS] |= (uint64_t)1 << place % ASI_TIMERS_SLOTS;
}

void asi_timers_place(struct asi_timers *timers)
{
    struct asi_timer *timer = timers->newest;
    int place = place_of(timers, timer->deadline);

    timers->newest = NULL;
    timer->next = NULL;
    if (place == NEAR) {
        timer->child = NULL;
        timer->previous = NULL;
        timer->slot = NEAR;
        timers->root = meld(timers->root, timer);
        return;
    }
    struct asi_timer_slot *slot = &timers->slots[place];
    timer->previous = slot->last;
    *(slot->last ? &slot->last->next : &slot->first) = timer;
    slot->last = timer;
    entered(timers, timer, place);
}

/* TIMER, which was taken out of a slot, finds its place anew, before those that came from there. */
static void move(struct asi_timers *timers, struct asi_timer *timer)
{
    int place = place_of(timers, timer->deadline);

    timer->previous = NULL;
    if (place == NEAR) {
        timer->child = NULL;
        timer->next = NULL;
        timer->slot = NEAR;
        timers->root = meld(timer, timers->root);
        return;
    }
    struct asi_timer_slot *slot = &timers->slots[place];
    timer->next = slot->first;
    *(slot->first ? &slot->first->previous : &slot->last) = timer;
    slot->first = timer;
    entered(timers, timer, place);
}

/* All in slot PLACE find their places anew. */
static void empty_slot(struct asi_timers *timers, int place)
{
    struct asi_timer *timer = timers->slots[place].last;

    timers->slots[place].first = NULL;
    timers->slots[place].last = NULL;
    while (timer) {
        struct asi_timer *previous = timer->previous;
        if (previous)
            __builtin_prefetch(previous->previous);
        timers->far--;
        move(timers, timer);
        timer = previous;
    }
}

/* Empty the slots MASK of LEVEL, the latest first. */
static void empty_slots(struct asi_timers *timers, int level, uint64_t mask)
{
    uint64_t slots = timers->used[level] & mask;

    timers->used[level] &= ~mask;
    while (slots) {
        int index = 63 - __builtin_clzll(slots);
        slots &= ~((uint64_t)1 << index);
        empty_slot(timers, level * ASI_TIMERS_SLOTS + index);
    }
}

/* Move base to NOW. */
static void advance(struct asi_timers *timers, anysync_time now)
{
    uint64_t tick = tick_of(now), before = tick_of(timers->base);

    if (now <= timers->base)
        return;
    timers->base = now;
    if (tick == before || timers->far == 0)
        return;
    /* Levels below the highest digit that changed were passed as a whole.  They go first: the slot
     * that base is in now, one level up, is spread over them. */
    int top = (63 - __builtin_clzll(tick ^ before)) / DIGIT_BITS;
    if (top >= ASI_TIMERS_LEVELS) {
        for (int level = 0; level < ASI_TIMERS_LEVELS; level++)
            empty_slots(timers, level, UINT64_MAX);
        empty_slot(timers, ASI_TIMERS_BEYOND);
        return;
    }
    for (int level = 0; level < top; level++)
        empty_slots(timers, level, UINT64_MAX);
    uint64_t digit = tick >> (top * DIGIT_BITS) & (ASI_TIMERS_SLOTS - 1);
    empty_slots(timers, top, UINT64_MAX >> (ASI_TIMERS_SLOTS - 1 - digit));
}

static void remove_far(struct asi_timers *timers, struct asi_timer *timer)
{
    struct asi_timer_slot *slot = &timers->slots[timer->slot];

    *(timer->previous ? &timer->previous->next : &slot->first) = timer->next;
    *(timer->next ? &timer->next->previous : &slot->last) = timer->previous;
    timers->far--;
    if (!slot->first && timer->slot != ASI_TIMERS_BEYOND)
        timers->used[timer->slot / ASI_TIMERS_SLOTS] &=
                ~((uint64_t)1 << timer->slot % ASI_TIMERS_SLOTS);
}

/* --- both ------------------------------------------------------------------------------------- */

void asi_timer_remove(struct asi_timers *timers, struct asi_timer *timer)
{
    if (timer->slot == NEAR)
        remove_near(timers, timer);
    else
        remove_far(timers, timer);
}

anysync_time asi_timers_next(struct asi_timers *timers)
{
    if (timers->newest)
        asi_timers_place(timers);
    if (timers->root)
        return timers->root->deadline;
    if (timers->far == 0)
        return ANYSYNC_FOREVER;
    for (int level = 0; level < ASI_TIMERS_LEVELS; level++) {
        if (timers->used[level]) {
            int index = __builtin_ctzll(timers->used[level]);
            return timers->slots[level * ASI_TIMERS_SLOTS + index].earliest;
        }
    }
    return timers->slots[ASI_TIMERS_BEYOND].earliest;
}

struct asi_timer *asi_timers_take(struct asi_timers *timers)
{
    if (timers->newest)
        asi_timers_place(timers);
    struct asi_timer *timer = timers->root ? timers->root : timers->slots[ASI_TIMERS_BEYOND].first;

    for (int level = 0; !timer && level < ASI_TIMERS_LEVELS; level++) {
        if (timers->used[level]) {
            int index = __builtin_ctzll(timers->used[level]);
            timer = timers->slots[level * ASI_TIMERS_SLOTS + index].first;
        }
    }
    if (timer)
        asi_timer_disarm(timers, timer);
    return timer;
}

void asi_timers_fire(struct asi_timers *timers, anysync_time now)
{
    if (timers->newest)
        asi_timers_place(timers);
    advance(timers, now);
    while (timers->root && timers->root->deadline <= now) {
        struct asi_timer *timer = timers->root;
        asi_timer_disarm(timers, timer);
        timer->fire(timer);
        if (timers->newest) /* it may be due as well */
            asi_timers_place(timers);
    }
}
