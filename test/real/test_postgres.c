/* SPDX-License-Identifier: MIT */
/*
 * The client for PostgreSQL (docs/examples/clients/postgres.h), with a server that is well.
 *
 * Packages: libpq
 * With: docs/examples/clients/postgres.c docs/examples/clients/postgres_open.c
 * With: test/real/postgres_server.c
 *
 * Promised                                   Tested by
 *   each call in each world                    each_call_works_in_each_world
 *   parameters, results: text, binary, NULL    parameters_are_sent_as_they_are, big_...
 *   prepared statements                        a_prepared_statement_...
 *   the server refuses: code, SQLSTATE         a_refusal_has_its_sqlstate_...
 *   rows                                       rows_...
 *   a transaction is committed or rolled back  a_transaction_..., a_commit_...
 *   one user at a time                         a_second_user_is_told
 *   deadlines and cancels: the server is       a_deadline_..., a_cancel_..., what_ends_before_...,
 *   asked, the connection can be used          nothing_is_sent_...
 *   COPY is refused                            a_copy_closes_the_connection
 *   nothing is left open                       descriptors_are_given_back
 */
#include "postgres_tests.h"

static struct postgres *db; /* of the test */

/* --- queries ---------------------------------------------------------------------------------- */

static void check_each_call(void)
{
    struct postgres_query numbers = {.sql = "SELECT generate_series(1, 10)"};
    struct postgres *mine = connect_to(&shared);
    int error = 0, sum = 0;

    CHECK(postgres_is_idle(mine));
    GOOD(postgres_prepare(mine, "twice", "SELECT 2 * $1::int", SOON));
    struct postgres_query twice = {
            .prepared = "twice", .count = 1, .values = (const char *[]){"21"}};
    PGresult *result = NULL;
    GOOD(postgres_query(mine, &twice, SOON, &result));
    CHECK_STR(PQgetvalue(result, 0, 0), "42");
    PQclear(result);
    ANYSYNC_WITH(postgres_transaction, tx, &error, mine, NULL, SOON)
    {
        CHECK(tx == mine && !postgres_is_idle(tx));
        ANYSYNC_FOR(postgres_rows, row, &error, tx, &numbers)
        {
            sum += atoi(PQgetvalue(row, 0, 0));
        }
    }
    GOOD(error);
    CHECK_EQ(sum, 55);
    BAD(postgres_execute(mine, "SELECT pg_sleep(3600)", anysync_in_ms(1)), -ETIMEDOUT,
            name_of(&shared));
    CHECK_EQ(number(mine, "SELECT 1"), 1);
    postgres_close(mine);
}

TEST(each_call_works_in_each_world)
{
    in_worlds(WHERE_CALLS_WAIT, check_each_call);
}

TEST(parameters_are_sent_as_they_are)
{
    const char bytes[] = {1, 0, 2}; /* no string */
    struct postgres_query query = {
            .sql = "SELECT $1::bytea, $2::text, $3::text IS NULL, $4::int",
            .count = 4,
            .values = (const char *[]){bytes, "it's", NULL, "-7"},
            .lengths = (int[]){sizeof(bytes), 0, 0, 0},
            .formats = (int[]){1, 0, 0, 0},
            .binary = true,
    };
    PGresult *result = NULL;

    db = connect_to(&shared);
    GOOD(postgres_query(db, &query, SOON, &result));
    CHECK_EQ(PQgetlength(result, 0, 0), sizeof(bytes));
    CHECK_EQ(memcmp(PQgetvalue(result, 0, 0), bytes, sizeof(bytes)), 0);
    CHECK_STR(PQgetvalue(result, 0, 1), "it's");
    CHECK_EQ(PQgetvalue(result, 0, 2)[0], 1);
    CHECK_EQ(memcmp(PQgetvalue(result, 0, 3), "\xff\xff\xff\xf9", 4), 0);
    PQclear(result);
    postgres_close(db);
}

