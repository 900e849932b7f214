/* SPDX-License-Identifier: MIT */
/*
 * Executors: start, stop, and the order of both.
 *
 *   IDLE --first use--> RUNNING --shutdown--> STOPPING --worker ends--> STOPPED --start--> RUNNING
 *     \________________________shutdown__________________________________/^
 *
 * START   1. a scheduler, the executor's own if it had one before; 2. opened for letters; 3. the
 *         thread; 4. `open` is published: from now on submissions go straight to the mailbox.
 * STOP    1. `open` is withdrawn: later submissions are refused; 2. a letter asks the loop to stop;
 *         3. the loop ends its tasks, closes the mailbox and returns; 4. the worker gives the
 *         scheduler back, marks the executor STOPPED and completes `stopped`, which shutdown waits
 *         for; 5. the first of those who wait joins the thread.  A worker that ends while nobody
 *         waits detaches itself.
 *
 * A shutdown that gives up at its deadline leaves the worker behind: the executor is STOPPED and
 * can start another one, while the old one ends its tasks.
 *
 * One lock serves all executors: it is taken when one starts or stops, never to submit.
 * Schedulers that worked for an executor stay with it until it is freed, so that a submission that
 * read `open` just before the stop finds its own executor's mailbox, closed or open again, and
 * nobody else's.
 */
#include "api/executor.h"

#include "base/clock.h"
#include "base/memory.h"
#include "sched/scheduler.h"
#include "sched/spare.h"
#include "sched/wait.h"
#include "thread/fork.h"
#include "thread/gauge.h"
#include "thread/local.h"
#include "thread/lock.h"
#include "thread/once.h"
#include "thread/spin.h"

#include <errno.h>

enum state { IDLE, RUNNING, STOPPING, STOPPED };

struct worker {
    struct worker *next;               /* [lock] all of its executor */
    struct anysync_executor *executor; /* [lock] NULL: it was freed */
    struct asi_scheduler *scheduler;   /* [const] */
    struct anysync_future *stopped;    /* [const] done when its loop has ended; the worker's */
    struct anysync_future *gone;       /* [const] done when its thread was joined */
    struct asi_thread thread;
    struct anysync_stats before; /* [const] what the scheduler had counted when it was opened */
    unsigned number;             /* [const] its executor's first is 1 */
    unsigned serial;             /* [lock] */
    unsigned waiting;            /* [lock] shutdowns that wait for its end, or have to leave yet */
    bool ended;                  /* [lock] its loop has */
    bool joining;                /* [lock] a shutdown has taken it on itself to join it */
};

struct anysync_executor {
    struct asi_pointer open; /* [atomic] the scheduler that takes submissions, or NULL */
    struct asi_refs refs;
    struct asi_counter grace_ns;             /* [atomic] the option; written under the lock */
    enum state state;                        /* [lock] */
    struct anysync_executor_options options; /* [lock] every field filled in */
    struct worker *worker;                   /* [lock] running, stopping, or about to be joined */
    struct worker *all_workers;              /* [lock] that one, and those left behind */
    struct anysync_stats past;               /* [lock] what workers counted that have ended */
    struct asi_scheduler *spare;             /* [lock] schedulers that worked here before */
    unsigned workers;                        /* [lock] ever started */
    struct anysync_executor *next;           /* [lock] all executors */
};

static struct asi_lock lock = ASI_LOCK_INIT;
static struct anysync_executor global = {
        .refs = {1}, .grace_ns = {ASI_NS_PER_SECOND}, .options = ASI_DEFAULT_OPTIONS};
static struct anysync_executor *all = &global; /* [lock] */

static struct anysync_executor *or_global(struct anysync_executor *executor)
{
    return executor ? executor : &global;
}

/* [lock] Or nobody else has EXECUTOR. */
static void set_options(
        struct anysync_executor *executor, const struct anysync_executor_options *options)
{
    uint64_t before = asi_counter_get(&executor->grace_ns);

    executor->options = *options;
    asi_counter_add(&executor->grace_ns, (uint64_t)options->grace_ns - before);
}

/* --- fork ------------------------------------------------------------------------------------- */

static void before_fork(void)
{
    asi_lock_take(&lock);
}

static void after_fork(void)
{
    asi_lock_give(&lock);
}

