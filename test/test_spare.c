/* SPDX-License-Identifier: MIT */
/*
 * What a burst of tasks leaves behind (sched/spare.h; MEMORY in <anysync/executor.h>).
 *
 * Promised                                      Tested by
 *   an idle worker gives it back by itself      a_burst_gives_its_memory_back
 *   and what tasks without stacks have left     a_queue_gives_its_memory_back
 *   so does a loop that ends                    a_loop_that_ends_gives_memory_back
 *   and anysync_trim(), at once                 trim_gives_memory_back_at_once
 *   a burst finds what the last one left        stress_bursts_follow_each_other
 */
#include "worlds.h"

#include "sched/spare.h"

#include <sched.h>
#include <stdio.h>

enum { KEPT_BYTES = 24 << 20 }; /* stacks and records kept for good, and the tests' own */

static long resident(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    if (!file)
        test_skip("no /proc");
    CHECK_EQ(fscanf(file, "%*s %ld", &pages), 1);
    fclose(file);
    return pages * 4096;
}

static long begun, ended;

ANYSYNC_COROUTINE(void, member, (struct anysync_future *, gate))
{
    begun++;
    CHECK_EQ(anysync_wait(gate, NULL, ANYSYNC_FOREVER), 0);
    ended++;
    return 0;
}

/* COUNT tasks that are all suspended at once, and then all end. */
ANYSYNC_COROUTINE(void, burst, (long, count))
{
    struct anysync_future *gate;

    CHECK_EQ(anysync_future_new(0, &gate), 0);
    begun = 0;
    ended = 0;
    for (long i = 0; i < count; i++)
        CHECK_EQ(member_start(NULL, gate), 0);
    while (begun < count)
        CHECK_EQ(anysync_yield(), 0);
    if (!TEST_SANITIZED)
        CHECK_GE(resident(), count * 4096);
    CHECK_EQ(anysync_future_set(gate, NULL), 0);
    while (ended < count)
        CHECK_EQ(anysync_yield(), 0);
    anysync_future_unref(gate);
    return 0;
}

static long burst_size(void)
{
    if (sizeof(void *) < 8) /* the stacks of all have to fit into the address space */
        return 4000;
    return TEST_SANITIZED ? 2000 : 30000;
}

TEST(a_burst_gives_its_memory_back)
{
    long before = resident();

    CHECK_EQ(burst_run(burst_size()), 0);
    while (asi_spare_any()) /* its timer goes off by itself; a hang is a failure */
        sched_yield();
    if (!TEST_SANITIZED)
        CHECK_GE(before + KEPT_BYTES, resident());
}

ANYSYNC_COROUTINE(void, nothing, (int, unused))
{
    (void)unused;
    return 0;
}

/* COUNT tasks that all wait for their turn at once. */
ANYSYNC_COROUTINE(void, queue, (long, count))
{
    for (long i = 0; i < count; i++)
        CHECK_EQ(nothing_start(NULL, 0), 0);
    return 0;
}

TEST(a_queue_gives_its_memory_back)
{
    long count = 10 * burst_size();

    CHECK_EQ(anysync_executor_start(NULL), 0);
    asi_spare_trim_all();
    long before = resident();
    CHECK_EQ(queue_run(count), 0);
    CHECK_EQ(queue_run(1), 0); /* it comes after the others */
    if (!TEST_SANITIZED) {
        CHECK_GE(resident(), before + count * 256); /* kept at first */
        CHECK(asi_recycle_spare());
    }
    while (asi_spare_any())
        sched_yield();
    if (!TEST_SANITIZED)
        CHECK_GE(before + KEPT_BYTES, resident());
}

TEST(a_loop_that_ends_gives_memory_back)
{
    long before = resident();

    CHECK_EQ(burst_run_here(burst_size()), 0);
    CHECK(!asi_spare_any());
    if (!TEST_SANITIZED)
        CHECK_GE(before + KEPT_BYTES, resident());
}

TEST(trim_gives_memory_back_at_once)
{
    long before = resident();

    CHECK_EQ(burst_run(burst_size()), 0);
    CHECK_EQ(anysync_executor_shutdown(NULL, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    anysync_trim();
    CHECK(!asi_spare_any());
    if (!TEST_SANITIZED)
        CHECK_GE(before + KEPT_BYTES, resident());
    CHECK_EQ(anysync_executor_start(NULL), 0);
    CHECK_EQ(burst_run(1000), 0);
    anysync_trim();
}

ANYSYNC_COROUTINE(void, bursts, (long, count), (long, size))
{
    for (long i = 0; i < count; i++) {
        CHECK_EQ(burst_await(size), 0);
        if (i % 8 == 7)
            CHECK_EQ(anysync_sleep(anysync_in_ms(1)), 0);
        if (i % 16 == 15)
            anysync_trim();
    }
    return 0;
}

TEST(stress_bursts_follow_each_other)
{
    CHECK_EQ(bursts_run(test_scaled(40), 1000), 0);
    CHECK_EQ(bursts_run(test_scaled(10), 2000), 0);
}
