/* SPDX-License-Identifier: MIT */
/*
 * The HTTP client (docs/examples/clients/http.h) against nginx.  (When things go wrong:
 * test_http_faults.c.)
 *
 * Packages: libcurl libevent_core
 * With: docs/examples/clients/http.c docs/examples/clients/http_exchange.c
 * With: docs/examples/clients/curl_loop.c
 *
 * Promised                                        Tested by
 *   one body for each world                         each_world_opens_a_client_and_gets
 *   one client for all of them                      one_client_serves_all_worlds
 *   status, headers, body; 404 is an answer         an_answer_has_status_headers_and_body
 *   methods, headers and bodies are sent            a_body_and_headers_are_sent
 *   redirects                                       redirects_are_followed_as_far_as_allowed
 *                                                   a_redirect_keeps_method_and_body_but_...
 *   hundreds at once                                five_hundred_transfers_at_once
 *   no more at once than told; reuse                few_connections_serve_many_requests
 *   bodies as they come, back-pressure              a_body_comes_in_chunks_no_faster_than_taken
 *     until the deadline                          a_body_that_keeps_coming_ends_at_the_deadline
 *   a body left in the middle                       a_block_may_be_left_in_the_middle_of_a_body
 *   uploads as they come                            a_body_of_chunks_is_uploaded
 *   a body too large                                a_body_that_is_too_large_is_refused
 *   TLS, verified                                   https_believes_the_certificate_it_was_given
 *     otherwise a clear sentence                  a_certificate_that_is_not_trusted_is_told,
 *                                                 a_certificate_of_another_name_is_told
 */
#include "http_clients.h"

/* --- what it can ------------------------------------------------------------------------------ */

static void open_get_close(void)
{
    open_client();
    expect_hello();
    http_close(client);
}

TEST(each_world_opens_a_client_and_gets)
{
    start_nginx();
    in_worlds(EVERYWHERE_AND_POOL, open_get_close);
}