static void check_big(void)
{
    enum { SIZE = 16 << 20 }; /* more than sockets take at once, in both directions */
    char *big = malloc(SIZE + 1);
    struct postgres_query query = {
            .sql = "SELECT reverse($1), length($1)", .count = 1, .values = (const char *[]){big}};
    PGresult *result = NULL;

    CHECK(big);
    memset(big, 'x', SIZE);
    big[SIZE] = '\0';
    db = connect_to(&shared);
    GOOD(postgres_query(db, &query, SOON, &result));
    CHECK_EQ(strcmp(PQgetvalue(result, 0, 0), big), 0);
    CHECK_EQ(atoi(PQgetvalue(result, 0, 1)), SIZE);
    PQclear(result);
    postgres_close(db);
    free(big);
}

TEST(big_parameters_and_results_pass_in_pieces)
{
    in_worlds(PLAIN | WORKER | HERE, check_big);
}

TEST(a_prepared_statement_is_known_by_its_name)
{
    struct postgres_query unknown = {.prepared = "unknown"}, none = {0};

    db = connect_to(&shared);
    BAD(postgres_query(db, &unknown, SOON, NULL), -EREMOTEIO, "\"unknown\" does not exist");
    CHECK_STR(postgres_sqlstate(db), "26000");
    BAD(postgres_query(db, &none, SOON, NULL), -EINVAL, "was not sent");
    BAD(postgres_prepare(db, "bad", "SELEC", SOON), -EREMOTEIO, "syntax error");
    CHECK_EQ(number(db, "SELECT 1"), 1);
    postgres_close(db);
}

static void check_refusal(void)
{
    db = connect_to(&shared);
    GOOD(postgres_execute(db, "CREATE TEMP TABLE t (i int CONSTRAINT small CHECK (i < 9))", SOON));
    BAD(postgres_execute(db, "INSERT INTO t VALUES (1); INSERT INTO t VALUES (9)", SOON),
            -EREMOTEIO, name_of(&shared));
    CHECK_CONTAINS(anysync_last_error()->message, "\"INSERT INTO t VALUES (1); INSERT");
    CHECK_CONTAINS(anysync_last_error()->message, "(SQLSTATE 23514)");
    CHECK(!strchr(anysync_last_error()->message, '\n'));
    CHECK_STR(postgres_sqlstate(db), "23514");
    CHECK_STR(PQresultErrorField(postgres_failure(db), PG_DIAG_CONSTRAINT_NAME), "small");
    CHECK_EQ(number(db, "SELECT count(*) FROM t"), 0);
    CHECK_STR(postgres_sqlstate(db), "");
    CHECK(postgres_failure(db) == NULL);
    postgres_close(db);
}

TEST(a_refusal_has_its_sqlstate_and_the_connection_goes_on)
{
    in_worlds(PLAIN | WORKER | HERE, check_refusal);
}

TEST(a_second_user_is_told)
{
    struct postgres_query query = {.sql = "SELECT generate_series(1, 3)"};
    postgres_rows_generator rows;
    const PGresult *row = NULL;

    db = connect_to(&shared);
    GOOD(postgres_rows_open(&rows, db, &query));
    GOOD(postgres_rows_next(&rows, &row));
    CHECK(!postgres_is_idle(db));
    BAD(postgres_execute(db, "SELECT 1", SOON), -EBUSY, "one more connection");
    GOOD(postgres_rows_next(&rows, &row));
    CHECK_STR(PQgetvalue(row, 0, 0), "2");
    postgres_rows_drop(&rows);
    CHECK_EQ(number(db, "SELECT 1"), 1);
    postgres_close(db);
}

TEST(a_copy_closes_the_connection)
{
    db = connect_to(&shared);
    BAD(postgres_execute(db, "COPY (SELECT 1) TO STDOUT", SOON), -EOPNOTSUPP, "copies");
    CHECK(!postgres_is_idle(db) && postgres_libpq(db) == NULL);
    BAD(postgres_execute(db, "SELECT 1", SOON), -ENOTCONN, name_of(&shared));
    postgres_close(db);
}

