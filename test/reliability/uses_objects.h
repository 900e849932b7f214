/* SPDX-License-Identifier: MIT */
/*
 * Uses: groups, scopes, generators, managers, channels, limiters; and the table of all.  (What a
 * use is: uses.h.)
 */
#ifndef TEST_RELIABILITY_USES_OBJECTS_H
#define TEST_RELIABILITY_USES_OBJECTS_H

#include "uses_descriptors.h"

/* --- groups and scopes ------------------------------------------------------------------------ */

ANYSYNC_COROUTINE(int, announce, (int, n))
{
    begins();
    int said = anysync_started(&n, sizeof(n));
    CHECK(said == 0 || said == ANYSYNC_DONE);
    *result = n;
    return ends(step_or(anysync_sleep(anysync_in_us(20)), -ECANCELED));
}

static int use_group(void)
{
    add_future soon[3] = {{NULL}, {NULL}, {NULL}};
    struct anysync_group *group = NULL;
    int told = -7, error = step(anysync_group_open(&group));

    CHECK_EQ(group != NULL, error == 0);
    if (error)
        return error;
    for (int i = 0; i < 3 && error == 0; i++) /* a child without a stack has failed: no more */
        error = step_or(add_spawn(group, &soon[i], i, 1), -ECANCELED);
    if (error == 0) {
        const struct announce_arguments argument = {5};
        error = step_or(anysync_group_start(group, &announce_function, &argument, &told,
                                sizeof(told), NULL, ANYSYNC_FOREVER),
                -ECANCELED);
        CHECK_EQ(told, error ? -7 : 5);
    }
    int closed = step_or(anysync_group_close(group, error, ANYSYNC_FOREVER), -ECANCELED);
    CHECK(closed || error == 0);
    for (int i = 0; i < 3; i++) {
        int value = -7;
        int there = soon[i].future ? add_value(&soon[i], &value) : -EAGAIN;
        CHECK_EQ(value, there ? -7 : i + 1);
        CHECK(closed || there == 0);
        add_drop(&soon[i]);
    }
    if (closed == -ECANCELED) /* then something else was the first */
        test_fail(TEST_HERE, "a group says only that it was cancelled");
    return closed;
}

/* A child that fails takes the others with it. */
static int use_group_failure(void)
{
    struct anysync_group *group = NULL;
    int error = step(anysync_group_open(&group));

    if (error)
        return error;
    error = step(stay_spawn(group, NULL));
    if (error == 0)
        error = step_or(break_down_spawn(group, NULL, 0), -ECANCELED);
    error = step_or(anysync_group_close(group, error, ANYSYNC_FOREVER), -EPROTO);
    CHECK_NE(error, 0);
    return error == -EPROTO ? 0 : error;
}

static int use_scopes(void)
{
    int error = 0, shielded = -1;

    ANYSYNC_SCOPE(&error, anysync_in_us(200))
    {
        error = anysync_sleep(ANYSYNC_FOREVER);
        ANYSYNC_SHIELD(&shielded, ANYSYNC_FOREVER)
        {
            int value = -7;
            shielded = step(add_run(&value, 40, 2));
            CHECK_EQ(value, shielded ? -7 : 42);
        }
    }
    CHECK_EQ(error, -ETIMEDOUT);
    return shielded;
}

/* --- generators and managers ------------------------------------------------------------------ */

ANYSYNC_GENERATOR(int, count, (int, last))
{
    int error = 0;

    begins();
    for (int i = 1; i <= last && error == 0; i++) {
        int sent = 0;
        error = step_or(count_yield_receive(i, &sent), -ECANCELED);
        if (error == -EPROTO)
            break;
        i += sent;
    }
    return ends(error);
}

static int next_is(count_generator *generator, int expected)
{
    int item = -7;
    int error = step(count_next(generator, &item));

    CHECK_EQ(item, error ? -7 : expected);
    return error;
}

static int use_generator(void)
{
    count_generator generator;
    int item = -7;
    int error = step(count_open(&generator, 9));

    CHECK_EQ(generator.generator != NULL, error == 0);
    if (error == 0)
        error = next_is(&generator, 1);
    if (error == 0) {
        error = step(count_send(&generator, 5, &item));
        CHECK_EQ(item, error ? -7 : 7);
    }
    if (error == 0)
        error = next_is(&generator, 8);
    if (error == 0)
        error = next_is(&generator, 9);
    if (error == 0)
        error = step_or(count_next(&generator, &item), ANYSYNC_DONE);
    count_drop(&generator);
    return error == ANYSYNC_DONE ? 0 : error;
}

