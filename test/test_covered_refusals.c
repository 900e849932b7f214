/* SPDX-License-Identifier: MIT */
/*
 * Every refusal of the system, in every part of the library (CONTRACT K4; the rest of it, with what
 * exactly is promised of running tasks: test_failures.c).
 *
 * Promised                                              Tested by
 *   wherever memory, a thread or a mapping is refused     k4_groups_..., k4_generators_...,
 *     the calls of each part say a code of their header,  k4_managers_..., k4_jobs_...,
 *     leave nothing behind, and work the next time        k4_futures_..., k4_variables_...,
 *                                                         k4_descriptors_... survive_every_failure
 *
 *     however little is left of what is kept for later     k4_..._survive_the_last_record
 *
 * A scene makes some calls, and gives up at the first that fails.  It is played in a process of its
 * own with the first refusal, the second, and so on, until there is nothing left to refuse; each
 * time it is played once more without.  What it leaves is found by the leak check.
 */
#include "refusals.h"

#include "fault.h"

static void check_code(int error)
{
    CHECK(error == 0 || error == -ENOMEM || error == -EAGAIN || error == -EMFILE ||
            error == -ECANCELED);
}

static int play_in_child(int (*function)(void *), struct play play)
{
    struct test_child child = test_child(function, &play);

    if (!child.exited || (child.status != 0 && child.status != REACHED))
        test_fail(TEST_HERE, "world %d, refusal %d: status %d, signal %d: %s", play.world, play.nth,
                child.status, child.signal, child.errors);
    free(child.errors);
    return child.status;
}

static int play_once(void *argument)
{
    const struct play *play = argument;

    fault_fail(FAULT_ANY, play->nth, false);
    int error = play_in(play);
    int failed = fault_failed(FAULT_ANY);
    fault_clear();
    CHECK(error == 0 || failed > 0);
    check_code(error);
    CHECK_EQ(play_in(play), 0);
    CHECK_EQ(anysync_shutdown(ANYSYNC_CANCEL, ANYSYNC_FOREVER, NULL), 0);
    return failed ? REACHED : 0;
}

static void survive_every_failure(scene_fn *scene)
{
    for (int world = 0; world < 3; world++) {
        int status = REACHED;
        for (int nth = 1; status == REACHED; nth++)
            status = play_in_child(play_once, (struct play){scene, nth, world});
    }
}

TEST(k4_groups_survive_every_failure)
{
    survive_every_failure(use_group);
    survive_every_failure(use_failing_group);
}

TEST(k4_generators_survive_every_failure)
{
    survive_every_failure(use_generator);
}

TEST(k4_managers_survive_every_failure)
{
    survive_every_failure(use_manager);
}

TEST(k4_jobs_survive_every_failure)
{
    survive_every_failure(use_awaited_job);
    survive_every_failure(use_jobs);
    survive_every_failure(use_limiter);
}

TEST(k4_futures_survive_every_failure)
{
    survive_every_failure(use_futures);
    survive_every_failure(use_channel);
}

TEST(k4_variables_survive_every_failure)
{
    survive_every_failure(use_variables);
    survive_every_failure(use_calls);
    survive_every_failure(use_shared_error);
}

TEST(k4_descriptors_survive_every_failure)
{
    survive_every_failure(use_descriptors);
}

/* --- the last records ------------------------------------------------------------------------- */

enum { RECORDS = 100000, MOST_LEFT = 9 };

ANYSYNC_COROUTINE(void, nothing)
{
    return 0;
}

static scene_fn *scene_now;
static int left_now, nth_now, failed_now;

/* Records come in blocks of thousands, so few of those who want one have to ask the system: take
 * all there are, but for some. */
static int play_with_few(void)
{
    static struct anysync_task *taken[RECORDS], *left[MOST_LEFT];
    int count = 0;

    CHECK_EQ(scene_now(), 0); /* what is made once is there */
    for (int i = 0; i < left_now; i++)
        CHECK_EQ(anysync_task_new(&nothing_function, NULL, NULL, &left[i]), 0);
    fault_fail(FAULT_ANY, 1, true);
    while (anysync_task_new(&nothing_function, NULL, NULL, &taken[count]) == 0)
        CHECK(++count < RECORDS);
    fault_clear();
    for (int i = 0; i < left_now; i++)
        anysync_task_unref(left[i]);
    fault_fail(FAULT_ANY, nth_now, false);
    int error = scene_now();
    failed_now = fault_failed(FAULT_ANY);
    fault_clear();
    CHECK(error == 0 || failed_now > 0);
    while (count > 0)
        anysync_task_unref(taken[--count]);
    CHECK_EQ(scene_now(), 0);
    return error;
}

static int play_few(void *argument)
{
    struct play play = *(const struct play *)argument;

    scene_now = play.scene;
    nth_now = play.nth;
    play.scene = play_with_few;
    check_code(play_in(&play));
    CHECK_EQ(anysync_shutdown(ANYSYNC_CANCEL, ANYSYNC_FOREVER, NULL), 0);
    return failed_now ? REACHED : 0;
}

static void survive_the_last_record(scene_fn *scene)
{
    if (TEST_ASAN || TEST_TSAN)
        test_skip("in this build nothing is kept for later");
    for (left_now = 0; left_now < MOST_LEFT; left_now++) {
        int status = REACHED;
        for (int nth = 1; status == REACHED; nth++)
            status = play_in_child(play_few, (struct play){scene, nth, left_now % 3});
    }
}

TEST(k4_groups_survive_the_last_record)
{
    survive_the_last_record(use_group);
    survive_the_last_record(use_failing_group);
}

TEST(k4_generators_survive_the_last_record)
{
    survive_the_last_record(use_generator);
}

TEST(k4_managers_survive_the_last_record)
{
    survive_the_last_record(use_manager);
}

TEST(k4_jobs_survive_the_last_record)
{
    survive_the_last_record(use_awaited_job);
    survive_the_last_record(use_jobs);
    survive_the_last_record(use_limiter);
}

TEST(k4_futures_survive_the_last_record)
{
    survive_the_last_record(use_futures);
    survive_the_last_record(use_channel);
}

TEST(k4_variables_survive_the_last_record)
{
    survive_the_last_record(use_variables);
    survive_the_last_record(use_calls);
    survive_the_last_record(use_shared_error);
}

TEST(k4_descriptors_survive_the_last_record)
{
    survive_the_last_record(use_descriptors);
}
