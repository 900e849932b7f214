/* SPDX-License-Identifier: MIT */
/*
 * Executors of one's own, and the options of the global one (CONTRACT K1; shutdown is in
 * test_shutdown.c).
 *
 * Promised                                       Tested by (each name begins with k1_)
 *   new: options are checked, and hold           options_out_of_range_are_refused
 *                                                options_shape_the_worker
 *   unref cancels what is left                   unref_with_live_tasks_cancels_them
 *                                                the_last_unref_may_come_from_its_own_task
 *   restart after the tasks of before            a_restart_leaves_the_tasks_of_before_alone
 *   counters since it was made                   stats_count_tasks_and_workers
 *                                                stats_outlive_a_shutdown
 *                                                stats_are_nobody_elses
 *   configure: -EBUSY, from the next start       configure_holds_from_the_next_start
 *   made, used and dropped by many at once       stress_made_and_dropped_by_many_threads
 */
#include "harness.h"

#include <anysync/typed.h>

#include <errno.h>
#include <stdatomic.h>

ANYSYNC_COROUTINE(int, add_one, (int, n))
{
    *result = n + 1;
    return 0;
}

static void check_works(struct anysync_executor *executor)
{
    int sum = 0;

    CHECK_EQ(add_one_run_on(executor, &sum, 41), 0);
    CHECK_EQ(sum, 42);
}

/* A task that says it has begun, and waits for a gate. */
struct stage {
    struct anysync_future *begun;
    struct anysync_future *gate;
    int ended;
};

ANYSYNC_COROUTINE(void, hold, (struct stage *, stage))
{
    CHECK_EQ(anysync_future_set(stage->begun, NULL), 0);
    int error = anysync_future_wait(stage->gate, ANYSYNC_FOREVER);
    stage->ended++;
    return error;
}

/* A task of EXECUTOR that waits at STAGE's gate. */
static hold_future stage_open(struct stage *stage, struct anysync_executor *executor)
{
    hold_future held;

    stage->ended = 0;
    CHECK_EQ(anysync_future_new(0, &stage->begun), 0);
    CHECK_EQ(anysync_future_new(0, &stage->gate), 0);
    CHECK_EQ(hold_start_on(executor, &held, stage), 0);
    CHECK_EQ(anysync_future_wait(stage->begun, ANYSYNC_FOREVER), 0);
    return held;
}

static void stage_close(struct stage *stage)
{
    anysync_future_unref(stage->begun);
    anysync_future_unref(stage->gate);
}

static void check_refused(struct anysync_executor_options options, const char *which)
{
    struct anysync_executor *executor = NULL;

    CHECK_EQ(anysync_executor_new(&options, &executor), -EINVAL);
    CHECK(executor == NULL);
    CHECK_CONTAINS(anysync_last_error()->message, which);
    CHECK_EQ(anysync_configure(&options), -EINVAL);
    CHECK_CONTAINS(anysync_last_error()->message, which);
}

TEST(k1_options_out_of_range_are_refused)
{
    check_refused((struct anysync_executor_options){.spin_ns = -1}, "spin_ns");
    check_refused((struct anysync_executor_options){.spin_ns = 1000001}, "spin_ns");
    struct anysync_executor *executor;
    struct anysync_executor_options least = {.stack_size = 16 * 1024};

    check_refused((struct anysync_executor_options){.stack_size = 16 * 1024 - 1}, "stack_size");
    check_refused((struct anysync_executor_options){.stack_size = SIZE_MAX / 2}, "stack_size");
    check_refused((struct anysync_executor_options){.nested = (enum anysync_nested)3}, "nested");
    check_refused((struct anysync_executor_options){.spin = (enum anysync_spin)3}, "spin");
    CHECK_EQ(anysync_executor_new(&least, &executor), 0);
    anysync_executor_unref(executor);
    check_works(NULL);
}

ANYSYNC_COROUTINE(int, thread_name_is, (const char *, name))
{
    char line[64] = "";
    FILE *comm = fopen("/proc/thread-self/comm", "r");

    CHECK(comm != NULL);
    CHECK(fgets(line, sizeof(line), comm) != NULL);
    fclose(comm);
    line[strcspn(line, "\n")] = '\0';
    *result = strcmp(line, name) == 0;
    return 0;
}

