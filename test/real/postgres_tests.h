/* SPDX-License-Identifier: MIT */
/* What the tests of PostgreSQL's client share: one server for all tests of a program. */
#ifndef TEST_REAL_POSTGRES_TESTS_H
#define TEST_REAL_POSTGRES_TESTS_H

#include "postgres.h"
#include "postgres_server.h"
#include "worlds.h"

#include <errno.h>
#include <signal.h>
#include <unistd.h>

#define SOON anysync_in_seconds(30)
#define WHERE_CALLS_WAIT (PLAIN | IN_COROUTINES | POOL)

/* Tests are children of the process that starts this one, and ends it. */
static struct server template, shared;
static pid_t owner;

__attribute__((constructor)) static void start_shared(void)
{
    owner = getpid();
    postgres_server_new(&template);
    postgres_server_copy(&template, &shared);
    postgres_server_start(&shared);
}

__attribute__((destructor)) static void stop_shared(void)
{
    if (getpid() == owner)
        postgres_server_stop(&shared);
}

/* CALL works; a failure shows its sentence. */
#define GOOD(call)                                                                                 \
    do {                                                                                           \
        int asi_code = (call);                                                                     \
        if (asi_code)                                                                              \
            test_fail(TEST_HERE, "%s: %s: %s", #call, anysync_error_name(asi_code),                \
                    anysync_last_error()->message);                                                \
    } while (0)

/* CALL fails with CODE, and a sentence that contains PART. */
#define BAD(call, code, part)                                                                      \
    do {                                                                                           \
        CHECK_EQ(call, code);                                                                      \
        CHECK_CONTAINS(anysync_last_error()->message, part);                                       \
    } while (0)

static inline struct postgres *connect_to(const struct server *server)
{
    struct postgres *db = NULL;

    GOOD(postgres_connect(postgres_server_info(server, ""), SOON, &db));
    return db;
}

/* The sentences about SERVER begin so. */
static inline const char *name_of(const struct server *server)
{
    static _Thread_local char text[64];

    snprintf(text, sizeof(text), "127.0.0.1:%d: ", server->port);
    return text;
}

static inline PGresult *ask(struct postgres *db, const char *sql)
{
    struct postgres_query query = {.sql = sql};
    PGresult *result = NULL;

    GOOD(postgres_query(db, &query, SOON, &result));
    return result;
}

/* The first field of the first row, as a number. */
static inline long number(struct postgres *db, const char *sql)
{
    PGresult *result = ask(db, sql);

    CHECK_GE(PQntuples(result), 1);
    long value = atol(PQgetvalue(result, 0, 0));
    PQclear(result);
    return value;
}

/* Wait until the server process PID has a command to do; WATCHER is another connection. */
static inline void wait_until_active(struct postgres *watcher, int pid)
{
    char sql[200];

    snprintf(sql, sizeof(sql),
            "SELECT count(*) FROM pg_stat_activity WHERE pid = %d AND state = 'active'"
            " AND wait_event = 'PgSleep'",
            pid);
    while (number(watcher, sql) == 0)
        CHECK_EQ(anysync_sleep(anysync_in_ms(1)), 0);
}

ANYSYNC_COROUTINE(void, sleep_in_server, (struct postgres *, db))
{
    return postgres_execute(db, "SELECT pg_sleep(3600)", ANYSYNC_FOREVER);
}

#endif