/* On an executor of its own, items ahead of who takes them. */
static int use_read_ahead(void)
{
    struct anysync_generator_options options = {.read_ahead = 4};
    count_generator generator = {NULL};
    int error = step(anysync_executor_new(NULL, &options.executor));

    if (error == 0)
        error = step(count_open_with(&options, &generator, 30));
    for (int i = 1; i <= 20 && error == 0; i++)
        error = next_is(&generator, i);
    count_drop(&generator); /* ten are left in it */
    if (options.executor)
        surely_shut_down(options.executor, ANYSYNC_DRAIN);
    anysync_executor_unref(options.executor);
    return error;
}

static int use_for(void)
{
    int error = 0, sum = 0;

    ANYSYNC_FOR(count, i, &error, 5)
    {
        sum += i;
    }
    CHECK(error || sum == 15);
    if (step(error))
        return error;
    ANYSYNC_FOR(count, i, &error, 5)
    {
        if (i == 2)
            break;
    }
    return step(error);
}

ANYSYNC_CONTEXT_MANAGER(int, held, (int *, log))
{
    begins();
    *log = 1;
    int error = step(anysync_sleep(anysync_in_us(20)));
    if (error == 0)
        error = step_or(held_yield(5), -EPROTO);
    *log = 2;
    return ends(error == -EPROTO ? 0 : error);
}

static int use_manager(void)
{
    int error = 0, log = 0;
    bool ran = false;

    ANYSYNC_WITH(held, value, &error, &log)
    {
        CHECK_EQ(value, 5);
        CHECK_EQ(log, 1);
        ran = true;
        error = anysync_fail(-EPROTO, "the block fails");
    }
    CHECK(log == 0 || log == 2);
    CHECK_EQ(ran, log == 2 && error != -ENOMEM ? 1 : ran);
    CHECK(error || ran);
    return step(error);
}

static int enter_it(void *self, void *ret_value)
{
    *(int *)self = 1;
    *(int *)ret_value = 6;
    return 0;
}

static int exit_it(void *self, int error)
{
    *(int *)self = 2;
    return error;
}

static int use_manager_type(void)
{
    static const struct anysync_manager_type type =
            ANYSYNC_MANAGER_TYPE(type, sizeof(int), enter_it, exit_it);
    struct anysync_manager *manager = NULL;
    int state = 0, value = -7, tries = 0;
    int error = step(anysync_manager_new(&type, &state, &manager));

    if (error == 0) {
        error = step(anysync_manager_enter(manager, &value, ANYSYNC_FOREVER));
        CHECK_EQ(value, error ? -7 : 6);
    }
    if (error == 0) {
        CHECK_EQ(state, 1);
        while ((error = step(anysync_manager_exit(manager, 0, ANYSYNC_FOREVER))) && state != 2)
            count_try(&tries);
        CHECK_EQ(state, 2);
    }
    anysync_manager_unref(manager);
    CHECK(state == 0 || state == 2);
    return error;
}

/* --- channels and limiters -------------------------------------------------------------------- */

ANYSYNC_CHANNEL(item, int);

ANYSYNC_COROUTINE(void, send_items, (item_channel *, channel), (int, count))
{
    int error = 0;

    begins();
    for (int i = 1; i <= count && error == 0; i++)
        error = step_or(item_channel_send(channel, i, ANYSYNC_FOREVER), -EPIPE);
    return ends(error == -EPIPE ? 0 : error);
}

/* Five items from a task, by way of a channel of CAPACITY.  The task may fail to begin. */
static int receive_items(size_t capacity)
{
    item_channel *channel = NULL;
    send_items_future sender = {NULL};
    int item, received = 0;
    int error = step(item_channel_new(capacity, &channel));

    if (error)
        return error;
    error = step(send_items_start(&sender, channel, 5));
    while (error == 0 && received < 5) {
        int status = step_or(item_channel_recv(channel, &item, anysync_in_ms(2)), -ETIMEDOUT);
        if (status == 0)
            CHECK_EQ(item, ++received);
        else if (status != -ETIMEDOUT)
            error = status;
        else if (anysync_future_done(sender.future) && anysync_channel_count((void *)channel) == 0)
            break;
    }
    item_channel_close(channel);
    if (sender.future) {
        surely_wait(sender.future);
        error = either(error, step(send_items_wait(&sender, ANYSYNC_POLL)));
    }
    CHECK(error || received == 5);
    send_items_drop(&sender);
    item_channel_unref(channel);
    return error;
}