/* --- rows ------------------------------------------------------------------------------------- */

static const struct postgres_query many = {.sql = "SELECT i, repeat('x', 100) FROM"
                                                  " generate_series(1, 100000) AS i"};

static void check_rows(void)
{
    int error = 0;
    long last = 0;

    db = connect_to(&shared);
    ANYSYNC_FOR(postgres_rows, row, &error, db, &many)
    {
        CHECK_EQ(PQntuples(row), 1);
        CHECK_EQ(atol(PQgetvalue(row, 0, 0)), last + 1);
        last++;
    }
    GOOD(error);
    CHECK_EQ(last, 100000);
    CHECK(postgres_is_idle(db));
    postgres_close(db);
}

TEST(rows_come_one_by_one_all_of_them)
{
    in_worlds(PLAIN | WORKER | HERE, check_rows);
}

/* More rows than anybody waits for: that the loop ends shows that the server was told. */
static void check_break(void)
{
    struct postgres_query endless = {.sql = "SELECT generate_series(1, 1000000000000)"};

    db = connect_to(&shared);
    for (int i = 0; i < 5; i++) {
        int error = 0, seen = 0;

        ANYSYNC_FOR(postgres_rows, row, &error, db, &endless)
        {
            if (++seen == 10)
                break;
        }
        GOOD(error);
        CHECK(postgres_is_idle(db));
        CHECK_EQ(number(db, "SELECT 7"), 7);
    }
    postgres_close(db);
}

TEST(rows_left_early_are_cancelled_and_the_connection_goes_on)
{
    in_worlds(WHERE_CALLS_WAIT, check_break);
}

TEST(rows_that_fail_in_the_middle_have_given_those_before)
{
    struct postgres_query query = {.sql = "SELECT 1 / (5 - i) FROM generate_series(1, 10) AS i"};
    int error = 0, seen = 0;

    db = connect_to(&shared);
    ANYSYNC_FOR(postgres_rows, row, &error, db, &query)
    {
        seen++;
    }
    BAD(error, -EREMOTEIO, "division by zero");
    CHECK_EQ(seen, 4);
    CHECK_STR(postgres_sqlstate(db), "22012");
    CHECK_EQ(number(db, "SELECT 1"), 1);
    postgres_close(db);
}

TEST(rows_of_what_has_none_are_none)
{
    static const char *const statements[] = {
            "SELECT 1 WHERE false", "CREATE TEMP TABLE none ()", ""};
    int error = 0;

    db = connect_to(&shared);
    for (int i = 0; i < 3; i++) {
        struct postgres_query query = {.sql = statements[i]};

        ANYSYNC_FOR(postgres_rows, row, &error, db, &query)
        {
            CHECK(!row);
        }
        GOOD(error);
    }
    postgres_close(db);
}

/* Who gives up waiting for a row loses none.  The server sends its rows in portions: the second
 * fills some, so that the first comes, while the third is never done. */
static void check_rows_until(void)
{
    struct postgres_query query = {.sql = "SELECT i, CASE i WHEN 2 THEN repeat('x', 100000)"
                                          " WHEN 3 THEN pg_sleep(3600)::text END"
                                          " FROM generate_series(1, 3) AS i"};
    postgres_rows_generator rows;
    const PGresult *row = NULL;
    int error;

    db = connect_to(&shared);
    GOOD(postgres_rows_open(&rows, db, &query));
    while ((error = postgres_rows_next_until(&rows, &row, anysync_in_us(1))) == -ETIMEDOUT)
        continue;
    GOOD(error);
    CHECK_STR(PQgetvalue(row, 0, 0), "1");
    while ((error = postgres_rows_next_until(&rows, &row, anysync_in_ms(1))) == 0)
        CHECK_STR(PQgetvalue(row, 0, 0), "2");
    CHECK_EQ(error, -ETIMEDOUT);
    GOOD(postgres_rows_close(&rows));
    postgres_rows_drop(&rows);
    CHECK_EQ(number(db, "SELECT 1"), 1);
    postgres_close(db);
}

