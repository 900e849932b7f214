/* SPDX-License-Identifier: MIT */
/*
 * One exchange of the HTTP client.  (What it promises: http_exchange.h; how curl gets onto a loop:
 * curl_loop.h.)
 *
 * Packages: libcurl
 *
 * An exchange is one transfer of curl, and what has come of it.  curl's callbacks fill it and set
 * its event; who waits looks, and sleeps on the event until there is more:
 *
 *      caller                                  the client's loop
 *      ------                                  -----------------
 *      curl_loop_run(begin)  ----------------> curl_loop_add
 *      anysync_event_wait                      on_header, on_data, on_wanted
 *            ...             <---------------- event: the head, data, hungry, or over
 *      curl_loop_run(take)   ----------------> the data changes hands, curl goes on
 *
 * BACK-PRESSURE  on_data takes no more when WINDOW bytes wait for their taker: curl then stops to
 *   read the socket.  on_wanted has nothing to send while the caller fetches the next chunk: curl
 *   pauses that direction.
 */
#include "http_exchange.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { WINDOW = 64 << 10, MOST = 64 << 20 };

/* --- bytes ------------------------------------------------------------------------------------ */

int http_bytes_add(struct http_bytes *bytes, const void *data, size_t size)
{
    if (bytes->room - bytes->size <= size) {
        size_t room = (bytes->size + size) * 2 + 256;
        char *more = realloc(bytes->data, room);
        if (!more)
            return -ENOMEM;
        bytes->data = more;
        bytes->room = room;
    }
    memcpy(bytes->data + bytes->size, data, size);
    bytes->size += size;
    bytes->data[bytes->size] = '\0';
    return 0;
}

static void drop(struct http_bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct http_bytes){0};
}

/* --- called by curl --------------------------------------------------------------------------- */

/* The empty line after a head: whether it is that of the answer, not of what comes before it. */
static bool is_answer(const struct http_exchange *exchange, long status)
{
    bool follows = exchange->client->options.redirects >= 0;
    const char *where = http_header(exchange->head.data, "Location");

    /* curl does not follow one that says nothing */
    return status >= 200 && !(follows && status / 100 == 3 && where && *where);
}

static size_t on_header(char *data, size_t one, size_t size, void *context)
{
    struct http_exchange *exchange = context;
    long status = 0;
    size_t length = size * one;

    while (length > 0 && (data[length - 1] == '\r' || data[length - 1] == '\n'))
        length--;
    if (exchange->have_head)
        return size; /* after the body */
    if (length >= 5 && memcmp(data, "HTTP/", 5) == 0) {
        exchange->head.size = 0; /* the one before was a redirect's, or of status 100 */
        return size;
    }
    if (length >
            0) /* the zero byte that ends the list is the one that http_bytes_add() puts there */
        return http_bytes_add(&exchange->head, data, length) ||
                               http_bytes_add(&exchange->head, "", 1)
                       ? 0
                       : size;
    curl_easy_getinfo(exchange->transfer.easy, CURLINFO_RESPONSE_CODE, &status);
    exchange->status = (int)status;
    exchange->have_head = is_answer(exchange, status);
    if (!exchange->have_head && status == 303) /* to be got there, whatever was asked here */
        curl_easy_setopt(exchange->transfer.easy, CURLOPT_CUSTOMREQUEST, NULL);
    if (exchange->have_head && !exchange->whole)
        anysync_event_set(exchange->changed);
    return size;
}

