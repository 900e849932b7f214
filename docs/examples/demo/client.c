/* SPDX-License-Identifier: MIT */
/*
 * The coroutine fetch(): evhttp's callbacks on one side, a straight line of code on the other.
 *
 * ONE FUTURE BETWEEN THEM  on_answer() is called by evhttp on the loop's thread and completes a
 *   future; the coroutine waits for that future, with a deadline.  The callback makes it ready, and
 *   it runs later, never inside: so it may free the connection, which no callback of evhttp may.
 *
 * NOTHING IS LEFT BEHIND  The exchange lies on the coroutine's stack.  Every way out of
 *   exchange_run() passes evhttp_connection_free(): that frees the request too and takes the
 *   callbacks back, so that nothing can write to the exchange afterwards.  After a timeout or a
 *   cancel this is what ends the connection.
 *
 * WHY A CONNECTION FAILED  evhttp does not tell: a refused connection comes as an answer without a
 *   status, most others as "end of file".  libevent promises the reason in EVUTIL_SOCKET_ERROR()
 *   while the event callback of the bufferevent runs; evhttp has one there until the connection
 *   stands, and on_connect() takes its place, notes the reason and hands on to it.
 */
#include "client.h"

#include "target.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BODY_LIMIT (64 * 1024 * 1024)
#define HEADERS_LIMIT (64 * 1024)

enum phase {
    STARTING,   /* inside evhttp_make_request(), which may call back at once */
    CONNECTING, /* on_connect() watches */
    CONNECTED
};

/* One question to one address: the coroutine's, written to by the callbacks while it waits. */
struct exchange {
    const char *url;
    struct anysync_future *answered; /* done when evhttp has no more to say */
    enum phase phase;
    int socket_error; /* errno of the connection; 0: none */
    bool failed;      /* evhttp gave up, and `why` says why */
    enum evhttp_request_error why;
    int status;         /* of the answer; 0: none came */
    int error;          /* of our own, as -ENOMEM */
    char reason[96];    /* what stands behind the status */
    char location[160]; /* where a redirection leads */
    struct page page;
    bufferevent_event_cb evhttp_event; /* evhttp's own event callback, and its argument */
    void *evhttp_context;
};

static int default_timeout_ms = 10000;

void fetch_set_timeout(int timeout_ms)
{
    default_timeout_ms = timeout_ms;
}

void page_free(struct page *page)
{
    free(page->data);
    memset(page, 0, sizeof *page);
}

static void copy_line(char *buffer, size_t size, const char *text)
{
    snprintf(buffer, size, "%s", text ? text : "");
}

/* Copy the body: the request and its buffers are gone when evhttp's callback has returned. */
static void take_body(struct exchange *exchange, struct evhttp_request *request)
{
    struct evbuffer *body = evhttp_request_get_input_buffer(request);
    struct page *page = &exchange->page;

    page->size = evbuffer_get_length(body);
    page->data = malloc(page->size + 1);
    if (!page->data) {
        exchange->error = -ENOMEM;
        return;
    }
    if (evbuffer_remove(body, page->data, page->size) != (int)page->size)
        exchange->error = -EIO; /* only if evhttp froze the buffer: it does not */
    page->data[page->size] = '\0';
}

static void take_answer(struct exchange *exchange, struct evhttp_request *request)
{
    struct evkeyvalq *headers = evhttp_request_get_input_headers(request);
    const char *length = evhttp_find_header(headers, "Content-Length");

    exchange->status = evhttp_request_get_response_code(request);
    copy_line(exchange->reason, sizeof exchange->reason,
            evhttp_request_get_response_code_line(request));
    copy_line(
            exchange->location, sizeof exchange->location, evhttp_find_header(headers, "Location"));
    if (exchange->status < 200 || exchange->status > 299)
        return;
    take_body(exchange, request);
    /* evhttp calls a short body an error itself; what is promised in client.h is checked here. */
    if (length && exchange->status != 204 && strtoull(length, NULL, 10) != exchange->page.size) {
        exchange->failed = true;
        exchange->why = EVREQ_HTTP_EOF;
    }
}

