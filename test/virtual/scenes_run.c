/* SPDX-License-Identifier: MIT */
/*
 * Scenes of calls: a plain thread, the worker that its first call starts, and what comes between.
 * (What a scene is: virtual.h.)
 */
#include "scenes.h"

#include <errno.h>

static int ran, woke;   /* the worker's */
static int answered[2]; /* each caller's own */

enum { FIRST, SECOND };

static int add_one(void *argument, void *result)
{
    *(int *)result = *(int *)argument + 1;
    ran++;
    return 0;
}

static const struct anysync_function adder =
        ANYSYNC_FUNCTION(add_one, add_one, sizeof(int), sizeof(int));

static void call(void *who)
{
    int argument = 41, result = 0;

    int error = anysync_run(&adder, &argument, &result, ANYSYNC_FOREVER);
    VIRTUAL_CHECK((error == 0 && result == 42) || error == -ESHUTDOWN);
    answered[(size_t)who] = error == 0;
}

static void shut_down(void *unused)
{
    size_t left = 7;

    (void)unused;
    int error = anysync_executor_shutdown(NULL, ANYSYNC_DRAIN, ANYSYNC_FOREVER, &left);
    VIRTUAL_CHECK(error == 0 && left == 0);
}

SCENE(call_starts_the_worker, 2, 1)
{
    scene_configure(0);
    call((void *)FIRST);
    VIRTUAL_CHECK(ran == 1 && answered[FIRST]);
    shut_down(NULL);
}

SCENE(two_callers_one_worker, 2, 1)
{
    scene_configure(0);
    int second = virtual_start(call, (void *)SECOND);
    call((void *)FIRST);
    virtual_join(second);
    VIRTUAL_CHECK(ran == 2 && answered[FIRST] && answered[SECOND]);
}

SCENE(call_races_a_shutdown, 2, 1)
{
    scene_configure(0);
    int caller = virtual_start(call, (void *)FIRST);
    int ender = virtual_start(shut_down, NULL);
    virtual_join(caller);
    virtual_join(ender);
    VIRTUAL_CHECK(ran == answered[FIRST]);
}

static void start_again(void *unused)
{
    shut_down(unused);
    VIRTUAL_CHECK(anysync_executor_start(NULL) == 0);
}

SCENE(call_races_a_restart, 1, 1)
{
    scene_configure(0);
    VIRTUAL_CHECK(anysync_executor_start(NULL) == 0);
    int caller = virtual_start(call, (void *)SECOND);
    start_again(NULL);
    call((void *)FIRST);
    virtual_join(caller);
    VIRTUAL_CHECK(answered[FIRST] && ran == 1 + answered[SECOND]);
}

static int sleep_long(void *argument, void *result)
{
    (void)argument;
    (void)result;
    ran++;
    int error = anysync_sleep(anysync_in_ms(5));
    woke++;
    return error;
}

static const struct anysync_function sleeper = ANYSYNC_FUNCTION(sleep_long, sleep_long, 0, 0);

SCENE(call_with_a_deadline, 2, 0)
{
    scene_configure(ANYSYNC_FOREVER); /* it is never abandoned */
    int error = anysync_run(&sleeper, NULL, NULL, anysync_in_ms(3));
    VIRTUAL_CHECK(error == -ETIMEDOUT || error == 0);
    VIRTUAL_CHECK(ran == woke); /* what began came to its end before the call did */
}

static struct anysync_future *future;

static void cancel(void *unused)
{
    (void)unused;
    (void)anysync_cancel(future);
    anysync_future_unref(future);
}

SCENE(task_is_cancelled_at_any_time, 2, 1)
{
    scene_configure(ANYSYNC_FOREVER); /* it is never abandoned */
    VIRTUAL_CHECK(anysync_spawn(&sleeper, NULL, &future) == 0);
    anysync_future_ref(future);
    int canceller = virtual_start(cancel, NULL);
    int error = anysync_future_wait(future, ANYSYNC_FOREVER);
    VIRTUAL_CHECK(error == 0);
    error = anysync_future_result(future, NULL);
    VIRTUAL_CHECK(error == -ECANCELED || error == 0);
    VIRTUAL_CHECK(ran == woke);
    virtual_join(canceller);
    anysync_future_unref(future);
}

static int nest(void *argument, void *result)
{
    return anysync_run(&adder, argument, result, ANYSYNC_FOREVER);
}

static const struct anysync_function nester =
        ANYSYNC_FUNCTION(nest, nest, sizeof(int), sizeof(int));

SCENE(nested_call_has_a_thread_of_its_own, 2, 1)
{
    int argument = 41, result = 0;

    scene_configure(0);
    VIRTUAL_CHECK(anysync_run(&nester, &argument, &result, ANYSYNC_FOREVER) == 0);
    VIRTUAL_CHECK(result == 42);
    shut_down(NULL);
}

static int wait_for_it(void *argument, void *result)
{
    return anysync_wait(*(struct anysync_future **)argument, result, ANYSYNC_FOREVER);
}

static const struct anysync_function waiter =
        ANYSYNC_FUNCTION(wait_for_it, wait_for_it, sizeof(struct anysync_future *), sizeof(int));

static void set(void *unused)
{
    (void)unused;
    scene_set(future, 42);
}

SCENE(coroutine_waits_for_a_thread, 2, 1)
{
    int result = 0;

    scene_configure(0);
    VIRTUAL_CHECK(anysync_future_new(sizeof(int), &future) == 0);
    anysync_future_ref(future);
    int setter = virtual_start(set, NULL);
    VIRTUAL_CHECK(anysync_run(&waiter, &future, &result, ANYSYNC_FOREVER) == 0);
    VIRTUAL_CHECK(result == 42);
    virtual_join(setter);
    anysync_future_unref(future);
}