static size_t on_data(char *data, size_t one, size_t size, void *context)
{
    struct http_exchange *exchange = context;

    (void)one;
    if (!exchange->whole && exchange->body.size >= WINDOW) {
        exchange->full = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    if (exchange->whole && size > exchange->request.most - exchange->body.size)
        exchange->refused = -EMSGSIZE;
    else
        exchange->refused = http_bytes_add(&exchange->body, data, size);
    if (!exchange->whole)
        anysync_event_set(exchange->changed);
    return exchange->refused ? 0 : size;
}

static size_t on_wanted(char *buffer, size_t one, size_t room, void *context)
{
    struct http_exchange *exchange = context;
    struct http_chunk *chunk = &exchange->uploading;
    size_t size = chunk->size < room * one ? chunk->size : room * one;

    if (size == 0 && exchange->all_uploaded)
        return 0;
    if (size == 0) {
        exchange->hungry = true;
        anysync_event_set(exchange->changed);
        return CURL_READFUNC_PAUSE;
    }
    memcpy(buffer, chunk->data, size);
    chunk->data += size;
    chunk->size -= size;
    return size;
}

/* A handle of curl is some kilobytes, and more to set up than a small answer takes to come. */
static void give_back(struct http_exchange *exchange)
{
    struct http_client *client = exchange->client;
    CURL *easy = exchange->transfer.easy;

    exchange->transfer.easy = NULL;
    if (client->spares < HTTP_SPARES) {
        curl_easy_reset(easy);
        client->spare[client->spares++] = easy;
    } else {
        curl_easy_cleanup(easy);
    }
}

static void on_ended(struct curl_transfer *transfer)
{
    struct http_exchange *exchange = (struct http_exchange *)transfer;
    long connections = 0, status = 0;

    curl_easy_getinfo(transfer->easy, CURLINFO_NUM_CONNECTS, &connections);
    curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    exchange->client->connections += (size_t)connections;
    if (!exchange->have_head) /* else it is the caller's to look at */
        exchange->status = (int)status;
    curl_easy_getinfo(transfer->easy, CURLINFO_OS_ERRNO, &exchange->system);
    give_back(exchange);
    exchange->over = true;
    anysync_event_set(exchange->changed);
}

/* --- how it failed ---------------------------------------------------------------------------- */

static int code_of(const struct http_exchange *exchange)
{
    if (exchange->refused)
        return exchange->refused;
    switch (exchange->transfer.code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return -ENOENT;
    case CURLE_COULDNT_CONNECT:
        return exchange->system > 0 ? -(int)exchange->system : -ECONNREFUSED;
    case CURLE_OPERATION_TIMEDOUT:
        return -ETIMEDOUT;
    case CURLE_RECV_ERROR: /* broken chunks are one, too */
        return strstr(exchange->why, "chunked-encoding") ? -EPROTO : -ECONNRESET;
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_SEND_ERROR:
        return -ECONNRESET;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
        return -EACCES;
    case CURLE_TOO_MANY_REDIRECTS:
        return -ELOOP;
    case CURLE_URL_MALFORMAT:
        return -EINVAL;
    case CURLE_OUT_OF_MEMORY:
        return -ENOMEM;
    default:
        return -EPROTO;
    }
}

static const char *method_of(const struct http_request *request)
{
    if (request->method)
        return request->method;
    return request->body || request->uploads ? "POST" : "GET";
}

int http_exchange_outcome(const struct http_exchange *exchange)
{
    const struct http_request *request = &exchange->request;
    CURLcode code = exchange->transfer.code;

    if (exchange->transfer.closed)
        return anysync_fail(
                -ESHUTDOWN, "%s %s: the client was closed", method_of(request), request->url);
    if (code == CURLE_OK)
        return 0;
    if (exchange->refused == -EMSGSIZE)
        return anysync_fail(-EMSGSIZE, "%s %s: the body has more than %zu bytes",
                method_of(request), request->url, request->most);
    const char *why = exchange->why[0] ? exchange->why : curl_easy_strerror(code);
    if (code == CURLE_COULDNT_CONNECT)
        return anysync_fail(code_of(exchange), "%s %s: %s (%s)", method_of(request), request->url,
                why, strerror(-code_of(exchange)));
    return anysync_fail(code_of(exchange), "%s %s: %s", method_of(request), request->url, why);
}

static bool is_late(const struct http_exchange *exchange)
{
    return anysync_now() >= exchange->request.deadline;
}

static int say_late(const struct http_exchange *exchange)
{
    return anysync_fail(-ETIMEDOUT, "%s %s: not done at its deadline",
            method_of(&exchange->request), exchange->request.url);
}

/* --- one exchange ----------------------------------------------------------------------------- */

static int set_what_is_sent(struct http_exchange *exchange, CURL *easy)
{
    const struct http_request *request = &exchange->request;
    const char *method = method_of(request);

    /* nobody is asked whether it wants the body */
    if (request->body || request->uploads)
        exchange->headers = curl_slist_append(NULL, "Expect:");
    for (const char *const *line = request->headers; line && *line; line++) {
        struct curl_slist *more = curl_slist_append(exchange->headers, *line);
        if (!more)
            return -ENOMEM;
        exchange->headers = more;
    }
    if (exchange->headers)
        curl_easy_setopt(easy, CURLOPT_HTTPHEADER, exchange->headers);
    if (request->uploads) {
        curl_easy_setopt(easy, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(easy, CURLOPT_READFUNCTION, on_wanted);
        curl_easy_setopt(easy, CURLOPT_READDATA, exchange);
    } else if (request->body) {
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->size);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body);
        /* 301 and 302 make a POST a GET, and take the body off nothing else */
        if (strcmp(method, "POST") == 0)
            return 0;
        curl_easy_setopt(easy, CURLOPT_POSTREDIR, CURL_REDIR_POST_301 | CURL_REDIR_POST_302);
    } else if (strcmp(method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
        return 0;
    }
    return curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method) == CURLE_OK ? 0 : -ENOMEM;
}

