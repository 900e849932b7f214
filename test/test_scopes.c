/* SPDX-License-Identifier: MIT */
/*
 * Contract C3, C4: scopes and shields (include/anysync/cancel.h).
 * (Blocks, scopes that are not left, races: test_scopes_left.c.)
 *
 * Promised                                       Tested by
 *   C3  level-triggered within the scope only      c3_each_wait_within_a_cut_scope_says_so
 *       by hand, with a reason                     c3_a_scope_that_is_cancelled_gives_the_reason
 *       a shield is not cut                        c3_a_shield_is_not_cut
 *       but by its own deadline                    c3_a_shield_has_a_deadline_of_its_own
 *       a cancel of the task is heard after it     c3_a_cancel_is_heard_after_the_shield
 *       a value that arrived stays                 c3_a_value_that_arrived_stays
 *       cancel of a finished task says so          c3_cancel_of_a_finished_task_says_so
 *       the reason is in the sentences             c3_reasons_are_in_the_sentences
 *       every wait, on threads too                 c3_each_kind_of_wait_is_cut
 *       a call that runs a task ends it            c3_a_cut_call_ends_its_task
 *   C4  the nearest deadline counts                c4_the_nearest_deadline_counts
 *       an inner expiry leaves the outer alone     c4_an_inner_expiry_leaves_the_outer_alone
 *       an outer one ends the inner                c4_an_outer_expiry_cuts_the_inner
 */
#include "worlds.h"

#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

static int sleep_for_ever(void)
{
    return anysync_sleep(ANYSYNC_FOREVER);
}

/* --- level-triggered -------------------------------------------------------------------------- */

static void check_level(void)
{
    struct anysync_scope scope;

    anysync_scope_enter(&scope, anysync_in_seconds(3600));
    CHECK_EQ(anysync_check_cancelled(), 0);
    CHECK_EQ(anysync_scope_exit(&scope, 0), 0);
    anysync_scope_enter(&scope, anysync_in_ms(1));
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(sleep_for_ever(), -ECANCELED);
        CHECK_CONTAINS(anysync_last_error()->message, "the deadline of the scope passed");
    }
    CHECK(anysync_scope_cancelled(&scope));
    CHECK_EQ(anysync_check_cancelled(), -ECANCELED);
    CHECK_EQ(anysync_scope_exit(&scope, -ECANCELED), -ETIMEDOUT);
    CHECK_CONTAINS(anysync_last_error()->message, "the deadline of the scope passed");
    CHECK(anysync_scope_cancelled(&scope));
    CHECK_EQ(anysync_check_cancelled(), 0);
    CHECK_EQ(anysync_sleep(anysync_in_us(1)), 0);
    anysync_scope_enter(&scope, ANYSYNC_POLL); /* cut from the start */
    CHECK_EQ(anysync_check_cancelled(), -ECANCELED);
    CHECK_EQ(sleep_for_ever(), -ECANCELED);
    CHECK_EQ(anysync_scope_exit(&scope, -EIO), -EIO); /* another code is passed on */
    anysync_scope_enter(&scope, anysync_in_seconds(3600));
    CHECK_EQ(anysync_sleep(anysync_in_us(1)), 0);
    CHECK_EQ(anysync_scope_exit(&scope, -ECANCELED), -ECANCELED); /* not of its making */
    CHECK(!anysync_scope_cancelled(&scope));
}

TEST(c3_each_wait_within_a_cut_scope_says_so)
{
    in_worlds(EVERYWHERE, check_level);
}

static void check_by_hand(void)
{
    struct anysync_scope scope;

    anysync_scope_enter(&scope, ANYSYNC_FOREVER);
    CHECK(anysync_cancel_reason() == NULL);
    anysync_scope_cancel(&scope, "no more of it");
    anysync_scope_cancel(&scope, "the second is not heard");
    CHECK_STR(anysync_cancel_reason(), "no more of it");
    CHECK_EQ(sleep_for_ever(), -ECANCELED);
    CHECK_CONTAINS(anysync_last_error()->message, "no more of it");
    CHECK_EQ(anysync_scope_exit(&scope, -ECANCELED), -ECANCELED);
    CHECK_STR(anysync_last_error()->message, "the scope was cancelled: no more of it");
    CHECK(anysync_cancel_reason() == NULL);
    CHECK_EQ(anysync_sleep(anysync_in_us(1)), 0);
}