TEST(one_client_serves_all_worlds)
{
    struct http_options options = {.at_once = 1};

    start_nginx();
    CHECK_EQ(anysync_executor_new(NULL, &options.executor), 0);
    CHECK_EQ(http_open(&options, &client), 0);
    in_worlds(EVERYWHERE_AND_POOL, expect_hello);
    CHECK_EQ(http_connections(client), 1);
    http_close(client);
    CHECK_EQ(anysync_executor_shutdown(options.executor, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    anysync_executor_unref(options.executor);
}

static void look_at_answers(void)
{
    struct http_answer answer;

    CHECK_EQ(http_get(&answer, client, url_of("/hello")), 0);
    CHECK_EQ(answer.status, 200);
    CHECK_EQ(answer.size, 6);
    CHECK_STR(answer.body, "hello\n");
    CHECK_STR(http_header(answer.headers, "content-LENGTH"), "6");
    CHECK_CONTAINS(http_header(answer.headers, "Server"), "nginx");
    CHECK(!http_header(answer.headers, "Serve"));
    http_answer_free(&answer);
    http_answer_free(&answer);
    CHECK_EQ(http_get(&answer, client, url_of("/none")), 0);
    CHECK_EQ(answer.status, 404);
    CHECK_CONTAINS(answer.body, "404 Not Found");
    http_answer_free(&answer);
    CHECK_EQ(http_fetch(&answer, client,
                     (struct http_request){.url = url_of("/hello"), .method = "HEAD"}),
            0);
    CHECK_EQ(answer.size, 0);
    CHECK_STR(answer.body, "");
    CHECK_STR(http_header(answer.headers, "Content-Length"), "6");
    http_answer_free(&answer);
}

TEST(an_answer_has_status_headers_and_body)
{
    start_nginx();
    open_client();
    in_worlds(PLAIN | WORKER | HERE, look_at_answers);
    http_close(client);
}

static void send_bodies(void)
{
    static const char *const headers[] = {"Content-Type: text/odd", "X-More: yes", NULL};
    struct http_answer answer;

    CHECK_EQ(http_post(&answer, client, url_of("/what"), "text/plain", "12345", 5), 0);
    CHECK_STR(answer.body, "POST 5 text/plain\n");
    http_answer_free(&answer);
    CHECK_EQ(http_fetch(&answer, client,
                     (struct http_request){.url = url_of("/put/a"),
                             .method = "PUT",
                             .headers = headers,
                             .body = "abc\0def",
                             .size = 7}),
            0);
    CHECK_EQ(answer.status / 100, 2);
    http_answer_free(&answer);
    CHECK_EQ(http_get(&answer, client, url_of("/put/a")), 0);
    CHECK_EQ(answer.size, 7);
    CHECK(memcmp(answer.body, "abc\0def", 8) == 0);
    http_answer_free(&answer);
}

TEST(a_body_and_headers_are_sent)
{
    start_nginx();
    open_client();
    in_worlds(PLAIN | WORKER | HERE, send_bodies);
    http_close(client);
}

TEST(redirects_are_followed_as_far_as_allowed)
{
    struct http_options none = {.redirects = -1};
    struct http_answer answer;

    start_nginx();
    open_client();
    expect_hello_from(url_of("/moved"));
    CHECK_EQ(http_post(&answer, client, url_of("/see"), "text/plain", "12345", 5), 0);
    CHECK_STR(answer.body, "GET  text/plain\n"); /* to see other is to get it */
    http_answer_free(&answer);
    CHECK_EQ(http_post(&answer, client, url_of("/moved"), "text/plain", "12345", 5), 0);
    CHECK_STR(answer.body, "hello\n");
    http_answer_free(&answer);
    expect_failure(url_of("/round"), -ELOOP, "redirects");
    int status = 0, error = 0;
    ANYSYNC_WITH(http_exchanging, exchange, &error, client,
            (struct http_request){.url = url_of("/moved")})
    {
        status = http_exchange_status(exchange);
    }
    CHECK_EQ(error, 0);
    CHECK_EQ(status, 200);
    http_close(client);
    CHECK_EQ(http_open(&none, &client), 0);
    CHECK_EQ(http_get(&answer, client, url_of("/moved")), 0);
    CHECK_EQ(answer.status, 302);
    CHECK_CONTAINS(http_header(answer.headers, "Location"), "/hello");
    http_answer_free(&answer);
    http_close(client);
}

/* What is sent to URL by PUT, and said in the answer. */
static void put(const char *url, const char *said_then)
{
    struct http_answer answer;

    CHECK_EQ(
            http_fetch(&answer, client,
                    (struct http_request){.url = url, .method = "PUT", .body = "12345", .size = 5}),
            0);
    CHECK_EQ(answer.status / 100, 2);
    CHECK_STR(answer.body, said_then);
    http_answer_free(&answer);
}

TEST(a_redirect_keeps_method_and_body_but_303_and_of_a_post)
{
    struct http_answer answer;

    start_nginx();
    open_client();
    put(url_of("/put/moved"), "");
    CHECK_EQ(http_get(&answer, client, url_of("/put/here")), 0);
    CHECK_STR(answer.body, "12345");
    http_answer_free(&answer);
    put(url_of("/see"), "GET  \n");
    CHECK_EQ(http_fetch(&answer, client,
                     (struct http_request){.url = url_of("/see"), .method = "DELETE"}),
            0);
    CHECK_STR(answer.body, "GET  \n");
    http_answer_free(&answer);
    http_close(client);
}

/* --- many ------------------------------------------------------------------------------------- */

enum { MANY = 500 };

ANYSYNC_COROUTINE(void, get_many, (const char *, url))
{
    static http_get_future soon[MANY];
    struct http_answer answer;

    for (int i = 0; i < MANY; i++)
        CHECK_EQ(http_get_start(&soon[i], client, url), 0);
    for (int i = 0; i < MANY; i++) {
        if (http_get_wait(&soon[i], &answer, ANYSYNC_FOREVER))
            test_fail(TEST_HERE, "%s", said());
        CHECK_EQ(answer.status, 200);
        CHECK_STR(answer.body, "hello\n");
        http_answer_free(&answer);
        http_get_drop(&soon[i]);
    }
    return 0;
}

/* As many as there are do not end before all have begun: each waits for its body. */
ANYSYNC_COROUTINE(void, hold, (struct anysync_barrier *, all))
{
    int error = 0;

    ANYSYNC_WITH(http_exchanging, exchange, &error, client,
            (struct http_request){.url = url_of("/slow")})
    {
        CHECK_EQ(http_exchange_status(exchange), 200);
        error = anysync_barrier_wait(all, ANYSYNC_FOREVER);
        error = error == ANYSYNC_DONE ? 0 : error;
    }
    return error;
}

ANYSYNC_COROUTINE(void, hold_many)
{
    struct anysync_barrier *all;
    int error = anysync_barrier_new(MANY, &all);

    ANYSYNC_GROUP(group, &error)
    {
        for (int i = 0; i < MANY && !error; i++)
            error = hold_spawn(group, NULL, all);
    }
    anysync_barrier_unref(all);
    return error;
}

TEST(five_hundred_transfers_at_once)
{
    struct http_options options = {.at_once = MANY};

    start_nginx();
    options.ca_file = nginx.certificate;
    CHECK_EQ(http_open(&options, &client), 0);
    if (hold_many())
        test_fail(TEST_HERE, "%s", said());
    CHECK_EQ(http_connections(client), 0); /* those that were given up do not count */
    CHECK_EQ(get_many_run(url_of("/hello")), 0);
    CHECK_GE(MANY, http_connections(client));
    CHECK_EQ(get_many_run(tls_url_of("/hello")), 0);
    http_close(client);
}

TEST(few_connections_serve_many_requests)
{
    struct http_options options = {.at_once = 16};

    start_nginx();
    CHECK_EQ(http_open(&options, &client), 0);
    CHECK_EQ(get_many_run(url_of("/hello")), 0);
    CHECK_EQ(get_many_run_here(url_of("/hello")), 0);
    CHECK_GE(16, http_connections(client));
    http_close(client);
}

/* --- bodies as they come ---------------------------------------------------------------------- */

enum { ENOUGH = 256 << 10 }; /* more than ever waits here: 64 KiB, and what curl reads at once */

static void take_chunks(void)
{
    size_t size = 0, largest = 0;
    int error = 0;

    ANYSYNC_WITH(
            http_exchanging, exchange, &error, client, (struct http_request){.url = url_of("/big")})
    {
        struct http_answer other;

        CHECK_EQ(http_exchange_status(exchange), 200);
        CHECK_STR(http_header(http_exchange_headers(exchange), "Content-Length"), "67108864");
        /* all of another one passes while nobody takes this one */
        CHECK_EQ(http_get(&other, client, url_of("/big")), 0);
        CHECK_EQ(other.size, NGINX_BIG);
        http_answer_free(&other);
        ANYSYNC_FOR(http_body, chunk, &error, exchange)
        {
            size += chunk.size;
            largest = chunk.size > largest ? chunk.size : largest;
        }
    }
    CHECK_EQ(error, 0);
    CHECK_EQ(size, NGINX_BIG);
    CHECK_GE(ENOUGH, largest);
}

TEST(a_body_comes_in_chunks_no_faster_than_taken)
{
    start_nginx();
    open_client();
    in_worlds(PLAIN | WORKER | HERE, take_chunks);
    http_close(client);
}

TEST(a_block_may_be_left_in_the_middle_of_a_body)
{
    start_nginx();
    open_client();
    in_worlds(PLAIN | WORKER | HERE, leave_in_the_middle);
    http_close(client);
}

static void take_slowly(void)
{
    struct http_request request = {.url = url_of("/big"), .deadline = anysync_in_ms(100)};
    size_t size = 0;
    int error = 0;

    ANYSYNC_WITH(http_exchanging, exchange, &error, client, request)
    {
        ANYSYNC_FOR(http_body, chunk, &error, exchange)
        {
            size += chunk.size;
            CHECK_EQ(anysync_sleep(anysync_in_ms(2)), 0); /* there is always more by now */
        }
    }
    CHECK_EQ(error, -ETIMEDOUT);
    CHECK_CONTAINS(said(), "/big: not done at its deadline");
    CHECK_GE(NGINX_BIG / 2, size);
}

TEST(a_body_that_keeps_coming_ends_at_the_deadline)
{
    start_nginx();
    open_client();
    in_worlds(PLAIN | WORKER | HERE, take_slowly);
    http_close(client);
}

enum { PIECES = 200, PIECE = 10000 };

/* Some come at once, some later, one has nothing in it. */
ANYSYNC_GENERATOR(struct http_chunk, pieces, (int, fails_at))
{
    static char piece[PIECE];

    for (int i = 0; i < PIECES; i++) {
        int error = i == fails_at ? anysync_fail(-EIO, "no piece") : 0;
        if (!error && i % 10 == 0)
            error = anysync_yield();
        memset(piece, 'a' + i % 26, sizeof(piece));
        if (!error)
            error = pieces_yield((struct http_chunk){piece, i == 77 ? 0 : PIECE});
        if (error)
            return error;
    }
    return 0;
}

static int upload(int fails_at, struct http_answer *ret_answer)
{
    pieces_generator generator;

    CHECK_EQ(pieces_open(&generator, fails_at), 0);
    int error = http_fetch(ret_answer, client,
            (struct http_request){.url = url_of("/put/long"),
                    .method = "PUT",
                    .uploads = pieces_iterator(&generator)});
    pieces_drop(&generator);
    return error;
}

static void upload_chunks(void)
{
    struct http_answer answer;

    CHECK_EQ(upload(-1, &answer), 0);
    CHECK_EQ(answer.status / 100, 2);
    http_answer_free(&answer);
    CHECK_EQ(http_get(&answer, client, url_of("/put/long")), 0);
    CHECK_EQ(answer.size, (PIECES - 1) * PIECE);
    for (size_t i = 0; i < answer.size; i++) {
        size_t piece = i / PIECE;
        CHECK_EQ(answer.body[i], 'a' + (int)(piece < 77 ? piece : piece + 1) % 26);
    }
    http_answer_free(&answer);
    CHECK_EQ(upload(50, &answer), -EIO);
    CHECK_STR(said(), "no piece");
}

TEST(a_body_of_chunks_is_uploaded)
{
    start_nginx();
    open_client();
    in_worlds(PLAIN | WORKER | HERE, upload_chunks);
    http_close(client);
}

TEST(a_body_that_is_too_large_is_refused)
{
    struct http_answer answer;

    start_nginx();
    open_client();
    CHECK_EQ(
            http_fetch(&answer, client, (struct http_request){.url = url_of("/big"), .most = 1000}),
            -EMSGSIZE);
    CHECK_CONTAINS(said(), "more than 1000 bytes");
    CHECK_EQ(http_fetch(&answer, client, (struct http_request){.url = url_of("/hello"), .most = 6}),
            0);
    http_answer_free(&answer);
    http_close(client);
}

/* --- TLS -------------------------------------------------------------------------------------- */

TEST(https_believes_the_certificate_it_was_given)
{
    struct http_options trusting = {.unverified = true}, options = {0};

    start_nginx();
    options.ca_file = nginx.certificate;
    CHECK_EQ(http_open(&options, &client), 0);
    expect_hello_from(tls_url_of("/hello"));
    http_close(client);
    CHECK_EQ(http_open(&trusting, &client), 0);
    expect_hello_from(tls_url_of("/hello"));
    http_close(client);
}

TEST(a_certificate_that_is_not_trusted_is_told)
{
    struct http_options wrong = {.ca_file = "/nowhere/at/all.pem"};

    start_nginx();
    open_client();
    expect_failure(tls_url_of("/hello"), -EACCES, "certificate");
    expect_hello(); /* the client is as good as before */
    http_close(client);
    CHECK_EQ(http_open(&wrong, &client), 0);
    expect_failure(tls_url_of("/hello"), -EACCES, "/nowhere/at/all.pem");
    http_close(client);
}

TEST(a_certificate_of_another_name_is_told)
{
    struct http_options options = {0};

    start_nginx_named("DNS:other.example");
    options.ca_file = nginx.certificate;
    CHECK_EQ(http_open(&options, &client), 0);
    expect_failure(tls_url_of("/hello"), -EACCES, "127.0.0.1");
    http_close(client);
}
