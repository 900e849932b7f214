/* SPDX-License-Identifier: MIT */
/*
 * An HTTP and HTTPS client: libcurl, on a loop of anysync.
 *
 *      struct http_client *client;
 *      struct http_answer answer;
 *
 *      error = http_open(NULL, &client);
 *      error = http_get(&answer, client, "https://example.org/");      a thread blocks, a coroutine
 *      if (!error && answer.status == 200)                             suspends
 *          fwrite(answer.body, 1, answer.size, stdout);
 *      http_answer_free(&answer);
 *      http_close(client);
 *
 * Each function here is one body for both worlds, with the family that <anysync/typed.h> gives it:
 * http_get_start() begins one and goes on, http_get_await_until() has a deadline.  Any number of
 * threads and coroutines use one client at once.
 *
 * WHERE  A client lives on one loop: that of the coroutine that opened it, or the worker of the
 *   executor in its options, or of the global one.  There it costs least; from elsewhere each call
 *   goes there and back.  It keeps connections, and uses them again.
 *
 * HOW MANY  At most `at_once` transfers are under way; more wait, first come, first served.
 *
 * ERRORS  An answer is an answer, whatever its status: 404 is 0 with status 404.  Errors are when
 *   there is none, and their sentences say method, URL and what failed:
 *      -ECONNREFUSED and the like  no connection; whatever the system says
 *         -ENOENT  no such host
 *     -ECONNRESET  the connection ended before the answer did
 *         -EPROTO  what came is not HTTP, or not TLS
 *         -EACCES  the server's certificate was not accepted
 *          -ELOOP  too many redirects
 *       -EMSGSIZE  the body is larger than `most`
 *         -EINVAL  the URL makes no sense
 *      -ETIMEDOUT  the request's deadline passed, or no connection came about in `connect_ns`
 *      -ECANCELED  the calling task was cancelled
 *      -ESHUTDOWN  the client was closed meanwhile
 *         -ENOMEM, and others that the library itself returns
 *
 * CANCEL, DEADLINES  Who is cancelled, or whose time is over, gives up the transfer at once: its
 *   connection is closed, and all others are left alone.  The limits of scopes count as well.
 */
#ifndef CLIENTS_HTTP_H
#define CLIENTS_HTTP_H

#include <anysync.h>

#include <stdbool.h>
#include <stddef.h>

struct http_client;   /* opaque */
struct http_exchange; /* opaque: a request, and its answer as it comes */

/* All zero means defaults. */
struct http_options {
    struct anysync_executor *executor; /* borrowed: see WHERE */
    const char *ca_file; /* certificates to trust, in PEM, borrowed; NULL: the system's */
    const char *agent;   /* what it calls itself, borrowed; NULL: nothing */
    int64_t connect_ns;  /* how long a connection may take to come about; 0: half a minute */
    size_t at_once;      /* transfers under way; 0: 100 */
    int redirects;       /* how many it follows; 0: ten; negative: none */
    bool unverified;     /* believe any certificate: whoever is in between may read and change */
};

/* Open a client.  RET_CLIENT is owned by the caller, who closes it.  Returns 0, or an error of the
 * library.  Any thread but callbacks of a loop; waits for a moment. */
int http_open(
        const struct http_options *options, struct http_client **ret_client) ANYSYNC_MUST_CHECK;

/* Close CLIENT (consumed): requests that are under way end with -ESHUTDOWN, and this waits until
 * all who called them have heard of it.  No new ones may come.  NULL is fine.  Thread as for open;
 * no cancellation point. */
void http_close(struct http_client *client);

/* How many connections CLIENT has made so far.  Any thread. */
size_t http_connections(struct http_client *client);

/* --- requests --------------------------------------------------------------------------------- */

/* A piece of a body. */
struct http_chunk {
    const char *data;
    size_t size;
};

/* All zero but the URL means defaults.  All pointers are borrowed until the request has ended. */
struct http_request {
    const char *url;
    const char *method;               /* NULL: GET, or POST if there is a body */
    const char *const *headers;       /* "Name: value" each, a NULL at the end; NULL: none */
    const char *body;                 /* to send; NULL: none */
    size_t size;                      /* of BODY */
    struct anysync_iterator *uploads; /* a body as it comes: struct http_chunk, each valid until the
                                         next is asked for; it is asked when there is room */
    anysync_time deadline;            /* of all of it; 0: ANYSYNC_FOREVER */
    size_t most;                      /* bytes of a whole answer's body; 0: 64 MiB */
};

/* An answer as a whole. */
struct http_answer {
    int status;
    char *body;    /* a zero byte follows it */
    size_t size;   /* of BODY */
    char *headers; /* see http_header() */
};

/* Free what ANSWER has.  Again is fine, and one all zero too. */
void http_answer_free(struct http_answer *answer);

/* The value of the header NAME in HEADERS, NULL if there is none; borrowed.  Case is ignored. */
const char *http_header(const char *headers, const char *name);

/* Send REQUEST, and wait for the whole answer, which the caller frees: one that nobody waits for is
 * lost with its memory, so wait for what you start, or let it be cancelled. */
ANYSYNC_COROUTINE_DECLARE(struct http_answer, http_fetch, (struct http_client *, client),
        (struct http_request, request));

/* The same for the most common ones.  TYPE: of the body, "text/plain". */
ANYSYNC_COROUTINE_DECLARE(
        struct http_answer, http_get, (struct http_client *, client), (const char *, url));
ANYSYNC_COROUTINE_DECLARE(struct http_answer, http_post, (struct http_client *, client),
        (const char *, url), (const char *, type), (const char *, body), (size_t, size));

/* --- answers as they come ---------------------------------------------------------------------
 *
 *      ANYSYNC_WITH(http_exchanging, exchange, &error, client, (struct http_request){.url = url})
 *      {
 *          printf("%d\n", http_exchange_status(exchange));
 *          ANYSYNC_FOR(http_body, chunk, &error, exchange)
 *          {
 *              fwrite(chunk.data, 1, chunk.size, stdout);
 *          }
 *      }
 *
 * The server is read as fast as the chunks are taken: some 64 KiB wait here, the rest with the
 * system, and then with the server.  The block may be left in any way, also in the middle of a
 * body: then the connection is closed. */

/* Send REQUEST, and wait for the head of the answer.  The exchange is one user's at a time. */
ANYSYNC_CONTEXT_MANAGER_DECLARE(struct http_exchange *, http_exchanging,
        (struct http_client *, client), (struct http_request, request));

/* Of an exchange whose head is there: its status; its headers, for http_header(). */
int http_exchange_status(const struct http_exchange *exchange);
const char *http_exchange_headers(const struct http_exchange *exchange);

/* The body's chunks, each valid until the next is asked for. */
ANYSYNC_GENERATOR_DECLARE(struct http_chunk, http_body, (struct http_exchange *, exchange));

#endif
