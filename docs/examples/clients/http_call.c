/* SPDX-License-Identifier: MIT */
/*
 * One request of the HTTP server, and its answer.  (What they are: http_call.h.)
 *
 * Packages: libevent_core libevent_extra
 *
 * An answer in chunks waits for room before it takes a chunk, so that a chunk is sent whole or not
 * at all.  There is room when little waits in evhttp's buffer for the client; evhttp tells when it
 * is empty.
 */
#include "http_call.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { UNSENT = 64 << 10, KEPT = 64 };

/* --- lists ------------------------------------------------------------------------------------ */

void http_calls_append(struct http_calls *calls, struct http_call *call)
{
    call->next = NULL;
    call->at = calls->end;
    *calls->end = call;
    calls->end = &call->next;
}

void http_calls_take(struct http_calls *calls, struct http_call *call)
{
    *call->at = call->next;
    if (call->next)
        call->next->at = call->at;
    else
        calls->end = call->at;
}

void http_server_tell_if_idle(struct http_server *server)
{
    if (server->stopping && !server->running.first && !server->waiting.first &&
            !server->flushing.first)
        anysync_event_set(server->idle);
}

struct http_call *http_call_new(struct http_server *server)
{
    struct http_call *call = server->spare;

    if (!call)
        return calloc(1, sizeof(*call));
    server->spare = call->next;
    server->spare_count--;
    memset(call, 0, sizeof(*call));
    return call;
}

void http_call_free(struct http_call *call)
{
    struct http_server *server = call->server;

    anysync_event_unref(call->drained);
    anysync_future_unref(call->task);
    if (server->spare_count < KEPT) {
        call->next = server->spare;
        server->spare = call;
        server->spare_count++;
    } else {
        free(call);
    }
    http_server_tell_if_idle(server);
}

/* --- answers ---------------------------------------------------------------------------------- */

void http_call_settle(struct http_call *call)
{
    call->flushing = false;
    if (call->connection)
        call->connection->call = NULL;
    call->connection = NULL;
    if (call->ended) {
        http_calls_take(&call->server->flushing, call);
        http_call_free(call);
    }
}

static void on_sent(struct evhttp_request *request, void *call)
{
    (void)request;
    http_call_settle(call);
}

/* From here on the request is evhttp's. */
static struct evhttp_request *give_back(struct http_call *call)
{
    struct evhttp_request *request = call->request;

    call->request = NULL;
    call->flushing = true;
    evhttp_request_set_on_complete_cb(request, on_sent, call);
    return request;
}

static int may_answer(const struct http_call *call)
{
    if (!call->request || call->streaming)
        return anysync_fail(-EALREADY, "the request was answered before");
    return call->connection ? 0 : anysync_fail(-EPIPE, "the client has gone");
}

static int prepare(struct http_call *call, const char *type)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(call->request);

    if ((type && evhttp_add_header(headers, "Content-Type", type) != 0) ||
            (call->server->stopping && evhttp_add_header(headers, "Connection", "close") != 0))
        return anysync_fail(-ENOMEM, "no memory for an answer");
    return 0;
}

int http_reply_header(struct http_call *call, const char *name, const char *value)
{
    int error = may_answer(call);

    if (!error && evhttp_add_header(evhttp_request_get_output_headers(call->request), name, value))
        error = anysync_fail(-EINVAL, "\"%s: %s\" is no header", name, value);
    return error;
}

/* evhttp would send the body that belongs to the answer to a GET, and not say how long it is. */
static void say_size_only(struct http_call *call)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(call->request);
    struct evbuffer *scratch = call->server->scratch;
    char size[24];

    snprintf(size, sizeof(size), "%zu", evbuffer_get_length(scratch));
    if (!evhttp_find_header(headers, "Content-Length"))
        (void)evhttp_add_header(headers, "Content-Length", size);
    evbuffer_drain(scratch, evbuffer_get_length(scratch));
}

/* Answer with what is in the scratch buffer. */
static void send_whole(struct http_call *call, int status)
{
    struct evbuffer *scratch = call->server->scratch;

    if (evhttp_request_get_command(call->request) == EVHTTP_REQ_HEAD)
        say_size_only(call);
    evhttp_send_reply(give_back(call), status, NULL, scratch);
    evbuffer_drain(scratch, evbuffer_get_length(scratch));
}

