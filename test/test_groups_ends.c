/* SPDX-License-Identifier: MIT */
/*
 * Contract I: how groups end, limits, races.  (What they promise: test_groups.c.)
 *
 * Promised                                       Tested by
 *   the deadline cancels and waits                 i1_the_deadline_cancels_and_waits
 *   values that came after all count               i1_what_arrives_in_spite_of_a_cancel_counts
 *   a cancel of the opener cancels and waits       i1_a_cancelled_opener_waits_for_its_children
 *   who does not end is abandoned                  i1_abandoned_children_harm_nothing
 *   a shield around a group                        i1_a_shielded_group_is_not_cut
 *   anysync_exit() cancels the children            i1_exit_with_an_open_group_ends_the_children
 *   an abandoned opener                            i1_an_abandoned_opener_leaves_its_group
 *   so do its children                             i5_a_starter_hears_of_a_child_that_is_abandoned
 *   a return does not                              i1_a_return_with_an_open_group_stops_the_program
 *   I4  an abandoned child's spawn: -EPIPE         i4_a_closed_group_takes_no_children
 *   callbacks of a loop                            i6_callbacks_spawn_and_cancel_but_do_not_wait
 *   other threads                                  i6_other_threads_spawn_into_a_coroutines_group
 *   a child process                                i6_a_group_of_another_process_says_so
 *
 * No memory, and races: test_groups_races.c.
 */
#include "groups.h"
#include "stage.h"

#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

ANYSYNC_COROUTINE(int, ignores_it, (int, value))
{
    begun++;
    int error = anysync_sleep(ANYSYNC_FOREVER);
    CHECK_EQ(error, -ECANCELED);
    ended++;
    *result = value;
    return 0;
}

/* --- deadlines and cancels -------------------------------------------------------------------- */

static void check_deadline(void)
{
    struct anysync_group *group = open_group();

    gives_future soon;
    CHECK_EQ(sleeps_spawn(group, NULL), 0);
    CHECK_EQ(gives_spawn(group, &soon, 1), 0);
    CHECK_EQ(gives_wait(&soon, NULL, ANYSYNC_FOREVER), 0);
    gives_drop(&soon);
    CHECK_EQ(anysync_group_close(group, 0, anysync_in_ms(2)), -ETIMEDOUT);
    CHECK_CONTAINS(anysync_last_error()->message, "the deadline passed; 1 child of the group");
    CHECK_EQ(anysync_last_error()->origin, ANYSYNC_ORIGIN_CALL);
    CHECK_EQ(begun, ended);
    group = open_group(); /* at once, and the children never begin */
    CHECK_EQ(sleeps_spawn(group, NULL), 0);
    CHECK_EQ(anysync_group_close(group, 0, ANYSYNC_POLL), -ETIMEDOUT);
    CHECK_EQ(begun, ended);
}

TEST(i1_the_deadline_cancels_and_waits)
{
    in_worlds(EVERYWHERE, check_deadline);
}

static void check_arrives(void)
{
    struct anysync_group *group = open_group();
    ignores_it_future soon;
    int value = 0;

    CHECK_EQ(anysync_group_start(group, &gives_function, &(struct gives_arguments){1}, NULL, 0,
                     NULL, ANYSYNC_FOREVER),
            -EPIPE);
    CHECK_EQ(ignores_it_spawn(group, &soon, 8), 0);
    while (atomic_load(&begun) < 2)
        CHECK_EQ(anysync_yield(), 0);
    CHECK_EQ(anysync_group_close(group, 0, anysync_in_ms(1)), 0);
    CHECK_EQ(ignores_it_value(&soon, &value), 0);
    CHECK_EQ(value, 8);
    ignores_it_drop(&soon);
}

TEST(i1_what_arrives_in_spite_of_a_cancel_counts)
{
    in_worlds(EVERYWHERE, check_arrives);
}

ANYSYNC_COROUTINE(void, opens_and_closes, (struct anysync_future *, ready))
{
    struct anysync_group *group = open_group();

    for (int i = 0; i < 3; i++) {
        int error = sleeps_spawn(group, NULL);
        CHECK_EQ(error, 0);
    }
    int error = anysync_yield();
    CHECK_EQ(error, 0);
    open_gate(ready);
    error = anysync_group_close(group, 0, ANYSYNC_FOREVER);
    CHECK_EQ(error, -ECANCELED);
    CHECK_CONTAINS(anysync_last_error()->message, "the caller was cancelled; 3 children");
    CHECK_EQ(ended, 3);
    return error;
}

