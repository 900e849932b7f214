/* SPDX-License-Identifier: MIT */
/*
 * Scenes in which the system fails: an allocation or the start of a thread is refused (any of
 * them, a few in all), or a sleep ends for no reason or by a signal.
 *
 * In each order a call that was refused says so with -ENOMEM or -EAGAIN and has done nothing, the
 * same call works when the system does again, and who sleeps takes no wake for what it waits for.
 */
#include "scenes.h"

#include <errno.h>

static struct anysync_future *future;
static int ran; /* tasks and jobs */

static bool is_refusal(int error)
{
    return error == -ENOMEM || error == -EAGAIN;
}

static int add_body(void *argument, void *result)
{
    ran++;
    *(int *)result = *(int *)argument + 1;
    return 0;
}

static const struct anysync_function adder =
        ANYSYNC_FUNCTION(add, add_body, sizeof(int), sizeof(int));
static const struct anysync_function job = {
        "job", __FILE__, __LINE__, add_body, sizeof(int), sizeof(int), 0, ANYSYNC_KIND_BLOCKING};

/* A call of ADDER in one of several ways; returns its code. */
typedef int call_fn(const int *argument, int *ret_result);

static int by_run(const int *argument, int *ret_result)
{
    return anysync_run(&adder, argument, ret_result, ANYSYNC_FOREVER);
}

static int by_run_here(const int *argument, int *ret_result)
{
    return anysync_run_here(&adder, argument, ret_result, ANYSYNC_FOREVER);
}

static int by_offload(const int *argument, int *ret_result)
{
    return anysync_offload(&job, argument, ret_result, NULL, ANYSYNC_FOREVER);
}

static int by_spawn(const int *argument, int *ret_result)
{
    struct anysync_future *task = NULL;
    int error = anysync_spawn(&adder, argument, &task);

    if (error) {
        VIRTUAL_CHECK(!task);
        return error;
    }
    while (anysync_future_wait(task, ANYSYNC_FOREVER) == -ENOMEM)
        ; /* no memory to wait with */
    error = anysync_future_result(task, ret_result);
    VIRTUAL_CHECK(error == 0 || is_refusal(error)); /* a stack that was not to be had */
    anysync_future_unref(task);
    return error;
}

static void call_while_refused(call_fn *call, int refusals)
{
    int argument = 41, result = 0;

    scene_configure(ANYSYNC_FOREVER);
    virtual_disturb(0, refusals);
    int error = call(&argument, &result);
    VIRTUAL_CHECK(error == 0 ? result == 42 && ran == 1 : result == 0 && ran == 0);
    VIRTUAL_CHECK(error == 0 || is_refusal(error));
    virtual_disturb(0, 0);
    ran = 0;
    VIRTUAL_CHECK(call(&argument, &result) == 0 && result == 42 && ran == 1);
    size_t left = 7;
    VIRTUAL_CHECK(anysync_shutdown(ANYSYNC_DRAIN, ANYSYNC_FOREVER, &left) == 0 && left == 0);
}

SCENE(refused_run, 1, 0)
{
    call_while_refused(by_run, 2);
}

SCENE(refused_run_here, 1, 1)
{
    call_while_refused(by_run_here, 3);
}

SCENE(refused_spawn, 1, 0)
{
    call_while_refused(by_spawn, 2);
}

SCENE(refused_offload, 2, 0)
{
    call_while_refused(by_offload, 2);
}

/* In a coroutine: each is refused or not, and nothing is left over of what was. */
static int count_body(struct anysync_generator *self, void *argument)
{
    int item = 42;

    (void)argument;
    ran++;
    return anysync_generator_yield(self, &item, NULL);
}

static const struct anysync_generator_function counter =
        ANYSYNC_GENERATOR_FUNCTION(count, count_body, 0, sizeof(int), 0);

