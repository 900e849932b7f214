/* SPDX-License-Identifier: MIT */
/*
 * Scenes after which as much memory is in use as before: whatever the order, nothing is lost.  What
 * the library keeps for the next time it has after a first, calm, time.  (What a scene is:
 * virtual.h.)
 */
#include "scenes.h"

#include <errno.h>

enum { PATIENCE = 8 };

/* (The next wait frees links that were left behind.) */
static void wait_in_vain(void)
{
    struct anysync_future *future;

    VIRTUAL_CHECK(anysync_future_new(0, &future) == 0);
    VIRTUAL_CHECK(anysync_future_wait(future, anysync_in_ns(1)) == -ETIMEDOUT);
    anysync_future_unref(future);
}

/* Those who are about to let go of something do. */
static void let_others_go(void)
{
    for (int i = 0; i < PATIENCE; i++)
        VIRTUAL_CHECK(anysync_yield() == 0);
    wait_in_vain();
}

/* PIECE once with its threads one after the other (CALM), and then as they come. */
static void twice(void (*piece)(bool calm))
{
    scene_configure(0);
    piece(true);
    let_others_go();
    size_t before = virtual_in_use();
    piece(false);
    let_others_go();
    VIRTUAL_CHECK(virtual_in_use() == before);
}

/* Start a thread; if it is to be CALM it ends before this returns. */
static int start(void (*function)(void *argument), void *argument, bool calm)
{
    int thread = virtual_start(function, argument);

    if (calm)
        virtual_join(thread);
    return thread;
}

static void finish(int thread, bool calm)
{
    if (!calm)
        virtual_join(thread);
}

static void shut_down(struct anysync_executor *executor)
{
    VIRTUAL_CHECK(anysync_executor_shutdown(executor, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL) == 0);
}

/* --- waits ------------------------------------------------------------------------------------ */

enum { SOME = 2, MANY = 10 };

static struct anysync_future *futures[MANY];

static void open_futures(size_t count)
{
    for (size_t i = 0; i < count; i++)
        VIRTUAL_CHECK(anysync_future_new(0, &futures[i]) == 0);
}

static void drop_futures(size_t count)
{
    for (size_t i = 0; i < count; i++)
        anysync_future_unref(futures[i]);
}

static void set_first(void *unused)
{
    (void)unused;
    VIRTUAL_CHECK(anysync_future_set(futures[0], NULL) == 0);
}

static void wait_for_one(size_t count, bool calm)
{
    size_t index = 7;

    open_futures(count);
    int setter = start(set_first, NULL, calm);
    int error = anysync_wait_any(futures, count, anysync_in_ms(1), &index);
    VIRTUAL_CHECK((error == 0 && index == 0) || error == -ETIMEDOUT);
    finish(setter, calm);
    drop_futures(count);
}

static void wait_for_one_of_some(bool calm)
{
    wait_for_one(SOME, calm);
}

static void wait_for_one_of_many(bool calm)
{
    wait_for_one(MANY, calm);
}

SCENE(wait_for_one_of_some_loses_nothing, 2, 1)
{
    twice(wait_for_one_of_some);
}

SCENE(wait_for_one_of_many_loses_nothing, 1, 0)
{
    twice(wait_for_one_of_many);
}

/* --- tasks ------------------------------------------------------------------------------------ */

static int yield_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    return anysync_yield();
}

static const struct anysync_function yielder = ANYSYNC_FUNCTION(yield, yield_body, 0, 0);

static void spawn_and_cancel(void *unused)
{
    struct anysync_future *future;

    (void)unused;
    int error = anysync_spawn(&yielder, NULL, &future);
    if (error)
        return;
    error = anysync_cancel(future);
    VIRTUAL_CHECK(error == 0 || error == ANYSYNC_DONE);
    anysync_future_unref(future);
}

static void cancel_near_the_end(bool calm)
{
    int caller = start(spawn_and_cancel, NULL, calm);
    VIRTUAL_CHECK(anysync_executor_start(NULL) == 0);
    shut_down(NULL);
    finish(caller, calm);
    VIRTUAL_CHECK(anysync_executor_start(NULL) == 0);
    shut_down(NULL);
}

