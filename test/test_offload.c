/* SPDX-License-Identifier: MIT */
/*
 * Contract H: offload.  (H3: test_limiter.c; H5, H6: test_offload_back.c; H7, H8:
 * test_offload_pool.c; what the system refuses: test_offload_failures.c.)
 *
 * Promised                                       Tested by
 *   H1  value or error, from a pool thread         h1_value_and_error_in_every_world
 *       any argument types                         h1_arguments_and_results_of_any_type
 *       a coroutine function is refused            h1_a_coroutine_function_is_refused
 *       context variables are seen, not changed    h1_a_job_has_values_of_its_own
 *       a positive return is a bug that is told    h1_a_positive_return_is_an_error
 *       many at once                               h1_stress_each_caller_gets_its_own_value
 *   H2  by default the end is waited for           h2_a_cancelled_waiter_waits_for_the_job
 *                                                  h2_a_deadline_waits_for_the_job
 *       and a value that arrived counts            h2_a_value_that_arrived_counts
 *       abandon returns at once, the value is      h2_an_abandoned_job_drops_its_value
 *       dropped, nothing of the caller is touched
 *       a value that nobody took is dropped once   h2_drop_is_for_a_value_that_nobody_took
 *       a job in line ends without having run      h2_a_job_in_line_is_cancelled_at_once
 *       cancels at any moment                      h2_stress_cancels_lose_nothing
 *       run leaves it after the grace time         h2_run_abandons_after_the_grace_time
 *   H4  a job can ask, and hears why               h4_a_job_asks_whether_it_was_cancelled
 */
#include "jobs.h"

/* --- H1 --------------------------------------------------------------------------------------- */

static void check_add(void)
{
    int sum = 0;

    CHECK_EQ(add_offload(NULL, &sum, 1, 2), 0);
    CHECK_EQ(sum, 3);
    CHECK_EQ(add_offload_until(NULL, &sum, 3, 4, anysync_in_seconds(60)), 0);
    CHECK_EQ(sum, 7);
    CHECK_EQ(add_offload(NULL, &sum, 1, -2), -EDOM);
    CHECK_EQ(sum, 7);
    CHECK_STR(anysync_last_error()->message, "-2 is below zero");
    CHECK_STR(anysync_last_error()->function, "add");
    CHECK_EQ(anysync_last_error()->origin, ANYSYNC_ORIGIN_TASK);
    CHECK(anysync_last_error()->frames);
    CHECK_STR(anysync_last_error()->frames->thread, "anysync-pool");
    CHECK_EQ(add_offload(NULL, NULL, 1, 2), 0);
}

TEST(h1_value_and_error_in_every_world)
{
    in_worlds(EVERYWHERE_AND_POOL, check_add);
}

struct page {
    char text[1000];
    double weight;
};

ANYSYNC_BLOCKING(struct page, print, (const char *, text), (struct page, before), (char, last))
{
    snprintf(result->text, sizeof(result->text), "%.9s%.9s%c", before.text, text, last);
    result->weight = before.weight * 2;
    return 0;
}

ANYSYNC_BLOCKING(void, nothing)
{
    return 0;
}

static void check_types(void)
{
    struct page page = {.text = "a", .weight = 1.5};

    CHECK_EQ(print_offload(NULL, &page, "b", page, 'c'), 0);
    CHECK_STR(page.text, "abc");
    CHECK(page.weight == 3);
    CHECK_EQ(nothing_offload(NULL), 0);
    CHECK_EQ(nothing(), 0);
}

TEST(h1_arguments_and_results_of_any_type)
{
    in_worlds(EVERYWHERE_AND_POOL, check_types);
}

ANYSYNC_COROUTINE(void, no_job)
{
    return 0;
}

TEST(h1_a_coroutine_function_is_refused)
{
    struct anysync_future *soon = NULL;

    CHECK_EQ(anysync_offload(&no_job_function, NULL, NULL, NULL, ANYSYNC_FOREVER), -EINVAL);
    CHECK_CONTAINS(anysync_last_error()->message, "anysync_call()");
    CHECK_EQ(anysync_offload_start(&no_job_function, NULL, NULL, &soon), -EINVAL);
    CHECK(!soon);
}

ANYSYNC_VAR(int, level, 0);

ANYSYNC_BLOCKING(int, raise_level)
{
    *result = level_get();
    CHECK_EQ(level_set(*result + 1, NULL), 0);
    CHECK_EQ(level_get(), *result + 1);
    CHECK_STR(anysync_task_name(), "raise_level");
    return 0;
}

