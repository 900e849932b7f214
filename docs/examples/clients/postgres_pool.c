/* SPDX-License-Identifier: MIT */
/*
 * A pool of connections to PostgreSQL.  (What it offers: postgres_pool.h.)
 *
 * Packages: libpq
 *
 * A limiter's tokens are the right to have a connection: who has one takes an idle connection, or
 * opens a new one.  So there are never more than tokens, and the line of those who wait is the
 * limiter's.  The stack of idle connections has a lock, held for a few instructions.
 */
#include "postgres_pool.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct postgres_pool {
    struct anysync_limiter *limiter;
    size_t most;
    char *conninfo;
    pthread_mutex_t lock;
    size_t count;            /* [lock] */
    struct postgres *idle[]; /* [lock] the last one was used last */
};

int postgres_pool_new(const char *conninfo, size_t most, struct postgres_pool **ret_pool)
{
    if (most == 0 || most > SIZE_MAX / 2 / sizeof(struct postgres *))
        return anysync_fail(-EINVAL, "a pool of %zu connections", most);
    struct postgres_pool *pool = calloc(1, sizeof(*pool) + most * sizeof(pool->idle[0]));
    int error = pool ? anysync_limiter_new(most, &pool->limiter) : -ENOMEM;
    if (!error && (pool->conninfo = strdup(conninfo)) == NULL)
        error = -ENOMEM;
    if (error) {
        if (pool)
            anysync_limiter_unref(pool->limiter);
        free(pool);
        return anysync_fail(error, "no memory for a pool of %zu connections", most);
    }
    pool->most = most;
    pthread_mutex_init(&pool->lock, NULL);
    *ret_pool = pool;
    return 0;
}

static struct postgres *pop(struct postgres_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    struct postgres *db = pool->count > 0 ? pool->idle[--pool->count] : NULL;
    pthread_mutex_unlock(&pool->lock);
    return db;
}

static void push(struct postgres_pool *pool, struct postgres *db)
{
    pthread_mutex_lock(&pool->lock);
    pool->idle[pool->count++] = db;
    pthread_mutex_unlock(&pool->lock);
}

/* Nothing was asked: if there is something to read all the same, it is the server's farewell. */
static bool is_alive(const struct postgres *db)
{
    struct pollfd socket = {.fd = PQsocket(postgres_libpq(db)), .events = POLLIN};

    return poll(&socket, 1, 0) == 0;
}

int postgres_pool_take(struct postgres_pool *pool, anysync_time deadline, struct postgres **ret_db)
{
    struct postgres *db;
    int error = anysync_limiter_acquire(pool->limiter, deadline);

    if (error)
        return error;
    while ((db = pop(pool)) != NULL && !is_alive(db))
        postgres_close(db);
    if (!db)
        error = postgres_connect(pool->conninfo, deadline, &db);
    if (error)
        anysync_limiter_release(pool->limiter);
    else
        *ret_db = db;
    return error;
}

void postgres_pool_give(struct postgres_pool *pool, struct postgres *db)
{
    if (!db)
        return;
    if (postgres_is_idle(db))
        push(pool, db);
    else
        postgres_close(db);
    anysync_limiter_release(pool->limiter);
}

ANYSYNC_CONTEXT_MANAGER_DEFINE(
        struct postgres *, postgres_lent, (struct postgres_pool *, pool), (anysync_time, deadline))
{
    struct postgres *db;
    int error = postgres_pool_take(pool, deadline, &db);

    if (error)
        return error;
    error = postgres_lent_yield(db);
    postgres_pool_give(pool, db);
    return error;
}

int postgres_pool_close(struct postgres_pool *pool, anysync_time deadline)
{
    size_t back = 0;
    int error = 0;

    while (back < pool->most && (error = anysync_limiter_acquire(pool->limiter, deadline)) == 0)
        back++;
    if (error) {
        while (back-- > 0)
            anysync_limiter_release(pool->limiter);
        return anysync_fail(error,
                "a pool was not closed, for not all connections were given back: %s",
                anysync_error_text(error));
    }
    for (struct postgres *db; (db = pop(pool)) != NULL;)
        postgres_close(db);
    anysync_limiter_unref(pool->limiter);
    pthread_mutex_destroy(&pool->lock);
    free(pool->conninfo);
    free(pool);
    return 0;
}
