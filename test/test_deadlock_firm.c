/* SPDX-License-Identifier: MIT */
/*
 * Deadlocks of waits that go on in any case: the close of a group, the wait for a job that a
 * deadline cut, the end of a generator.  A cancel does not reach a job's waits, nor those in a
 * shield; so who waits for the end of one cannot be the one to be told, or be the only one.
 *
 * Promised                                            Tested by
 *   jobs that wait for the closer are told,
 *     whoever came first                                  jobs_that_came_first
 *   nobody is told who only waits beside them             a_child_that_only_waits_is_not_told
 *   also after the closer was cancelled                   a_job_that_comes_after_the_cancel
 *   the job of an offload that was cut                    a_job_whose_offload_was_cut
 *   the body of a generator in a shield                   a_body_in_a_shield
 *     but not one that the close ends                     a_body_that_hears_the_close
 */
#include "jobs.h"

#include <errno.h>

static atomic_bool begun, go_on;

ANYSYNC_BLOCKING(int, job_wants, (struct anysync_limiter *, limiter), (bool, late))
{
    atomic_store(&begun, true);
    if (late)
        hold_until(&go_on);
    *result = anysync_limiter_acquire(limiter, ANYSYNC_FOREVER);
    if (!*result)
        anysync_limiter_release(limiter);
    return *result;
}

/* Until COUNT wait for LIMITER, and have looked around. */
static void wait_for_waiters(struct anysync_limiter *limiter, size_t count)
{
    while (figures(limiter).waiting < count)
        CHECK_EQ(anysync_yield(), 0);
    for (int i = 0; i < 50; i++)
        nap();
}

/* --- groups ----------------------------------------------------------------------------------- */

enum { JOBS = 3 };

