/* SPDX-License-Identifier: MIT */
/*
 * Looking before sleeping (lib/thread/spin.h).
 *
 * Promised                                  Tested by
 *   never: no look at all, nothing learned    a_waiter_that_never_looks_learns_nothing
 *   a look ends by itself                     a_look_without_success_ends
 *   after n failures, the next 2^n - 1        failures_leave_out_more_and_more_tries
 *   tries are left out; at most 1023          at_least_one_try_in_1024_is_made
 *   a success halves n                        a_success_halves_what_was_learned
 *   an interrupted look is a failure          an_interrupted_look_counts_as_a_failure
 *   nothing tried, nothing learned            what_was_there_at_once_teaches_nothing
 *   always: whatever was learned              a_waiter_that_always_looks_leaves_out_no_try
 *   processors: at least one, the same each   the_number_of_processors_is_steady,
 *   time, what this process may use           one_processor_is_seen_and_yielded (Linux)
 */
#define _GNU_SOURCE /* sched_setaffinity() */
#include "harness.h"

#include "thread/spin.h"

#include <sched.h>

/* One try that finds nothing, or finds something after one look.  Returns whether it looked. */
static bool try_once(struct asi_spin *spin, enum asi_spin_policy policy, bool succeed)
{
    struct asi_look look;
    bool looked = false;

    asi_look_begin(&look, spin, policy);
    while (asi_look_again(&look)) {
        looked = true;
        if (succeed)
            break;
    }
    asi_look_end(&look, succeed && looked);
    return looked;
}

/* How many tries are left out before the next one is made (and fails). */
static int left_out(struct asi_spin *spin)
{
    int count = 0;

    while (!try_once(spin, ASI_SPIN_ADAPTIVE, false))
        count++;
    return count;
}

TEST(a_waiter_that_never_looks_learns_nothing)
{
    struct asi_spin spin = {0};

    for (int i = 0; i < 10; i++)
        CHECK(!try_once(&spin, ASI_SPIN_NEVER, false));
    CHECK_EQ(spin.failures, 0);
    CHECK_EQ(spin.skip, 0);
}

TEST(a_look_without_success_ends)
{
    struct asi_spin spin = {0};

    CHECK(try_once(&spin, ASI_SPIN_ADAPTIVE, false)); /* it came back */
    CHECK(try_once(&spin, ASI_SPIN_ALWAYS, false));
}

TEST(failures_leave_out_more_and_more_tries)
{
    struct asi_spin spin = {0};

    CHECK_EQ(left_out(&spin), 0);
    for (int n = 1; n <= 6; n++)
        CHECK_EQ(left_out(&spin), (1 << n) - 1);
}

TEST(at_least_one_try_in_1024_is_made)
{
    struct asi_spin spin = {0};

    for (int i = 0; i < 14; i++)
        CHECK_GE(1023, left_out(&spin));
    CHECK_EQ(left_out(&spin), 1023);
}

/* A success that another process disturbed counts as a failure: then this is tried again. */
TEST(a_success_halves_what_was_learned)
{
    for (;;) {
        struct asi_spin spin = {.failures = 8};
        CHECK(try_once(&spin, ASI_SPIN_ADAPTIVE, true));
        if (spin.failures > 8)
            continue;
        CHECK_EQ(spin.failures, 4);
        CHECK_EQ(spin.skip, 0);
        break;
    }
}

TEST(an_interrupted_look_counts_as_a_failure)
{
    struct asi_spin spin = {0};
    struct asi_look look;

    asi_look_begin(&look, &spin, ASI_SPIN_ADAPTIVE);
    CHECK(asi_look_again(&look));
    look.interrupted = true;
    asi_look_end(&look, true);
    CHECK_EQ(spin.failures, 1);
    CHECK_EQ(spin.skip, 1);
}

TEST(what_was_there_at_once_teaches_nothing)
{
    struct asi_spin spin = {.failures = 6};
    struct asi_look look;

    asi_look_begin(&look, &spin, ASI_SPIN_ADAPTIVE);
    asi_look_end(&look, true);
    CHECK_EQ(spin.failures, 6);
}

TEST(a_waiter_that_always_looks_leaves_out_no_try)
{
    struct asi_spin spin = {0};

    for (int i = 0; i < 6; i++)
        CHECK(try_once(&spin, ASI_SPIN_ALWAYS, false));
}

static void count_processors(void *argument, int index)
{
    unsigned *counts = argument;

    counts[index] = asi_processors();
}

TEST(the_number_of_processors_is_steady)
{
    unsigned counts[4];

    test_together(4, count_processors, counts);
    CHECK_GE(counts[0], 1);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(counts[i], asi_processors());
}

#if defined(__linux__)
TEST(one_processor_is_seen_and_yielded)
{
    struct asi_spin spin = {0};
    struct asi_look look;
    cpu_set_t mine, one;

    CHECK_EQ(sched_getaffinity(0, sizeof(mine), &mine), 0);
    CPU_ZERO(&one);
    for (size_t i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++) {
        if (CPU_ISSET(i, &mine))
            CPU_SET(i, &one);
    }
    CHECK_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
    CHECK_EQ(asi_processors(), 1); /* asked for the first time in this process */
    int looks = 0;
    asi_look_begin(&look, &spin, ASI_SPIN_ADAPTIVE);
    while (asi_look_again(&look))
        looks++;
    CHECK_GE(looks, 1);
    CHECK_GE(10, looks); /* each gives the slice away: a few, not thousands */
}
#endif