TEST(rows_that_are_late_are_not_lost)
{
    in_worlds(PLAIN | WORKER | HERE, check_rows_until);
}

/* --- transactions ----------------------------------------------------------------------------- */

static void check_transactions(void)
{
    int error = 0;

    db = connect_to(&shared);
    GOOD(postgres_execute(db, "CREATE TEMP TABLE t (i int)", SOON));
    ANYSYNC_WITH(postgres_transaction, tx, &error, db, "ISOLATION LEVEL SERIALIZABLE", SOON)
    {
        error = postgres_execute(tx, "INSERT INTO t VALUES (1)", SOON);
    }
    GOOD(error);
    ANYSYNC_WITH(postgres_transaction, tx, &error, db, NULL, SOON)
    {
        GOOD(postgres_execute(tx, "INSERT INTO t VALUES (2)", SOON));
        error = anysync_fail(-EDOM, "no more");
    }
    BAD(error, -EDOM, "no more");
    error = 0;
    ANYSYNC_WITH(postgres_transaction, tx, &error, db, NULL, SOON)
    {
        error = postgres_execute(tx, "INSERT INTO nowhere VALUES (2)", SOON);
    }
    BAD(error, -EREMOTEIO, "nowhere");
    CHECK_EQ(number(db, "SELECT sum(i) FROM t"), 1);
    CHECK(postgres_is_idle(db));
    postgres_close(db);
}

TEST(a_transaction_is_committed_or_rolled_back)
{
    in_worlds(WHERE_CALLS_WAIT, check_transactions);
}

TEST(a_transaction_whose_failure_is_hidden_is_not_called_committed)
{
    int error = 0;

    db = connect_to(&shared);
    ANYSYNC_WITH(postgres_transaction, tx, &error, db, NULL, SOON)
    {
        CHECK_EQ(postgres_execute(tx, "SELECT 1 / 0", SOON), -EREMOTEIO);
    }
    BAD(error, -EREMOTEIO, "rolled back and not committed");
    CHECK(postgres_is_idle(db));
    postgres_close(db);
}

TEST(a_commit_that_the_server_refuses_is_an_error)
{
    int error = 0;

    db = connect_to(&shared);
    GOOD(postgres_execute(
            db, "CREATE TEMP TABLE t (i int UNIQUE DEFERRABLE INITIALLY DEFERRED)", SOON));
    ANYSYNC_WITH(postgres_transaction, tx, &error, db, NULL, SOON)
    {
        error = postgres_execute(tx, "INSERT INTO t VALUES (1), (1)", SOON);
    }
    BAD(error, -EREMOTEIO, "\"COMMIT\"");
    CHECK_EQ(number(db, "SELECT count(*) FROM t"), 0);
    postgres_close(db);
}

TEST(a_transaction_does_not_nest)
{
    int outer = 0, inner = 0;

    db = connect_to(&shared);
    ANYSYNC_WITH(postgres_transaction, tx, &outer, db, NULL, SOON)
    {
        ANYSYNC_WITH(postgres_transaction, again, &inner, tx, NULL, SOON)
        {
            CHECK(!again);
        }
    }
    CHECK_EQ(inner, -EALREADY);
    GOOD(outer);
    ANYSYNC_WITH(postgres_transaction, tx, &outer, db, "NONSENSE", SOON)
    {
        CHECK(!tx);
    }
    BAD(outer, -EREMOTEIO, "BEGIN NONSENSE");
    CHECK(postgres_is_idle(db));
    postgres_close(db);
}

