/* SPDX-License-Identifier: MIT */
/*
 * Contract C3: how scopes are left (include/anysync/cancel.h), and races.
 *
 * Promised                                       Tested by
 *   blocks, however they are left              c3_a_block_is_left_in_any_way
 *   anysync_exit() leaves all scopes           c3_exit_leaves_all_scopes
 *   a return within a scope is a bug           c3_a_return_within_a_scope_stops_the_program
 *   so is an exit of another than the innermost c3_scopes_are_left_in_order
 *   cancels from anywhere, at any moment       c3_stress_cancels_lose_nothing
 */
#include "worlds.h"

#include <errno.h>

static int sleep_for_ever(void)
{
    return anysync_sleep(ANYSYNC_FOREVER);
}

ANYSYNC_COROUTINE(int, gives, (int, value))
{
    *result = value;
    return 0;
}

/* --- blocks ----------------------------------------------------------------------------------- */

static int returns_out_of_a_block(int *error)
{
    ANYSYNC_SCOPE(error, ANYSYNC_POLL)
    {
        *error = sleep_for_ever();
        return 5;
    }
    return 6;
}

static void check_blocks(void)
{
    for (int way = 0; way < 4; way++) {
        int error = 0;
        if (way == 3)
            CHECK_EQ(returns_out_of_a_block(&error), 5);
        else
            ANYSYNC_SCOPE(&error, ANYSYNC_POLL)
            {
                error = sleep_for_ever();
                if (way == 1)
                    break;
                if (way == 2)
                    goto out;
            }
    out:
        CHECK_EQ(error, -ETIMEDOUT);
        CHECK_EQ(anysync_check_cancelled(), 0);
    }
    ANYSYNC_SCOPE(NULL, ANYSYNC_POLL)
    CHECK_EQ(sleep_for_ever(), -ECANCELED);
    CHECK_EQ(anysync_sleep(anysync_in_us(1)), 0);
}

TEST(c3_a_block_is_left_in_any_way)
{
    in_worlds(EVERYWHERE, check_blocks);
}

/* --- left open -------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(void, exits_within_scopes)
{
    struct anysync_scope outer, inner, shield;

    anysync_scope_enter(&outer, anysync_in_ms(1));
    anysync_scope_enter(&inner, anysync_in_us(1500));
    anysync_shield_enter(&shield, anysync_in_ms(2));
    anysync_exit(0);
}

static void check_exit(void)
{
    for (int i = 0; i < 5; i++)
        CHECK_EQ(exits_within_scopes_await(), 0);
    CHECK_EQ(anysync_sleep(anysync_in_ms(4)), 0); /* their timers would fire by now */
}

TEST(c3_exit_leaves_all_scopes)
{
    in_worlds(IN_COROUTINES, check_exit);
}

ANYSYNC_COROUTINE(void, returns_within_a_scope, (struct anysync_scope *, scope))
{
    anysync_scope_enter(scope, ANYSYNC_FOREVER);
    return 0;
}

static int return_within_a_scope(void *argument)
{
    struct anysync_scope scope;

    (void)argument;
    return returns_within_a_scope_run_here(&scope);
}

static int leave_the_outer_first(void *argument)
{
    struct anysync_scope outer, inner;

    (void)argument;
    anysync_scope_enter(&outer, ANYSYNC_FOREVER);
    anysync_scope_enter(&inner, ANYSYNC_FOREVER);
    return anysync_scope_exit(&outer, 0);
}

static void check_stops(int (*function)(void *argument), const char *sentence)
{
    struct test_child child = test_child(function, NULL);

    CHECK(!child.exited);
    CHECK_CONTAINS(child.errors, sentence);
    free(child.errors);
}

TEST(c3_a_return_within_a_scope_stops_the_program)
{
    check_stops(return_within_a_scope, "a body returned within a scope");
}

TEST(c3_scopes_are_left_in_order)
{
    check_stops(leave_the_outer_first, "not the innermost");
}

/* --- stress ----------------------------------------------------------------------------------- */

/* Takes turns between plain waits, scopes and shields.  What a shield protects always works. */
ANYSYNC_COROUTINE(int, goes_through_scopes, (int, seed))
{
    int error = 0, ignored;

    for (int i = 0; error == 0; i++) {
        ANYSYNC_SCOPE(&error, (seed + i) % 3 ? anysync_in_us(seed + i % 20) : ANYSYNC_FOREVER)
        {
            error = anysync_sleep(anysync_in_us((seed + i) % 30));
            ANYSYNC_SHIELD(&ignored, ANYSYNC_FOREVER)
            {
                ignored = anysync_sleep(anysync_in_us(1));
                CHECK_EQ(ignored, 0);
                int value = 0;
                ignored = gives_await(&value, i);
                CHECK_EQ(ignored, 0);
                CHECK_EQ(value, i);
            }
        }
        CHECK(error == 0 || error == -ETIMEDOUT || error == -ECANCELED);
        if (error == -ETIMEDOUT)
            error = 0;
    }
    *result = seed;
    return anysync_check_cancelled() ? -ECANCELED : -EIO;
}

static void cancel_at_random(void *argument, int index)
{
    (void)argument;
    for (long i = test_scaled(300); i > 0; i--) {
        goes_through_scopes_future soon;
        CHECK_EQ(goes_through_scopes_start(&soon, (int)(i % 7) + index), 0);
        CHECK_EQ(anysync_sleep(anysync_in_us(i % 100)), 0);
        CHECK_EQ(goes_through_scopes_cancel(&soon), 0);
        CHECK_EQ(goes_through_scopes_wait(&soon, NULL, ANYSYNC_FOREVER), -ECANCELED);
        goes_through_scopes_drop(&soon);
    }
}

TEST(c3_stress_cancels_lose_nothing)
{
    test_together(4, cancel_at_random, NULL);
    CHECK_EQ(stats_of(NULL).live, 0);
}
