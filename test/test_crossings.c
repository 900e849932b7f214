/* SPDX-License-Identifier: MIT */
/*
 * What crosses on its way: cancels, closes, items, tokens, and the waits that they end.  Each of
 * these was wrong once, in a review of the wait-for graph, of groups and of limiters.
 *
 * Promised                                        Tested by
 *   a wait that a cancel is about to end is no
 *     edge: of a task                                 cancel_a_waiter_of_another_loop_and_wait
 *                                                     a_wait_that_begins_with_a_cancel_on_its_way
 *           of a group                                cancel_of_a_group_by_the_job_that_opened_it
 *           of a loop                                 cancel_the_loop_of_a_waiter_and_wait
 *   nor one that an item, or a start, has ended     an_item_delivered_while_a_probe_is_on_its_way
 *                                        a_child_that_started_while_a_probe_is_on_its_way
 *   a close is not heard in a shield                a_close_is_not_heard_in_a_shield
 *     nor in the wait for a job's end                 a_close_does_not_part_a_body_from_its_job
 *   ordinary deadlocks are found                    found_...
 */
#include "jobs.h"

#include <errno.h>

/* Time for another thread to come to its wait.  Too short, and the test proves less, and passes. */
static void nap_ms(int ms)
{
    for (int i = 0; i < 10 * ms; i++)
        nap();
}

static struct anysync_executor *new_executor(void)
{
    struct anysync_executor *executor = NULL;

    CHECK_EQ(anysync_executor_new(NULL, &executor), 0);
    return executor;
}