static void on_error(enum evhttp_request_error why, void *context)
{
    struct exchange *exchange = context;

    exchange->failed = true;
    exchange->why = why;
    if (exchange->phase == STARTING)
        exchange->socket_error = EVUTIL_SOCKET_ERROR();
}

/* evhttp's last word: an answer, NULL after on_error(), or a request without a status. */
static void on_answer(struct evhttp_request *request, void *context)
{
    struct exchange *exchange = context;

    if (request && evhttp_request_get_response_code(request) != 0)
        take_answer(exchange, request);
    else if (exchange->phase == STARTING && exchange->socket_error == 0)
        exchange->socket_error = ECONNREFUSED; /* the one reason that skips on_error() */
    (void)anysync_future_set(exchange->answered, NULL);
}

/* In the place of evhttp's own callback while it connects. */
static void on_connect(struct bufferevent *stream, short what, void *context)
{
    struct exchange *exchange = context;

    if (what & BEV_EVENT_CONNECTED)
        exchange->phase = CONNECTED;
    else if (what & BEV_EVENT_ERROR)
        exchange->socket_error = EVUTIL_SOCKET_ERROR();
    exchange->evhttp_event(stream, what, exchange->evhttp_context);
}

/* Returns 0, or -ENOMEM: then evhttp will not call. */
static int send_request(struct exchange *exchange, struct evhttp_connection *connection,
        const struct target *target)
{
    struct bufferevent *stream = evhttp_connection_get_bufferevent(connection);
    struct evhttp_request *request = evhttp_request_new(on_answer, exchange);
    struct evkeyvalq *headers;
    bufferevent_data_cb on_read;
    bufferevent_data_cb on_write;

    if (!request)
        return -ENOMEM;
    evhttp_request_set_error_cb(request, on_error);
    headers = evhttp_request_get_output_headers(request);
    if (evhttp_add_header(headers, "Host", target->header) < 0 ||
            evhttp_add_header(headers, "Connection", "close") < 0) {
        evhttp_request_free(request);
        return -ENOMEM;
    }
    if (evhttp_make_request(connection, request, EVHTTP_REQ_GET, target->path) < 0)
        return -ENOMEM; /* the request is evhttp's, whatever happened */
    if (!anysync_future_done(exchange->answered)) {
        bufferevent_getcb(
                stream, &on_read, &on_write, &exchange->evhttp_event, &exchange->evhttp_context);
        exchange->phase = CONNECTING;
        bufferevent_setcb(stream, on_read, on_write, on_connect, exchange);
    }
    return 0;
}

static int status_error(const struct exchange *exchange)
{
    int code = -EREMOTEIO;
    const char *arrow = *exchange->location ? " -> " : "";

    if (exchange->status == 404 || exchange->status == 410)
        code = -ENOENT;
    else if (exchange->status == 401 || exchange->status == 403)
        code = -EACCES;
    return anysync_fail(code, "%s: the server answered %d %s%s%s", exchange->url, exchange->status,
            exchange->reason, arrow, exchange->location);
}

static int connection_error(const struct exchange *exchange)
{
    if (exchange->socket_error)
        return anysync_fail(-exchange->socket_error, "%s: cannot connect: %s", exchange->url,
                evutil_socket_error_to_string(exchange->socket_error));
    if (!exchange->failed)
        return anysync_fail(-EIO, "%s: evhttp gave up without a reason", exchange->url);
    switch (exchange->why) {
    case EVREQ_HTTP_TIMEOUT:
        return anysync_fail(-ETIMEDOUT, "%s: the server fell silent", exchange->url);
    case EVREQ_HTTP_INVALID_HEADER:
        return anysync_fail(-EPROTO, "%s: the server did not answer in HTTP", exchange->url);
    case EVREQ_HTTP_DATA_TOO_LONG:
        return anysync_fail(-EFBIG, "%s: the answer is over %d MiB, or malformed", exchange->url,
                BODY_LIMIT / (1024 * 1024));
    case EVREQ_HTTP_EOF:
    case EVREQ_HTTP_BUFFER_ERROR:
    case EVREQ_HTTP_REQUEST_CANCEL:
    default:
        return anysync_fail(
                -ECONNRESET, "%s: the connection broke in the middle of the answer", exchange->url);
    }
}

