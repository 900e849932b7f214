/* SPDX-License-Identifier: MIT */
/*
 * Scenes of what threads and coroutines share: channels, generators, limiters, groups, jobs,
 * callbacks.  (What a scene is: virtual.h.)
 */
#include "scenes.h"

#include <errno.h>

/* --- channels --------------------------------------------------------------------------------- */

enum { ITEMS = 2 };

static struct anysync_channel *channel;

static int send_all(void)
{
    for (int i = 1; i <= ITEMS; i++) {
        int error = anysync_channel_send(channel, &i, ANYSYNC_FOREVER);
        if (error)
            return error;
    }
    return 0;
}

static int receive_all(void)
{
    for (int i = 1; i <= ITEMS; i++) {
        int item = 0;
        int error = anysync_channel_recv(channel, &item, ANYSYNC_FOREVER);
        if (error)
            return error;
        VIRTUAL_CHECK(item == i);
    }
    return 0;
}

static void send_from_thread(void *unused)
{
    (void)unused;
    VIRTUAL_CHECK(send_all() == 0);
}

static int receive_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    return receive_all();
}

static const struct anysync_function receiver = ANYSYNC_FUNCTION(receive, receive_body, 0, 0);

SCENE(channel_between_threads, 2, 1)
{
    scene_configure(ANYSYNC_FOREVER);
    VIRTUAL_CHECK(anysync_channel_new(1, sizeof(int), &channel) == 0);
    int sender = virtual_start(send_from_thread, NULL);
    VIRTUAL_CHECK(receive_all() == 0);
    virtual_join(sender);
    anysync_channel_unref(channel);
}

SCENE(channel_from_a_thread_to_a_coroutine, 1, 1)
{
    scene_configure(ANYSYNC_FOREVER);
    VIRTUAL_CHECK(anysync_channel_new(1, sizeof(int), &channel) == 0);
    int sender = virtual_start(send_from_thread, NULL);
    VIRTUAL_CHECK(anysync_run(&receiver, NULL, NULL, ANYSYNC_FOREVER) == 0);
    virtual_join(sender);
    anysync_channel_unref(channel);
}

static int taken[2];

static void receive_some(void *who)
{
    int item = 0;

    for (;;) {
        int error = anysync_channel_recv(channel, &item, ANYSYNC_FOREVER);
        if (error) {
            VIRTUAL_CHECK(error == ANYSYNC_DONE);
            return;
        }
        taken[(size_t)who] += item;
    }
}

SCENE(channel_closes_after_all_was_received, 2, 1)
{
    scene_configure(ANYSYNC_FOREVER);
    VIRTUAL_CHECK(anysync_channel_new(1, sizeof(int), &channel) == 0);
    int first = virtual_start(receive_some, (void *)0);
    int second = virtual_start(receive_some, (void *)1);
    VIRTUAL_CHECK(send_all() == 0);
    anysync_channel_close(channel);
    virtual_join(first);
    virtual_join(second);
    VIRTUAL_CHECK(taken[0] + taken[1] == 3);
    anysync_channel_unref(channel);
}

SCENE(receive_times_out_or_takes, 2, 1)
{
    int item = 0;

    scene_configure(ANYSYNC_FOREVER);
    VIRTUAL_CHECK(anysync_channel_new(ITEMS, sizeof(int), &channel) == 0);
    int sender = virtual_start(send_from_thread, NULL);
    int error = anysync_channel_recv(channel, &item, anysync_in_ms(1));
    VIRTUAL_CHECK((error == -ETIMEDOUT && item == 0) || (error == 0 && item == 1));
    virtual_join(sender);
    VIRTUAL_CHECK(anysync_channel_count(channel) == (size_t)(ITEMS - item)); /* nothing is lost */
    anysync_channel_unref(channel);
}

/* --- generators ------------------------------------------------------------------------------- */

static int cleaned;

static int count_body(struct anysync_generator *self, void *argument)
{
    int error = 0;

    (void)argument;
    for (int i = 1; i <= ITEMS && !error; i++)
        error = anysync_generator_yield(self, &i, NULL);
    cleaned++;
    return error;
}

