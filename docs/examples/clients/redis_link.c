/* SPDX-License-Identifier: MIT */
/*
 * A context of hiredis on our loop (redis_link.h).
 *
 * hiredis' adapter for libevent watches the socket on the base that anysync_event_base() gives.
 * Its callbacks run on the loop's own stack: they complete a future, for which a coroutine waits.
 *
 * WHO FREES THE CONTEXT  hiredis, right after a callback has said that the connection failed or was
 * lost; or we, by redisAsyncFree() from a coroutine, never within a callback.  Either way `context`
 * is NULL from then on.
 *
 * REPLIES  hiredis frees a reply when its callback returns, through the table of functions of its
 * reader.  Ours leaves the one that was taken, and makes none that nobody asks for.  The other
 * functions of the table look whether a reply is one that hiredis can digest, and refuse it
 * otherwise, as if memory had run out.
 */
#include "redis_link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <hiredis/adapters/libevent.h>
#include <hiredis/sds.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { ENOUGH = 1024 }; /* bytes, some 30 commands */

#if HIREDIS_MAJOR >= 1
#define ELEMENTS size_t
#else
#define ELEMENTS int
#endif

/* --- replies ---------------------------------------------------------------------------------- */

static _Thread_local void *taken;

redisReply *redis_link_take(void *reply)
{
    taken = reply;
    return reply;
}

static redisReply dropped = {.type = REDIS_REPLY_NIL};

static void free_reply(void *reply)
{
    if (reply != taken && reply != &dropped)
        freeReplyObject(reply);
    taken = NULL;
}

static struct redis_link *link_of(const redisReadTask *task)
{
    return task->privdata;
}

/* Whether hiredis knows what to do with such an object, at this place of a reply. */
static bool is_expected(
        const redisReadTask *task, int type, const char *text, size_t size, ELEMENTS elements)
{
    const struct redis_link *link = link_of(task);

    if (!task->parent) { /* the whole reply */
        if (type == REDIS_REPLY_ERROR)
            return true;
        return link->feeds ? type == REDIS_REPLY_ARRAY && elements == 3
                           : link->context && link->context->replies.head;
    }
    if (!link->feeds || task->parent->parent)
        return true;
    if (task->idx == 0)
        return type == REDIS_REPLY_STRING && text &&
               ((size == 7 && strncasecmp(text, "message", size) == 0) ||
                       (size == 9 && strncasecmp(text, "subscribe", size) == 0));
    return type == REDIS_REPLY_STRING || (task->idx == 2 && type == REDIS_REPLY_INTEGER);
}

/* Whether nobody asks for this reply, or the one it is a part of.  An error is always asked for. */
static bool is_dropped(const redisReadTask *task)
{
    const struct redis_link *link = link_of(task);

    return !link->feeds && (task->parent || task->type != REDIS_REPLY_ERROR) &&
           ((const struct redis_due *)link->context->replies.head->privdata)->drops;
}

/* The functions of hiredis itself, or NULL for what it could not take, or need not make. */
static const redisReplyObjectFunctions *maker(
        const redisReadTask *task, int type, const char *text, size_t size, ELEMENTS elements)
{
    if (!is_expected(task, type, text, size, elements))
        link_of(task)->refused = true;
    else if (!is_dropped(task))
        return link_of(task)->original;
    return NULL;
}

static void *instead(const redisReadTask *task)
{
    return link_of(task)->refused ? NULL : &dropped;
}

static void *create_string(const redisReadTask *task, char *text, size_t size)
{
    const redisReplyObjectFunctions *make = maker(task, task->type, text, size, 0);

    return make ? make->createString(task, text, size) : instead(task);
}

static void *create_array(const redisReadTask *task, ELEMENTS elements)
{
    const redisReplyObjectFunctions *make = maker(task, REDIS_REPLY_ARRAY, NULL, 0, elements);

    return make ? make->createArray(task, elements) : instead(task);
}

static void *create_integer(const redisReadTask *task, long long value)
{
    const redisReplyObjectFunctions *make = maker(task, REDIS_REPLY_INTEGER, NULL, 0, 0);

    return make ? make->createInteger(task, value) : instead(task);
}

static void *create_nil(const redisReadTask *task)
{
    const redisReplyObjectFunctions *make = maker(task, REDIS_REPLY_NIL, NULL, 0, 0);

    return make ? make->createNil(task) : instead(task);
}

/* --- what has gone wrong ---------------------------------------------------------------------- */

static void lose(struct redis_link *link, int code, const char *why)
{
    if (link->code)
        return; /* the first reason counts */
    link->code = code;
    snprintf(link->why, sizeof(link->why), "%s", why);
}

static void lose_to_system(struct redis_link *link, int number)
{
    char text[sizeof(link->why)] = "it cannot be reached";

    if (number && strerror_r(number, text, sizeof(text)) != 0)
        snprintf(text, sizeof(text), "error %d", number);
    lose(link, number ? -number : -EIO, text);
}

void redis_link_lost(struct redis_link *link, const redisAsyncContext *context)
{
    int number = errno;

    switch (context->c.err) {
    case REDIS_ERR_IO:
        lose_to_system(link, number);
        break;
    case REDIS_ERR_EOF:
        lose(link, -ECONNRESET, "the server closed the connection");
        break;
    case REDIS_ERR_OOM:
        if (!link->refused) {
            lose(link, -ENOMEM, "no memory for a reply: the connection was closed");
            break;
        }
        lose(link, -EPROTO, "the server says what nobody asked for: the connection was closed");
        break;
    case REDIS_ERR_PROTOCOL:
        lose(link, -EPROTO, context->c.errstr);
        break;
    default: /* an error that nobody asked for: "max number of clients reached" */
        lose(link, -EREMOTEIO, context->c.err ? context->c.errstr : "the connection was closed");
        break;
    }
}