int http_reply(struct http_call *call, int status, const char *type, const void *data, size_t size)
{
    struct evbuffer *scratch = call->server->scratch;
    int error = may_answer(call);

    if (!error)
        error = prepare(call, type);
    if (!error && size > 0 && evbuffer_add(scratch, data, size) != 0)
        error = anysync_fail(-ENOMEM, "no memory for an answer");
    if (!error)
        send_whole(call, status);
    return error;
}

int http_reply_begin(struct http_call *call, int status, const char *type)
{
    int error = may_answer(call);

    if (!error)
        error = prepare(call, type);
    if (!error)
        evhttp_send_reply_start(call->request, status, NULL);
    call->streaming = !error;
    return error;
}

static void on_drained(struct evhttp_connection *evhttp, void *context)
{
    struct http_call *call = context;

    (void)evhttp;
    if (call->drained)
        anysync_event_set(call->drained);
}

static size_t unsent(const struct http_call *call)
{
    struct bufferevent *both = evhttp_connection_get_bufferevent(call->connection->evhttp);

    return evbuffer_get_length(bufferevent_get_output(both));
}

int http_reply_chunk(struct http_call *call, const void *data, size_t size, anysync_time deadline)
{
    int error = 0;

    if (!call->streaming)
        return anysync_fail(-EALREADY, "no answer in chunks was begun");
    while (!error && call->connection && unsent(call) > UNSENT) {
        if (!call->drained)
            error = anysync_event_new(&call->drained);
        else
            anysync_event_reset(call->drained);
        if (!error)
            error = anysync_event_wait(call->drained, deadline);
    }
    if (error)
        return error;
    if (!call->connection)
        return anysync_fail(-EPIPE, "the client has gone");
    if (evbuffer_add(call->server->scratch, data, size) != 0)
        return anysync_fail(-ENOMEM, "no memory for a chunk");
    evhttp_send_reply_chunk_with_cb(call->request, call->server->scratch, on_drained, call);
    evbuffer_drain(call->server->scratch, size); /* the answer to HEAD takes none of it */
    return 0;
}

/* --- requests --------------------------------------------------------------------------------- */

static struct evhttp_request *request_of(struct http_call *call)
{
    if (!call->request) {
        fprintf(stderr, "a request is looked at after it was answered\n");
        abort();
    }
    return call->request;
}

const char *http_call_method(struct http_call *call)
{
    switch (evhttp_request_get_command(request_of(call))) {
    case EVHTTP_REQ_GET:
        return "GET";
    case EVHTTP_REQ_POST:
        return "POST";
    case EVHTTP_REQ_HEAD:
        return "HEAD";
    case EVHTTP_REQ_PUT:
        return "PUT";
    case EVHTTP_REQ_DELETE:
        return "DELETE";
    case EVHTTP_REQ_OPTIONS:
        return "OPTIONS";
    case EVHTTP_REQ_TRACE:
        return "TRACE";
    case EVHTTP_REQ_CONNECT:
        return "CONNECT";
    case EVHTTP_REQ_PATCH:
        return "PATCH";
    }
    return "";
}

const char *http_call_path(struct http_call *call)
{
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request_of(call)));

    return path ? path : "";
}

const char *http_call_query(struct http_call *call)
{
    return evhttp_uri_get_query(evhttp_request_get_evhttp_uri(request_of(call)));
}

const char *http_call_header(struct http_call *call, const char *name)
{
    return evhttp_find_header(evhttp_request_get_input_headers(request_of(call)), name);
}

const char *http_call_body(struct http_call *call, size_t *ret_size)
{
    struct evbuffer *body = evhttp_request_get_input_buffer(request_of(call));

    *ret_size = evbuffer_get_length(body);
    return (const char *)evbuffer_pullup(body, -1);
}

void http_call_answer_status(struct http_call *call, int status)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(call->request);
    struct evbuffer *scratch = call->server->scratch;

    evhttp_clear_headers(headers); /* what the handler had in mind was for its own answer */
    (void)prepare(call, "text/plain");
    if (status == 503)
        evhttp_add_header(headers, "Retry-After", "1");
    evbuffer_add_printf(scratch, "%s\n", status == 503 ? "busy, try later" : "this has failed");
    send_whole(call, status);
}

void http_call_finish(struct http_call *call, int error)
{
    if (!call->connection) {
        evhttp_request_free(call->request);
        call->request = NULL;
    } else if (call->streaming && error == 0) {
        evhttp_send_reply_end(give_back(call));
    } else if (call->streaming || call->gone) {
        evhttp_connection_free(call->connection->evhttp); /* the request goes with it */
    } else {
        http_call_answer_status(call, error == -ECANCELED ? 503 : 500);
    }
}
