/* SPDX-License-Identifier: MIT */
#include "base/race.h"

#ifdef ASI_RACE

#include <sched.h>
#include <stdint.h>

/* A generator for each thread (xorshift, Marsaglia 2003), seeded by where its state lies. */
static _Thread_local uint32_t state;

void asi_race_point(void)
{
    if (state == 0)
        state = (uint32_t)(uintptr_t)&state | 1u;
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    if ((state & 15u) == 0) {
        sched_yield();
    } else if ((state & 15u) == 1) {
        for (uint32_t i = 0; i < (state >> 4 & 1023u); i++)
            __asm__("" ::: "memory");
    }
}

#else

/* ISO C wants a translation unit to declare something. */
typedef int asi_race_is_off;

#endif
