/* SPDX-License-Identifier: MIT */
/*
 * A deadline at each tick of the clock, for each call that waits (scenes_calls.h).
 *
 * The caller's deadline is so many ticks away when it makes the call: each look at the clock is a
 * tick, so it passes before the call, within it, or after it.  Besides, who sleeps may be late.
 * The deadline is the call's own, or that of the scope around it; the caller is a coroutine on a
 * loop of thread 0, or that thread itself.  Thread 1 feeds.
 *
 * In each order: the call brings what it waited for, or -ETIMEDOUT and nothing of it, which
 * comes no earlier than the deadline; who waits without one is served; nothing is lost.
 */
#include "scenes_calls.h"

enum { TICKS = 16 };

enum whose { OF_THE_CALL, OF_THE_SCOPE, OF_A_THREAD };

static const struct scene_call *call;
static enum whose whose;
static unsigned ticks;
static struct anysync_future *second;
static int feeder;

static void limited_call(void)
{
    struct anysync_scope scope;
    anysync_time deadline = anysync_now() + ticks;
    int error;

    if (whose == OF_THE_SCOPE) {
        anysync_scope_enter(&scope, deadline);
        error = call->call(ANYSYNC_FOREVER);
        VIRTUAL_CHECK(error == 0 || error == -ECANCELED);
        error = anysync_scope_exit(&scope, error);
    } else {
        error = call->call(deadline);
    }
    VIRTUAL_CHECK(error == 0 || error == -ETIMEDOUT);
    if (error)
        VIRTUAL_CHECK(anysync_now() > deadline);
    VIRTUAL_CHECK(anysync_check_cancelled() == 0);
}

static int second_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    return call->call(ANYSYNC_FOREVER);
}

static const struct anysync_function second_function = ANYSYNC_FUNCTION(second, second_body, 0, 0);

static int direct(void *argument, void *result)
{
    (void)argument;
    (void)result;
    scene_configure_here();
    if (call->callers == 2)
        VIRTUAL_CHECK(anysync_spawn(&second_function, NULL, &second) == 0);
    limited_call();
    if (second)
        VIRTUAL_CHECK(anysync_wait(second, NULL, ANYSYNC_FOREVER) == 0);
    if (call->settle)
        call->settle();
    return 0;
}

static const struct anysync_function director = ANYSYNC_FUNCTION(director, direct, 0, 0);

static void feed(void *unused)
{
    (void)unused;
    call->feed();
}

static void second_thread(void *unused)
{
    (void)unused;
    VIRTUAL_CHECK(call->call(ANYSYNC_FOREVER) == 0);
}

static void run_on_a_thread(void)
{
    int other = call->callers == 2 ? virtual_start(second_thread, NULL) : 0;

    limited_call();
    if (other)
        virtual_join(other);
    if (call->settle)
        call->settle();
}

static void limit(const struct scene_call *which)
{
    call = which;
    if (call->endless)
        whose = OF_THE_SCOPE;
    else
        whose = virtual_choose(call->coroutine ? 2 : 3);
    ticks = virtual_choose(TICKS);
    scene_configure(ANYSYNC_FOREVER);
    if (call->open)
        call->open();
    feeder = call->feed ? virtual_start(feed, NULL) : 0;
    if (whose == OF_A_THREAD)
        run_on_a_thread();
    else
        VIRTUAL_CHECK(anysync_run_here(&director, NULL, NULL, ANYSYNC_FOREVER) == 0);
    if (feeder)
        virtual_join(feeder);
    anysync_future_unref(second);
    if (call->close)
        call->close();
}

#define DEADLINE_SCENE(name)                                                                       \
    SCENE(deadline_of_##name, 1, 0)                                                                \
    {                                                                                              \
        limit(&scene_call_##name);                                                                 \
    }
SCENE_CALLS(DEADLINE_SCENE)
