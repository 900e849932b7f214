/* SPDX-License-Identifier: MIT */
/*
 * Transactions and subscriptions of the Redis client (docs/examples/clients/redis.h), and cancels
 * while its loop stands still.
 *
 * Packages: hiredis
 * With: docs/examples/clients/redis.c docs/examples/clients/redis_link.c
 * With: docs/examples/clients/redis_batch.c docs/examples/clients/redis_blocks.c
 *
 * Promised                                       Tested by
 *   EXEC, DISCARD, WATCH, turns                  a_transaction_...
 *   as a batch: all or nothing                   a_batch_without_memory_...
 *   every message, in order, from the first on   messages_...
 *   ends: by its consumer, server, garbage       a_subscription_..., garbage_...
 *   who is cancelled leaves nothing in use       a_cancel_waits_for_a_loop_that_is_busy
 *   nothing is left                              each: done() counts descriptors; leak checkers
 */
#define _GNU_SOURCE 1 /* RTLD_NEXT */
#include "redis_here.h"

#include <dlfcn.h>
#include <hiredis/async.h>
#include <sched.h>
#include <stdatomic.h>

/* --- transactions ----------------------------------------------------------------------------- */

static void check_done(void)
{
    redisReply *all = NULL, *reply = NULL;
    int error = 0;

    CHECK_EQ(redis_command(redis, NULL, SOON, "SET stock 10"), 0);
    ANYSYNC_WITH(redis_transaction, transaction, &error, redis, &all, SOON)
    {
        CHECK_EQ(redis_ask(transaction, NULL, SOON, "WATCH stock"), 0);
        CHECK_EQ(redis_ask(transaction, &reply, SOON, "GET stock"), 0);
        CHECK_STR(reply->str, "10");
        freeReplyObject(reply);
        CHECK_EQ(redis_queue(transaction, SOON, "DECR stock"), 0);
        CHECK_EQ(redis_queue(transaction, SOON, "GET stock"), 0);
        CHECK_EQ(redis_ask(transaction, &reply, SOON, "GET stock"), -EINVAL);
    }
    CHECK_EQ(error, 0);
    CHECK_EQ(all->elements, 2);
    CHECK_EQ(all->element[0]->integer, 9);
    CHECK_STR(all->element[1]->str, "9");
    freeReplyObject(all);
    all = NULL;
    ANYSYNC_WITH(redis_transaction, transaction, &error, redis, &all, SOON)
    {
        CHECK(transaction != NULL); /* nothing is queued */
    }
    CHECK_EQ(error, 0);
    CHECK(all == NULL);
}

static void check_failed(void)
{
    int error = 0;

    CHECK_EQ(redis_command(redis, NULL, SOON, "SET stock 10"), 0);
    ANYSYNC_WITH(redis_transaction, transaction, &error, redis, NULL, SOON)
    {
        CHECK_EQ(redis_queue(transaction, SOON, "DECR stock"), 0);
        error = -EIO;
    }
    CHECK_EQ(error, -EIO);
    check_text(redis, "stock", "10");
    error = 0;
    ANYSYNC_WITH(redis_transaction, transaction, &error, redis, NULL, SOON)
    {
        CHECK_EQ(redis_queue(transaction, SOON, "DECR stock"), 0);
        error = redis_queue(transaction, SOON, "NOSUCH");
        CHECK_EQ(error, -EREMOTEIO);
        error = 0; /* the server remembers */
    }
    CHECK_EQ(error, -EREMOTEIO);
    says(-EREMOTEIO, "EXEC: EXECABORT");
    check_text(redis, "stock", "10");
}

static void check_changed(void)
{
    struct redis *other = connect_to(&where);
    int error = 0;

    CHECK_EQ(redis_command(redis, NULL, SOON, "SET stock 10"), 0);
    ANYSYNC_WITH(redis_transaction, transaction, &error, redis, NULL, SOON)
    {
        CHECK_EQ(redis_ask(transaction, NULL, SOON, "WATCH stock"), 0);
        CHECK_EQ(redis_command(other, NULL, SOON, "SET stock 5"), 0);
        CHECK_EQ(redis_queue(transaction, SOON, "DECR stock"), 0);
    }
    CHECK_EQ(error, -ESTALE);
    says(-ESTALE, "EXEC: what was watched has changed");
    check_text(redis, "stock", "5");
    error = 0;
    /* A WATCH without a MULTI ends with its block. */
    ANYSYNC_WITH(redis_transaction, transaction, &error, redis, NULL, SOON)
    {
        CHECK_EQ(redis_ask(transaction, NULL, SOON, "WATCH stock"), 0);
    }
    CHECK_EQ(error, 0);
    CHECK_EQ(redis_command(other, NULL, SOON, "SET stock 6"), 0);
    ANYSYNC_WITH(redis_transaction, transaction, &error, redis, NULL, SOON)
    {
        CHECK_EQ(redis_queue(transaction, SOON, "DECR stock"), 0);
    }
    CHECK_EQ(error, 0);
    check_text(redis, "stock", "5");
    redis_close(other);
}

