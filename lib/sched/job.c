/* SPDX-License-Identifier: MIT */
/*
 * Jobs.  (The idea: job.h.)
 *
 * WHO OWNS IT  From the start to the token the limiter's list has the job, then its pool, then the
 *   thread that runs it.  A cancel that finds it in the list takes it out, and ends it on the
 *   canceller's thread: it was nobody else's then.  Later a cancel only leaves its reason, which
 *   the thread looks at before it calls the body, and the body when it likes.
 *
 * A job that gets its token from the list, and then no thread, fails with the code of that; its
 * token goes on to the next, which may fail likewise: a chain of calls as long as the list, if each
 * ended its job at once.  So launching marks the thread (`launching`), and a launch within another
 * is put on a chain that the outermost works through.
 */
#include "sched/job.h"

#include "base/memory.h"
#include "sched/limiter.h"
#include "sched/scheduler.h"
#include "sched/vars.h"
#include "thread/fork.h"
#include "thread/local.h"
#include "thread/lock.h"
#include "thread/once.h"
#include "thread/pool.h"

#include <errno.h>

static const char no_reason[] = "";

static struct asi_lock lock = ASI_LOCK_INIT;

static void deliver_job(struct asi_letter *letter, void *receiver);

static void before_fork(void)
{
    asi_lock_take(&lock);
}

static void after_fork(void)
{
    asi_lock_give(&lock);
}

static void prepare(void)
{
    static const struct asi_fork_part part = {before_fork, NULL, after_fork};

    asi_fork_add(&part);
}

void asi_job_init(struct anysync_task *task)
{
    task->future.is_job = true;
    task->letter.deliver = deliver_job;
    task->job.limiter = NULL;
    task->job.outer = NULL;
    task->job.drop = NULL;
    asi_pointer_set(&task->job_reason, NULL);
}

void asi_job_fini(struct anysync_task *task)
{
    if (task->job.drop && asi_cell_done(&task->future.cell) && task->future.status == 0 &&
            !asi_flag_get(&task->future.seen))
        task->job.drop(task->future.result);
    if (task->job.limiter) {
        anysync_limiter_unref(task->job.limiter);
        asi_pool_unref(task->job.pool);
    }
}

/* --- running ---------------------------------------------------------------------------------- */

/* Call the body of TASK, unless it was asked to end before. */
static int call_body(struct anysync_task *task)
{
    if (asi_pointer_get(&task->job_reason))
        return -ECANCELED;
    task->state = ASI_TASK_RUNNING;
    int status = task->function->body(asi_task_argument(task), task->future.result);
    ASI_ASSERT(task->future.generation == asi_fork_generation,
            "a blocking function called fork() and returned in the child: there it must end with "
            "_exit() or exec()");
    return status;
}

/* TASK has a token and gets no thread. */
static void fail_for_thread(struct anysync_task *task, int error)
{
    asi_limiter_give_back(task->job.limiter);
    asi_task_refuse(task, error,
            asi_error_new(error, ANYSYNC_ORIGIN_TASK, "no thread for blocking function \"%s\"",
                    asi_task_name(task)),
            asi_pool_name(task->job.pool));
}

static void deliver_job(struct asi_letter *letter, void *receiver)
{
    struct anysync_task *task = asi_container_of(letter, struct anysync_task, letter);
    struct anysync_limiter *limiter = task->job.limiter;

    if (!receiver) {
        fail_for_thread(task, -EAGAIN);
        return;
    }
    asi_local.job = task;
    asi_local.token = limiter;
    int status = call_body(task);
    asi_local.scope = NULL; /* those that it did not leave went with its frames */
    asi_local.token = NULL;
    struct asi_error *error = asi_task_settle(task, &status, asi_pool_name(task->job.pool));
    asi_local.job = NULL;
    asi_pool_rest(receiver);
    asi_limiter_give_back(limiter); /* the job has a reference */
    asi_task_complete(task, status, error);
}

void asi_job_run_here(struct anysync_task *task)
{
    void *scope = asi_local.scope;

    task->job.outer = asi_local.job;
    task->origin = task->job.outer ? task->job.outer->origin : NULL;
    task->epoch = task->job.outer ? task->job.outer->epoch : 0;
    task->origin_blocked = task->job.outer && task->job.outer->origin_blocked;
    asi_local.job = task;
    int status = call_body(task);
    asi_local.scope = scope;
    struct asi_error *error = asi_task_settle(task, &status, "here");
    asi_local.job = task->job.outer;
    asi_task_complete(task, status, error);
}

/* --- starting --------------------------------------------------------------------------------- */

static int no_thread(struct anysync_task *task, int error)
{
    return asi_call_fails(error, "no thread for blocking function \"%s\": %s", asi_task_name(task),
            error == -EAGAIN ? "the system has no thread left (ulimit -u, cgroup pids.max)"
                             : anysync_error_text(error));
}

/* Where run_back of TASK goes.  (If that stands still for a job that started this one, it may be
 * free again by then; if not, the wait-for graph says so.) */