static int set_up(struct http_exchange *exchange, CURL *easy)
{
    const struct http_options *options = &exchange->client->options;

    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* who gives up does not wait for a resolver */
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, exchange->why);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, exchange);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, exchange);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, (long)(options->connect_ns / 1000000));
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, options->redirects >= 0 ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_MAXREDIRS, (long)options->redirects);
    if (options->ca_file)
        curl_easy_setopt(easy, CURLOPT_CAINFO, options->ca_file);
    if (options->agent)
        curl_easy_setopt(easy, CURLOPT_USERAGENT, options->agent);
    if (options->unverified) {
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (curl_easy_setopt(easy, CURLOPT_URL, exchange->request.url) != CURLE_OK)
        return -ENOMEM;
    return set_what_is_sent(exchange, easy);
}

static int begin(void *argument)
{
    struct http_exchange *exchange = argument;
    struct http_client *client = exchange->client;

    exchange->transfer.ended = on_ended;
    exchange->transfer.easy =
            client->spares > 0 ? client->spare[--client->spares] : curl_easy_init();
    if (!exchange->transfer.easy || set_up(exchange, exchange->transfer.easy))
        return anysync_fail(-ENOMEM, "no memory for a request to %s", exchange->request.url);
    return curl_loop_add(client->loop, &exchange->transfer);
}

static int end(void *argument)
{
    struct http_exchange *exchange = argument;

    curl_loop_remove(exchange->client->loop, &exchange->transfer);
    return 0;
}

/* Let curl go on where it was held up and is not any more. */
static void go_on(struct http_exchange *exchange)
{
    if (exchange->transfer.active)
        curl_easy_pause(exchange->transfer.easy,
                (exchange->full ? CURLPAUSE_RECV : 0) | (exchange->hungry ? CURLPAUSE_SEND : 0));
}

static int feed(void *argument)
{
    struct http_exchange *exchange = argument;

    exchange->hungry = false;
    go_on(exchange);
    return 0;
}

/* The next chunk of what is uploaded.  The iterator is the caller's: it is asked in its world. */
static int upload(struct http_exchange *exchange)
{
    struct anysync_iterator *uploads = exchange->request.uploads;
    int error = 0;

    ANYSYNC_SCOPE(&error, exchange->request.deadline)
    {
        error = uploads->next(uploads, &exchange->uploading);
    }
    if (error < 0)
        return error;
    exchange->all_uploaded = error == ANYSYNC_DONE;
    return curl_loop_run(exchange->client->loop, feed, exchange);
}

