/* SPDX-License-Identifier: MIT */
/*
 * Connections of the Redis client (redis.h).
 *
 * Packages: hiredis
 *
 * A connection is a task, the keeper, on the loop it lives on: it closes the link when it is told
 * to, or when its executor stops.  All that touches the link runs on that loop, so none of it needs
 * a lock.  Callers from there call; others have the executor run the same body.
 *
 * Who is in a transaction holds the mutex `turn`, and says so on the loop, where others look before
 * they send.
 */
#include "redis_inside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { SENTENCE = 512 }; /* the longest of anysync_fail() */

void redis_unref(struct redis *redis)
{
    struct redis_batch *batch;

    if (atomic_fetch_sub(&redis->references, 1) > 1)
        return;
    while ((batch = redis->spare) != NULL) {
        redis->spare = batch->next;
        redis_batch_free(batch);
    }
    anysync_mutex_unref(redis->turn);
    anysync_future_unref(redis->closing);
    anysync_future_unref(redis->keeper);
    anysync_executor_unref(redis->executor);
    free(redis);
}

struct redis *redis_ref(struct redis *redis)
{
    atomic_fetch_add(&redis->references, 1);
    return redis;
}

int redis_may_wait(void)
{
    return anysync_in_coroutine() || anysync_tasks_started() == 0
                   ? 0
                   : anysync_fail(-EDEADLK, "redis: a callback of a loop cannot wait");
}

int redis_wait_out(struct anysync_future *task, bool *ret_gave_up)
{
    char message[SENTENCE];
    int late = 0, error = anysync_wait(task, NULL, ANYSYNC_FOREVER);

    *ret_gave_up = error && anysync_last_error()->origin == ANYSYNC_ORIGIN_CALL;
    if (!*ret_gave_up)
        return error;
    snprintf(message, sizeof(message), "%s", anysync_last_error()->message);
    anysync_cancel(task);
    ANYSYNC_SHIELD(NULL, ANYSYNC_FOREVER)
    {
        late = anysync_wait(task, NULL, ANYSYNC_FOREVER);
    }
    return late ? anysync_fail(error, "%s", message) : 0; /* it has done it after all */
}

ANYSYNC_COROUTINE(void, redis_keeper, (struct redis *, redis))
{
    if (anysync_future_wait(redis->closing, ANYSYNC_FOREVER) == 0)
        redis_link_close(&redis->link, -EPIPE, "it was closed by redis_close()");
    else
        redis_link_close(&redis->link, -ESHUTDOWN, "its executor is stopping");
    redis_unref(redis);
    return 0;
}

ANYSYNC_COROUTINE(void, redis_open, (struct redis *, redis),
        (const struct redis_options *, options), (anysync_time, deadline))
{
    redis_keeper_future keeper;

    redis->serial = anysync_thread_serial();
    int error = redis_link_open(&redis->link, options, deadline);
    if (error)
        return error;
    redis_ref(redis);
    error = redis_keeper_start(&keeper, redis);
    redis->keeper = keeper.future;
    if (error) {
        redis_link_close(&redis->link, error, "no task could be started");
        redis_unref(redis);
    }
    return error;
}

static int open_there(
        struct redis *redis, const struct redis_options *options, anysync_time deadline)
{
    redis_open_future opening;
    bool gave_up;
    int error = redis_may_wait();

    if (!error)
        error = redis_open_start_on(redis->executor, &opening, redis, options, deadline);
    if (error)
        return error;
    error = redis_wait_out(opening.future, &gave_up);
    redis_open_drop(&opening);
    return error;
}

int redis_connect(
        const struct redis_options *options, struct redis **ret_redis, anysync_time deadline)
{
    struct redis *redis = calloc(1, sizeof(*redis));

    if (!redis)
        return anysync_fail(-ENOMEM, "no memory for a connection to redis");
    atomic_init(&redis->references, 1);
    if (options->executor)
        redis->executor = anysync_executor_ref(options->executor);
    int error = anysync_mutex_new(&redis->turn);
    if (!error)
        error = anysync_future_new(0, &redis->closing);
    if (!error)
        error = open_there(redis, options, deadline);
    if (error)
        redis_unref(redis);
    else
        *ret_redis = redis;
    return error;
}

void redis_close(struct redis *redis)
{
    int error = 0;

    if (!redis)
        return;
    anysync_future_set(redis->closing, NULL);
    ANYSYNC_SHIELD(NULL, ANYSYNC_FOREVER)
    {
        error = anysync_future_wait(redis->keeper, ANYSYNC_FOREVER);
    }
    (void)error; /* in a callback: the keeper ends by itself */
    redis_unref(redis);
}

/* --- for one user ----------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(void, redis_set_held, (struct redis *, redis), (bool, held))
{
    redis->in_transaction = held;
    return 0;
}

static int set_held(struct redis *redis, bool held)
{
    return redis_is_here(redis) ? redis_set_held(redis, held)
                                : redis_set_held_run_on(redis->executor, redis, held);
}

int redis_hold(struct redis *redis, anysync_time deadline)
{
    int error = anysync_mutex_lock(redis->turn, deadline);

    if (error == -ETIMEDOUT)
        return anysync_fail(error,
                "redis %s: MULTI: another transaction holds the connection, and "
                "the deadline passed",
                redis->link.peer);
    if (error)
        return error;
    error = set_held(redis, true);
    if (error)
        anysync_mutex_unlock(redis->turn);
    return error;
}

void redis_release(struct redis *redis)
{
    int error = 0;

    ANYSYNC_SHIELD(NULL, ANYSYNC_FOREVER)
    {
        error = set_held(redis, false);
    }
    (void)error; /* its executor has stopped: nobody sends any more */
    anysync_mutex_unlock(redis->turn);
}

ANYSYNC_COROUTINE(void, redis_break_here, (struct redis *, redis), (const char *, why))
{
    redis_link_close(&redis->link, -ECONNABORTED, why);
    return 0;
}

void redis_break(struct redis *redis, const char *why)
{
    int error = redis_is_here(redis) ? redis_break_here(redis, why)
                                     : redis_break_here_run_on(redis->executor, redis, why);

    (void)error; /* as in redis_release() */
}
