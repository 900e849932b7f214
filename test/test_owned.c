/* SPDX-License-Identifier: MIT */
/*
 * Owned: a lock that costs its first thread nothing (lib/thread/owned.h, lib/thread/barrier.h).
 *
 * Promised                                        Tested by
 *   who takes it first owns it                      the_first_owns_it
 *   another one ends that, for good                 another_thread_ends_the_ownership
 *   a thread without a loop, if that may not be     a_thread_without_a_loop_does_not_own_it
 *   a child finds out about barriers for itself     a_child_has_barriers_too
 *   one at a time is inside (TSan)                  the_owner_is_waited_for, stress_one_at_a_time
 *   a barrier on one side is enough                 stress_barriers
 */
#include "harness.h"
#include "thread/fork.h"
#include "thread/owned.h"

#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

static struct asi_owned owned;
static uint64_t inside; /* [owned] */

static void step(void)
{
    bool owner = asi_owned_take(&owned);

    inside++;
    asi_owned_give(&owned, owner);
}

static void second(void *argument, int index)
{
    (void)argument;
    (void)index;
    step();
}

TEST(the_first_owns_it)
{
    asi_owned_init(&owned, false);
    CHECK(!asi_owned_enter(&owned));
    step();
    CHECK_EQ(asi_owned_enter(&owned), asi_barrier_available());
    if (asi_barrier_available())
        asi_owned_leave(&owned);
}

TEST(another_thread_ends_the_ownership)
{
    asi_owned_init(&owned, false);
    step();
    test_together(1, second, NULL);
    CHECK(!asi_owned_enter(&owned));
    step();
    CHECK(!asi_owned_enter(&owned));
    CHECK_EQ(inside, 3);
}

TEST(a_thread_without_a_loop_does_not_own_it)
{
    asi_owned_init(&owned, true);
    step();
    CHECK(!asi_owned_enter(&owned));
}

TEST(a_child_has_barriers_too)
{
    int status;
    bool had = asi_barrier_available();
    pid_t child = fork();

    if (child == 0) {
        asi_fork_generation++; /* nobody has told it */
        if (asi_barrier_available() != had)
            _exit(1);
        if (had)
            asi_barrier_heavy();
        _exit(0);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
}

/* Both threads go on from here at nearly the same moment. */
static void meet(int round)
{
    static asi_atomic(int) met;

    asi_add(&met, 1, acq_rel);
    for (int looks = 0; asi_load(&met, acquire) < 2 * round; looks++) {
        if (looks > 1000)
            sched_yield();
    }
}

static bool got; /* [told] the second of the two threads below was inside */

static void hold(void *argument, int index)
{
    struct asi_brief *told = argument;

    if (index == 1) {
        meet(1);
        step();
        asi_brief_take(told);
        got = true;
        asi_brief_give(told);
        return;
    }
    step();
    if (!asi_owned_enter(&owned)) { /* there are no barriers */
        meet(1);
        return;
    }
    meet(1);
    while (asi_load(&owned.owner, relaxed) != ASI_OWNED_SHARED)
        sched_yield();
    for (int i = 0; i < 1000; i++) {
        sched_yield();
        asi_brief_take(told);
        CHECK(!got);
        asi_brief_give(told);
    }
    asi_owned_leave(&owned);
}

TEST(the_owner_is_waited_for)
{
    struct asi_brief told;

    asi_brief_init(&told);
    asi_owned_init(&owned, false);
    test_together(2, hold, &told);
    CHECK(got);
}

static void both_step(void *argument, int index)
{
    int rounds = *(int *)argument;

    for (int round = 1; round <= rounds; round++) {
        if (index == 0) {
            asi_owned_init(&owned, false);
            inside = 0;
            step();
        }
        meet(2 * round - 1);
        for (int i = 0; i < 10; i++)
            step();
        meet(2 * round);
        if (index == 0)
            CHECK_EQ(inside, 21);
    }
}

TEST(stress_one_at_a_time)
{
    int rounds = (int)test_scaled(20000);

    test_together(2, both_step, &rounds);
}

static asi_atomic(int) words[2];
static int seen[2];

static void look_across(void *argument, int index)
{
    int rounds = *(int *)argument;

    for (int round = 1; round <= rounds; round++) {
        asi_store(&words[index], 0, relaxed);
        meet(2 * round - 1);
        asi_store(&words[index], 1, relaxed);
        if (index == 0)
            asi_barrier_light();
        else
            asi_barrier_heavy();
        seen[index] = asi_load(&words[!index], relaxed);
        meet(2 * round);
        CHECK(seen[0] || seen[1]);
    }
}

TEST(stress_barriers)
{
    int rounds = asi_barrier_available() ? (int)test_scaled(20000) : 0;

    test_together(2, look_across, &rounds);
}
