/* SPDX-License-Identifier: MIT */
/*
 * Commands of the Redis client (redis.h).
 *
 * A batch is what is under way, be it one command or a thousand.  hiredis calls back for each
 * reply, which is put into its place; who waits is woken when enough are there.  Who gives up drops
 * its reference; the batch lives until its last reply has come, which so finds a place to go to.
 *
 * Replies that nobody asks for are not made (redis_link.h), or left to hiredis, which frees them.
 *
 * Batches that were used on the connection's loop are kept there for the next command: with many
 * under way, to allocate and free them would cost more than the rest of our part.
 */
#include "redis_inside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { SPARES_MOST = 256, SPARE_SIZE = 16384 }; /* how many are kept, with how much text each */

void redis_batch_free(struct redis_batch *batch)
{
    anysync_event_unref(batch->enough);
    if (batch->calls != &batch->first)
        free(batch->calls);
    free(batch->text);
    free(batch);
}

static struct redis_batch *take_spare(struct redis *redis)
{
    struct redis_batch *batch = redis_is_its_thread(redis) ? redis->spare : NULL;

    if (!batch)
        return calloc(1, sizeof(*batch));
    redis->spare = batch->next;
    redis->spares--;
    *batch = (struct redis_batch){.enough = batch->enough,
            .text = batch->text,
            .text_room = batch->text_room,
            .calls = batch->calls == &batch->first ? NULL : batch->calls,
            .room = batch->room};
    return batch;
}

static void give_back(struct redis *redis, struct redis_batch *batch)
{
    if (redis_is_its_thread(redis) && redis->spares < SPARES_MOST &&
            batch->text_room <= SPARE_SIZE) {
        batch->next = redis->spare;
        redis->spare = batch;
        redis->spares++;
    } else {
        redis_batch_free(batch);
    }
    redis_unref(redis);
}

int redis_batch_new(struct redis *redis, struct redis_batch **ret_batch)
{
    struct redis_batch *batch = take_spare(redis);

    if (!batch)
        return anysync_fail(-ENOMEM, "redis %s: no memory for a command", redis->link.peer);
    atomic_init(&batch->references, 1);
    batch->redis = redis_ref(redis);
    if (!batch->calls) {
        batch->calls = &batch->first;
        batch->room = 1;
    }
    *ret_batch = batch;
    return 0;
}

struct redis_batch *redis_batch_unref(struct redis_batch *batch)
{
    if (!batch || atomic_fetch_sub(&batch->references, 1) > 1)
        return NULL;
    for (size_t i = 0; i < batch->count; i++)
        if (batch->calls[i].reply)
            freeReplyObject(batch->calls[i].reply);
    give_back(batch->redis, batch);
    return NULL;
}

size_t redis_batch_count(const struct redis_batch *batch)
{
    return batch->count;
}

/* The first word of a COMMAND as hiredis writes it: after "*1\r\n$4\r\n".  Returns its size. */
static size_t first_word(const char *command, const char **ret_word)
{
    const char *at = command;
    size_t size = 0;

    while (*at && *at != '$')
        at++;
    while (*at && *++at >= '0' && *at <= '9')
        size = size * 10 + (size_t)(*at - '0');
    *ret_word = *at ? at + 2 : at;
    return size;
}

/* The same as a string, for sentences. */
static void name_in(const char *command, char name[24])
{
    const char *word;
    size_t size = first_word(command, &word);

    snprintf(name, 24, "%.*s", size < 23 ? (int)size : 23, word);
}

static void name_of(const struct redis_call *call, char name[24])
{
    name_in(call->batch->text + call->at, name);
}

/* What changes the meaning of all replies that follow. */
static bool is_forbidden(const char *command)
{
    static const char *const names[] = {"MONITOR", "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE",
            "UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE"};
    const char *word;
    size_t size = first_word(command, &word);

    if (size < 7) /* as most are */
        return false;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strlen(names[i]) == size && strncasecmp(word, names[i], size) == 0)
            return true;
    return false;
}

static int make_room(struct redis_batch *batch)
{
    bool grows = batch->calls != &batch->first;
    size_t room = batch->room * 4;

    if (batch->count < batch->room)
        return 0;
    struct redis_call *calls = realloc(grows ? batch->calls : NULL, room * sizeof(*calls));
    if (!calls)
        return -ENOMEM;
    if (!grows)
        calls[0] = batch->first;
    batch->calls = calls;
    batch->room = room;
    return 0;
}

/* Put COMMAND and its final zero byte, SIZE bytes, to the others. */
static int append(struct redis_batch *batch, const char *command, size_t size)
{
    if (batch->text_size + size > batch->text_room) {
        size_t room = (batch->text_size + size) * 2;
        char *text = realloc(batch->text, room);

        if (!text)
            return -ENOMEM;
        batch->text = text;
        batch->text_room = room;
    }
    int error = make_room(batch);
    if (error)
        return error;
    memcpy(batch->text + batch->text_size, command, size);
    batch->calls[batch->count++] =
            (struct redis_call){.batch = batch, .at = batch->text_size, .size = size - 1};
    batch->text_size += size;
    return 0;
}

