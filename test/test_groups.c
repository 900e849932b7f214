/* SPDX-License-Identifier: MIT */
/*
 * Contract I: groups (include/anysync/group.h).  (I5: test_groups_start.c.
 * Deadlines, limits: test_groups_ends.c.)
 *
 * Promised                                       Tested by
 *   I1  the close waits for all children            i1_the_close_waits_for_all_children
 *       no child runs before the spawner suspends   i1_no_child_runs_before_the_spawner_suspends
 *       the block form, however it is left          i1_a_block_that_is_left_waits_for_all
 *       a child may spawn into its own group        i1_a_child_can_spawn_while_the_close_waits
 *   I2  a pending slot is -EAGAIN, with help        i2_a_slot_is_pending_then_ready
 *   I3  a failing child cancels its siblings        i3_a_failing_child_cancels_its_siblings
 *       and the opener's own code                   i3_a_failing_child_cuts_the_openers_code
 *       the first failure, the others listed        i3_the_others_are_listed_behind_the_first
 *       a failure passed on is not counted twice    i3_a_failure_that_is_passed_on_counts_once
 *       the opener's failure cancels the children   i3_the_openers_failure_cancels_the_children
 *       a cancelled child has not failed            i3_a_child_that_somebody_cancels_has_not_failed
 *       but one that says so unasked has            i3_an_unasked_cancelled_is_a_failure
 *   I4  a spawn into an ended group is refused      i4_an_ended_group_takes_no_children
 *       the inner group ends before the outer       i4_the_inner_group_ends_first
 *   I6  a plain thread                              all that run EVERYWHERE
 */
#include "groups.h"

#include <errno.h>

static struct anysync_future *gate;

ANYSYNC_COROUTINE(int, passes, (int, value))
{
    begun++;
    int error = anysync_future_wait(gate, ANYSYNC_FOREVER);
    ended++;
    *result = value;
    return error;
}

/* What a cancelled child has to say at its end. */
ANYSYNC_COROUTINE(int, fails_when_cancelled, (int, code))
{
    begun++;
    int error = anysync_sleep(ANYSYNC_FOREVER);
    CHECK_EQ(error, -ECANCELED);
    ended++;
    return anysync_fail(code, "clean-up failed with %d", code);
}

/* --- I1 --------------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(void, opens_the_gate)
{
    int error = anysync_yield(); /* the others wait by now, and so does the close */

    CHECK_EQ(error, 0);
    open_gate(gate);
    return 0;
}

static void check_close_waits(void)
{
    struct anysync_group *group = open_group();

    gate = new_gate();
    for (int i = 0; i < 5; i++)
        CHECK_EQ(passes_spawn(group, NULL, i), 0);
    CHECK_EQ(opens_the_gate_spawn(group, NULL), 0);
    CHECK_EQ(anysync_group_close(group, 0, ANYSYNC_FOREVER), 0);
    CHECK_EQ(begun, 5);
    CHECK_EQ(ended, 5);
    anysync_future_unref(gate);
    group = open_group();
    CHECK_EQ(anysync_group_close(group, 0, ANYSYNC_POLL), 0); /* none at all */
}

TEST(i1_the_close_waits_for_all_children)
{
    in_worlds(EVERYWHERE, check_close_waits);
}

static void check_spawn_runs_nothing(void)
{
    struct anysync_group *group = open_group();
    gives_future soon;
    int value = 0;

    CHECK_EQ(gives_spawn(group, &soon, 4), 0);
    CHECK(soon.future != NULL);
    CHECK_EQ(begun, 0);
    CHECK(!gives_ready(&soon));
    CHECK_EQ(anysync_yield(), 0);
    CHECK_EQ(begun, 1);
    CHECK_EQ(anysync_group_close(group, 0, ANYSYNC_FOREVER), 0);
    CHECK_EQ(gives_value(&soon, &value), 0);
    CHECK_EQ(value, 4);
    gives_drop(&soon);
}

TEST(i1_no_child_runs_before_the_spawner_suspends)
{
    in_worlds(IN_COROUTINES, check_spawn_runs_nothing);
}

static int returns_out_of_a_block(int *error)
{
    ANYSYNC_GROUP(group, error)
    {
        *error = passes_spawn(group, NULL, 1);
        if (!*error)
            *error = opens_the_gate_spawn(group, NULL);
        return 7;
    }
    return 8;
}