/* Rows that are open when the transaction ends: nothing is committed, and nothing stays. */
TEST(a_transaction_with_open_rows_is_not_committed)
{
    postgres_rows_generator rows;
    const PGresult *row = NULL;
    int error = 0;

    db = connect_to(&shared);
    ANYSYNC_WITH(postgres_transaction, tx, &error, db, NULL, SOON)
    {
        GOOD(postgres_rows_open(&rows, tx, &many));
        GOOD(postgres_rows_next(&rows, &row));
    }
    BAD(error, -EBUSY, "end that first");
    postgres_rows_drop(&rows);
    BAD(postgres_execute(db, "SELECT 1", SOON), -ENOTCONN, "was closed before");
    postgres_close(db);
}

static struct anysync_future *inside;

ANYSYNC_COROUTINE(void, sleep_in_transaction, (struct postgres *, mine))
{
    int error = 0;

    ANYSYNC_WITH(postgres_transaction, tx, &error, mine, NULL, SOON)
    {
        GOOD(postgres_execute(tx, "INSERT INTO t VALUES (1)", SOON));
        open_gate(inside);
        error = anysync_sleep(ANYSYNC_FOREVER);
    }
    return error;
}

TEST(a_transaction_of_who_is_cancelled_is_rolled_back)
{
    sleep_in_transaction_future sleeper;

    db = connect_to(&shared);
    inside = new_gate();
    GOOD(postgres_execute(db, "CREATE TEMP TABLE t (i int)", SOON));
    GOOD(sleep_in_transaction_start(&sleeper, db));
    pass_gate(inside);
    GOOD(sleep_in_transaction_cancel(&sleeper));
    CHECK_EQ(sleep_in_transaction_wait(&sleeper, SOON), -ECANCELED);
    sleep_in_transaction_drop(&sleeper);
    CHECK(postgres_is_idle(db));
    CHECK_EQ(number(db, "SELECT count(*) FROM t"), 0);
    postgres_close(db);
    anysync_future_unref(inside);
}

/* --- deadlines and cancels -------------------------------------------------------------------- */

static void check_deadline(void)
{
    int error = 0;

    db = connect_to(&shared);
    int pid = PQbackendPID(postgres_libpq(db));
    for (int i = 0; i < 5; i++) {
        BAD(postgres_execute(db, "SELECT pg_sleep(3600)", anysync_in_ms(5)), -ETIMEDOUT,
                "the server has cancelled it");
        CHECK_CONTAINS(anysync_last_error()->message, "\"SELECT pg_sleep(3600)\"");
        CHECK_EQ(number(db, "SELECT pg_backend_pid()"), pid);
    }
    ANYSYNC_SCOPE(&error, anysync_in_ms(5))
    {
        error = postgres_execute(db, "SELECT pg_sleep(3600)", ANYSYNC_FOREVER);
    }
    CHECK_EQ(error, -ETIMEDOUT);
    CHECK_EQ(number(db, "SELECT pg_backend_pid()"), pid);
    postgres_close(db);
}

TEST(a_deadline_has_the_server_cancel_and_the_connection_goes_on)
{
    in_worlds(WHERE_CALLS_WAIT, check_deadline);
}

TEST(a_cancel_of_the_caller_has_the_server_cancel)
{
    struct postgres *watcher = connect_to(&shared);

    db = connect_to(&shared);
    int pid = PQbackendPID(postgres_libpq(db));
    for (int i = 0; i < 5; i++) {
        sleep_in_server_future sleeper;

        GOOD(sleep_in_server_start(&sleeper, db));
        wait_until_active(watcher, pid);
        GOOD(sleep_in_server_cancel(&sleeper));
        CHECK_EQ(sleep_in_server_wait(&sleeper, SOON), -ECANCELED);
        CHECK_CONTAINS(anysync_last_error()->message, "the server has cancelled it");
        sleep_in_server_drop(&sleeper);
        CHECK_EQ(number(db, "SELECT pg_backend_pid()"), pid);
    }
    postgres_close(db);
    postgres_close(watcher);
}