/* The workers do not exist here: every executor is as it was before first use. */
static void in_child(void)
{
    for (struct anysync_executor *executor = all; executor; executor = executor->next) {
        asi_pointer_set(&executor->open, NULL);
        executor->state = IDLE;
        executor->worker = NULL;
        executor->all_workers = NULL;
        executor->past = (struct anysync_stats){.tasks = 0};
        executor->workers = 0;
    }
}

static void prepare(void)
{
    static const struct asi_fork_part part = {before_fork, in_child, after_fork};

    asi_fork_add(&part);
}

static void prepare_process(void)
{
    static struct asi_once once = ASI_ONCE_INIT;

    asi_scheduler_prepare_process();
    asi_once_run(&once, prepare);
}

/* --- start ------------------------------------------------------------------------------------ */

/* What SCHEDULER has counted in all its lives. */
static struct anysync_stats counted(struct asi_scheduler *scheduler)
{
    return (struct anysync_stats){.tasks = asi_counter_get(&scheduler->tasks),
            .switches = asi_counter_get(&scheduler->switches),
            .turns = asi_counter_get(&scheduler->turns),
            .polls = asi_counter_get(&scheduler->poller.polls),
            .sleeps = asi_counter_get(&scheduler->poller.sleeps),
            .live = asi_scheduler_live(scheduler)};
}

/* [lock] Add what WORKER has counted to STATS. */
static void add_stats(struct anysync_stats *stats, const struct worker *worker)
{
    struct anysync_stats now = counted(worker->scheduler);

    stats->tasks += now.tasks - worker->before.tasks;
    stats->switches += now.switches - worker->before.switches;
    stats->turns += now.turns - worker->before.turns;
    stats->polls += now.polls - worker->before.polls;
    stats->sleeps += now.sleeps - worker->before.sleeps;
    stats->live += now.live - worker->before.live;
}

/* [lock] WORKER's loop has ended: what its executor has to know. */
static void note_end(struct anysync_executor *executor, struct worker *worker)
{
    struct worker **at = &executor->all_workers;

    add_stats(&executor->past, worker);
    while (*at != worker)
        at = &(*at)->next;
    *at = worker->next;
    worker->scheduler->next_free = executor->spare;
    executor->spare = worker->scheduler;
    if (executor->worker == worker) {
        executor->state = STOPPED;
        if (worker->waiting == 0)
            executor->worker = NULL;
    }
}

static void worker_free(struct worker *worker)
{
    if (!worker)
        return;
    anysync_future_unref(worker->stopped);
    anysync_future_unref(worker->gone);
    asi_free(worker);
}

static void work(void *argument)
{
    struct worker *worker = argument;
    struct asi_scheduler *scheduler = worker->scheduler;
    struct anysync_future *stopped = anysync_future_ref(worker->stopped);

    asi_lock_take(&lock);
    worker->serial = asi_local_serial();
    asi_lock_give(&lock);
    if (scheduler->options.spin != ANYSYNC_SPIN_NEVER && scheduler->options.spin_ns == 0)
        asi_gauge();
    asi_scheduler_run(scheduler);
    asi_scheduler_free_idle(scheduler, 0);

    asi_lock_take(&lock);
    bool alone = worker->waiting == 0;
    bool homeless = !worker->executor;
    if (!homeless)
        note_end(worker->executor, worker);
    worker->ended = true;
    asi_lock_give(&lock);
    if (homeless)
        asi_scheduler_give(scheduler);
    if (alone) {
        asi_thread_detach(&worker->thread);
        worker_free(worker);
    }
    asi_future_complete(stopped, 0, NULL); /* from here on worker is of those who wait */
    anysync_future_unref(stopped);
}

