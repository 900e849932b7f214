/* SPDX-License-Identifier: MIT */
/*
 * Tokens that cross with those who hold them, or wait for them.  (More: test_crossings.c.)
 *
 * Promised                                        Tested by
 *   a token that moved is a way out beside a job    a_token_that_moved_beside_a_job
 *   a limiter lets former holders go                a_limiter_that_goes_lets_holders_go
 *   an abandoned task gets no token                 a_token_is_not_given_to_an_abandoned_task
 */
#include "jobs.h"

#include <errno.h>

/* Time for another thread to come to its wait.  Too short, and the test proves less, and passes. */
static void nap_ms(int ms)
{
    for (int i = 0; i < 10 * ms; i++)
        nap();
}

static struct watched watched;

ANYSYNC_BLOCKING(void, lets_go)
{
    nap_ms(50);
    atomic_store(&watched.go_on, true);
    return 0;
}

/* --- a token that moved while a job had one --------------------------------------------------- */

ANYSYNC_COROUTINE(void, gives_back, (struct anysync_limiter *, limiter))
{
    anysync_limiter_release(limiter);
    return 0;
}

ANYSYNC_COROUTINE(int, wants, (struct anysync_limiter *, limiter))
{
    *result = anysync_limiter_acquire(limiter, ANYSYNC_FOREVER);
    if (!*result)
        anysync_limiter_release(limiter);
    return 0;
}

ANYSYNC_COROUTINE(void, moves_beside_a_job)
{
    struct anysync_limiter *limiter = new_limiter(2);
    struct anysync_offload_options options = {.limiter = limiter};
    struct {
        struct watched *watched;
        int status;
    } argument = {&watched, 0};
    struct anysync_future *job = NULL;
    wants_future soon;
    int result = -1;

    CHECK_EQ(anysync_offload_start(&stubborn_function, &argument, &options, &job), 0);
    CHECK_EQ(anysync_limiter_acquire(limiter, ANYSYNC_FOREVER), 0);
    CHECK_EQ(gives_back_await(limiter), 0);             /* another gives this task's token back */
    CHECK_EQ(anysync_limiter_set_total(limiter, 1), 0); /* the job has the only one */
    CHECK_EQ(lets_go_start(NULL), 0);
    CHECK_EQ(wants_start(&soon, limiter), 0);
    CHECK_EQ(wants_wait(&soon, &result, ANYSYNC_FOREVER), 0);
    CHECK_EQ(result, 0);
    wants_drop(&soon);
    CHECK_EQ(anysync_future_wait(job, ANYSYNC_FOREVER), 0);
    anysync_future_unref(job);
    anysync_limiter_unref(limiter);
    return 0;
}

TEST(a_token_that_moved_beside_a_job)
{
    CHECK_EQ(moves_beside_a_job_run_here(), 0);
}

/* --- what a limiter keeps --------------------------------------------------------------------- */

static atomic_int reported;

static void on_report(const char *task, const struct anysync_error *error, void *context)
{
    (void)task;
    (void)error;
    (void)context;
    atomic_fetch_add(&reported, 1);
}

ANYSYNC_COROUTINE(void, acquires_and_fails, (struct anysync_limiter *, limiter))
{
    CHECK_EQ(anysync_limiter_acquire(limiter, ANYSYNC_FOREVER), 0);
    return -EIO;
}

/* The limiter goes with a reference to the task that acquired: it is never freed, and what nobody
 * saw of it is never reported. */
TEST(a_limiter_that_goes_lets_holders_go)
{
    struct anysync_limiter *limiter = new_limiter(1);

    anysync_set_error_hook(on_report, NULL);
    CHECK_EQ(acquires_and_fails_start(NULL, limiter), 0);
    while (figures(limiter).borrowed == 0)
        nap();
    CHECK_EQ(anysync_shutdown(ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    anysync_limiter_release(limiter);
    anysync_limiter_unref(limiter);
    CHECK_EQ(atomic_load(&reported), 1);
}

/* --- a token that is given to an abandoned task ----------------------------------------------- */

ANYSYNC_COROUTINE(int, acquires_in_shield, (struct anysync_limiter *, limiter))
{
    struct anysync_scope shield;

    anysync_shield_enter(&shield, ANYSYNC_FOREVER);
    *result = anysync_limiter_acquire(limiter, ANYSYNC_FOREVER);
    return anysync_scope_exit(&shield, 0);
}

ANYSYNC_COROUTINE(void, leaves_one_behind, (struct anysync_limiter *, limiter))
{
    CHECK_EQ(acquires_in_shield_start(NULL, limiter), 0);
    return anysync_yield();
}

/* (The loop of the thread ends with its root, and gives the other task its grace time.) */
TEST(a_token_is_not_given_to_an_abandoned_task)
{
    struct anysync_limiter *limiter = new_limiter(1);

    CHECK_EQ(anysync_limiter_acquire(limiter, ANYSYNC_FOREVER), 0);
    CHECK_EQ(leaves_one_behind_run_here(limiter), 0);
    anysync_limiter_release(limiter);
    CHECK_EQ(anysync_limiter_try_acquire(limiter), 0);
}