TEST(c3_a_scope_that_is_cancelled_gives_the_reason)
{
    in_worlds(EVERYWHERE, check_by_hand);
}

/* --- shields ---------------------------------------------------------------------------------- */

static void check_shield(void)
{
    struct anysync_scope outer, shield, inner;

    anysync_scope_enter(&outer, ANYSYNC_FOREVER);
    anysync_scope_cancel(&outer, "outside");
    CHECK_EQ(sleep_for_ever(), -ECANCELED);
    anysync_shield_enter(&shield, ANYSYNC_FOREVER);
    CHECK_EQ(anysync_check_cancelled(), 0);
    CHECK(anysync_cancel_reason() == NULL);
    CHECK_EQ(anysync_scope_deadline(), ANYSYNC_FOREVER);
    CHECK_EQ(anysync_sleep(anysync_in_us(10)), 0);
    anysync_scope_enter(&inner, anysync_in_us(10));
    CHECK_EQ(sleep_for_ever(), -ECANCELED);
    CHECK_EQ(anysync_scope_exit(&inner, -ECANCELED), -ETIMEDOUT);
    CHECK_EQ(anysync_sleep(anysync_in_us(10)), 0);
    CHECK_EQ(anysync_scope_exit(&shield, 0), 0);
    CHECK_EQ(sleep_for_ever(), -ECANCELED);
    CHECK_STR(anysync_cancel_reason(), "outside");
    CHECK_EQ(anysync_scope_exit(&outer, -ECANCELED), -ECANCELED);
}

TEST(c3_a_shield_is_not_cut)
{
    in_worlds(EVERYWHERE, check_shield);
}

static void check_shields_deadline(void)
{
    struct anysync_scope outer, shield;

    anysync_scope_enter(&outer, ANYSYNC_POLL);
    anysync_shield_enter(&shield, anysync_in_ms(1));
    CHECK_EQ(sleep_for_ever(), -ECANCELED);
    CHECK_EQ(anysync_scope_exit(&shield, -ECANCELED), -ETIMEDOUT); /* its own */
    CHECK_EQ(anysync_check_cancelled(), -ECANCELED);
    CHECK_EQ(anysync_scope_exit(&outer, -ETIMEDOUT), -ETIMEDOUT);
}

TEST(c3_a_shield_has_a_deadline_of_its_own)
{
    in_worlds(EVERYWHERE, check_shields_deadline);
}

ANYSYNC_COROUTINE(
        int, works_in_a_shield, (struct anysync_future *, inside), (struct anysync_future *, go))
{
    int error = 0;

    ANYSYNC_SHIELD(&error, ANYSYNC_FOREVER)
    {
        open_gate(inside);
        error = anysync_future_wait(go, ANYSYNC_FOREVER);
        CHECK_EQ(error, 0);
        error = anysync_sleep(anysync_in_us(10));
        CHECK_EQ(error, 0);
    }
    CHECK_EQ(error, 0);
    error = anysync_check_cancelled();
    CHECK_EQ(error, -ECANCELED);
    CHECK_STR(anysync_cancel_reason(), "while it was shielded");
    error = anysync_yield();
    CHECK_EQ(error, -ECANCELED);
    *result = 1;
    return 0; /* it has done its work */
}