static void set_origin(struct anysync_task *task, enum asi_origin origin)
{
    struct asi_scheduler *here = asi_scheduler_here();
    struct anysync_task *job = asi_job_here();

    if (here && here->generation != asi_fork_generation)
        here = NULL;
    if (job && job->future.generation != asi_fork_generation)
        job = NULL; /* its loop is the parent's */
    task->origin = here ? here : job ? job->origin : NULL;
    task->epoch = here ? here->epoch : job ? job->epoch : 0;
    task->origin_blocked = here && origin == ASI_ORIGIN_BLOCKED;
}

int asi_job_start(struct anysync_task *task, struct anysync_limiter *limiter,
        struct anysync_pool *pool, enum asi_origin origin)
{
    static struct asi_once once = ASI_ONCE_INIT;

    asi_once_run(&once, prepare);
    limiter = anysync_limiter_ref(asi_limiter_or_default(limiter));
    task->job.limiter = limiter;
    task->job.pool = asi_pool_ref(pool ? pool : asi_pool_common());
    set_origin(task, origin);
    if (!asi_limiter_ask(limiter, &task->job.claim))
        return 0;
    int error = asi_pool_give(task->job.pool, &task->letter);
    if (!error)
        return 0;
    asi_limiter_give_back(limiter);
    return no_thread(task, error);
}

void asi_job_launch(struct anysync_task *task)
{
    static _Thread_local struct asi_letter **launching; /* where the chain ends; NULL: no launch */
    struct asi_letter *chain = &task->letter;

    if (launching) {
        task->letter.next = NULL;
        *launching = &task->letter;
        launching = &task->letter.next;
        return;
    }
    task->letter.next = NULL;
    launching = &chain->next;
    while (chain) {
        struct anysync_task *each = asi_container_of(chain, struct anysync_task, letter);
        chain = chain->next;
        if (!chain) /* before anything that may launch the next */
            launching = &chain;
        int error = asi_pool_give(each->job.pool, &each->letter);
        if (error)
            fail_for_thread(each, error);
    }
    launching = NULL;
}

/* --- cancelling ------------------------------------------------------------------------------- */

/* A cancel leaves its reason, then looks for `back` under the lock; the job sets `back` under the
 * lock, then looks for a reason.  So one of them sees the other's. */
static struct anysync_task *known_job(void)
{
    struct anysync_task *job = asi_job_here();

    while (!job->job.limiter && job->job.outer) /* the one that others know */
        job = job->job.outer;
    return job;
}

bool asi_job_waits_for(struct asi_way_back *way)
{
    struct anysync_task *job = known_job();

    asi_lock_take(&lock);
    way->next = job->cancellable ? job->back : NULL;
    way->asked = false;
    job->back = way;
    job->cancellable = true;
    asi_lock_give(&lock);
    return asi_job_asked();
}

void asi_job_waited(struct asi_way_back *way)
{
    struct anysync_task *job = known_job();
    struct asi_way_back **at = &job->back;

    asi_lock_take(&lock);
    while (*at != way)
        at = &(*at)->next;
    *at = way->next;
    job->cancellable = job->back;
    asi_lock_give(&lock);
}

/* A task that TASK, a job, waits for now and that was not asked to end, with a reference; or NULL.
 */
static struct anysync_task *get_back(struct anysync_task *task)
{
    asi_lock_take(&lock);
    struct asi_way_back *way = task->cancellable ? task->back : NULL;
    while (way && way->asked)
        way = way->next;
    struct anysync_task *back = way ? way->task : NULL;
    if (back) {
        way->asked = true;
        anysync_future_ref(&back->future);
    }
    asi_lock_give(&lock);
    return back;
}

int asi_job_ask_cancel(struct anysync_task *task, const char *reason)
{
    if (asi_flag_raise(&task->cancel_asked))
        return 0; /* somebody asked before */
    asi_pointer_set(&task->job_reason, (void *)(uintptr_t)(reason ? reason : no_reason));
    if (!task->job.limiter)
        return 0;
    if (!asi_limiter_withdraw(task->job.limiter, &task->job.claim)) {
        struct anysync_task *back; /* it runs, or will look before it does */
        while ((back = get_back(task))) {
            asi_task_ask_cancel(back, reason);
            anysync_future_unref(&back->future);
        }
        return 0;
    }
    asi_task_refuse(task, -ECANCELED,
            asi_error_new(-ECANCELED, ANYSYNC_ORIGIN_TASK,
                    "blocking function \"%s\" was cancelled before it began%s%s",
                    asi_task_name(task), reason ? ": " : "", reason ? reason : ""),
            asi_pool_name(task->job.pool));
    return 0;
}

const char *asi_job_asked(void)
{
    const char *reason = NULL;

    for (struct anysync_task *job = asi_local.job; job && !reason;
            job = job->job.limiter ? NULL : job->job.outer)
        reason = asi_pointer_get(&job->job_reason);
    return reason;
}

/* --- tokens ----------------------------------------------------------------------------------- */

struct anysync_limiter *asi_job_pause_slowly(void)
{
    struct anysync_limiter *limiter = asi_local.token;

    asi_local.token = NULL;
    asi_limiter_give_back(limiter);
    asi_pool_pause(known_job()->job.pool);
    return limiter;
}

void asi_job_resume_slowly(struct anysync_limiter *limiter)
{
    asi_pool_resume(known_job()->job.pool);
    asi_limiter_take_again(limiter);
    asi_local.token = limiter;
}
