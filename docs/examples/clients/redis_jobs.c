/* SPDX-License-Identifier: MIT */
/*
 * Submitting jobs (redis_jobs.h).
 *
 * Packages: hiredis
 *
 * KEYS  of a queue Q: the stream Q, with the group "workers"; Q:job:ID, there once a job was added;
 * Q:result:ID, who has done it; the stream Q:done:CLIENT, by which results come back to CLIENT, in
 * the order in which they were made.  All but the streams go by themselves after a day.
 *
 * A submitter is a task, the listener, that reads its stream on a connection of its own, and a
 * table of futures.  All of it runs on one loop.  Who loses the connection opens another.  After
 * that it is not known what the server has done of the last request: adding looks for Q:job:ID, and
 * the listener goes on after the last result that it has seen.
 */
#include "redis_jobs_inside.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum { BUCKETS = 1024, NOTICES = 1000 };

struct pending {
    struct pending *next;
    char id[JOB_NAME];
    struct anysync_future *future;
};

struct jobs {
    struct jobs_options options;      /* [const] */
    struct jobs_place place;          /* [loop] where commands go */
    char client[JOB_NAME];            /* [const] */
    char last[JOB_NAME];              /* [loop] of the stream of results */
    uint64_t count;                   /* [loop] jobs submitted */
    struct anysync_channel *notices;  /* struct job_result */
    struct anysync_future *listener;  /* its task */
    struct pending *pending[BUCKETS]; /* [loop] */
};

/* --- what workers and submitters share -------------------------------------------------------- */

void jobs_make_name(const char *prefix, char name[JOB_NAME])
{
    uint64_t number = 0;

    if (getrandom(&number, sizeof(number), 0) != sizeof(number))
        number = (uint64_t)anysync_now();
    snprintf(name, JOB_NAME, "%s-%016" PRIx64, prefix, number);
}

const char *jobs_queue(const struct jobs_options *options)
{
    return options->queue ? options->queue : "jobs";
}

bool jobs_is_away(int error)
{
    switch (error) {
    case 0:
    case -ECANCELED:
    case -ENOMEM:
    case -EINVAL:
    case -ESHUTDOWN:
    case -EACCES:
        return false;
    case -EREMOTEIO: /* it has just been started; or it was, without its data */
        return strstr(anysync_last_error()->message, "LOADING") ||
               strstr(anysync_last_error()->message, "NOGROUP");
    default:
        return true;
    }
}

int jobs_connect(struct jobs_place *place, anysync_time deadline)
{
    anysync_time now = anysync_now();

    while (!place->redis) {
        anysync_time once = anysync_in_seconds(5);
        struct redis *redis = NULL;
        int error = redis_connect(place->where, &redis, once < deadline ? once : deadline);

        if (!error && !place->redis) {
            place->redis = redis;
            return 0;
        }
        if (!error) {
            redis_close(redis); /* somebody else was faster, and may have lost it by now */
            continue;
        }
        if (!jobs_is_away(error) || now >= deadline)
            return error;
        anysync_time soon = anysync_in_ms(20);
        error = anysync_sleep(soon < deadline ? soon : deadline);
        if (error)
            return error;
        now = anysync_now();
    }
    return 0;
}

int jobs_disconnect(struct jobs_place *place, struct redis *redis)
{
    if (redis && place->redis == redis) { /* else somebody did it already */
        place->redis = NULL;
        redis_close(redis);
    }
    return anysync_sleep(anysync_in_ms(20));
}

/* --- submitting ------------------------------------------------------------------------------- */

static struct pending **place_of(struct jobs *jobs, const char *id)
{
    uint32_t hash = 0;

    for (const char *at = id; *at; at++)
        hash = hash * 31 + (unsigned char)*at;
    struct pending **place = &jobs->pending[hash % BUCKETS];
    while (*place && strcmp((*place)->id, id) != 0)
        place = &(*place)->next;
    return place;
}

static void forget(struct pending **place)
{
    struct pending *pending = *place;

    *place = pending->next;
    anysync_future_unref(pending->future);
    free(pending);
}

/* What EXEC says of each command in a transaction: it does all that work, though others fail. */
static int check_all(const redisReply *done)
{
    for (size_t i = 0; done->type == REDIS_REPLY_ARRAY && i < done->elements; i++)
        if (done->element[i]->type == REDIS_REPLY_ERROR)
            return anysync_fail(-EREMOTEIO, "a job was not added: %s", done->element[i]->str);
    return 0;
}