/* What a look at an exchange found. */
struct look {
    struct http_exchange *exchange;
    bool (*found)(struct http_exchange *exchange);
    bool yes, hungry, over;
};

static int look(void *argument)
{
    struct look *this = argument;

    anysync_event_reset(this->exchange->changed); /* first: what comes after it sets it again */
    this->yes = this->found(this->exchange);
    this->hungry = this->exchange->hungry;
    this->over = this->exchange->over;
    return 0;
}

int http_exchange_wait(
        struct http_exchange *exchange, bool (*found)(struct http_exchange *exchange))
{
    struct look this = {.exchange = exchange, .found = found};

    for (;;) {
        int error = curl_loop_run(exchange->client->loop, look, &this);
        exchange->settled = error == -ESHUTDOWN || this.over;
        if (error == -ESHUTDOWN) {
            error = http_exchange_outcome(exchange);
            if (!error) /* it was over before the close, and what has come is here to be found */
                (void)found(exchange);
            return error;
        }
        if (!error && !this.over && is_late(exchange))
            error = say_late(exchange); /* though more may be there: of all of it */
        if (error || this.yes)
            return error;
        error = this.hungry ? upload(exchange)
                            : anysync_event_wait(exchange->changed, exchange->request.deadline);
        if (error)
            return error == -ETIMEDOUT && is_late(exchange) ? say_late(exchange) : error;
    }
}

/* Take EXCHANGE off the loop, which is not left with what will be freed: not for want of memory
 * either. */
static void end_surely(struct http_exchange *exchange)
{
    ANYSYNC_SHIELD(NULL, ANYSYNC_FOREVER)
    {
        while (curl_loop_run(exchange->client->loop, end, exchange) == -ENOMEM)
            (void)!anysync_sleep(anysync_in_ms(1));
    }
}

void http_exchange_close(struct http_exchange *exchange)
{
    if (exchange->begun && !exchange->settled)
        end_surely(exchange);
    if (exchange->transfer.easy)
        curl_easy_cleanup(exchange->transfer.easy);
    anysync_event_unref(exchange->changed);
    curl_slist_free_all(exchange->headers);
    drop(&exchange->head);
    drop(&exchange->body);
    drop(&exchange->taken);
    anysync_limiter_release(exchange->limiter); /* from here on a close may go on */
    anysync_limiter_unref(exchange->limiter);
    free(exchange);
}

int http_exchange_open(struct http_client *client, const struct http_request *request, bool whole,
        struct http_exchange **ret_exchange)
{
    struct http_exchange *exchange = calloc(1, sizeof(*exchange));

    if (!exchange)
        return anysync_fail(-ENOMEM, "no memory for a request");
    exchange->client = client;
    exchange->request = *request;
    exchange->whole = whole;
    if (request->deadline == 0)
        exchange->request.deadline = ANYSYNC_FOREVER;
    if (request->most == 0)
        exchange->request.most = MOST;
    int error = anysync_limiter_acquire(client->limiter, exchange->request.deadline);
    if (error) {
        error = error == -ETIMEDOUT ? say_late(exchange) : error;
        free(exchange);
        return error;
    }
    exchange->limiter = anysync_limiter_ref(client->limiter);
    error = anysync_event_new(&exchange->changed);
    if (!error)
        error = curl_loop_run(client->loop, begin, exchange);
    exchange->begun = !error;
    if (error)
        http_exchange_close(exchange);
    else
        *ret_exchange = exchange;
    return error;
}

bool http_exchange_takes(struct http_exchange *exchange)
{
    drop(&exchange->taken);
    exchange->taken = exchange->body;
    exchange->body = (struct http_bytes){0};
    if (exchange->taken.size == 0)
        return exchange->over;
    if (exchange->full) {
        exchange->full = false;
        go_on(exchange);
    }
    return true;
}