static void check_heard_after(void)
{
    struct anysync_future *inside = new_gate(), *go = new_gate();
    works_in_a_shield_future soon;
    int value = 0;

    CHECK_EQ(works_in_a_shield_start(&soon, inside, go), 0);
    pass_gate(inside);
    CHECK_EQ(anysync_cancel_because(soon.future, "while it was shielded"), 0);
    open_gate(go);
    CHECK_EQ(works_in_a_shield_wait(&soon, &value, ANYSYNC_FOREVER), 0);
    CHECK_EQ(value, 1);
    works_in_a_shield_drop(&soon);
    anysync_future_unref(inside);
    anysync_future_unref(go);
}

TEST(c3_a_cancel_is_heard_after_the_shield)
{
    in_worlds(EVERYWHERE & ~NESTED, check_heard_after);
}

/* --- what stays ------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(int, gives, (int, value))
{
    *result = value;
    return 0;
}

static void check_value_stays(void)
{
    struct anysync_scope scope;
    gives_future soon;
    int value = 0;

    CHECK_EQ(gives_start(&soon, 9), 0);
    CHECK_EQ(anysync_future_wait(soon.future, ANYSYNC_FOREVER), 0);
    CHECK_EQ(gives_cancel(&soon), ANYSYNC_DONE);
    anysync_scope_enter(&scope, ANYSYNC_POLL);
    CHECK_EQ(gives_wait(&soon, &value, ANYSYNC_FOREVER), 0);
    CHECK_EQ(value, 9);
    CHECK_EQ(anysync_scope_exit(&scope, 0), 0);
    CHECK_EQ(gives_cancel(&soon), ANYSYNC_DONE);
    CHECK_EQ(gives_wait(&soon, &value, ANYSYNC_POLL), 0);
    gives_drop(&soon);
}

TEST(c3_a_value_that_arrived_stays)
{
    in_worlds(EVERYWHERE, check_value_stays);
}

ANYSYNC_COROUTINE(int, fails, (int, code))
{
    return anysync_fail(code, "it failed");
}

static void check_finished(void)
{
    fails_future soon;

    CHECK_EQ(fails_start(&soon, -EIO), 0);
    CHECK_EQ(fails_wait(&soon, NULL, ANYSYNC_FOREVER), -EIO);
    CHECK_EQ(anysync_cancel_because(soon.future, "too late"), ANYSYNC_DONE);
    CHECK_EQ(fails_wait(&soon, NULL, ANYSYNC_FOREVER), -EIO);
    CHECK_STR(anysync_last_error()->message, "it failed");
    fails_drop(&soon);
}

TEST(c3_cancel_of_a_finished_task_says_so)
{
    in_worlds(EVERYWHERE, check_finished);
}

ANYSYNC_COROUTINE(int, sleeps, (struct anysync_future *, begun))
{
    open_gate(begun);
    return sleep_for_ever();
}

static void check_reasons(void)
{
    struct anysync_future *begun = new_gate(), *future = NULL;
    sleeps_future soon;

    CHECK_EQ(sleeps_start(&soon, begun), 0);
    pass_gate(begun);
    CHECK_EQ(anysync_cancel_because(soon.future, "the user went home"), 0);
    CHECK_EQ(sleeps_wait(&soon, NULL, ANYSYNC_FOREVER), -ECANCELED);
    CHECK_CONTAINS(anysync_last_error()->message, "the user went home");
    sleeps_drop(&soon);
    anysync_future_unref(begun);
    CHECK_EQ(anysync_future_new(0, &future), 0);
    CHECK_EQ(anysync_cancel_because(future, "by hand"), 0);
    CHECK_EQ(anysync_future_result(future, NULL), -ECANCELED);
    CHECK_CONTAINS(anysync_last_error()->message, "by hand");
    anysync_future_unref(future);
}

TEST(c3_reasons_are_in_the_sentences)
{
    in_worlds(EVERYWHERE & ~NESTED, check_reasons);
}

/* --- each kind of wait ------------------------------------------------------------------------ */

static struct anysync_future *pending;
static int ends[2];

static int in_future_wait(void)
{
    return anysync_future_wait(pending, ANYSYNC_FOREVER);
}

