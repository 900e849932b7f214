/* SPDX-License-Identifier: MIT */
/*
 * The HTTP server (docs/examples/clients/http_server.h), asked by our HTTP client and by plain
 * sockets.  (Its end, harm and load: test_http_server_ends.c.)
 *
 * Packages: libcurl libevent_core libevent_extra
 * With: docs/examples/clients/http.c docs/examples/clients/http_exchange.c
 * With: docs/examples/clients/curl_loop.c
 * With: docs/examples/clients/http_server.c docs/examples/clients/http_call.c
 *
 * Promised                                        Tested by
 *   on each loop                                  each_world_starts_and_stops_a_server
 *   the request                                   a_handler_sees_the_request
 *   HEAD                                          an_answer_to_head_has_no_body
 *   handlers may wait                             handlers_wait_for_each_other_and_for_jobs
 *   answers in chunks                             chunks_arrive_as_one_body
 *     no faster than they are read                a_client_that_does_not_read_holds_the_handler_up
 *   who goes away cancels                         a_client_that_goes_away_cancels_its_handler
 *                                                 a_client_that_is_gone_before_its_handler_begins
 *                                                 an_end_that_comes_before_its_request_is_read
 *   at most so many handlers                      too_many_are_refused, too_many_wait
 *   failures are 500s                             failures_are_told_to_client_and_hook
 */
#include "http_servers.h"

#include <sched.h>

static void start_ask_stop(void)
{
    start_server(NULL);
    for (int i = 0; i < 10; i++)
        expect("/hello", 200, "hello\n");
    CHECK_EQ(http_connections(client), 1);
    stop_server();
}

TEST(each_world_starts_and_stops_a_server)
{
    in_worlds(EVERYWHERE_AND_POOL, start_ask_stop);
}

TEST(a_handler_sees_the_request)
{
    static const char *const headers[] = {"X-More: a b", NULL};
    struct http_answer answer;

    start_server(NULL);
    CHECK_EQ(http_fetch(&answer, client,
                     (struct http_request){.url = url_of("/a/b?c=d&e"),
                             .method = "PUT",
                             .headers = headers,
                             .body = "12345",
                             .size = 5}),
            0);
    CHECK_EQ(answer.status, 201);
    CHECK_STR(answer.body, "PUT /a/b ?c=d&e a b 12345");
    CHECK_STR(http_header(answer.headers, "X-Seen"), "yes");
    CHECK_STR(http_header(answer.headers, "Content-Type"), "text/odd");
    http_answer_free(&answer);
    CHECK_EQ(http_fetch(&answer, client,
                     (struct http_request){.url = url_of("/hello"), .method = "HEAD"}),
            0);
    CHECK_EQ(answer.size, 0);
    http_answer_free(&answer);
    CHECK_EQ(http_fetch(&answer, client,
                     (struct http_request){.url = url_of("/stream"), .method = "HEAD"}),
            0);
    CHECK_EQ(answer.size, 0);
    http_answer_free(&answer);
    expect("/hello", 200, "hello\n"); /* nothing of those is left in between */
    stop_server();
}

/* What follows a head without a body is the next answer. */
TEST(an_answer_to_head_has_no_body)
{
    static const char *const paths[] = {"/hello", "/fails"};
    char text[2000];

    start_server(NULL);
    for (int i = 0; i < 2; i++) {
        snprintf(text, sizeof(text),
                "HEAD %s HTTP/1.1\r\n\r\nGET /hello HTTP/1.1\r\nConnection: close\r\n\r\n",
                paths[i]);
        int fd = say(text);
        read_all(fd, text, sizeof(text));
        close(fd);
        CHECK_CONTAINS(text, i == 0 ? "Content-Length: 6\r\n" : " 500 ");
        const char *end = strstr(text, "\r\n\r\n");
        CHECK(end != NULL);
        CHECK_EQ(memcmp(end + 4, "HTTP/1.1 200", 12), 0);
    }
    stop_server();
}

enum { PARTIES = 50 };

TEST(handlers_wait_for_each_other_and_for_jobs)
{
    http_get_future soon[PARTIES];
    struct http_answer answer;

    CHECK_EQ(anysync_barrier_new(PARTIES, &meeting), 0);
    start_server(NULL);
    const char *url = url_of("/meet");
    for (int i = 0; i < PARTIES; i++)
        CHECK_EQ(http_get_start(&soon[i], client, url), 0);
    for (int i = 0; i < PARTIES; i++) {
        CHECK_EQ(http_get_wait(&soon[i], &answer, ANYSYNC_FOREVER), 0);
        CHECK_STR(answer.body, "49");
        http_answer_free(&answer);
        http_get_drop(&soon[i]);
    }
    stop_server();
    anysync_barrier_unref(meeting);
}

TEST(chunks_arrive_as_one_body)
{
    struct http_answer answer;

    start_server(NULL);
    CHECK_EQ(http_get(&answer, client, url_of("/stream")), 0);
    CHECK_EQ(answer.size, 5000000);
    for (size_t i = 0; i < answer.size; i++)
        CHECK_EQ(answer.body[i], 'a' + (int)(i / 1000) % 26);
    http_answer_free(&answer);
    int fd = say("GET /stream HTTP/1.0\r\n\r\n"); /* which has no chunks: up to the end */
    CHECK_GE(read_all(fd, NULL, 0), 5000000);
    close(fd);
    stop_server();
}

