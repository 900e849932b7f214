/* SPDX-License-Identifier: MIT */
/*
 * Ways back to a loop: late, crossed by cancels, or from another process.  (More: test_late.c.)
 *
 * Promised                                        Tested by
 *   each way back hears of a cancel of its job      a_cancel_reaches_each_way_back
 *   a loop that is free again takes it              a_loop_that_is_free_again_can_be_gone_back_to
 *   a loop of another process does not              in_a_forked_child_nobody_waits_for_...
 */
#include "jobs.h"

#include <sys/wait.h>
#include <unistd.h>

static anysync_time in_s(int seconds)
{
    return anysync_now() + (anysync_time)seconds * 1000000000;
}

ANYSYNC_COROUTINE(void, nothing)
{
    return 0;
}

/* --- the way back ----------------------------------------------------------------------------- */

static struct anysync_future *long_gate, *long_begun, *other_done;

ANYSYNC_COROUTINE(void, waits_long)
{
    open_gate(long_begun);
    return anysync_future_wait(long_gate, ANYSYNC_FOREVER);
}

ANYSYNC_COROUTINE(void, goes_back_shortly)
{
    pass_gate(long_begun);
    CHECK_EQ(anysync_run_back(&nothing_function, NULL, NULL, ANYSYNC_FOREVER), 0);
    open_gate(other_done);
    return 0;
}

ANYSYNC_COROUTINE(void, two_go_back)
{
    goes_back_shortly_future other;

    CHECK_EQ(goes_back_shortly_start(&other), 0);
    int error = anysync_run_back(&waits_long_function, NULL, NULL, ANYSYNC_FOREVER);
    goes_back_shortly_drop(&other);
    return error;
}

ANYSYNC_BLOCKING(void, has_a_loop_here)
{
    return two_go_back_run_here();
}

static struct anysync_future *job_future;

ANYSYNC_COROUTINE(void, starts_it)
{
    return anysync_offload_start(&has_a_loop_here_function, NULL, NULL, &job_future);
}

TEST(a_cancel_reaches_each_way_back)
{
    long_gate = new_gate();
    long_begun = new_gate();
    other_done = new_gate();
    CHECK_EQ(starts_it_run(), 0);
    pass_gate(other_done);
    CHECK_EQ(anysync_cancel(job_future), 0);
    CHECK_EQ(anysync_future_wait(job_future, in_s(2)), 0);
    CHECK_EQ(anysync_future_result(job_future, NULL), -ECANCELED);
    open_gate(long_gate);
    anysync_future_unref(job_future);
    anysync_future_unref(long_gate);
    anysync_future_unref(long_begun);
    anysync_future_unref(other_done);
}

static struct anysync_future *later_gate, *later_job;

ANYSYNC_BLOCKING(void, goes_back_later)
{
    pass_gate(later_gate);
    return anysync_run_back(&nothing_function, NULL, NULL, ANYSYNC_FOREVER);
}

ANYSYNC_BLOCKING(void, starts_later)
{
    return anysync_offload_start(&goes_back_later_function, NULL, NULL, &later_job);
}

ANYSYNC_COROUTINE(void, blocks_then_waits)
{
    CHECK_EQ(anysync_run(&starts_later_function, NULL, NULL, ANYSYNC_FOREVER),
            0); /* the loop is blocked, and then is not any more */
    open_gate(later_gate);
    return anysync_wait(later_job, NULL, ANYSYNC_FOREVER);
}

TEST(a_loop_that_is_free_again_can_be_gone_back_to)
{
    later_gate = new_gate();
    CHECK_EQ(blocks_then_waits_run(), 0);
    anysync_future_unref(later_job);
    anysync_future_unref(later_gate);
}

ANYSYNC_BLOCKING(void, goes_back)
{
    return anysync_run_back(&nothing_function, NULL, NULL, ANYSYNC_FOREVER);
}

ANYSYNC_BLOCKING(void, forks)
{
    struct anysync_offload_options options = {.abandon = true};
    pid_t child = fork();
    int status;

    if (child == 0) {
        int error = anysync_offload(&goes_back_function, NULL, NULL, &options, in_s(2));
        _exit(error == -ETIMEDOUT ? 1 : 0);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 0);
    return 0;
}

ANYSYNC_COROUTINE(void, offloads_fork)
{
    return forks();
}

/* offload.h: -EOWNERDEAD in a child; a job started by the job there waits for ever. */
TEST(in_a_forked_child_nobody_waits_for_the_parents_loop)
{
    test_forks_among_threads();
    CHECK_EQ(offloads_fork_run(), 0);
}
