/* SPDX-License-Identifier: MIT */
/*
 * Looking before sleeping (lib/thread/spin.h).
 *
 * Promised                                  Tested by
 *   never: no look at all, nothing learned    a_waiter_that_never_looks_learns_nothing
 *   a look ends by itself                     a_look_without_success_ends
 *   after n failures, the next 2^n - 1        failures_leave_out_more_and_more_tries
 *   tries are left out; at most 1023          at_least_one_try_in_1024_is_made
 *     in a crowd at most 7                    in_a_crowd_one_try_in_8_is_made
 *   a success halves n                        a_success_halves_what_was_learned
 *   an interrupted look is a failure          an_interrupted_look_counts_as_a_failure
 *   nothing tried, nothing learned            what_was_there_at_once_teaches_nothing
 *   always: whatever was learned              a_waiter_that_always_looks_leaves_out_no_try
 *   looking at most doubles processor time    looking_is_paid_for_by_sleeps,
 *                                             long_looks_that_succeed_are_paid_for_too
 *   a short sleep ends the leaving out        a_short_sleep_ends_the_leaving_out
 *   a long one, or one after a look, does not a_long_sleep_changes_nothing,
 *                                             a_sleep_after_a_look_changes_nothing
 *   a waiter that is always lucky offers      luck_comes_in_turns
 *   the processor now and then
 *   in a crowd there are few looks            a_crowd_gets_the_processor
 *   processors: at least one, the same each   the_number_of_processors_is_steady,
 *   time, what this process may use           one_processor_is_seen_and_yielded (Linux)
 *   threads outside of loops: one policy      the_policy_of_threads_is_the_global_executors
 *   the measure: within its bounds, once      a_wake_is_measured_once
 */
#define _GNU_SOURCE /* sched_setaffinity() */
#include "harness.h"

#include "thread/gauge.h"
#include "thread/spin.h"

#include <anysync.h>
#include <sched.h>

/* One try that finds nothing, or finds something, after looking for SPENT_NS: no clock, so that a
 * busy machine teaches nothing else.  Returns whether it looked. */
static bool try_for(
        struct asi_spin *spin, enum asi_spin_policy policy, bool succeed, int64_t spent_ns)
{
    struct asi_look look;

    asi_look_begin(&look, spin, policy);
    if (look.limit > 0) {
        look.round = 1;
        look.start = spent_ns > 0 ? 1 : 0;
        look.last = 1 + spent_ns;
    }
    asi_look_end(&look, succeed);
    return look.limit > 0;
}

static bool try_once(struct asi_spin *spin, enum asi_spin_policy policy, bool succeed)
{
    return try_for(spin, policy, succeed, 0);
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
    struct asi_look look;

    for (int i = 0; i < 10; i++) {
        asi_look_begin(&look, &spin, ASI_SPIN_NEVER);
        CHECK(!asi_look_again(&look));
        asi_look_end(&look, false);
    }
    CHECK_EQ(spin.failures, 0);
    CHECK_EQ(spin.skip, 0);
}

/* How many looks a try that finds nothing takes. */
static int look_in_vain(struct asi_spin *spin, enum asi_spin_policy policy)
{
    struct asi_look look;
    int looks = 0;

    asi_look_begin(&look, spin, policy);
    while (asi_look_again(&look))
        looks++;
    asi_look_end(&look, false);
    return looks;
}

TEST(a_look_without_success_ends)
{
    struct asi_spin spin = {0};

    CHECK_GE(look_in_vain(&spin, ASI_SPIN_ADAPTIVE), 1); /* it came back */
    CHECK_GE(look_in_vain(&spin, ASI_SPIN_ALWAYS), 1);
}

/* With one there is a crowd, always. */
static void need_two_processors(void)
{
    if (asi_processors() == 1)
        test_skip("one processor");
}

TEST(failures_leave_out_more_and_more_tries)
{
    struct asi_spin spin = {0};

    need_two_processors();
    CHECK_EQ(left_out(&spin), 0);
    for (int n = 1; n <= 6; n++)
        CHECK_EQ(left_out(&spin), (1 << n) - 1);
}

TEST(at_least_one_try_in_1024_is_made)
{
    struct asi_spin spin = {0};

    need_two_processors();
    for (int i = 0; i < 14; i++)
        CHECK_GE(1023, left_out(&spin));
    CHECK_EQ(left_out(&spin), 1023);
}

TEST(in_a_crowd_one_try_in_8_is_made)
{
    struct asi_spin spin = {.crowded = true};

    for (int i = 0; i < 14; i++)
        CHECK_GE(7, left_out(&spin));
    CHECK_EQ(left_out(&spin), 7);
}

TEST(a_success_halves_what_was_learned)
{
    struct asi_spin spin = {.failures = 8};

    CHECK(try_once(&spin, ASI_SPIN_ADAPTIVE, true));
    CHECK_EQ(spin.failures, 4);
    CHECK_EQ(spin.skip, 0);
}