static void check_block(void)
{
    int error = -1;

    for (int way = 0; way < 4; way++) {
        gate = new_gate();
        begun = ended = 0;
        error = 0;
        if (way == 3)
            CHECK_EQ(returns_out_of_a_block(&error), 7);
        else
            ANYSYNC_GROUP(group, &error)
            {
                error = passes_spawn(group, NULL, 1);
                CHECK_EQ(error, 0);
                error = opens_the_gate_spawn(group, NULL);
                CHECK_EQ(error, 0);
                if (way == 1)
                    break;
                if (way == 2)
                    goto out;
            }
    out:
        CHECK_EQ(error, 0);
        CHECK_EQ(ended, 1);
        anysync_future_unref(gate);
    }
    ANYSYNC_GROUP(group, &error)
    {
        error = fails_spawn(group, NULL, -EIO);
    }
    CHECK_EQ(error, -EIO);
}

TEST(i1_a_block_that_is_left_waits_for_all)
{
    in_worlds(EVERYWHERE, check_block);
}

ANYSYNC_COROUTINE(void, multiplies, (struct anysync_group *, group), (int, generations))
{
    int error = anysync_yield();

    begun++;
    for (int i = 0; i < 2 && generations > 0 && !error; i++)
        error = multiplies_spawn(group, NULL, group, generations - 1);
    ended++;
    return error;
}

static void check_children_spawn(void)
{
    struct anysync_group *group = open_group();

    CHECK_EQ(multiplies_spawn(group, NULL, group, 4), 0);
    CHECK_EQ(anysync_group_close(group, 0, ANYSYNC_FOREVER), 0);
    CHECK_EQ(begun, 31);
    CHECK_EQ(ended, 31);
}

TEST(i1_a_child_can_spawn_while_the_close_waits)
{
    in_worlds(EVERYWHERE, check_children_spawn);
}

/* --- I2 --------------------------------------------------------------------------------------- */

static void check_slots(void)
{
    struct anysync_group *group = open_group();
    passes_future soon;
    int value = -1;

    gate = new_gate();
    CHECK_EQ(passes_spawn(group, &soon, 6), 0);
    CHECK(!passes_ready(&soon));
    CHECK_EQ(passes_value(&soon, &value), -EAGAIN);
    CHECK_CONTAINS(anysync_last_error()->message, "not there yet: close the group");
    CHECK_EQ(value, -1);
    open_gate(gate);
    CHECK_EQ(anysync_group_close(group, 0, ANYSYNC_FOREVER), 0);
    CHECK(passes_ready(&soon));
    CHECK_EQ(passes_value(&soon, &value), 0);
    CHECK_EQ(value, 6);
    CHECK_EQ(passes_value(&soon, NULL), 0); /* any number of times */
    passes_drop(&soon);
    CHECK(!passes_ready(&soon)); /* an empty one */
    CHECK_EQ(passes_value(&soon, &value), -EAGAIN);
    CHECK_CONTAINS(anysync_last_error()->message, "nothing was spawned");
    anysync_future_unref(gate);
}

TEST(i2_a_slot_is_pending_then_ready)
{
    in_worlds(EVERYWHERE, check_slots);
}

/* --- I3 --------------------------------------------------------------------------------------- */

static void check_failure(void)
{
    struct anysync_group *group = open_group();
    sleeps_future first, second;
    fails_future bad;
    gives_future good;
    int value = -1;

    CHECK_EQ(sleeps_spawn(group, &first), 0);
    CHECK_EQ(gives_spawn(group, &good, 3), 0);
    CHECK_EQ(sleeps_spawn(group, &second), 0);
    CHECK_EQ(fails_spawn(group, &bad, -EIO), 0);
    CHECK_EQ(anysync_group_close(group, 0, ANYSYNC_FOREVER), -EIO);
    CHECK_STR(anysync_last_error()->message, "failed with -5");
    CHECK_EQ(anysync_last_error()->origin, ANYSYNC_ORIGIN_TASK);
    CHECK(anysync_last_error()->next == NULL); /* the cancelled did not fail */
    CHECK_EQ(begun, ended);
    CHECK_EQ(sleeps_value(&first, &value), -EAGAIN);
    CHECK_CONTAINS(anysync_last_error()->message, "was cancelled");
    CHECK(!sleeps_ready(&second));
    CHECK_EQ(fails_value(&bad, &value), -EAGAIN);
    CHECK_CONTAINS(anysync_last_error()->message, "failed: the group's error says why");
    CHECK_EQ(value, -1);
    CHECK_EQ(gives_value(&good, &value), 0); /* a value that arrived stays */
    CHECK_EQ(value, 3);
    sleeps_drop(&first);
    sleeps_drop(&second);
    fails_drop(&bad);
    gives_drop(&good);
}

TEST(i3_a_failing_child_cancels_its_siblings)
{
    in_worlds(EVERYWHERE, check_failure);
}

