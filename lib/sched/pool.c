/* SPDX-License-Identifier: MIT */
/*
 * Where schedulers come from, and what happens to them around fork().
 *
 * They are never freed: another thread may still hold a task of a loop that has ended, and send it
 * a cancel.  Its letter then finds a closed mailbox, or that of a later loop, which sees that the
 * task has ended and lets it go.  How many there are is bounded by how many loops ever ran at the
 * same time.
 */
#include "sched/scheduler.h"

#include "base/memory.h"
#include "coro/overflow.h"
#include "sched/graph.h"
#include "sched/vars.h"
#include "thread/fork.h"
#include "thread/local.h"
#include "thread/lock.h"
#include "thread/once.h"

static struct asi_lock lock = ASI_LOCK_INIT;
static struct asi_scheduler *all;       /* [lock] */
static struct asi_scheduler *free_ones; /* [lock] */

static void before_fork(void)
{
    asi_lock_take(&lock);
    asi_error_before_fork();
    asi_graph_before_fork();
    asi_vars_before_fork();
}

static void after_fork(void)
{
    asi_vars_after_fork();
    asi_graph_after_fork();
    asi_error_after_fork();
    asi_lock_give(&lock);
}

/* Loops of other threads do not exist here; their tasks are lost with them.  What is left of the
 * calling thread's own loop stays as it is: its coroutine may call exec() or _exit(). */
static void in_child(void)
{
    for (struct asi_scheduler *scheduler = all; scheduler; scheduler = scheduler->next_all) {
        scheduler->blocked = NULL;
        if (scheduler != asi_local.scheduler)
            asi_poller_in_child(&scheduler->poller);
    }
    asi_graph_in_child();
}

static const char *running_name(const char **ret_file, int *ret_line)
{
    struct asi_scheduler *scheduler = asi_local.scheduler;
    struct anysync_task *task = scheduler ? scheduler->current : NULL;

    if (!task)
        return NULL;
    *ret_file = task->function->file;
    *ret_line = task->function->line;
    return asi_task_name(task);
}

static void give_here_back(struct asi_local *local)
{
    if (local->here) {
        if (local->fault_stack)
            asi_overflow_leave();
        local->fault_stack = false;
        asi_scheduler_give(local->here);
    }
    local->here = NULL;
}

static const void *running_task(void)
{
    struct asi_scheduler *scheduler = asi_scheduler_here();

    return scheduler ? scheduler->current : NULL;
}

static void prepare(void)
{
    static const struct asi_fork_part part = {before_fork, in_child, after_fork};

    asi_fork_add(&part);
    asi_error_prepare();
    asi_vars_prepare();
    asi_local_at_exit(give_here_back);
    asi_overflow_name = running_name;
    asi_held_prepare(running_task);
}

void asi_scheduler_prepare_process(void)
{
    static struct asi_once once = ASI_ONCE_INIT;

    asi_once_run(&once, prepare);
}

static struct asi_scheduler *make(void)
{
    struct asi_scheduler *scheduler = asi_allocate_zero(sizeof(*scheduler));

    if (!scheduler)
        return NULL;
    asi_doorbell_init(&scheduler->bell);
    asi_poller_init(&scheduler->poller, &scheduler->bell);
    asi_mailbox_init(&scheduler->mailbox);
    bool closed = asi_mailbox_close(&scheduler->mailbox);
    ASI_ASSERT(closed, "a new mailbox was not empty");
    asi_list_init(&scheduler->begun);
    scheduler->opening = (struct asi_lock)ASI_LOCK_INIT;
    return scheduler;
}

struct asi_scheduler *asi_scheduler_take(void)
{
    asi_scheduler_prepare_process();
    asi_lock_take(&lock);
    struct asi_scheduler *scheduler = free_ones;
    if (scheduler)
        free_ones = scheduler->next_free;
    asi_lock_give(&lock);
    if (scheduler)
        return scheduler;

    scheduler = make();
    if (scheduler) {
        asi_lock_take(&lock);
        scheduler->next_all = all;
        all = scheduler;
        asi_lock_give(&lock);
    }
    return scheduler;
}

void asi_scheduler_give(struct asi_scheduler *scheduler)
{
    asi_scheduler_free_idle(scheduler, 0);
    asi_lock_take(&lock);
    scheduler->next_free = free_ones;
    free_ones = scheduler;
    asi_lock_give(&lock);
}

void asi_scheduler_set_options(
        struct asi_scheduler *scheduler, const struct anysync_executor_options *options)
{
    scheduler->options = *options;
    scheduler->spin = (struct asi_spin){
            .limit_ns = options->spin_ns > 0 ? options->spin_ns : -1, .serves = true};
}

void asi_scheduler_open(struct asi_scheduler *scheduler, enum asi_loop_kind kind,
        const struct anysync_executor_options *options)
{
    scheduler->epoch++;
    scheduler->kind = kind;
    if (options)
        asi_scheduler_set_options(scheduler, options);
    scheduler->root = NULL;
    scheduler->stopping = ASI_STOP_NOT;
    scheduler->abandon = false;
    scheduler->timed_out = false;
    scheduler->root_timer.armed = false;
    scheduler->grace_timer.armed = false;
    scheduler->spare_timer.armed = false;
    asi_counter_add(&scheduler->ended, asi_scheduler_live(scheduler));
    if (ASI_UNLIKELY(asi_timers_any(&scheduler->timers)))
        asi_timers_clear(&scheduler->timers);
    scheduler->waits_ended++; /* the chains are forgotten */
    asi_list_init(&scheduler->begun);
    scheduler->drain_letter.deliver = NULL;
    scheduler->cancel_letter.deliver = NULL;
    asi_flag_init(&scheduler->cancel_comes);
    asi_flag_init(&scheduler->parted);
    asi_mailbox_init(&scheduler->mailbox);
}
