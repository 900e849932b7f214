/* SPDX-License-Identifier: MIT */
/*
 * Contract C5: a cancel, and a deadline, at each suspension point of each call that waits
 * (test/cancel_points.h).
 *
 * Promised                                       Tested by
 *   no leak, no lost wake-up, no stuck waiter      c5_each_call_can_be_cut_at_each_of_its_points
 *   the points are counted and met                 c5_the_points_are_met
 *
 * A new call is one function, and one line in `calls`; those of objects that threads share, of
 * input and output, and of the system are in test/cancel_calls.h.
 */
#include "cancel_calls.h"

static int in_sleep(struct point_scene *scene)
{
    (void)scene;
    return anysync_sleep(anysync_in_us(100));
}

static int in_yield(struct point_scene *scene)
{
    int error = 0;

    (void)scene;
    for (int i = 0; i < 4 && !error; i++)
        error = anysync_yield();
    return error;
}

static int in_future_wait(struct point_scene *scene)
{
    return anysync_future_wait(scene->future, ANYSYNC_FOREVER);
}

static int in_wait(struct point_scene *scene)
{
    int value = 0;
    int error = anysync_wait(scene->future, &value, anysync_in_seconds(3600));

    CHECK_EQ(value, error ? 0 : 5);
    return error;
}

static int in_wait_any(struct point_scene *scene)
{
    struct anysync_future *never = new_gate();
    struct anysync_future *futures[] = {NULL, never, scene->future, scene->future};
    size_t index = 9;
    int error = anysync_wait_any(futures, 4, ANYSYNC_FOREVER, &index);

    CHECK_EQ(index, error ? 9 : 2);
    anysync_future_unref(never);
    return error;
}

static int in_wait_all(struct point_scene *scene)
{
    struct anysync_future *futures[] = {scene->future, NULL, scene->future};

    return anysync_wait_all(futures, 3, ANYSYNC_FOREVER);
}

static int in_await(struct point_scene *scene)
{
    int value = 0;
    int error = waits_for_await(&value, scene->future);

    CHECK_EQ(value, error ? 0 : 5);
    return error;
}

static int in_run_on(struct point_scene *scene)
{
    int value = 0;
    int error = waits_for_run_on(scene->other, &value, scene->future);

    CHECK_EQ(value, error ? 0 : 5);
    return error;
}

static int in_wait_for_task(struct point_scene *scene)
{
    waits_for_future soon;
    int error = waits_for_start(&soon, scene->future);

    CHECK_EQ(error, 0);
    error = waits_for_wait(&soon, NULL, ANYSYNC_FOREVER);
    waits_for_drop(&soon); /* it goes on, and ends when the scene is fed */
    return error;
}

static int in_wait_fd(struct point_scene *scene)
{
    int ready = anysync_wait_fd(scene->pipe[0], ANYSYNC_READABLE, ANYSYNC_FOREVER);

    return ready < 0 ? ready : 0;
}

static int in_pipe_read(struct point_scene *scene)
{
    char byte;

    return one_byte(anysync_read(scene->pipe[0], &byte, 1, ANYSYNC_FOREVER));
}

static int in_socket_read(struct point_scene *scene)
{
    char byte;

    return one_byte(anysync_read(scene->sockets[0], &byte, 1, anysync_in_seconds(3600)));
}

static int in_write(struct point_scene *scene)
{
    return one_byte(anysync_write(scene->sockets[0], "y", 1, ANYSYNC_FOREVER));
}

static int in_accept(struct point_scene *scene)
{
    int fd = anysync_accept(scene->listener, NULL, NULL, ANYSYNC_FOREVER);

    if (fd < 0)
        return fd;
    close(fd);
    return 0;
}

static int in_connect(struct point_scene *scene)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    CHECK_GE(fd, 0);
    int error = anysync_connect(
            fd, (struct sockaddr *)&scene->address, sizeof(scene->address), ANYSYNC_FOREVER);
    close(fd);
    return error;
}

static int in_shutdown(struct point_scene *scene)
{
    return anysync_executor_shutdown(scene->other, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL);
}

static int in_group_close(struct point_scene *scene)
{
    struct anysync_group *group;
    waits_for_future soon = {NULL};
    int value = 0;
    int error = anysync_group_open(&group);

    CHECK_EQ(error, 0);
    error = waits_for_spawn(group, &soon, scene->future);
    CHECK_EQ(error, 0);
    error = waits_for_spawn(group, NULL, scene->future);
    CHECK_EQ(error, 0);
    error = anysync_group_close(group, 0, ANYSYNC_FOREVER);
    CHECK_EQ(anysync_future_done(soon.future), 1);
    CHECK(error || waits_for_value(&soon, &value) == 0);
    waits_for_drop(&soon);
    return error;
}