static int in_long_wait(void)
{
    return anysync_wait(pending, NULL, anysync_in_seconds(3600));
}

static int in_wait_any(void)
{
    struct anysync_future *futures[] = {NULL, pending, pending};
    size_t index = 7;
    int error = anysync_wait_any(futures, 3, ANYSYNC_FOREVER, &index);

    CHECK_EQ(index, 7);
    return error;
}

static int in_wait_all(void)
{
    return anysync_wait_all(&pending, 1, ANYSYNC_FOREVER);
}

static int in_wait_fd(void)
{
    return anysync_wait_fd(ends[0], ANYSYNC_READABLE, ANYSYNC_FOREVER);
}

static int in_read(void)
{
    char byte;

    return (int)anysync_read(ends[0], &byte, 1, ANYSYNC_FOREVER);
}

static int (*const waits[])(void) = {sleep_for_ever, in_future_wait, in_long_wait, in_wait_any,
        in_wait_all, in_wait_fd, in_read};

static void check_each_wait(void)
{
    pending = new_gate();
    CHECK_EQ(pipe(ends), 0);
    for (size_t i = 0; i < sizeof(waits) / sizeof(*waits); i++) {
        struct anysync_scope scope;
        anysync_scope_enter(&scope, anysync_in_ms(1));
        CHECK_EQ(waits[i](), -ECANCELED); /* waits for it */
        CHECK_EQ(anysync_last_error()->code, -ECANCELED);
        CHECK_EQ(waits[i](), -ECANCELED); /* does not wait */
        CHECK_EQ(anysync_scope_exit(&scope, -ECANCELED), -ETIMEDOUT);
    }
    struct anysync_scope scope; /* the wait's own deadline is nearer */
    anysync_scope_enter(&scope, anysync_in_seconds(3600));
    CHECK_EQ(anysync_future_wait(pending, anysync_in_ms(1)), -ETIMEDOUT);
    CHECK_EQ(anysync_wait_fd(ends[0], ANYSYNC_READABLE, anysync_in_ms(1)), -ETIMEDOUT);
    CHECK_EQ(anysync_sleep(anysync_in_ms(1)), 0);
    CHECK_EQ(anysync_scope_exit(&scope, 0), 0);
    CHECK(!anysync_future_done(pending));
    close(ends[0]);
    close(ends[1]);
    anysync_future_unref(pending);
}

TEST(c3_each_kind_of_wait_is_cut)
{
    in_worlds(EVERYWHERE, check_each_wait);
}

/* --- calls that run tasks --------------------------------------------------------------------- */

static atomic_int began, cleaned_up;

ANYSYNC_COROUTINE(int, cleans_up)
{
    began++;
    int error = sleep_for_ever();
    int again = sleep_for_ever();

    CHECK_EQ(error, -ECANCELED);
    CHECK_EQ(again, -ECANCELED);
    again = 0;
    ANYSYNC_SHIELD(&again, ANYSYNC_FOREVER)
    {
        again = anysync_sleep(anysync_in_ms(2)); /* the caller's grace is longer */
    }
    CHECK_EQ(again, 0);
    cleaned_up++;
    return error;
}

static struct anysync_executor *other;

static int by_run(void)
{
    return cleans_up_run(NULL);
}

static int by_run_on(void)
{
    return cleans_up_run_on(other, NULL);
}

static int by_await(void)
{
    return cleans_up_await(NULL);
}

static int by_run_here(void)
{
    return cleans_up_run_here(NULL);
}

static void check_call(int (*call)(void))
{
    struct anysync_scope scope;

    began = cleaned_up = 0;
    anysync_scope_enter(&scope, anysync_in_ms(1));
    CHECK_EQ(call(), -ECANCELED);
    CHECK_CONTAINS(anysync_last_error()->message, "the caller was cancelled");
    CHECK_CONTAINS(anysync_last_error()->message, "has ended");
    CHECK_EQ(cleaned_up, began); /* on a slow machine the deadline is first */
    CHECK_EQ(anysync_scope_exit(&scope, -ECANCELED), -ETIMEDOUT);
}