static void check_cancelled_opener(void)
{
    struct anysync_future *ready = new_gate();
    opens_and_closes_future opener;

    CHECK_EQ(opens_and_closes_start(&opener, ready), 0);
    pass_gate(ready);
    CHECK_EQ(opens_and_closes_cancel(&opener), 0);
    CHECK_EQ(opens_and_closes_wait(&opener, ANYSYNC_FOREVER), -ECANCELED);
    CHECK_EQ(ended, 3);
    opens_and_closes_drop(&opener);
    anysync_future_unref(ready);

    struct anysync_group *group = open_group(); /* a scope around it, threads too */
    struct anysync_scope scope;
    CHECK_EQ(sleeps_spawn(group, NULL), 0);
    anysync_group_cancel(group, NULL);
    CHECK_EQ(anysync_group_close(group, 0, ANYSYNC_FOREVER), -ECANCELED);
    anysync_scope_enter(&scope, anysync_in_ms(2));
    group = open_group();
    CHECK_EQ(sleeps_spawn(group, NULL), 0);
    CHECK_EQ(anysync_group_close(group, 0, ANYSYNC_FOREVER), -ECANCELED);
    CHECK_EQ(begun, ended);
    CHECK_EQ(anysync_scope_exit(&scope, -ECANCELED), -ETIMEDOUT);
}

TEST(i1_a_cancelled_opener_waits_for_its_children)
{
    in_worlds(EVERYWHERE, check_cancelled_opener);
}

static void check_shielded(void)
{
    struct anysync_scope outside, shield;
    int error;

    anysync_scope_enter(&outside, ANYSYNC_POLL);
    CHECK_EQ(anysync_check_cancelled(), -ECANCELED);
    anysync_shield_enter(&shield, ANYSYNC_FOREVER);
    struct anysync_group *group = open_group();
    error = gives_spawn(group, NULL, 1);
    CHECK_EQ(error, 0);
    CHECK_EQ(anysync_group_close(group, 0, ANYSYNC_FOREVER), 0);
    CHECK_EQ(ended, 1);
    CHECK_EQ(anysync_scope_exit(&shield, 0), 0);
    CHECK_EQ(anysync_scope_exit(&outside, 0), 0);
}

TEST(i1_a_shielded_group_is_not_cut)
{
    in_worlds(EVERYWHERE, check_shielded);
}

/* --- abandoned -------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(void, stays, (struct anysync_group *, group), (struct stage *, mine))
{
    stay(mine);
    int error = gives_spawn(group, NULL, 1); /* the group was closed, but is still there */
    CHECK_EQ(error, -EPIPE);
    CHECK_CONTAINS(anysync_last_error()->message, "the group was closed");
    error = anysync_started(NULL, 0);
    CHECK_EQ(error, ANYSYNC_DONE);
    anysync_group_cancel(group, "late");
    open_gate(mine->ended);
    return anysync_fail(-EIO, "too late for the group");
}

static char reported[64];

static void on_error(const char *task, const struct anysync_error *error, void *context)
{
    (void)error;
    snprintf(reported, sizeof(reported), "%s", task);
    open_gate(context);
}

/* Not on a here- or nested loop: that ends with its first task, and the abandoned stay. */
static void check_abandoned(void)
{
    struct anysync_future *heard = new_gate();
    struct anysync_group *group = open_group();

    anysync_set_error_hook(on_error, heard);
    open_stage();
    CHECK_EQ(stays_spawn(group, NULL, group, stage), 0);
    while (!atomic_load(&stage->began))
        CHECK_EQ(anysync_yield(), 0);
    CHECK_EQ(anysync_group_close(group, 0, anysync_in_ms(1)), -ETIMEDOUT);
    CHECK_CONTAINS(anysync_last_error()->message, "abandoned 1 child of the group");
    close_stage();
    pass_gate(heard); /* its failure is nobody's now */
    CHECK_STR(reported, "stays");
    anysync_set_error_hook(NULL, NULL);
    anysync_future_unref(heard);
}

TEST(i1_abandoned_children_harm_nothing)
{
    struct anysync_executor_options options = {.grace_ns = -1};

    CHECK_EQ(anysync_configure(&options), 0);
    in_worlds(PLAIN | WORKER | FOREIGN, check_abandoned);
}

