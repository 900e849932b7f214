/* SPDX-License-Identifier: MIT */
/*
 * The HTTP client (docs/examples/clients/http.h) when things go wrong, and at its end.
 *
 * Packages: libcurl libevent_core
 * With: docs/examples/clients/http.c docs/examples/clients/http_exchange.c
 * With: docs/examples/clients/curl_loop.c
 *
 * Promised                                        Tested by
 *   nobody there; URLs                              nobody_there_is_said_with_the_address
 *   killed in the middle, and afterwards            a_server_killed_in_the_middle_of_bodies
 *   paused: deadlines, scopes                       deadlines_and_scopes_hold_with_a_server_...
 *   garbage                                         garbage_is_no_answer, a_body_cut_short_...
 *   redirects that lead nowhere                     a_redirect_to_nowhere_is_an_answer
 *   cancel takes the transfer away at once          a_cancel_closes_the_connection_at_once
 *   close, and the end of its loop                  a_close_ends_what_is_under_way,
 *                                                   the_end_of_its_loop_is_the_end_of_a_client,
 *                                                   a_body_that_had_come_outlives_the_close
 *   nothing is left                                 nothing_is_left_behind
 *                                                   without_memory_nobody_is_left_to_the_loop
 */
#include "http_clients.h"

#include "fault.h"

/* --- faults ----------------------------------------------------------------------------------- */

static void nobody(void)
{
    char url[SERVER_PATH];

    nginx.port = server_free_port();
    expect_failure(url_of("/hello"), -ECONNREFUSED, "refused");
    snprintf(url, sizeof(url), "https://127.0.0.1:%d/", nginx.port);
    expect_failure(url, -ECONNREFUSED, "refused");
    expect_failure("http://127.0.0.1:99999/", -EINVAL, "");
    expect_failure("ftp://127.0.0.1/", -EPROTO, "");
}

TEST(nobody_there_is_said_with_the_address)
{
    open_client();
    in_worlds(PLAIN | WORKER | HERE, nobody);
    http_close(client);
}

ANYSYNC_COROUTINE(
        void, be_cut_off, (struct anysync_barrier *, all), (struct anysync_future *, gate))
{
    int error = 0;

    ANYSYNC_WITH(
            http_exchanging, exchange, &error, client, (struct http_request){.url = url_of("/big")})
    {
        (void)!anysync_barrier_wait(all, ANYSYNC_FOREVER);
        pass_gate(gate);
        ANYSYNC_FOR(http_body, chunk, &error, exchange)
        {
            CHECK_GE(chunk.size, 1);
        }
    }
    CHECK_EQ(error, -ECONNRESET);
    CHECK_CONTAINS(said(), url_of("/big"));
    return 0;
}

TEST(a_server_killed_in_the_middle_of_bodies)
{
    enum { BODIES = 10 };
    be_cut_off_future cut[BODIES];
    struct anysync_barrier *all;
    struct anysync_future *gate = new_gate();

    start_nginx();
    open_client();
    CHECK_EQ(anysync_barrier_new(BODIES + 1, &all), 0);
    for (int i = 0; i < BODIES; i++)
        CHECK_EQ(be_cut_off_start(&cut[i], all, gate), 0);
    CHECK_GE(anysync_barrier_wait(all, ANYSYNC_FOREVER), 0);
    server_kill(&nginx.server);
    open_gate(gate);
    for (int i = 0; i < BODIES; i++) {
        CHECK_EQ(be_cut_off_wait(&cut[i], ANYSYNC_FOREVER), 0);
        be_cut_off_drop(&cut[i]);
    }
    expect_failure(url_of("/hello"), -ECONNREFUSED, "refused");
    start_nginx_again();
    expect_hello();
    http_close(client);
    anysync_barrier_unref(all);
    anysync_future_unref(gate);
}

static void be_late(void)
{
    struct http_answer answer = {0};
    struct http_request request = {.url = url_of("/hello"), .deadline = anysync_in_ms(30)};
    int error = 0;

    CHECK_EQ(http_fetch(&answer, client, request), -ETIMEDOUT);
    CHECK_CONTAINS(said(), request.url);
    CHECK_CONTAINS(said(), "deadline");
    request.deadline = 0;
    ANYSYNC_SCOPE(&error, anysync_in_ms(30))
    {
        error = http_fetch(&answer, client, request);
    }
    CHECK_EQ(error, -ETIMEDOUT);
    ANYSYNC_SCOPE(&error, anysync_in_ms(30))
    {
        error = 0;
        ANYSYNC_WITH(http_exchanging, exchange, &error, client, request)
        {
            CHECK(!exchange);
        }
    }
    CHECK_EQ(error, -ETIMEDOUT);
    CHECK(!answer.body);
}