/* One attempt; AGAIN: an earlier one may have succeeded. */
static int add_once(struct redis *redis, const struct jobs *jobs, const struct job *job, bool again,
        anysync_time deadline)
{
    const char *queue = jobs_queue(&jobs->options);
    struct redis_batch *batch = NULL;
    redisReply *reply = NULL;
    int error = 0;

    if (again) {
        error = redis_command(redis, &reply, deadline, "EXISTS %s:job:%s", queue, job->id);
        bool there = !error && reply->integer == 1;
        freeReplyObject(reply);
        if (error || there)
            return error;
    }
    error = redis_batch_new(redis, &batch);
    if (!error)
        error = redis_batch_add(batch, "MULTI");
    if (!error)
        error = redis_batch_add(batch, "SET %s:job:%s %s EX 86400", queue, job->id, jobs->client);
    if (!error)
        error = redis_batch_add(batch, "XADD %s * id %s client %s work %s data %s", queue, job->id,
                jobs->client, job->work, job->data);
    if (!error)
        error = redis_batch_add(batch, "EXEC");
    for (size_t i = 0; !error && i < redis_batch_count(batch); i++)
        error = redis_batch_reply(batch, i, &reply, deadline);
    if (!error)
        error = check_all(reply);
    redis_batch_unref(batch);
    return error;
}

static int add_job(struct jobs *jobs, const struct job *job, anysync_time deadline)
{
    bool again = false, away;
    int error = 0;

    do {
        error = jobs_connect(&jobs->place, deadline);
        if (error)
            return error;
        struct redis *redis = redis_ref(jobs->place.redis);
        error = add_once(redis, jobs, job, again, deadline);
        again = true;
        away = jobs_is_away(error) && anysync_now() < deadline;
        if (away)
            error = jobs_disconnect(&jobs->place, redis);
        redis_unref(redis);
    } while (away && !error);
    return error;
}

ANYSYNC_COROUTINE(struct anysync_future *, submit_here, (struct jobs *, jobs),
        (const struct job *, job), (anysync_time, deadline))
{
    struct pending *pending = calloc(1, sizeof(*pending));
    struct job named = *job;

    if (!pending)
        return anysync_fail(-ENOMEM, "no memory for a job");
    int error = anysync_future_new(sizeof(struct job_result), &pending->future);
    if (error) {
        free(pending);
        return error;
    }
    snprintf(pending->id, sizeof(pending->id), "%.40s:%" PRIu64, jobs->client, ++jobs->count);
    memcpy(named.id, pending->id, sizeof(named.id));
    *place_of(jobs, named.id) = pending;
    *result = anysync_future_ref(pending->future);
    error = add_job(jobs, &named, deadline);
    struct pending **place = place_of(jobs, named.id);
    if (error) {
        if (*place)
            forget(place);
        anysync_future_unref(*result);
    }
    return error;
}

int jobs_submit(struct jobs *jobs, const char *work, const char *data,
        struct anysync_future **ret_future, anysync_time deadline)
{
    struct job job = {.deliveries = 0};

    if (strlen(work) >= sizeof(job.work) || strlen(data) >= sizeof(job.data))
        return anysync_fail(-EINVAL, "job %.20s: at most %d bytes of name and %d of data", work,
                JOB_NAME - 1, JOB_SIZE - 1);
    memcpy(job.work, work, strlen(work));
    memcpy(job.data, data, strlen(data));
    return submit_here_run_on(jobs->options.redis.executor, ret_future, jobs, &job, deadline);
}

/* --- results ---------------------------------------------------------------------------------- */

static void copy_text(char *to, size_t room, const redisReply *from)
{
    snprintf(to, room, "%s", from->str ? from->str : "");
}

/* A result for which nobody waits: is it a second one, or the first told twice? */
static int look_closer(struct jobs *jobs, struct redis *redis, const struct job_result *result)
{
    redisReply *reply = NULL;
    char by[JOB_NAME + 16];

    snprintf(by, sizeof(by), "%s/%d", result->worker, result->deliveries);
    int error = redis_command(redis, &reply, anysync_in_seconds(5), "GET %s:result:%s",
            jobs_queue(&jobs->options), result->id);
    if (!error && reply->str && strcmp(reply->str, by) != 0 &&
            anysync_channel_send(jobs->notices, result, ANYSYNC_POLL) != 0)
        error = 0; /* nobody asks for them */
    freeReplyObject(reply);
    return error;
}