static void ask_generator(void)
{
    struct anysync_generator_options options = {.read_ahead = (uint32_t)virtual_choose(2)};
    struct anysync_generator *generator = NULL;
    int item = 0;
    int error = anysync_generator_new(&counter, NULL, &options, &generator);

    if (!error) {
        error = anysync_generator_next(generator, &item, ANYSYNC_FOREVER);
        VIRTUAL_CHECK((error == 0) == (item == 42));
        anysync_generator_unref(generator);
    }
    VIRTUAL_CHECK(error == 0 ? ran == 1 : is_refusal(error));
}

static void use_group(void)
{
    struct anysync_group *group = NULL;
    struct anysync_future *child = NULL;
    int argument = 41, value = 0;
    int error = anysync_group_open(&group);

    if (error) {
        VIRTUAL_CHECK(is_refusal(error));
        return;
    }
    error = anysync_group_spawn(group, &adder, &argument, &child);
    VIRTUAL_CHECK(error == 0 || (is_refusal(error) && !child));
    int closed = anysync_group_close(group, 0, ANYSYNC_FOREVER);
    VIRTUAL_CHECK(closed == 0 || is_refusal(closed));
    VIRTUAL_CHECK((error || closed) ? ran == 0 : ran == 1);
    if (child && !closed)
        VIRTUAL_CHECK(anysync_slot_result(child, &value) == 0 && value == 42);
    anysync_future_unref(child);
}

static void await_it(void)
{
    int argument = 41, result = 0;
    int error = anysync_await(&adder, &argument, &result, ANYSYNC_FOREVER);

    VIRTUAL_CHECK(error == 0 ? result == 42 && ran == 1 : result == 0 && ran == 0);
    VIRTUAL_CHECK(error == 0 || is_refusal(error));
}

static void use_objects(void)
{
    struct anysync_channel *channel = NULL;
    struct anysync_limiter *limiter = NULL;
    struct anysync_future *timer = NULL;
    int error = anysync_channel_new(1, sizeof(int), &channel), item = 42, other = 0;

    VIRTUAL_CHECK(error == 0 || (is_refusal(error) && !channel));
    if (!error) {
        error = anysync_channel_send(channel, &item, ANYSYNC_FOREVER);
        VIRTUAL_CHECK(error == 0);
        error = anysync_channel_recv(channel, &other, ANYSYNC_FOREVER);
        VIRTUAL_CHECK(error == 0 && other == 42);
    }
    anysync_channel_unref(channel);
    error = anysync_limiter_new(1, &limiter);
    VIRTUAL_CHECK(error == 0 || (is_refusal(error) && !limiter));
    anysync_limiter_unref(limiter);
    error = anysync_future_at(anysync_in_us(1), &timer);
    VIRTUAL_CHECK(error == 0 || (is_refusal(error) && !timer));
    while (!error && anysync_wait(timer, NULL, ANYSYNC_FOREVER) == -ENOMEM)
        ;
    anysync_future_unref(timer);
}

static int director_body(void *argument, void *result)
{
    static void (*const uses[])(void) = {ask_generator, use_group, await_it, use_objects};

    (void)argument;
    (void)result;
    void (*use)(void) = uses[virtual_choose(4)];
    virtual_disturb(0, 2);
    use();
    virtual_disturb(0, 0);
    ran = 0;
    use();
    return 0;
}

static const struct anysync_function director = ANYSYNC_FUNCTION(director, director_body, 0, 0);

SCENE(refused_in_a_coroutine, 1, 0)
{
    scene_configure(ANYSYNC_FOREVER);
    VIRTUAL_CHECK(anysync_run(&director, NULL, NULL, ANYSYNC_FOREVER) == 0);
    size_t left = 7;
    VIRTUAL_CHECK(anysync_shutdown(ANYSYNC_DRAIN, ANYSYNC_FOREVER, &left) == 0 && left == 0);
}

static int calls;

static void on_done(struct anysync_future *of, void *argument)
{
    VIRTUAL_CHECK(of != NULL && argument == &calls);
    calls++;
    VIRTUAL_CHECK(anysync_future_set(future, NULL) == 0);
}

