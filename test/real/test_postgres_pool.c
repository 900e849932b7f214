/* SPDX-License-Identifier: MIT */
/*
 * The pool of connections to PostgreSQL (docs/examples/clients/postgres_pool.h).
 *
 * Packages: libpq
 * With: docs/examples/clients/postgres.c docs/examples/clients/postgres_open.c
 * With: docs/examples/clients/postgres_pool.c test/real/postgres_server.c
 *
 * Promised                                   Tested by
 *   a connection is lent, and used again       a_connection_is_lent_again
 *   never more than that many                  many_users_share_few_connections, stress_...
 *   who waits is told when time is over        who_waits_for_a_connection_...
 *   what was lost is replaced                  a_connection_that_was_lost_..., a_pool_outlives_...
 *   what is left in a transaction is closed    a_connection_in_a_transaction_...
 *   a close waits                              a_close_waits_until_all_are_back
 *   an error of the connect is the taker's     who_cannot_be_connected_...
 */
#include "postgres_pool.h"
#include "postgres_tests.h"

static struct postgres_pool *pool; /* of the test */

static void new_pool(const struct server *server, size_t most)
{
    GOOD(postgres_pool_new(postgres_server_info(server, "application_name=pool"), most, &pool));
}

static int backend(struct postgres *db)
{
    return PQbackendPID(postgres_libpq(db));
}

static void check_lent(void)
{
    int pid = 0, error = 0;

    new_pool(&shared, 2);
    for (int i = 0; i < 5; i++) {
        ANYSYNC_WITH(postgres_lent, db, &error, pool, SOON)
        {
            pid = pid ? pid : backend(db);
            CHECK_EQ(number(db, "SELECT pg_backend_pid()"), pid);
        }
        GOOD(error);
    }
    ANYSYNC_WITH(postgres_lent, db, &error, pool, SOON)
    {
        error = postgres_execute(db, "SELECT 1 / 0", SOON);
    }
    BAD(error, -EREMOTEIO, "division by zero");
    GOOD(postgres_pool_close(pool, SOON));
}

TEST(a_connection_is_lent_again)
{
    in_worlds(WHERE_CALLS_WAIT, check_lent);
}

/* --- many users ------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(int, square, (int, n))
{
    char text[16];
    struct postgres_query query = {
            .sql = "SELECT $1::int * $1::int, (SELECT count(*) FROM pg_stat_activity"
                   " WHERE application_name = 'pool')",
            .count = 1,
            .values = (const char *[]){text}};
    PGresult *answer = NULL;
    int error = 0;

    snprintf(text, sizeof(text), "%d", n);
    ANYSYNC_WITH(postgres_lent, db, &error, pool, SOON)
    {
        error = postgres_query(db, &query, SOON, &answer);
    }
    if (!error) {
        *result = atoi(PQgetvalue(answer, 0, 0));
        CHECK_GE(4, atoi(PQgetvalue(answer, 0, 1)));
    }
    PQclear(answer);
    return error;
}

TEST(many_users_share_few_connections)
{
    enum { USERS = 50 };
    square_future soon[USERS];
    int value = 0;

    new_pool(&shared, 4);
    for (int i = 0; i < USERS; i++)
        GOOD(square_start(&soon[i], i));
    for (int i = 0; i < USERS; i++) {
        GOOD(square_wait(&soon[i], &value, SOON));
        CHECK_EQ(value, i * i);
        square_drop(&soon[i]);
    }
    GOOD(postgres_pool_close(pool, SOON));
}

/* Threads and coroutines; some break off, some are too late. */
static void use_pool(void *count, int index)
{
    for (long i = 0; i < *(long *)count; i++) {
        int error = 0;

        ANYSYNC_WITH(postgres_lent, db, &error, pool, SOON)
        {
            if (i % 5 == 4)
                error = postgres_execute(db, "SELECT pg_sleep(3600)", anysync_in_us(100 * index));
            else
                CHECK_EQ(number(db, index % 2 ? "SELECT 7" : "SELECT 7, pg_sleep(0)"), 7);
        }
        CHECK_EQ(error, i % 5 == 4 ? -ETIMEDOUT : 0);
    }
}

ANYSYNC_COROUTINE(void, use_pool_here, (long *, count), (int, index))
{
    use_pool(count, index);
    return 0;
}

TEST(stress_threads_and_coroutines_share_a_pool)
{
    enum { USERS = 4 };
    long count = test_scaled(50);
    use_pool_here_future soon[USERS];

    new_pool(&shared, 3);
    for (int i = 0; i < USERS; i++)
        GOOD(use_pool_here_start(&soon[i], &count, i));
    test_together(USERS, use_pool, &count);
    for (int i = 0; i < USERS; i++) {
        GOOD(use_pool_here_wait(&soon[i], ANYSYNC_FOREVER));
        use_pool_here_drop(&soon[i]);
    }
    GOOD(postgres_pool_close(pool, SOON));
}