static int use_channel(void)
{
    int error = receive_items(2);

    return error ? error : receive_items(0);
}

ANYSYNC_COROUTINE(void, borrow, (struct anysync_limiter *, limiter))
{
    begins();
    int error = step(anysync_limiter_acquire(limiter, ANYSYNC_FOREVER));
    if (error == 0) {
        error = step(anysync_sleep(anysync_in_us(20)));
        anysync_limiter_release(limiter);
    }
    return ends(error);
}

static int use_limiter(void)
{
    struct anysync_limiter *limiter = NULL;
    struct anysync_limiter_figures figures;
    borrow_future soon = {NULL};
    int error = step(anysync_limiter_new(1, &limiter));

    if (error)
        return error;
    error = step(anysync_limiter_acquire(limiter, ANYSYNC_FOREVER));
    if (error == 0) {
        CHECK_EQ(anysync_limiter_try_acquire(limiter), -EAGAIN);
        error = step(borrow_start(&soon, limiter));
        CHECK_EQ(anysync_yield(), 0);
        anysync_limiter_release(limiter);
    }
    if (soon.future) {
        surely_wait(soon.future);
        error = either(error, step(borrow_wait(&soon, ANYSYNC_POLL)));
    }
    borrow_drop(&soon);
    anysync_limiter_stats(limiter, &figures);
    CHECK_EQ(figures.borrowed, 0);
    CHECK_EQ(figures.waiting, 0);
    anysync_limiter_unref(limiter);
    return error;
}

/* --- all -------------------------------------------------------------------------------------- */

#define USE(name, worlds)                                                                          \
    {                                                                                              \
#name, use_##name, worlds                                                                  \
    }
#define OUTSIDE (PLAIN | POOL)

static const struct use uses[] = {
        USE(call, EVERYWHERE_AND_POOL),
        USE(run, EVERYWHERE_AND_POOL),
        USE(here, OUTSIDE),
        USE(await, IN_COROUTINES),
        USE(job, EVERYWHERE_AND_POOL),
        USE(offload, EVERYWHERE_AND_POOL),
        USE(executor, EVERYWHERE_AND_POOL),
        USE(restart, EVERYWHERE_AND_POOL),
        USE(life, PLAIN | HERE),
        USE(spawn, EVERYWHERE_AND_POOL),
        USE(many, PLAIN | HERE | NESTED),
        USE(cancel, EVERYWHERE_AND_POOL),
        USE(timeout, EVERYWHERE_AND_POOL),
        USE(task, EVERYWHERE_AND_POOL),
        USE(vars, EVERYWHERE_AND_POOL),
        USE(futures, EVERYWHERE_AND_POOL),
        USE(nested, EVERYWHERE_AND_POOL),
        USE(deadlock, EVERYWHERE_AND_POOL & ~NESTED),
        USE(exit, EVERYWHERE_AND_POOL),
        USE(errors, EVERYWHERE_AND_POOL),
        USE(pool, EVERYWHERE_AND_POOL),
        USE(run_back, EVERYWHERE_AND_POOL),
        USE(small_things, EVERYWHERE_AND_POOL),
        USE(group, EVERYWHERE_AND_POOL),
        USE(group_failure, EVERYWHERE_AND_POOL),
        USE(scopes, EVERYWHERE_AND_POOL),
        USE(generator, EVERYWHERE_AND_POOL),
        USE(read_ahead, EVERYWHERE_AND_POOL),
        USE(for, EVERYWHERE_AND_POOL),
        USE(manager, EVERYWHERE_AND_POOL),
        USE(manager_type, EVERYWHERE_AND_POOL),
        USE(channel, EVERYWHERE_AND_POOL),
        USE(limiter, EVERYWHERE_AND_POOL),
        USE(pipe, EVERYWHERE_AND_POOL),
        USE(sockets, EVERYWHERE_AND_POOL),
        USE(callbacks, EVERYWHERE_AND_POOL),
        USE(base, IN_COROUTINES),
        USE(process, EVERYWHERE_AND_POOL),
};

enum { USES = sizeof(uses) / sizeof(*uses) };

#endif
