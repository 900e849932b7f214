/* SPDX-License-Identifier: MIT */
/*
 * Inside the HTTP server (http_server.h): one request and its answer.
 *
 * A CALL  is a request from its arrival until its handler has ended and its answer is sent:
 *
 *      waiting -> running -> ended                      its handler (waiting: there were too many)
 *      none -> streaming -> flushing -> sent; or lost   its answer (lost: the connection has gone)
 *
 * WHOSE  The request is ours from its arrival to its answer, when evhttp takes it back and frees
 *   it.  If the connection breaks before that, evhttp cuts the request off it (it has no connection
 *   then) and leaves it to us.
 *
 * All of it is the server's loop's.
 */
#ifndef CLIENTS_HTTP_CALL_H
#define CLIENTS_HTTP_CALL_H

#include "http_server.h"

#include <event2/http.h>

struct http_call {
    struct http_server *server;
    struct http_connection *connection; /* NULL: it has gone, or has the next request */
    struct evhttp_request *request;     /* ours; NULL: it is answered */
    struct anysync_future *task;        /* NULL: it waits for its turn */
    struct anysync_event
            *drained;             /* of an answer in chunks: all is sent; NULL: nobody waited yet */
    struct http_call *next, **at; /* in one of the server's lists */
    bool streaming;               /* an answer in chunks has begun */
    bool flushing;                /* answered, and being sent */
    bool begun;                   /* the handler has */
    bool unwanted;                /* cancelled, perhaps before it began */
    bool gone;                    /* the client has */
    bool ended;                   /* the handler has */
};

/* A connection that has had a request. */
struct http_connection {
    struct http_server *server;
    struct evhttp_connection *evhttp; /* NULL: this descriptor is none */
    struct event *watch;              /* tells that the client goes away */
    struct http_call *call;           /* the request of the moment; NULL: none */
};

/* Calls in order; `end` is where the next is linked. */
struct http_calls {
    struct http_call *first, **end;
};

struct http_server {
    struct http_server_options options;
    http_handler_fn *handler;
    void *argument;
    struct event_base *base; /* borrowed */
    struct evhttp *evhttp;
    struct evhttp_bound_socket *socket;   /* NULL: it does not listen any more */
    struct evbuffer *scratch;             /* what is on its way into an answer */
    struct http_connection **connections; /* by descriptor */
    size_t connection_room;
    struct http_calls running, waiting, flushing; /* flushing: their handlers have ended */
    struct http_call *spare;                      /* for further use, KEPT at most */
    size_t run_count, spare_count;
    struct anysync_event *stop_now, *idle; /* idle: set when the lists are empty */
    struct anysync_future *started, *keeper;
    anysync_time stop_by; /* [written before stop_now is set] */
    int fd, port;
    bool stopping;
    bool full; /* some wait: it does not accept */
};

/* Put CALL at the end of CALLS; take it out of them, whose it is. */
void http_calls_append(struct http_calls *calls, struct http_call *call);
void http_calls_take(struct http_calls *calls, struct http_call *call);

/* A call, all zero; NULL without memory.  Free it, when it is over and in no list. */
struct http_call *http_call_new(struct http_server *server);
void http_call_free(struct http_call *call);

/* Tell who waits for it if the server stops and no call is left. */
void http_server_tell_if_idle(struct http_server *server);

/* CALL's answer has been sent, or never will be. */
void http_call_settle(struct http_call *call);

/* Answer CALL, which is unanswered and has its connection, with STATUS and a line of text. */
void http_call_answer_status(struct http_call *call, int status);

/* CALL's handler has ended with ERROR, and has left it unanswered, or in the middle. */
void http_call_finish(struct http_call *call, int error);

#endif
