/* SPDX-License-Identifier: MIT */
/*
 * A pool of connections to PostgreSQL, for the many coroutines and threads of a server.
 *
 *      error = postgres_pool_new("host=db.example dbname=shop", 10, &pool);
 *
 *      ANYSYNC_WITH(postgres_lent, db, &error, pool, anysync_in_seconds(1))
 *      {
 *          error = postgres_query(db, &query, deadline, &result);
 *      }
 *
 * There are never more connections than was said.  They are opened when they are needed, and kept:
 * the one used last is lent first.  One that was lost, or is given back within a transaction, is
 * closed, and another opened in its place when it is needed; so a pool outlives its server.
 */
#ifndef CLIENTS_POSTGRES_POOL_H
#define CLIENTS_POSTGRES_POOL_H

#include "postgres.h"

struct postgres_pool; /* opaque, one owner */

/*
 * Make a pool, which opens nothing yet.
 *
 * conninfo  as for postgres_connect(); copied.
 * most      connections at the same time; at least 1.
 * ret_pool  owned by the caller: postgres_pool_close() it.
 *
 * Returns  0, -EINVAL for MOST == 0, or -ENOMEM.
 * Thread   any.
 */
int postgres_pool_new(
        const char *conninfo, size_t most, struct postgres_pool **ret_pool) ANYSYNC_MUST_CHECK;

/*
 * Take a connection; postgres_pool_give() it back.  Who waits is served first come, first served.
 *
 * Returns  0; -ETIMEDOUT, -ECANCELED; -EDEADLK in a callback of a loop; if one had to be opened,
 *          also what postgres_connect() says.
 * Thread   any.   Blocks  a thread; suspends a coroutine.   Cancel  cancellation point.
 */
int postgres_pool_take(struct postgres_pool *pool, anysync_time deadline,
        struct postgres **ret_db) ANYSYNC_MUST_CHECK;

/* Give DB back (consumed); NULL is fine.  No generator uses it any more.  Any thread;
 * never blocks. */
void postgres_pool_give(struct postgres_pool *pool, struct postgres *db);

/* A connection of POOL (borrowed) for a block; DEADLINE is for the wait.  Enter returns as
 * postgres_pool_take(). */
ANYSYNC_CONTEXT_MANAGER_DECLARE(
        struct postgres *, postgres_lent, (struct postgres_pool *, pool), (anysync_time, deadline));

/*
 * Wait until all connections were given back, close them, and free POOL.  Nobody takes any more.
 * Returns  0; or -ETIMEDOUT, -ECANCELED, -EDEADLK: the pool is still there, to be closed again.
 */
int postgres_pool_close(struct postgres_pool *pool, anysync_time deadline) ANYSYNC_MUST_CHECK;

#endif
