/* SPDX-License-Identifier: MIT */
/*
 * Working on jobs (redis_jobs.h).
 *
 * Packages: hiredis
 *
 * Three kinds of coroutines, all in one group on one loop:
 *
 *   the reader   asks for as many jobs as there are free slots, on a connection of its own because
 *                it waits in the server: first for jobs that others have left behind, then for new
 *                ones.  It waits no longer than a part of `claim_ns`, to look for the former again.
 *   each job     runs the user's function, then finishes: until the server has said so.
 *   the renewer  says for each job that runs here: it is being worked on.
 *
 * A job is finished by one transaction: the result is set if there is none (SET NX), the submitter
 * gets a message in any case, the job leaves the stream.  What comes first in the submitter's
 * stream is therefore the one that was set; a later one by somebody else is a second completion.
 */
#include "redis_jobs_inside.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { AT_ONCE = 16, MOST_DELIVERIES = 5 };

static const int64_t claim_ns_default = 30000000000;

/* A job that runs here. */
struct running {
    struct running *next;
    struct worker *worker;
    char entry[JOB_NAME];  /* its place in the stream */
    char client[JOB_NAME]; /* who waits for it */
    struct job job;
};

struct worker { /* all [loop] */
    const struct jobs_options *options;
    const char *queue;
    char name[JOB_NAME];
    int64_t claim_ns;
    jobs_work_fn *work;
    void *argument;
    struct jobs_place reads, says; /* connections: the reader's, and everybody else's */
    char looked[JOB_NAME];         /* where the look for what others left behind goes on */
    struct anysync_semaphore *slots;
    struct anysync_group *group;
    struct running *running;
};

/* --- finishing -------------------------------------------------------------------------------- */

static int finish_once(
        struct redis *redis, const struct running *running, const struct job_result *result)
{
    const char *queue = running->worker->queue, *id = running->job.id;
    struct redis_batch *batch = NULL;
    int error = redis_batch_new(redis, &batch);

    if (!error)
        error = redis_batch_add(batch, "MULTI");
    if (!error)
        error = redis_batch_add(batch, "SET %s:result:%s %s/%d NX EX 86400", queue, id,
                result->worker, result->deliveries);
    if (!error)
        error = redis_batch_add(batch,
                "XADD %s:done:%s * id %s worker %s deliveries %d code %d text %s", queue,
                running->client, id, result->worker, result->deliveries, result->code,
                result->text);
    if (!error)
        error = redis_batch_add(batch, "XACK %s workers %s", queue, running->entry);
    if (!error)
        error = redis_batch_add(batch, "XDEL %s %s", queue, running->entry);
    if (!error)
        error = redis_batch_add(batch, "EXEC");
    for (size_t i = 0; !error && i < redis_batch_count(batch); i++)
        error = redis_batch_reply(batch, i, NULL, anysync_in_seconds(5));
    redis_batch_unref(batch);
    return error;
}

static int finish(struct running *running, const struct job_result *result)
{
    struct jobs_place *place = &running->worker->says;
    int error = 0;
    bool away;

    do {
        error = jobs_connect(place, ANYSYNC_FOREVER);
        if (error)
            return error;
        struct redis *redis = redis_ref(place->redis);
        error = finish_once(redis, running, result);
        away = jobs_is_away(error);
        if (away)
            error = jobs_disconnect(place, redis);
        redis_unref(redis);
    } while (away && !error);
    return error;
}

/* --- a job ------------------------------------------------------------------------------------ */

static void run(const struct running *running, struct job_result *result)
{
    const struct worker *worker = running->worker;
    const struct jobs_options *options = worker->options;
    int most = options->most_deliveries ? options->most_deliveries : MOST_DELIVERIES;

    memcpy(result->worker, worker->name, sizeof(result->worker));
    result->deliveries = running->job.deliveries;
    if (running->job.deliveries > most) {
        result->code = -ECONNABORTED;
        snprintf(result->text, sizeof(result->text), "%d workers have not finished it", most);
        return;
    }
    result->code = worker->work(&running->job, result->text, worker->argument);
    result->text[sizeof(result->text) - 1] = '\0';
    if (result->code)
        snprintf(result->text, sizeof(result->text), "%s",
                anysync_last_error()->code == result->code ? anysync_last_error()->message
                                                           : anysync_error_text(result->code));
}