static int in_group_body(struct point_scene *scene)
{
    int error = 0;

    ANYSYNC_GROUP(group, &error)
    {
        error = waits_for_spawn(group, NULL, scene->future);
        if (!error)
            error = anysync_future_wait(scene->future, ANYSYNC_FOREVER);
        if (!error)
            error = anysync_sleep(anysync_in_us(20));
    }
    return error;
}

ANYSYNC_COROUTINE(void, starts_late, (struct anysync_future *, future))
{
    int error = anysync_future_wait(future, ANYSYNC_FOREVER);
    int told = error ? 0 : anysync_started(&error, sizeof(error));

    return told < 0 ? told : error;
}

static int in_group_start(struct point_scene *scene)
{
    struct starts_late_arguments arguments = {scene->future};
    struct anysync_group *group;
    int value = -1;
    int error = anysync_group_open(&group);

    CHECK_EQ(error, 0);
    error = anysync_group_start(
            group, &starts_late_function, &arguments, &value, sizeof(value), NULL, ANYSYNC_FOREVER);
    CHECK_EQ(value, error ? -1 : 0);
    return anysync_group_close(group, error, ANYSYNC_FOREVER);
}

static int in_scopes(struct point_scene *scene)
{
    struct anysync_scope scope, shield;
    int error;

    anysync_scope_enter(&scope, anysync_in_seconds(3600));
    error = anysync_future_wait(scene->future, ANYSYNC_FOREVER);
    anysync_shield_enter(&shield, ANYSYNC_FOREVER);
    int cleaned_up = anysync_sleep(anysync_in_us(20));
    CHECK_EQ(cleaned_up, 0); /* also when it was cancelled right there */
    cleaned_up = anysync_future_wait(scene->future, ANYSYNC_FOREVER);
    CHECK_EQ(cleaned_up, 0);
    CHECK_EQ(anysync_scope_exit(&shield, 0), 0);
    return anysync_scope_exit(&scope, error);
}

static int in_limiter(struct point_scene *scene)
{
    int error = anysync_limiter_acquire(scene->limiter, ANYSYNC_FOREVER);

    if (error)
        return error;
    error = anysync_yield(); /* with the token */
    anysync_limiter_release(scene->limiter);
    return error;
}

/* Each caller sends one item and receives one, in two tasks. */
ANYSYNC_COROUTINE(void, sends, (struct anysync_channel *, channel))
{
    int item = 7;

    return anysync_channel_send(channel, &item, ANYSYNC_FOREVER);
}

static int in_channel(struct point_scene *scene)
{
    int error = anysync_future_wait(scene->future, ANYSYNC_FOREVER), item = 0;
    sends_future soon;

    if (error)
        return error;
    CHECK_EQ(sends_start(&soon, scene->channel), 0);
    error = anysync_channel_recv(scene->channel, &item, ANYSYNC_FOREVER);
    CHECK_EQ(item, error ? 0 : 7);
    if (error) /* the item is there still, for whoever comes: the other caller, or nobody */
        sends_cancel(&soon);
    sends_drop(&soon);
    return error;
}

ANYSYNC_BLOCKING(int, job, (struct anysync_future *, future))
{
    return anysync_wait(future, result, ANYSYNC_FOREVER);
}

static int in_offload(struct point_scene *scene)
{
    int value = 0;
    int error = job(&value, scene->future);

    CHECK_EQ(value, error ? 0 : 5);
    return error;
}

/* It may outlive the scene, and has nothing of it. */
ANYSYNC_BLOCKING(int, job_alone)
{
    *result = 5;
    return anysync_sleep(anysync_in_ms(1));
}

static int in_abandoned_offload(struct point_scene *scene)
{
    struct anysync_offload_options options = {.abandon = true};
    int value = 0;

    (void)scene;
    return job_alone_offload(&options, &value);
}

static int in_offload_in_line(struct point_scene *scene)
{
    struct anysync_offload_options options = {.limiter = scene->limiter};
    int value = 0;

    return job_offload(&options, &value, scene->future);
}

ANYSYNC_GENERATOR(int, items, (struct anysync_future *, future))
{
    int value = 0, error = items_yield(1);

    if (!error)
        error = anysync_wait(future, &value, ANYSYNC_FOREVER);
    return error ? error : items_yield(value);
}

static int in_generator(struct point_scene *scene)
{
    int error = 0, sum = 0;

    ANYSYNC_FOR(items, item, &error, scene->future)
    {
        sum += item;
        if (!error)
            error = anysync_yield();
        if (error)
            break;
    }
    CHECK(error || sum == 6);
    return error;
}

