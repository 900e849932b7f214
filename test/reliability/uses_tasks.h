/* SPDX-License-Identifier: MIT */
/*
 * Uses: tasks, futures, executors, jobs.  (What a use is: uses.h.)
 */
#ifndef TEST_RELIABILITY_USES_TASKS_H
#define TEST_RELIABILITY_USES_TASKS_H

#include "uses.h"

/* An error means that nothing ran. */
static int run_by(int (*run)(int *result, int a, int b))
{
    int before = count_of(&bodies_begun), value = -7;
    int error = step(run(&value, 40, 2));

    CHECK_EQ(value, error ? -7 : 42);
    CHECK_EQ(count_of(&bodies_begun), before + !error);
    return error;
}

static int use_call(void)
{
    return run_by(add);
}

static int use_run(void)
{
    return run_by(add_run);
}

static int use_here(void)
{
    return run_by(add_run_here);
}

static int use_await(void)
{
    return run_by(add_await);
}

static int use_job(void)
{
    return run_by(add_slowly);
}

static int run_offloaded(int *result, int a, int b)
{
    return add_slowly_offload(NULL, result, a, b);
}

static int use_offload(void)
{
    return run_by(run_offloaded);
}

static int run_on_own(int *result, int a, int b)
{
    struct anysync_executor_options options = {.name = "own", .stack_size = 64 << 10};
    struct anysync_executor *executor = NULL;
    int error = step(anysync_executor_new(&options, &executor));

    CHECK_EQ(executor != NULL, error == 0);
    if (error == 0)
        error = step(anysync_executor_start(executor));
    if (error == 0)
        error = step(add_run_on(executor, result, a, b));
    if (executor)
        surely_shut_down(executor, ANYSYNC_DRAIN);
    anysync_executor_unref(executor);
    return error;
}

static int use_executor(void)
{
    return run_by(run_on_own);
}

/* One executor that is shut down and started again, with a task in it each time. */
static int use_restart(void)
{
    struct anysync_executor *executor = NULL;
    int error = step(anysync_executor_new(NULL, &executor));

    for (int round = 0; !error && round < 3; round++) {
        stay_future stays;
        error = step(anysync_executor_start(executor));
        if (error == 0)
            error = step(stay_start_on(executor, &stays));
        if (error)
            break;
        surely_shut_down(executor, ANYSYNC_CANCEL);
        CHECK(anysync_future_done(stays.future));
        error = step_or(stay_wait(&stays, ANYSYNC_POLL), -ECANCELED);
        error = error == -ECANCELED ? 0 : error;
        stay_drop(&stays);
    }
    if (executor)
        surely_shut_down(executor, ANYSYNC_DRAIN);
    anysync_executor_unref(executor);
    return error;
}

/* The global executor ends with tasks in it, says so, and starts again. */
static int use_life(void)
{
    stay_future stays;
    int value = -7;
    int error = step(stay_start_on(NULL, &stays));

    surely_shut_down(NULL, ANYSYNC_CANCEL);
    if (error == 0) {
        CHECK(anysync_future_done(stays.future));
        int refused = step_or(add_run(&value, 40, 2), -ESHUTDOWN);
        CHECK_NE(refused, 0);
    }
    if (stays.future)
        error = either(error, step_or(stay_wait(&stays, ANYSYNC_POLL), -ECANCELED));
    stay_drop(&stays);
    error = error == -ECANCELED ? 0 : error;
    int started = step(anysync_executor_start(NULL));
    if (started) { /* else it refuses for good, as it has been shut down */
        have_mercy();
        CHECK_EQ(anysync_executor_start(NULL), 0);
    }
    return either(error, started);
}

static int use_spawn(void)
{
    add_future soon[3] = {{NULL}, {NULL}, {NULL}};
    int error = 0;

    for (int i = 0; i < 3 && error == 0; i++) {
        error = step(add_start(&soon[i], i, 1));
        CHECK_EQ(soon[i].future != NULL, error == 0);
    }
    for (int i = 0; i < 3; i++)
        error = either(error, collect_add(&soon[i], i + 1));
    return error;
}

/* More stacks than a slab has, all in use at once. */
static int use_many(void)
{
    enum { MANY = 80 };
    add_future soon[MANY] = {{NULL}};
    int error = 0;

    for (int i = 0; i < MANY && error == 0; i++)
        error = step(add_start(&soon[i], i, 1));
    for (int i = 0; i < MANY; i++)
        error = either(error, collect_add(&soon[i], i + 1));
    return error;
}

static int use_cancel(void)
{
    stay_future stays;
    int error = step(stay_start(&stays));

    if (error == 0) {
        error = anysync_cancel_because(stays.future, "it is enough");
        CHECK(error == 0 || error == ANYSYNC_DONE); /* it may have failed: no stack */
        surely_wait(stays.future);
        error = step_or(stay_wait(&stays, ANYSYNC_POLL), -ECANCELED);
        CHECK_NE(error, 0);
    }
    stay_drop(&stays);
    return error == -ECANCELED ? 0 : error;
}

