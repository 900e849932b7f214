/* SPDX-License-Identifier: MIT */
/*
 * Scenes for the tests of refusals: each makes some calls of one part of the library, gives up at
 * the first that fails, takes back what it made, and returns 0 or why it gave up.
 *
 * A call that worked may still have started a task that has no stack in the end: so a scene waits
 * for what it started, not for what that was to do.
 */
#ifndef TEST_REFUSALS_H
#define TEST_REFUSALS_H

#include "worlds.h"

#include <anysync/callback.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

typedef int scene_fn(void);

ANYSYNC_COROUTINE(void, in_coroutine, (scene_fn *, scene))
{
    return scene();
}

enum { REACHED = 7 };

struct play {
    scene_fn *scene;
    int nth;
    int world; /* 0: a plain thread, 1: a here-loop, 2: the worker */
};

static inline int play_in(const struct play *play)
{
    switch (play->world) {
    case 0:
        return play->scene();
    case 1:
        return in_coroutine_run_here(play->scene);
    default:
        return in_coroutine_run(play->scene);
    }
}

/* A wait without memory leaves what it waits for untouched: try again. */
static inline int wait_for(struct anysync_future *future, void *ret_result)
{
    int error;

    do
        error = anysync_wait(future, ret_result, ANYSYNC_FOREVER);
    while (error == -ENOMEM && !anysync_future_done(future));
    return error;
}

/* --- groups ----------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(int, child, (int, n))
{
    int error = anysync_sleep(anysync_in_us(50));

    *result = n;
    return error;
}

ANYSYNC_COROUTINE(void, starts, (int, n))
{
    int said = anysync_started(&n, sizeof(n));

    return said < 0 ? said : anysync_yield();
}

ANYSYNC_COROUTINE(void, fails, (int, n))
{
    return anysync_fail(-ENOENT, "child %d", n);
}

static inline int use_group(void)
{
    struct anysync_group *group = NULL;
    int error = anysync_group_open(&group), n = 3, started = 0;
    child_future future = {NULL};

    if (error)
        return error;
    error = child_spawn(group, &future, 1);
    if (!error)
        error = child_spawn(group, NULL, 2);
    if (!error)
        error = anysync_group_start(
                group, &starts_function, &n, &started, sizeof(started), NULL, ANYSYNC_FOREVER);
    error = anysync_group_close(group, error, ANYSYNC_FOREVER);
    child_drop(&future);
    return error;
}

static inline int use_failing_group(void)
{
    int error = 0;

    ANYSYNC_GROUP(group, &error)
    {
        for (int i = 0; i < 3 && !error; i++)
            error = fails_spawn(group, NULL, i);
    }
    return error == -ENOENT ? 0 : error;
}

/* --- generators, managers --------------------------------------------------------------------- */

struct large {
    char bytes[600];
};

ANYSYNC_GENERATOR(struct large, count, (int, to), (struct large, rest))
{
    int error = 0;

    for (int i = 0; i < to && !error; i++) {
        rest.bytes[0] = (char)i;
        error = count_yield(rest);
    }
    return error == -EPROTO ? anysync_fail(-EDOM, "thrown") : error;
}

static inline int use_generator_ahead(uint32_t read_ahead)
{
    struct anysync_generator_options options = {.read_ahead = read_ahead};
    struct large item = {{0}}, sent = {{0}};
    count_generator generator;
    int error = count_open_with(&options, &generator, 5, sent);

    if (!error)
        error = count_next(&generator, &item);
    if (!error && read_ahead == 0)
        error = count_send(&generator, sent, &item);
    if (!error)
        error = count_next_until(&generator, &item, anysync_in_seconds(100));
    if (!error && read_ahead == 0) {
        error = count_throw(&generator, -EPROTO, "a sentence of some length", &item);
        error = error == -EDOM || error == -EPROTO ? 0 : error;
    }
    count_drop(&generator);
    return error;
}

static inline int use_generator(void)
{
    int error = use_generator_ahead(0);

    return error ? error : use_generator_ahead(3);
}

static inline int enter_large(void *self, void *ret_value)
{
    *(struct large *)ret_value = *(struct large *)self;
    return 0;
}

static inline int exit_large(void *self, int error)
{
    (void)self;
    return error == -EDOM ? anysync_fail(-ERANGE, "on top of it") : error;
}

static const struct anysync_manager_type large_type =
        ANYSYNC_MANAGER_TYPE("large", sizeof(struct large), enter_large, exit_large);

static inline int use_manager(void)
{
    struct large value = {{1}}, got;
    struct anysync_manager *manager = NULL;
    int error = anysync_manager_new(&large_type, &value, &manager);

    if (!error)
        error = anysync_manager_enter(manager, &got, ANYSYNC_FOREVER);
    if (!error) {
        error = anysync_manager_exit(
                manager, anysync_fail(-EDOM, "the block failed"), ANYSYNC_FOREVER);
        error = error == -ERANGE || error == -EDOM ? 0 : error;
    }
    anysync_manager_unref(manager);
    return error;
}