/* COMMAND (consumed) and SIZE as the formatting functions of hiredis give them. */
static int add(struct redis_batch *batch, char *command, int size)
{
    const char *peer = batch->redis->link.peer;
    char name[24];

    if (size < 0)
        return anysync_fail(size == -2 ? -EINVAL : -ENOMEM, "redis %s: %s", peer,
                size == -2 ? "a format that makes no sense" : "no memory for a command");
    int error = batch->sent             ? -EALREADY
                : is_forbidden(command) ? -EINVAL
                                        : append(batch, command, (size_t)size + 1);
    if (error)
        name_in(command, name);
    free(command);
    switch (error) {
    case 0:
        return 0;
    case -EALREADY:
        return anysync_fail(error, "redis %s: %s: this batch was sent already", peer, name);
    case -EINVAL:
        return anysync_fail(error, "redis %s: %s: use redis_messages()", peer, name);
    default:
        return anysync_fail(error, "redis %s: %s: no memory for it", peer, name);
    }
}

int redis_batch_add_list(struct redis_batch *batch, const char *format, va_list list)
{
    char *command = NULL;
    int size = redisvFormatCommand(&command, format, list);

    return add(batch, command, size);
}

int redis_batch_add(struct redis_batch *batch, const char *format, ...)
{
    va_list list;

    va_start(list, format);
    int error = redis_batch_add_list(batch, format, list);
    va_end(list);
    return error;
}

int redis_batch_add_argv(
        struct redis_batch *batch, int count, const char **argv, const size_t *sizes)
{
    char *command = NULL;
    int size = redisFormatCommandArgv(&command, count, argv, sizes);

    return add(batch, command, size);
}

/* --- on the connection's loop ----------------------------------------------------------------- */

static void on_reply(redisAsyncContext *context, void *reply, void *argument)
{
    struct redis_call *call = argument;
    struct redis_batch *batch = call->batch;

    if (reply) {
        batch->good++;
        if (!batch->drops || ((redisReply *)reply)->type == REDIS_REPLY_ERROR)
            call->reply = redis_link_take(reply);
    } else {
        redis_link_lost(&batch->redis->link, context);
        batch->failed = true;
    }
    batch->answered++;
    if (batch->waits && (batch->answered >= batch->wanted || batch->failed))
        anysync_event_set(batch->enough);
    if (batch->answered == batch->due)
        redis_batch_unref(batch);
}

static int send_all(struct redis_batch *batch)
{
    struct redis_link *link = &batch->redis->link;
    char name[24];

    if (!link->context) {
        name_of(&batch->calls[0], name);
        return redis_link_fail(link, name);
    }
    batch->sent = true;
    batch->due = batch->count;
    atomic_fetch_add(&batch->references, 1);
    for (size_t i = 0; i < batch->count; i++) {
        struct redis_call *call = &batch->calls[i];

        call->due.drops = batch->drops;
        if (redisAsyncFormattedCommand(
                    link->context, on_reply, call, batch->text + call->at, call->size) == REDIS_OK)
            continue;
        batch->due = i;
        batch->failed = true;
        if (i == 0)
            redis_batch_unref(batch);
        else /* a transaction would go on with what others send */
            redis_link_close(
                    link, -ENOMEM, "no memory in the middle of a batch: the connection was closed");
        name_of(call, name);
        return anysync_fail(-ENOMEM, "redis %s: %s: no memory to send it", link->peer, name);
    }
    redis_link_send(link);
    return 0;
}

static int send_in_turn(struct redis_batch *batch, anysync_time deadline)
{
    struct redis *redis = batch->redis;

    if (batch->sent || batch->count == 0)
        return 0;
    if (!redis->in_transaction || batch->within)
        return send_all(batch);
    int error = anysync_mutex_lock(redis->turn, deadline);
    if (error == -ETIMEDOUT)
        return anysync_fail(error,
                "redis %s: a transaction holds the connection, and the deadline "
                "passed",
                redis->link.peer);
    if (error)
        return error;
    error = send_all(batch);
    anysync_mutex_unlock(redis->turn);
    return error;
}

static int wait_for(struct redis_batch *batch, size_t count, anysync_time deadline)
{
    while (batch->answered < count && !batch->failed) {
        int error = batch->enough ? 0 : anysync_event_new(&batch->enough);

        if (error)
            return error;
        anysync_event_reset(batch->enough);
        batch->wanted = count;
        batch->waits = true;
        error = anysync_event_wait(batch->enough, deadline);
        batch->waits = false;
        if (error == -ETIMEDOUT) {
            char name[24];

            name_of(&batch->calls[batch->answered], name);
            return anysync_fail(error, "redis %s: %s: no reply before the deadline",
                    batch->redis->link.peer, name);
        }
        if (error)
            return error;
    }
    return 0;
}