static int use_timeout(void)
{
    int error = step_or(stay_run_until(anysync_in_us(300)), -ETIMEDOUT);

    CHECK_NE(error, 0);
    return error == -ETIMEDOUT ? 0 : error;
}

ANYSYNC_VAR(int, number, 3);

ANYSYNC_COROUTINE(int, change_number)
{
    begins();
    *result = number_get();
    int error = step(number_set(*result + 1, NULL));
    return ends(error);
}

/* A task object with a name and a context of its own. */
static int use_task(void)
{
    struct anysync_context *context = NULL;
    struct anysync_task *task = NULL;
    int value = -7, before = number_get();
    int error = step(anysync_task_new(&change_number_function, NULL, "copied", &task));

    if (error == 0)
        error = step(anysync_context_capture(&context));
    if (error == 0)
        error = step(anysync_task_use_context(task, context));
    if (error == 0) {
        error = step(anysync_task_run(task, &value, ANYSYNC_FOREVER));
        CHECK_EQ(value, error ? -7 : before);
        CHECK_EQ(anysync_task_run(task, &value, ANYSYNC_FOREVER), -EALREADY);
    }
    if (error == 0) {
        anysync_context_apply(context);
        CHECK_EQ(number_get(), before + 1);
    }
    anysync_task_unref(task);
    anysync_context_unref(context);
    return error;
}

static int use_vars(void)
{
    struct anysync_token token;
    int value = -7, before = number_get();
    int error = step(number_set(11, &token));

    CHECK_EQ(number_get(), error ? before : 11);
    if (error)
        return error;
    error = step(change_number_run(&value));
    CHECK_EQ(value, error ? -7 : 11);
    CHECK_EQ(number_get(), 11); /* what the task set is the task's */
    int undone = step(anysync_var_reset(&token));
    CHECK_EQ(number_get(), undone ? 11 : before);
    anysync_token_drop(&token);
    return either(error, undone);
}

/* More futures than a wait has room for without memory. */
static int use_futures(void)
{
    enum { MANY = 20 };
    struct anysync_future *futures[MANY] = {NULL};
    size_t index = MANY;
    int error = 0;

    for (int i = 0; i < MANY && error == 0; i++)
        futures[i] = some_gate(&error);
    if (error == 0) {
        error = step_or(anysync_wait_any(futures, MANY, anysync_in_us(100), &index), -ETIMEDOUT);
        CHECK_NE(error, 0);
        error = error == -ETIMEDOUT ? 0 : error;
    }
    if (error == 0) {
        CHECK_EQ(anysync_future_set(futures[7], NULL), 0);
        error = step(anysync_wait_any(futures, MANY, ANYSYNC_FOREVER, &index));
        CHECK_EQ(index, error ? MANY : 7);
        CHECK_EQ(anysync_future_fail(futures[3], -EPROTO, "%s", "by hand"), 0);
        CHECK_EQ(anysync_future_result(futures[3], NULL), -EPROTO);
        CHECK_EQ(anysync_future_set_from_signal(futures[4], NULL), 0);
        CHECK_EQ(anysync_cancel(futures[5]), 0);
    }
    for (int i = 0; i < MANY && futures[i]; i++)
        (void)anysync_future_set(futures[i], NULL);
    if (error == 0)
        error = step(anysync_wait_all(futures, MANY, ANYSYNC_FOREVER));
    for (int i = 0; i < MANY; i++)
        anysync_future_unref(futures[i]);
    return error;
}

ANYSYNC_COROUTINE(int, nest, (int, depth))
{
    begins();
    int error = depth > 0 ? step(nest_run(result, depth - 1)) : step(add_run(result, 40, 2));
    return ends(error);
}

static int use_nested(void)
{
    int value = -7;
    int error = step(nest_run(&value, 4));

    CHECK_EQ(value, error ? -7 : 42);
    return error;
}

struct knot {
    struct anysync_future *gate;
    struct anysync_future *waits_for[2];
    atomic_int refused; /* waits that would have been for ever */
};

ANYSYNC_COROUTINE(void, wait_for_other, (struct knot *, knot), (int, i))
{
    begins();
    surely_wait(knot->gate);
    int error = 0, tries = 0;
    while (knot->waits_for[i]) {
        error = step_or(anysync_future_wait(knot->waits_for[i], ANYSYNC_FOREVER), -EDEADLK);
        if (error == 0 || error == -EDEADLK)
            break;
        count_try(&tries);
    }
    atomic_fetch_add(&knot->refused, error == -EDEADLK);
    return ends(0);
}

