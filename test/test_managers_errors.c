/* SPDX-License-Identifier: MIT */
/*
 * Contract E4, E5: errors of context managers.  (The rest of E: test_managers.c.)
 *
 * Promised                                        Tested by
 *   E4  an error in enter: no block, no leak        e4_an_error_in_enter_leaves_out_the_block
 *       a deadline, a cancel in enter               e4_an_enter_that_is_cut_cleans_up
 *       no memory, at any place                     e4_no_memory_leaks_nothing
 *   E5  an error in exit reaches the caller         e5_an_error_in_exit_reaches_the_caller
 *       exit is told the block's error              e5_exit_is_told_the_error_of_the_block
 *       passes it on, swallows, replaces it         e5_exit_passes_on_swallows_and_replaces
 *       both fail: exit's wins, with its cause      e5_exit_passes_on_swallows_and_replaces
 */
#include "fault.h"
#include "managers.h"

#include <errno.h>

/* --- E4 --------------------------------------------------------------------------------------- */

static void check_enter_fails(void)
{
    int error = 0;

    start_afresh();
    ANYSYNC_WITH(lent, value, &error, -3)
    {
        CHECK(false);
    }
    CHECK_EQ(error, -ENOENT);
    CHECK_STR(anysync_last_error()->message, "no value -3");
    CHECK_STR(anysync_last_error()->function, "lent");
    CHECK_EQ(exited, 0);
}

TEST(e4_an_error_in_enter_leaves_out_the_block)
{
    in_worlds(EVERYWHERE, check_enter_fails);
    CHECK_EQ(stats_of(NULL).live, 0);
}

static struct anysync_future *inside;

ANYSYNC_CONTEXT_MANAGER(int, slow_to_enter)
{
    entered++;
    if (inside)
        open_gate(inside);
    int error = anysync_sleep(ANYSYNC_FOREVER);
    exited++;
    return error ? error : slow_to_enter_yield(1);
}

ANYSYNC_COROUTINE(void, enters_slowly)
{
    int error = 0;

    ANYSYNC_WITH(slow_to_enter, value, &error)
    {
        CHECK(false);
    }
    CHECK_EQ(exited, entered);
    return error;
}

static void check_enter_is_cut(void)
{
    struct anysync_manager *manager = NULL;
    enters_slowly_future future;
    int value = 0;

    start_afresh();
    CHECK_EQ(slow_to_enter_new(&manager), 0);
    CHECK_EQ(anysync_manager_enter(manager, &value, anysync_in_ms(1)), -ETIMEDOUT);
    CHECK_EQ(exited, entered); /* perhaps neither has begun by then */
    anysync_manager_unref(manager);
    inside = new_gate();
    CHECK_EQ(enters_slowly_start(&future), 0);
    pass_gate(inside);
    CHECK_EQ(enters_slowly_cancel(&future), 0);
    CHECK_EQ(enters_slowly_wait(&future, ANYSYNC_FOREVER), -ECANCELED);
    enters_slowly_drop(&future);
    CHECK_EQ(exited, entered);
    inside = anysync_future_unref(inside);
}

TEST(e4_an_enter_that_is_cut_cleans_up)
{
    in_worlds(EVERYWHERE, check_enter_is_cut);
    CHECK_EQ(stats_of(NULL).live, 0);
}

static void check_no_memory(void)
{
    bool reached = true;

    for (int nth = 1; reached; nth++) {
        int error = 0, blocks = 0;
        start_afresh();
        fault_fail("malloc", nth, false);
        ANYSYNC_WITH(lent, value, &error, 1)
        {
            blocks++;
        }
        reached = fault_failed("malloc") > 0;
        fault_clear();
        CHECK_EQ(exited, blocks);
        CHECK_EQ(blocks, error == 0);
        CHECK(error == 0 || error == -ENOMEM);
    }
    ANYSYNC_WITH(lent, value, NULL, 1)
    {
        CHECK_EQ(value, 1); /* the next works */
    }
}

TEST(e4_no_memory_leaks_nothing)
{
    in_worlds(EVERYWHERE, check_no_memory);
}

/* --- E5 --------------------------------------------------------------------------------------- */

static void check_exit_fails(void)
{
    int error = 0;

    start_afresh();
    exit_code = -EROFS;
    ANYSYNC_WITH(lent, value, &error, 1)
    {
    }
    CHECK_EQ(error, -EROFS);
    CHECK_STR(anysync_last_error()->message, "the clean-up failed");
    CHECK(!anysync_last_error()->cause);
}

TEST(e5_an_error_in_exit_reaches_the_caller)
{
    in_worlds(EVERYWHERE, check_exit_fails);
}

static void check_told(void)
{
    int error = 0;

    start_afresh();
    ANYSYNC_WITH(lent, value, &error, 1)
    {
        error = anysync_fail(-EPROTO, "noise in block %d", value);
    }
    CHECK_EQ(told, -EPROTO);
    CHECK_STR(told_message, "noise in block 1");
    CHECK_EQ(error, -EPROTO);
    error = 0;
    ANYSYNC_WITH(lent, value, &error, 1)
    {
        error = -ERANGE; /* without a sentence */
    }
    CHECK_EQ(told, -ERANGE);
    CHECK_EQ(error, -ERANGE);
}

TEST(e5_exit_is_told_the_error_of_the_block)
{
    in_worlds(EVERYWHERE, check_told);
}

static int fail_in_block(int code)
{
    int error = 0;

    start_afresh();
    exit_code = code;
    ANYSYNC_WITH(lent, value, &error, 1)
    {
        error = anysync_fail(-EPROTO, "noise");
    }
    return error;
}

static void check_outcomes(void)
{
    CHECK_EQ(fail_in_block(1), -EPROTO); /* passed on */
    CHECK_STR(anysync_last_error()->message, "noise");
    CHECK(!anysync_last_error()->cause);
    CHECK_EQ(fail_in_block(0), 0);           /* swallowed */
    CHECK_EQ(fail_in_block(-EROFS), -EROFS); /* replaced */
    CHECK_STR(anysync_last_error()->message, "the clean-up failed");
    CHECK(anysync_last_error()->cause);
    CHECK_EQ(anysync_last_error()->cause->code, -EPROTO);
    CHECK_STR(anysync_last_error()->cause->message, "noise");
    CHECK_EQ(fail_in_block(-EPROTO), -EPROTO); /* the same code, and yet another failure */
    CHECK_STR(anysync_last_error()->message, "the clean-up failed");
    CHECK_STR(anysync_last_error()->cause->message, "noise");
}

TEST(e5_exit_passes_on_swallows_and_replaces)
{
    in_worlds(EVERYWHERE, check_outcomes);
}