static void end_executor(struct anysync_executor *executor)
{
    CHECK_EQ(anysync_executor_shutdown(executor, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    anysync_executor_unref(executor);
}

/* --- cancel a task of another loop that waits for me, and wait for its end -------------------- */

ANYSYNC_COROUTINE(void, waits_for_it, (struct anysync_future *, it))
{
    return anysync_future_wait(it, ANYSYNC_FOREVER);
}

ANYSYNC_COROUTINE(int, cancels_its_waiter, (struct anysync_executor *, other),
        (struct anysync_future **, myself))
{
    waits_for_it_future soon;

    CHECK_EQ(waits_for_it_start_on(other, &soon, *myself), 0);
    CHECK_EQ(anysync_sleep(anysync_in_ms(5)), 0); /* it waits by now */
    CHECK_EQ(anysync_cancel(soon.future), 0);
    *result = anysync_future_wait(soon.future, ANYSYNC_FOREVER);
    waits_for_it_drop(&soon);
    return 0;
}

ANYSYNC_COROUTINE(int, starts_canceller, (struct anysync_executor *, other))
{
    static struct anysync_future *myself;
    cancels_its_waiter_future soon;

    CHECK_EQ(cancels_its_waiter_start(&soon, other, &myself), 0);
    myself = soon.future;
    CHECK_EQ(cancels_its_waiter_wait(&soon, result, ANYSYNC_FOREVER), 0);
    cancels_its_waiter_drop(&soon);
    return 0;
}

TEST(cancel_a_waiter_of_another_loop_and_wait)
{
    struct anysync_executor *other = new_executor();
    int result = -1;

    CHECK_EQ(starts_canceller_run(&result, other), 0);
    CHECK_EQ(result, 0);
    end_executor(other);
}

static atomic_bool known;

/* The same by way of a group: a job that opened it cancels it. */
ANYSYNC_BLOCKING(int, cancels_its_group, (struct anysync_future **, myself))
{
    struct anysync_group *group = NULL;

    wait_for(&known);
    CHECK_EQ(anysync_group_open(&group), 0);
    CHECK_EQ(waits_for_it_spawn(group, NULL, *myself), 0);
    nap_ms(5);
    anysync_group_cancel(group, "enough");
    *result = anysync_group_close(group, 0, ANYSYNC_FOREVER);
    CHECK_EQ(*result, -ECANCELED);
    CHECK_EQ(strstr(anysync_last_error()->message, "more failed") != NULL, 0);
    CHECK(anysync_last_error()->next == NULL);
    return 0;
}

TEST(cancel_of_a_group_by_the_job_that_opened_it)
{
    static struct anysync_future *myself;

    for (int i = 0; i < 20; i++) {
        cancels_its_group_future soon;
        int result = 0;
        atomic_store(&known, false);
        CHECK_EQ(cancels_its_group_start(&soon, &myself), 0);
        myself = soon.future;
        atomic_store(&known, true);
        CHECK_EQ(cancels_its_group_wait(&soon, &result, ANYSYNC_FOREVER), 0);
        cancels_its_group_drop(&soon);
    }
}

/* --- a close breaks the shield of a generator's body ------------------------------------------ */

static struct anysync_future *begun, *release;
static int shielded = 1;

ANYSYNC_GENERATOR(int, shields_itself)
{
    struct anysync_scope shield;

    anysync_shield_enter(&shield, ANYSYNC_FOREVER);
    open_gate(begun);
    shielded = anysync_future_wait(release, ANYSYNC_FOREVER);
    return anysync_scope_exit(&shield, 0);
}

ANYSYNC_COROUTINE(void, opens_release)
{
    for (int i = 0; i < 5; i++)
        CHECK_EQ(anysync_yield(), 0);
    open_gate(release);
    return 0;
}

ANYSYNC_COROUTINE(void, closes_in_shield)
{
    shields_itself_generator generator;
    int item;

    begun = new_gate();
    release = new_gate();
    CHECK_EQ(shields_itself_open(&generator), 0);
    CHECK_EQ(shields_itself_next_until(&generator, &item, anysync_in_ms(1)), -ETIMEDOUT);
    CHECK(anysync_future_done(begun));
    CHECK_EQ(opens_release_start(NULL), 0);
    shields_itself_drop(&generator); /* closes, and waits for the end */
    CHECK_EQ(shielded, 0);
    return 0;
}

TEST(a_close_is_not_heard_in_a_shield)
{
    CHECK_EQ(closes_in_shield_run_here(), 0);
}

/* The same makes an offload that promised to wait for its job return before that. */
static struct watched watched;
static struct anysync_scope around;
static bool ended_first;

ANYSYNC_GENERATOR(int, offloads)
{
    int value = 0;

    anysync_scope_enter(&around, ANYSYNC_FOREVER);
    int error = stubborn(&value, &watched, 0);
    ended_first = atomic_load(&watched.ended);
    return anysync_scope_exit(&around, error);
}

ANYSYNC_BLOCKING(void, lets_go)
{
    nap_ms(50);
    atomic_store(&watched.go_on, true);
    return 0;
}

ANYSYNC_COROUTINE(void, closes_in_offload)
{
    offloads_generator generator;
    int item;

    CHECK_EQ(offloads_open(&generator), 0);
    CHECK_EQ(offloads_next_until(&generator, &item, ANYSYNC_POLL), -ETIMEDOUT);
    while (!atomic_load(&watched.begun))
        CHECK_EQ(anysync_yield(), 0);
    anysync_scope_cancel(&around, "enough");
    CHECK_EQ(anysync_yield(), 0); /* the body waits for the job's end */
    CHECK_EQ(lets_go_start(NULL), 0);
    offloads_drop(&generator);
    CHECK(ended_first);
    while (!atomic_load(&watched.ended))
        CHECK_EQ(anysync_yield(), 0);
    return 0;
}

TEST(a_close_does_not_part_a_body_from_its_job)
{
    CHECK_EQ(closes_in_offload_run_here(), 0);
}

/* --- an item delivered while a probe is on its way -------------------------------------------- */

static atomic_bool spinning, yield_now, hold_loop, holding;
static struct anysync_future *asker;

ANYSYNC_GENERATOR(int, yields_then_waits)
{
    CHECK_EQ(anysync_sleep(anysync_in_ms(20)), 0); /* the probe of its consumer ends here */
    atomic_store(&spinning, true);
    hold_until(&yield_now);
    int error = yields_then_waits_yield(7); /* delivered: the consumer goes on soon */
    if (!error)
        error = anysync_future_wait(asker, ANYSYNC_FOREVER);
    anysync_future_unref(asker);
    return error;
}

ANYSYNC_COROUTINE(int, takes_one, (yields_then_waits_generator *, generator))
{
    return yields_then_waits_next(generator, result);
}

ANYSYNC_COROUTINE(void, keeps_loop)
{
    atomic_store(&holding, true);
    hold_until(&hold_loop);
    return 0;
}

ANYSYNC_COROUTINE(int, asks, (struct anysync_future *, whom))
{
    *result = anysync_future_wait(whom, ANYSYNC_FOREVER);
    return 0;
}

TEST(an_item_delivered_while_a_probe_is_on_its_way)
{
    struct anysync_executor *loops[3] = {new_executor(), new_executor(), new_executor()};
    struct anysync_generator_options options = {.executor = loops[0], .read_ahead = 4};
    yields_then_waits_generator generator;
    takes_one_future consumer;
    asks_future asking;
    int item = 0, result = -1;

    CHECK_EQ(yields_then_waits_open_with(&options, &generator), 0);
    CHECK_EQ(takes_one_start_on(loops[1], &consumer, &generator), 0);
    wait_for(&spinning);
    nap_ms(5);                                        /* the consumer sleeps */
    CHECK_EQ(keeps_loop_start_on(loops[1], NULL), 0); /* it will be slow to notice */
    wait_for(&holding);
    CHECK_EQ(asks_start_on(loops[2], &asking, consumer.future), 0);
    asker = anysync_future_ref(asking.future);
    nap_ms(5); /* its probe lies in the mailbox of the generator's loop */
    atomic_store(&yield_now, true);
    nap_ms(20);
    atomic_store(&hold_loop, true);
    CHECK_EQ(asks_wait(&asking, &result, ANYSYNC_FOREVER), 0);
    CHECK_EQ(takes_one_wait(&consumer, &item, ANYSYNC_FOREVER), 0);
    CHECK_EQ(item, 7);
    CHECK_EQ(result, 0);
    asks_drop(&asking);
    takes_one_drop(&consumer);
    yields_then_waits_drop(&generator);
    for (int i = 0; i < 3; i++)
        end_executor(loops[i]);
}

/* --- ordinary deadlocks that have to be found ------------------------------------------------- */

ANYSYNC_COROUTINE(int, wants, (struct anysync_limiter *, limiter))
{
    *result = anysync_limiter_acquire(limiter, ANYSYNC_FOREVER);
    if (!*result)
        anysync_limiter_release(limiter);
    return 0;
}

ANYSYNC_BLOCKING(int, job_wants, (struct anysync_limiter *, limiter))
{
    *result = anysync_limiter_acquire(limiter, ANYSYNC_FOREVER);
    if (!*result)
        anysync_limiter_release(limiter);
    return *result;
}

ANYSYNC_COROUTINE(int, closes_with_token, (bool, job))
{
    struct anysync_limiter *limiter = new_limiter(1);
    struct anysync_group *group = NULL;

    CHECK_EQ(anysync_limiter_acquire(limiter, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_group_open(&group), 0);
    if (job)
        CHECK_EQ(job_wants_spawn(group, NULL, limiter), 0);
    else
        CHECK_EQ(wants_spawn(group, NULL, limiter), 0);
    *result = anysync_group_close(group, 0, ANYSYNC_FOREVER);
    anysync_limiter_release(limiter);
    anysync_limiter_unref(limiter);
    return 0;
}

TEST(found_child_wants_the_openers_token)
{
    int result = 0;

    CHECK_EQ(closes_with_token_run(&result, false), 0);
    CHECK_EQ(result == 0 || result == -EDEADLK, 1);
}

TEST(found_job_child_wants_the_openers_token)
{
    int result = 0;

    CHECK_EQ(closes_with_token_run(&result, true), 0);
    CHECK_EQ(result, -EDEADLK);
}

ANYSYNC_COROUTINE(int, waits_and_says, (struct anysync_future **, it))
{
    *result = anysync_future_wait(*it, ANYSYNC_FOREVER);
    return 0;
}

ANYSYNC_GENERATOR(int, runs_nested, (struct anysync_future **, it))
{
    int value = 0;

    CHECK_EQ(waits_and_says_run(&value, it), 0);
    return runs_nested_yield(value);
}

ANYSYNC_COROUTINE(int, consumes_nested, (struct anysync_future **, myself))
{
    runs_nested_generator generator;

    wait_for(&known);
    CHECK_EQ(runs_nested_open(&generator, myself), 0);
    CHECK_EQ(runs_nested_next(&generator, result), 0);
    runs_nested_drop(&generator);
    return 0;
}

TEST(found_nested_run_in_a_body)
{
    static struct anysync_future *myself;
    consumes_nested_future soon;
    int result = 0;

    CHECK_EQ(consumes_nested_start(&soon, &myself), 0);
    myself = soon.future;
    atomic_store(&known, true);
    CHECK_EQ(consumes_nested_wait(&soon, &result, ANYSYNC_FOREVER), 0);
    CHECK_EQ(result, -EDEADLK);
    consumes_nested_drop(&soon);
}

/* --- a task that begins to wait while its cancel is on its way -------------------------------- */

ANYSYNC_COROUTINE(int, waits_late, (struct anysync_future *, it))
{
    atomic_store(&spinning, true);
    hold_until(&yield_now);
    *result = anysync_future_wait(it, ANYSYNC_FOREVER);
    return 0;
}

ANYSYNC_COROUTINE(int, cancels_late, (waits_late_future *, other))
{
    wait_for(&spinning);
    CHECK_EQ(anysync_cancel(other->future), 0);
    return waits_late_wait(other, result, ANYSYNC_FOREVER);
}

ANYSYNC_COROUTINE(int, starts_late, (struct anysync_executor *, one))
{
    static waits_late_future other;
    cancels_late_future canceller;
    int mine = 0;

    CHECK_EQ(cancels_late_start(&canceller, &other), 0);
    CHECK_EQ(waits_late_start_on(one, &other, canceller.future), 0);
    CHECK_EQ(anysync_sleep(anysync_in_ms(20)), 0); /* the canceller waits by now */
    atomic_store(&yield_now, true);
    CHECK_EQ(cancels_late_wait(&canceller, result, ANYSYNC_FOREVER), 0);
    CHECK_EQ(waits_late_wait(&other, &mine, ANYSYNC_FOREVER), 0);
    CHECK_EQ(mine, -ECANCELED);
    waits_late_drop(&other);
    cancels_late_drop(&canceller);
    return 0;
}

TEST(a_wait_that_begins_with_a_cancel_on_its_way)
{
    struct anysync_executor *one = new_executor();
    int result = 0;

    CHECK_EQ(starts_late_run(&result, one), 0);
    CHECK_EQ(result, -ECANCELED);
    end_executor(one);
}

/* --- a starter whose child has just said that it started -------------------------------------- */

ANYSYNC_COROUTINE(void, says_then_waits)
{
    CHECK_EQ(anysync_sleep(anysync_in_ms(20)), 0); /* the probe of the starter ends here */
    atomic_store(&spinning, true);
    hold_until(&yield_now);
    CHECK_EQ(anysync_started(NULL, 0), 0);
    int error = anysync_future_wait(asker, ANYSYNC_FOREVER);
    anysync_future_unref(asker);
    return error;
}

ANYSYNC_COROUTINE(int, starts_one, (struct anysync_group *, group))
{
    *result = anysync_group_start(
            group, &says_then_waits_function, NULL, NULL, 0, NULL, ANYSYNC_FOREVER);
    return 0;
}

ANYSYNC_COROUTINE(void, keeps_group, (struct anysync_group **, group),
        (struct anysync_future *, opened), (struct anysync_future *, until))
{
    CHECK_EQ(anysync_group_open(group), 0);
    open_gate(opened);
    pass_gate(until);
    return anysync_group_close(*group, 0, ANYSYNC_FOREVER);
}

TEST(a_child_that_started_while_a_probe_is_on_its_way)
{
    struct anysync_executor *loops[3] = {new_executor(), new_executor(), new_executor()};
    struct anysync_future *opened = new_gate(), *until = new_gate();
    struct anysync_group *group = NULL;
    keeps_group_future keeper;
    starts_one_future starter;
    asks_future asking;
    int start_result = -1, result = -1;

    CHECK_EQ(keeps_group_start_on(loops[0], &keeper, &group, opened, until), 0);
    pass_gate(opened);
    CHECK_EQ(starts_one_start_on(loops[1], &starter, group), 0);
    wait_for(&spinning);
    CHECK_EQ(keeps_loop_start_on(loops[1], NULL), 0);
    wait_for(&holding);
    CHECK_EQ(asks_start_on(loops[2], &asking, starter.future), 0);
    asker = anysync_future_ref(asking.future);
    nap_ms(5);
    atomic_store(&yield_now, true);
    nap_ms(20);
    atomic_store(&hold_loop, true);
    CHECK_EQ(asks_wait(&asking, &result, ANYSYNC_FOREVER), 0);
    CHECK_EQ(starts_one_wait(&starter, &start_result, ANYSYNC_FOREVER), 0);
    open_gate(until);
    CHECK_EQ(keeps_group_wait(&keeper, ANYSYNC_FOREVER), 0);
    CHECK_EQ(start_result, 0);
    CHECK_EQ(result, 0);
    asks_drop(&asking);
    starts_one_drop(&starter);
    keeps_group_drop(&keeper);
    anysync_future_unref(opened);
    anysync_future_unref(until);
    for (int i = 0; i < 3; i++)
        end_executor(loops[i]);
}

/* --- as 1, but the whole loop is cancelled ---------------------------------------------------- */

ANYSYNC_COROUTINE(int, stops_its_waiters_loop, (struct anysync_executor *, other),
        (struct anysync_future **, myself))
{
    waits_for_it_future soon;

    CHECK_EQ(waits_for_it_start_on(other, &soon, *myself), 0);
    CHECK_EQ(anysync_sleep(anysync_in_ms(5)), 0);
    int error = anysync_executor_shutdown(other, ANYSYNC_CANCEL, ANYSYNC_POLL, NULL);
    CHECK_EQ(error == 0 || error == -ETIMEDOUT, 1);
    *result = anysync_future_wait(soon.future, ANYSYNC_FOREVER);
    waits_for_it_drop(&soon);
    return 0;
}

ANYSYNC_COROUTINE(int, starts_stopper, (struct anysync_executor *, other))
{
    static struct anysync_future *myself;
    stops_its_waiters_loop_future soon;

    CHECK_EQ(stops_its_waiters_loop_start(&soon, other, &myself), 0);
    myself = soon.future;
    CHECK_EQ(stops_its_waiters_loop_wait(&soon, result, ANYSYNC_FOREVER), 0);
    stops_its_waiters_loop_drop(&soon);
    return 0;
}

TEST(cancel_the_loop_of_a_waiter_and_wait)
{
    struct anysync_executor *other = new_executor();
    int result = -1;

    CHECK_EQ(starts_stopper_run(&result, other), 0);
    CHECK_EQ(result, 0);
    end_executor(other);
}