TEST(a_transaction_that_ends_well_is_done)
{
    begin_connected();
    in_every_world(check_done);
    done();
}

TEST(a_transaction_that_fails_is_discarded)
{
    begin_connected();
    in_every_world(check_failed);
    done();
}

TEST(a_transaction_sees_that_what_it_watches_has_changed)
{
    begin_connected();
    in_every_world(check_changed);
    done();
}

ANYSYNC_COROUTINE(void, hold_a_transaction)
{
    int error = 0;

    ANYSYNC_WITH(redis_transaction, transaction, &error, redis, NULL, SOON)
    {
        CHECK_EQ(redis_queue(transaction, SOON, "SET stock 1"), 0);
        open_gate(underway);
        error = anysync_sleep(ANYSYNC_FOREVER);
        CHECK_EQ(error, -ECANCELED);
    }
    CHECK_EQ(error, -ECANCELED);
    return error;
}

static void check_cancelled_transaction(void)
{
    hold_a_transaction_future holds;

    CHECK_EQ(redis_command(redis, NULL, SOON, "SET stock 10"), 0);
    underway = new_gate();
    CHECK_EQ(hold_a_transaction_start(&holds), 0);
    pass_gate(underway);
    CHECK_EQ(redis_command(redis, NULL, TOO_SOON, "PING"), -ETIMEDOUT);
    says(-ETIMEDOUT, "a transaction holds the connection");
    CHECK_EQ(hold_a_transaction_cancel(&holds), 0);
    check_text(redis, "stock", "10"); /* waits until it has ended */
    CHECK_EQ(hold_a_transaction_wait(&holds, ANYSYNC_FOREVER), -ECANCELED);
    hold_a_transaction_drop(&holds);
    anysync_future_unref(underway);
}

TEST(a_transaction_that_is_cancelled_is_discarded_and_others_wait_for_that)
{
    begin_connected();
    in_every_world(check_cancelled_transaction);
    done();
}

ANYSYNC_COROUTINE(void, increment, (int, times))
{
    for (int i = 0; i < times; i++) {
        int error = 0;

        ANYSYNC_WITH(redis_transaction, transaction, &error, redis, NULL, SOON)
        {
            error = redis_queue(transaction, SOON, "INCR counted");
            if (!error)
                error = anysync_yield();
            if (!error)
                error = redis_queue(transaction, SOON, "INCR counted");
        }
        if (!error) /* others between the transactions */
            error = redis_command(redis, NULL, SOON, "INCR counted");
        if (error)
            return error;
    }
    return 0;
}

static void increment_on_a_thread(void *argument, int index)
{
    (void)argument;
    CHECK_EQ(index % 2 ? increment_run_here(20) : increment_asi_body(NULL, 20), 0);
}

TEST(a_transaction_has_the_connection_to_itself_however_many_there_are)
{
    begin_connected();
    int error = 0;
    ANYSYNC_GROUP(group, &error)
    {
        for (int i = 0; i < 10 && !error; i++)
            error = increment_spawn(group, NULL, 20);
        test_together(4, increment_on_a_thread, NULL);
    }
    CHECK_EQ(error, 0);
    check_text(redis, "counted", "840"); /* 14 x 20 x 3 */
    done();
}

static void check_killed_transaction(void)
{
    int error = 0;

    ANYSYNC_WITH(redis_transaction, transaction, &error, redis, NULL, SOON)
    {
        CHECK_EQ(redis_queue(transaction, SOON, "INCR stock"), 0);
        server_kill(&server);
    }
    CHECK_EQ(error, -ECONNRESET);
    says(-ECONNRESET, "EXEC");
    redis_close(redis);
    redis_server_start(&server, server.port, false);
    redis = connect_to(&where);
    check_text(redis, "stock", NULL);
}

TEST(a_transaction_whose_server_is_killed_says_so)
{
    begin_connected();
    in_every_world(check_killed_transaction);
    done();
}

static void check_slow_transaction(void)
{
    int error = 0;

    CHECK_EQ(redis_command(redis, NULL, SOON, "SET stock 10"), 0);
    ANYSYNC_WITH(redis_transaction, transaction, &error, redis, NULL, SOON)
    {
        CHECK_EQ(redis_queue(transaction, SOON, "INCR stock"), 0);
        server_pause(&server);
        error = redis_queue(transaction, TOO_SOON, "INCR stock");
        CHECK_EQ(error, -ETIMEDOUT);
    }
    CHECK_EQ(error, -ETIMEDOUT);
    server_go_on(&server);
    check_text(redis, "stock", "10");
}

