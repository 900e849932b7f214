/* SPDX-License-Identifier: MIT */
/*
 * Transactions and subscriptions (redis.h).
 *
 * A transaction has the connection to itself: it holds the mutex `turn`, and says so on the loop,
 * where others look before they send.  What it sends goes out at once.  Its end never waits for
 * anything but EXEC: a DISCARD is sent and forgotten, for what is sent later comes after it.
 *
 * A subscription is a link of its own on the generator's loop.  hiredis calls back for each message
 * that one read of the socket brought, 16 KiB at most; reading stops until they are consumed.
 */
#include "redis_inside.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- transactions ----------------------------------------------------------------------------- */

enum { SENTENCE = 512 }; /* the longest of anysync_fail() */

struct redis_transaction {
    struct redis *redis;
    bool asked;  /* a WATCH may be in force */
    bool queues; /* MULTI was sent */
};

/* A command, after a MULTI if START; sent by the one who holds the connection. */
static int tell(struct redis_transaction *transaction, bool start, redisReply **ret_reply,
        anysync_time deadline, const char *format, va_list list)
{
    struct redis_batch *batch = NULL;
    int error = redis_batch_new(transaction->redis, &batch);

    if (!error)
        redis_batch_within(batch);
    if (!error && start)
        error = redis_batch_add(batch, "MULTI");
    if (!error)
        error = redis_batch_add_list(batch, format, list);
    if (!error) {
        transaction->queues |= start;
        return redis_batch_finish(batch, ret_reply, deadline);
    }
    redis_batch_unref(batch);
    return error;
}

int redis_ask(struct redis_transaction *transaction, redisReply **ret_reply, anysync_time deadline,
        const char *format, ...)
{
    va_list list;

    if (transaction->queues)
        return anysync_fail(-EINVAL, "redis: redis_ask() after redis_queue(): its reply would come "
                                     "at the end only; ask first, queue then");
    transaction->asked = true;
    va_start(list, format);
    int error = tell(transaction, false, ret_reply, deadline, format, list);
    va_end(list);
    return error;
}

int redis_queue(
        struct redis_transaction *transaction, anysync_time deadline, const char *format, ...)
{
    va_list list;

    va_start(list, format);
    int error = tell(transaction, !transaction->queues, NULL, deadline, format, list);
    va_end(list);
    return error;
}

static int end_well(
        struct redis_transaction *transaction, redisReply **ret_done, anysync_time deadline)
{
    struct redis_batch *batch = NULL;
    redisReply *done = NULL;
    int error = redis_batch_new(transaction->redis, &batch);

    if (error)
        return error;
    redis_batch_within(batch);
    error = redis_batch_add(batch, "EXEC");
    if (error) {
        redis_batch_unref(batch);
        return error;
    }
    error = redis_batch_finish(batch, &done, deadline);
    if (!error && done->type == REDIS_REPLY_NIL)
        error = anysync_fail(-ESTALE,
                "redis %s: EXEC: what was watched has changed; nothing was "
                "done",
                transaction->redis->link.peer);
    if (!error && ret_done)
        *ret_done = done;
    else if (done)
        freeReplyObject(done);
    return error;
}

/* Send COMMAND, and do not wait. */
static int send_word(struct redis_transaction *transaction, const char *command)
{
    struct redis_batch *batch = NULL;
    int error = redis_batch_new(transaction->redis, &batch);

    if (error)
        return error;
    redis_batch_within(batch);
    error = redis_batch_add(batch, command);
    if (!error)
        error = redis_batch_send(batch, ANYSYNC_FOREVER);
    redis_batch_unref(batch);
    return error;
}

/* Whatever happens, the next user finds no transaction open: if that cannot be said, it finds the
 * connection closed. */
static void end_badly(struct redis_transaction *transaction)
{
    int error = 0;

    ANYSYNC_SHIELD(NULL, ANYSYNC_FOREVER)
    {
        if (transaction->queues)
            error = send_word(transaction, "DISCARD");
        else if (transaction->asked)
            error = send_word(transaction, "UNWATCH");
        if (error)
            redis_break(transaction->redis, "a transaction could not be ended");
    }
}

