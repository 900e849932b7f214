/* SPDX-License-Identifier: MIT */
/*
 * An HTTP server whose requests are coroutines: libevent's evhttp, on a loop of anysync.
 *
 *      static int answer(struct http_call *call, void *database)
 *      {
 *          struct page page;
 *          int error = query(&page, database, http_call_path(call));      may suspend
 *          if (error)
 *              return error;                                              the client gets a 500
 *          return http_reply(call, 200, "text/html", page.text, page.size);
 *      }
 *
 *      error = http_server_start("127.0.0.1:8080", NULL, answer, database, &server);
 *      ...
 *      error = http_server_stop(server, anysync_in_seconds(10));
 *
 * WHERE  A server lives on one loop: that of the coroutine that started it, or the worker of the
 *   executor in its options, or of the global one.  All handlers run there, so they need no lock
 *   among themselves; what blocks or computes for long they offload.
 *
 * A CLIENT THAT GOES AWAY  cancels its handler: each wait of it says -ECANCELED, and it cleans up
 *   and returns.  A client that closes its sending half counts as gone.
 *
 * HOW MANY  At most `handlers` run at a time.  A request beyond that gets status 503, or, if the
 *   option says so, waits for its turn; meanwhile no new connections are accepted.
 */
#ifndef CLIENTS_HTTP_SERVER_H
#define CLIENTS_HTTP_SERVER_H

#include <anysync.h>

#include <stdbool.h>
#include <stddef.h>

struct http_server; /* opaque */
struct http_call;   /* opaque: one request, and its answer */

/*
 * What is called for each request, in a coroutine of its own.
 *
 * call      borrowed until it returns.
 * argument  borrowed, as given to http_server_start().
 *
 * Returns  0, after an answer.  A failure before the answer has begun gives the client a 500, in
 *          the middle of one it breaks the connection off; it goes to the error hook
 *          (anysync_set_error_hook()), but for -ECANCELED.  0 without an answer is a 500 too.
 */
typedef int http_handler_fn(struct http_call *call, void *argument);

/* All zero means defaults. */
struct http_server_options {
    struct anysync_executor *executor; /* borrowed: see WHERE */
    size_t handlers;                   /* at a time; 0: 1000 */
    bool busy_waits;                   /* what is beyond that waits; else it is refused: 503 */
    size_t most_body;                  /* bytes of a request's body; 0: 1 MiB; more: 413 or 400 */
    size_t most_head;                  /* of its headers; 0: 16 KiB; more: 400 */
    int64_t idle_ns; /* a connection on which nothing moves for so long is closed; 0: 50 s */
};

/*
 * Listen at ADDRESS, as anysync_listen() takes it ("127.0.0.1:0" takes a free port), and serve.
 *
 * handler     called for each request, with ARGUMENT (borrowed until the stop).
 * ret_server  owned by the caller, who stops it.
 *
 * Returns  0; what anysync_listen() says; -ENOMEM, -ESHUTDOWN and others of the library.
 * Thread   any but callbacks of a loop; waits for a moment.
 */
int http_server_start(const char *address, const struct http_server_options *options,
        http_handler_fn *handler, void *argument,
        struct http_server **ret_server) ANYSYNC_MUST_CHECK;

/* The port it listens on.  Any thread. */
int http_server_port(const struct http_server *server);

/*
 * Stop SERVER (consumed): it accepts no more connections at once, requests on those that are open
 * get a 503, those that run are waited for, and so is that their answers are sent.
 *
 * deadline  then the handlers that are left are cancelled, and waited for.
 *
 * Returns  0: all has ended well; -ETIMEDOUT: some were cut short; -ECANCELED: the calling task was
 *          cancelled, which cut them short.
 * Thread   any but callbacks of a loop and its own handlers; waits.
 */
int http_server_stop(struct http_server *server, anysync_time deadline);

/* --- in a handler: the request ----------------------------------------------------------------
 *
 * What is given is borrowed, and valid until the answer is given or the handler returns. */

const char *http_call_method(struct http_call *call); /* "GET" */
const char *http_call_path(struct http_call *call);   /* as it was sent, without the query */
const char *http_call_query(struct http_call *call);  /* behind the "?"; NULL: none */
const char *http_call_header(struct http_call *call, const char *name); /* NULL: none */

/* The body, *RET_SIZE bytes; NULL if there is none. */
const char *http_call_body(struct http_call *call, size_t *ret_size);

/* --- in a handler: the answer -----------------------------------------------------------------
 *
 * All return 0; -EPIPE: the client has gone; -EALREADY: it was answered before; -ENOMEM. */

/* Set a header of the answer, before it begins. */
int http_reply_header(struct http_call *call, const char *name, const char *value);

/* Answer with STATUS and SIZE bytes of DATA (copied), whose TYPE is "text/plain" or the like (NULL:
 * nothing is said).  Never waits. */
int http_reply(struct http_call *call, int status, const char *type, const void *data, size_t size);

/* Begin an answer that comes in chunks.  It ends when the handler returns. */
int http_reply_begin(struct http_call *call, int status, const char *type);

/*
 * Send a chunk: SIZE bytes of DATA (copied).  Waits while 64 KiB are on their way to the client;
 * then it is taken whole.
 *
 * Returns  also -ETIMEDOUT, -ECANCELED: it was not sent.   Cancel  cancellation point if it waits.
 */
int http_reply_chunk(struct http_call *call, const void *data, size_t size,
        anysync_time deadline) ANYSYNC_MUST_CHECK;

#endif
