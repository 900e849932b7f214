/* SPDX-License-Identifier: MIT */
/*
 * What redis.c is made of: one context of hiredis on the loop that this code runs on, for the
 * coroutines of that loop.  Nothing here may be used by another thread.
 *
 * hiredis stops the program (by assert) when a server says something that nobody asked for.  A link
 * looks at each reply while it is parsed, and ends the connection with -EPROTO instead.
 */
#ifndef CLIENTS_REDIS_LINK_H
#define CLIENTS_REDIS_LINK_H

#include "redis.h"

#include <hiredis/async.h>
#include <stdbool.h>

/* What the argument of a command's callback begins with. */
struct redis_due {
    bool drops; /* nothing is made of the reply, unless it is an error */
};

struct redis_link {
    struct redis_due due;            /* of the login */
    redisAsyncContext *context;      /* NULL: not connected (any more) */
    struct anysync_future *answered; /* while it is opened */
    int code;                        /* why there is no context: 0 is not opened yet */
    char why[160];
    char peer[128]; /* "127.0.0.1:6379" */
    bool feeds;     /* subscribed */
    bool refused;   /* a reply that nobody asked for */
    redisReplyObjectFunctions functions;
    const redisReplyObjectFunctions *original; /* hiredis' own */
};

/* Connect, and log in.  LINK is not moved from then on. */
int redis_link_open(struct redis_link *link, const struct redis_options *options,
        anysync_time deadline) ANYSYNC_MUST_CHECK;

/* After commands, outside of callbacks: send at once if there is enough for a call of the system,
 * so that the server works while more is made; else the loop does.  If that fails LINK is lost, as
 * anywhere else. */
void redis_link_send(struct redis_link *link);

/* Close it: each command that is under way is called back with NULL.  CODE and WHY are what is said
 * of it from then on, if it was open. */
void redis_link_close(struct redis_link *link, int code, const char *why);

/* In a callback that gets a NULL reply: remember why. */
void redis_link_lost(struct redis_link *link, const redisAsyncContext *context);

/* Say why LINK is gone: "redis PEER: WHAT: why".  Returns its code. */
int redis_link_fail(const struct redis_link *link, const char *what);

/* In a callback: the reply is ours from now on. */
redisReply *redis_link_take(void *reply);

#endif
