/* SPDX-License-Identifier: MIT */
/*
 * A job queue between processes, on Redis Streams (docs/examples/clients/redis_jobs.h).
 *
 * Packages: hiredis
 * With: docs/examples/clients/redis_jobs.c docs/examples/clients/redis_jobs_work.c
 * With: docs/examples/clients/redis.c
 * With: docs/examples/clients/redis_link.c docs/examples/clients/redis_batch.c
 * With: docs/examples/clients/redis_blocks.c
 *
 *   jobs work PORT [QUEUE [CLAIM_MS [NAME]]]     work until killed
 *   jobs submit PORT COUNT WORK DATA             submit, await all results, say how long that took
 *   jobs measure PORT                            the same with 1, 2 and 4 worker processes of its
 *                                                own: tiny jobs, and jobs of a millisecond
 *
 * What these workers can do: "square N"; "spin US", so much processor time; "wait LIST", until
 * somebody pushes to that list of Redis.
 */
#include "redis_jobs.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct jobs_options options;

/* --- work ------------------------------------------------------------------------------------- */

static int square(const struct job *job, char text[JOB_SIZE])
{
    char *end;
    long number = strtol(job->data, &end, 10);

    if (!job->data[0] || *end)
        return anysync_fail(-EINVAL, "\"%s\" is no number", job->data);
    snprintf(text, JOB_SIZE, "%ld", number * number);
    return 0;
}

ANYSYNC_BLOCKING(void, spin, (int64_t, ns))
{
    for (anysync_time end = anysync_in_ns(ns); anysync_now() < end;)
        continue;
    return 0;
}

/* Until somebody pushes to the list; on a connection of its own, for it waits in the server. */
static int wait_for(const char *list)
{
    struct redis *redis = NULL;
    int error = redis_connect(&options.redis, &redis, anysync_in_seconds(5));

    if (!error)
        error = redis_command(redis, NULL, ANYSYNC_FOREVER, "BLPOP %s 0", list);
    redis_close(redis);
    return error;
}

static int work(const struct job *job, char text[JOB_SIZE], void *argument)
{
    (void)argument;
    if (strcmp(job->work, "square") == 0)
        return square(job, text);
    if (strcmp(job->work, "spin") == 0)
        return spin((int64_t)atoi(job->data) * 1000);
    if (strcmp(job->work, "wait") == 0)
        return wait_for(job->data);
    return anysync_fail(-ENOSYS, "nobody here knows the work \"%s\"", job->work);
}

ANYSYNC_COROUTINE(void, work_on)
{
    return jobs_work(&options, work, NULL);
}

/* --- submit ----------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(
        void, submit_one, (struct jobs *, jobs), (const char *, name), (const char *, data))
{
    struct anysync_future *future = NULL;
    struct job_result done;
    int error = jobs_submit(jobs, name, data, &future, anysync_in_seconds(60));

    if (error)
        return error;
    error = anysync_wait(future, &done, ANYSYNC_FOREVER);
    anysync_future_unref(future);
    if (!error && done.code)
        error = anysync_fail(done.code, "%s", done.text);
    return error;
}

/* With at most so many under way. */
enum { UNDER_WAY = 200 };

ANYSYNC_COROUTINE(void, submit_some, (struct jobs *, jobs), (int *, left), (const char *, name),
        (const char *, data))
{
    int error = 0;

    while (!error && (*left)-- > 0)
        error = submit_one(jobs, name, data);
    return error;
}

ANYSYNC_COROUTINE(double, submit_all, (int, count), (const char *, name), (const char *, data))
{
    struct jobs *jobs = NULL;
    int left = count;
    int error = jobs_open(&options, &jobs, anysync_in_seconds(5));

    if (error)
        return error;
    anysync_time start = anysync_now();
    ANYSYNC_GROUP(group, &error)
    {
        for (int i = 0; i < UNDER_WAY && !error; i++)
            error = submit_some_spawn(group, NULL, jobs, &left, name, data);
    }
    *result = (double)(anysync_now() - start) / 1e9;
    jobs_close(jobs);
    return error;
}

/* --- measure ---------------------------------------------------------------------------------- */

static int start_worker(const char *port, struct anysync_process **ret_worker)
{
    char program[] = "/proc/self/exe", role[] = "work", number[16];
    char *const arguments[] = {program, role, number, NULL};

    snprintf(number, sizeof(number), "%s", port);
    return anysync_process_new(program, arguments, NULL, ret_worker);
}

static int measure(const char *port)
{
    static const int counts[] = {1, 2, 4};
    struct anysync_process *workers[4] = {NULL};
    int running = 0, error = 0;

    printf("%-8s %14s %14s\n", "workers", "square, jobs/s", "spin 1 ms/s");
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]) && !error; i++) {
        double tiny = 0, spins = 0;

        for (; running < counts[i] && !error; running++)
            error = start_worker(port, &workers[running]);
        if (!error)
            error = submit_all(&spins, 200, "square", "1"); /* all are there */
        if (!error)
            error = submit_all(&tiny, 20000, "square", "12");
        if (!error)
            error = submit_all(&spins, 2000, "spin", "1000");
        if (!error)
            printf("%-8d %14.0f %14.0f\n", running, 20000 / tiny, 2000 / spins);
    }
    for (int i = 0; i < running; i++) {
        anysync_process_signal(workers[i], SIGKILL);
        anysync_process_unref(workers[i]);
    }
    return error;
}

int main(int count, char **words)
{
    const char *role = count > 2 ? words[1] : "";
    double seconds = 0;
    int error = -EINVAL;

    options.redis.port = count > 2 ? atoi(words[2]) : 0;
    if (strcmp(role, "work") == 0) {
        options.queue = count > 3 ? words[3] : NULL;
        options.claim_ns = count > 4 ? (int64_t)atoi(words[4]) * 1000000 : 0;
        options.worker = count > 5 ? words[5] : NULL;
        error = work_on();
    } else if (strcmp(role, "submit") == 0 && count == 6) {
        error = submit_all(&seconds, atoi(words[3]), words[4], words[5]);
        if (!error)
            printf("%s jobs in %.3f s\n", words[3], seconds);
    } else if (strcmp(role, "measure") == 0) {
        error = measure(words[2]);
    } else {
        fprintf(stderr, "usage: jobs work PORT [QUEUE [CLAIM_MS [NAME]]]\n"
                        "       jobs submit PORT COUNT WORK DATA\n"
                        "       jobs measure PORT\n");
        return 2;
    }
    if (error)
        fprintf(stderr, "jobs: %s\n", anysync_last_error()->message);
    return error != 0;
}