TEST(i4_a_closed_group_takes_no_children)
{
    struct anysync_executor_options options = {.grace_ns = 1000000};

    CHECK_EQ(anysync_configure(&options), 0);
    in_worlds(PLAIN | WORKER, check_abandoned);
}

static struct anysync_group *shared;

/* --- left without a close --------------------------------------------------------------------- */

static struct anysync_future *child_gone;

ANYSYNC_COROUTINE(void, tells_its_end)
{
    int error = anysync_sleep(ANYSYNC_FOREVER);

    CHECK_EQ(error, -ECANCELED);
    CHECK_CONTAINS(anysync_last_error()->message, "the task that opened the group has gone");
    open_gate(child_gone);
    return error;
}

ANYSYNC_COROUTINE(void, exits_with_a_group)
{
    struct anysync_group *outer = open_group(), *inner = open_group();
    struct anysync_scope scope;

    anysync_scope_enter(&scope, anysync_in_seconds(3600));
    int error = tells_its_end_spawn(inner, NULL);
    CHECK_EQ(error, 0);
    error = fails_spawn(outer, NULL, -EIO); /* ends when there is no opener to cancel */
    CHECK_EQ(error, 0);
    error = anysync_future_wait(child_gone, ANYSYNC_FOREVER);
    CHECK_EQ(error, -ECANCELED); /* by the failure */
    anysync_exit(0);
}

static void check_exit(void)
{
    child_gone = new_gate();
    CHECK_EQ(exits_with_a_group_await(), 0);
    pass_gate(child_gone);
    anysync_future_unref(child_gone);
}

TEST(i1_exit_with_an_open_group_ends_the_children)
{
    in_worlds(IN_COROUTINES, check_exit);
}

ANYSYNC_COROUTINE(void, never_ends, (struct anysync_future **, soon))
{
    struct anysync_group *group = open_group();
    int error = anysync_group_spawn(group, &sleeps_function, NULL, soon);

    CHECK_EQ(error, 0);
    for (;;)
        go_on_regardless();
    return 0;
}

TEST(i1_an_abandoned_opener_leaves_its_group)
{
    struct anysync_future *soon = NULL;

    CHECK_EQ(never_ends_run_here_until(&soon, anysync_in_ms(1)), -ETIMEDOUT);
    CHECK_CONTAINS(anysync_last_error()->message, "abandoned");
    CHECK_EQ(anysync_future_result(soon, NULL), -ECANCELED);
    anysync_future_unref(soon);
    CHECK_EQ(gives_run_here(NULL, 1), 0); /* nothing of it is in the next loop */
}

ANYSYNC_COROUTINE(void, never_ends_either, (struct anysync_future *, opened))
{
    shared = open_group();
    open_gate(opened);
    for (;;)
        go_on_regardless();
    return 0;
}

ANYSYNC_COROUTINE(void, goes_on)
{
    begun++;
    for (;;)
        go_on_regardless();
    return 0;
}

static void start_on_that_loop(void *argument, int index)
{
    (void)index;
    pass_gate(argument);
    CHECK_EQ(anysync_group_start(shared, &goes_on_function, NULL, NULL, 0, NULL, ANYSYNC_FOREVER),
            -ECANCELED);
    CHECK_CONTAINS(anysync_last_error()->message, "was abandoned");
}

/* The loop ends with this task, and abandons the other two. */
ANYSYNC_COROUTINE(void, ends_first, (struct anysync_future *, opened))
{
    int error = never_ends_either_start(NULL, opened);

    while (atomic_load(&begun) == 0 && !error)
        error = anysync_yield();
    return error;
}

TEST(i5_a_starter_hears_of_a_child_that_is_abandoned)
{
    struct anysync_future *opened = new_gate();
    struct test_threads *threads = test_threads_start(1, start_on_that_loop, opened);

    CHECK_EQ(ends_first_run_here(opened), 0);
    test_threads_join(threads);
    anysync_future_unref(opened);
}

ANYSYNC_COROUTINE(void, returns_with_a_group)
{
    open_group();
    return 0;
}

static int return_with_a_group(void *argument)
{
    (void)argument;
    return returns_with_a_group_run_here();
}

TEST(i1_a_return_with_an_open_group_stops_the_program)
{
    struct test_child child = test_child(return_with_a_group, NULL);

    CHECK(!child.exited);
    CHECK_CONTAINS(child.errors, "a body returned within a scope or a group");
    free(child.errors);
}

/* --- callers ---------------------------------------------------------------------------------- */