static void check_wait(void)
{
    struct postgres *first, *second = NULL;
    int error = 0;

    new_pool(&shared, 1);
    GOOD(postgres_pool_take(pool, SOON, &first));
    CHECK_EQ(postgres_pool_take(pool, anysync_in_ms(1), &second), -ETIMEDOUT);
    ANYSYNC_WITH(postgres_lent, db, &error, pool, anysync_in_ms(1))
    {
        CHECK(!db);
    }
    CHECK_EQ(error, -ETIMEDOUT);
    CHECK(second == NULL);
    postgres_pool_give(pool, first);
    GOOD(postgres_pool_take(pool, SOON, &second));
    CHECK(second == first);
    postgres_pool_give(pool, second);
    GOOD(postgres_pool_close(pool, SOON));
}

TEST(who_waits_for_a_connection_is_told_when_it_is_late)
{
    in_worlds(WHERE_CALLS_WAIT, check_wait);
}

/* --- what does not come back well ------------------------------------------------------------- */

static void check_lost(void)
{
    struct postgres *root = connect_to(&shared), *first, *second;
    char sql[100];

    new_pool(&shared, 1);
    GOOD(postgres_pool_take(pool, SOON, &first));
    int pid = backend(first);
    postgres_pool_give(pool, first);
    snprintf(sql, sizeof(sql), "SELECT pg_terminate_backend(%d, 30000)", pid); /* waits for it */
    GOOD(postgres_execute(root, sql, SOON));
    GOOD(postgres_pool_take(pool, SOON, &second));
    CHECK_NE(backend(second), pid);
    CHECK_EQ(number(second, "SELECT 1"), 1);

    snprintf(sql, sizeof(sql), "SELECT pg_terminate_backend(%d, 30000)", backend(second));
    GOOD(postgres_execute(root, sql, SOON));
    CHECK_EQ(postgres_execute(second, "SELECT 1", SOON), -ECONNRESET);
    postgres_pool_give(pool, second);
    GOOD(postgres_pool_take(pool, SOON, &second));
    CHECK_EQ(number(second, "SELECT 1"), 1);
    postgres_pool_give(pool, second);
    GOOD(postgres_pool_close(pool, SOON));
    postgres_close(root);
}

TEST(a_connection_that_was_lost_is_replaced)
{
    in_worlds(PLAIN | WORKER | HERE, check_lost);
}

TEST(a_pool_outlives_its_server)
{
    struct server own = {0};
    struct postgres *db = NULL;

    postgres_server_copy(&template, &own);
    postgres_server_start(&own);
    new_pool(&own, 2);
    GOOD(postgres_pool_take(pool, SOON, &db));
    postgres_pool_give(pool, db);
    postgres_server_stop(&own);
    CHECK_EQ(postgres_pool_take(pool, SOON, &db), -ECONNREFUSED);
    postgres_server_start(&own);
    GOOD(postgres_pool_take(pool, SOON, &db));
    CHECK_EQ(number(db, "SELECT 1"), 1);
    postgres_pool_give(pool, db);
    GOOD(postgres_pool_close(pool, SOON));
    postgres_server_stop(&own);
}

TEST(a_connection_in_a_transaction_is_not_lent_again)
{
    struct postgres *db;

    new_pool(&shared, 1);
    GOOD(postgres_pool_take(pool, SOON, &db));
    int pid = backend(db);
    GOOD(postgres_execute(db, "BEGIN", SOON));
    postgres_pool_give(pool, db);
    GOOD(postgres_pool_take(pool, SOON, &db));
    CHECK_NE(backend(db), pid);
    CHECK(postgres_is_idle(db));
    postgres_pool_give(pool, db);
    GOOD(postgres_pool_close(pool, SOON));
}

static void check_unreachable(void)
{
    struct server nobody = {.port = server_free_port()};
    struct postgres *db = NULL;

    new_pool(&nobody, 1);
    for (int i = 0; i < 3; i++) /* the place is given back each time */
        BAD(postgres_pool_take(pool, SOON, &db), -ECONNREFUSED, name_of(&nobody));
    CHECK(db == NULL);
    GOOD(postgres_pool_close(pool, SOON));
    CHECK_EQ(postgres_pool_new("", 0, &pool), -EINVAL);
}

TEST(who_cannot_be_connected_is_told_why)
{
    in_worlds(WHERE_CALLS_WAIT, check_unreachable);
}

TEST(a_close_waits_until_all_are_back)
{
    struct postgres *db;

    new_pool(&shared, 3);
    GOOD(postgres_pool_take(pool, SOON, &db));
    BAD(postgres_pool_close(pool, anysync_in_ms(1)), -ETIMEDOUT, "not all connections");
    postgres_pool_give(pool, db);
    GOOD(postgres_pool_take(pool, SOON, &db));
    postgres_pool_give(pool, db);
    postgres_pool_give(pool, NULL);
    GOOD(postgres_pool_close(pool, SOON));
}