/* --- jobs ------------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(int, on_the_loop, (int, n))
{
    *result = n + 1;
    return anysync_yield();
}

ANYSYNC_BLOCKING(int, job, (int, n))
{
    return on_the_loop_run_back_or_here(result, n);
}

static inline int use_jobs(void)
{
    struct anysync_pool_options pool_options = {.name = "own"};
    struct anysync_offload_options options = {.abandon = true};
    ANYSYNC_SCOPED_FUTURE(job, future);
    int error = anysync_limiter_new(1, &options.limiter), value = 0;

    if (!error)
        error = anysync_pool_new(&pool_options, &options.pool);
    if (!error)
        error = job_start_with(&options, &future, 1);
    if (!error)
        error = job_offload(&options, &value, 2);
    if (!error)
        error = job(&value, 3);
    if (!error && anysync_in_coroutine())
        error = anysync_await(&job_function, &value, &value, ANYSYNC_FOREVER);
    if (future.future && !error)
        error = wait_for(future.future, &value);
    if (future.future) { /* the job may outlive us: not its options */
        while (anysync_future_wait(future.future, ANYSYNC_FOREVER) == -ENOMEM)
            ;
    }
    anysync_limiter_unref(options.limiter);
    anysync_pool_unref(options.pool);
    return error;
}

/* Awaited before there is any thread for it. */
static inline int use_awaited_job(void)
{
    int value = 1;

    return anysync_in_coroutine() ? anysync_await(&job_function, &value, &value, ANYSYNC_FOREVER)
                                  : anysync_run(&job_function, &value, &value, ANYSYNC_FOREVER);
}

static inline int use_limiter(void)
{
    struct anysync_limiter *limiter = NULL;
    ANYSYNC_SCOPED_FUTURE(child, future);
    int error = anysync_limiter_new(1, &limiter), value;

    if (!error)
        error = anysync_limiter_acquire(limiter, ANYSYNC_FOREVER);
    if (!error) {
        int late = anysync_limiter_acquire(limiter, anysync_in_us(10));
        CHECK(late == -ETIMEDOUT || late == -ENOMEM);
        anysync_limiter_release(limiter);
        error = child_start(&future, 1);
    }
    if (!error)
        error = wait_for(future.future, &value);
    anysync_limiter_unref(limiter);
    return error;
}

/* --- futures, channels ------------------------------------------------------------------------ */

static inline void on_done(struct anysync_future *future, void *argument)
{
    (void)argument;
    anysync_future_unref(future);
}

ANYSYNC_COROUTINE(void, complete_all, (struct anysync_future **, futures), (int, count))
{
    for (int i = 0; i < count; i++)
        anysync_future_fail(futures[i], -EDOM, "future %d", i);
    return 0;
}

static inline int use_futures(void)
{
    enum { MANY = 20 };
    struct anysync_future *futures[MANY] = {NULL}, *timer = NULL;
    size_t index;
    int error = anysync_future_at(anysync_in_us(10), &timer);

    if (!error) {
        anysync_future_ref(timer); /* for the callback */
        error = anysync_future_on_done(timer, on_done, NULL);
        if (error)
            anysync_future_unref(timer);
    }
    for (int i = 0; i < MANY && !error; i++)
        error = anysync_future_new(sizeof(int), &futures[i]);
    ANYSYNC_SCOPED_FUTURE(complete_all, completing);
    if (!error)
        error = complete_all_start(&completing, futures, MANY);
    if (!error)
        error = anysync_wait_all(futures, MANY, anysync_in_ms(1));
    if (completing.future) /* it may have had no stack */
        error = wait_for(completing.future, NULL);
    if (!error)
        error = anysync_wait_any(futures, MANY, ANYSYNC_FOREVER, &index);
    if (!error)
        CHECK_EQ(anysync_future_result(futures[index], NULL), -EDOM);
    if (timer) {
        while (anysync_future_wait(timer, ANYSYNC_FOREVER) == -ENOMEM)
            ;
    }
    anysync_future_unref(timer);
    for (int i = 0; i < MANY; i++)
        anysync_future_unref(futures[i]);
    return error;
}

ANYSYNC_CHANNEL(number, int);

ANYSYNC_COROUTINE(void, send_some, (number_channel *, channel))
{
    int error = 0;

    for (int i = 0; i < 3 && !error; i++)
        error = number_channel_send(channel, i, ANYSYNC_FOREVER);
    number_channel_close(channel);
    return error == -EPIPE ? 0 : error;
}

static inline int use_channel(void)
{
    number_channel *channel = NULL;
    int error = number_channel_new(0, &channel), item;

    ANYSYNC_SCOPED_FUTURE(send_some, sending);
    if (!error)
        error = send_some_start(&sending, channel);
    while (!error && !anysync_future_done(sending.future)) { /* it may have had no stack */
        error = number_channel_recv(channel, &item, anysync_in_ms(1));
        error = error == -ETIMEDOUT ? 0 : error;
    }
    if (channel)
        number_channel_close(channel);
    if (sending.future && (!error || error == ANYSYNC_DONE))
        error = wait_for(sending.future, NULL);
    else if (sending.future)
        (void)!wait_for(sending.future, NULL);
    number_channel_unref(channel);
    return error;
}