TEST(a_transaction_whose_server_is_slow_is_discarded_when_it_wakes)
{
    begin_connected();
    in_every_world(check_slow_transaction);
    done();
}

static atomic_int room = 1000000; /* for so many commands more */

/* hiredis', without memory for some. */
int redisAsyncFormattedCommand(redisAsyncContext *context, redisCallbackFn *function,
        void *argument, const char *command, size_t size)
{
    int (*original)(redisAsyncContext *, redisCallbackFn *, void *, const char *, size_t);
    void *address = dlsym(RTLD_NEXT, "redisAsyncFormattedCommand");

    memcpy(&original, &address, sizeof(original));
    return atomic_fetch_sub(&room, 1) > 0 ? original(context, function, argument, command, size)
                                          : REDIS_ERR;
}

/* Nobody else's command gets into its transaction. */
TEST(a_batch_without_memory_in_the_middle_ends_the_connection)
{
    begin_connected();
    struct redis_batch *batch = new_batch();
    redisReply *reply = NULL;

    CHECK_EQ(redis_batch_add(batch, "MULTI"), 0);
    CHECK_EQ(redis_batch_add(batch, "SET half 1"), 0);
    CHECK_EQ(redis_batch_add(batch, "EXEC"), 0);
    atomic_store(&room, 2);
    CHECK_EQ(redis_batch_wait(batch, SOON), -ENOMEM);
    says(-ENOMEM, "EXEC");
    atomic_store(&room, 1000000);
    CHECK_EQ(redis_command(redis, &reply, SOON, "GET half"), -ENOMEM);
    says(-ENOMEM, "middle of a batch");
    redis_batch_unref(batch);
    redis_close(redis);
    redis = connect_to(&where);
    check_text(redis, "half", NULL);
    done();
}

/* --- subscriptions ---------------------------------------------------------------------------- */

static void check_messages(void)
{
    struct redis_batch *batch = new_batch();
    int error = 0, count = -1;

    for (int i = 0; i < MANY; i++)
        CHECK_EQ(redis_batch_add(batch, "PUBLISH news %d", i), 0);
    ANYSYNC_FOR(redis_messages, message, &error, &where, "news")
    {
        CHECK_STR(message.channel, "news");
        if (count < 0) {
            CHECK(message.text == NULL);
            CHECK_EQ(redis_batch_send(batch, SOON), 0);
        } else {
            CHECK_EQ(atoi(message.text), count);
            CHECK_EQ(message.size, strlen(message.text));
        }
        if (++count == MANY)
            break;
    }
    CHECK_EQ(error, 0);
    CHECK_EQ(count, MANY);
    CHECK_EQ(redis_batch_wait(batch, SOON), 0);
    redis_batch_unref(batch);
}

TEST(messages_come_in_order_from_the_first_on)
{
    begin_connected();
    in_every_world(check_messages);
    descriptors = test_fd_count() - 1; /* with those that this thread's loop keeps */
    in_every_world(check_messages);
    done();
}

static void check_waiting_subscription(void)
{
    struct redis_message message;
    redis_messages_generator news;

    CHECK_EQ(redis_messages_open(&news, &where, "news"), 0);
    CHECK_EQ(redis_messages_next(&news, &message), 0);
    CHECK(message.text == NULL);
    CHECK_EQ(redis_messages_next_until(&news, &message, TOO_SOON), -ETIMEDOUT);
    CHECK_EQ(redis_command(redis, NULL, SOON, "PUBLISH news %b", "a\0b", (size_t)3), 0);
    CHECK_EQ(redis_messages_next(&news, &message), 0);
    CHECK_EQ(message.size, 3);
    CHECK_EQ(memcmp(message.text, "a\0b", 4), 0);
    CHECK_EQ(redis_messages_next_until(&news, &message, TOO_SOON), -ETIMEDOUT);
    redis_messages_drop(&news);
}

TEST(a_subscription_is_closed_while_it_waits)
{
    begin_connected();
    in_every_world(check_waiting_subscription);
    descriptors = test_fd_count() - 1; /* with those that this thread's loop keeps */
    in_every_world(check_waiting_subscription);
    done();
}