static void check_level(void)
{
    int seen = 0;

    CHECK_EQ(level_set(5, NULL), 0);
    CHECK_EQ(raise_level_offload(NULL, &seen), 0);
    CHECK_EQ(seen, 5);
    CHECK_EQ(level_get(), 5);
    CHECK_EQ(raise_level_offload(NULL, &seen), 0);
    CHECK_EQ(seen, 5);
}

TEST(h1_a_job_has_values_of_its_own)
{
    in_worlds(EVERYWHERE_AND_POOL, check_level);
}

ANYSYNC_BLOCKING(void, positive)
{
    return 7;
}

TEST(h1_a_positive_return_is_an_error)
{
    CHECK_EQ(positive_offload(NULL), -EINVAL);
    CHECK_CONTAINS(anysync_last_error()->message, "returned 7");
}

static void add_often(void *argument, int index)
{
    enum { FLIGHT = 8 };

    (void)argument;
    for (long i = test_scaled(200); i > 0; i--) {
        add_future soon[FLIGHT];
        for (int j = 0; j < FLIGHT; j++)
            CHECK_EQ(add_start(&soon[j], index * 100, j), 0);
        for (int j = 0; j < FLIGHT; j++) {
            int sum = 0;
            CHECK_EQ(add_wait(&soon[j], &sum, ANYSYNC_FOREVER), 0);
            CHECK_EQ(sum, index * 100 + j);
            add_drop(&soon[j]);
        }
        int sum = 0;
        CHECK_EQ(add_offload(NULL, &sum, index, 1), 0);
        CHECK_EQ(sum, index + 1);
    }
}

TEST(h1_stress_each_caller_gets_its_own_value)
{
    test_together(6, add_often, NULL);
    CHECK_EQ(figures(NULL).borrowed, 0);
}

/* --- H2 --------------------------------------------------------------------------------------- */

TEST(h2_a_cancelled_waiter_waits_for_the_job)
{
    struct watched watched = {.begun = false};
    ANYSYNC_SCOPED_FUTURE(awaits_stubborn, soon);

    CHECK_EQ(awaits_stubborn_start(&soon, &watched, -EIO), 0);
    wait_for(&watched.begun);
    CHECK_EQ(awaits_stubborn_cancel(&soon), 0);
    CHECK_EQ(awaits_stubborn_wait(&soon, NULL, anysync_in_ms(20)), -ETIMEDOUT);
    CHECK(!atomic_load(&watched.ended));
    atomic_store(&watched.go_on, true);
    CHECK_EQ(awaits_stubborn_wait(&soon, NULL, ANYSYNC_FOREVER), -ECANCELED);
    CHECK(atomic_load(&watched.asked));
}

TEST(h2_a_value_that_arrived_counts)
{
    struct watched watched = {.begun = false};
    ANYSYNC_SCOPED_FUTURE(awaits_stubborn, soon);
    int value = 0;

    CHECK_EQ(awaits_stubborn_start(&soon, &watched, 0), 0);
    wait_for(&watched.begun);
    CHECK_EQ(awaits_stubborn_cancel(&soon), 0);
    atomic_store(&watched.go_on, true);
    CHECK_EQ(awaits_stubborn_wait(&soon, &value, ANYSYNC_FOREVER), 0);
    CHECK_EQ(value, 42);
}

/* Ends when it is asked. */
ANYSYNC_BLOCKING(void, obedient, (atomic_bool *, begun), (atomic_bool *, ended))
{
    atomic_store(begun, true);
    while (anysync_check_cancelled() == 0)
        nap();
    CHECK_STR(anysync_cancel_reason(), "the deadline passed");
    atomic_store(ended, true);
    return -ECANCELED;
}

static void check_job_deadline(void)
{
    atomic_bool begun = false, ended = false;

    for (int wait_ms = 2; !atomic_load(&begun); wait_ms *= 2) { /* perhaps it comes too late */
        int error = obedient_offload_until(NULL, &begun, &ended, anysync_in_ms(wait_ms));
        CHECK_EQ(error, -ETIMEDOUT);
        CHECK_EQ(anysync_last_error()->origin, ANYSYNC_ORIGIN_CALL);
    }
    CHECK(atomic_load(&ended));
}

TEST(h2_a_deadline_waits_for_the_job)
{
    in_worlds(EVERYWHERE_AND_POOL, check_job_deadline);
}

static atomic_int dropped;

static void drop_value(void *value)
{
    CHECK_EQ(*(int *)value, 42);
    atomic_fetch_add(&dropped, 1);
}

static void wait_for_drops(int count)
{
    while (atomic_load(&dropped) != count)
        nap();
}

