/* SPDX-License-Identifier: MIT */
/*
 * The HTTP server.  (What it promises: http_server.h; one request: http_call.h.)
 *
 * Packages: libevent_core libevent_extra
 *
 * All of it is on one loop: evhttp calls on_request() between tasks, which spawns a coroutine.
 * That calls the handler, and finishes the request.  evhttp knows nothing of coroutines; to it this
 * is a server that answers a little later.
 *
 * WHO HAS GONE  While a request is being answered evhttp does not read, and so does not hear of a
 *   client that goes away.  An event of ours does, one for each connection as long as it lives, not
 *   one for each request.  A line of connections, by descriptor, leads from one to the other.
 */
#define _GNU_SOURCE 1 /* TCP_NODELAY with -std=c11 */
#include "http_call.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/listener.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HANDLERS = 1000, BODY = 1 << 20, HEAD = 16 << 10, IDLE_S = 50 };

/* --- handlers --------------------------------------------------------------------------------- */

static void start_waiting(struct http_server *server);

static void handler_ended(struct http_call *call, int error)
{
    struct http_server *server = call->server;

    if (call->request)
        http_call_finish(call, error);
    call->ended = true;
    http_calls_take(&server->running, call);
    server->run_count--;
    if (call->flushing)
        http_calls_append(&server->flushing, call);
    else
        http_call_free(call);
    start_waiting(server);
}

ANYSYNC_COROUTINE(void, http_handler, (struct http_call *, call))
{
    int error = -ECANCELED;

    call->begun = true;
    if (!call->unwanted)
        error = call->server->handler(call, call->server->argument);
    bool answered = !call->request || call->streaming || error;

    handler_ended(call, error);
    if (!answered)
        return anysync_fail(-EINVAL, "a handler has returned 0 and has not answered");
    return error;
}

/* Have CALL's handler end.  A task that is cancelled before it begins never does, and would leave
 * its call behind: so that one begins, and sees. */
static void cancel(struct http_call *call, const char *why)
{
    call->unwanted = true;
    if (call->begun)
        anysync_cancel_because(call->task, why);
}

static void refuse(struct http_call *call)
{
    call->ended = true;
    http_calls_append(&call->server->flushing, call);
    http_call_answer_status(call, 503);
}

static void start_handler(struct http_call *call)
{
    const struct http_handler_arguments argument = {call};

    if (anysync_spawn(&http_handler_function, &argument, &call->task) != 0) {
        refuse(call);
        return;
    }
    http_calls_append(&call->server->running, call);
    call->server->run_count++;
}

/* Accept connections as long as nobody waits. */
static void accept_or_not(struct http_server *server)
{
    if (!server->socket || server->full == (server->waiting.first != NULL))
        return;
    server->full = !server->full;
    if (server->full)
        evconnlistener_disable(evhttp_bound_socket_get_listener(server->socket));
    else
        evconnlistener_enable(evhttp_bound_socket_get_listener(server->socket));
}

static void start_waiting(struct http_server *server)
{
    while (server->waiting.first && server->run_count < server->options.handlers) {
        struct http_call *call = server->waiting.first;
        http_calls_take(&server->waiting, call);
        start_handler(call);
    }
    accept_or_not(server);
}

/* --- connections ------------------------------------------------------------------------------ */

/* The client has closed, or has closed its half: nobody waits for the answer. */
static void on_gone(evutil_socket_t fd, short what, void *context)
{
    struct http_connection *connection = context;
    struct http_call *call = connection->call;

    (void)fd, (void)what;
    if (!call || call->flushing)
        return; /* evhttp finds out */
    call->gone = true;
    if (call->task)
        cancel(call, "the client has gone away");
    else
        evhttp_connection_free(connection->evhttp);
}

/* evhttp is about to free the connection, whoever closed it. */
static void on_closed(struct evhttp_connection *evhttp, void *context)
{
    struct http_connection *connection = context;
    struct http_call *call = connection->call;

    (void)evhttp;
    event_free(connection->watch);
    connection->watch = NULL;
    connection->evhttp = NULL;
    connection->call = NULL;
    if (!call)
        return;
    call->connection = NULL;
    if (call->flushing) {
        http_call_settle(call);
        return;
    }
    if (evhttp_request_get_connection(call->request))
        call->request = NULL; /* it goes with the connection */
    if (!call->task) {
        if (call->request)
            evhttp_request_free(call->request);
        http_calls_take(&call->server->waiting, call);
        accept_or_not(call->server);
        http_call_free(call);
        return;
    }
    if (call->drained)
        anysync_event_set(call->drained);
    cancel(call, "the client has gone away");
}

/* Make room for descriptor FD.  Each record stays where it is: events point to it. */
static struct http_connection *room_for(struct http_server *server, size_t fd)
{
    if (fd >= server->connection_room) {
        size_t room = (fd + 1) * 2;
        struct http_connection **more =
                realloc(server->connections, room * sizeof(struct http_connection *));
        if (!more)
            return NULL;
        for (size_t i = server->connection_room; i < room; i++)
            more[i] = NULL;
        server->connections = more;
        server->connection_room = room;
    }
    if (!server->connections[fd])
        server->connections[fd] = calloc(1, sizeof(struct http_connection));
    return server->connections[fd];
}

