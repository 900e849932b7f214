/* SPDX-License-Identifier: MIT */
/*
 * Scenes of what one loop or thread has for itself until another one comes: channels, and
 * generators between a consumer and the next.  (What a scene is: virtual.h.)
 */
#include "scenes.h"

#include <errno.h>

static void run(const struct anysync_function *function)
{
    VIRTUAL_CHECK(anysync_run(function, NULL, NULL, ANYSYNC_FOREVER) == 0);
}

/* --- channels that a loop has for itself ------------------------------------------------------ */

static struct anysync_channel *channel;

static int receive_body(void *argument, void *result)
{
    int item = 0;

    (void)argument;
    (void)result;
    int error = anysync_channel_recv(channel, &item, ANYSYNC_FOREVER);
    VIRTUAL_CHECK(error || item == 1);
    return error;
}

static int send_body(void *argument, void *result)
{
    int item = 1;

    (void)argument;
    (void)result;
    return anysync_channel_send(channel, &item, ANYSYNC_FOREVER);
}

static const struct anysync_function receiver = ANYSYNC_FUNCTION(receive, receive_body, 0, 0);
static const struct anysync_function sender = ANYSYNC_FUNCTION(send, send_body, 0, 0);

static int nothing_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    return 0;
}

static const struct anysync_function nothing = ANYSYNC_FUNCTION(nothing, nothing_body, 0, 0);

static int own_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    return anysync_channel_count(channel) == 0 ? 0 : -EIO;
}

static const struct anysync_function owner = ANYSYNC_FUNCTION(own, own_body, 0, 0);

/* A channel with ROOM that the worker has used before all others. */
static void open_channel(size_t room)
{
    scene_configure(ANYSYNC_FOREVER);
    VIRTUAL_CHECK(anysync_channel_new(room, sizeof(int), &channel) == 0);
    run(&owner);
}

static void close_channel(struct anysync_future *waiting)
{
    VIRTUAL_CHECK(anysync_channel_count(channel) == 0);
    VIRTUAL_CHECK(anysync_wait(waiting, NULL, ANYSYNC_FOREVER) == 0);
    anysync_future_unref(waiting);
    anysync_channel_unref(channel);
}

SCENE(channel_in_which_a_task_waits_is_used_by_a_thread, 1, 1)
{
    struct anysync_future *waiting;

    open_channel(0);
    VIRTUAL_CHECK(anysync_spawn(&receiver, NULL, &waiting) == 0);
    run(&nothing);
    VIRTUAL_CHECK(anysync_channel_count(channel) == 0);
    VIRTUAL_CHECK(send_body(NULL, NULL) == 0);
    close_channel(waiting);
}

SCENE(channel_in_which_tasks_met_is_used_by_a_thread, 1, 1)
{
    struct anysync_future *waiting;

    open_channel(0);
    VIRTUAL_CHECK(anysync_spawn(&receiver, NULL, &waiting) == 0);
    run(&sender);
    close_channel(waiting);
}

SCENE(channel_in_which_a_task_put_an_item_is_used_by_a_thread, 1, 1)
{
    struct anysync_future *waiting;

    open_channel(1);
    VIRTUAL_CHECK(anysync_spawn(&sender, NULL, &waiting) == 0);
    run(&nothing);
    VIRTUAL_CHECK(receive_body(NULL, NULL) == 0);
    close_channel(waiting);
}

/* --- generators that read ahead --------------------------------------------------------------- */

static struct anysync_generator *numbers;
static int taken;

static int count_body(struct anysync_generator *self, void *argument)
{
    int error = 0;

    (void)argument;
    for (int i = 1; i <= 4 && !error; i++)
        error = anysync_generator_yield(self, &i, NULL);
    return error;
}

static const struct anysync_generator_function counter =
        ANYSYNC_GENERATOR_FUNCTION(count, count_body, 0, sizeof(int), 0);

static void take_two(void *unused)
{
    (void)unused;
    for (int i = 0; i < 2; i++) {
        int item = 0;
        VIRTUAL_CHECK(anysync_generator_next(numbers, &item, ANYSYNC_FOREVER) == 0);
        VIRTUAL_CHECK(item == ++taken);
    }
}

SCENE(generator_read_ahead_is_handed_on, 1, 1)
{
    struct anysync_generator_options options = {.read_ahead = 2};

    scene_configure(ANYSYNC_FOREVER);
    VIRTUAL_CHECK(anysync_generator_new(&counter, NULL, &options, &numbers) == 0);
    take_two(NULL);
    virtual_join(virtual_start(take_two, NULL));
    anysync_generator_unref(numbers);
}

/* --- two consumers of a generator ------------------------------------------------------------- */

static struct anysync_future *asked, *let_go;
static int got; /* by the thread */

static int count_late_body(struct anysync_generator *self, void *argument)
{
    (void)anysync_future_set(asked, NULL);
    int error = anysync_future_wait(let_go, ANYSYNC_FOREVER);
    return error ? error : count_body(self, argument);
}

static const struct anysync_generator_function late_counter =
        ANYSYNC_GENERATOR_FUNCTION(count, count_late_body, 0, sizeof(int), 0);

static int take_beside_body(void *argument, void *result)
{
    int item = 0;

    (void)argument;
    (void)result;
    VIRTUAL_CHECK(anysync_future_wait(asked, ANYSYNC_FOREVER) == 0);
    int error = anysync_generator_next(numbers, &item, ANYSYNC_FOREVER);
    VIRTUAL_CHECK(error == -EBUSY || (error == 0 && (item == 1 || item == 2)));
    return 0;
}

static const struct anysync_function taker_beside = ANYSYNC_FUNCTION(take, take_beside_body, 0, 0);

static void let_it_go(void *unused)
{
    (void)unused;
    VIRTUAL_CHECK(anysync_future_set(let_go, NULL) == 0);
}

SCENE(consumer_leaves_a_generator_while_another_asks, 1, 1)
{
    struct anysync_future *beside;

    scene_configure(ANYSYNC_FOREVER);
    VIRTUAL_CHECK(anysync_future_new(0, &asked) == 0);
    VIRTUAL_CHECK(anysync_future_new(0, &let_go) == 0);
    VIRTUAL_CHECK(anysync_generator_new(&late_counter, NULL, NULL, &numbers) == 0);
    VIRTUAL_CHECK(anysync_spawn(&taker_beside, NULL, &beside) == 0);
    int setter = virtual_start(let_it_go, NULL);
    int error = anysync_generator_next(numbers, &got, anysync_in_ms(1));
    VIRTUAL_CHECK(error == -ETIMEDOUT || (error == 0 && got == 1));
    virtual_join(setter);
    error = anysync_wait(beside, NULL, anysync_in_ms(1)); /* it may never have begun */
    VIRTUAL_CHECK(error == 0 || error == -ETIMEDOUT);
    (void)anysync_future_set(asked, NULL);
    VIRTUAL_CHECK(anysync_wait(beside, NULL, ANYSYNC_FOREVER) == 0);
    anysync_generator_unref(numbers);
    anysync_future_unref(beside);
    anysync_future_unref(asked);
    anysync_future_unref(let_go);
}