static void check_abandon(void)
{
    struct watched watched = {.begun = false};
    struct anysync_offload_options options = {.abandon = true, .drop = drop_value};
    int value = 1;

    atomic_store(&dropped, 0);
    for (int wait_ms = 2; !atomic_load(&watched.begun); wait_ms *= 2) {
        anysync_time deadline = anysync_in_ms(wait_ms); /* perhaps it comes too late */
        CHECK_EQ(stubborn_offload_until(&options, &value, &watched, 0, deadline), -ETIMEDOUT);
        if (strstr(anysync_last_error()->message, "abandoned") == NULL)
            CHECK(!atomic_load(&watched.begun)); /* and it never will: it was still in line */
        nap();
    }
    CHECK_EQ(value, 1);
    CHECK(!atomic_load(&watched.ended));
    atomic_store(&watched.go_on, true);
    wait_for(&watched.ended);
    wait_for_drops(1);
    CHECK_EQ(value, 1);
    CHECK(atomic_load(&watched.asked));
}

ANYSYNC_COROUTINE(void, abandons, (struct watched *, watched))
{
    struct anysync_offload_options options = {.abandon = true, .drop = drop_value};
    int value = 1;

    CHECK_EQ(stubborn_offload(&options, &value, watched, 0), -ECANCELED);
    CHECK(!atomic_load(&watched->ended));
    CHECK_EQ(value, 1);
    return 0;
}

TEST(h2_an_abandoned_job_drops_its_value)
{
    struct watched watched = {.begun = false};
    ANYSYNC_SCOPED_FUTURE(abandons, soon);

    in_worlds(EVERYWHERE_AND_POOL, check_abandon);
    CHECK_EQ(abandons_start(&soon, &watched), 0);
    wait_for(&watched.begun);
    CHECK_EQ(abandons_cancel(&soon), 0);
    CHECK_EQ(abandons_wait(&soon, ANYSYNC_FOREVER), 0);
    atomic_store(&dropped, 0);
    atomic_store(&watched.go_on, true);
    wait_for_drops(1);
}

ANYSYNC_BLOCKING(int, forty_two, (int, status))
{
    *result = 42;
    return status;
}

