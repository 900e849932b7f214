/* SPDX-License-Identifier: MIT */
/*
 * The HTTP server (docs/examples/clients/http_server.h): how it stops, harm, and load by wrk.
 *
 * Packages: libcurl libevent_core libevent_extra
 * With: docs/examples/clients/http.c docs/examples/clients/http_exchange.c
 * With: docs/examples/clients/curl_loop.c
 * With: docs/examples/clients/http_server.c docs/examples/clients/http_call.c
 *
 * Promised                                        Tested by
 *   stop                                          a_stop_waits_for_answers
 *                                                 a_stop_that_is_late_cancels
 *                                                 the_end_of_its_loop_stops_a_server
 *   a start that fails leaves nothing             a_start_without_memory_is_over_when_it_returns
 *   garbage                                       garbage_harms_nobody
 *   an address in use                             an_address_in_use_is_told
 *   under load                                    stress_wrk_finds_no_error
 *   nothing is left                               nothing_is_left_behind
 */
#define _GNU_SOURCE 1 /* RTLD_NEXT */
#include "http_servers.h"

#include <dlfcn.h>
#include <event2/buffer.h>
#include <event2/http.h>

/* --- ends ------------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(void, stop, (anysync_time, deadline))
{
    return http_server_stop(server, deadline);
}

TEST(a_stop_waits_for_answers)
{
    http_get_future answer;
    stop_future stopped;
    struct http_answer refused;

    start_server(NULL);
    expect("/hello", 200, "hello\n"); /* a connection that stays */
    int other = say("GET /hello HTTP/1.1\r\n\r\n"), port = http_server_port(server);
    char text[1000];
    CHECK_GE(read(other, text, sizeof(text)), 1);
    get_hold(&answer);
    await(begun);
    CHECK_EQ(stop_start(&stopped, ANYSYNC_FOREVER), 0);
    /* until it does not listen any more */
    for (int error = 0; error != -ECONNREFUSED;) {
        int fd = -1;
        snprintf(text, sizeof(text), "127.0.0.1:%d", port);
        error = anysync_dial(text, &fd, ANYSYNC_FOREVER);
        close(fd);
    }
    CHECK_EQ(send(other, "GET /hello HTTP/1.1\r\n\r\n", 23, MSG_NOSIGNAL), 23);
    read_all(other, text, sizeof(text)); /* to the end */
    CHECK_CONTAINS(text, " 503 ");
    CHECK_CONTAINS(text, "close");
    close(other);
    CHECK_EQ(stop_wait(&stopped, ANYSYNC_POLL), -ETIMEDOUT);
    const char *url = url_of("/hello");
    anysync_event_set(go_on);
    expect_held(&answer);
    CHECK_EQ(stop_wait(&stopped, ANYSYNC_FOREVER), 0);
    stop_drop(&stopped);
    CHECK_EQ(http_get(&refused, client, url), -ECONNREFUSED);
    http_close(client);
}

TEST(a_stop_that_is_late_cancels)
{
    http_get_future soon;
    struct http_answer answer = {0};

    start_server(NULL);
    get_hold(&soon);
    await(begun);
    CHECK_EQ(http_server_stop(server, anysync_in_ms(20)), -ETIMEDOUT);
    CHECK_EQ(atomic_load(&cancelled), 1);
    int error = http_get_wait(&soon, &answer, ANYSYNC_FOREVER);
    CHECK(error == -ECONNRESET || answer.status == 503); /* sent, if there was time */
    http_answer_free(&answer);
    http_get_drop(&soon);
    http_close(client);
}

TEST(the_end_of_its_loop_stops_a_server)
{
    struct http_server_options options = {0};
    http_get_future soon;
    struct http_answer answer = {0};

    CHECK_EQ(anysync_executor_new(NULL, &options.executor), 0);
    start_server(&options);
    get_hold(&soon);
    await(begun);
    CHECK_EQ(anysync_executor_shutdown(options.executor, ANYSYNC_CANCEL, ANYSYNC_FOREVER, NULL), 0);
    CHECK_EQ(atomic_load(&cancelled), 1);
    (void)!http_get_wait(&soon, &answer, ANYSYNC_FOREVER);
    http_answer_free(&answer);
    http_get_drop(&soon);
    http_close(client);
    CHECK_EQ(http_server_stop(server, ANYSYNC_FOREVER), -ECANCELED);
    anysync_executor_unref(options.executor);
}

/* --- harm ------------------------------------------------------------------------------------- */

static void expect_reply(const char *request, const char *status)
{
    char text[2000];
    int fd = say(request);

    shutdown(fd, SHUT_WR);
    size_t size = read_all(fd, text, sizeof(text));
    if (status)
        CHECK_CONTAINS(text, status);
    else if (size)
        test_fail(TEST_HERE, "%s gets %s", request, text);
    close(fd);
}

