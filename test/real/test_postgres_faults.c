/* SPDX-License-Identifier: MIT */
/*
 * The client for PostgreSQL (docs/examples/clients/postgres.h), and servers that are not well.
 *
 * Packages: libpq
 * With: docs/examples/clients/postgres.c docs/examples/clients/postgres_open.c
 * With: test/real/postgres_server.c
 *
 * The server is                     Tested by
 *   absent                            an_absent_server_...
 *   not willing                       a_server_that_does_not_want_us_...
 *   ended in the middle               a_session_that_is_ended_..., a_process_...,
 *                                     a_server_that_is_killed_...
 *   silent: to a connect              a_silent_server_..., a_connect_that_is_cancelled_...
 *   silent: to a command              a_paused_server_...
 *   slow to cancel, to begin          a_slow_cancel_does_not_hold_up_the_loop,
 *                                     a_cancel_that_comes_before_...
 *   well, but our loop ends           rows_whose_loop_ends_...
 *   none at all, but garbage          garbage_..., who_hangs_up_...,
 *                                     a_refusal_without_words_...
 */
#include "postgres_tests.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#define MOMENT_NS INT64_C(50000000)

static struct server own; /* of the test */

static void own_server(void)
{
    postgres_server_copy(&template, &own);
    postgres_server_start(&own);
}

/* --- nobody, or not for us -------------------------------------------------------------------- */

static void check_absent(void)
{
    struct server nobody = {.port = server_free_port()};
    struct postgres *db = NULL;
    char part[64];

    BAD(postgres_connect(postgres_server_info(&nobody, ""), SOON, &db), -ECONNREFUSED,
            name_of(&nobody));
    snprintf(part, sizeof(part), ":%d: ", nobody.port);
    BAD(postgres_connect(postgres_server_info(&nobody, "host=localhost"), SOON, &db), -ECONNREFUSED,
            part);
    BAD(postgres_connect("host=/nowhere port=1", SOON, &db), -ECONNREFUSED, "/nowhere:1: ");
    BAD(postgres_connect("nonsense", SOON, &db), -EINVAL, "nonsense");
    CHECK(db == NULL);
}

TEST(an_absent_server_is_named)
{
    in_worlds(WHERE_CALLS_WAIT, check_absent);
}

static void check_unwilling(void)
{
    struct postgres *db = NULL, *root = connect_to(&shared);

    GOOD(postgres_execute(
            root, "DROP ROLE IF EXISTS guest; CREATE ROLE guest LOGIN CONNECTION LIMIT 0", SOON));
    BAD(postgres_connect(postgres_server_info(&shared, "dbname=none"), SOON, &db), -ENOENT,
            "database \"none\" does not exist");
    CHECK_CONTAINS(anysync_last_error()->message, name_of(&shared));
    CHECK(!strchr(anysync_last_error()->message, '\n'));
    BAD(postgres_connect(postgres_server_info(&shared, "user=nobody"), SOON, &db), -EACCES,
            "role \"nobody\" does not exist");
    BAD(postgres_connect(postgres_server_info(&shared, "user=guest"), SOON, &db), -EAGAIN,
            "too many connections");
    BAD(postgres_connect(postgres_server_info(&shared, "sslmode=require"), SOON, &db), -EPROTO,
            "SSL");
    CHECK(db == NULL);
    postgres_close(root);
}

TEST(a_server_that_does_not_want_us_says_why)
{
    in_worlds(PLAIN | WORKER | HERE, check_unwilling);
}

/* --- ended in the middle ---------------------------------------------------------------------- */

/* End the session of MINE with the help of WATCHER, once it sleeps. */
static void end_session(struct postgres *watcher, int pid)
{
    char sql[100];

    wait_until_active(watcher, pid);
    snprintf(sql, sizeof(sql), "SELECT pg_terminate_backend(%d)", pid);
    GOOD(postgres_execute(watcher, sql, SOON));
}

