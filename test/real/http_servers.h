/* SPDX-License-Identifier: MIT */
/* What the tests of the HTTP server share: a server with a handler of many talents. */
#ifndef TEST_REAL_HTTP_SERVERS_H
#define TEST_REAL_HTTP_SERVERS_H

#include "http.h"
#include "http_server.h"
#include "servers.h"
#include "worlds.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

static struct http_client *client;
static struct http_server *server;
static struct anysync_event *begun, *go_on, *ended; /* of handlers that are held */
static struct anysync_barrier *meeting;
static atomic_int held, cancelled;

static inline const char *said(void)
{
    return anysync_last_error()->message;
}

static inline const char *url_of(const char *path)
{
    static char urls[64][200];
    static atomic_int turn;
    char *url = urls[atomic_fetch_add(&turn, 1) % 64];

    snprintf(url, sizeof(urls[0]), "http://127.0.0.1:%d%s", http_server_port(server), path);
    return url;
}

/* --- handlers --------------------------------------------------------------------------------- */

ANYSYNC_BLOCKING(int, square, (int, number))
{
    *result = number * number;
    return 0;
}

static inline int tell_request(struct http_call *call)
{
    char text[500];
    size_t size;
    const char *body = http_call_body(call, &size), *query = http_call_query(call);
    const char *header = http_call_header(call, "x-more");
    int length = snprintf(text, sizeof(text), "%s %s ?%s %s %.*s", http_call_method(call),
            http_call_path(call), query ? query : "-", header ? header : "-", (int)size,
            body ? body : "");
    int error = http_reply_header(call, "X-Seen", "yes");

    CHECK_EQ(http_reply_header(call, "X-Bad", "a\r\nb"), -EINVAL);
    if (!error)
        error = http_reply(call, 201, "text/odd", text, (size_t)length);
    CHECK_EQ(http_reply(call, 200, NULL, NULL, 0), -EALREADY);
    CHECK_EQ(http_reply_begin(call, 200, NULL), -EALREADY);
    return error;
}

static inline int meet(struct http_call *call)
{
    char text[20];
    int squared, error = anysync_barrier_wait(meeting, ANYSYNC_FOREVER);

    if (error >= 0)
        error = square(&squared, 7);
    if (!error)
        error = anysync_sleep(anysync_in_us(10));
    if (error)
        return error;
    snprintf(text, sizeof(text), "%d", squared);
    return http_reply(call, 200, "text/plain", text, strlen(text));
}

static inline int stream(struct http_call *call, int count)
{
    char text[1000];
    int error = http_reply_begin(call, 200, "text/plain");

    CHECK_EQ(http_reply(call, 200, NULL, NULL, 0), -EALREADY);
    for (int i = 0; i < count && !error; i++) {
        memset(text, 'a' + i % 26, sizeof(text));
        error = http_reply_chunk(call, text, sizeof(text), ANYSYNC_FOREVER);
    }
    return error;
}

/* Until told to go on, or cancelled. */
static inline int hold(struct http_call *call)
{
    atomic_fetch_add(&held, 1);
    anysync_event_set(begun);
    int error = anysync_event_wait(go_on, ANYSYNC_FOREVER);
    if (error == -ECANCELED)
        atomic_fetch_add(&cancelled, 1);
    anysync_event_set(ended);
    return error ? error : http_reply(call, 200, "text/plain", "held", 4);
}

/* For who does not read: say how much was taken, and hold. */
static size_t taken;

static inline int flood(struct http_call *call)
{
    static char piece[100000];
    int error = http_reply_begin(call, 200, "text/plain");

    for (taken = 0; !error; taken += sizeof(piece)) {
        error = http_reply_chunk(call, piece, sizeof(piece), anysync_in_ms(100));
        if (error)
            break;
    }
    CHECK_EQ(error, -ETIMEDOUT);
    anysync_event_set(begun);
    error = anysync_event_wait(go_on, ANYSYNC_FOREVER);
    anysync_event_set(ended);
    return error;
}

static inline int serve(struct http_call *call, void *argument)
{
    const char *path = http_call_path(call);

    CHECK(argument == &server);
    CHECK(anysync_in_coroutine());
    if (strcmp(path, "/hello") == 0)
        return http_reply(call, 200, "text/plain", "hello\n", 6);
    if (strcmp(path, "/meet") == 0)
        return meet(call);
    if (strcmp(path, "/stream") == 0)
        return stream(call, 5000);
    if (strcmp(path, "/broken") == 0)
        return stream(call, 3) ? -EIO : anysync_fail(-EIO, "broken in the middle");
    if (strcmp(path, "/hold") == 0)
        return hold(call);
    if (strcmp(path, "/flood") == 0)
        return flood(call);
    if (strcmp(path, "/fails") == 0)
        return anysync_fail(-EIO, "there is no answer");
    if (strcmp(path, "/nothing") == 0)
        return 0;
    return tell_request(call);
}

/* --- what the tests do ------------------------------------------------------------------------ */

static inline void start_server(const struct http_server_options *options)
{
    if (!begun) {
        CHECK_EQ(anysync_event_new(&begun), 0);
        CHECK_EQ(anysync_event_new(&go_on), 0);
        CHECK_EQ(anysync_event_new(&ended), 0);
    }
    if (http_server_start("127.0.0.1:0", options, serve, &server, &server))
        test_fail(TEST_HERE, "%s", said());
    CHECK_EQ(http_open(NULL, &client), 0);
}

static inline void stop_server(void)
{
    http_close(client);
    CHECK_EQ(http_server_stop(server, ANYSYNC_FOREVER), 0);
}

static inline void expect(const char *path, int status, const char *text)
{
    struct http_answer answer;

    if (http_get(&answer, client, url_of(path)))
        test_fail(TEST_HERE, "%s", said());
    CHECK_EQ(answer.status, status);
    CHECK_STR(answer.body, text);
    http_answer_free(&answer);
}

static inline void await(struct anysync_event *event)
{
    CHECK_EQ(anysync_event_wait(event, ANYSYNC_FOREVER), 0);
    anysync_event_reset(event);
}

/* A plain connection that has said TEXT. */
static inline int say(const char *text)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
            .sin_port = htons((uint16_t)http_server_port(server)),
            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK_EQ(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    CHECK_EQ(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
    return fd;
}

/* All that comes, up to the end; how much that is. */
static inline size_t read_all(int fd, char *text, size_t size)
{
    static char rest[100000];
    size_t all = 0;

    for (;;) {
        ssize_t got = all + 1 < size ? read(fd, text + all, size - 1 - all)
                                     : read(fd, rest, sizeof(rest));
        if (got <= 0)
            break;
        all += (size_t)got;
    }
    if (size)
        text[all < size ? all : size - 1] = '\0';
    return all;
}

static inline void get_hold(http_get_future *ret_future)
{
    CHECK_EQ(http_get_start(ret_future, client, url_of("/hold")), 0);
}

static inline void expect_held(http_get_future *future)
{
    struct http_answer answer;

    CHECK_EQ(http_get_wait(future, &answer, ANYSYNC_FOREVER), 0);
    CHECK_EQ(answer.status, 200);
    CHECK_STR(answer.body, "held");
    http_answer_free(&answer);
    http_get_drop(future);
}

#endif
