/* SPDX-License-Identifier: MIT */
/*
 * Jobs that other processes do, on this machine or on others: a queue on Redis Streams.
 *
 *      submit                                        in workers, any number, anywhere
 *
 *      jobs_open(&options, &jobs, deadline);         static int work(const struct job *job,
 *      jobs_submit(jobs, "square", "12", &future,            char text[JOB_SIZE], void *argument)
 *              deadline);                            { ... }
 *      anysync_wait(future, &result, deadline);
 *      puts(result.text);                            jobs_work(&options, work, NULL);
 *
 * NONE IS LOST  A job stays in its stream until its result is there.  Workers renew their claim to
 *   what they work on.  One that was killed, or stands still for longer than `claim_ns`, loses its
 *   jobs to others.  Redis may be killed and started again: everybody connects again, and repeats
 *   what it does not know to be done.  This needs a Redis that keeps what it says it has:
 *   appendonly yes, appendfsync always.
 *
 * NONE IS DONE TWICE WITHOUT NOTICE  A job that changed hands says so: `deliveries` counts them, in
 *   the job for who works on it, and in the result.  The first result counts (SET NX, in one
 *   transaction with the message to the submitter); a second one is told by jobs_twice().  Work
 *   that must not be done twice looks at `deliveries`, or is made so that the second time does
 *   nothing.
 *
 * BOTH WORLDS  All calls block a plain thread and suspend a coroutine, but for jobs_work().
 */
#ifndef CLIENTS_REDIS_JOBS_H
#define CLIENTS_REDIS_JOBS_H

#include "redis.h"

enum { JOB_SIZE = 240, JOB_NAME = 64 };

struct jobs_options {
    struct redis_options redis; /* the server; its executor is where all of this runs */
    const char *queue;          /* prefix of all its keys; NULL: "jobs" */
    const char *worker;  /* jobs_work(): its name, unlike any other's; NULL: one is made up */
    int64_t claim_ns;    /* jobs_work(): who shows no life for so long loses its jobs; 0: 30 s */
    int at_once;         /* jobs_work(): so many jobs at a time; 0: 16 */
    int most_deliveries; /* jobs_work(): a job that so many workers have not finished fails
                                   with -ECONNABORTED; 0: 5 */
};

/* A job as its worker sees it. */
struct job {
    char id[JOB_NAME];
    char work[JOB_NAME];
    char data[JOB_SIZE];
    int deliveries; /* 1: nobody had it before */
};

/* How a job ended: the value of its future. */
struct job_result {
    int code; /* what the worker's function returned: 0, or negative */
    int deliveries;
    char id[JOB_NAME];
    char worker[JOB_NAME];
    char text[JOB_SIZE]; /* its result; of a failure: the sentence */
};

/* --- who has work ----------------------------------------------------------------------------- */

struct jobs; /* one submitter of a queue */

/*
 * Open a queue to submit to.
 *
 * options   borrowed; its strings too until jobs_close().
 * ret_jobs  owned by the caller: jobs_close() it.
 *
 * Returns  0, or a code of redis_connect(): the first connection must succeed.
 */
int jobs_open(const struct jobs_options *options, struct jobs **ret_jobs,
        anysync_time deadline) ANYSYNC_MUST_CHECK;

/*
 * Submit a job.  While Redis is away this goes on trying, until DEADLINE.
 *
 * work        what is to be done: a word that workers know; below JOB_NAME bytes, borrowed.
 * data        for it: a string below JOB_SIZE bytes, borrowed.
 * ret_future  owned by the caller: anysync_wait() for it, its value is a struct job_result.  Its
 *             dropping changes nothing.
 *
 * Returns  0: it will be done; -EINVAL: too long; -ETIMEDOUT, -ECANCELED: it is not known whether
 *          it will be done.
 */
int jobs_submit(struct jobs *jobs, const char *work, const char *data,
        struct anysync_future **ret_future, anysync_time deadline) ANYSYNC_MUST_CHECK;

/*
 * Wait for the next job of ours that was done a second time, and get that second result.
 * Returns  0, or -ETIMEDOUT, -ECANCELED.  (Of more than a thousand that nobody asks for the later
 * ones are dropped.)
 */
int jobs_twice(
        struct jobs *jobs, struct job_result *ret_second, anysync_time deadline) ANYSYNC_MUST_CHECK;

/* Close it (consumed).  Futures whose results are not there fail with -EPIPE; the jobs are done all
 * the same.  Not a cancellation point. */
void jobs_close(struct jobs *jobs);

/* --- who does work ---------------------------------------------------------------------------- */

/*
 * What a worker does.  Runs in a coroutine: let it wait by calls of anysync, and offload what takes
 * the processor.
 *
 * text  its result, a string.
 * Returns  0, or a negative code: the job fails with it, and the sentence of anysync_fail().
 */
typedef int jobs_work_fn(const struct job *job, char text[JOB_SIZE], void *argument);

/*
 * Work until this task is cancelled.  While Redis is away, wait for it.
 *
 * Returns  -ECANCELED; -ENOMEM and the like.   Thread  a coroutine.
 * Cancel   jobs under way are cancelled, not finished: others will claim them.
 */
int jobs_work(
        const struct jobs_options *options, jobs_work_fn *work, void *argument) ANYSYNC_MUST_CHECK;

#endif
