/* SPDX-License-Identifier: MIT */
/*
 * The HTTP client.  (What it promises: http.h; one request: http_exchange.h; how curl gets onto a
 * loop: curl_loop.h.)
 *
 * Packages: libcurl libevent_core
 *
 * Each exchange holds a token of the client's limiter from its begin to its end.  So a client that
 * is closed knows when all who use it have gone: it gets all tokens.
 */
#include "http_exchange.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { AT_ONCE = 100, REDIRECTS = 10, CONNECT_MS = 30000 };

/* --- the client ------------------------------------------------------------------------------- */

int http_open(const struct http_options *options, struct http_client **ret_client)
{
    struct http_client *client = calloc(1, sizeof(*client));

    if (!client)
        return anysync_fail(-ENOMEM, "no memory for a client");
    if (options)
        client->options = *options;
    if (client->options.at_once == 0)
        client->options.at_once = AT_ONCE;
    if (client->options.redirects == 0)
        client->options.redirects = REDIRECTS;
    if (client->options.connect_ns == 0)
        client->options.connect_ns = CONNECT_MS * INT64_C(1000000);
    int error = anysync_limiter_new(client->options.at_once, &client->limiter);
    if (!error)
        error = curl_loop_open(
                client->options.executor, (long)client->options.at_once, &client->loop);
    if (error)
        http_close(client);
    else
        *ret_client = client;
    return error;
}

/* Wait until no exchange is left: each has a token. */
static void wait_for_all(struct anysync_limiter *limiter, size_t tokens)
{
    size_t have = 0;
    int error = 0;

    ANYSYNC_SHIELD(&error, ANYSYNC_FOREVER)
    {
        while (have < tokens && !error) {
            error = anysync_limiter_acquire(limiter, ANYSYNC_FOREVER);
            have += error == 0;
        }
    }
    while (have-- > 0)
        anysync_limiter_release(limiter);
}

void http_close(struct http_client *client)
{
    if (!client)
        return;
    curl_loop_end(client->loop);
    if (client->limiter)
        wait_for_all(client->limiter, client->options.at_once);
    while (client->spares > 0)
        curl_easy_cleanup(client->spare[--client->spares]);
    curl_loop_free(client->loop);
    anysync_limiter_unref(client->limiter);
    free(client);
}

struct count {
    struct http_client *client;
    size_t connections;
};

static int count_connections(void *argument)
{
    struct count *count = argument;

    count->connections = count->client->connections;
    return 0;
}

size_t http_connections(struct http_client *client)
{
    struct count count = {.client = client};

    (void)!curl_loop_run(client->loop, count_connections, &count);
    return count.connections;
}

/* --- answers ---------------------------------------------------------------------------------- */

const char *http_header(const char *headers, const char *name)
{
    size_t length = strlen(name);

    for (const char *line = headers; line && *line; line += strlen(line) + 1) {
        if (strncasecmp(line, name, length) == 0 && line[length] == ':')
            return line + length + 1 + strspn(line + length + 1, " \t");
    }
    return NULL;
}

void http_answer_free(struct http_answer *answer)
{
    free(answer->body);
    free(answer->headers);
    *answer = (struct http_answer){0};
}

/* --- whole answers ---------------------------------------------------------------------------- */

static bool is_over(struct http_exchange *exchange)
{
    return exchange->over;
}

ANYSYNC_COROUTINE_DEFINE(struct http_answer, http_fetch, (struct http_client *, client),
        (struct http_request, request))
{
    struct http_exchange *exchange;
    int error = http_exchange_open(client, &request, true, &exchange);

    if (error)
        return error;
    error = http_exchange_wait(exchange, is_over);
    if (!error)
        error = http_exchange_outcome(exchange);
    if (!error && !exchange->body.data)
        error = http_bytes_add(&exchange->body, "", 0);
    if (!error) {
        *result = (struct http_answer){.status = exchange->status,
                .body = exchange->body.data,
                .size = exchange->body.size,
                .headers = exchange->head.data};
        exchange->body = exchange->head = (struct http_bytes){0};
    }
    http_exchange_close(exchange);
    return error;
}

ANYSYNC_COROUTINE_DEFINE(
        struct http_answer, http_get, (struct http_client *, client), (const char *, url))
{
    return http_fetch(result, client, (struct http_request){.url = url});
}

ANYSYNC_COROUTINE_DEFINE(struct http_answer, http_post, (struct http_client *, client),
        (const char *, url), (const char *, type), (const char *, body), (size_t, size))
{
    char line[200];
    const char *const headers[] = {line, NULL};

    snprintf(line, sizeof(line), "Content-Type: %s", type);
    return http_fetch(result, client,
            (struct http_request){.url = url, .headers = headers, .body = body, .size = size});
}

/* --- answers as they come --------------------------------------------------------------------- */

static bool has_head(struct http_exchange *exchange)
{
    return exchange->have_head || exchange->over;
}

int http_exchange_status(const struct http_exchange *exchange)
{
    return exchange->status;
}

const char *http_exchange_headers(const struct http_exchange *exchange)
{
    return exchange->head.data;
}

ANYSYNC_CONTEXT_MANAGER_DEFINE(struct http_exchange *, http_exchanging,
        (struct http_client *, client), (struct http_request, request))
{
    struct http_exchange *exchange;
    int error = http_exchange_open(client, &request, false, &exchange);

    if (error)
        return error;
    error = http_exchange_wait(exchange, has_head);
    if (!error && !exchange->have_head)
        error = http_exchange_outcome(exchange);
    if (!error)
        error = http_exchanging_yield(exchange);
    http_exchange_close(exchange);
    return error;
}

ANYSYNC_GENERATOR_DEFINE(struct http_chunk, http_body, (struct http_exchange *, exchange))
{
    for (;;) {
        int error = http_exchange_wait(exchange, http_exchange_takes);
        if (error)
            return error;
        if (exchange->taken.size == 0)
            return http_exchange_outcome(exchange);
        error = http_body_yield((struct http_chunk){exchange->taken.data, exchange->taken.size});
        if (error)
            return error;
    }
}
