/* SPDX-License-Identifier: MIT */
/*
 * Inside the HTTP client (http.h): one exchange, a transfer of curl and what has come of it.
 *
 * WHOSE  While the transfer is active all fields are the client's loop's, and looked at by
 *   curl_loop_run() only; but `changed`, and what is [caller]'s.  When it is over, and the
 *   event has told so, they are all the caller's; status and head as soon as have_head was seen.
 */
#ifndef CLIENTS_HTTP_EXCHANGE_H
#define CLIENTS_HTTP_EXCHANGE_H

#include "curl_loop.h"
#include "http.h"

enum { HTTP_SPARES = 64 };

struct http_client {
    struct curl_loop *loop;
    struct anysync_limiter *limiter;
    struct http_options options;
    size_t connections;       /* [the loop's] made so far */
    CURL *spare[HTTP_SPARES]; /* [the loop's] handles to be used again */
    int spares;               /* [the loop's] */
};

struct http_bytes {
    char *data;
    size_t size, room;
};

struct http_exchange {
    struct curl_transfer transfer; /* first */
    struct http_client *client;
    struct anysync_limiter *limiter; /* [caller] a reference, and a token */
    struct http_request request;
    struct anysync_event *changed; /* set: look again */
    struct curl_slist *headers;    /* that are sent */
    struct http_bytes head;        /* "Name: value" and a zero byte, each */
    struct http_bytes body;        /* what has come and was not taken */
    struct http_bytes taken;       /* what was taken last */
    struct http_chunk uploading;   /* what is left of the chunk to send */
    int status;
    long system;       /* what the system said when it could not connect */
    int refused;       /* why on_data ended it; 0: it did not */
    bool begun;        /* [caller] the transfer was */
    bool whole;        /* the body is wanted as a whole */
    bool have_head;    /* status and head are complete */
    bool over;         /* the transfer has ended */
    bool settled;      /* [caller] knows that it is over */
    bool full;         /* curl holds data back */
    bool hungry;       /* curl waits for more to send */
    bool all_uploaded; /* there is no more to send */
    char why[CURL_ERROR_SIZE];
};

/* Add SIZE bytes, and a zero byte that does not count.  Returns 0 or -ENOMEM. */
int http_bytes_add(struct http_bytes *bytes, const void *data, size_t size);

/* Begin REQUEST when a token is there; WHOLE: its body is collected.  RET_EXCHANGE is owned by the
 * caller, who closes it.  Returns the errors of http.h. */
int http_exchange_open(struct http_client *client, const struct http_request *request, bool whole,
        struct http_exchange **ret_exchange);

/* End EXCHANGE (consumed), and its transfer if that is active. */
void http_exchange_close(struct http_exchange *exchange);

/* Wait until FOUND, which is called on the loop, says true; meanwhile upload what is to be. */
int http_exchange_wait(
        struct http_exchange *exchange, bool (*found)(struct http_exchange *exchange));

/* The code of EXCHANGE, which is over: 0 if it ended well. */
int http_exchange_outcome(const struct http_exchange *exchange);

/* On the loop, as FOUND above: whether data is there, which is the taken from now on, or there will
 * be none any more. */
bool http_exchange_takes(struct http_exchange *exchange);

#endif