/* It tells once, perhaps before all of the request was read that comes now.  False: no memory. */
static bool watch_again(struct http_connection *connection)
{
    return !(event_get_events(connection->watch) & EV_CLOSED) ||
           event_pending(connection->watch, EV_CLOSED, NULL) ||
           event_add(connection->watch, NULL) == 0;
}

/* The connection of EVHTTP; NULL without memory. */
static struct http_connection *connection_of(
        struct http_server *server, struct evhttp_connection *evhttp)
{
    evutil_socket_t fd = bufferevent_getfd(evhttp_connection_get_bufferevent(evhttp));
    struct http_connection *connection = room_for(server, (size_t)fd);
    const int yes = 1;

    if (!connection)
        return NULL;
    if (connection->evhttp == evhttp)
        return watch_again(connection) ? connection : NULL;
    bool early = event_base_get_features(server->base) & EV_FEATURE_EARLY_CLOSE;
    connection->watch = event_new(server->base, fd, early ? EV_CLOSED : 0, on_gone, connection);
    if (!connection->watch || (early && event_add(connection->watch, NULL) != 0)) {
        if (connection->watch)
            event_free(connection->watch);
        return NULL;
    }
    connection->server = server;
    connection->evhttp = evhttp;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)); /* chunks go at once */
    evhttp_connection_set_closecb(evhttp, on_closed, connection);
    return connection;
}

static void on_request(struct evhttp_request *request, void *context)
{
    struct http_server *server = context;
    struct http_connection *connection =
            connection_of(server, evhttp_request_get_connection(request));
    struct http_call *call = connection ? http_call_new(server) : NULL;

    if (!call) {
        evhttp_send_error(request, 503, NULL);
        return;
    }
    call->server = server;
    call->request = request;
    call->connection = connection;
    connection->call = call;
    if (!server->stopping && server->run_count < server->options.handlers) {
        start_handler(call);
    } else if (!server->stopping && server->options.busy_waits) {
        http_calls_append(&server->waiting, call);
        accept_or_not(server);
    } else {
        refuse(call);
    }
}

/* --- from start to stop ----------------------------------------------------------------------- */

static int set_up(struct http_server *server)
{
    const struct http_server_options *options = &server->options;
    const struct timeval idle = {
            .tv_sec = options->idle_ns / 1000000000, .tv_usec = options->idle_ns / 1000 % 1000000};

    server->base = anysync_event_base();
    if (!server->base)
        return anysync_last_error()->code;
    server->evhttp = evhttp_new(server->base);
    server->scratch = evbuffer_new();
    if (!server->evhttp || !server->scratch)
        return anysync_fail(-ENOMEM, "no memory for a server");
    evhttp_set_gencb(server->evhttp, on_request, server);
    evhttp_set_max_body_size(server->evhttp, (ev_ssize_t)options->most_body);
    evhttp_set_max_headers_size(server->evhttp, (ev_ssize_t)options->most_head);
    evhttp_set_default_content_type(server->evhttp, NULL);
    evhttp_set_timeout_tv(server->evhttp, &idle);
    evhttp_set_allowed_methods(server->evhttp, EVHTTP_REQ_GET | EVHTTP_REQ_POST | EVHTTP_REQ_HEAD |
                                                       EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE |
                                                       EVHTTP_REQ_OPTIONS | EVHTTP_REQ_PATCH);
    server->socket = evhttp_accept_socket_with_handle(server->evhttp, server->fd);
    if (!server->socket)
        return anysync_fail(-ENOMEM, "no memory to listen with");
    server->fd = -1; /* evhttp's */
    return 0;
}

static void cancel_handlers(struct http_server *server)
{
    while (server->waiting.first) {
        struct http_call *call = server->waiting.first;
        http_calls_take(&server->waiting, call);
        refuse(call);
    }
    for (struct http_call *call = server->running.first; call; call = call->next)
        cancel(call, "the server stops");
}

/* Wait for the handlers that are left. */
static void wait_for_handlers(struct http_server *server)
{
    while (server->running.first) {
        struct http_call *call = server->running.first;
        struct anysync_future *task = anysync_future_ref(call->task);
        ANYSYNC_SHIELD(NULL, ANYSYNC_FOREVER)
        {
            (void)!anysync_future_wait(task, ANYSYNC_FOREVER);
        }
        if (server->running.first && server->running.first->task == task)
            handler_ended(call, -ECANCELED); /* the loop ends, and did not let it begin */
        anysync_future_unref(task);
    }
}