ANYSYNC_COROUTINE(void, run_job, (struct running *, running))
{
    struct worker *worker = running->worker;
    struct job_result done = {.code = 0};

    run(running, &done);
    /* Cancelled: the worker ends, and others are to have the job. */
    int error = anysync_check_cancelled();
    if (!error)
        error = finish(running, &done);
    for (struct running **at = &worker->running; *at; at = &(*at)->next)
        if (*at == running) {
            *at = running->next;
            break;
        }
    free(running);
    anysync_semaphore_post(worker->slots, 1);
    return error;
}

/* ENTRY: [stream id, [id, x, client, x, work, x, data, x]].  The caller's slot goes with it. */
static int begin_job(struct worker *worker, const redisReply *entry, int deliveries)
{
    struct running *running = calloc(1, sizeof(*running));

    if (!running)
        return anysync_fail(-ENOMEM, "no memory for a job");
    redisReply **fields = entry->element[1]->element;
    running->worker = worker;
    snprintf(running->entry, sizeof(running->entry), "%s", entry->element[0]->str);
    snprintf(running->job.id, sizeof(running->job.id), "%s", fields[1]->str);
    snprintf(running->client, sizeof(running->client), "%s", fields[3]->str);
    snprintf(running->job.work, sizeof(running->job.work), "%s", fields[5]->str);
    snprintf(running->job.data, sizeof(running->job.data), "%s", fields[7]->str);
    running->job.deliveries = deliveries;
    for (const struct running *at = worker->running; at; at = at->next)
        if (strcmp(at->entry, running->entry) == 0) { /* we stood still, and claimed our own */
            free(running);
            anysync_semaphore_post(worker->slots, 1);
            return 0;
        }
    running->next = worker->running;
    worker->running = running;
    int error = run_job_spawn(worker->group, NULL, running);
    if (error) {
        worker->running = running->next;
        free(running);
    }
    return error;
}

static bool is_job(const redisReply *entry)
{
    return entry->type == REDIS_REPLY_ARRAY && entry->elements == 2 &&
           entry->element[1]->type == REDIS_REPLY_ARRAY && entry->element[1]->elements == 8;
}

/* --- the reader ------------------------------------------------------------------------------- */

/* How often ENTRY was delivered. */
static int ask_deliveries(
        struct worker *worker, struct redis *redis, const char *entry, int *ret_deliveries)
{
    redisReply *reply = NULL;
    int error = redis_command(redis, &reply, anysync_in_seconds(5), "XPENDING %s workers %s %s 1",
            worker->queue, entry, entry);

    if (!error)
        *ret_deliveries = reply->elements == 1 && reply->element[0]->elements == 4
                                  ? (int)reply->element[0]->element[3]->integer
                                  : 2;
    freeReplyObject(reply);
    return error;
}

/* ENTRIES that came, for which there are SLOTS; CLAIMED: others had them before.  What is not used
 * of the slots is given back. */
static int begin_all(struct worker *worker, struct redis *redis, const redisReply *entries,
        size_t slots, bool claimed)
{
    size_t count = entries ? entries->elements : 0, used = 0;
    int error = 0;

    for (size_t i = 0; i < count && !error; i++) {
        int deliveries = 1;

        if (!is_job(entries->element[i]))
            continue;
        if (claimed)
            error = ask_deliveries(
                    worker, redis, entries->element[i]->element[0]->str, &deliveries);
        if (!error)
            error = begin_job(worker, entries->element[i], deliveries);
        if (!error)
            used++;
    }
    if (used < slots)
        anysync_semaphore_post(worker->slots, slots - used);
    return error;
}

static size_t take_slots(struct worker *worker, size_t most)
{
    size_t slots = 1;

    while (slots < most && anysync_semaphore_wait(worker->slots, ANYSYNC_POLL) == 0)
        slots++;
    return slots;
}