TEST(an_interrupted_look_counts_as_a_failure)
{
    struct asi_spin spin = {0};
    struct asi_look look;

    asi_look_begin(&look, &spin, ASI_SPIN_ADAPTIVE);
    look.round = 1;
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
        CHECK(try_for(&spin, ASI_SPIN_ALWAYS, false, 1000000));
}

/* A wake takes 40 us and costs 10: each wait in vain earns 10, so three more pay for a look. */
TEST(looking_is_paid_for_by_sleeps)
{
    struct asi_spin spin = {0};
    int looked = 0;

    asi_spin_measured(40000, 10000, 400);
    for (int i = 0; i < 400; i++) {
        spin.failures = spin.skip = 0; /* it is not for lack of luck that tries are left out */
        looked += try_for(&spin, ASI_SPIN_ADAPTIVE, false, 40000);
    }
    CHECK_GE(101, looked);
    CHECK_GE(looked, 99);
}

/* A success earns 20, for the sleep that it saved as well. */
TEST(long_looks_that_succeed_are_paid_for_too)
{
    struct asi_spin spin = {0};
    int looked = 0;

    asi_spin_measured(40000, 10000, 400);
    for (int i = 0; i < 400; i++)
        looked += try_for(&spin, ASI_SPIN_ADAPTIVE, true, 40000);
    CHECK_GE(10000 * (400 + looked) + 40000, 40000 * looked);
    CHECK_GE(looked, 130);
}

TEST(a_short_sleep_ends_the_leaving_out)
{
    struct asi_spin spin = {.limit_ns = 3600 * INT64_C(1000000000), .failures = 8, .skip = 100};

    CHECK(!try_once(&spin, ASI_SPIN_ADAPTIVE, true));
    asi_sleep_end(&spin, asi_sleep_begin(&spin));
    CHECK_EQ(spin.skip, 0);
    CHECK_EQ(spin.failures, 4);
}

TEST(a_long_sleep_changes_nothing)
{
    struct asi_spin spin = {.failures = 8, .skip = 100};

    CHECK(!try_once(&spin, ASI_SPIN_ADAPTIVE, true));
    asi_sleep_end(&spin, asi_sleep_begin(&spin) - 1000000000);
    CHECK_EQ(spin.skip, 99);
    CHECK_EQ(spin.failures, 8);
}

TEST(a_sleep_after_a_look_changes_nothing)
{
    struct asi_spin spin = {.limit_ns = 3600 * INT64_C(1000000000)};

    CHECK(try_once(&spin, ASI_SPIN_ADAPTIVE, false));
    asi_sleep_end(&spin, asi_sleep_begin(&spin));
    CHECK_EQ(spin.skip, 1);
    CHECK_EQ(spin.failures, 1);
}

/* Each look finds something at once.  An offer begins a turn anew. */
TEST(luck_comes_in_turns)
{
    struct asi_spin spin = {0};
    uint32_t longest = 0, offers = 0;

    if (asi_processors() == 1)
        return; /* each look is an offer there */
    for (int i = 0; i < 10000; i++) {
        struct asi_look look;
        uint32_t before = spin.turn;
        asi_look_begin(&look, &spin, ASI_SPIN_ALWAYS);
        CHECK(asi_look_again(&look));
        asi_look_end(&look, true);
        offers += spin.turn <= before;
        longest = before > longest ? before : longest;
    }
    CHECK_GE(offers, 1);
    CHECK_GE(longest, 16);
}

TEST(a_crowd_gets_the_processor)
{
    struct asi_spin spin = {.limit_ns = 1, .crowded = true};

    CHECK_GE(1000, look_in_vain(&spin, ASI_SPIN_ADAPTIVE));
}

TEST(the_policy_of_threads_is_the_global_executors)
{
    struct anysync_executor_options options = {.spin = ANYSYNC_SPIN_NEVER};

    CHECK_EQ(asi_spin_policy(), ASI_SPIN_ADAPTIVE);
    CHECK_EQ(anysync_configure(&options), 0);
    CHECK_EQ(asi_spin_policy(), ASI_SPIN_NEVER);
    CHECK_EQ(anysync_configure(NULL), 0);
    CHECK_EQ(asi_spin_policy(), ASI_SPIN_ADAPTIVE);
}

TEST(a_wake_is_measured_once)
{
    struct asi_spin_figures figures, again;

    if (asi_processors() == 1)
        return;
    asi_spin_measured(1, 1, 1);
    asi_gauge();
    asi_spin_get_measured(&figures);
    CHECK_GE(figures.wake_ns, 3000);
    CHECK_GE(50000, figures.wake_ns);
    CHECK_GE(figures.cost_ns, 2000);
    CHECK_GE(figures.wake_ns, figures.cost_ns);
    CHECK_GE(figures.offer_ns, 200);
    CHECK_GE(1000, figures.offer_ns);
    asi_spin_measured(1, 2, 3);
    asi_gauge();
    asi_spin_get_measured(&again);
    CHECK_EQ(again.wake_ns, 1);
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