int redis_link_fail(const struct redis_link *link, const char *what)
{
    return anysync_fail(link->code, "redis %s: %s: %s", link->peer, what, link->why);
}

/* --- opening and closing ---------------------------------------------------------------------- */

static void on_connect(const redisAsyncContext *context, int status)
{
    struct redis_link *link = context->data;

    if (status != REDIS_OK) {
        redis_link_lost(link, context);
        link->context = NULL;
    }
    if (link->answered)
        anysync_future_set(link->answered, NULL);
}

static void on_disconnect(const redisAsyncContext *context, int status)
{
    struct redis_link *link = context->data;

    (void)status;
    redis_link_lost(link, context);
    link->context = NULL;
}

static void on_login(redisAsyncContext *context, void *reply, void *argument)
{
    struct redis_link *link = argument;

    if (!reply)
        redis_link_lost(link, context);
    else if (((redisReply *)reply)->type == REDIS_REPLY_ERROR)
        lose(link, -EACCES, ((redisReply *)reply)->str);
    if (link->answered)
        anysync_future_set(link->answered, NULL);
}

void redis_link_send(struct redis_link *link)
{
    if (sdslen(link->context->c.obuf) >= ENOUGH)
        redisAsyncHandleWrite(link->context);
}

void redis_link_close(struct redis_link *link, int code, const char *why)
{
    redisAsyncContext *context = link->context;

    if (!context)
        return;
    lose(link, code, why);
    link->context = NULL;
    redisAsyncFree(context);
}

/* Wait until `answered` is done; the link is closed if that fails. */
static int wait_for_answer(struct redis_link *link, const char *what, anysync_time deadline)
{
    int error = anysync_future_wait(link->answered, deadline);

    link->answered = anysync_future_unref(link->answered);
    if (error == -ETIMEDOUT)
        error = anysync_fail(error, "redis %s: %s: no answer in time", link->peer, what);
    if (!error && link->code)
        error = redis_link_fail(link, what);
    if (error)
        redis_link_close(link, error, "the connection was not made");
    return error;
}

static int connect_to(struct redis_link *link, const char *address, int port, anysync_time deadline)
{
    int error = anysync_future_new(0, &link->answered);
    struct event_base *base = anysync_event_base();

    link->code = 0;
    link->refused = false;
    if (!error && !base)
        error = anysync_last_error()->code;
    redisAsyncContext *context = error ? NULL : redisAsyncConnect(address, port);
    if (!context || context->err || redisLibeventAttach(context, base) != REDIS_OK) {
        if (!error)
            lose_to_system(link, context && context->err == REDIS_ERR_IO ? errno : ENOMEM);
        if (context)
            redisAsyncFree(context);
        link->answered = anysync_future_unref(link->answered);
        return error ? error : redis_link_fail(link, "connect");
    }
    context->data = link;
    link->context = context;
    link->original = context->c.reader->fn;
    link->functions = *link->original;
    link->functions.createString = create_string;
    link->functions.createArray = create_array;
    link->functions.createInteger = create_integer;
    link->functions.createNil = create_nil;
    link->functions.freeObject = free_reply;
    context->c.reader->fn = &link->functions;
    context->c.reader->privdata = link;
    redisAsyncSetConnectCallback(context, on_connect);
    redisAsyncSetDisconnectCallback(context, on_disconnect);
    return wait_for_answer(link, "connect", deadline);
}

static int log_in(struct redis_link *link, const char *password, anysync_time deadline)
{
    const char *argv[] = {"AUTH", password};
    int error = anysync_future_new(0, &link->answered);

    if (error) {
        redis_link_close(link, error, "no memory");
        return error;
    }
    if (redisAsyncCommandArgv(link->context, on_login, link, 2, argv, NULL) != REDIS_OK)
        lose(link, -ENOMEM, "no memory");
    if (link->code)
        anysync_future_set(link->answered, NULL);
    return wait_for_answer(link, "AUTH", deadline);
}

/* An even share of the time that is left, for the first of COUNT. */
static anysync_time share(anysync_time deadline, size_t count)
{
    anysync_time now = anysync_now();

    return deadline == ANYSYNC_FOREVER || deadline < now ? deadline
                                                         : now + (deadline - now) / (int64_t)count;
}

int redis_link_open(
        struct redis_link *link, const struct redis_options *options, anysync_time deadline)
{
    const char *host = options->host ? options->host : "127.0.0.1";
    int port = options->port ? options->port : 6379;
    struct anysync_addresses *addresses;
    char service[16], numbers[INET6_ADDRSTRLEN + 32];

    snprintf(link->peer, sizeof(link->peer), "%s:%d", host, port);
    snprintf(service, sizeof(service), "%d", port);
    int error = anysync_resolve(host, service, NULL, deadline, &addresses);
    if (error)
        return error;
    for (size_t i = 0; i < addresses->count; i++) {
        const struct anysync_address *address = &addresses->list[i];
        size_t left = addresses->count - i;

        if (getnameinfo(&address->at.address, address->size, numbers, sizeof(numbers), NULL, 0,
                    NI_NUMERICHOST) != 0)
            continue;
        error = connect_to(link, numbers, port, share(deadline, left));
        if (!error || error == -ECANCELED)
            break;
    }
    anysync_free(addresses);
    if (!error && options->password)
        error = log_in(link, options->password, deadline);
    return error;
}
