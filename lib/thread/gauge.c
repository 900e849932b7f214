/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* prctl() */
/*
 * Measuring a wake.  (What it is for: gauge.h.)
 *
 * A sleep of 25 us is long enough for the processor to become idle, as it is when a waiter waits
 * for real.  How late it ends is what a wake takes; the thread's processor time for it, which
 * includes the way into the sleep, what it costs.  Medians, for any sleep may meet another program.
 */
#include "thread/gauge.h"

#include "base/clock.h"
#include "thread/atomic.h"
#include "thread/futex.h"
#include "thread/spin.h"

#include <sched.h>
#include <stdlib.h>

#if defined(__linux__)
#include <sys/prctl.h>
#endif

enum {
    SLEEPS = 5,
    SLEEP_NS = 25 * ASI_NS_PER_US,
    MOST_NS = 250 * ASI_NS_PER_US,
    LEAST_WAKE_NS = 3 * ASI_NS_PER_US,
    MOST_WAKE_NS = 50 * ASI_NS_PER_US, /* more is said by a machine that is busy */
    LEAST_COST_NS = 2 * ASI_NS_PER_US,
    OFFERS = 8,
    LEAST_OFFER_NS = 200,
    MOST_OFFER_NS = 1000
};

static int64_t processor_time(void)
{
    struct timespec time;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return time.tv_sec * (int64_t)ASI_NS_PER_SECOND + time.tv_nsec;
}

static int64_t between(int64_t value, int64_t least, int64_t most)
{
    return value < least ? least : value > most ? most : value;
}

static int compare(const void *left, const void *right)
{
    int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;

    return (a > b) - (a < b);
}

/* Sleep a few times.  Returns how often; RET_LATE: how late each sleep ended. */
static int sleep_a_little(int64_t ret_late[SLEEPS])
{
    asi_atomic(uint32_t) word;
    anysync_time begin = anysync_now(), now = begin;
    int count = 0;

    asi_store(&word, 0, relaxed); /* nobody else knows it */
    while (count < SLEEPS && now - begin < MOST_NS) {
        anysync_time until = now + SLEEP_NS;
        while (asi_futex_wait(&word, 0, until))
            ;
        now = anysync_now();
        ret_late[count++] = now - until;
    }
    return count;
}

/* The median of what was late; RET_COST: processor time of one sleep. */
static int64_t measure_wake(int64_t *ret_cost)
{
    int64_t late_ns[SLEEPS];
    int64_t spent_ns = processor_time();
    int count = sleep_a_little(late_ns);

    *ret_cost = (processor_time() - spent_ns) / count;
    qsort(late_ns, (size_t)count, sizeof(late_ns[0]), compare);
    return late_ns[count / 2];
}

/* An offer of the processor that nobody takes: the shortest of a few. */
static int64_t measure_offer(void)
{
    int64_t shortest_ns = MOST_OFFER_NS;

    for (int i = 0; i < OFFERS; i++) {
        anysync_time start = anysync_now();
        sched_yield();
        shortest_ns = between(anysync_now() - start, LEAST_OFFER_NS, shortest_ns);
    }
    return shortest_ns;
}

static void measure(void)
{
    int64_t cost_ns;

#if defined(__linux__)
    int slack = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0); /* timers are late by that on purpose */
    (void)prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
#endif
    int64_t wake_ns = between(measure_wake(&cost_ns), LEAST_WAKE_NS, MOST_WAKE_NS);
#if defined(__linux__)
    if (slack > 0)
        (void)prctl(PR_SET_TIMERSLACK, (unsigned long)slack, 0, 0, 0);
#endif
    asi_spin_measured(wake_ns, between(cost_ns, LEAST_COST_NS, wake_ns), measure_offer());
}

void asi_gauge(void)
{
    static asi_atomic(unsigned char) gauged;

    /* relaxed: who comes second reads nothing */
    if (asi_processors() > 1 && !asi_exchange(&gauged, 1, relaxed))
        measure();
}