static void check_ended_session(void)
{
    struct postgres *watcher = connect_to(&shared), *db = connect_to(&shared);
    sleep_in_server_future sleeper;

    GOOD(sleep_in_server_start(&sleeper, db));
    end_session(watcher, PQbackendPID(postgres_libpq(db)));
    BAD(sleep_in_server_wait(&sleeper, SOON), -ECONNRESET, name_of(&shared));
    CHECK_CONTAINS(anysync_last_error()->message, "\"SELECT pg_sleep(3600)\"");
    CHECK_CONTAINS(anysync_last_error()->message, "terminating connection due to administrator");
    sleep_in_server_drop(&sleeper);
    BAD(postgres_execute(db, "SELECT 1", SOON), -ENOTCONN, name_of(&shared));
    postgres_close(db);
    db = connect_to(&shared);
    CHECK_EQ(number(db, "SELECT 1"), 1);
    postgres_close(db);
    postgres_close(watcher);
}

TEST(a_session_that_is_ended_in_a_command_is_lost)
{
    in_worlds(PLAIN | WORKER | HERE, check_ended_session);
}

ANYSYNC_COROUTINE(int, read_rows, (struct postgres *, db))
{
    struct postgres_query query = {.sql = "SELECT i, CASE i WHEN 2 THEN repeat('x', 100000)"
                                          " WHEN 3 THEN pg_sleep(3600)::text END"
                                          " FROM generate_series(1, 3) AS i"};
    int error = 0, seen = 0;

    ANYSYNC_FOR(postgres_rows, row, &error, db, &query)
    {
        seen++;
    }
    CHECK_GE(seen, 1);
    return error;
}

ANYSYNC_COROUTINE(void, sleep_in_block, (struct postgres *, db))
{
    int error = 0;

    ANYSYNC_WITH(postgres_transaction, tx, &error, db, NULL, SOON)
    {
        error = postgres_execute(tx, "SELECT pg_sleep(3600)", ANYSYNC_FOREVER);
    }
    return error;
}

TEST(a_session_that_is_ended_in_rows_or_in_a_transaction_is_lost)
{
    struct postgres *watcher = connect_to(&shared), *db = connect_to(&shared);
    sleep_in_block_future sleeper;
    read_rows_future reader;

    GOOD(read_rows_start(&reader, db));
    end_session(watcher, PQbackendPID(postgres_libpq(db)));
    BAD(read_rows_wait(&reader, NULL, SOON), -ECONNRESET, "terminating connection");
    read_rows_drop(&reader);
    postgres_close(db);

    db = connect_to(&shared);
    GOOD(sleep_in_block_start(&sleeper, db));
    end_session(watcher, PQbackendPID(postgres_libpq(db)));
    BAD(sleep_in_block_wait(&sleeper, SOON), -ECONNRESET, "terminating connection");
    sleep_in_block_drop(&sleeper);
    postgres_close(db);
    postgres_close(watcher);
}

ANYSYNC_COROUTINE(void, end_when_it_waits, (struct postgres *, watcher), (int, pid),
        (struct anysync_executor *, executor))
{
    wait_until_active(watcher, pid);
    return anysync_executor_shutdown(executor, ANYSYNC_CANCEL, SOON, NULL);
}

TEST(rows_whose_loop_ends_are_named)
{
    struct postgres_query query = {.sql = "SELECT 'a row', pg_sleep(3600)"};
    struct anysync_generator_options options = {0};
    struct postgres *watcher = connect_to(&shared), *db = connect_to(&shared);
    postgres_rows_generator rows;
    end_when_it_waits_future soon;
    const PGresult *row = NULL;

    GOOD(anysync_executor_new(NULL, &options.executor));
    GOOD(postgres_rows_open_with(&options, &rows, db, &query));
    GOOD(end_when_it_waits_start(
            &soon, watcher, PQbackendPID(postgres_libpq(db)), options.executor));
    BAD(postgres_rows_next(&rows, &row), -ECANCELED, name_of(&shared));
    CHECK_CONTAINS(anysync_last_error()->message, "a row");
    GOOD(end_when_it_waits_wait(&soon, SOON));
    end_when_it_waits_drop(&soon);
    postgres_rows_drop(&rows);
    CHECK_EQ(number(db, "SELECT 1"), 1);
    postgres_close(db);
    postgres_close(watcher);
    anysync_executor_unref(options.executor);
}