static void check_calls(void)
{
    CHECK_EQ(anysync_executor_new(NULL, &other), 0);
    check_call(by_run_on);
    check_call(by_run);
    if (anysync_in_coroutine())
        check_call(by_await);
    else
        check_call(by_run_here);
    struct anysync_scope scope;
    anysync_scope_enter(&scope, anysync_in_ms(1));
    CHECK_EQ(cleans_up_start_on(other, NULL), 0);
    CHECK_EQ(anysync_executor_shutdown(other, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), -ECANCELED);
    CHECK_EQ(anysync_scope_exit(&scope, -ECANCELED), -ETIMEDOUT);
    CHECK_EQ(anysync_executor_shutdown(other, ANYSYNC_CANCEL, ANYSYNC_FOREVER, NULL), 0);
    anysync_executor_unref(other);
}

TEST(c3_a_cut_call_ends_its_task)
{
    in_worlds(EVERYWHERE, check_calls);
}

/* --- C4 --------------------------------------------------------------------------------------- */

static void check_nearest(void)
{
    struct anysync_scope outer, inner;
    anysync_time far = anysync_in_seconds(3600), farther = anysync_in_seconds(7200);

    anysync_scope_enter(&outer, far);
    CHECK_EQ(anysync_scope_deadline(), far);
    anysync_scope_enter(&inner, farther);
    CHECK_EQ(anysync_scope_deadline(), far);
    CHECK_EQ(anysync_scope_exit(&inner, 0), 0);
    anysync_time near = anysync_in_ms(1);
    anysync_scope_enter(&inner, near);
    CHECK_EQ(anysync_scope_deadline(), near);
    CHECK_EQ(sleep_for_ever(), -ECANCELED);
    CHECK_GE(anysync_now(), near);
    CHECK_EQ(anysync_scope_exit(&inner, -ECANCELED), -ETIMEDOUT);
    CHECK_EQ(anysync_scope_deadline(), far);
    CHECK_EQ(anysync_scope_exit(&outer, 0), 0);
    CHECK_EQ(anysync_scope_deadline(), ANYSYNC_FOREVER);
}

TEST(c4_the_nearest_deadline_counts)
{
    in_worlds(EVERYWHERE, check_nearest);
}

static void check_inner_expiry(void)
{
    struct anysync_scope outer, inner;

    anysync_scope_enter(&outer, anysync_in_seconds(3600));
    anysync_scope_enter(&inner, anysync_in_ms(1));
    CHECK_EQ(sleep_for_ever(), -ECANCELED);
    CHECK_EQ(anysync_scope_exit(&inner, -ECANCELED), -ETIMEDOUT);
    CHECK_EQ(anysync_check_cancelled(), 0);
    CHECK_EQ(anysync_sleep(anysync_in_us(1)), 0);
    CHECK(!anysync_scope_cancelled(&outer));
    CHECK_EQ(anysync_scope_exit(&outer, -ETIMEDOUT), -ETIMEDOUT);
}

TEST(c4_an_inner_expiry_leaves_the_outer_alone)
{
    in_worlds(EVERYWHERE, check_inner_expiry);
}

static void check_outer_expiry(void)
{
    struct anysync_scope outer, inner;

    anysync_scope_enter(&outer, anysync_in_ms(1));
    anysync_scope_enter(&inner, anysync_in_seconds(3600));
    CHECK_EQ(sleep_for_ever(), -ECANCELED);
    CHECK_EQ(anysync_scope_exit(&inner, -ECANCELED), -ECANCELED); /* not its own */
    CHECK(!anysync_scope_cancelled(&inner));
    CHECK_EQ(anysync_scope_exit(&outer, -ECANCELED), -ETIMEDOUT);
}

TEST(c4_an_outer_expiry_cuts_the_inner)
{
    in_worlds(EVERYWHERE, check_outer_expiry);
}