static int in_generator_ahead(struct point_scene *scene)
{
    struct anysync_generator_options options = {.read_ahead = 2};
    int error = 0, item, sum = 0;
    items_generator generator;

    CHECK_EQ(items_open_with(&options, &generator, scene->future), 0);
    while (!(error = items_next(&generator, &item)))
        sum += item;
    CHECK(error < 0 || sum == 6);
    items_drop(&generator);
    return error == ANYSYNC_DONE ? 0 : error;
}

static int in_remote_generator(struct point_scene *scene)
{
    struct anysync_generator_options options = {.executor = scene->other};
    int error = 0, item, sum = 0;
    items_generator generator;

    CHECK_EQ(items_open_with(&options, &generator, scene->future), 0);
    while (!(error = items_next(&generator, &item)))
        sum += item;
    CHECK(error < 0 || sum == 6);
    items_drop(&generator);
    return error == ANYSYNC_DONE ? 0 : error;
}

ANYSYNC_CONTEXT_MANAGER(int, held, (struct anysync_future *, future))
{
    int value = 0;
    int error = anysync_wait(future, &value, ANYSYNC_FOREVER);

    if (error)
        return error;
    error = held_yield(value);
    int in_exit = anysync_sleep(anysync_in_us(10));
    CHECK_EQ(in_exit, 0); /* an exit is not cut */
    return error;
}

static int in_manager(struct point_scene *scene)
{
    int error = 0;

    ANYSYNC_WITH(held, value, &error, scene->future)
    {
        CHECK_EQ(value, 5);
        error = anysync_yield();
    }
    return error;
}

static const struct point_call calls[] = {
        {"sleep", in_sleep},
        {"yield", in_yield},
        {"future_wait", in_future_wait},
        {"wait", in_wait},
        {"wait_any", in_wait_any},
        {"wait_all", in_wait_all},
        {"wait for a task", in_wait_for_task},
        {"await", in_await},
        {"run_on", in_run_on},
        {"wait_fd", in_wait_fd},
        {"read of a pipe", in_pipe_read},
        {"read of a socket", in_socket_read},
        {"write", in_write},
        {"accept", in_accept},
        {"connect", in_connect},
        {"executor_shutdown", in_shutdown},
        {"group_close", in_group_close},
        {"the body of a group", in_group_body},
        {"group_start", in_group_start},
        {"scope and shield", in_scopes},
        {"limiter", in_limiter},
        {"channel", in_channel},
        {"offload", in_offload},
        {"offload, abandoned", in_abandoned_offload},
        {"offload, in line for a token", in_offload_in_line},
        {"generator", in_generator},
        {"generator that reads ahead", in_generator_ahead},
        {"generator of another loop", in_remote_generator},
        {"manager", in_manager},
        {"mutex", in_mutex},
        {"condition", in_condition},
        {"event", in_event},
        {"semaphore", in_semaphore},
        {"barrier", in_barrier},
        {"once, by this one", in_once},
        {"once, by another one", in_once_by_another},
        {"select", in_select},
        {"port_call", in_port_call},
        {"stream: read", in_stream_read},
        {"stream: flush", in_stream_flush},
        {"dial", in_dial},
        {"dial a full socket", in_dial_full},
        {"receive a datagram", in_receive},
        {"receive a descriptor", in_receive_descriptor},
        {"process", in_process},
        {"command", in_command},
        {"signal", in_signal},
        {"resolve", in_resolve},
        {"dial by name", in_dial_name},
        {"read of a file", in_file_read},
        {"close of a file", in_file_close},
};

static void cut_all(void)
{
    for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++)
        cut_at_each_point(&calls[i]);
}

TEST(c5_each_call_can_be_cut_at_each_of_its_points)
{
    count_cancel_points();
    in_worlds(IN_COROUTINES, cut_all);
    printf("%d cuts\n", atomic_load(&points_cut));
}

static void count_points(void)
{
    static const struct point_call yields = {"yield", in_yield};

    CHECK(cut_at_point(&yields, 1, -ECANCELED));
    CHECK_EQ(atomic_load(&points_seen), 1);
    CHECK(cut_at_point(&yields, 4, -ETIMEDOUT));
    CHECK_EQ(atomic_load(&points_seen), 4);
    CHECK(!cut_at_point(&yields, 5, -ECANCELED));
    CHECK_EQ(atomic_load(&points_seen), 4);
}

TEST(c5_the_points_are_met)
{
    count_cancel_points();
    in_worlds(IN_COROUTINES, count_points);
}