/* The server ends all sessions when one of its processes is killed, and begins anew. */
TEST(a_process_of_the_server_that_is_killed_takes_all_along)
{
    own_server();
    struct postgres *db = connect_to(&own), *watcher = connect_to(&own);
    sleep_in_server_future sleeper;
    int pid = PQbackendPID(postgres_libpq(db)), error;

    GOOD(sleep_in_server_start(&sleeper, db));
    wait_until_active(watcher, pid);
    CHECK_EQ(kill(pid, SIGKILL), 0);
    BAD(sleep_in_server_wait(&sleeper, SOON), -ECONNRESET, name_of(&own));
    sleep_in_server_drop(&sleeper);
    while ((error = postgres_execute(watcher, "SELECT 1", SOON)) == 0)
        continue;
    BAD(error, -ECONNRESET, name_of(&own));
    postgres_close(db);
    postgres_close(watcher);
    while ((error = postgres_connect(postgres_server_info(&own, ""), SOON, &db)) == -EAGAIN)
        CHECK_EQ(anysync_sleep(anysync_in_ms(10)), 0);
    GOOD(error);
    CHECK_EQ(number(db, "SELECT 1"), 1);
    postgres_close(db);
    postgres_server_stop(&own);
}

TEST(a_server_that_is_killed_is_missed_until_it_is_back)
{
    own_server();
    struct postgres *db = connect_to(&own), *watcher = connect_to(&own);
    sleep_in_server_future sleeper;

    GOOD(sleep_in_server_start(&sleeper, db));
    wait_until_active(watcher, PQbackendPID(postgres_libpq(db)));
    postgres_server_kill(&own);
    BAD(sleep_in_server_wait(&sleeper, SOON), -ECONNRESET, name_of(&own));
    sleep_in_server_drop(&sleeper);
    BAD(postgres_execute(watcher, "SELECT 1", SOON), -ECONNRESET, name_of(&own));
    postgres_close(db);
    postgres_close(watcher);
    BAD(postgres_connect(postgres_server_info(&own, ""), SOON, &db), -ECONNREFUSED, name_of(&own));
    postgres_server_start(&own);
    db = connect_to(&own);
    CHECK_EQ(number(db, "SELECT 1"), 1);
    postgres_close(db);
    postgres_server_stop(&own);
}

/* --- silent ----------------------------------------------------------------------------------- */

static void check_silent(void)
{
    struct server silent = {0};
    struct postgres *db = NULL;
    int before = 0;

    server_pretend(&silent, 0, "", 0, false);
    for (int i = 0; i < 5; i++) {
        BAD(postgres_connect(postgres_server_info(&silent, ""), anysync_in_ms(5), &db), -ETIMEDOUT,
                name_of(&silent));
        CHECK(db == NULL);
        before = before ? before : test_fd_count(); /* the loop has what it needs */
    }
    CHECK_EQ(test_fd_count(), before);
    server_kill(&silent);
}

TEST(a_silent_server_is_not_waited_for_after_the_deadline)
{
    in_worlds(PLAIN | HERE, check_silent);
}

static struct anysync_future *begun;

ANYSYNC_COROUTINE(void, connect_somewhere, (const char *, info))
{
    struct postgres *db = NULL;
    open_gate(begun);
    int error = postgres_connect(info, ANYSYNC_FOREVER, &db);

    postgres_close(db);
    return error;
}

TEST(a_connect_that_is_cancelled_leaves_nothing)
{
    struct server silent = {0};
    connect_somewhere_future soon;

    server_pretend(&silent, 0, "", 0, false);
    begun = new_gate();
    GOOD(connect_somewhere_start(&soon, postgres_server_info(&silent, "")));
    pass_gate(begun);
    CHECK_EQ(connect_somewhere_wait(&soon, anysync_in_ms(5)), -ETIMEDOUT);
    GOOD(connect_somewhere_cancel(&soon));
    BAD(connect_somewhere_wait(&soon, SOON), -ECANCELED, name_of(&silent));
    connect_somewhere_drop(&soon);
    anysync_future_unref(begun);
}

static void pause_all(struct server *server, int pid)
{
    server_pause(server);
    CHECK_EQ(kill(pid, SIGSTOP), 0);
}

static void go_on_all(struct server *server, int pid)
{
    server_go_on(server);
    CHECK_EQ(kill(pid, SIGCONT), 0);
}

