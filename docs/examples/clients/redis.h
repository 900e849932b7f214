/* SPDX-License-Identifier: MIT */
/*
 * A Redis client for threads and coroutines: hiredis, driven by a loop of anysync.
 *
 *      const struct redis_options where = {.host = "127.0.0.1", .port = 6379};
 *      struct redis *redis;
 *      redisReply *reply;
 *
 *      error = redis_connect(&where, &redis, anysync_in_seconds(1));
 *      error = redis_command(redis, &reply, anysync_in_ms(50), "GET %s", "name");
 *      puts(reply->str);
 *      freeReplyObject(reply);
 *      redis_close(redis);
 *
 * BOTH WORLDS  Each call blocks a plain thread and suspends a coroutine.  Any number of them share
 *   a connection: their commands go out one after another, without waiting for each other's
 *   replies.  So do not block in the server (BLPOP): it holds up all; open a connection for it.
 *
 * WHERE  A connection lives on one loop, that of the executor in its options.  Coroutines there use
 *   it directly; whoever else calls has the executor do it, and waits.  It is a task there: a
 *   shutdown that drains waits for redis_close(), one that cancels fails what is under way with
 *   -ESHUTDOWN.
 *
 * FAILURES  Codes, each with a sentence that names host, port and command:
 *   -ETIMEDOUT   the deadline passed.  The connection stays as it is; a late reply goes nowhere,
 *                but what was asked may have been done.
 *   -ECANCELED   the calling task was cancelled; likewise.
 *   -EREMOTEIO   the server answers with an error, which is the end of the sentence.
 *   -ECONNRESET  the server went away.  -EPROTO: it talks no Redis.  -ECONNREFUSED and the like
 *                from the system.  From then on each call on this connection says so at once: close
 *                it, and open another.
 *   -EPIPE       it was closed by redis_close().
 *   -EDEADLK     called by a callback of a loop.
 *   -ENOMEM      nothing was sent.
 *
 * REPLIES  are hiredis' own, with all its types, and owned by the caller where nothing else is
 *   said: freeReplyObject() them.
 */
#ifndef CLIENTS_REDIS_H
#define CLIENTS_REDIS_H

#include <anysync.h>
#include <hiredis/hiredis.h>

struct redis;       /* a connection */
struct redis_batch; /* commands that are under way together */

struct redis_options {
    const char *host;                  /* a name or an address; NULL: 127.0.0.1 */
    int port;                          /* 0: 6379 */
    const char *password;              /* NULL: none is asked for */
    struct anysync_executor *executor; /* borrowed: where it lives; NULL: the global one */
};

/*
 * Connect, and log in if there is a password.
 *
 * options    borrowed for the call, but for the executor.
 * ret_redis  owned by the caller: redis_close() it.
 *
 * Returns  0, or a code from above; -EACCES: the password is wrong.  Each address of the host is
 *          tried, with an even share of the time that is left.
 * Cancel   cancellation point; nothing is left behind.
 */
int redis_connect(const struct redis_options *options, struct redis **ret_redis,
        anysync_time deadline) ANYSYNC_MUST_CHECK;

/* Who shares a connection with somebody who may close it has a reference of its own: ref takes one
 * more, unref drops it (consumed; the last one must come after the close).  Any thread. */
struct redis *redis_ref(struct redis *redis);
void redis_unref(struct redis *redis);

/*
 * Close REDIS (consumed).  Calls that are under way, and later ones of who has a reference, end
 * with -EPIPE.
 * NULL is fine.  Not a cancellation point; in a callback of a loop it does not wait for the end.
 */
void redis_close(struct redis *redis);

/*
 * Send a command and wait for its reply.
 *
 * ret_reply  what the server answers, if the return is 0; NULL: of no interest.
 * format     of hiredis: spaces separate arguments; %s a string, %b bytes and their size_t, %d...
 *
 * Returns  0, or a code from above; -EINVAL for a format that makes no sense, and for SUBSCRIBE and
 *          MONITOR (use redis_messages).
 * Cancel   cancellation point.
 */
int redis_command(struct redis *redis, redisReply **ret_reply, anysync_time deadline,
        const char *format, ...) ANYSYNC_MUST_CHECK;

/* The same with COUNT arguments; SIZES: their sizes, NULL for strings. */
int redis_command_argv(struct redis *redis, redisReply **ret_reply, anysync_time deadline,
        int count, const char **argv, const size_t *sizes) ANYSYNC_MUST_CHECK;

/* --- pipelines -------------------------------------------------------------------------------- *
 *
 * A batch is collected, sent as one, and waited for as a whole or reply by reply:
 *
 *      redis_batch_new(redis, &batch);
 *      for (int i = 0; i < 100 && !error; i++)
 *          error = redis_batch_add(batch, "INCRBY %s %d", name[i], i);
 *      if (!error)
 *          error = redis_batch_wait(batch, anysync_in_seconds(1));
 *      for (int i = 0; i < 100 && !error; i++)
 *          error = redis_batch_reply(batch, i, &reply, ANYSYNC_POLL);
 *      redis_batch_unref(batch);
 *
 * Nobody else's command comes in between: MULTI ... EXEC in a batch is a transaction (one that
 * waits within is redis_transaction, below).  A batch is used by one task or thread at a time.
 */