static const struct anysync_generator_function counter =
        ANYSYNC_GENERATOR_FUNCTION(count, count_body, 0, sizeof(int), 0);

static void iterate(uint32_t read_ahead)
{
    struct anysync_generator_options options = {.read_ahead = read_ahead};
    struct anysync_generator *generator;
    int item = 0;

    scene_configure(ANYSYNC_FOREVER);
    VIRTUAL_CHECK(anysync_generator_new(&counter, NULL, &options, &generator) == 0);
    for (int i = 1; i <= ITEMS; i++) {
        VIRTUAL_CHECK(anysync_generator_next(generator, &item, ANYSYNC_FOREVER) == 0);
        VIRTUAL_CHECK(item == i);
    }
    VIRTUAL_CHECK(anysync_generator_next(generator, &item, ANYSYNC_FOREVER) == ANYSYNC_DONE);
    VIRTUAL_CHECK(cleaned == 1);
    anysync_generator_unref(generator);
}

SCENE(generator_in_lock_step, 1, 1)
{
    iterate(0);
}

SCENE(generator_reads_ahead, 1, 1)
{
    iterate(1);
}

static struct anysync_generator *shared;

static void close_it(void *unused)
{
    (void)unused;
    int error = anysync_generator_close(shared, ANYSYNC_FOREVER);
    VIRTUAL_CHECK(error == 0 || error == -EBUSY);
}

SCENE(generator_is_closed_while_it_is_asked, 1, 1)
{
    int item = 0;

    scene_configure(ANYSYNC_FOREVER);
    VIRTUAL_CHECK(anysync_generator_new(&counter, NULL, NULL, &shared) == 0);
    int closer = virtual_start(close_it, NULL);
    int error = anysync_generator_next(shared, &item, ANYSYNC_FOREVER);
    VIRTUAL_CHECK((error == 0 && item == 1) || error == ANYSYNC_DONE || error == -EBUSY);
    virtual_join(closer);
    anysync_generator_unref(shared);
}

/* --- limiters --------------------------------------------------------------------------------- */

static struct anysync_limiter *limiter;
static int inside;

static void hold_token(void *unused)
{
    (void)unused;
    VIRTUAL_CHECK(anysync_limiter_acquire(limiter, ANYSYNC_FOREVER) == 0);
    VIRTUAL_CHECK(inside++ == 0);
    inside--;
    anysync_limiter_release(limiter);
}

SCENE(token_goes_round, 2, 1)
{
    scene_configure(ANYSYNC_FOREVER);
    VIRTUAL_CHECK(anysync_limiter_new(1, &limiter) == 0);
    int first = virtual_start(hold_token, NULL);
    int second = virtual_start(hold_token, NULL);
    hold_token(NULL);
    virtual_join(first);
    virtual_join(second);
    anysync_limiter_unref(limiter);
}

SCENE(token_comes_too_late_or_not, 2, 1)
{
    scene_configure(ANYSYNC_FOREVER);
    VIRTUAL_CHECK(anysync_limiter_new(1, &limiter) == 0);
    int holder = virtual_start(hold_token, NULL);
    int error = anysync_limiter_acquire(limiter, anysync_in_ms(1));
    VIRTUAL_CHECK(error == 0 || error == -ETIMEDOUT);
    if (error == 0) {
        VIRTUAL_CHECK(inside == 0);
        anysync_limiter_release(limiter);
    }
    virtual_join(holder);
    hold_token(NULL); /* it has come back */
    anysync_limiter_unref(limiter);
}

/* --- jobs ------------------------------------------------------------------------------------- */

static int add_body(void *argument, void *result)
{
    *(int *)result = *(int *)argument + 1;
    return 0;
}

static const struct anysync_function adder = {
        "add", __FILE__, __LINE__, add_body, sizeof(int), sizeof(int), 0, ANYSYNC_KIND_BLOCKING};

static int offload_body(void *argument, void *result)
{
    return anysync_offload(&adder, argument, result, NULL, ANYSYNC_FOREVER);
}

