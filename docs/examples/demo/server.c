/* SPDX-License-Identifier: MIT */
/*
 * libevent's evhttp server on an executor of its own.
 *
 * server_open() is a coroutine only to get onto that executor's thread, where the base is: all it
 * does is register callbacks.  It ends, and they live on with the loop until server_close().
 *
 * No path leads out of the folder: every component is opened by itself, below the one before it,
 * and one that starts with a dot or is a symbolic link is refused.  The state below belongs to the
 * server's thread; there is one server in a process.
 */
#include "server.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static struct evhttp *http;
static int root = -1;

/* Open PATH below the root, or return -1 and set errno.  PATH is taken apart in place. */
static int open_below_root(char *path)
{
    int at = dup(root);
    char *rest = NULL;

    for (char *part = strtok_r(path, "/", &rest); part && at >= 0;) {
        char *next = strtok_r(NULL, "/", &rest);
        int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | (next ? O_DIRECTORY : 0);
        int inner = -1;

        errno = ENOENT;
        if (part[0] != '.')
            inner = openat(at, part, flags);
        close(at);
        at = inner;
        part = next;
    }
    return at;
}

/* Open the regular file that is asked for, or return -1 and set errno. */
static int open_document(struct evhttp_request *request, ev_off_t *size)
{
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
    const char *encoded = uri ? evhttp_uri_get_path(uri) : NULL;
    size_t length = 0;
    char *path = encoded ? evhttp_uridecode(encoded, 0, &length) : NULL;
    int file = -1;
    struct stat status;

    errno = ENOENT;
    if (path && strlen(path) == length) /* no %00 in it */
        file = open_below_root(path);
    free(path);
    if (file >= 0 && (fstat(file, &status) < 0 || !S_ISREG(status.st_mode))) {
        close(file);
        file = -1;
        errno = ENOENT;
    }
    if (file >= 0)
        *size = status.st_size;
    return file;
}

static void on_document(struct evhttp_request *request, void *context)
{
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request);
    struct evbuffer *body;
    ev_off_t size = 0;
    int file;

    (void)context;
    if (evhttp_request_get_command(request) != EVHTTP_REQ_GET) {
        evhttp_send_error(request, HTTP_BADMETHOD, NULL);
        return;
    }
    file = open_document(request, &size);
    if (file < 0) {
        bool is_full = errno == EMFILE || errno == ENFILE || errno == ENOMEM;

        evhttp_send_error(request, is_full ? HTTP_SERVUNAVAIL : HTTP_NOTFOUND, NULL);
        return;
    }
    body = evbuffer_new();
    if (!body || (size > 0 && evbuffer_add_file(body, file, 0, size) < 0)) {
        close(file);
        evhttp_send_error(request, HTTP_INTERNAL, NULL);
    } else {
        if (size == 0)
            close(file); /* otherwise the buffer closes it */
        evhttp_add_header(headers, "Content-Type", "text/plain; charset=utf-8");
        evhttp_send_reply(request, HTTP_OK, NULL, body);
    }
    if (body)
        evbuffer_free(body);
}

/* --- the paths that misbehave ----------------------------------------------------------------- */

static void on_slow(struct evhttp_request *request, void *context)
{
    (void)request; /* evhttp frees it when the connection ends or the server closes */
    (void)context;
}

static void hang_up(struct bufferevent *stream, void *context)
{
    (void)stream;
    evhttp_connection_free(context);
}

static void hang_up_on_event(struct bufferevent *stream, short what, void *context)
{
    (void)what;
    hang_up(stream, context);
}

/* Write TEXT past evhttp, then close.  Nothing of evhttp watches this connection any more. */
static void say_and_hang_up(struct evhttp_request *request, const char *text)
{
    struct evhttp_connection *connection = evhttp_request_get_connection(request);
    struct bufferevent *stream = evhttp_connection_get_bufferevent(connection);

    bufferevent_setcb(stream, NULL, hang_up, hang_up_on_event, connection);
    bufferevent_enable(stream, EV_WRITE);
    bufferevent_write(stream, text, strlen(text));
}

static void on_die(struct evhttp_request *request, void *context)
{
    (void)context;
    say_and_hang_up(request, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"
                             "This document is much shorter than it promi");
}

static void on_garbage(struct evhttp_request *request, void *context)
{
    (void)context;
    say_and_hang_up(request, "220 mail.example.org at your service\r\n\r\n");
}

/* --- start and stop --------------------------------------------------------------------------- */

/*
 * The stream of a new connection.  One that closes its own descriptor: left to itself evhttp closes
 * it first and takes it out of epoll afterwards, when it may be another thread's already.
 */
static struct bufferevent *new_stream(struct event_base *base, void *context)
{
    (void)context;
    return bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
}

/* Returns the port, or -1. */
static int bind_any_port(void)
{
    struct evhttp_bound_socket *bound = evhttp_bind_socket_with_handle(http, "127.0.0.1", 0);
    struct sockaddr_in address;
    socklen_t size = sizeof address;

    if (!bound)
        return -1;
    if (getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&address, &size) < 0)
        return -1;
    return ntohs(address.sin_port);
}

/* Runs on the server's thread, as the two below. */
static void close_all(void)
{
    if (http)
        evhttp_free(http); /* with its connections and their requests */
    if (root >= 0)
        close(root);
    http = NULL;
    root = -1;
}

ANYSYNC_COROUTINE(int, server_open, (const char *, folder))
{
    struct event_base *base = anysync_event_base();

    if (!base)
        return anysync_last_error()->code;
    root = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return anysync_fail(-errno, "cannot serve folder %s: %s", folder, strerror(errno));
    http = evhttp_new(base);
    *result = http ? bind_any_port() : -1;
    if (*result < 0) {
        close_all();
        return anysync_fail(-EADDRNOTAVAIL, "cannot listen on 127.0.0.1");
    }
    evhttp_set_bevcb(http, new_stream, NULL);
    evhttp_set_gencb(http, on_document, NULL);
    evhttp_set_cb(http, "/slow", on_slow, NULL);
    evhttp_set_cb(http, "/die", on_die, NULL);
    evhttp_set_cb(http, "/garbage", on_garbage, NULL);
    return 0;
}

ANYSYNC_COROUTINE(void, server_close)
{
    close_all();
    return 0;
}

int server_start(struct server *server, const char *folder)
{
    const struct anysync_executor_options options = {.name = "server"};
    int error = anysync_executor_new(&options, &server->executor);

    if (error)
        return error;
    error = server_open_run_on(server->executor, &server->port, folder);
    if (error)
        server->executor = anysync_executor_unref(server->executor);
    return error;
}

void server_stop(struct server *server)
{
    anysync_time deadline = anysync_in_seconds(5);
    int error = server_close_run_on_until(server->executor, deadline);

    if (!error)
        error = anysync_executor_shutdown(server->executor, ANYSYNC_CANCEL, deadline, NULL);
    (void)error; /* the process is about to end: a server that will not go takes nobody along */
    server->executor = anysync_executor_unref(server->executor);
}