ANYSYNC_COROUTINE(void, sleep_well, (struct postgres *, mine))
{
    return postgres_execute(mine,
            "DO $$ BEGIN PERFORM pg_sleep(3600); EXCEPTION WHEN query_canceled THEN NULL; END $$",
            ANYSYNC_FOREVER);
}

/* A command that hears of the cancel, and comes to a good end all the same. */
TEST(what_ends_before_it_is_cancelled_has_its_result)
{
    struct postgres *watcher = connect_to(&shared);
    sleep_well_future sleeper;

    db = connect_to(&shared);
    GOOD(sleep_well_start(&sleeper, db));
    wait_until_active(watcher, PQbackendPID(postgres_libpq(db)));
    GOOD(sleep_well_cancel(&sleeper));
    GOOD(sleep_well_wait(&sleeper, SOON));
    sleep_well_drop(&sleeper);
    CHECK_EQ(number(db, "SELECT 1"), 1);
    postgres_close(db);
    postgres_close(watcher);
}

ANYSYNC_COROUTINE(void, too_late, (struct postgres *, mine))
{
    CHECK_EQ(anysync_sleep(ANYSYNC_FOREVER), -ECANCELED);
    return postgres_execute(mine, "INSERT INTO t VALUES (1)", SOON);
}

TEST(nothing_is_sent_when_it_is_too_late_already)
{
    too_late_future late;

    db = connect_to(&shared);
    GOOD(postgres_execute(db, "CREATE TEMP TABLE t (i int)", SOON));
    BAD(postgres_execute(db, "INSERT INTO t VALUES (1)", anysync_now()), -ETIMEDOUT,
            "was not sent");
    GOOD(too_late_start(&late, db));
    GOOD(too_late_cancel(&late));
    CHECK_EQ(too_late_wait(&late, SOON), -ECANCELED);
    too_late_drop(&late);
    CHECK_EQ(number(db, "SELECT count(*) FROM t"), 0);
    postgres_close(db);
}

/* --- connecting ------------------------------------------------------------------------------- */

static void check_ways_to_connect(void)
{
    static const char *const hosts[] = {
            "127.0.0.1", "localhost", "nobody.invalid,localhost", "/nowhere,127.0.0.1"};
    char info[400];

    for (int i = 0; i <= 4; i++) {
        snprintf(info, sizeof(info), "host=%s port=%d user=postgres dbname=postgres",
                i < 4 ? hosts[i] : shared.folder, shared.port);
        GOOD(postgres_connect(info, SOON, &db));
        CHECK_EQ(number(db, "SELECT 1"), 1);
        postgres_close(db);
    }
    snprintf(info, sizeof(info), "postgres://postgres@localhost:%d,127.0.0.1:%d/postgres",
            server_free_port(), shared.port);
    GOOD(postgres_connect(info, SOON, &db));
    postgres_close(db);
    snprintf(info, sizeof(info), "%d", shared.port); /* for all hosts of which nothing is said */
    CHECK_EQ(setenv("PGPORT", info, 1), 0);
    GOOD(postgres_connect("host=127.0.0.1,localhost user=postgres dbname=postgres", SOON, &db));
    postgres_close(db);
    CHECK_EQ(unsetenv("PGPORT"), 0);
    int error = postgres_connect("host=nobody.invalid", SOON, &db); /* or no name server here */
    CHECK(error == -ENOENT || error == -EAGAIN);
    CHECK_CONTAINS(anysync_last_error()->message, "nobody.invalid");
}

TEST(hosts_are_names_numbers_paths_and_lists)
{
    in_worlds(PLAIN | WORKER, check_ways_to_connect);
}

TEST(descriptors_are_given_back)
{
    check_each_call();
    CHECK_EQ(world_body_run(check_each_call), 0);
    int before = test_fd_count();
    for (int i = 0; i < 3; i++) {
        check_each_call();
        CHECK_EQ(world_body_run(check_each_call), 0);
        check_deadline();
    }
    CHECK_EQ(test_fd_count(), before);
}