static const struct anysync_function offloader =
        ANYSYNC_FUNCTION(offload, offload_body, sizeof(int), sizeof(int));

SCENE(coroutine_offloads_a_job, 1, 1)
{
    int argument = 41, result = 0;

    scene_configure(ANYSYNC_FOREVER);
    VIRTUAL_CHECK(anysync_run(&offloader, &argument, &result, ANYSYNC_FOREVER) == 0);
    VIRTUAL_CHECK(result == 42);
}

SCENE(thread_waits_for_a_job_or_not, 1, 1)
{
    int argument = 41, result = 0;
    struct anysync_future *future;

    scene_configure(ANYSYNC_FOREVER);
    VIRTUAL_CHECK(anysync_offload_start(&adder, &argument, NULL, &future) == 0);
    int error = anysync_wait(future, &result, anysync_in_ms(1));
    VIRTUAL_CHECK((error == 0 && result == 42) || error == -ETIMEDOUT);
    VIRTUAL_CHECK(anysync_wait(future, &result, ANYSYNC_FOREVER) == 0 && result == 42);
    anysync_future_unref(future);
}

/* --- groups ----------------------------------------------------------------------------------- */

static struct anysync_group *group;
static int children;

static int child_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    int error = anysync_yield();
    children++;
    return error;
}

static const struct anysync_function child = ANYSYNC_FUNCTION(child, child_body, 0, 0);

static int group_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    int error = anysync_group_open(&group);
    for (int i = 0; i < 2 && !error; i++)
        error = anysync_group_spawn(group, &child, NULL, NULL);
    return anysync_group_close(group, error, ANYSYNC_FOREVER);
}

static const struct anysync_function grouper = ANYSYNC_FUNCTION(group, group_body, 0, 0);

SCENE(group_waits_for_its_children, 1, 1)
{
    scene_configure(ANYSYNC_FOREVER);
    VIRTUAL_CHECK(anysync_run(&grouper, NULL, NULL, ANYSYNC_FOREVER) == 0);
    VIRTUAL_CHECK(children == 2);
}

SCENE(group_is_cancelled_from_outside, 2, 0)
{
    struct anysync_future *future;

    scene_configure(ANYSYNC_FOREVER);
    VIRTUAL_CHECK(anysync_spawn(&grouper, NULL, &future) == 0);
    (void)anysync_cancel(future);
    int error = anysync_wait(future, NULL, ANYSYNC_FOREVER);
    VIRTUAL_CHECK(error == 0 ? children == 2 : error == -ECANCELED);
    anysync_future_unref(future);
}

/* --- callbacks -------------------------------------------------------------------------------- */

static struct anysync_future *watched, *called;

static void on_done(struct anysync_future *future, void *unused)
{
    int value = 0;

    (void)unused;
    VIRTUAL_CHECK(future == watched);
    VIRTUAL_CHECK(anysync_future_result(future, &value) == 0 && value == 42);
    VIRTUAL_CHECK(anysync_future_set(called, NULL) == 0);
}

static int watch_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    int error = anysync_future_on_done(watched, on_done, NULL);
    return error ? error : anysync_wait(called, NULL, ANYSYNC_FOREVER);
}

static const struct anysync_function watcher = ANYSYNC_FUNCTION(watch, watch_body, 0, 0);

static void set_watched(void *unused)
{
    (void)unused;
    scene_set(watched, 42);
}

SCENE(callback_is_called_on_its_loop, 2, 1)
{
    scene_configure(ANYSYNC_FOREVER);
    VIRTUAL_CHECK(anysync_future_new(sizeof(int), &watched) == 0);
    VIRTUAL_CHECK(anysync_future_new(0, &called) == 0);
    anysync_future_ref(watched);
    int setter = virtual_start(set_watched, NULL);
    VIRTUAL_CHECK(anysync_run(&watcher, NULL, NULL, ANYSYNC_FOREVER) == 0);
    virtual_join(setter);
    anysync_future_unref(watched);
    anysync_future_unref(called);
}