static void check_opener_is_cut(void)
{
    struct anysync_group *group = open_group();

    CHECK_EQ(fails_spawn(group, NULL, -EIO), 0);
    int error = anysync_sleep(ANYSYNC_FOREVER);
    CHECK_EQ(error, -ECANCELED);
    CHECK_CONTAINS(anysync_last_error()->message, "a child of the group failed");
    CHECK_EQ(anysync_yield(), -ECANCELED);
    CHECK_EQ(anysync_group_close(group, error, ANYSYNC_FOREVER), -EIO);
    CHECK(anysync_last_error()->next == NULL);
    CHECK_EQ(anysync_check_cancelled(), 0); /* it is over with the group */
    CHECK_EQ(anysync_yield(), 0);
}

TEST(i3_a_failing_child_cuts_the_openers_code)
{
    in_worlds(IN_COROUTINES, check_opener_is_cut);
}

static void check_failures_are_listed(void)
{
    struct anysync_group *group = open_group();
    char text[1024];

    CHECK_EQ(fails_when_cancelled_spawn(group, NULL, -ENOENT), 0);
    CHECK_EQ(fails_when_cancelled_spawn(group, NULL, -EXDEV), 0);
    CHECK_EQ(fails_spawn(group, NULL, -EIO), 0);
    CHECK_EQ(anysync_group_close(group, 0, ANYSYNC_FOREVER), -EIO);
    const struct anysync_error *error = anysync_last_error();
    CHECK_EQ(error->code, -EIO);
    CHECK_STR(error->message, "failed with -5 (and 2 more failed)");
    CHECK(error->next && error->next->next && !error->next->next->next);
    CHECK_EQ(error->next->code, -ENOENT);
    CHECK_STR(error->next->message, "clean-up failed with -2");
    CHECK_EQ(error->next->next->code, -EXDEV);
    anysync_error_format(error, text, sizeof(text));
    CHECK_CONTAINS(text, "and: clean-up failed with -18");
}

TEST(i3_the_others_are_listed_behind_the_first)
{
    in_worlds(EVERYWHERE, check_failures_are_listed);
}

static void check_passed_on(void)
{
    struct anysync_group *group = open_group();
    fails_future bad;

    CHECK_EQ(fails_spawn(group, &bad, -EIO), 0);
    CHECK_EQ(anysync_future_wait(bad.future, ANYSYNC_FOREVER), 0);
    int error = fails_wait(&bad, NULL, ANYSYNC_FOREVER);
    CHECK_EQ(error, -EIO);
    CHECK_EQ(anysync_group_close(group, error, ANYSYNC_FOREVER), -EIO);
    CHECK(anysync_last_error()->next == NULL);
    CHECK_STR(anysync_last_error()->message, "failed with -5");
    fails_drop(&bad);
}

TEST(i3_a_failure_that_is_passed_on_counts_once)
{
    in_worlds(EVERYWHERE, check_passed_on);
}

static void check_openers_failure(void)
{
    struct anysync_group *group = open_group();

    CHECK_EQ(sleeps_spawn(group, NULL), 0);
    CHECK_EQ(fails_when_cancelled_spawn(group, NULL, -ENOENT), 0);
    gate = new_gate();
    open_gate(gate);
    CHECK_EQ(passes_run(NULL, 1), 0); /* all have begun */
    CHECK_EQ(anysync_yield(), 0);
    CHECK_EQ(anysync_group_close(group, anysync_fail(-EDOM, "out of range"), ANYSYNC_FOREVER),
            -EDOM);
    anysync_future_unref(gate);
    CHECK_STR(anysync_last_error()->message, "out of range (and 1 more failed)");
    CHECK_EQ(anysync_last_error()->next->code, -ENOENT);
    CHECK_EQ(begun, ended);
    group = open_group();
    CHECK_EQ(anysync_group_close(group, -ERANGE, ANYSYNC_FOREVER), -ERANGE);
    CHECK_STR(anysync_last_error()->message, anysync_error_text(-ERANGE));
}

TEST(i3_the_openers_failure_cancels_the_children)
{
    in_worlds(EVERYWHERE, check_openers_failure);
}

static void check_cancelled_child(void)
{
    struct anysync_group *group = open_group();
    sleeps_future cancelled;
    gives_future good;

    CHECK_EQ(sleeps_spawn(group, &cancelled), 0);
    CHECK_EQ(gives_spawn(group, &good, 2), 0);
    CHECK_EQ(sleeps_cancel(&cancelled), 0);
    CHECK_EQ(anysync_group_close(group, 0, ANYSYNC_FOREVER), 0);
    CHECK(gives_ready(&good));
    CHECK(!sleeps_ready(&cancelled));
    sleeps_drop(&cancelled);
    gives_drop(&good);
}

TEST(i3_a_child_that_somebody_cancels_has_not_failed)
{
    in_worlds(EVERYWHERE, check_cancelled_child);
}

static void check_unasked(void)
{
    struct anysync_group *group = open_group();

    CHECK_EQ(sleeps_spawn(group, NULL), 0);
    CHECK_EQ(fails_spawn(group, NULL, -ECANCELED), 0);
    CHECK_EQ(anysync_group_close(group, 0, ANYSYNC_FOREVER), -ECANCELED);
    CHECK_STR(anysync_last_error()->message, "failed with -125");
}