ANYSYNC_CONTEXT_MANAGER_DEFINE(struct redis_transaction *, redis_transaction,
        (struct redis *, redis), (redisReply **, ret_done), (anysync_time, deadline))
{
    struct redis_transaction transaction = {.redis = redis};
    int error = redis_hold(redis, deadline);

    if (error)
        return error;
    error = redis_transaction_yield(&transaction);
    bool well = !error && transaction.queues;
    if (well)
        error = end_well(&transaction, ret_done, deadline);
    if (!well || error) {
        const struct anysync_error *last = anysync_last_error();
        char message[SENTENCE] = "";

        if (error && last->code == error)
            snprintf(message, sizeof(message), "%s", last->message);
        end_badly(&transaction); /* after an EXEC it does nothing */
        if (message[0])
            error = anysync_fail(error, "%s", message); /* this one, not that of a DISCARD */
    }
    redis_release(redis);
    return error;
}

/* --- subscriptions ---------------------------------------------------------------------------- */

struct message {
    struct message *next;
    redisReply *reply;
};

struct feed {
    struct redis_link link;
    struct message *head, **tail;
    struct anysync_future *some; /* done: look again; NULL: nobody waits */
    bool ended;
};

static void wake(struct feed *feed)
{
    if (feed->some)
        anysync_future_set(feed->some, NULL);
}

static void on_message(redisAsyncContext *context, void *reply, void *argument)
{
    struct feed *feed = argument;
    struct message *message = reply ? malloc(sizeof(*message)) : NULL;

    if (message) {
        *message = (struct message){NULL, redis_link_take(reply)};
        *feed->tail = message;
        feed->tail = &message->next;
        context->ev.delRead(context->ev.data); /* until these are consumed */
    } else {
        redis_link_lost(&feed->link, context);
        if (!feed->link.code)
            feed->link.code = -ENOMEM;
        feed->ended = true;
    }
    wake(feed);
}

static int next_message(struct feed *feed, redisReply **ret_reply)
{
    while (!feed->head) {
        if (feed->ended)
            return redis_link_fail(&feed->link, "SUBSCRIBE");
        int error = anysync_future_new(0, &feed->some);
        if (error)
            return error;
        redisAsyncContext *context = feed->link.context;
        context->ev.addRead(context->ev.data);
        error = anysync_future_wait(feed->some, ANYSYNC_FOREVER);
        feed->some = anysync_future_unref(feed->some);
        if (error)
            return error;
    }
    struct message *message = feed->head;
    feed->head = message->next;
    if (!feed->head)
        feed->tail = &feed->head;
    *ret_reply = message->reply;
    free(message);
    return 0;
}

static int give_message(const redisReply *reply)
{
    redisReply **parts = reply->element;
    bool begins = parts[2]->type == REDIS_REPLY_INTEGER;
    struct redis_message message = {.channel = parts[1]->str};

    if (!begins) {
        message.text = parts[2]->str;
        message.size = (size_t)parts[2]->len;
    }
    return redis_messages_yield(message);
}

static int give_all(struct feed *feed, const char *channel)
{
    const char *argv[] = {"SUBSCRIBE", channel};
    redisReply *reply;
    int error = 0;

    feed->link.feeds = true;
    if (redisAsyncCommandArgv(feed->link.context, on_message, feed, 2, argv, NULL) != REDIS_OK)
        return anysync_fail(-ENOMEM, "redis %s: SUBSCRIBE: no memory", feed->link.peer);
    while (!error) {
        error = next_message(feed, &reply);
        if (error)
            break;
        error = give_message(reply);
        freeReplyObject(reply);
    }
    return error;
}

ANYSYNC_GENERATOR_DEFINE(struct redis_message, redis_messages,
        (const struct redis_options *, options), (const char *, channel))
{
    struct feed feed = {.head = NULL};
    redisReply *reply;

    feed.tail = &feed.head;
    int error = redis_link_open(&feed.link, options, ANYSYNC_FOREVER);
    if (error)
        return error;
    error = give_all(&feed, channel);
    redis_link_close(&feed.link, -EPIPE, "the subscription was ended");
    feed.ended = true;
    while (feed.head && next_message(&feed, &reply) == 0)
        freeReplyObject(reply);
    return error;
}