TEST(a_client_that_does_not_read_holds_the_handler_up)
{
    start_server(NULL);
    int fd = say("GET /flood HTTP/1.0\r\n\r\n");
    await(begun);
    size_t sent = taken; /* which nobody has read yet */
    CHECK_GE(100 << 20, sent);
    anysync_event_set(go_on);
    CHECK_GE(read_all(fd, NULL, 0), sent);
    close(fd);
    stop_server();
}

TEST(a_client_that_goes_away_cancels_its_handler)
{
    start_server(NULL);
    for (int i = 0; i < 3; i++) {
        int fd = say(i == 1 ? "GET /flood HTTP/1.1\r\n\r\n" : "GET /hold HTTP/1.1\r\n\r\n");
        await(begun);
        if (i == 2)
            shutdown(fd, SHUT_WR);
        else
            close(fd);
        await(ended); /* nobody told it to go on */
        if (i == 2)
            close(fd);
    }
    CHECK_EQ(atomic_load(&cancelled), 2);
    expect("/hello", 200, "hello\n");
    stop_server();
}

/* The request and the end of its connection are found in one turn of the loop. */
static void leave_before_it_begins(void)
{
    static const char request[] = "GET /hold HTTP/1.1\r\n\r\n";
    char text[1000];

    start_server(NULL);
    int fd = say("GET /hello HTTP/1.1\r\n\r\n");
    CHECK_GE(anysync_read(fd, text, sizeof(text), ANYSYNC_FOREVER), 1);
    CHECK_EQ(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
    close(fd);
    expect("/hello", 200, "hello\n");
    stop_server();
}

TEST(a_client_that_is_gone_before_its_handler_begins)
{
    in_worlds(HERE | WORKER, leave_before_it_begins);
}

/* The server's loop stands still until SENT is raised. */
ANYSYNC_COROUTINE(void, hold_up, (atomic_bool *, stands), (atomic_bool *, sent))
{
    atomic_store(stands, true);
    while (!atomic_load(sent))
        sched_yield();
    return 0;
}

/* A second request of a connection is large: its end is known before all of it is read. */
TEST(an_end_that_comes_before_its_request_is_read)
{
    enum { BODY = 60000 };
    static char request[BODY + 100];
    static atomic_bool stands, sent;
    hold_up_future held_up;
    char text[1000];

    start_server(NULL);
    int fd = say("GET /hello HTTP/1.1\r\n\r\n");
    CHECK_GE(read(fd, text, sizeof(text)), 1);
    int head = snprintf(
            request, sizeof(request), "POST /hold HTTP/1.1\r\nContent-Length: %d\r\n\r\n", BODY);
    CHECK_EQ(hold_up_start(&held_up, &stands, &sent), 0);
    while (!atomic_load(&stands))
        sched_yield();
    CHECK_EQ(send(fd, request, (size_t)head + BODY, MSG_NOSIGNAL), head + BODY);
    shutdown(fd, SHUT_WR);
    atomic_store(&sent, true);
    CHECK_EQ(hold_up_wait(&held_up, ANYSYNC_FOREVER), 0);
    hold_up_drop(&held_up);
    await(begun);
    CHECK_EQ(anysync_event_wait(ended, anysync_in_seconds(20)), 0); /* nobody told it to go on */
    CHECK_EQ(atomic_load(&cancelled), 1);
    close(fd);
    stop_server();
}

TEST(too_many_are_refused)
{
    struct http_server_options options = {.handlers = 2};
    http_get_future one, two;
    struct http_answer answer;

    start_server(&options);
    get_hold(&one);
    await(begun);
    get_hold(&two);
    await(begun);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(http_get(&answer, client, url_of("/hello")), 0);
        CHECK_EQ(answer.status, 503);
        CHECK_STR(http_header(answer.headers, "Retry-After"), "1");
        http_answer_free(&answer);
    }
    CHECK_EQ(http_connections(client), 1); /* of those that have ended: a refusal closes nothing */
    anysync_event_set(go_on);
    expect_held(&one);
    expect_held(&two);
    expect("/hello", 200, "hello\n");
    stop_server();
}

TEST(too_many_wait)
{
    enum { MORE = 20 };
    struct http_server_options options = {.handlers = 1, .busy_waits = true};
    http_get_future first, more[MORE];

    start_server(&options);
    get_hold(&first);
    await(begun);
    int gone = say("GET /hold HTTP/1.1\r\n\r\n");
    for (int i = 0; i < MORE; i++)
        get_hold(&more[i]);
    close(gone);
    CHECK_EQ(atomic_load(&held), 1);
    anysync_event_set(go_on);
    expect_held(&first);
    for (int i = 0; i < MORE; i++)
        expect_held(&more[i]);
    expect("/hello", 200, "hello\n");
    stop_server();
}

static atomic_int hooked;

static void on_failure(const char *task, const struct anysync_error *error, void *context)
{
    (void)context;
    CHECK_STR(task, "http_handler");
    CHECK(strstr(error->message, "there is no answer") || strstr(error->message, "broken") ||
            strstr(error->message, "not answered"));
    atomic_fetch_add(&hooked, 1);
}

TEST(failures_are_told_to_client_and_hook)
{
    struct http_answer answer;

    anysync_set_error_hook(on_failure, NULL);
    start_server(NULL);
    expect("/fails", 500, "this has failed\n");
    expect("/nothing", 500, "this has failed\n");
    CHECK_EQ(http_get(&answer, client, url_of("/broken")), -ECONNRESET);
    expect("/hello", 200, "hello\n");
    stop_server();
    CHECK_GE(atomic_load(&hooked), 3); /* curl asks again if a connection it kept breaks at once */
}