ANYSYNC_COROUTINE(int, closes_last)
{
    struct anysync_limiter *limiter = new_limiter(1);
    struct anysync_group *group = NULL;

    CHECK_EQ(anysync_limiter_acquire(limiter, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_group_open(&group), 0);
    for (int i = 0; i < JOBS; i++)
        CHECK_EQ(job_wants_spawn(group, NULL, limiter, false), 0);
    wait_for_waiters(limiter, JOBS);
    *result = anysync_group_close(group, 0, ANYSYNC_FOREVER);
    CHECK_CONTAINS(anysync_last_error()->message, "\"job_wants\"");
    CHECK_EQ(figures(limiter).borrowed, 1);
    anysync_limiter_release(limiter);
    anysync_limiter_unref(limiter);
    return 0;
}

TEST(jobs_that_came_first)
{
    int result = 0;

    CHECK_EQ(closes_last_run(&result), 0);
    CHECK_EQ(result, -EDEADLK);
}

ANYSYNC_COROUTINE(void, waits_for, (struct anysync_future **, it))
{
    return anysync_future_wait(*it, ANYSYNC_FOREVER);
}

static struct anysync_future *closer, *elsewhere;

ANYSYNC_COROUTINE(void, closes_beside)
{
    struct anysync_group *group = NULL;
    waits_for_future beside;

    CHECK_EQ(anysync_group_open(&group), 0);
    CHECK_EQ(waits_for_spawn(group, &beside, &elsewhere), 0);
    CHECK_EQ(waits_for_spawn(group, NULL, &closer), 0);
    CHECK_EQ(anysync_sleep(anysync_in_ms(1)), 0); /* both wait by now */
    CHECK_EQ(anysync_group_close(group, 0, ANYSYNC_FOREVER), -EDEADLK);
    CHECK_CONTAINS(anysync_last_error()->message, "\"closes_beside\"");
    CHECK_EQ(waits_for_wait(&beside, ANYSYNC_FOREVER), -ECANCELED);
    waits_for_drop(&beside);
    return 0;
}

ANYSYNC_COROUTINE(void, starts_closes_beside)
{
    closes_beside_future soon;

    CHECK_EQ(closes_beside_start(&soon), 0);
    closer = soon.future;
    CHECK_EQ(closes_beside_wait(&soon, ANYSYNC_FOREVER), 0);
    closes_beside_drop(&soon);
    return 0;
}

TEST(a_child_that_only_waits_is_not_told)
{
    struct anysync_future *release = new_gate();
    waits_for_future other;

    CHECK_EQ(waits_for_start(&other, &release), 0);
    elsewhere = other.future;
    CHECK_EQ(starts_closes_beside_run_here(), 0);
    open_gate(release);
    CHECK_EQ(waits_for_wait(&other, ANYSYNC_FOREVER), 0);
    waits_for_drop(&other);
    anysync_future_unref(release);
}

ANYSYNC_COROUTINE(int, closes_and_is_cancelled, (int *, child))
{
    struct anysync_limiter *limiter = new_limiter(1);
    struct anysync_group *group = NULL;
    job_wants_future soon;

    CHECK_EQ(anysync_limiter_acquire(limiter, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_group_open(&group), 0);
    CHECK_EQ(job_wants_spawn(group, &soon, limiter, true), 0);
    *result = anysync_group_close(group, 0, ANYSYNC_FOREVER);
    *child = anysync_future_result(soon.future, NULL);
    job_wants_drop(&soon);
    anysync_limiter_release(limiter);
    anysync_limiter_unref(limiter);
    return 0;
}

ANYSYNC_COROUTINE(void, cancels_closer, (int *, result), (int *, child))
{
    closes_and_is_cancelled_future soon;

    CHECK_EQ(closes_and_is_cancelled_start(&soon, child), 0);
    while (!atomic_load(&begun)) /* the job; and the close waits by then */
        CHECK_EQ(anysync_yield(), 0);
    CHECK_EQ(anysync_cancel(soon.future), 0);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(anysync_yield(), 0); /* the cancel was heard, and the close goes on */
    atomic_store(&go_on, true);
    CHECK_EQ(closes_and_is_cancelled_wait(&soon, result, ANYSYNC_FOREVER), 0);
    closes_and_is_cancelled_drop(&soon);
    return 0;
}

TEST(a_job_that_comes_after_the_cancel)
{
    int result = 0, child = 0;

    atomic_store(&begun, false);
    atomic_store(&go_on, false);
    CHECK_EQ(cancels_closer_run(&result, &child), 0);
    CHECK_EQ(result, -ECANCELED);
    CHECK_EQ(child, -EDEADLK);
}

/* --- offloads --------------------------------------------------------------------------------- */

ANYSYNC_BLOCKING(int, job_says, (struct anysync_limiter *, limiter), (int *, said))
{
    atomic_store(&begun, true);
    hold_until(&go_on);
    *result = *said = anysync_limiter_acquire(limiter, ANYSYNC_FOREVER);
    return *result;
}

ANYSYNC_COROUTINE(int, offloads, (int *, said))
{
    struct anysync_limiter *limiter = new_limiter(1);
    int value;

    CHECK_EQ(anysync_limiter_acquire(limiter, ANYSYNC_FOREVER), 0);
    *result = job_says(&value, limiter, said);
    anysync_limiter_release(limiter);
    anysync_limiter_unref(limiter);
    return 0;
}

ANYSYNC_COROUTINE(int, cuts_offload, (int *, said))
{
    offloads_future soon;

    CHECK_EQ(offloads_start(&soon, said), 0);
    while (!atomic_load(&begun))
        CHECK_EQ(anysync_yield(), 0);
    CHECK_EQ(anysync_cancel(soon.future), 0);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(anysync_yield(), 0); /* it has heard of it, and waits for the job's end */
    atomic_store(&go_on, true);
    CHECK_EQ(offloads_wait(&soon, result, ANYSYNC_FOREVER), 0);
    offloads_drop(&soon);
    return 0;
}

TEST(a_job_whose_offload_was_cut)
{
    int result = 0, said = 0;

    atomic_store(&begun, false);
    atomic_store(&go_on, false);
    CHECK_EQ(cuts_offload_run(&result, &said), 0);
    CHECK_EQ(result, -ECANCELED);
    CHECK_EQ(said, -EDEADLK);
}

/* --- generators ------------------------------------------------------------------------------- */

struct body {
    struct anysync_future *consumer, *entered, *closing;
    bool deaf;
};

ANYSYNC_GENERATOR(int, waits_in_scope, (struct body *, self), (int *, said))
{
    struct anysync_scope scope;

    if (self->deaf)
        anysync_shield_enter(&scope, ANYSYNC_FOREVER);
    else
        anysync_scope_enter(&scope, ANYSYNC_FOREVER);
    open_gate(self->entered);
    if (self->deaf)
        pass_gate(self->closing);
    *said = anysync_future_wait(self->consumer, ANYSYNC_FOREVER);
    return anysync_scope_exit(&scope, *said);
}

/* Runs when the consumer waits for the end. */
ANYSYNC_COROUTINE(void, says_closing, (struct body *, self))
{
    open_gate(self->closing);
    return 0;
}

ANYSYNC_COROUTINE(int, drops, (struct body *, self), (struct anysync_executor *, executor))
{
    struct anysync_generator_options options = {.executor = executor};
    waits_in_scope_generator generator;
    int item;

    CHECK_EQ(waits_in_scope_open_with(&options, &generator, self, result), 0);
    CHECK_EQ(waits_in_scope_next_until(&generator, &item, ANYSYNC_POLL), -ETIMEDOUT);
    pass_gate(self->entered);
    CHECK_EQ(says_closing_start(NULL, self), 0);
    waits_in_scope_drop(&generator);
    return 0;
}

ANYSYNC_COROUTINE(int, starts_drops, (struct body *, self), (struct anysync_executor *, executor))
{
    drops_future soon;

    CHECK_EQ(drops_start(&soon, self, executor), 0);
    self->consumer = soon.future;
    CHECK_EQ(drops_wait(&soon, result, ANYSYNC_FOREVER), 0);
    drops_drop(&soon);
    return 0;
}

static void check_body(bool deaf, int expected)
{
    struct anysync_executor *executor = NULL;

    CHECK_EQ(anysync_executor_new(NULL, &executor), 0);
    for (int i = 0; i < 2; i++) {
        struct body self = {NULL, new_gate(), new_gate(), deaf};
        int said = 0;
        CHECK_EQ(starts_drops_run(&said, &self, i ? executor : NULL), 0);
        CHECK_EQ(said, expected);
        anysync_future_unref(self.entered);
        anysync_future_unref(self.closing);
    }
    CHECK_EQ(anysync_executor_shutdown(executor, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    anysync_executor_unref(executor);
}

TEST(a_body_in_a_shield)
{
    check_body(true, -EDEADLK);
}

TEST(a_body_that_hears_the_close)
{
    check_body(false, -ECANCELED);
}