/* ENTRY: [stream id, [id, x, worker, x, deliveries, x, code, x, text, x]]. */
static int take_result(struct jobs *jobs, struct redis *redis, const redisReply *entry)
{
    struct job_result result = {.code = 0};

    if (entry->elements != 2 || entry->element[1]->elements != 10)
        return anysync_fail(-EPROTO, "a result that is none");
    redisReply **fields = entry->element[1]->element;
    copy_text(result.id, sizeof(result.id), fields[1]);
    copy_text(result.worker, sizeof(result.worker), fields[3]);
    result.deliveries = atoi(fields[5]->str);
    result.code = atoi(fields[7]->str);
    copy_text(result.text, sizeof(result.text), fields[9]);
    struct pending **place = place_of(jobs, result.id);
    int error = 0;
    if (*place) {
        anysync_future_set((*place)->future, &result);
        forget(place);
    } else {
        error = look_closer(jobs, redis, &result);
    }
    if (!error)
        copy_text(jobs->last, sizeof(jobs->last), entry->element[0]);
    return error;
}

static int listen_once(struct jobs *jobs, struct redis *redis)
{
    const char *queue = jobs_queue(&jobs->options);
    redisReply *reply = NULL;
    int error = redis_command(redis, &reply, ANYSYNC_FOREVER,
            "XREAD COUNT 1000 BLOCK 0 STREAMS %s:done:%s %s", queue, jobs->client, jobs->last);

    if (error)
        return error;
    if (reply->elements == 1 && reply->element[0]->elements == 2) {
        const redisReply *entries = reply->element[0]->element[1];

        for (size_t i = 0; i < entries->elements && !error; i++)
            error = take_result(jobs, redis, entries->element[i]);
    }
    freeReplyObject(reply);
    if (!error) /* what was taken is not needed any more */
        error = redis_command(redis, NULL, anysync_in_seconds(5), "XTRIM %s:done:%s MINID %s",
                queue, jobs->client, jobs->last);
    return error;
}

ANYSYNC_COROUTINE(void, listen_here, (struct jobs *, jobs))
{
    struct jobs_place place = {.where = &jobs->options.redis};
    int error = 0;

    while (!error) {
        error = jobs_connect(&place, ANYSYNC_FOREVER);
        if (!error)
            error = listen_once(jobs, place.redis);
        /* Whatever the server says: nobody else hears of results. */
        if (error && error != -ECANCELED && error != -ESHUTDOWN)
            error = jobs_disconnect(&place, place.redis);
    }
    redis_close(place.redis);
    return error;
}

/* --- opening and closing ---------------------------------------------------------------------- */

static int open_both(struct jobs *jobs, anysync_time deadline)
{
    listen_here_future listener;
    int error = redis_connect(&jobs->options.redis, &jobs->place.redis, deadline);

    if (error)
        return error;
    error = listen_here_start_on(jobs->options.redis.executor, &listener, jobs);
    jobs->listener = listener.future;
    if (error)
        redis_close(jobs->place.redis);
    return error;
}

int jobs_open(const struct jobs_options *options, struct jobs **ret_jobs, anysync_time deadline)
{
    struct jobs *jobs = calloc(1, sizeof(*jobs));

    if (!jobs)
        return anysync_fail(-ENOMEM, "no memory for a queue of jobs");
    jobs->options = *options;
    jobs->place.where = &jobs->options.redis;
    jobs_make_name("client", jobs->client);
    snprintf(jobs->last, sizeof(jobs->last), "0");
    int error = anysync_channel_new(NOTICES, sizeof(struct job_result), &jobs->notices);
    if (!error)
        error = open_both(jobs, deadline);
    if (error) {
        anysync_channel_unref(jobs->notices);
        free(jobs);
        return error;
    }
    *ret_jobs = jobs;
    return 0;
}

int jobs_twice(struct jobs *jobs, struct job_result *ret_second, anysync_time deadline)
{
    return anysync_channel_recv(jobs->notices, ret_second, deadline);
}

/* The listener has ended, and nobody submits: all is the caller's.  So nothing of it needs the
 * executor, which may be stopping, and waits for the listener. */
static void close_here(struct jobs *jobs)
{
    anysync_cancel(jobs->listener);
    int error = anysync_future_wait(jobs->listener, ANYSYNC_FOREVER);
    for (int i = 0; i < BUCKETS; i++)
        while (jobs->pending[i]) {
            anysync_future_fail(jobs->pending[i]->future, -EPIPE, "job %s: its queue was closed",
                    jobs->pending[i]->id);
            forget(&jobs->pending[i]);
        }
    if (jobs->place.redis && !error)
        error = redis_command(jobs->place.redis, NULL, anysync_in_seconds(1), "DEL %s:done:%s",
                jobs_queue(&jobs->options), jobs->client);
    (void)error; /* then the stream stays */
    redis_close(jobs->place.redis);
}

void jobs_close(struct jobs *jobs)
{
    if (!jobs)
        return;
    ANYSYNC_SHIELD(NULL, ANYSYNC_FOREVER)
    {
        close_here(jobs);
    }
    anysync_future_unref(jobs->listener);
    anysync_channel_unref(jobs->notices);
    free(jobs);
}
