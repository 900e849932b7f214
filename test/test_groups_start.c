/* SPDX-License-Identifier: MIT */
/*
 * Contract I5: a child that says when it has started (include/anysync/group.h).
 *
 * Promised                                       Tested by
 *   the starter waits for exactly that             i5_the_starter_waits_for_the_value
 *   a child that ends before it says so            i5_a_child_that_ends_first_tells_its_starter
 *   a word that nobody waits for                   i5_started_without_a_starter_does_nothing
 *   a starter that gives up ends the child         i5_a_starter_that_gives_up_ends_the_child
 */
#include "groups.h"

#include <errno.h>

ANYSYNC_COROUTINE(int, serves, (int, port))
{
    begun++;
    int error = anysync_yield();
    CHECK_EQ(error, 0);
    error = anysync_started(&port, 1);
    CHECK_EQ(error, -EINVAL);
    error = anysync_started(&port, sizeof(port));
    CHECK_EQ(error, 0);
    error = anysync_started(&port, sizeof(port));
    CHECK_EQ(error, ANYSYNC_DONE);
    error = anysync_sleep(ANYSYNC_FOREVER);
    ended++;
    return error;
}

static void check_started(void)
{
    struct anysync_group *group = open_group();
    struct anysync_future *soon = NULL;
    struct serves_arguments arguments = {80};
    int port = -1;

    CHECK_EQ(anysync_group_start(group, &serves_function, &arguments, &port, sizeof(port), &soon,
                     ANYSYNC_FOREVER),
            0);
    CHECK_EQ(port, 80);
    CHECK_EQ(begun, 1);
    CHECK_EQ(ended, 0);
    CHECK(!anysync_future_done(soon));
    anysync_group_cancel(group, NULL);
    CHECK_EQ(anysync_group_close(group, 0, ANYSYNC_FOREVER), -ECANCELED);
    CHECK_EQ(ended, 1);
    anysync_future_unref(soon);
}

TEST(i5_the_starter_waits_for_the_value)
{
    in_worlds(EVERYWHERE, check_started);
}

static void check_not_started(void)
{
    struct anysync_group *group = open_group();
    struct anysync_future *soon = NULL;
    struct fails_arguments bad = {-EIO};
    struct gives_arguments good = {3};
    int port = -1;

    CHECK_EQ(sleeps_spawn(group, NULL), 0);
    CHECK_EQ(anysync_group_start(
                     group, &fails_function, &bad, &port, sizeof(port), &soon, ANYSYNC_FOREVER),
            -EIO);
    CHECK_STR(anysync_last_error()->message, "failed with -5");
    CHECK_EQ(anysync_last_error()->origin, ANYSYNC_ORIGIN_TASK);
    CHECK_EQ(anysync_group_start(group, &gives_function, &good, NULL, 0, &soon, ANYSYNC_FOREVER),
            -EPIPE);
    CHECK_CONTAINS(anysync_last_error()->message, "gives");
    CHECK(soon == NULL);
    CHECK_EQ(port, -1);
    CHECK_EQ(anysync_check_cancelled(), 0); /* the group goes on */
    CHECK_EQ(gives_spawn(group, NULL, 1), 0);
    anysync_group_cancel(group, NULL);
    CHECK_EQ(anysync_group_close(group, 0, ANYSYNC_FOREVER), -ECANCELED);
    CHECK(anysync_last_error()->next == NULL);
}

TEST(i5_a_child_that_ends_first_tells_its_starter)
{
    in_worlds(EVERYWHERE, check_not_started);
}

ANYSYNC_COROUTINE(void, says_started)
{
    return anysync_started(NULL, 0) == ANYSYNC_DONE ? 0 : -EIO;
}

static void check_nobody_waits(void)
{
    struct anysync_group *group = open_group();

    CHECK_EQ(anysync_started(NULL, 0), ANYSYNC_DONE);
    CHECK_EQ(says_started_spawn(group, NULL), 0);
    CHECK_EQ(anysync_group_close(group, 0, ANYSYNC_FOREVER), 0);
    CHECK_EQ(says_started_run(), 0);
}

TEST(i5_started_without_a_starter_does_nothing)
{
    in_worlds(EVERYWHERE, check_nobody_waits);
}

static void check_gives_up(void)
{
    struct anysync_group *group = open_group();
    struct anysync_future *soon = NULL;

    CHECK_EQ(anysync_group_start(group, &sleeps_function, NULL, NULL, 0, &soon, anysync_in_ms(2)),
            -ETIMEDOUT);
    CHECK_CONTAINS(anysync_last_error()->message, "before task \"sleeps\" had started");
    CHECK(soon == NULL);
    struct anysync_scope scope;
    anysync_scope_enter(&scope, anysync_in_ms(2));
    CHECK_EQ(anysync_group_start(group, &sleeps_function, NULL, NULL, 0, &soon, ANYSYNC_FOREVER),
            -ECANCELED);
    CHECK_EQ(anysync_scope_exit(&scope, -ECANCELED), -ETIMEDOUT);
    CHECK_EQ(anysync_group_close(group, 0, ANYSYNC_FOREVER), 0);
    CHECK_EQ(begun, ended);
}

TEST(i5_a_starter_that_gives_up_ends_the_child)
{
    in_worlds(EVERYWHERE, check_gives_up);
}