static int tie_knot(struct anysync_executor *other)
{
    struct knot knot = {.refused = 0};
    wait_for_other_future soon[2] = {{NULL}, {NULL}};
    int error;

    knot.gate = some_gate(&error);
    for (int i = 0; i < 2 && error == 0; i++)
        error = step(wait_for_other_start_on(i ? other : NULL, &soon[i], &knot, i));
    if (error == 0) {
        knot.waits_for[0] = soon[1].future;
        knot.waits_for[1] = soon[0].future;
    }
    if (knot.gate)
        CHECK_EQ(anysync_future_set(knot.gate, NULL), 0);
    for (int i = 0; i < 2; i++) {
        if (!soon[i].future)
            continue;
        surely_wait(soon[i].future);
        error = either(error, step(wait_for_other_wait(&soon[i], ANYSYNC_POLL)));
    }
    CHECK(error || atomic_load(&knot.refused) >= 1);
    for (int i = 0; i < 2; i++)
        wait_for_other_drop(&soon[i]);
    anysync_future_unref(knot.gate);
    return error;
}

static int use_deadlock(void)
{
    struct anysync_executor *executor = NULL;
    int error = tie_knot(NULL);

    if (error == 0)
        error = step(anysync_executor_new(NULL, &executor));
    if (error == 0)
        error = tie_knot(executor);
    if (executor)
        surely_shut_down(executor, ANYSYNC_DRAIN);
    anysync_executor_unref(executor);
    return error;
}

ANYSYNC_COROUTINE(int, leave, (int, n))
{
    begins();
    int error = step(anysync_sleep(anysync_in_us(20)));
    *result = n;
    anysync_exit(ends(error));
}

static int use_exit(void)
{
    int value = -7;
    int error = step(leave_run(&value, 42));

    CHECK_EQ(value, error ? -7 : 42);
    return error;
}

static const char long_text[] = "a sentence that is so long that it needs memory of its own, and "
                                "more than that, for it goes on and on and on";

ANYSYNC_COROUTINE(void, break_down, (int, depth))
{
    begins();
    if (depth > 0)
        return ends(anysync_in_coroutine() ? break_down_await(depth - 1) : -EINVAL);
    return ends(anysync_fail(-EPROTO, "%s", long_text));
}

/* An error with its chain: the code is never lost. */
static int use_errors(void)
{
    char text[2048];
    break_down_future soon;
    int error = step_or(break_down_run(3), -EPROTO);

    CHECK_NE(error, 0);
    const struct anysync_error *last = anysync_last_error();
    CHECK_EQ(last->code, error);
    CHECK(error != -EPROTO || strcmp(last->message, long_text) == 0 ||
            strcmp(last->message, anysync_error_text(-EPROTO)) == 0);
    CHECK_GE(anysync_error_format(last, text, sizeof(text)), 1);
    if (error == -EPROTO)
        error = step(break_down_start(&soon, 1));
    else
        return error;
    break_down_drop(&soon); /* nobody looks: the error hook hears of it */
    return error;
}

static int drops;

static void note_drop(void *value)
{
    CHECK_EQ(*(int *)value, 42);
    drops++;
}

/* A limiter and a pool of one's own; values that nobody took are dropped. */
static int use_pool(void)
{
    struct anysync_offload_options options = {.drop = note_drop};
    add_slowly_future soon = {NULL};
    int value = -7;
    int error = step(anysync_limiter_new(1, &options.limiter));

    if (error == 0)
        error = step(anysync_pool_new(NULL, &options.pool));
    if (error == 0) {
        error = step(add_slowly_start_with(&options, &soon, 40, 2));
        CHECK_EQ(soon.future != NULL, error == 0);
    }
    if (error == 0)
        error = step(add_slowly_offload(&options, &value, 40, 3));
    CHECK_EQ(value, error ? -7 : 43);
    if (soon.future) {
        surely_wait(soon.future);
        int before = drops;
        int ended = step(add_slowly_wait(&soon, NULL, ANYSYNC_POLL));
        add_slowly_drop(&soon);
        CHECK(ended || drops <= before + 1);
        error = either(error, ended);
    }
    anysync_limiter_unref(options.limiter);
    anysync_pool_unref(options.pool);
    return error;
}

ANYSYNC_BLOCKING(int, come_back)
{
    begins();
    int before = number_get();
    int error = step(add_run_back_or_here(result, 40, 2));
    CHECK_EQ(number_get(), before);
    return ends(error);
}

static int use_run_back(void)
{
    int value = -7;
    int error = step(come_back_offload(NULL, &value));

    CHECK_EQ(value, error ? -7 : 42);
    return error;
}

static int use_small_things(void)
{
    struct anysync_stats stats;
    struct anysync_pool_figures figures;
    int error = step_or(anysync_configure(&(struct anysync_executor_options){0}), -EBUSY);

    anysync_executor_stats(NULL, &stats);
    anysync_pool_stats(NULL, &figures);
    anysync_trim();
    CHECK_GE(anysync_thread_serial(), 1);
    CHECK_EQ(anysync_yield(), 0);
    CHECK_EQ(anysync_check_cancelled(), 0);
    CHECK_EQ(anysync_sleep(anysync_in_us(10)), 0);
    return error == -EBUSY ? 0 : error;
}

#endif
