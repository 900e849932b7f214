/* SPDX-License-Identifier: MIT */
/*
 * Scenes of what is shared behind locks: contexts, the error hook, executors, limiters, the default
 * pool; also around a fork(), which takes all of these locks.  (What a scene is: virtual.h.)
 */
#include "scenes.h"

#include <errno.h>

static void run(const struct anysync_function *function, void *argument)
{
    VIRTUAL_CHECK(anysync_run(function, argument, NULL, ANYSYNC_FOREVER) == 0);
}

static void shut_down(struct anysync_executor *executor)
{
    size_t left = 7;

    VIRTUAL_CHECK(anysync_executor_shutdown(executor, ANYSYNC_DRAIN, ANYSYNC_FOREVER, &left) == 0);
    VIRTUAL_CHECK(left == 0);
}

/* --- contexts --------------------------------------------------------------------------------- */

static int dropped;

static void drop_color(const int *value)
{
    VIRTUAL_CHECK(*value > 0);
    dropped++;
}

ANYSYNC_VAR_DROP(int, color, 0, drop_color);

static struct anysync_context *context;

static int paint_body(void *argument, void *result)
{
    (void)result;
    VIRTUAL_CHECK(color_get() == 1);
    return color_set(*(int *)argument, NULL);
}

static const struct anysync_function painter = ANYSYNC_FUNCTION(paint, paint_body, sizeof(int), 0);

/* A task that takes its values from the context, and leaves them there. */
static void paint_in_context(void *unused)
{
    struct anysync_task *task;
    int value = 2;

    (void)unused;
    VIRTUAL_CHECK(anysync_task_new(&painter, &value, NULL, &task) == 0);
    VIRTUAL_CHECK(anysync_task_use_context(task, context) == 0);
    VIRTUAL_CHECK(anysync_task_run(task, NULL, ANYSYNC_FOREVER) == 0);
    anysync_task_unref(task);
    anysync_context_unref(context);
}

static void apply_context(void *unused)
{
    (void)unused;
    anysync_context_apply(context);
    VIRTUAL_CHECK(color_get() == 1 || color_get() == 2);
    anysync_context_unref(context);
}

static void capture(int value)
{
    VIRTUAL_CHECK(color_set(value, NULL) == 0);
    VIRTUAL_CHECK(anysync_context_capture(&context) == 0);
}

SCENE(context_is_applied_while_a_task_leaves_its_values, 2, 1)
{
    scene_configure(0);
    capture(1);
    anysync_context_ref(context);
    int painting = virtual_start(paint_in_context, NULL);
    int applying = virtual_start(apply_context, NULL);
    virtual_join(painting);
    virtual_join(applying);
    shut_down(NULL); /* the task is gone */
    VIRTUAL_CHECK(color_get() == 1 && dropped == 1);
}

static void drop_context(void *unused)
{
    (void)unused;
    anysync_context_unref(context);
}

/* The last one keeps it for the next capture, as new. */
SCENE(context_is_dropped_by_two_and_captured_again, 2, 1)
{
    struct anysync_context *again;

    scene_configure(0);
    capture(1);
    anysync_context_ref(context);
    int other = virtual_start(drop_context, NULL);
    drop_context(NULL);
    virtual_join(other);
    VIRTUAL_CHECK(anysync_context_capture(&again) == 0);
    anysync_context_ref(again);
    anysync_context_unref(again);
    anysync_context_apply(again);
    VIRTUAL_CHECK(color_get() == 1);
    anysync_context_unref(again);
}

/* --- the error hook --------------------------------------------------------------------------- */

static int heard;
static int hooks[2];

static void hear(const char *task, const struct anysync_error *error, void *hook)
{
    (void)task;
    VIRTUAL_CHECK(error->code == -EIO && error->message[0]);
    ++*(int *)hook;
    heard++;
}

static void hear_second(const char *task, const struct anysync_error *error, void *hook)
{
    VIRTUAL_CHECK(hook == &hooks[1]);
    hear(task, error, hook);
}

static int fail_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    return -EIO;
}

static const struct anysync_function failing = ANYSYNC_FUNCTION(fail, fail_body, 0, 0);

/* Nobody will ask how the task ended. */
static void fail_unseen(void *unused)
{
    (void)unused;
    VIRTUAL_CHECK(anysync_spawn(&failing, NULL, NULL) == 0);
}

SCENE(hook_is_changed_while_errors_are_told, 2, 1)
{
    scene_configure(0);
    anysync_set_error_hook(hear, &hooks[0]);
    int failer = virtual_start(fail_unseen, NULL);
    anysync_set_error_hook(hear_second, &hooks[1]);
    virtual_join(failer);
    shut_down(NULL);
    VIRTUAL_CHECK(heard == 1 && hooks[0] + hooks[1] == 1);
}