static void check_paused(void)
{
    struct postgres_query query = {.sql = "SELECT 1"};
    struct postgres *db = connect_to(&own), *other = NULL;
    int error = 0, pid = PQbackendPID(postgres_libpq(db));

    postgres_set_grace(db, MOMENT_NS);
    pause_all(&own, pid);
    BAD(postgres_execute(db, "SELECT 1", anysync_in_ms(5)), -ETIMEDOUT, name_of(&own));
    CHECK_CONTAINS(anysync_last_error()->message, "what was done is not known");
    BAD(postgres_query(db, &query, SOON, NULL), -ENOTCONN, "was closed before");
    BAD(postgres_connect(postgres_server_info(&own, ""), anysync_in_ms(5), &other), -ETIMEDOUT,
            name_of(&own));
    go_on_all(&own, pid);
    postgres_close(db);

    db = connect_to(&own);
    pid = PQbackendPID(postgres_libpq(db));
    postgres_set_grace(db, MOMENT_NS);
    ANYSYNC_WITH(postgres_transaction, tx, &error, db, NULL, SOON)
    {
        CHECK(tx == db);
        pause_all(&own, pid);
        error = -EDOM;
    }
    CHECK_EQ(error, -EDOM);
    BAD(postgres_execute(db, "SELECT 1", SOON), -ENOTCONN, "was closed before");
    go_on_all(&own, pid);
    postgres_close(db);
}

TEST(a_paused_server_is_not_waited_for_and_the_connection_is_closed)
{
    own_server();
    in_worlds(PLAIN | HERE, check_paused);
    postgres_server_stop(&own);
}

static anysync_time late;
static int paused_pid;

ANYSYNC_COROUTINE(void, be_late, (struct postgres *, db))
{
    BAD(postgres_execute(db, "SELECT pg_sleep(3600)", late), -ETIMEDOUT,
            "the server has cancelled it");
    CHECK_EQ(number(db, "SELECT 1"), 1);
    return 0;
}

/* The server hears of the cancel only once this loop, on which who cancels waits, has gone on. */
ANYSYNC_COROUTINE(void, cancel_slowly, (struct postgres *, db))
{
    ANYSYNC_SCOPED_FUTURE(be_late, soon);

    GOOD(be_late_start(&soon, db));
    GOOD(anysync_sleep(late + MOMENT_NS));
    go_on_all(&own, paused_pid);
    return be_late_wait(&soon, SOON);
}

TEST(a_slow_cancel_does_not_hold_up_the_loop)
{
    own_server();
    struct postgres *db = connect_to(&own);

    postgres_set_grace(db, INT64_C(3600000000000));
    paused_pid = PQbackendPID(postgres_libpq(db));
    pause_all(&own, paused_pid);
    late = anysync_in_ns(MOMENT_NS);
    GOOD(cancel_slowly_run_here(db));
    postgres_close(db);
    postgres_server_stop(&own);
}

ANYSYNC_COROUTINE(void, cancel_before_it_begins, (struct postgres *, db))
{
    ANYSYNC_SCOPED_FUTURE(be_late, soon);

    GOOD(be_late_start(&soon, db));
    GOOD(anysync_sleep(late + MOMENT_NS));
    CHECK_EQ(kill(paused_pid, SIGCONT), 0);
    return be_late_wait(&soon, SOON);
}

/* The process that is to do the command has not read it when it hears of the cancel. */
TEST(a_cancel_that_comes_before_the_command_is_repeated)
{
    struct postgres *db = connect_to(&shared);

    postgres_set_grace(db, INT64_C(3600000000000));
    paused_pid = PQbackendPID(postgres_libpq(db));
    CHECK_EQ(kill(paused_pid, SIGSTOP), 0);
    late = anysync_in_ns(MOMENT_NS);
    GOOD(cancel_before_it_begins_run_here(db));
    postgres_close(db);
}

/* --- garbage ---------------------------------------------------------------------------------- */