TEST(deadlines_and_scopes_hold_with_a_server_that_is_silent)
{
    start_nginx();
    open_client();
    expect_hello();
    server_pause(&nginx.server);
    in_worlds(WORKER | HERE, be_late);
    server_go_on(&nginx.server);
    expect_hello();
    http_close(client);
}

static void pretend_and_fail(const char *text, int error, const char *part)
{
    struct server server = {0};
    char url[SERVER_PATH];

    server_pretend(&server, 0, text, strlen(text), true);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", server.port);
    expect_failure(url, error, part);
    server_kill(&server);
}

TEST(garbage_is_no_answer)
{
    struct server server = {0};
    char url[SERVER_PATH];

    open_client();
    pretend_and_fail("+PONG\r\n", -EPROTO, "HTTP");
    pretend_and_fail("HTTP/1.1 what\r\n\r\n", -EPROTO, "");
    pretend_and_fail("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", -EPROTO, "");
    server_pretend(&server, 0, "+PONG\r\n", 7, true);
    snprintf(url, sizeof(url), "https://127.0.0.1:%d/", server.port);
    expect_failure(url, -EPROTO, "SSL");
    server_kill(&server);
    http_close(client);
}

TEST(a_body_cut_short_is_an_error)
{
    open_client();
    pretend_and_fail("", -ECONNRESET, "");
    pretend_and_fail("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc", -ECONNRESET, "");
    pretend_and_fail(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", -ECONNRESET, "");
    http_close(client);
}

TEST(a_redirect_to_nowhere_is_an_answer)
{
    enum { SIZE = 300000 };
    static char text[SIZE + 100];
    struct server server = {0};
    char url[SERVER_PATH];
    size_t all = 0, head;
    int error = 0;

    memset(text, 'x', sizeof(text));
    head = (size_t)snprintf(
            text, 100, "HTTP/1.1 302 Found\r\nLocation:\r\nContent-Length: %d\r\n\r\n", SIZE);
    text[head] = 'x';
    server_pretend(&server, 0, text, head + SIZE, true);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", server.port);
    open_client();
    ANYSYNC_WITH(http_exchanging, exchange, &error, client,
            (struct http_request){.url = url, .deadline = anysync_in_seconds(3)})
    {
        CHECK_EQ(http_exchange_status(exchange), 302);
        ANYSYNC_FOR(http_body, chunk, &error, exchange)
        {
            all += chunk.size;
        }
    }
    CHECK_EQ(error, 0);
    CHECK_EQ(all, SIZE);
    http_close(client);
    server_kill(&server);
}

/* --- ends ------------------------------------------------------------------------------------- */

/* Begun, and held up: the head has come, the body never ends. */
ANYSYNC_COROUTINE(void, stay, (struct anysync_future *, begun))
{
    int error = 0;

    ANYSYNC_WITH(http_exchanging, exchange, &error, client,
            (struct http_request){.url = url_of("/slow")})
    {
        open_gate(begun);
        ANYSYNC_FOR(http_body, chunk, &error, exchange)
        {
            CHECK_GE(chunk.size, 1);
        }
    }
    return error;
}

static struct anysync_future *start_to_stay(void)
{
    struct anysync_future *begun = new_gate(), *future;
    stay_future task;

    CHECK_EQ(stay_start(&task, begun), 0);
    pass_gate(begun);
    anysync_future_unref(begun);
    future = anysync_future_ref(task.future);
    stay_drop(&task);
    return future;
}

static void cancel_it(void)
{
    expect_hello();
    int before = test_fd_count();
    struct anysync_future *task = start_to_stay();

    CHECK_EQ(anysync_cancel(task), 0);
    CHECK_EQ(anysync_wait(task, NULL, ANYSYNC_FOREVER), -ECANCELED);
    CHECK_GE(before, test_fd_count()); /* it may have taken the connection that was idle */
    anysync_future_unref(task);
    expect_hello();
}

TEST(a_cancel_closes_the_connection_at_once)
{
    start_nginx();
    open_client();
    in_worlds(PLAIN | WORKER | HERE, cancel_it);
    http_close(client);
}

/* Leave a body in the middle, while the NTH allocation fails.  Returns whether one did. */
static bool leave_without_memory(int nth)
{
    int error = 0;

    ANYSYNC_WITH(http_exchanging, exchange, &error, client,
            (struct http_request){.url = url_of("/slow")})
    {
        CHECK_EQ(http_exchange_status(exchange), 200);
        fault_fail("malloc", nth, false);
    }
    bool failed = fault_failed("malloc") > 0;
    fault_clear();
    return failed;
}

TEST(without_memory_nobody_is_left_to_the_loop)
{
    struct http_options options = {0};

    start_nginx();
    CHECK_EQ(anysync_executor_new(NULL, &options.executor), 0);
    CHECK_EQ(http_open(&options, &client), 0);
    expect_hello();
    int before = test_fd_count();
    for (int nth = 1; leave_without_memory(nth); nth++)
        CHECK_GE(before, test_fd_count());
    expect_hello();
    http_close(client);
    CHECK_EQ(anysync_executor_shutdown(options.executor, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    anysync_executor_unref(options.executor);
}

TEST(a_close_ends_what_is_under_way)
{
    start_nginx();
    open_client();
    struct anysync_future *one = start_to_stay(), *other = start_to_stay();
    http_close(client);
    CHECK_EQ(anysync_wait(one, NULL, ANYSYNC_FOREVER), -ESHUTDOWN);
    CHECK_CONTAINS(said(), "closed");
    CHECK_CONTAINS(said(), "/slow");
    CHECK_EQ(anysync_wait(other, NULL, ANYSYNC_FOREVER), -ESHUTDOWN);
    anysync_future_unref(one);
    anysync_future_unref(other);
}

ANYSYNC_BLOCKING(void, close_client, (struct http_client *, it))
{
    http_close(it);
    return 0;
}

/* When http_connections() says what is asked for: one when the transfer is over, none when the
 * loop is. */
static void wait_for_connections(size_t count)
{
    while (http_connections(client) != count)
        CHECK_EQ(anysync_sleep(anysync_in_ms(1)), 0);
}

/* Close the client when the answer is there; its body has not been looked at, or its first chunk
 * has. */
static void close_with_a_body_here(bool in_body)
{
    static const char text[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
    struct server server = {0};
    close_client_future closing;
    char url[SERVER_PATH];
    int error = 0, chunks = 0;

    server_pretend(&server, 0, text, strlen(text), true);
    snprintf(url, sizeof(url), "http://127.0.0.1:%d/", server.port);
    open_client();
    ANYSYNC_WITH(http_exchanging, exchange, &error, client, (struct http_request){.url = url})
    {
        wait_for_connections(1);
        if (!in_body) {
            CHECK_EQ(close_client_start(&closing, client), 0);
            wait_for_connections(0);
        }
        ANYSYNC_FOR(http_body, chunk, &error, exchange)
        {
            CHECK_EQ(++chunks, 1);
            CHECK_EQ(chunk.size, 5);
            CHECK_EQ(memcmp(chunk.data, "hello", 5), 0);
            if (in_body) {
                CHECK_EQ(close_client_start(&closing, client), 0);
                wait_for_connections(0);
            }
        }
    }
    CHECK_EQ(error, 0);
    CHECK_EQ(chunks, 1);
    CHECK_EQ(close_client_wait(&closing, ANYSYNC_FOREVER), 0);
    close_client_drop(&closing);
    server_kill(&server);
}

TEST(a_body_that_had_come_outlives_the_close)
{
    close_with_a_body_here(false);
    close_with_a_body_here(true);
}

TEST(the_end_of_its_loop_is_the_end_of_a_client)
{
    struct http_options options = {0};
    struct http_answer answer;

    start_nginx();
    CHECK_EQ(anysync_executor_new(NULL, &options.executor), 0);
    CHECK_EQ(http_open(&options, &client), 0);
    struct anysync_future *task = start_to_stay(); /* on the global executor */
    CHECK_EQ(anysync_executor_shutdown(options.executor, ANYSYNC_CANCEL, ANYSYNC_FOREVER, NULL), 0);
    CHECK_EQ(anysync_wait(task, NULL, ANYSYNC_FOREVER), -ESHUTDOWN);
    CHECK_EQ(http_get(&answer, client, url_of("/hello")), -ESHUTDOWN);
    http_close(client);
    CHECK_EQ(http_open(&options, &client), -ESHUTDOWN);
    anysync_executor_unref(options.executor);
    anysync_future_unref(task);
}

static void use_it(void)
{
    open_client();
    expect_hello();
    expect_failure(url_of("/round"), -ELOOP, "");
    leave_in_the_middle();
    http_close(client);
}

TEST(nothing_is_left_behind)
{
    start_nginx();
    in_worlds(PLAIN | WORKER | HERE, use_it);
    int before = test_fd_count();
    in_worlds(PLAIN | WORKER | HERE, use_it);
    CHECK_EQ(test_fd_count(), before);
}