static void in_callback(evutil_socket_t fd, short what, void *argument)
{
    struct anysync_group *group = NULL;

    (void)fd;
    (void)what;
    CHECK_EQ(anysync_group_open(&group), -EDEADLK);
    CHECK(group == NULL);
    CHECK_EQ(anysync_group_start(shared, &sleeps_function, NULL, NULL, 0, NULL, ANYSYNC_FOREVER),
            -EDEADLK);
    CHECK_EQ(sleeps_spawn(shared, NULL), 0);
    anysync_group_cancel(shared, "a callback says so");
    CHECK_EQ(sleeps_spawn(shared, NULL), -ECANCELED);
    open_gate(argument);
}

static void check_callbacks(void)
{
    struct anysync_future *called = new_gate();

    shared = open_group();
    CHECK_EQ(event_base_once(anysync_event_base(), -1, EV_TIMEOUT, in_callback, called, NULL), 0);
    CHECK_EQ(anysync_sleep(ANYSYNC_FOREVER), -ECANCELED);
    CHECK_CONTAINS(anysync_last_error()->message, "a callback says so");
    CHECK(anysync_future_done(called));
    CHECK_EQ(anysync_group_close(shared, -ECANCELED, ANYSYNC_FOREVER), -ECANCELED);
    CHECK_CONTAINS(anysync_last_error()->message, "a callback says so");
    anysync_future_unref(called);
}

TEST(i6_callbacks_spawn_and_cancel_but_do_not_wait)
{
    in_worlds(IN_COROUTINES, check_callbacks);
}

enum { THREADS = 4 };

static atomic_int through;

static void spawn_from_thread(void *argument, int index)
{
    gives_future soon;
    int value = -1;

    (void)argument;
    CHECK_EQ(gives_spawn(shared, &soon, index), 0);
    CHECK_EQ(gives_wait(&soon, &value, ANYSYNC_FOREVER), 0);
    CHECK_EQ(value, index);
    gives_drop(&soon);
    CHECK_EQ(anysync_group_start(shared, &sleeps_function, NULL, NULL, 0, NULL, anysync_in_ms(1)),
            -ETIMEDOUT);
    if (atomic_fetch_add(&through, 1) + 1 == THREADS)
        anysync_group_cancel(shared, "a thread says so"); /* the opener waits for it */
}

static void check_threads(void)
{
    shared = open_group();
    atomic_store(&through, 0);
    struct test_threads *threads = test_threads_start(THREADS, spawn_from_thread, NULL);
    CHECK_EQ(anysync_sleep(ANYSYNC_FOREVER), -ECANCELED);
    CHECK_CONTAINS(anysync_last_error()->message, "a thread says so");
    test_threads_join(threads);
    int error = anysync_group_close(shared, 0, ANYSYNC_FOREVER);
    CHECK(error == 0 || error == -ECANCELED); /* whether one of the given up was still there */
    CHECK_EQ(begun, ended);
}

TEST(i6_other_threads_spawn_into_a_coroutines_group)
{
    in_worlds(IN_COROUTINES, check_threads);
}

/* --- another process -------------------------------------------------------------------------- */

static int use_inherited_group(void *argument)
{
    struct anysync_group *group = argument;

    CHECK_EQ(gives_spawn(group, NULL, 1), -EOWNERDEAD);
    CHECK_EQ(anysync_group_start(group, &gives_function, &(struct gives_arguments){1}, NULL, 0,
                     NULL, ANYSYNC_FOREVER),
            -EOWNERDEAD);
    anysync_group_cancel(group, NULL);
    CHECK_EQ(anysync_group_close(group, 0, ANYSYNC_FOREVER), -EOWNERDEAD);
    group = open_group(); /* one of its own */
    CHECK_EQ(gives_spawn(group, NULL, 1), 0);
    CHECK_EQ(anysync_group_close(group, 0, ANYSYNC_FOREVER), 0);
    _exit(0);
}

TEST(i6_a_group_of_another_process_says_so)
{
    test_forks_among_threads();
    struct anysync_group *group = open_group();

    CHECK_EQ(sleeps_spawn(group, NULL), 0);
    struct test_child child = test_child(use_inherited_group, group);
    CHECK_STR(child.errors, "");
    CHECK(child.exited && child.status == 0);
    free(child.errors);
    anysync_group_cancel(group, NULL);
    CHECK_EQ(anysync_group_close(group, 0, ANYSYNC_FOREVER), -ECANCELED);
}