ANYSYNC_COROUTINE(int, run_nested_in_it)
{
    return add_one_run(result, 1);
}

TEST(k1_options_shape_the_worker)
{
    struct anysync_executor_options options = {.name = "a-name-of-fifteen-or-more",
            .nested = ANYSYNC_NESTED_ERROR,
            .spin = ANYSYNC_SPIN_NEVER,
            .stack_size = 64 * 1024,
            .grace_ns = -1};
    struct anysync_executor *executor;
    int yes = 0;

    CHECK_EQ(anysync_executor_new(&options, &executor), 0);
    CHECK(anysync_executor_ref(executor) == executor);
    CHECK(anysync_executor_unref(executor) == NULL);
    memset(&options, 0x55, sizeof(options)); /* was borrowed for the call only */
    CHECK_EQ(thread_name_is_run_on(executor, &yes, "a-name-of-fifte"), 0);
    CHECK_EQ(yes, 1);
    CHECK_EQ(run_nested_in_it_run_on(executor, NULL), -EDEADLK);
    CHECK(anysync_executor_unref(executor) == NULL);
    CHECK(anysync_executor_unref(NULL) == NULL);
}

TEST(k1_unref_with_live_tasks_cancels_them)
{
    struct anysync_executor *executor;
    struct stage stage;

    CHECK_EQ(anysync_executor_new(NULL, &executor), 0);
    hold_future held = stage_open(&stage, executor);
    anysync_executor_unref(executor);
    CHECK_EQ(hold_wait(&held, ANYSYNC_FOREVER), -ECANCELED);
    CHECK_EQ(stage.ended, 1); /* it could clean up */
    hold_drop(&held);
    stage_close(&stage);
}

ANYSYNC_COROUTINE(void, drop_own_executor, (struct anysync_executor *, executor))
{
    anysync_executor_unref(executor);
    CHECK_EQ(anysync_sleep(anysync_in_ms(1)), -ECANCELED);
    return 0;
}

TEST(k1_the_last_unref_may_come_from_its_own_task)
{
    struct anysync_executor *executor;
    drop_own_executor_future future;

    CHECK_EQ(anysync_executor_new(NULL, &executor), 0);
    CHECK_EQ(drop_own_executor_start_on(executor, &future, executor), 0);
    CHECK_EQ(drop_own_executor_wait(&future, ANYSYNC_FOREVER), 0);
    drop_own_executor_drop(&future);
}

static struct anysync_stats stats_of(struct anysync_executor *executor)
{
    struct anysync_stats stats;

    memset(&stats, 0x55, sizeof(stats));
    anysync_executor_stats(executor, &stats);
    return stats;
}

TEST(k1_a_restart_leaves_the_tasks_of_before_alone)
{
    struct anysync_executor *executor;
    struct stage stage;
    size_t left = 0;

    CHECK_EQ(anysync_executor_new(NULL, &executor), 0);
    hold_future held = stage_open(&stage, executor);
    CHECK_EQ(anysync_executor_shutdown(executor, ANYSYNC_DRAIN, ANYSYNC_POLL, &left), -ETIMEDOUT);
    CHECK_EQ(left, 1);
    CHECK_EQ(anysync_executor_start(executor), 0);
    check_works(executor);
    CHECK_EQ(hold_wait(&held, ANYSYNC_POLL), -ETIMEDOUT);
    CHECK_EQ(stats_of(executor).live, 1);
    CHECK_EQ(anysync_executor_shutdown(executor, ANYSYNC_CANCEL, ANYSYNC_FOREVER, &left), 0);
    CHECK_EQ(left, 0);
    CHECK_EQ(hold_wait(&held, ANYSYNC_POLL), -ECANCELED); /* the one left behind is meant too */
    anysync_executor_unref(executor);
    hold_drop(&held);
    stage_close(&stage);
}