/* [lock] Returns 0 or the error. */
static int start(struct anysync_executor *executor)
{
    struct asi_scheduler *scheduler = executor->spare;
    struct worker *worker = asi_allocate_zero(sizeof(*worker));
    int error = -ENOMEM;

    if (scheduler)
        executor->spare = scheduler->next_free;
    else
        scheduler = asi_scheduler_take();
    if (!worker || !scheduler || anysync_future_new(0, &worker->stopped) != 0 ||
            anysync_future_new(0, &worker->gone) != 0)
        goto fail;
    worker->executor = executor;
    worker->scheduler = scheduler;
    asi_pointer_set(&scheduler->owner, executor);
    error = asi_thread_start(&worker->thread, executor->options.name, work, worker);
    if (error)
        goto fail;
    /* Not before: who knows the scheduler from its last worker may send it something at any time,
     * and would wait for ever.  The thread waits for the lock. */
    worker->before = counted(scheduler);
    asi_scheduler_open(scheduler, ASI_LOOP_WORKER, &executor->options);
    executor->worker = worker;
    worker->next = executor->all_workers;
    executor->all_workers = worker;
    executor->state = RUNNING;
    worker->number = ++executor->workers;
    asi_pointer_set(&executor->open, scheduler);
    return 0;

fail:
    worker_free(worker);
    if (scheduler) {
        scheduler->next_free = executor->spare;
        executor->spare = scheduler;
    }
    return error;
}

/* Say in words why START returned ERROR; outside the lock. */
static int start_failed(int error)
{
    return asi_call_fails(error, "the worker could not be started: %s",
            error == -EAGAIN ? "the system has no thread left (ulimit -u, cgroup pids.max)"
                             : anysync_error_text(error));
}

/* The scheduler to submit to, started if the executor was never used. */
static int open_slowly(struct anysync_executor *executor, struct asi_scheduler **ret_scheduler)
{
    int error = 0;

    prepare_process();
    asi_lock_take(&lock);
    bool stopping = executor->state == STOPPING || executor->state == STOPPED;
    if (executor->state == IDLE)
        error = start(executor);
    *ret_scheduler = asi_pointer_get(&executor->open);
    asi_lock_give(&lock);
    if (stopping)
        return asi_call_fails(-ESHUTDOWN,
                "executor \"%s\" was shut down: anysync_executor_start() starts it again",
                executor->options.name);
    return error ? start_failed(error) : 0;
}

/* Which task this thread submitted some time before TASK: see thread/mailbox.h. */
static inline void leave_hint(struct anysync_task *task)
{
    void **recent = &asi_local.recent[asi_local.sent++ % ASI_MAILBOX_AHEAD];

    task->hint = *recent ? *recent : ASI_MAILBOX_NO_HINT;
    *recent = (char *)&task->letter + 1;
}

int asi_executor_submit(struct anysync_executor *executor, struct anysync_task *task)
{
    struct anysync_executor *to = or_global(executor);

    for (;;) {
        struct asi_scheduler *scheduler = asi_pointer_get(&to->open);
        if (ASI_UNLIKELY(!scheduler)) {
            int error = open_slowly(to, &scheduler);
            if (error)
                return error;
        }
        task->scheduler = scheduler;
        leave_hint(task);
        if (ASI_LIKELY(asi_scheduler_post(scheduler, &task->letter)))
            return 0;
        /* Its worker ended since we read `open`, which has been withdrawn before: look again. */
    }
}

int asi_executor_post(struct anysync_executor *executor, struct asi_letter *letter)
{
    struct anysync_executor *to = or_global(executor);

    for (;;) { /* as above */
        struct asi_scheduler *scheduler = asi_pointer_get(&to->open);
        int error = scheduler ? 0 : open_slowly(to, &scheduler);
        if (error || asi_scheduler_post(scheduler, letter))
            return error;
    }
}

void anysync_trim(void)
{
    asi_spare_trim_all();
}

int anysync_executor_start(struct anysync_executor *executor)
{
    struct anysync_executor *which = or_global(executor);
    int error = 0;

    prepare_process();
    asi_lock_take(&lock);
    enum state state = which->state;
    if (state == IDLE || state == STOPPED)
        error = start(which);
    asi_lock_give(&lock);
    if (state == STOPPING)
        return asi_call_fails(-ESHUTDOWN, "executor \"%s\" is still stopping", which->options.name);
    return error ? start_failed(error) : 0;
}

/* --- stop ------------------------------------------------------------------------------------- */

/* [lock] Have all workers end, those that were left behind too. */
static void ask_to_stop(struct anysync_executor *executor, enum asi_stopping how)
{
    asi_pointer_set(&executor->open, NULL);
    executor->state = executor->worker && !executor->worker->ended ? STOPPING : STOPPED;
    for (struct worker *worker = executor->all_workers; worker; worker = worker->next)
        asi_scheduler_ask_stop(worker->scheduler, how);
}