static void check_drop(void)
{
    struct anysync_offload_options options = {.drop = drop_value};
    forty_two_future soon;
    int value = 0;

    atomic_store(&dropped, 0);
    CHECK_EQ(forty_two_offload(&options, &value, 0), 0);
    CHECK_EQ(forty_two_start_with(&options, &soon, 0), 0);
    CHECK_EQ(forty_two_wait(&soon, &value, ANYSYNC_FOREVER), 0);
    forty_two_drop(&soon);
    CHECK_EQ(forty_two_offload(&options, NULL, -EIO), -EIO);
    add_future other;
    CHECK_EQ(add_start(&other, 1, 1), 0); /* all others are freed by now, on that thread or here */
    CHECK_EQ(add_wait(&other, NULL, ANYSYNC_FOREVER), 0);
    add_drop(&other);
    CHECK_EQ(atomic_load(&dropped), 0); /* they were taken, or there was none */
    CHECK_EQ(forty_two_offload(&options, NULL, 0), 0);
    wait_for_drops(1);
    CHECK_EQ(forty_two_start_with(&options, NULL, 0), 0);
    wait_for_drops(2);
    CHECK_EQ(forty_two_start_with(&options, &soon, 0), 0);
    CHECK_EQ(anysync_future_wait(soon.future, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_wait(soon.future, NULL, ANYSYNC_FOREVER), 0);
    CHECK_EQ(atomic_load(&dropped), 2);
    forty_two_drop(&soon);
    wait_for_drops(3);
}

TEST(h2_drop_is_for_a_value_that_nobody_took)
{
    in_worlds(EVERYWHERE, check_drop);
}

static void check_in_line(void)
{
    struct anysync_limiter *limiter = new_limiter(1);
    struct anysync_offload_options options = {.limiter = limiter, .drop = drop_value};
    ANYSYNC_SCOPED_FUTURE(forty_two, soon);

    atomic_store(&dropped, 0);
    CHECK_EQ(anysync_limiter_try_acquire(limiter), 0);
    CHECK_EQ(forty_two_start_with(&options, &soon, 0), 0);
    CHECK_EQ(figures(limiter).waiting, 1);
    CHECK_EQ(anysync_cancel_because(soon.future, "no longer wanted"), 0);
    CHECK(anysync_future_done(soon.future));
    CHECK_EQ(figures(limiter).waiting, 0);
    CHECK_EQ(forty_two_wait(&soon, NULL, ANYSYNC_POLL), -ECANCELED);
    CHECK_CONTAINS(anysync_last_error()->message, "no longer wanted");
    CHECK_EQ(forty_two_cancel(&soon), ANYSYNC_DONE);
    CHECK_EQ(forty_two_offload_until(&options, NULL, 0, anysync_in_ms(1)), -ETIMEDOUT);
    CHECK_EQ(figures(limiter).waiting, 0);
    CHECK_EQ(figures(limiter).borrowed, 1);
    anysync_limiter_release(limiter);
    CHECK_EQ(atomic_load(&dropped), 0);
    anysync_limiter_unref(limiter);
}

TEST(h2_a_job_in_line_is_cancelled_at_once)
{
    in_worlds(EVERYWHERE_AND_POOL, check_in_line);
}

static struct anysync_limiter *narrow;

ANYSYNC_COROUTINE(int, awaits_narrow)
{
    return forty_two_offload(&(struct anysync_offload_options){.limiter = narrow}, result, 0);
}

static void cancel_often(void *argument, int index)
{
    struct anysync_offload_options options = {.limiter = narrow};

    (void)argument;
    for (long i = test_scaled(500); i > 0; i--) {
        int value = 0, error;
        if (index % 2) {
            ANYSYNC_SCOPED_FUTURE(awaits_narrow, soon);
            CHECK_EQ(awaits_narrow_start(&soon), 0);
            awaits_narrow_cancel(&soon);
            error = awaits_narrow_wait(&soon, &value, ANYSYNC_FOREVER);
        } else {
            ANYSYNC_SCOPED_FUTURE(forty_two, soon);
            CHECK_EQ(forty_two_start_with(&options, &soon, 0), 0);
            forty_two_cancel(&soon);
            error = forty_two_wait(&soon, &value, ANYSYNC_FOREVER);
        }
        CHECK(error == -ECANCELED || error == 0);
        CHECK_EQ(value, error ? 0 : 42);
    }
}

TEST(h2_stress_cancels_lose_nothing)
{
    narrow = new_limiter(2);
    test_together(6, cancel_often, NULL);
    CHECK_EQ(figures(narrow).borrowed, 0);
    CHECK_EQ(figures(narrow).waiting, 0);
    anysync_limiter_unref(narrow);
}

TEST(h2_run_abandons_after_the_grace_time)
{
    struct watched watched = {.begun = false};
    struct anysync_executor_options options = {.grace_ns = -1};
    struct stubborn_arguments arguments = {.watched = &watched};
    int value = 1;

    CHECK_EQ(anysync_configure(&options), 0);
    for (int wait_ms = 2; !atomic_load(&watched.begun); wait_ms *= 2) {
        anysync_time deadline = anysync_in_ms(wait_ms);
        CHECK_EQ(anysync_run(&stubborn_function, &arguments, &value, deadline), -ETIMEDOUT);
        if (strstr(anysync_last_error()->message, "abandoned") == NULL)
            CHECK(!atomic_load(&watched.begun)); /* and it never will: it was still in line */
        nap();
    }
    atomic_store(&watched.go_on, true);
    wait_for(&watched.ended);
    CHECK_EQ(value, 1);
}

/* --- H4 --------------------------------------------------------------------------------------- */

ANYSYNC_BLOCKING(
        void, asks, (struct anysync_future *, begun), (struct anysync_future *, told_twice))
{
    CHECK_EQ(anysync_check_cancelled(), 0);
    CHECK(!anysync_cancel_reason());
    open_gate(begun);
    while (anysync_check_cancelled() == 0 || !anysync_future_done(told_twice))
        nap();
    CHECK_EQ(anysync_check_cancelled(), -ECANCELED);
    CHECK_STR(anysync_cancel_reason(), "enough");
    struct anysync_scope scope;
    anysync_shield_enter(&scope, ANYSYNC_FOREVER);
    CHECK_EQ(anysync_check_cancelled(), 0);
    CHECK_EQ(anysync_scope_exit(&scope, 0), 0);
    return -ECANCELED;
}

static void check_asks(void)
{
    struct anysync_future *begun = new_gate(), *told_twice = new_gate();
    ANYSYNC_SCOPED_FUTURE(asks, soon);

    CHECK_EQ(asks_start(&soon, begun, told_twice), 0);
    pass_gate(begun);
    CHECK_EQ(anysync_cancel_because(soon.future, "enough"), 0);
    CHECK_EQ(anysync_cancel_because(soon.future, "too late"), 0);
    open_gate(told_twice);
    CHECK_EQ(asks_wait(&soon, ANYSYNC_FOREVER), -ECANCELED);
    anysync_future_unref(begun);
    anysync_future_unref(told_twice);
    CHECK_EQ(anysync_check_cancelled(), 0);
}

TEST(h4_a_job_asks_whether_it_was_cancelled)
{
    in_worlds(EVERYWHERE_AND_POOL, check_asks);
}
