/* SPDX-License-Identifier: MIT */
/*
 * Redis: commands a second through coroutines, against hiredis' own asynchronous interface on a
 * plain libevent base.
 *
 * Packages: hiredis
 * With: docs/examples/clients/redis.c docs/examples/clients/redis_link.c
 * With: docs/examples/clients/redis_batch.c docs/examples/clients/redis_blocks.c
 *
 *   each   64 coroutines, each sends a SET when the reply to its last one has come; by hand 64
 *          callbacks, each sends the next
 *   batch  batches of 100 SETs, each awaited as a whole; by hand the callback of the last sends the
 *          next hundred
 *
 * The client is on the first processor, the server on the second.
 */
#include "bench.h"
#include "redis.h"
#include "redis_server.h"

#include <event2/event.h>
#include <hiredis/adapters/libevent.h>
#include <hiredis/async.h>

enum { EACH = 64, BATCH = 100 };

static struct server server;

static void set_up(void)
{
    bench_pin(bench_cores() > 1);
    redis_server_start(&server, server_free_port(), false);
    bench_unpin();
}

/* --- ours ------------------------------------------------------------------------------------- */

static struct redis *redis;
static int64_t left;

ANYSYNC_COROUTINE(void, set_each, (int, key))
{
    int error = 0;

    while (!error && left-- > 0)
        error = redis_command(redis, NULL, ANYSYNC_FOREVER, "SET key:%d %s", key, "value");
    return error;
}

static int work_each(int64_t count)
{
    int error = 0;

    left = count;
    ANYSYNC_GROUP(group, &error)
    {
        for (int i = 0; i < EACH && !error; i++)
            error = set_each_spawn(group, NULL, i);
    }
    return error;
}

static int work_batch(int64_t count)
{
    int error = 0;

    for (int64_t done = 0; done < count && !error; done += BATCH) {
        struct redis_batch *batch = NULL;

        error = redis_batch_new(redis, &batch);
        for (int i = 0; i < BATCH && !error; i++)
            error = redis_batch_add(batch, "SET key:%d %s", i, "value");
        if (!error)
            error = redis_batch_wait(batch, ANYSYNC_FOREVER);
        redis_batch_unref(batch);
    }
    return error;
}

typedef int work_fn(int64_t count);

ANYSYNC_COROUTINE(int64_t, measure, (work_fn *, work), (int64_t, count))
{
    const struct redis_options options = {.port = server.port};

    bench_pin(0);
    int error = redis_connect(&options, &redis, ANYSYNC_FOREVER);
    if (error)
        return error;
    int64_t start = bench_now_ns();
    error = work(count);
    *result = bench_now_ns() - start;
    redis_close(redis);
    return error;
}

static int64_t ours(work_fn *work, int64_t count)
{
    int64_t ns = 0;

    bench_check(measure_run(&ns, work, count), "redis");
    return ns;
}

static int64_t ours_each(int64_t count)
{
    return ours(work_each, count);
}

static int64_t ours_batch(int64_t count)
{
    return ours(work_batch, count);
}

/* --- by hand ---------------------------------------------------------------------------------- */

static int64_t answers; /* still to come */

static void answer(redisAsyncContext *context, void *reply, void *key);

static void send_set(redisAsyncContext *context, intptr_t key)
{
    bench_check(redisAsyncCommand(context, answer, (void *)key, "SET key:%d %s", (int)key,
                        "value") != REDIS_OK,
            "redisAsyncCommand");
}

static void send_batch(redisAsyncContext *context)
{
    for (intptr_t i = 0; i < BATCH; i++)
        send_set(context, -i - 1);
}

/* KEY below zero: of a batch. */
static void answer(redisAsyncContext *context, void *reply, void *key)
{
    bench_check(reply == NULL, "reply");
    if ((intptr_t)key >= 0) {
        if (left-- > 0)
            send_set(context, (intptr_t)key);
    } else if ((intptr_t)key == -BATCH && answers > 1) {
        send_batch(context);
    }
    if (--answers == 0)
        redisAsyncDisconnect(context);
}

static int64_t hand(int64_t count, int64_t begin)
{
    struct event_base *base = event_base_new();
    redisAsyncContext *context = redisAsyncConnect("127.0.0.1", server.port);

    bench_pin(0);
    bench_check(!base || !context || context->err, "redisAsyncConnect");
    bench_check(redisLibeventAttach(context, base) != REDIS_OK, "redisLibeventAttach");
    int64_t start = bench_now_ns();
    answers = count;
    left = count - begin;
    if (begin == BATCH)
        send_batch(context);
    else
        for (intptr_t i = 0; i < begin; i++)
            send_set(context, i);
    event_base_dispatch(base);
    start = bench_now_ns() - start;
    event_base_free(base);
    bench_unpin();
    return start;
}

static int64_t hand_each(int64_t count)
{
    return hand(count, count < EACH ? count : EACH);
}

static int64_t hand_batch(int64_t count)
{
    return hand((count + BATCH - 1) / BATCH * BATCH, BATCH);
}

static double nearly_by_hand(const double *medians)
{
    return medians[BENCH_BY_HAND] * 0.9;
}

#define ROW(name, what, ...)                                                                       \
    {                                                                                              \
        .key = "W21-redis-" name, .work = "W21 redis, " what, .unit = BENCH_THOUSANDS,             \
        .run = {__VA_ARGS__}, .setup = set_up, .target = "0.9 x by hand", .limit = nearly_by_hand  \
    }

const struct bench_row bench_rows[] = {
        ROW("each", "64 coroutines", ours_each, hand_each),
        ROW("batch", "batches of 100", ours_batch, hand_batch),
};
const size_t bench_row_count = sizeof(bench_rows) / sizeof(bench_rows[0]);
