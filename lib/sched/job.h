/* SPDX-License-Identifier: MIT */
/*
 * Jobs: blocking functions on pool threads.
 *
 *      asked for --token--> LAUNCHED --thread--> RUNNING --body returns--> ENDED
 *          |                   |                                             ^
 *          +----- cancelled ---+---------------------------------------------+
 *
 * A job is a task whose function is ANYSYNC_KIND_BLOCKING: the same future, copies, error, values,
 * hooks.  It has no loop; instead it needs a token of its limiter, then a thread of its pool.
 * While its code waits in a call of this library, its token goes to others.
 *
 * Its end gives thread and token back before its future is done.  So who saw the end finds both
 * free, and the next job, if there is one at a time, has the same thread.
 */
#ifndef ASI_SCHED_JOB_H
#define ASI_SCHED_JOB_H

#include "sched/task.h"
#include "thread/local.h"

struct anysync_limiter;
struct anysync_pool;

/* Where run_back of a job goes. */
enum asi_origin {
    ASI_ORIGIN_HERE,   /* to the loop of the calling thread or, in a job, to that job's */
    ASI_ORIGIN_BLOCKED /* the same, but that loop stands still until the job has ended */
};

/* Of a job that was just made, and is not used yet. */
void asi_job_init(struct anysync_task *task);

/* Of a job that nobody knows any more: its value, if nobody took it, and what it holds. */
void asi_job_fini(struct anysync_task *task);

/*
 * Start TASK, a job (its loop's reference is consumed if the return is 0): as soon as LIMITER
 * (borrowed, NULL: the default one) gives a token, on a thread of POOL (likewise).
 * Returns 0, or -EAGAIN, -ENOMEM with a sentence.  Any thread.
 */
int asi_job_start(struct anysync_task *task, struct anysync_limiter *limiter,
        struct anysync_pool *pool, enum asi_origin origin);

/* Run TASK, a job (its loop's reference is consumed), from beginning to end on this thread, which
 * has no loop. */
void asi_job_run_here(struct anysync_task *task);

/* As asi_task_ask_cancel(). */
int asi_job_ask_cancel(struct anysync_task *task, const char *reason);

/* A task that this thread's job waits for: on the stack of who waits.  (A job may have several: the
 * coroutines of a loop in it.) */
struct asi_way_back {
    struct asi_way_back *next; /* [job lock] */
    struct anysync_task *task; /* borrowed */
    bool asked;                /* [job lock] */
};

/* From now until asi_job_waited(WAY), a cancel of this thread's job is one of WAY's task too.
 * Returns whether the job was asked to end before. */
bool asi_job_waits_for(struct asi_way_back *way);
void asi_job_waited(struct asi_way_back *way);

/* The job that this thread runs was asked to end, or one that called it.  NULL: no; otherwise the
 * reason, "" if none was given. */
const char *asi_job_asked(void);

/* Of a claim in a limiter's list: its job, which has a token from here on. */
void asi_job_launch(struct anysync_task *task);

static inline struct anysync_task *asi_job_of_claim(struct asi_claim *claim)
{
    return asi_container_of(claim, struct anysync_task, job.claim);
}

/* The job this thread runs outside of any loop, or NULL. */
static inline struct anysync_task *asi_job_here(void)
{
    return asi_local.job;
}

/* Around something that blocks this thread for long: a job gives its token back, and takes one
 * again.  Returns what to give to resume: NULL where there is no token. */
struct anysync_limiter *asi_job_pause_slowly(void);

static inline struct anysync_limiter *asi_job_pause(void)
{
    return ASI_UNLIKELY(asi_local.token) ? asi_job_pause_slowly() : NULL;
}

void asi_job_resume_slowly(struct anysync_limiter *limiter);

static inline void asi_job_resume(struct anysync_limiter *limiter)
{
    if (ASI_UNLIKELY(limiter))
        asi_job_resume_slowly(limiter);
}

#endif