/* A callback that could not be registered is never called. */
SCENE(refused_callback, 2, 0)
{
    struct anysync_future *first;

    scene_configure(ANYSYNC_FOREVER);
    VIRTUAL_CHECK(anysync_future_new(0, &first) == 0);
    VIRTUAL_CHECK(anysync_future_new(0, &future) == 0);
    virtual_disturb(0, 2);
    int error = anysync_future_on_done(first, on_done, &calls);
    virtual_disturb(0, 0);
    VIRTUAL_CHECK(error == 0 || is_refusal(error));
    VIRTUAL_CHECK(anysync_future_set(first, NULL) == 0);
    if (!error)
        VIRTUAL_CHECK(anysync_future_wait(future, ANYSYNC_FOREVER) == 0);
    VIRTUAL_CHECK(anysync_shutdown(ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL) == 0);
    VIRTUAL_CHECK(calls == (error == 0));
    anysync_future_unref(first);
    anysync_future_unref(future);
}

/* --- sleeps that end for no reason ------------------------------------------------------------ */

static void set(void *unused)
{
    int value = 42;

    (void)unused;
    VIRTUAL_CHECK(anysync_future_set(future, &value) == 0);
    anysync_future_unref(future);
}

SCENE(interrupted_wait, 2, 1)
{
    int value = 0;

    scene_configure(ANYSYNC_FOREVER);
    virtual_disturb(3, 0);
    VIRTUAL_CHECK(anysync_future_new(sizeof(int), &future) == 0);
    anysync_future_ref(future);
    int setter = virtual_start(set, NULL);
    anysync_time deadline = virtual_choose(2) ? ANYSYNC_FOREVER : anysync_in_us(1);
    int error = anysync_wait(future, &value, deadline);
    VIRTUAL_CHECK(error == 0 ? value == 42 : error == -ETIMEDOUT && deadline != ANYSYNC_FOREVER);
    if (error)
        VIRTUAL_CHECK(anysync_now() >= deadline); /* a signal is no reason to be early */
    virtual_join(setter);
    anysync_future_unref(future);
}

SCENE(interrupted_run, 1, 0)
{
    int argument = 41, result = 0;

    scene_configure(ANYSYNC_FOREVER);
    virtual_disturb(3, 0);
    VIRTUAL_CHECK(by_run(&argument, &result) == 0 && result == 42 && ran == 1);
    VIRTUAL_CHECK(anysync_shutdown(ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL) == 0);
}

SCENE(interrupted_offload, 2, 0)
{
    int argument = 41, result = 0;

    scene_configure(ANYSYNC_FOREVER);
    virtual_disturb(3, 0);
    VIRTUAL_CHECK(by_offload(&argument, &result) == 0 && result == 42 && ran == 1);
}

static void sleep_a_while(void)
{
    anysync_time end = anysync_in_us(1);

    VIRTUAL_CHECK(anysync_sleep(end) == 0 && anysync_now() >= end);
}

static int sleep_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    sleep_a_while();
    return 0;
}

static const struct anysync_function sleeper = ANYSYNC_FUNCTION(sleeper, sleep_body, 0, 0);

SCENE(interrupted_sleep, 1, 0)
{
    scene_configure(ANYSYNC_FOREVER);
    virtual_disturb(3, 0);
    sleep_a_while();
    VIRTUAL_CHECK(anysync_run(&sleeper, NULL, NULL, ANYSYNC_FOREVER) == 0);
}

static struct anysync_limiter *limiter;
static int inside;

static void hold(void *unused)
{
    (void)unused;
    VIRTUAL_CHECK(anysync_limiter_acquire(limiter, ANYSYNC_FOREVER) == 0);
    VIRTUAL_CHECK(inside++ == 0);
    inside--;
    anysync_limiter_release(limiter);
}

SCENE(interrupted_limiter, 3, 1)
{
    scene_configure(ANYSYNC_FOREVER);
    virtual_disturb(2, 0);
    VIRTUAL_CHECK(anysync_limiter_new(1, &limiter) == 0);
    int other = virtual_start(hold, NULL);
    hold(NULL);
    virtual_join(other);
    anysync_limiter_unref(limiter);
}