static const char http[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
static const char long_message[] = "R\xff\xff\xff\xff all of that";
static const char half_way[] = "R\0\0\0\x08\0\0\0\0"
                               "X\0\0\0\x05?";
static void check_garbage_of(const char *text, size_t size, bool closes, const char *more)
{
    struct server liar = {0};
    struct postgres *db = NULL;

    server_pretend(&liar, 0, text, size, closes);
    BAD(postgres_connect(postgres_server_info(&liar, more), SOON, &db), -EPROTO, name_of(&liar));
    CHECK(db == NULL);
    server_kill(&liar);
}

static void check_garbage(void)
{
    check_garbage_of(http, sizeof(http) - 1, false, "");
    check_garbage_of(http, sizeof(http) - 1, true, "sslmode=disable");
    check_garbage_of(http, sizeof(http) - 1, false, "sslmode=require");
    check_garbage_of(long_message, sizeof(long_message) - 1, false, "sslmode=disable");
    check_garbage_of(half_way, sizeof(half_way) - 1, true, "sslmode=disable");
}

TEST(garbage_in_the_place_of_a_welcome_is_no_server)
{
    in_worlds(PLAIN | HERE, check_garbage);
}

static void check_hang_up(void)
{
    check_garbage_of("", 0, true, "sslmode=disable");
    check_garbage_of("", 0, true, "");
    check_garbage_of("N", 1, true, "");
    check_garbage_of("S", 1, true, "");
}

TEST(who_hangs_up_is_no_server)
{
    in_worlds(PLAIN | HERE, check_hang_up);
}

/* A server that lets everybody in, and answers to each command with SIZE bytes of TEXT. */
static pid_t answer_with(int listener, const char *text, size_t size)
{
    static const char welcome[] = "R\0\0\0\x08\0\0\0\0"
                                  "Z\0\0\0\x05I";
    char room[4096];
    pid_t pid = fork();

    CHECK_GE(pid, 0);
    for (int fd; pid == 0 && (fd = accept(listener, NULL, NULL)) >= 0; close(fd)) {
        if (read(fd, room, sizeof(room)) > 0 &&
                send(fd, welcome, sizeof(welcome) - 1, MSG_NOSIGNAL) > 0)
            while (read(fd, room, sizeof(room)) > 0 && send(fd, text, size, MSG_NOSIGNAL) > 0)
                continue;
    }
    return pid;
}

static int listen_somewhere(int *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK_EQ(bind(fd, (struct sockaddr *)&address, size), 0);
    CHECK_EQ(listen(fd, 10), 0);
    CHECK_EQ(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

/* The message of an unknown kind, of a length that cannot be, a row before its description, an end
 * without a result, something in the place of a length. */
static const struct {
    const char *text;
    size_t size;
} answers[] = {
        {"\x07\0\0\0\x08what", 9},
        {"D\xff\xff\xff\xff all", 9},
        {"D\0\0\0\x06\0\x01", 7},
        {"Z\0\0\0\x05I", 6},
        {http, sizeof(http) - 1},
        {"T\0\0\0\x06\x7f\xff", 7},
        {"T\0\0\0\x08\0\0\0\0D\0\0\0\x06\0\x09", 16},
};

static void check_answer(const char *text, size_t size)
{
    struct postgres_query query = {.sql = "SELECT 1"};
    struct server liar = {0};
    struct postgres *db = NULL;
    int listener = listen_somewhere(&liar.port), error = 0;

    liar.pid = answer_with(listener, text, size);
    close(listener);
    GOOD(postgres_connect(postgres_server_info(&liar, "sslmode=disable"), SOON, &db));
    postgres_set_grace(db, MOMENT_NS);
    error = postgres_query(db, &query, anysync_in_ns(MOMENT_NS), NULL);
    CHECK(error == -ECONNRESET || error == -EPROTO || error == -ETIMEDOUT);
    CHECK_CONTAINS(anysync_last_error()->message, name_of(&liar));
    CHECK_EQ(postgres_query(db, &query, SOON, NULL), -ENOTCONN);
    postgres_close(db);
    server_kill(&liar);
}

static void check_later_garbage(void)
{
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
        check_answer(answers[i].text, answers[i].size);
}

TEST(garbage_in_the_place_of_an_answer_ends_the_connection)
{
    in_worlds(PLAIN | HERE, check_later_garbage);
}

/* A refusal of which nothing is said but its SQLSTATE. */
static void check_refusal_without_words(void)
{
    static const char text[] = "E\0\0\0\x0c"
                               "C23505\0\0"
                               "Z\0\0\0\x05I";
    struct server liar = {0};
    struct postgres *db = NULL;
    int listener = listen_somewhere(&liar.port);

    liar.pid = answer_with(listener, text, sizeof(text) - 1);
    close(listener);
    GOOD(postgres_connect(postgres_server_info(&liar, "sslmode=disable"), SOON, &db));
    for (int i = 0; i < 2; i++)
        BAD(postgres_execute(db, "SELECT 1", SOON), -EREMOTEIO, "SQLSTATE 23505");
    postgres_close(db);
    server_kill(&liar);
}

TEST(a_refusal_without_words_is_one)
{
    in_worlds(PLAIN | HERE, check_refusal_without_words);
}