SCENE(cancel_near_the_end_of_its_loop_loses_nothing, 1, 0)
{
    twice(cancel_near_the_end);
}

/* --- walks of the wait-for graph -------------------------------------------------------------- */

static struct anysync_executor *other;
static struct anysync_future *end;

static int wait_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    return anysync_future_wait(end, ANYSYNC_FOREVER);
}

static const struct anysync_function waiter = ANYSYNC_FUNCTION(wait, wait_body, 0, 0);

static void run_waiter(void *unused)
{
    (void)unused;
    VIRTUAL_CHECK(anysync_run(&waiter, NULL, NULL, ANYSYNC_FOREVER) == 0);
}

/* What is asked of a loop may come when it has ended. */
static void ask_a_loop_that_ends(bool calm)
{
    VIRTUAL_CHECK(anysync_executor_start(other) == 0);
    VIRTUAL_CHECK(anysync_executor_start(NULL) == 0);
    VIRTUAL_CHECK(anysync_spawn_on(other, &yielder, NULL, &end) == 0);
    int caller = start(run_waiter, NULL, calm);
    shut_down(other);
    finish(caller, calm);
    shut_down(NULL);
    anysync_future_unref(end);
}

SCENE(walk_to_a_loop_that_ends_loses_nothing, 1, 0)
{
    struct anysync_executor_options options = {
            .spin = ANYSYNC_SPIN_NEVER, .stack_size = 16384, .grace_ns = ANYSYNC_FOREVER};

    VIRTUAL_CHECK(anysync_executor_new(&options, &other) == 0);
    twice(ask_a_loop_that_ends);
}

/* --- limiters --------------------------------------------------------------------------------- */

static int work_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    return 0;
}

static const struct anysync_function job = {
        "work", __FILE__, __LINE__, work_body, 0, 0, 0, ANYSYNC_KIND_BLOCKING};

static void use_limiter(bool calm)
{
    struct anysync_offload_options options = {0};
    struct anysync_future *future;

    VIRTUAL_CHECK(anysync_limiter_new(1, &options.limiter) == 0);
    VIRTUAL_CHECK(anysync_pool_new(NULL, &options.pool) == 0);
    VIRTUAL_CHECK(anysync_offload_start(&job, NULL, &options, &future) == 0);
    anysync_limiter_unref(options.limiter);
    if (calm)
        VIRTUAL_CHECK(anysync_future_wait(future, ANYSYNC_FOREVER) == 0);
    anysync_future_unref(future);
    anysync_pool_unref(options.pool); /* its thread ends */
}

SCENE(limiter_goes_with_its_last_job, 1, 0)
{
    twice(use_limiter);
}

static int take_body(void *argument, void *result)
{
    (void)result;
    return anysync_limiter_acquire(*(struct anysync_limiter **)argument, ANYSYNC_FOREVER);
}

static const struct anysync_function taker =
        ANYSYNC_FUNCTION(take, take_body, sizeof(struct anysync_limiter *), 0);

/* FUNCTION with a limiter of one token, which goes then. */
static void run_with_token(const struct anysync_function *function)
{
    struct anysync_limiter *limiter;

    VIRTUAL_CHECK(anysync_limiter_new(1, &limiter) == 0);
    VIRTUAL_CHECK(anysync_run(function, &limiter, NULL, ANYSYNC_FOREVER) == 0);
    anysync_limiter_unref(limiter);
}

static void keep_token(bool calm)
{
    (void)calm;
    run_with_token(&taker);
}

SCENE(token_that_was_kept_goes_with_its_limiter, 0, 0)
{
    twice(keep_token);
}

static int borrow_body(void *argument, void *result)
{
    int error = take_body(argument, result);

    if (!error)
        anysync_limiter_release(*(struct anysync_limiter **)argument);
    return error;
}

static const struct anysync_function borrower =
        ANYSYNC_FUNCTION(borrow, borrow_body, sizeof(struct anysync_limiter *), 0);

static void give_token_back(bool calm)
{
    (void)calm;
    run_with_token(&borrower);
}

SCENE(token_that_is_given_back_leaves_nothing, 0, 0)
{
    twice(give_token_back);
}
