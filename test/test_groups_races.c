/* SPDX-License-Identifier: MIT */
/*
 * Contract I: groups without memory, and races.  (What they promise: test_groups.c.)
 *
 * Promised                                       Tested by
 *   no memory, anywhere: -ENOMEM, nothing is lost  i6_no_memory_loses_nothing
 *   spawns and cancels of many threads             i6_stress_many_threads_spawn_and_cancel
 *   others use it while the close waits for one    i6_stress_others_come_while_the_close_waits
 *   failures, deadlines, cancels and the close     i6_stress_failures_race_with_the_close
 *   a start and its deadline                       i5_stress_start_races_with_its_deadline
 */
#include "fault.h"
#include "groups.h"

#include <errno.h>
#include <stdatomic.h>

/* --- no memory -------------------------------------------------------------------------------- */

/* Returns the first error of any call; all that was made is gone by then. */
static int use_a_group(void)
{
    struct anysync_group *group;
    gives_future soon = {NULL};
    int value = -1;
    int error = anysync_group_open(&group);

    if (error)
        return error;
    error = gives_spawn(group, &soon, 5);
    CHECK(!error == (soon.future != NULL));
    if (!error)
        error = anysync_group_start(group, &gives_function, &(struct gives_arguments){1}, NULL, 0,
                NULL, ANYSYNC_FOREVER);
    CHECK_NE(error, 0);
    if (error == -EPIPE)
        error = 0;
    int closed = anysync_group_close(group, error, ANYSYNC_FOREVER);
    CHECK(closed == error || closed == -ENOMEM); /* a child without a stack fails, too */
    if (closed == 0)
        closed = gives_value(&soon, &value);
    CHECK_EQ(value, closed == 0 ? 5 : -1);
    gives_drop(&soon);
    return closed;
}

static void check_no_memory(void)
{
    CHECK_EQ(use_a_group(), 0);
    for (int nth = 1;; nth++) {
        fault_fail("malloc", nth, false);
        int error = use_a_group();
        bool reached = fault_failed("malloc") > 0;
        fault_clear();
        CHECK(error == 0 || error == -ENOMEM);
        CHECK_EQ(use_a_group(), 0);
        if (!reached)
            return;
    }
}

/* Without memory for an error the code remains, and the list is shorter. */
static void check_no_memory_for_errors(void)
{
    for (int nth = 1;; nth++) {
        struct anysync_group *group = open_group();
        CHECK_EQ(fails_spawn(group, NULL, -EIO), 0);
        int second = fails_spawn(group, NULL, -EXDEV);
        CHECK(second == 0 || second == -ECANCELED);
        fault_fail("malloc", nth, true);
        int error = anysync_group_close(group, -EDOM, ANYSYNC_FOREVER);
        bool reached = fault_failed("malloc") > 0;
        fault_clear();
        CHECK(error == -EDOM || error == -EIO || error == -ENOMEM); /* no stack for a child */
        CHECK_EQ(anysync_last_error()->code, error);
        if (!reached)
            return;
    }
}

TEST(i6_no_memory_loses_nothing)
{
    fault_clear(); /* sets the hook before first use */
    in_worlds(PLAIN | WORKER | HERE, check_no_memory);
    in_worlds(PLAIN | WORKER | HERE, check_no_memory_for_errors);
}

/* --- stress ----------------------------------------------------------------------------------- */

static void spawn_and_cancel(void *argument, int index)
{
    struct anysync_group *group = argument;

    for (int i = 0; i < 50; i++) {
        int error = i % 2 ? gives_spawn(group, NULL, i) : sleeps_spawn(group, NULL);
        CHECK(error == 0 || error == -ECANCELED);
        if (i == 20 + index && index % 2)
            anysync_group_cancel(group, "somebody");
    }
}

static void check_many_threads(void)
{
    for (long round = test_scaled(40); round > 0; round--) {
        struct anysync_group *group = open_group();
        struct test_threads *threads = test_threads_start(4, spawn_and_cancel, group);
        if (round % 2 && anysync_in_coroutine())
            CHECK_EQ(anysync_sleep(ANYSYNC_FOREVER), -ECANCELED);
        test_threads_join(threads); /* all have let go of the group */
        int error = anysync_group_close(group, 0, ANYSYNC_FOREVER);
        CHECK(error == 0 || error == -ECANCELED);
        CHECK_EQ(begun, ended);
    }
}

TEST(i6_stress_many_threads_spawn_and_cancel)
{
    in_worlds(PLAIN | WORKER | HERE, check_many_threads);
}

/* A group that its users keep open, while its close waits for a child of its own loop alone. */
struct kept {
    struct anysync_group *group;
    struct anysync_future *gate;
    atomic_int users;
    bool cancel;
};