static int renew_all(struct worker *worker);

/* What runs here is renewed first: after standing still we would claim it from ourselves, which
 * counts as one more worker that did not finish it.
 * Redis looks at ten jobs for each slot, and says where to go on: behind many that others work on
 * may be one that was left.  RET_MORE: it has not seen all, or there were some. */
static int claim(struct worker *worker, struct redis *redis, size_t slots, bool *ret_more)
{
    redisReply *reply = NULL;
    int error = renew_all(worker);

    if (!error)
        error = redis_command(redis, &reply, anysync_in_seconds(5),
                "XAUTOCLAIM %s workers %s %lld %s COUNT %d", worker->queue, worker->name,
                (long long)(worker->claim_ns / 1000000), worker->looked, (int)slots);
    if (error) {
        anysync_semaphore_post(worker->slots, slots);
        return error;
    }
    const redisReply *entries = reply->elements >= 2 ? reply->element[1] : NULL;
    snprintf(worker->looked, sizeof(worker->looked), "%s",
            entries && reply->element[0]->str ? reply->element[0]->str : "0-0");
    *ret_more = (entries && entries->elements > 0) || strcmp(worker->looked, "0-0") != 0;
    error = begin_all(worker, redis, entries, slots, true);
    freeReplyObject(reply);
    return error;
}

static int read_new(struct worker *worker, struct redis *redis, size_t slots)
{
    redisReply *reply = NULL;
    int64_t patience_ms = worker->claim_ns / 3000000 + 1;
    int error = redis_command(redis, &reply, ANYSYNC_FOREVER,
            "XREADGROUP GROUP workers %s COUNT %d BLOCK %lld STREAMS %s >", worker->name,
            (int)slots, (long long)patience_ms, worker->queue);

    if (error) {
        anysync_semaphore_post(worker->slots, slots);
        return error;
    }
    const redisReply *entries = reply->elements == 1 && reply->element[0]->elements == 2
                                        ? reply->element[0]->element[1]
                                        : NULL;
    error = begin_all(worker, redis, entries, slots, false);
    freeReplyObject(reply);
    return error;
}

static int make_group(struct worker *worker, struct redis *redis)
{
    int error = redis_command(redis, NULL, anysync_in_seconds(5),
            "XGROUP CREATE %s workers 0 MKSTREAM", worker->queue);

    return error == -EREMOTEIO && strstr(anysync_last_error()->message, "BUSYGROUP") ? 0 : error;
}

/* As long as the connection holds. */
static int read_on(struct worker *worker, struct redis *redis)
{
    size_t most = (size_t)(worker->options->at_once ? worker->options->at_once : AT_ONCE);
    anysync_time look = ANYSYNC_POLL; /* when to look for what others left */
    int error = make_group(worker, redis);

    while (!error) {
        bool more = false;

        error = anysync_semaphore_wait(worker->slots, ANYSYNC_FOREVER);
        if (error)
            break;
        size_t slots = take_slots(worker, most);
        if (anysync_now() < look) {
            error = read_new(worker, redis, slots);
            continue;
        }
        error = claim(worker, redis, slots, &more);
        if (!more)
            look = anysync_in_ns(worker->claim_ns / 3);
    }
    return error;
}

static int keep_reading(struct worker *worker)
{
    int error = 0;

    while (!error) {
        error = jobs_connect(&worker->reads, ANYSYNC_FOREVER);
        if (!error)
            error = read_on(worker, worker->reads.redis);
        if (jobs_is_away(error))
            error = jobs_disconnect(&worker->reads, worker->reads.redis);
    }
    return error;
}

/* --- the renewer ------------------------------------------------------------------------------ */

