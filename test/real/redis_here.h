/* SPDX-License-Identifier: MIT */
/* What tests of the Redis client share: a server, a connection, and what is left at the end. */
#ifndef TEST_REAL_REDIS_HERE_H
#define TEST_REAL_REDIS_HERE_H

#include "futures.h"
#include "redis.h"
#include "redis_server.h"
#include "worlds.h"

#include <errno.h>

enum { MANY = 1000 };

static struct server server;
static struct redis_options where;
static struct redis *redis;
static char peer[64]; /* "127.0.0.1:12345" */
static int descriptors;

#define SOON anysync_in_seconds(60)
#define TOO_SOON anysync_in_ms(20)

static inline void begin(void)
{
    struct anysync_future *nothing = NULL;

    /* The worker and its loop's descriptors are there before anything is counted. */
    CHECK_EQ(anysync_future_at(ANYSYNC_FOREVER, &nothing), 0);
    anysync_future_set(nothing, NULL);
    anysync_future_unref(nothing);
    redis_server_start(&server, server_free_port(), false);
    where = (struct redis_options){.port = server.port};
    snprintf(peer, sizeof(peer), "127.0.0.1:%d", server.port);
}

static inline struct redis *connect_to(const struct redis_options *options)
{
    struct redis *connection = NULL;

    CHECK_EQ(redis_connect(options, &connection, SOON), 0);
    CHECK(connection != NULL);
    return connection;
}

static inline void begin_connected(void)
{
    begin();
    redis_close(connect_to(&where));
    descriptors = test_fd_count();
    redis = connect_to(&where);
}

static inline void done(void)
{
    redis_close(redis);
    CHECK_EQ(test_fd_count(), descriptors);
    server_stop(&server);
}

static inline void says(int code, const char *part)
{
    CHECK_EQ(anysync_last_error()->code, code);
    CHECK_CONTAINS(anysync_last_error()->message, peer);
    CHECK_CONTAINS(anysync_last_error()->message, part);
}

static inline void check_text(struct redis *connection, const char *key, const char *text)
{
    redisReply *reply = NULL;

    CHECK_EQ(redis_command(connection, &reply, SOON, "GET %s", key), 0);
    if (text)
        CHECK_STR(reply->str, text);
    else
        CHECK_EQ(reply->type, REDIS_REPLY_NIL);
    freeReplyObject(reply);
}

/* Make sure that what was sent before has been done. */
static inline void sync_with(struct redis *connection)
{
    CHECK_EQ(redis_command(connection, NULL, SOON, "PING"), 0);
}

static struct anysync_future *underway;

static inline struct redis_batch *new_batch(void)
{
    struct redis_batch *batch = NULL;

    CHECK_EQ(redis_batch_new(redis, &batch), 0);
    return batch;
}

#endif