static void check_lost_subscription(void)
{
    int error = 0, count = 0;

    ANYSYNC_FOR(redis_messages, message, &error, &where, "news")
    {
        CHECK(message.text == NULL);
        count++;
        server_kill(&server);
    }
    CHECK_EQ(count, 1);
    CHECK_EQ(error, -ECONNRESET);
    says(-ECONNRESET, "SUBSCRIBE: the server closed the connection");
    error = 0;
    ANYSYNC_FOR(redis_messages, message, &error, &where, "news")
    {
        CHECK(message.text == NULL && false);
    }
    CHECK_EQ(error, -ECONNREFUSED);
    redis_close(redis);
    redis_server_start(&server, server.port, false);
    redis = connect_to(&where);
}

TEST(a_subscription_ends_with_its_server)
{
    begin_connected();
    in_every_world(check_lost_subscription);
    descriptors = test_fd_count() - 1; /* with those that this thread's loop keeps */
    in_every_world(check_lost_subscription);
    done();
}

static void hear(const char *text, size_t size)
{
    int error = 0;

    server_pretend(&server, server.port, text, size, true);
    ANYSYNC_FOR(redis_messages, message, &error, &where, "news")
    {
        CHECK(message.channel != NULL);
    }
    CHECK(error < 0);
    CHECK_CONTAINS(anysync_last_error()->message, peer);
    server_kill(&server);
}

static void check_garbage_messages(void)
{
#define HEAR(text) hear(text, sizeof(text) - 1)
    HEAR("HTTP/1.1 400 Bad Request\r\n\r\n");
    HEAR("+OK\r\n");
    HEAR("*3\r\n:1\r\n:2\r\n:3\r\n");
    HEAR("*0\r\n");
    HEAR("*1\r\n$9\r\nsubscribe\r\n");
    HEAR("*3\r\n$11\r\nunsubscribe\r\n$4\r\nnews\r\n$1\r\nx\r\n");
    HEAR("*3\r\n$7\r\nmessage\r\n$-1\r\n$-1\r\n");
    HEAR("*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n*1\r\n$1\r\nx\r\n");
    HEAR("*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n*3\r\n:1\r\n");
    HEAR("");
#undef HEAR
}

TEST(garbage_ends_a_subscription)
{
    begin_connected();
    done();
    in_every_world(check_garbage_messages);
    descriptors = test_fd_count();
    in_every_world(check_garbage_messages);
    CHECK_EQ(test_fd_count(), descriptors);
}

/* --- cancels ---------------------------------------------------------------------------------- */

/* The connection's loop stands still until that is ended. */
static atomic_bool stands, goes_on;

ANYSYNC_COROUTINE(void, stand_still)
{
    atomic_store(&stands, true);
    while (!atomic_load(&goes_on))
        sched_yield();
    return 0;
}

ANYSYNC_COROUTINE(void, ask_slowly)
{
    return redis_command(redis, NULL, ANYSYNC_FOREVER, "BLPOP nothing 0");
}

ANYSYNC_COROUTINE(void, connect_slowly)
{
    struct redis *other = NULL;

    return redis_connect(&where, &other, ANYSYNC_FOREVER);
}

/* TASK, which asks the loop for something, does not return as long as that is under way there. */
static void cancel_while_it_stands_still(struct anysync_future *task)
{
    stand_still_future still;

    CHECK_EQ(anysync_sleep(anysync_in_ms(20)), 0); /* it has begun, as a rule */
    atomic_store(&stands, false);
    atomic_store(&goes_on, false);
    CHECK_EQ(stand_still_start_on(where.executor, &still), 0);
    while (!atomic_load(&stands))
        sched_yield();
    CHECK_EQ(anysync_cancel(task), 0);
    CHECK_EQ(anysync_future_wait(task, anysync_in_ms(50)), -ETIMEDOUT);
    atomic_store(&goes_on, true);
    CHECK_EQ(anysync_wait(task, NULL, SOON), -ECANCELED);
    CHECK_EQ(stand_still_wait(&still, SOON), 0);
    stand_still_drop(&still);
    anysync_future_unref(task);
}

TEST(a_cancel_waits_for_a_loop_that_is_busy)
{
    const struct anysync_executor_options impatient = {.grace_ns = -1};
    connect_slowly_future connects;
    ask_slowly_future asks;

    begin();
    CHECK_EQ(anysync_executor_new(&impatient, &where.executor), 0);
    redis = connect_to(&where);
    CHECK_EQ(ask_slowly_start(&asks), 0);
    cancel_while_it_stands_still(asks.future);
    server_pause(&server);
    where.password = "no answer";
    CHECK_EQ(connect_slowly_start(&connects), 0);
    cancel_while_it_stands_still(connects.future);
    server_go_on(&server);
    redis_close(redis);
    CHECK_EQ(anysync_executor_shutdown(where.executor, ANYSYNC_DRAIN, SOON, NULL), 0);
    anysync_executor_unref(where.executor);
    server_stop(&server);
}
