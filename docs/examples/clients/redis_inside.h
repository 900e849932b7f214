/* SPDX-License-Identifier: MIT */
/*
 * What redis.c, redis_batch.c and redis_blocks.c share.
 *
 *      fields  [const]  [loop]: touched on the connection's loop alone
 *              [owner]: by who has the batch, and for it on the loop while it waits
 */
#ifndef CLIENTS_REDIS_INSIDE_H
#define CLIENTS_REDIS_INSIDE_H

#include "redis.h"
#include "redis_link.h"

#include <stdarg.h>
#include <stdatomic.h>

struct redis {
    atomic_int references;             /* its user's, the keeper's, each batch's */
    unsigned serial;                   /* [const] of the thread of its loop */
    struct anysync_executor *executor; /* [const] */
    struct anysync_mutex *turn;        /* [const] held by a transaction */
    struct anysync_future *closing;    /* [const] done: the keeper is to close it */
    struct anysync_future *keeper;     /* [const] */
    bool in_transaction;               /* [loop] others wait for `turn` */
    struct redis_batch *spare;         /* [loop] to be used again, so that a command allocates */
    size_t spares;                     /* nothing but its text */
    struct redis_link link;            /* [loop] but its peer, [const] */
};

struct redis_call {
    struct redis_due due;
    struct redis_batch *batch;
    size_t at, size;   /* of what is sent, in the batch's text */
    redisReply *reply; /* [loop], then [owner]; NULL: none, or dropped */
};

struct redis_batch {
    atomic_int references;        /* its owner's, and one while replies are due */
    struct redis *redis;          /* one reference */
    size_t count, room;           /* [owner] */
    bool within;                  /* [owner] of a transaction: does not wait for its end */
    bool sent;                    /* [owner] */
    bool complete;                /* [owner] all replies are there */
    bool drops;                   /* [owner] nobody asks for replies, but for errors */
    bool failed;                  /* [loop] the link was lost, or took only some of it */
    size_t due, answered;         /* [loop] */
    size_t good;                  /* [loop] the first so many were answered by the server */
    size_t wanted;                /* [loop] `enough` is done when so many are answered */
    bool waits;                   /* [loop] somebody, for `enough` */
    struct anysync_event *enough; /* [loop] NULL until first needed */
    struct redis_batch *next;     /* [loop] of the spare ones */
    char *text;                   /* [owner] of all commands, one after another */
    size_t text_size, text_room;  /* [owner] */
    struct redis_call *calls;     /* [owner] `room` of them, not moved when sent */
    struct redis_call first;      /* the room of a single one */
};

/* --- redis.c ---------------------------------------------------------------------------------- */

/* Whether this is the thread of its loop. */
static inline bool redis_is_its_thread(const struct redis *redis)
{
    return redis->serial == anysync_thread_serial();
}

/* Whether this code may use the link. */
static inline bool redis_is_here(const struct redis *redis)
{
    return redis_is_its_thread(redis) && anysync_in_coroutine();
}

/* Wait for TASK, which is the loop's and works with what is the caller's: who gives up cancels it
 * and waits for its end, longer than any grace time.  RET_GAVE_UP: the error is not TASK's.
 * A callback of a loop could not do that, so ask redis_may_wait() before: 0 or -EDEADLK. */
int redis_wait_out(struct anysync_future *task, bool *ret_gave_up) ANYSYNC_MUST_CHECK;
int redis_may_wait(void) ANYSYNC_MUST_CHECK;

/* Wait until nobody else has the connection to itself, then have it.  0 or a code.  The task that
 * called releases it. */
int redis_hold(struct redis *redis, anysync_time deadline) ANYSYNC_MUST_CHECK;
void redis_release(struct redis *redis);

/* Fail all that is under way, and all that comes. */
void redis_break(struct redis *redis, const char *why);

/* --- redis_batch.c ---------------------------------------------------------------------------- */

/* Give back what nobody refers to any more. */
void redis_batch_free(struct redis_batch *batch);

/* BATCH is of the one who holds the connection. */
void redis_batch_within(struct redis_batch *batch);

int redis_batch_add_list(
        struct redis_batch *batch, const char *format, va_list list) ANYSYNC_MUST_CHECK;

/* Send BATCH (consumed) and wait; the reply of its last command, if none failed. */
int redis_batch_finish(struct redis_batch *batch, redisReply **ret_reply,
        anysync_time deadline) ANYSYNC_MUST_CHECK;

#endif