/* --- variables, tasks, programs --------------------------------------------------------------- */

static inline void drop_memory(char **memory)
{
    free(*memory);
}

ANYSYNC_VAR_DROP(char *, text, NULL, drop_memory);
ANYSYNC_VAR(int, number_var, 0);

ANYSYNC_COROUTINE(void, set_another, (int, n))
{
    char *memory = malloc(10);
    CHECK(memory != NULL);
    int error = text_set(memory, NULL);

    if (error)
        free(memory);
    return error ? error : number_var_set(n, NULL);
}

static inline int use_variables(void)
{
    struct anysync_context *context = NULL;
    struct anysync_task *task = NULL;
    struct anysync_token token;
    int error = number_var_set(1, &token);

    if (error)
        return error;
    error = anysync_context_capture(&context);
    if (!error)
        error = set_another_new(&task, 5);
    if (!error)
        error = anysync_task_use_context(task, context);
    if (!error)
        error = anysync_in_coroutine() ? anysync_task_await(task, NULL, ANYSYNC_FOREVER)
                                       : anysync_task_run(task, NULL, ANYSYNC_FOREVER);
    if (!error)
        anysync_context_apply(context);
    int undone = anysync_var_reset(&token);
    if (undone)
        anysync_token_drop(&token);
    anysync_task_unref(task);
    anysync_context_unref(context);
    return error ? error : undone == -EINVAL ? 0 : undone; /* what was applied is another context */
}

/* Calls by name, with arguments that need memory. */
ANYSYNC_COROUTINE(struct large, give_back, (struct large, value))
{
    *result = value;
    return anysync_yield();
}

ANYSYNC_COROUTINE(void, pass_on, (struct anysync_future *, failing))
{
    return anysync_wait(failing, NULL, ANYSYNC_FOREVER);
}

/* One error, that several pass on, each with a frame of its own. */
static inline int use_shared_error(void)
{
    ANYSYNC_SCOPED_FUTURE(fails, failing);
    pass_on_future passing[2] = {{NULL}, {NULL}};
    int error = fails_start(&failing, 1);

    for (int i = 0; i < 2 && !error; i++)
        error = pass_on_start(&passing[i], failing.future);
    for (int i = 0; i < 2; i++) {
        int status = passing[i].future ? wait_for(passing[i].future, NULL) : 0;
        error = error || status == -ENOENT ? error : status;
        pass_on_drop(&passing[i]);
    }
    if (failing.future) {
        int status = wait_for(failing.future, NULL);
        error = error || status == -ENOENT ? error : status;
    }
    return error;
}

static inline int use_calls(void)
{
    struct large value = {{1}}, got = {{0}};
    struct anysync_task *task = NULL;
    int pid = 0, error = give_back(&got, value);

    if (!error)
        error = anysync_call(&give_back_function, &value, &got);
    if (!error)
        error = give_back_run(&got, value);
    if (!error && anysync_in_coroutine())
        error = child_await(&pid, 1);
    if (!error)
        error = give_back_new(&task, value);
    if (!error)
        error = anysync_task_start(task, NULL);
    anysync_task_unref(task);
    if (!error) {
        char *const arguments[] = {"true", NULL};
        error = anysync_process_start("true", arguments, &pid);
    }
    return error;
}

/* --- descriptors ------------------------------------------------------------------------------ */

ANYSYNC_COROUTINE(int, connect_to, (struct sockaddr_in, address))
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_GE(fd, 0);
    int error = anysync_connect(
            fd, (const struct sockaddr *)&address, sizeof(address), ANYSYNC_FOREVER);

    *result = fd;
    if (error)
        close(fd);
    return error;
}

static inline int listen_here(struct sockaddr_in *address)
{
    socklen_t size = sizeof(*address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    CHECK_GE(fd, 0);
    *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
    CHECK_EQ(bind(fd, (struct sockaddr *)address, size), 0);
    CHECK_EQ(listen(fd, 5), 0);
    CHECK_EQ(getsockname(fd, (struct sockaddr *)address, &size), 0);
    return fd;
}

static inline int use_descriptors(void)
{
    struct sockaddr_in address;
    int listening = listen_here(&address), client = -1, accepted = -1;
    ANYSYNC_SCOPED_FUTURE(connect_to, connecting);
    char byte = 'x';
    int error = connect_to_start(&connecting, address);

    if (!error) {
        error = wait_for(connecting.future, &client);
        error = error ? error : 0;
    }
    if (!error) {
        accepted = anysync_accept(listening, NULL, NULL, ANYSYNC_FOREVER);
        error = accepted < 0 ? accepted : 0;
    }
    if (!error)
        error = (int)anysync_read(accepted, &byte, 1, anysync_in_us(10));
    error = error == -ETIMEDOUT ? 0 : error;
    if (!error)
        error = (int)anysync_write(client, &byte, 1, ANYSYNC_FOREVER);
    if (error == 1)
        error = (int)anysync_read(accepted, &byte, 1, ANYSYNC_FOREVER);
    if (client >= 0)
        close(client);
    if (accepted >= 0)
        close(accepted);
    close(listening);
    return error == 1 ? 0 : error;
}

#endif