TEST(garbage_harms_nobody)
{
    static char large[100000];
    static const char head[] = "GET /hello HTTP/1.1\r\nX-Large: ";

    start_server(NULL);
    memset(large, 'x', sizeof(large) - 1);
    expect_reply("", NULL);
    expect_reply("\r\n", " 4");
    expect_reply("nonsense\r\n\r\n", " 4");
    expect_reply("GET\r\n\r\n", " 4");
    expect_reply("GET /hello HTTP/1.1\r\nno header\r\n\r\n", " 4");
    expect_reply("POST /a HTTP/1.1\r\nContent-Length: -5\r\n\r\n", " 4");
    expect_reply("POST /a HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", " 413");
    expect_reply("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", " 4");
    expect_reply("POST /a HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc", NULL);
    memcpy(large, head, sizeof(head) - 1);
    int fd = say(large); /* may be reset */
    close(fd);
    memset(large, '\x80', sizeof(large) - 1);
    fd = say(large);
    close(fd);
    for (int i = 0; i < 100; i++) /* who leaves at once, in the middle of whatever */
        close(say(i % 2 ? "GET /stream HTTP/1.1\r\n\r\n" : "GET /hello HTTP/1.1\r\n\r\n"));
    expect("/hello", 200, "hello\n");
    stop_server();
}

TEST(an_address_in_use_is_told)
{
    struct http_server *second = NULL;
    char address[50];

    start_server(NULL);
    snprintf(address, sizeof(address), "127.0.0.1:%d", http_server_port(server));
    CHECK_EQ(http_server_start(address, NULL, serve, NULL, &second), -EADDRINUSE);
    CHECK_CONTAINS(said(), address);
    CHECK(!second);
    CHECK_EQ(http_server_start("nowhere", NULL, serve, NULL, &second), -EINVAL);
    stop_server();
}

TEST(stress_wrk_finds_no_error)
{
    struct server wrk = {0};
    char log[SERVER_PATH + 8], text[4000] = "";

    start_server(NULL);
    const char *const argv[] = {"wrk", "-t1", "-c64", "-d1", url_of("/hello"), NULL};
    CHECK_EQ(server_run(&wrk, NULL, argv), 0);
    snprintf(log, sizeof(log), "%s/log", wrk.folder);
    FILE *file = fopen(log, "r");
    CHECK(file && fread(text, 1, sizeof(text) - 1, file) > 0);
    fclose(file);
    CHECK_CONTAINS(text, "Requests/sec:");
    CHECK(!strstr(text, "Socket errors"));
    CHECK(!strstr(text, "Non-2xx"));
    expect("/hello", 200, "hello\n");
    stop_server(); /* what wrk left in the middle does not hold it up */
}

static void use_it(void)
{
    start_server(NULL);
    expect("/hello", 200, "hello\n");
    int fd = say("GET /hold HTTP/1.1\r\n\r\n");
    await(begun);
    close(fd);
    await(ended);
    stop_server();
}

TEST(nothing_is_left_behind)
{
    in_worlds(PLAIN | WORKER, use_it);
    int before = test_fd_count();
    in_worlds(PLAIN | WORKER, use_it);
    CHECK_EQ(test_fd_count(), before);
}

/* --- a start that fails ----------------------------------------------------------------------- */

static atomic_bool is_scarce, torn_down;

/* libevent's, without memory. */
struct evhttp *evhttp_new(struct event_base *base)
{
    struct evhttp *(*original)(struct event_base *);
    void *address = dlsym(RTLD_NEXT, "evhttp_new");

    memcpy(&original, &address, sizeof(original));
    return atomic_load(&is_scarce) ? NULL : original(base);
}

/* libevent's, which takes its time. */
void evbuffer_free(struct evbuffer *buffer)
{
    void (*original)(struct evbuffer *);
    void *address = dlsym(RTLD_NEXT, "evbuffer_free");

    memcpy(&original, &address, sizeof(original));
    original(buffer);
    if (atomic_load(&is_scarce)) {
        usleep(100000);
        atomic_store(&torn_down, true);
    }
}

/* Whoever is cancelled does not hurry away from what the server's loop still frees. */
TEST(a_start_without_memory_is_over_when_it_returns)
{
    int error = 0;

    atomic_store(&is_scarce, true);
    ANYSYNC_SCOPE(&error, anysync_now())
    {
        CHECK_EQ(http_server_start("127.0.0.1:0", NULL, serve, NULL, &server), -ENOMEM);
        CHECK(atomic_load(&torn_down));
    }
}