/* A batch of FORMAT for each of COUNT entries that WANTED says, all of it if NULL. */
static int ask_of_each(struct worker *worker, struct redis *redis, char (*entries)[JOB_NAME],
        size_t count, const bool *wanted, struct redis_batch **ret_batch)
{
    struct redis_batch *batch = NULL;
    int error = redis_batch_new(redis, &batch);

    for (size_t i = 0; i < count && !error; i++) {
        if (!wanted)
            error = redis_batch_add(batch, "XPENDING %s workers %s %s 1 %s", worker->queue,
                    entries[i], entries[i], worker->name);
        else if (wanted[i])
            error = redis_batch_add(batch, "XCLAIM %s workers %s 0 %s JUSTID", worker->queue,
                    worker->name, entries[i]);
    }
    if (!error)
        error = redis_batch_wait(batch, anysync_in_seconds(5));
    if (error)
        redis_batch_unref(batch);
    else
        *ret_batch = batch;
    return error;
}

/* Those that are still ours: what somebody else has claimed meanwhile is left to him. */
static int renew(struct worker *worker, struct redis *redis, char (*entries)[JOB_NAME],
        bool *are_ours, size_t count)
{
    struct redis_batch *batch = NULL;
    int error = ask_of_each(worker, redis, entries, count, NULL, &batch);

    if (error)
        return error;
    for (size_t i = 0; i < count; i++) {
        redisReply *reply = NULL;

        are_ours[i] = redis_batch_reply(batch, i, &reply, ANYSYNC_POLL) == 0 && reply->elements > 0;
    }
    redis_batch_unref(batch);
    error = ask_of_each(worker, redis, entries, count, are_ours, &batch);
    if (!error)
        redis_batch_unref(batch);
    return error;
}

static int renew_all(struct worker *worker)
{
    size_t count = 0;

    for (const struct running *at = worker->running; at; at = at->next)
        count++;
    if (count == 0)
        return 0;
    char(*entries)[JOB_NAME] = calloc(count, JOB_NAME);
    bool *are_ours = calloc(count, sizeof(*are_ours));
    int error = entries && are_ours ? 0 : anysync_fail(-ENOMEM, "no memory to renew claims");
    count = 0;
    for (const struct running *at = worker->running; at && !error; at = at->next)
        memcpy(entries[count++], at->entry, JOB_NAME);
    if (!error)
        error = jobs_connect(&worker->says, ANYSYNC_FOREVER);
    struct redis *redis = error ? NULL : redis_ref(worker->says.redis);
    if (!error)
        error = renew(worker, redis, entries, are_ours, count);
    if (jobs_is_away(error))
        error = jobs_disconnect(&worker->says, redis);
    if (redis)
        redis_unref(redis);
    free(entries);
    free(are_ours);
    return error;
}

ANYSYNC_COROUTINE(void, keep_renewing, (struct worker *, worker))
{
    int error = 0;

    while (!error) {
        error = anysync_sleep(anysync_in_ns(worker->claim_ns / 3));
        if (!error)
            error = renew_all(worker);
    }
    return error;
}

/* --- a worker --------------------------------------------------------------------------------- */

int jobs_work(const struct jobs_options *options, jobs_work_fn *work, void *argument)
{
    struct worker worker = {.options = options,
            .queue = jobs_queue(options),
            .claim_ns = options->claim_ns ? options->claim_ns : claim_ns_default,
            .work = work,
            .argument = argument,
            .looked = "0-0",
            .reads.where = &options->redis,
            .says.where = &options->redis};
    char prefix[32] = "worker";

    if (gethostname(prefix, sizeof(prefix) - 1) != 0 || options->worker)
        snprintf(prefix, sizeof(prefix), "%s", "worker");
    jobs_make_name(prefix, worker.name);
    if (options->worker)
        snprintf(worker.name, sizeof(worker.name), "%s", options->worker);
    int error = anysync_semaphore_new(
            (size_t)(options->at_once ? options->at_once : AT_ONCE), &worker.slots);
    if (error)
        return error;
    ANYSYNC_GROUP(group, &error)
    {
        worker.group = group;
        error = keep_renewing_spawn(group, NULL, &worker);
        if (!error)
            error = keep_reading(&worker);
    }
    while (worker.running) { /* those that were cancelled before they began */
        struct running *running = worker.running;

        worker.running = running->next;
        free(running);
    }
    redis_close(worker.reads.redis);
    redis_close(worker.says.redis);
    anysync_semaphore_unref(worker.slots);
    return error;
}