static int fail_in_group_body(void *argument, void *result)
{
    struct anysync_group *group;

    (void)argument;
    (void)result;
    VIRTUAL_CHECK(anysync_group_open(&group) == 0);
    int error = anysync_group_spawn(group, &failing, NULL, NULL);
    VIRTUAL_CHECK(anysync_group_close(group, error, ANYSYNC_FOREVER) == -EIO);
    return 0;
}

static int fail_late_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    return anysync_sleep(anysync_in_ms(1)) ? -EIO : 0;
}

static const struct anysync_function failing_in_group =
        ANYSYNC_FUNCTION(group, fail_in_group_body, 0, 0);
static const struct anysync_function failing_late = ANYSYNC_FUNCTION(late, fail_late_body, 0, 0);

SCENE(error_that_was_told_is_not_told_again, 1, 0)
{
    struct anysync_future *future;

    scene_configure(ANYSYNC_FOREVER);
    anysync_set_error_hook(hear, &hooks[0]);
    VIRTUAL_CHECK(anysync_spawn(&failing, NULL, &future) == 0);
    VIRTUAL_CHECK(anysync_wait(future, NULL, ANYSYNC_FOREVER) == -EIO);
    anysync_future_unref(future);
    run(&failing_in_group, NULL);
    int error = anysync_run(&failing_late, NULL, NULL, anysync_in_ns(1));
    VIRTUAL_CHECK(error == 0 || error == -ETIMEDOUT);
    shut_down(NULL);
    VIRTUAL_CHECK(heard == 0);
}

/* --- values of jobs --------------------------------------------------------------------------- */

static int add_body(void *argument, void *result)
{
    *(int *)result = *(int *)argument + 1;
    return 0;
}

static const struct anysync_function job = {
        "add", __FILE__, __LINE__, add_body, sizeof(int), sizeof(int), 0, ANYSYNC_KIND_BLOCKING};

static int values_dropped;

static void drop_value(void *value)
{
    VIRTUAL_CHECK(*(int *)value == 42);
    values_dropped++;
}

SCENE(value_of_a_job_is_taken_or_dropped, 1, 1)
{
    struct anysync_offload_options options = {.drop = drop_value};
    struct anysync_future *future;
    int argument = 41, result = 0;

    scene_configure(0);
    VIRTUAL_CHECK(anysync_offload_start(&job, &argument, &options, &future) == 0);
    int error = anysync_wait(future, &result, anysync_in_ms(1));
    VIRTUAL_CHECK(anysync_future_wait(future, ANYSYNC_FOREVER) == 0);
    anysync_future_unref(future);
    VIRTUAL_CHECK(error == 0 ? result == 42 : error == -ETIMEDOUT);
    VIRTUAL_CHECK(anysync_offload_start(&job, &argument, NULL, &future) == 0);
    VIRTUAL_CHECK(anysync_wait(future, &result, ANYSYNC_FOREVER) == 0 && result == 42);
    anysync_future_unref(future);
    if (error == 0)
        VIRTUAL_CHECK(values_dropped == 0);
}

/* --- executors -------------------------------------------------------------------------------- */

static struct anysync_executor *executor;
static int worked;

static int work_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    worked++;
    return anysync_yield();
}

static const struct anysync_function worker = ANYSYNC_FUNCTION(work, work_body, 0, 0);

static void open_executor(void)
{
    struct anysync_executor_options options = {
            .spin = ANYSYNC_SPIN_NEVER, .stack_size = 16384, .grace_ns = ANYSYNC_FOREVER};

    VIRTUAL_CHECK(anysync_executor_new(&options, &executor) == 0);
}

static void work_and_leave(void *unused)
{
    (void)unused;
    int error = anysync_run_on(executor, &worker, NULL, NULL, ANYSYNC_FOREVER);
    VIRTUAL_CHECK(error == 0 || error == -ESHUTDOWN);
    anysync_executor_unref(executor);
}

static void look_and_stop(void *unused)
{
    struct anysync_stats stats;

    (void)unused;
    anysync_executor_stats(executor, &stats);
    VIRTUAL_CHECK(stats.workers <= 1 && stats.live <= 1);
    shut_down(executor);
    anysync_executor_unref(executor);
}

SCENE(executor_is_looked_at_shut_down_and_freed, 1, 1)
{
    open_executor();
    anysync_executor_ref(executor);
    anysync_executor_ref(executor);
    int caller = virtual_start(work_and_leave, NULL);
    int ender = virtual_start(look_and_stop, NULL);
    look_and_stop(NULL);
    virtual_join(caller);
    virtual_join(ender);
}