/* [lock] A worker to wait for, one of the first LAST (later ones were started since), with one wait
 * more counted; NULL when there is none. */
static struct worker *claim_worker(struct anysync_executor *executor, unsigned last)
{
    struct worker *worker = executor->worker; /* perhaps ended, and not joined yet */

    if (!worker || worker->number > last)
        worker = executor->all_workers;
    while (worker && worker->number > last)
        worker = worker->next;
    if (worker)
        worker->waiting++;
    return worker;
}

/* [lock] Whether the calling thread is one of EXECUTOR's workers. */
static bool is_own_thread(const struct anysync_executor *executor)
{
    for (struct worker *worker = executor->all_workers; worker; worker = worker->next) {
        if (worker->scheduler == asi_scheduler_here())
            return true;
    }
    return false;
}

static size_t count_left(struct anysync_executor *executor, unsigned last)
{
    uint64_t left = 0;

    asi_lock_take(&lock);
    for (struct worker *worker = executor->all_workers; worker; worker = worker->next) {
        if (worker->number <= last)
            left += asi_scheduler_live(worker->scheduler) - worker->before.live;
    }
    asi_lock_give(&lock);
    return (size_t)left;
}

/* WORKER has ended: join its thread, or wait until another shutdown has.  Not under the lock: on
 * its way out the thread runs its users' destructors, and they may call us. */
static void see_off(struct worker *worker, enum asi_world world, bool mine)
{
    if (mine) {
        asi_thread_join(&worker->thread);
        asi_future_complete(worker->gone, 0, NULL);
    } else {
        (void)asi_wait_out(world, worker->gone, ANYSYNC_FOREVER);
    }
}

/* A shutdown in WORLD that waited for WORKER leaves; GAVE_UP: it came to its deadline before the
 * end.  The last one frees an ended worker, and leaves one behind that has not. */
static void leave(struct anysync_executor *executor, struct worker *worker, enum asi_world world,
        bool gave_up)
{
    asi_lock_take(&lock);
    bool ended = worker->ended;
    bool mine = ended && !worker->joining;
    worker->joining = worker->joining || mine;
    if (!ended) /* and so it will not miss us */
        worker->waiting--;
    if ((ended || (gave_up && worker->waiting == 0)) && executor->worker == worker) {
        executor->worker = NULL;
        executor->state = STOPPED; /* or it is left behind */
    }
    asi_lock_give(&lock);

    if (!ended)
        return;
    see_off(worker, world, mine);
    asi_lock_take(&lock);
    bool last = --worker->waiting == 0;
    asi_lock_give(&lock);
    if (last)
        worker_free(worker);
}

/* Wait for WORKER, then for the others among the first LAST.  WORKER has this wait counted. */
static int wait_for_all(struct anysync_executor *executor, struct worker *worker, unsigned last,
        anysync_time deadline, size_t *ret_left)
{
    enum asi_world world = asi_world() == ASI_WORLD_TASK ? ASI_WORLD_TASK : ASI_WORLD_THREAD;

    while (worker) {
        int error = asi_wait_end(world, worker->stopped, worker->scheduler, deadline);
        leave(executor, worker, world, error == -ETIMEDOUT);
        if (error) {
            *ret_left = count_left(executor, last);
            if (error == -EDEADLK)
                return error; /* the cycle is noted */
            return error != -ETIMEDOUT
                           ? asi_call_fails(error, NULL)
                           : asi_call_fails(error,
                                     "executor \"%s\" did not stop in time: %zu tasks are left",
                                     executor->options.name, *ret_left);
        }
        asi_lock_take(&lock);
        worker = claim_worker(executor, last);
        asi_lock_give(&lock);
    }
    return 0;
}