ANYSYNC_COROUTINE(
        void, redis_work, (struct redis_batch *, batch), (size_t, count), (anysync_time, deadline))
{
    int error = batch->waits ? anysync_fail(-EBUSY, "somebody else waits for this batch")
                             : send_in_turn(batch, deadline);

    if (!error)
        error = wait_for(batch, count, deadline);
    if (!error && batch->failed && count > batch->good) {
        char name[24];

        name_of(&batch->calls[count - 1], name);
        error = redis_link_fail(&batch->redis->link, name);
    }
    batch->complete = !error && count == batch->count;
    return error;
}

/* --- from anywhere ---------------------------------------------------------------------------- */

/* Whether the executor that was to do something has stopped, or cancelled it because it stops. */
static bool is_of_executor(int error)
{
    enum anysync_origin origin = anysync_last_error()->origin;

    return (error == -ESHUTDOWN && origin == ANYSYNC_ORIGIN_CALL) ||
           (error == -ECANCELED && origin == ANYSYNC_ORIGIN_TASK);
}

/* Send BATCH, if that was not done, and wait for the first COUNT replies. */
static int work(struct redis_batch *batch, size_t count, anysync_time deadline)
{
    struct redis *redis = batch->redis;
    redis_work_future working = {NULL};
    bool gave_up = false;

    if (batch->complete)
        return 0;
    if (redis_is_here(redis))
        return redis_work(batch, count, deadline);
    int error = redis_may_wait();
    if (error)
        return error;
    error = redis_work_start_on(redis->executor, &working, batch, count, deadline);
    if (!error)
        error = redis_wait_out(working.future, &gave_up);
    redis_work_drop(&working);
    if (!gave_up && is_of_executor(error))
        return anysync_fail(-ESHUTDOWN, "redis %s: its executor has stopped", redis->link.peer);
    return error;
}

static int result_of(const struct redis_call *call)
{
    char name[24];

    if (!call->reply || call->reply->type != REDIS_REPLY_ERROR)
        return 0;
    name_of(call, name);
    return anysync_fail(
            -EREMOTEIO, "redis %s: %s: %s", call->batch->redis->link.peer, name, call->reply->str);
}

int redis_batch_send(struct redis_batch *batch, anysync_time deadline)
{
    return batch->sent ? anysync_fail(-EALREADY, "this batch was sent already")
                       : work(batch, 0, deadline);
}

int redis_batch_wait(struct redis_batch *batch, anysync_time deadline)
{
    return work(batch, batch->count, deadline);
}

int redis_batch_reply(
        struct redis_batch *batch, size_t index, redisReply **ret_reply, anysync_time deadline)
{
    if (index >= batch->count)
        return anysync_fail(-EINVAL, "redis: this batch has %zu commands", batch->count);
    int error = work(batch, index + 1, deadline);
    if (error)
        return error;
    if (ret_reply)
        *ret_reply = batch->calls[index].reply;
    return result_of(&batch->calls[index]);
}

int redis_batch_finish(struct redis_batch *batch, redisReply **ret_reply, anysync_time deadline)
{
    batch->drops = !ret_reply;
    int error = work(batch, batch->count, deadline);

    for (size_t i = 0; i < batch->count && !error; i++)
        error = result_of(&batch->calls[i]);
    if (!error && ret_reply) {
        *ret_reply = batch->calls[batch->count - 1].reply;
        batch->calls[batch->count - 1].reply = NULL;
    }
    redis_batch_unref(batch);
    return error;
}

int redis_command(
        struct redis *redis, redisReply **ret_reply, anysync_time deadline, const char *format, ...)
{
    struct redis_batch *batch = NULL;
    va_list list;
    int error = redis_batch_new(redis, &batch);

    if (error)
        return error;
    va_start(list, format);
    error = redis_batch_add_list(batch, format, list);
    va_end(list);
    if (!error)
        return redis_batch_finish(batch, ret_reply, deadline);
    redis_batch_unref(batch);
    return error;
}

int redis_command_argv(struct redis *redis, redisReply **ret_reply, anysync_time deadline,
        int count, const char **argv, const size_t *sizes)
{
    struct redis_batch *batch = NULL;
    int error = redis_batch_new(redis, &batch);

    if (!error)
        error = redis_batch_add_argv(batch, count, argv, sizes);
    if (!error)
        return redis_batch_finish(batch, ret_reply, deadline);
    redis_batch_unref(batch);
    return error;
}

void redis_batch_within(struct redis_batch *batch)
{
    batch->within = true;
}