/* Make a batch, which must not outlive REDIS's close by more than its unref.  0, or -ENOMEM. */
int redis_batch_new(struct redis *redis, struct redis_batch **ret_batch) ANYSYNC_MUST_CHECK;

/* Give it back (consumed), at any time: replies that are still to come go nowhere.  NULL is fine.
 * Returns NULL. */
struct redis_batch *redis_batch_unref(struct redis_batch *batch);

/* Add a command, as redis_command().  Never waits.  0, -ENOMEM, -EINVAL; -EALREADY: it was sent. */
int redis_batch_add(struct redis_batch *batch, const char *format, ...) ANYSYNC_MUST_CHECK;
int redis_batch_add_argv(struct redis_batch *batch, int count, const char **argv,
        const size_t *sizes) ANYSYNC_MUST_CHECK;

/* How many commands it has. */
size_t redis_batch_count(const struct redis_batch *batch);

/* Send what was added, and do not wait for replies (but perhaps for somebody's transaction to end).
 * Returns 0 or a code from above; -EALREADY. */
int redis_batch_send(struct redis_batch *batch, anysync_time deadline) ANYSYNC_MUST_CHECK;

/* Send it, if that was not done, and wait for all replies.  Returns 0 when all are there, errors of
 * the server among them; or a code.  After -ETIMEDOUT and -ECANCELED it can be waited for again. */
int redis_batch_wait(struct redis_batch *batch, anysync_time deadline) ANYSYNC_MUST_CHECK;

/*
 * Send it, if that was not done, and wait for reply INDEX.
 *
 * ret_reply  borrowed from the batch; NULL: of no interest.
 *
 * Returns  0; -EREMOTEIO: this command failed (RET_REPLY has the error); -EINVAL: there is no such
 *          command; or a code.
 */
int redis_batch_reply(struct redis_batch *batch, size_t index, redisReply **ret_reply,
        anysync_time deadline) ANYSYNC_MUST_CHECK;

/* --- transactions ----------------------------------------------------------------------------- *
 *
 *      redisReply *done = NULL;
 *
 *      ANYSYNC_WITH(redis_transaction, transaction, &error, redis, &done, deadline)
 *      {
 *          error = redis_ask(transaction, NULL, deadline, "WATCH stock");
 *          if (!error)
 *              error = redis_ask(transaction, &reply, deadline, "GET stock");
 *          ...
 *          if (!error)
 *              error = redis_queue(transaction, deadline, "DECR stock");
 *      }
 *
 * A block that ends well sends EXEC.  One that fails, or whose task is cancelled, sends DISCARD,
 * and nothing that was queued is done.  Meanwhile other users of the connection wait.
 *
 * ret_done  the replies to what was queued, an array; NULL if nothing was.  It may be NULL.
 * deadline  of the EXEC, and of the wait for the connection.
 *
 * At the end *ERROR may be, besides what the block had, and the codes from above:
 *   -ESTALE    what was watched has changed: nothing was done.  Begin again.
 *   -ETIMEDOUT, -ECONNRESET  whose sentence begins with EXEC: whether it was done is not known.
 */
struct redis_transaction;

ANYSYNC_CONTEXT_MANAGER_DECLARE(struct redis_transaction *, redis_transaction,
        (struct redis *, redis), (redisReply **, ret_done), (anysync_time, deadline));

/* Within the block, before anything is queued: do a command at once (WATCH, GET); otherwise as
 * redis_command().  -EINVAL after redis_queue(). */
int redis_ask(struct redis_transaction *transaction, redisReply **ret_reply, anysync_time deadline,
        const char *format, ...) ANYSYNC_MUST_CHECK;

/* Within the block: queue a command for the end.  0: the server has it in its queue. */
int redis_queue(struct redis_transaction *transaction, anysync_time deadline, const char *format,
        ...) ANYSYNC_MUST_CHECK;

/* --- subscriptions ---------------------------------------------------------------------------- */

/* A message; valid until the next one is asked for. */
struct redis_message {
    const char *channel;
    const char *text; /* ends with a zero byte that is not of it; NULL: subscribed from now on */
    size_t size;
};

/*
 * Subscribe to CHANNEL on a connection of its own, which is opened when the first item is asked
 * for.  That item has no text: what is published after it will come.
 *
 *      ANYSYNC_FOR(redis_messages, message, &error, &where, "news")
 *      {
 *          if (message.text)
 *              puts(message.text);
 *      }
 *
 * options, channel  borrowed while it is open.  The executor is of no meaning: it lives where
 *                   generators do (<anysync/generator.h>, WHERE).  It must not read ahead.
 *
 * A consumer that is slow stops the reading from the socket; the server drops one that lags too far
 * behind.  Ends with a code from above when the connection does.
 */
ANYSYNC_GENERATOR_DECLARE(struct redis_message, redis_messages,
        (const struct redis_options *, options), (const char *, channel));

#endif