/* How an exchange ended.  Gives away the page when it returns 0. */
static int exchange_outcome(struct exchange *exchange, struct page *page)
{
    if (exchange->error)
        return anysync_fail(
                exchange->error, "%s: %s", exchange->url, anysync_error_text(exchange->error));
    if (exchange->status == 0 || exchange->failed)
        return connection_error(exchange);
    if (exchange->status < 200 || exchange->status > 299)
        return status_error(exchange);
    *page = exchange->page;
    page->status = exchange->status;
    page->thread = anysync_thread_serial();
    exchange->page = (struct page){0};
    return 0;
}

static int exchange_wait(struct exchange *exchange, struct evhttp_connection *connection,
        const struct target *target, anysync_time deadline)
{
    int error = send_request(exchange, connection, target);

    if (error)
        return anysync_fail(error, "%s: no memory for the request", exchange->url);
    error = anysync_future_wait(exchange->answered, deadline);
    if (error == -ETIMEDOUT)
        return anysync_fail(-ETIMEDOUT, "%s: no %s within %d ms", exchange->url,
                exchange->phase == CONNECTED ? "complete answer" : "connection",
                default_timeout_ms);
    return error;
}

/* Ask one address of the host. */
static int exchange_run(const char *url, const struct target *target, const char *address,
        anysync_time deadline, struct page *page)
{
    struct exchange exchange = {.url = url, .phase = STARTING};
    struct event_base *base = anysync_event_base();
    struct evhttp_connection *connection;
    int error;

    if (!base)
        return anysync_last_error()->code;
    error = anysync_future_new(0, &exchange.answered);
    if (error)
        return error;
    connection = evhttp_connection_base_new(base, NULL, address, (unsigned short)target->port);
    if (connection) {
        /* The deadline is ours: evhttp's own timers stay out of the way. */
        evhttp_connection_set_timeout(connection, INT_MAX / 1000);
        evhttp_connection_set_max_headers_size(connection, HEADERS_LIMIT);
        evhttp_connection_set_max_body_size(connection, BODY_LIMIT);
        error = exchange_wait(&exchange, connection, target, deadline);
        evhttp_connection_free(connection); /* from here on nothing of evhttp calls us */
        if (!error)
            error = exchange_outcome(&exchange, page);
    } else {
        error = anysync_fail(-ENOMEM, "%s: no memory for a connection", url);
    }
    page_free(&exchange.page);
    anysync_future_unref(exchange.answered);
    return error;
}

/* Whether the next address of the same host may do better. */
static bool is_worth_another(int error)
{
    return error == -ECONNREFUSED || error == -ENETUNREACH || error == -EHOSTUNREACH ||
           error == -EADDRNOTAVAIL || error == -EAFNOSUPPORT;
}

ANYSYNC_COROUTINE_DEFINE(struct page, fetch, (const char *, url))
{
    anysync_time deadline = anysync_in_ms(default_timeout_ms);
    struct addresses addresses;
    struct target target;
    int error = target_parse(url, &target);

    if (error)
        return error;
    error = target_resolve(&target, deadline, &addresses);
    if (error == -EHOSTUNREACH)
        error = anysync_fail(error, "%s: no address is known for host %s", url, target.host);
    else if (error == -ETIMEDOUT)
        error = anysync_fail(error, "%s: no address for host %s within %d ms", url, target.host,
                default_timeout_ms);
    for (int i = 0; !error && i < addresses.count; i++) {
        error = exchange_run(url, &target, addresses.list[i], deadline, result);
        if (i + 1 < addresses.count && is_worth_another(error))
            error = 0;
        else
            break;
    }
    target_free(&target);
    return error;
}