SCENE(executor_stops_in_vain_and_works_on, 1, 0)
{
    size_t left = 7;

    open_executor();
    VIRTUAL_CHECK(anysync_executor_start(executor) == 0);
    VIRTUAL_CHECK(anysync_spawn_on(executor, &worker, NULL, NULL) == 0);
    int error = anysync_executor_shutdown(executor, ANYSYNC_DRAIN, anysync_in_ns(1), &left);
    VIRTUAL_CHECK((error == 0 && left == 0) || (error == -ETIMEDOUT && left <= 1));
    VIRTUAL_CHECK(anysync_executor_start(executor) == 0);
    VIRTUAL_CHECK(anysync_run_on(executor, &worker, NULL, NULL, ANYSYNC_FOREVER) == 0);
    shut_down(executor);
    VIRTUAL_CHECK(worked == 2);
    anysync_executor_unref(executor);
}

/* --- fork() ----------------------------------------------------------------------------------- */

static struct anysync_limiter *limiter;

ANYSYNC_VAR(int, shade, 0);

static void use_contexts(void)
{
    struct anysync_context *mine;

    VIRTUAL_CHECK(shade_set(5, NULL) == 0);
    VIRTUAL_CHECK(anysync_context_capture(&mine) == 0);
    anysync_context_apply(mine);
    VIRTUAL_CHECK(shade_get() == 5);
    anysync_context_unref(mine);
}

static void use_limiter(void)
{
    struct anysync_limiter_figures figures;

    VIRTUAL_CHECK(anysync_limiter_acquire(limiter, ANYSYNC_FOREVER) == 0);
    anysync_limiter_stats(limiter, &figures);
    VIRTUAL_CHECK(figures.borrowed > 0);
    anysync_limiter_release(limiter);
}

/* A coroutine that waits for one of another loop: an edge of the wait-for graph. */
static int reach_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    return anysync_run_on(executor, &worker, NULL, NULL, ANYSYNC_FOREVER);
}

static const struct anysync_function reacher = ANYSYNC_FUNCTION(reach, reach_body, 0, 0);

static void use_errors(void)
{
    int before = heard;

    anysync_set_error_hook(hear, &hooks[0]);
    fail_unseen(NULL);
    shut_down(NULL);
    VIRTUAL_CHECK(heard == before + 1);
    VIRTUAL_CHECK(anysync_executor_start(NULL) == 0);
}

static void open_all(void)
{
    scene_configure(ANYSYNC_FOREVER);
    open_executor();
    VIRTUAL_CHECK(anysync_limiter_new(1, &limiter) == 0);
}

/* A job that has a task run on the loop that it came from. */
static int back_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    return anysync_run_back(&worker, NULL, NULL, ANYSYNC_FOREVER);
}

static const struct anysync_function back = {
        "back", __FILE__, __LINE__, back_body, 0, 0, 0, ANYSYNC_KIND_BLOCKING};

static int offload_body(void *argument, void *result)
{
    struct anysync_offload_options options = {.limiter = limiter};

    (void)argument;
    (void)result;
    return anysync_offload(&back, NULL, NULL, &options, ANYSYNC_FOREVER);
}

static const struct anysync_function offloader = ANYSYNC_FUNCTION(offload, offload_body, 0, 0);

static void use_all(void)
{
    use_contexts();
    use_limiter();
    use_errors();
    run(&reacher, NULL);
    run(&offloader, NULL);
}

static void close_all(void)
{
    shut_down(executor);
    shut_down(NULL);
    anysync_executor_unref(executor);
    anysync_limiter_unref(limiter);
}

SCENE(all_locks_are_free_after_a_fork, 0, 0)
{
    open_all();
    use_all();
    virtual_fork(false);
    use_all();
    close_all();
}

SCENE(all_locks_are_free_in_a_child, 0, 0)
{
    open_all();
    use_contexts();
    run(&reacher, NULL);
    virtual_fork(true);
    use_all();
    close_all();
}

static void use_some(void *unused)
{
    (void)unused;
    use_contexts();
    use_limiter();
}

SCENE(thread_works_on_around_a_fork, 1, 1)
{
    open_all();
    use_some(NULL);
    int thread = virtual_start(use_some, NULL);
    virtual_fork(false);
    use_some(NULL);
    virtual_join(thread);
    close_all();
}

SCENE(child_works_without_the_thread, 1, 1)
{
    open_all();
    use_some(NULL);
    (void)virtual_start(use_some, NULL);
    virtual_fork(true);
    use_some(NULL);
    close_all();
}