int anysync_executor_shutdown(struct anysync_executor *executor, enum anysync_shutdown mode,
        anysync_time deadline, size_t *ret_left)
{
    struct anysync_executor *which = or_global(executor);
    size_t left = 0;
    int status;

    prepare_process();
    asi_lock_take(&lock);
    ask_to_stop(which, mode == ANYSYNC_CANCEL ? ASI_STOP_CANCEL : ASI_STOP_DRAIN);
    unsigned last = which->workers;
    bool here = is_own_thread(which);
    struct worker *worker = here ? NULL : claim_worker(which, last);
    asi_lock_give(&lock);
    if (here) {
        left = count_left(which, last);
        status = asi_call_fails(-EINPROGRESS, "the worker was asked to stop, by itself");
    } else {
        status = wait_for_all(which, worker, last, deadline, &left);
    }
    if (ret_left)
        *ret_left = left;
    return status;
}

int anysync_shutdown(enum anysync_shutdown mode, anysync_time deadline, size_t *ret_left)
{
    return anysync_executor_shutdown(NULL, mode, deadline, ret_left);
}

/* --- handles ---------------------------------------------------------------------------------- */

int anysync_executor_new(
        const struct anysync_executor_options *options, struct anysync_executor **ret_executor)
{
    struct anysync_executor_options completed;
    int error = asi_options_complete(options, &completed);

    if (error)
        return error;
    struct anysync_executor *executor = asi_allocate_zero(sizeof(*executor));
    if (!executor)
        return asi_call_fails(-ENOMEM, "no memory for an executor");
    asi_refs_init(&executor->refs, 1);
    set_options(executor, &completed);
    prepare_process();
    asi_lock_take(&lock);
    executor->next = all;
    all = executor;
    asi_lock_give(&lock);
    *ret_executor = executor;
    return 0;
}

struct anysync_executor *anysync_executor_ref(struct anysync_executor *executor)
{
    asi_refs_add(&executor->refs);
    return executor;
}

/* [lock] */
static void remove_from_all(struct anysync_executor *executor)
{
    struct anysync_executor **at = &all;

    while (*at != executor)
        at = &(*at)->next;
    *at = executor->next;
}

struct anysync_executor *anysync_executor_unref(struct anysync_executor *executor)
{
    if (!executor || !asi_refs_drop(&executor->refs))
        return NULL;
    ASI_ASSERT(executor != &global, "the global executor has no reference to drop");
    asi_lock_take(&lock);
    ask_to_stop(executor, ASI_STOP_CANCEL);
    for (struct worker *worker = executor->all_workers; worker; worker = worker->next) {
        worker->executor = NULL;
        asi_pointer_set(&worker->scheduler->owner, NULL);
    }
    remove_from_all(executor);
    struct asi_scheduler *spare = executor->spare;
    asi_lock_give(&lock);
    while (spare) {
        struct asi_scheduler *next = spare->next_free;
        asi_scheduler_give(spare);
        spare = next;
    }
    asi_free(executor);
    return NULL;
}

int anysync_configure(const struct anysync_executor_options *options)
{
    struct anysync_executor_options completed;
    int error = asi_options_complete(options, &completed);

    if (error)
        return error;
    prepare_process();
    asi_lock_take(&lock);
    bool busy = global.state == RUNNING || global.state == STOPPING;
    if (!busy) {
        set_options(&global, &completed);
        asi_spin_configure((enum asi_spin_policy)completed.spin, completed.spin_ns);
    }
    asi_lock_give(&lock);
    return busy ? asi_call_fails(-EBUSY,
                          "the global executor runs: configure it before its first use, or "
                          "after a shutdown")
                : 0;
}

/* --- questions -------------------------------------------------------------------------------- */

bool asi_executor_is_here(struct anysync_executor *executor)
{
    struct asi_scheduler *here = asi_scheduler_here();

    return here && here->kind == ASI_LOOP_WORKER &&
           asi_pointer_get(&here->owner) == or_global(executor);
}

int64_t asi_executor_grace(struct anysync_executor *executor)
{
    return (int64_t)asi_counter_get(&or_global(executor)->grace_ns);
}

void anysync_executor_stats(struct anysync_executor *executor, struct anysync_stats *ret_stats)
{
    struct anysync_executor *which = or_global(executor);

    asi_lock_take(&lock);
    *ret_stats = which->past;
    ret_stats->workers = which->workers;
    if (which->worker && !which->worker->ended)
        ret_stats->worker_serial = which->worker->serial;
    for (const struct worker *worker = which->all_workers; worker; worker = worker->next)
        add_stats(ret_stats, worker);
    asi_lock_give(&lock);
}