/* Wait until no call is left, cut short at the deadline; but handlers have to end. */
static int drain(struct http_server *server, int error)
{
    server->stopping = true;
    if (server->socket)
        evhttp_del_accept_socket(server->evhttp, server->socket);
    server->socket = NULL;
    http_server_tell_if_idle(server);
    if (!error)
        error = anysync_event_wait(server->idle, server->stop_by);
    if (!error)
        return 0;
    cancel_handlers(server);
    wait_for_handlers(server);
    return error;
}

static void tear_down(struct http_server *server)
{
    if (server->evhttp)
        evhttp_free(server->evhttp); /* its connections, too: on_closed() */
    if (server->scratch)
        evbuffer_free(server->scratch);
    for (size_t i = 0; i < server->connection_room; i++)
        free(server->connections[i]);
    free(server->connections);
    while (server->spare) {
        struct http_call *call = server->spare;
        server->spare = call->next;
        free(call);
    }
}

ANYSYNC_COROUTINE(void, keep_http_server, (struct http_server *, server))
{
    int error = set_up(server);

    if (error) {
        anysync_future_fail(server->started, error, "%s", anysync_last_error()->message);
    } else {
        anysync_future_set(server->started, NULL);
        error = anysync_event_wait(server->stop_now, ANYSYNC_FOREVER); /* or the loop ends */
        error = drain(server, error);
    }
    tear_down(server);
    return error;
}

static void free_server(struct http_server *server)
{
    if (server->fd >= 0)
        close(server->fd);
    anysync_event_unref(server->stop_now);
    anysync_event_unref(server->idle);
    anysync_future_unref(server->started);
    anysync_future_unref(server->keeper);
    free(server);
}

static int start_keeper(struct http_server *server)
{
    const struct keep_http_server_arguments argument = {server};
    const struct anysync_function *function = &keep_http_server_function;
    struct anysync_executor *executor = server->options.executor;
    size_t index;
    int error = executor ? anysync_spawn_on(executor, function, &argument, &server->keeper)
                         : anysync_spawn(function, &argument, &server->keeper);

    if (error)
        return error;
    ANYSYNC_SHIELD(&error, ANYSYNC_FOREVER)
    {
        struct anysync_future *const either[] = {server->started, server->keeper};
        error = anysync_wait_any(either, 2, ANYSYNC_FOREVER, &index);
    }
    if (!error && !anysync_future_done(server->started))
        error = anysync_wait(server->keeper, NULL, ANYSYNC_POLL); /* it never began */
    return error ? error : anysync_future_result(server->started, NULL);
}

static void choose(struct http_server *server, const struct http_server_options *options)
{
    struct http_server_options *own = &server->options;

    if (options)
        *own = *options;
    own->handlers = own->handlers ? own->handlers : HANDLERS;
    own->most_body = own->most_body ? own->most_body : BODY;
    own->most_head = own->most_head ? own->most_head : HEAD;
    own->idle_ns = own->idle_ns ? own->idle_ns : IDLE_S * INT64_C(1000000000);
    server->running.end = &server->running.first;
    server->waiting.end = &server->waiting.first;
    server->flushing.end = &server->flushing.first;
    server->fd = -1;
}

int http_server_start(const char *address, const struct http_server_options *options,
        http_handler_fn *handler, void *argument, struct http_server **ret_server)
{
    struct http_server *server = calloc(1, sizeof(*server));
    char bound[ANYSYNC_ADDRESS_SIZE];

    if (!server)
        return anysync_fail(-ENOMEM, "no memory for a server");
    choose(server, options);
    server->handler = handler;
    server->argument = argument;
    int error = anysync_listen(address, 0, &server->fd);
    if (!error)
        error = anysync_local_address(server->fd, bound);
    if (!error)
        error = anysync_event_new(&server->stop_now);
    if (!error)
        error = anysync_event_new(&server->idle);
    if (!error)
        error = anysync_future_new(0, &server->started);
    if (error)
        goto fail;
    server->port = strrchr(bound, ':') ? atoi(strrchr(bound, ':') + 1) : 0;
    error = start_keeper(server);
    if (error)
        goto fail;
    *ret_server = server;
    return 0;

fail:
    if (server->keeper) {
        ANYSYNC_SHIELD(NULL, ANYSYNC_FOREVER) /* it may still tear down, elsewhere */
        {
            (void)!anysync_future_wait(server->keeper, ANYSYNC_FOREVER);
        }
    }
    free_server(server);
    return error;
}

int http_server_port(const struct http_server *server)
{
    return server->port;
}

int http_server_stop(struct http_server *server, anysync_time deadline)
{
    int error = 0;

    server->stop_by = deadline;
    anysync_event_set(server->stop_now);
    error = anysync_future_wait(server->keeper, ANYSYNC_FOREVER);
    if (error == -ECANCELED) {
        anysync_cancel_because(server->keeper, "its stop was cancelled");
        ANYSYNC_SHIELD(NULL, ANYSYNC_FOREVER)
        {
            (void)!anysync_future_wait(server->keeper, ANYSYNC_FOREVER);
        }
    }
    int ended = anysync_future_result(server->keeper, NULL);
    free_server(server);
    return error ? error : ended;
}
