/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* sched_getaffinity() */
#include "thread/spin.h"

#include "base/clock.h"
#include "thread/atomic.h"

#include <sched.h>
#include <unistd.h>

enum {
    FREE_LOOKS = 64,  /* before the clock is read for the first time: a hot answer needs no clock */
    CLOCK_EVERY = 16, /* looks between two readings of the clock */
    LIMIT_NS = 50000, /* about the cost of waking a thread on another core */
    INTERRUPTED_NS = 20000, /* more between two readings: somebody else ran here */
    MOST_FAILURES = 10,     /* at worst one try in 1024 */
    YIELDS = 3              /* on one processor */
};

static asi_atomic(unsigned) processors;

unsigned asi_processors(void)
{
    unsigned count = asi_load(&processors, relaxed); /* any thread may compute the same number */

    if (count == 0) {
#if defined(__linux__)
        cpu_set_t set;
        CPU_ZERO(&set);
        if (sched_getaffinity(0, sizeof(set), &set) == 0)
            count = (unsigned)CPU_COUNT(&set);
#endif
        if (count == 0) {
            long online = sysconf(_SC_NPROCESSORS_ONLN);
            count = online > 0 ? (unsigned)online : 1;
        }
        asi_store(&processors, count, relaxed); /* as above */
    }
    return count;
}

void asi_look_begin(struct asi_look *look, struct asi_spin *spin, enum asi_spin_policy policy)
{
    look->spin = spin;
    look->start = 0;
    look->round = 0;
    look->interrupted = false;
    look->yields = asi_processors() == 1;
    look->limit = look->yields ? YIELDS : UINT32_MAX;
    if (policy == ASI_SPIN_NEVER) {
        look->limit = 0;
    } else if (policy == ASI_SPIN_ADAPTIVE && spin->skip > 0) {
        spin->skip--;
        look->limit = 0;
    }
}

bool asi_look_again(struct asi_look *look)
{
    if (look->round >= look->limit)
        return false;
    look->round++;
    if (look->yields) {
        sched_yield();
        return true;
    }
    asi_spin_pause();
    if (look->round < FREE_LOOKS || look->round % CLOCK_EVERY != 0)
        return true;

    anysync_time now = anysync_now();
    if (look->start == 0)
        look->start = now;
    if (now - look->start > LIMIT_NS) {
        look->interrupted = now - look->start > LIMIT_NS + INTERRUPTED_NS;
        return false;
    }
    return true;
}

void asi_look_end(struct asi_look *look, bool found)
{
    struct asi_spin *spin = look->spin;

    if (look->limit == 0 || look->round == 0)
        return; /* nothing was tried, nothing was learned */
    if (found && !look->interrupted) {
        spin->failures /= 2;
    } else {
        if (spin->failures < MOST_FAILURES)
            spin->failures++;
        spin->skip = (1u << spin->failures) - 1;
    }
}