ANYSYNC_COROUTINE(void, keeps_open, (struct anysync_future *, gate))
{
    struct anysync_scope scope;

    anysync_shield_enter(&scope, ANYSYNC_FOREVER);
    CHECK_EQ(anysync_started(NULL, 0), 0); /* no cancel keeps it from waiting any more */
    int error = anysync_future_wait(gate, ANYSYNC_FOREVER);
    return anysync_scope_exit(&scope, error);
}

ANYSYNC_BLOCKING(int, gives_elsewhere, (int, value))
{
    begun++;
    ended++;
    *result = value;
    return 0;
}

static void use_kept(void *argument, int index)
{
    struct kept *kept = argument;

    for (int i = 0; i < 6; i++) {
        int error = (i + index) % 3 ? gives_spawn(kept->group, NULL, i)
                                    : gives_elsewhere_spawn(kept->group, NULL, i);
        CHECK(error == 0 || (error == -ECANCELED && kept->cancel));
        if (kept->cancel && i == 3 && index == 1)
            anysync_group_cancel(kept->group, "somebody");
    }
    if (atomic_fetch_sub(&kept->users, 1) == 1)
        open_gate(kept->gate);
}

static void check_kept(void)
{
    for (long round = test_scaled(100); round > 0; round--) {
        struct kept kept = {.group = open_group(), .gate = new_gate(), .cancel = round % 2};

        atomic_init(&kept.users, 3);
        CHECK_EQ(anysync_group_start(kept.group, &keeps_open_function,
                         &(struct keeps_open_arguments){kept.gate}, NULL, 0, NULL, ANYSYNC_FOREVER),
                0);
        struct test_threads *threads = test_threads_start(3, use_kept, &kept);
        int error = anysync_group_close(
                kept.group, 0, round % 3 ? ANYSYNC_FOREVER : anysync_in_seconds(100));
        CHECK(error == 0 || (error == -ECANCELED && kept.cancel));
        CHECK_EQ(begun, ended);
        test_threads_join(threads);
        anysync_future_unref(kept.gate);
    }
}

TEST(i6_stress_others_come_while_the_close_waits)
{
    in_worlds(PLAIN | WORKER | HERE, check_kept);
}

static void fail_somewhere(void *argument, int index)
{
    for (long round = test_scaled(400); round > 0; round--) {
        struct anysync_group *group = NULL;
        CHECK_EQ(anysync_group_open(&group), 0);
        int error = sleeps_spawn(group, NULL);
        if (!error)
            error = fails_spawn(group, NULL, -EIO);
        if (!error)
            error = gives_spawn(group, NULL, 1);
        CHECK(error == 0 || error == -ECANCELED);
        if ((round + index) % 3 == 0)
            anysync_group_cancel(group, NULL);
        error = anysync_group_close(
                group, 0, (round + index) % 2 ? ANYSYNC_FOREVER : anysync_in_us(round % 50));
        CHECK(error == -EIO || error == -ECANCELED || error == -ETIMEDOUT);
    }
    (void)argument;
}

ANYSYNC_COROUTINE(void, fail_in_coroutine, (int, index))
{
    fail_somewhere(NULL, index);
    return 0;
}

TEST(i6_stress_failures_race_with_the_close)
{
    struct anysync_group *group = open_group();

    for (int i = 0; i < 3; i++)
        CHECK_EQ(fail_in_coroutine_spawn(group, NULL, i), 0);
    test_together(3, fail_somewhere, NULL);
    CHECK_EQ(anysync_group_close(group, 0, ANYSYNC_FOREVER), 0);
    CHECK_EQ(begun, ended);
}

ANYSYNC_COROUTINE(void, says_started)
{
    int value = 7;

    begun++;
    int error = anysync_yield();
    if (!error)
        error = anysync_started(&value, sizeof(value));
    ended++;
    return error < 0 ? error : 0;
}

static atomic_int through;

static void start_and_give_up(void *argument, int index)
{
    for (long round = test_scaled(300); round > 0; round--) {
        int value = -1;
        int error = anysync_group_start(argument, &says_started_function, NULL, &value,
                sizeof(value), NULL, anysync_in_us((round + index) % 40));
        CHECK(error == 0 || error == -ETIMEDOUT);
        CHECK_EQ(value, error ? -1 : 7);
    }
    atomic_fetch_add(&through, 1);
}

static void check_start_races(void)
{
    struct anysync_group *group = open_group();

    atomic_store(&through, 0);
    struct test_threads *threads = test_threads_start(3, start_and_give_up, group);
    start_and_give_up(group, 3);
    while (atomic_load(&through) < 4) /* the others need this loop */
        CHECK_EQ(anysync_yield(), 0);
    test_threads_join(threads);
    CHECK_EQ(anysync_group_close(group, 0, ANYSYNC_FOREVER), 0);
    CHECK_EQ(begun, ended);
}

TEST(i5_stress_start_races_with_its_deadline)
{
    in_worlds(PLAIN | WORKER | HERE, check_start_races);
}