TEST(i3_an_unasked_cancelled_is_a_failure)
{
    in_worlds(EVERYWHERE, check_unasked);
}

/* --- I4 --------------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(int, tries_when_cancelled, (struct anysync_group *, group))
{
    struct anysync_future *untouched = gate;
    int error = anysync_sleep(ANYSYNC_FOREVER);

    CHECK_EQ(error, -ECANCELED);
    error = anysync_group_spawn(group, &sleeps_function, NULL, &untouched);
    CHECK_EQ(error, -ECANCELED);
    CHECK(untouched == gate);
    ended++;
    return error;
}

static void check_ended_group(void)
{
    struct anysync_group *group = open_group();
    fails_future bad;

    CHECK_EQ(tries_when_cancelled_spawn(group, NULL, group), 0);
    CHECK_EQ(sleeps_spawn(group, NULL), 0);
    anysync_group_cancel(group, "enough is enough");
    CHECK_EQ(gives_spawn(group, NULL, 1), -ECANCELED);
    CHECK_CONTAINS(anysync_last_error()->message, "takes no more children: enough is enough");
    CHECK_EQ(anysync_group_close(group, 0, ANYSYNC_FOREVER), -ECANCELED);
    CHECK_CONTAINS(anysync_last_error()->message, "the group was cancelled: enough is enough; 2");
    CHECK(anysync_last_error()->next == NULL);

    group = open_group();
    CHECK_EQ(tries_when_cancelled_spawn(group, NULL, group), 0);
    CHECK_EQ(fails_spawn(group, &bad, -EIO), 0);
    CHECK_EQ(anysync_future_wait(bad.future, ANYSYNC_FOREVER), 0);
    while (gives_spawn(group, NULL, 1) == 0) /* the future is done before the group hears of it */
        CHECK_EQ(gives_run(NULL, 1), 0);
    CHECK_CONTAINS(anysync_last_error()->message, "something in it has failed");
    CHECK_EQ(anysync_group_close(group, 0, ANYSYNC_FOREVER), -EIO);
    CHECK_EQ(ended, begun + 1);
    fails_drop(&bad);
    group = open_group();
    anysync_group_cancel(group, NULL);
    CHECK_EQ(anysync_group_close(group, 0, ANYSYNC_FOREVER), 0); /* it cut nothing short */
}

TEST(i4_an_ended_group_takes_no_children)
{
    in_worlds(EVERYWHERE, check_ended_group);
}

static int inner_ended;

ANYSYNC_COROUTINE(void, has_a_group)
{
    struct anysync_group *group;
    int error = anysync_group_open(&group);

    CHECK_EQ(error, 0);
    for (int i = 0; i < 3; i++) {
        error = sleeps_spawn(group, NULL);
        CHECK_EQ(error, 0);
    }
    error = anysync_group_close(group, 0, ANYSYNC_FOREVER);
    CHECK_EQ(error, -ECANCELED);
    CHECK_CONTAINS(anysync_last_error()->message, "the caller was cancelled");
    CHECK_EQ(begun, 3);
    CHECK_EQ(ended, 3);
    inner_ended++;
    return error;
}

ANYSYNC_COROUTINE(void, yields_and_fails)
{
    for (int i = 0; i < 3; i++) {
        int error = anysync_yield();
        CHECK_EQ(error, 0);
    }
    return -EIO;
}

static void check_nesting(void)
{
    struct anysync_group *outer = open_group(), *inner = NULL;

    inner_ended = 0;
    CHECK_EQ(has_a_group_spawn(outer, NULL), 0);
    CHECK_EQ(yields_and_fails_spawn(outer, NULL), 0);
    CHECK_EQ(anysync_group_close(outer, 0, ANYSYNC_FOREVER), -EIO);
    CHECK_EQ(inner_ended, 1);
    if (!anysync_in_coroutine())
        return;
    outer = open_group();
    CHECK_EQ(anysync_group_open(&inner), 0);
    CHECK_EQ(sleeps_spawn(inner, NULL), 0);
    CHECK_EQ(sleeps_spawn(outer, NULL), 0);
    CHECK_EQ(anysync_yield(), 0);
    anysync_group_cancel(outer, "outer");
    CHECK_EQ(anysync_group_close(inner, 0, ANYSYNC_FOREVER), -ECANCELED);
    CHECK_GE(ended, 1);
    CHECK_EQ(anysync_group_close(outer, -ECANCELED, ANYSYNC_FOREVER), -ECANCELED);
    CHECK_EQ(ended, 2);
}

TEST(i4_the_inner_group_ends_first)
{
    in_worlds(EVERYWHERE, check_nesting);
}
