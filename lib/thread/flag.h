/* SPDX-License-Identifier: MIT */
/*
 * Words that carry no data of their own, for code above lib/thread.
 *
 *   asi_flag     set by anybody.  ORDERING: relaxed; asi_flag_raise is acq_rel, so that of two
 *                parties who raise it the second sees what the first did before (who comes second
 *                tidies up).
 *   asi_counter  written by one thread, read by any.  ORDERING: relaxed; a statistic.
 *   asi_pointer  published by one, or by the first of several, followed by others.
 *                ORDERING: release and acquire.
 */
#ifndef ASI_THREAD_FLAG_H
#define ASI_THREAD_FLAG_H

#include "thread/atomic.h"

#include <stdbool.h>
#include <stdint.h>

struct asi_flag {
    asi_atomic(unsigned char) up;
};

static inline void asi_flag_init(struct asi_flag *flag)
{
    asi_store(&flag->up, 0, relaxed); /* before it is shared */
}

static inline void asi_flag_set(struct asi_flag *flag)
{
    asi_store(&flag->up, 1, relaxed); /* see above */
}

static inline bool asi_flag_get(struct asi_flag *flag)
{
    return asi_load(&flag->up, relaxed); /* see above */
}

/* Set it.  Returns whether it was set before. */
static inline bool asi_flag_raise(struct asi_flag *flag)
{
    return asi_exchange(&flag->up, 1, acq_rel); /* pairs with itself */
}

struct asi_counter {
    asi_atomic(uint64_t) value;
};

/* Add to it.  Only the one thread that writes it; no read-modify-write is needed. */
static inline void asi_counter_add(struct asi_counter *counter, uint64_t count)
{
    /* relaxed: nothing else is told by it */
    asi_store(&counter->value, asi_load(&counter->value, relaxed) + count, relaxed);
}

static inline uint64_t asi_counter_get(struct asi_counter *counter)
{
    return asi_load(&counter->value, relaxed); /* see above */
}

struct asi_pointer {
    asi_atomic(void *) to;
};

static inline void *asi_pointer_get(struct asi_pointer *pointer)
{
    return asi_load(&pointer->to, acquire); /* pairs with the release below */
}

static inline void asi_pointer_set(struct asi_pointer *pointer, void *to)
{
    asi_store(&pointer->to, to, release); /* pairs with the acquire above */
}

/* Set it to TO if it is FROM.  Returns whether it was. */
static inline bool asi_pointer_replace(struct asi_pointer *pointer, void *from, void *to)
{
    /* release: pairs with asi_pointer_get(); who lost looks with that */
    return asi_cas_strong(&pointer->to, &from, to, release, relaxed);
}

#endif