TEST(k1_stats_count_tasks_and_workers)
{
    struct anysync_executor *executor;
    struct stage stage;

    CHECK_EQ(anysync_executor_new(NULL, &executor), 0);
    CHECK_EQ(stats_of(executor).workers, 0);
    CHECK_EQ(stats_of(executor).worker_serial, 0); /* asking starts nothing */
    for (int i = 0; i < 5; i++)
        check_works(executor);
    CHECK_EQ(stats_of(executor).tasks, 5);
    CHECK_EQ(stats_of(executor).live, 0);
    CHECK_EQ(stats_of(executor).workers, 1);
    CHECK_GE(stats_of(executor).worker_serial, 1);
    CHECK_EQ(stats_of(NULL).workers, 0); /* the global one is another */
    hold_future held = stage_open(&stage, executor);
    CHECK_EQ(stats_of(executor).live, 1);
    CHECK_EQ(anysync_future_set(stage.gate, NULL), 0);
    CHECK_EQ(hold_wait(&held, ANYSYNC_FOREVER), 0);
    CHECK_EQ(stats_of(executor).live, 0);
    CHECK_EQ(anysync_executor_shutdown(executor, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    CHECK_EQ(stats_of(executor).worker_serial, 0);
    CHECK_EQ(anysync_executor_start(executor), 0);
    CHECK_EQ(stats_of(executor).workers, 2);
    hold_drop(&held);
    stage_close(&stage);
    anysync_executor_unref(executor);
}

TEST(k1_stats_outlive_a_shutdown)
{
    struct anysync_executor *executor;

    CHECK_EQ(anysync_executor_new(NULL, &executor), 0);
    check_works(executor);
    CHECK_EQ(anysync_executor_shutdown(executor, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    CHECK_EQ(stats_of(executor).tasks, 1);
    CHECK_EQ(anysync_executor_start(executor), 0);
    check_works(executor);
    CHECK_EQ(stats_of(executor).tasks, 2);
    anysync_executor_unref(executor);
}

TEST(k1_stats_are_nobody_elses)
{
    struct anysync_executor *executor;

    CHECK_EQ(anysync_executor_new(NULL, &executor), 0);
    check_works(executor);
    CHECK_EQ(anysync_executor_shutdown(executor, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    anysync_executor_unref(executor);
    CHECK_EQ(anysync_executor_new(NULL, &executor), 0);
    check_works(executor);
    CHECK_EQ(stats_of(executor).tasks, 1);
    anysync_executor_unref(executor);
}

TEST(k1_configure_holds_from_the_next_start)
{
    struct anysync_executor_options options = {.name = "configured"};
    int yes = 0;

    CHECK_EQ(anysync_configure(&options), 0);
    CHECK_EQ(thread_name_is_run(&yes, "configured"), 0);
    CHECK_EQ(yes, 1);
    options.name = "again";
    CHECK_EQ(anysync_configure(&options), -EBUSY);
    CHECK_CONTAINS(anysync_last_error()->message, "shutdown");
    CHECK_EQ(anysync_shutdown(ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    CHECK_EQ(anysync_configure(&options), 0);
    CHECK_EQ(anysync_executor_start(NULL), 0);
    CHECK_EQ(thread_name_is_run(&yes, "again"), 0);
    CHECK_EQ(yes, 1);
}

static void make_use_drop(void *argument, int index)
{
    long rounds = *(long *)argument;

    for (long i = 0; i < rounds; i++) {
        struct anysync_executor *executor;
        add_one_future future;
        CHECK_EQ(anysync_executor_new(NULL, &executor), 0);
        CHECK_EQ(add_one_start_on(executor, &future, index), 0);
        if (i % 2)
            anysync_executor_unref(executor);
        int error = add_one_wait(&future, NULL, ANYSYNC_FOREVER);
        CHECK(error == 0 || (error == -ECANCELED && i % 2));
        add_one_drop(&future);
        if (i % 2 == 0)
            anysync_executor_unref(executor);
    }
}

TEST(k1_stress_made_and_dropped_by_many_threads)
{
    long rounds = test_scaled(2000);

    test_together(4, make_use_drop, &rounds);
}
