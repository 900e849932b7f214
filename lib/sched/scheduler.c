/* SPDX-License-Identifier: MIT */
/*
 * Scheduler: one turn, and who runs next.  (The picture: scheduler.h.)
 *
 * FAIRNESS  Runners hand over to each other without the host for at most BUDGET tasks; then the
 *   host takes new letters.  Timers and descriptors, if there are any, get a look every LOOK_NS
 *   while the loop is busy, and in every turn that finds nothing else to do.  The clock is read
 *   after so many tasks as take about LOOK_NS: that is measured, and the budget no larger.  Pure
 *   task traffic pays for neither clock nor poll.
 *
 * WHO RUNS NEXT  A stack that gives up the processor asks next_stack():
 *   - a ready task that has a stack: switch straight to it;
 *   - a new task: a runner has to call its body: an idle one, or a new stack;
 *   - nothing, no budget, or no stack to be had: the host.
 *
 * ENDING  A worker ends when it was told to stop, has no task left, and could close its mailbox,
 *   which fails as long as there are letters.  After that every push is refused, so nothing that
 *   was accepted is lost.
 */
#include "sched/scheduler.h"

#include "base/clock.h"
#include "base/memory.h"
#include "coro/overflow.h"
#include "sched/callback.h"
#include "sched/graph.h"
#include "sched/job.h"
#include "sched/quick.h"
#include "sched/spare.h"
#include "thread/fork.h"
#include "thread/local.h"

#include <errno.h>

enum { HINT_AT = offsetof(struct anysync_task, hint) - offsetof(struct anysync_task, letter) };
enum { BUDGET = 256, LOOK_NS = 100000, MOST_IDLE = 64, LOOK_AT_FDS_EVERY = 64, A_BATCH = 4 };

void (*asi_suspend_hook)(struct anysync_task *task);

/* --- letters from other threads --------------------------------------------------------------- */

bool asi_scheduler_post(struct asi_scheduler *scheduler, struct asi_letter *letter)
{
    enum asi_push push = asi_mailbox_push(&scheduler->mailbox, letter);

    if (ASI_UNLIKELY(push == ASI_PUSH_WAKE))
        asi_doorbell_ring(&scheduler->bell);
    return push != ASI_PUSH_CLOSED;
}

/* FIRST to LAST, COUNT tasks that are linked as in the ready queue, join it. */
static void add_many(struct asi_scheduler *scheduler, struct asi_letter *first,
        struct asi_letter *last, size_t count)
{
    asi_counter_add(&scheduler->tasks, count);
    if (scheduler->ready_head)
        scheduler->ready_tail->next = first;
    else
        scheduler->ready_head = first;
    scheduler->ready_tail = last;
}

/* New tasks alone, the usual case, are in the form of the ready queue already. */
static void take_letters(struct asi_scheduler *scheduler)
{
    if (asi_mailbox_is_empty(&scheduler->mailbox))
        return; /* a look is cheaper than an exchange; what it missed keeps the loop from parking */
    struct asi_taken taken =
            asi_mailbox_take_usual(&scheduler->mailbox, asi_task_deliver_submission, HINT_AT);
    struct asi_letter *letter = taken.first;

    if (letter && taken.usual) {
        add_many(scheduler, letter, taken.last, taken.count);
        return;
    }
    while (letter) {
        struct asi_letter *next = letter->next; /* the letter may go with what it does */
        letter->deliver(letter, scheduler);
        letter = next;
    }
}

static void deliver_drain(struct asi_letter *letter, void *receiver)
{
    (void)letter;
    asi_scheduler_stop(receiver, ASI_STOP_DRAIN);
}

static void deliver_cancel(struct asi_letter *letter, void *receiver)
{
    (void)letter;
    asi_scheduler_stop(receiver, ASI_STOP_CANCEL);
}

void asi_scheduler_ask_stop(struct asi_scheduler *scheduler, enum asi_stopping how)
{
    bool cancel = how == ASI_STOP_CANCEL;
    struct asi_letter *letter = cancel ? &scheduler->cancel_letter : &scheduler->drain_letter;

    if (letter->deliver)
        return; /* it was sent before */
    letter->deliver = cancel ? deliver_cancel : deliver_drain;
    if (cancel)
        asi_flag_set(&scheduler->cancel_comes); /* a wait that begins now will be cut */
    if (asi_scheduler_post(scheduler, letter) && cancel)
        asi_graph_loop_cancel_comes(scheduler);
}

static inline struct anysync_task *task_of(struct asi_letter *letter)
{
    return asi_container_of(letter, struct anysync_task, letter);
}

static const char *why_stopped(const struct asi_scheduler *scheduler)
{
    return scheduler->kind == ASI_LOOP_WORKER ? "the executor is shut down"
                                              : "the loop's first task has ended";
}

void asi_scheduler_stop(struct asi_scheduler *scheduler, enum asi_stopping how)
{
    const char *why = why_stopped(scheduler);

    if (how > scheduler->stopping)
        scheduler->stopping = how;
    if (how != ASI_STOP_CANCEL)
        return;
    /* New tasks are cancelled when they begin; ready ones hear of it at their next wait. */
    for (struct asi_letter *letter = scheduler->ready_head; letter; letter = letter->next)
        asi_task_cancel(task_of(letter), why);
    /* A cancel only makes tasks ready: nothing runs here. */
    struct asi_list *node = scheduler->begun.next;
    while (node != &scheduler->begun) {
        struct anysync_task *task = asi_container_of(node, struct anysync_task, list);
        node = node->next; /* a cancel may take the task out of the list */
        if (task->state == ASI_TASK_SUSPENDED)
            asi_task_cancel(task, why);
    }
}

/* --- the root of a nested or here-loop -------------------------------------------------------- */

static void on_grace_over(struct asi_timer *timer)
{
    struct asi_scheduler *scheduler = asi_container_of(timer, struct asi_scheduler, grace_timer);

    scheduler->stopping = ASI_STOP_CANCEL;
    scheduler->abandon = true;
}

static void start_grace(struct asi_scheduler *scheduler)
{
    anysync_time end = asi_clock_after(anysync_now(), scheduler->options.grace_ns);

    asi_timer_disarm(&scheduler->timers, &scheduler->grace_timer);
    asi_timer_init(&scheduler->grace_timer, on_grace_over);
    asi_timer_arm(&scheduler->timers, &scheduler->grace_timer, end);
}

static void on_root_timeout(struct asi_timer *timer)
{
    struct asi_scheduler *scheduler = asi_container_of(timer, struct asi_scheduler, root_timer);

    scheduler->timed_out = true;
    asi_task_cancel(scheduler->root, "the deadline passed");
    start_grace(scheduler);
}

void asi_scheduler_limit_root(struct asi_scheduler *scheduler, anysync_time deadline)
{
    asi_timer_init(&scheduler->root_timer, on_root_timeout);
    asi_timer_arm(&scheduler->timers, &scheduler->root_timer, deadline);
}

void asi_scheduler_root_ended(struct asi_scheduler *scheduler)
{
    if (scheduler->root_timer.armed)
        asi_timer_disarm(&scheduler->timers, &scheduler->root_timer);
    if (asi_scheduler_live(scheduler) == 0) {
        scheduler->stopping = ASI_STOP_CANCEL;
        if (scheduler->kind == ASI_LOOP_NESTED && !scheduler->root->hooked)
            asi_waiter_hold_wake(); /* its thread ends now: see api/nested.c */
        return;
    }
    asi_scheduler_stop(scheduler, ASI_STOP_CANCEL);
    start_grace(scheduler);
}

/* --- the ready queue -------------------------------------------------------------------------- */

/* The first of those that are ready; there is one. */
static inline struct anysync_task *pop_ready(struct asi_scheduler *scheduler)
{
    struct asi_letter *first = scheduler->ready_head;

    scheduler->ready_head = first->next;
    scheduler->budget--;
    return task_of(first);
}

void asi_scheduler_park(struct asi_scheduler *scheduler, struct anysync_task *task)
{
    asi_counter_add(&scheduler->tasks, 1);
    task->state = ASI_TASK_SUSPENDED;
    task->cancellable = true; /* then it is woken, and ends at once */
    task->local_wait = NULL;  /* the letter has done its service */
    asi_list_add(&scheduler->begun, &task->list);
    if (scheduler->stopping == ASI_STOP_CANCEL)
        asi_task_cancel(task, why_stopped(scheduler));
}

/* --- stacks ----------------------------------------------------------------------------------- */

/* Whether a runner on CORO can run TASK: its stack is as large as a new one would be. */
static inline bool fits(const struct asi_coro *coro, const struct anysync_task *task)
{
    size_t wanted = task->function->stack_size;

    return ASI_LIKELY(wanted == 0) || asi_coro_whole_size(coro) >= wanted;
}

static inline void go_idle(struct asi_scheduler *scheduler, struct asi_coro *coro)
{
    coro->next = scheduler->idle;
    scheduler->idle = coro;
    scheduler->idle_count++;
}

void asi_scheduler_free_idle(struct asi_scheduler *scheduler, unsigned keep)
{
    while (scheduler->idle_count > keep) {
        struct asi_coro *coro = scheduler->idle;
        scheduler->idle = coro->next;
        scheduler->idle_count--;
        asi_coro_free(coro);
    }
}

static void run_new_tasks(void *argument);

/* A runner for TASK; NULL, with the reason, when there is no stack. */
static struct asi_coro *new_runner(
        struct asi_scheduler *scheduler, const struct anysync_task *task, const char **ret_why)
{
    size_t size = scheduler->options.stack_size;

    if (task->function->stack_size > size)
        size = task->function->stack_size;
    struct asi_coro *coro = asi_coro_new(size, ret_why);
    if (coro)
        asi_coro_prepare(coro, run_new_tasks, scheduler);
    return coro;
}

static inline struct asi_coro *runner_for(
        struct asi_scheduler *scheduler, const struct anysync_task *task, const char **ret_why)
{
    struct asi_coro *coro = scheduler->idle;

    if (ASI_UNLIKELY(!coro || !fits(coro, task)))
        return new_runner(scheduler, task, ret_why);
    scheduler->idle = coro->next;
    scheduler->idle_count--;
    return coro;
}

/* Take TASK, the first that is ready and has a stack, off the queue: it is the one that runs, and
 * its stack, which is returned, has to go on now.  (Noted here, and not when it has gone on: what
 * the processor knows early it need not fetch from the stack it changes to.) */
static inline struct asi_coro *resume_ready(
        struct asi_scheduler *scheduler, struct anysync_task *task)
{
    pop_ready(scheduler);
    scheduler->current = task;
    task->state = ASI_TASK_RUNNING;
    return task->coro;
}

/* The stack that goes on after a suspending task's or a runner's; `current` says who runs there. */
static inline struct asi_coro *next_stack(struct asi_scheduler *scheduler)
{
    const char *why;

    if (ASI_UNLIKELY(!scheduler->ready_head || scheduler->budget == 0)) {
        scheduler->current = NULL;
        return &scheduler->host;
    }
    struct anysync_task *task = task_of(scheduler->ready_head);
    if (asi_task_has_stack(task))
        return resume_ready(scheduler, task);
    scheduler->current = NULL;
    struct asi_coro *runner = runner_for(scheduler, task, &why);
    return ASI_LIKELY(runner) ? runner
                              : &scheduler->host; /* the host finds the same and fails the task */
}

static inline void switch_stack(
        struct asi_scheduler *scheduler, struct asi_coro *from, struct asi_coro *to)
{
    asi_counter_add(&scheduler->switches, 1);
    asi_coro_switch(from, to);
}

static void check_process(const struct asi_scheduler *scheduler)
{
    ASI_ASSERT(scheduler->generation == asi_fork_generation,
            "a coroutine called fork() and went on into its loop in the child: there it must end "
            "with "
            "_exit() or exec()");
}

/* The lowest frame of every coroutine stack. */
static void run_new_tasks(void *argument)
{
    struct asi_scheduler *scheduler = argument;
    struct asi_coro *self = asi_coro_running;

    for (;;) {
        struct asi_coro *next = &scheduler->host;
        if (ASI_LIKELY(scheduler->ready_head && scheduler->budget > 0)) {
            struct anysync_task *task = task_of(scheduler->ready_head);
            if (!asi_task_has_stack(task) && fits(self, task)) {
                __builtin_prefetch(task->hint, 1);
                /* a number: it may be no pointer at all */
                __builtin_prefetch(
                        (void *)((uintptr_t)task->hint - sizeof(struct anysync_future)), 1);
                asi_quick_begin(scheduler, pop_ready(scheduler));
                check_process(scheduler);
                continue; /* perhaps long after, on a stack that was suspended meanwhile */
            }
            /* Ask first, go idle then: a runner must not be given its own stack. */
            next = next_stack(scheduler);
        }
        go_idle(scheduler, self);
        switch_stack(scheduler, self, next);
    }
}

/* Let others run on this thread, until somebody goes on with TASK, the running one. */
static inline __attribute__((always_inline)) void step_aside(
        struct asi_scheduler *scheduler, struct anysync_task *task)
{
    struct asi_coro *self = asi_coro_running;
    int saved = *scheduler->errno_at;

    asi_held_suspends(task, asi_task_name(task));
    if (ASI_UNLIKELY(!asi_task_has_stack(task))) {
        task->coro = self;
        asi_list_add(&scheduler->begun, &task->list);
    }
    if (ASI_UNLIKELY(asi_suspend_hook)) {
        scheduler->current = NULL;
        asi_suspend_hook(task);
    }
    struct asi_coro *next = next_stack(scheduler);
    if (ASI_LIKELY(next != self))
        switch_stack(scheduler, self, next);
    *scheduler->errno_at = saved; /* other tasks of this thread have had it meanwhile */
}

void asi_scheduler_suspend(struct asi_scheduler *scheduler)
{
    struct anysync_task *task = scheduler->current;

    task->state = ASI_TASK_SUSPENDED;
    step_aside(scheduler, task);
}

static inline struct anysync_task *give_way(struct asi_scheduler *scheduler)
{
    struct anysync_task *task = scheduler->current;

    if (ASI_UNLIKELY(!asi_mailbox_is_empty(&scheduler->mailbox)))
        scheduler->budget = 0; /* a cancel that was asked for by now is seen by this yield */
    task->state = ASI_TASK_READY;
    asi_scheduler_ready(scheduler, task);
    step_aside(scheduler, task);
    return task;
}

void asi_scheduler_yield(struct asi_scheduler *scheduler)
{
    give_way(scheduler);
}

int asi_scheduler_yield_call(struct asi_scheduler *scheduler)
{
    struct anysync_task *task = give_way(scheduler);

    return ASI_UNLIKELY(task->cancelled) ? asi_call_fails(-ECANCELED, NULL) : 0;
}

void asi_scheduler_leave(struct asi_scheduler *scheduler)
{
    scheduler->left = asi_coro_running;
    scheduler->current = NULL;
    asi_counter_add(&scheduler->switches, 1);
    asi_coro_leave(scheduler->left, &scheduler->host);
}

/* --- the host --------------------------------------------------------------------------------- */

/* Nothing can be run for lack of a stack: the new task at the head of the queue fails. */
static void fail_for_stack(struct asi_scheduler *scheduler, const char *why)
{
    struct anysync_task *task = pop_ready(scheduler);

    asi_slot_put(asi_task_slot(task), -ENOMEM,
            asi_error_new(-ENOMEM, ANYSYNC_ORIGIN_TASK, "no stack for task \"%s\": %s",
                    asi_task_name(task), why));
    asi_task_end(scheduler, task, -ENOMEM);
}

static void run_ready(struct asi_scheduler *scheduler)
{
    struct anysync_task *task = task_of(scheduler->ready_head);
    struct asi_coro *next;
    const char *why = "";

    scheduler->budget = scheduler->pace;
    if (asi_task_has_stack(task)) {
        next = resume_ready(scheduler, task);
    } else {
        next = runner_for(scheduler, task, &why);
        if (!next) {
            fail_for_stack(scheduler, why);
            return;
        }
    }
    switch_stack(scheduler, &scheduler->host, next);
    if (ASI_UNLIKELY(scheduler->left)) {
        asi_coro_prepare(scheduler->left, run_new_tasks, scheduler);
        go_idle(scheduler, scheduler->left);
        scheduler->left = NULL;
    }
    if (ASI_UNLIKELY(scheduler->idle_count > MOST_IDLE))
        asi_scheduler_free_idle(scheduler, MOST_IDLE);
}

static void look_around(struct asi_scheduler *scheduler)
{
    if (asi_timers_any(&scheduler->timers))
        asi_timers_fire(&scheduler->timers, anysync_now());
    scheduler->found = asi_poller_poll(&scheduler->poller);
    if (ASI_UNLIKELY(asi_spare_any()))
        asi_spare_watch(scheduler);
}

/* COUNT tasks have run, and more may be ready.  Timers and descriptors get their look when LOOK_NS
 * have passed; the clock gets its own after as many tasks as take about that long, as measured. */
static void look_if_due(struct asi_scheduler *scheduler, unsigned count)
{
    scheduler->ran += count;
    if (scheduler->ran < scheduler->pace)
        return;
    scheduler->ran = 0;
    if (!asi_timers_any(&scheduler->timers) && !asi_poller_watches(&scheduler->poller) &&
            !asi_spare_any())
        return;
    anysync_time now = anysync_now(), took = now - scheduler->checked_at;
    if (scheduler->checked_at != 0) {
        /* Down at once, and up by steps: a short task says little of the next. */
        uint64_t pace = (uint64_t)scheduler->pace * LOOK_NS / (uint64_t)(took > 0 ? took : 1);
        uint64_t most = scheduler->pace < BUDGET / 2 ? scheduler->pace * 2 : BUDGET;
        scheduler->pace = pace < 1 ? 1 : pace > most ? (unsigned)most : (unsigned)pace;
    }
    scheduler->checked_at = now;
    if (now - scheduler->looked_at < LOOK_NS)
        return;
    scheduler->looked_at = now;
    look_around(scheduler);
}

/* Whether there is something to do before the next sleep. */
static bool has_work(struct asi_scheduler *scheduler)
{
    return scheduler->ready_head || !asi_mailbox_is_empty(&scheduler->mailbox);
}

/* Look for work for a short time; descriptors and timers are not forgotten meanwhile. */
static bool look_for_work(struct asi_scheduler *scheduler)
{
    struct asi_look look;
    unsigned rounds = 0;

    asi_look_begin(&look, &scheduler->spin, (enum asi_spin_policy)scheduler->options.spin);
    while (!has_work(scheduler) && asi_look_again(&look)) {
        if (++rounds % LOOK_AT_FDS_EVERY == 0)
            look_around(scheduler);
    }
    bool found = has_work(scheduler);
    asi_look_end(&look, found);
    return found;
}

static void sleep_until_work(struct asi_scheduler *scheduler)
{
    uint32_t ticket = asi_doorbell_ticket(&scheduler->bell);

    if (!asi_mailbox_park(&scheduler->mailbox))
        return;
    scheduler->checked_at = 0;                         /* a sleep is no task's time */
    struct anysync_limiter *limiter = asi_job_pause(); /* a here-loop's, in a job */
    anysync_time next = asi_timers_next(&scheduler->timers);
    anysync_time start = asi_sleep_begin(&scheduler->spin);
    scheduler->found = asi_poller_sleep(&scheduler->poller, ticket, next);
    asi_sleep_end(&scheduler->spin, start);
    asi_job_resume(limiter);
    /* take_letters ends the park */
}

/* Whether all is over; then the mailbox is closed. */
static bool has_ended(struct asi_scheduler *scheduler)
{
    if (scheduler->stopping == ASI_STOP_NOT)
        return false;
    return (asi_scheduler_live(scheduler) == 0 || scheduler->abandon) &&
           asi_mailbox_close(&scheduler->mailbox);
}

static void loop(struct asi_scheduler *scheduler)
{
    for (;;) {
        asi_counter_add(&scheduler->turns, 1);
        take_letters(scheduler);
        if (scheduler->ready_head && !scheduler->abandon) {
            run_ready(scheduler);
            if (ASI_UNLIKELY(scheduler->stopping != ASI_STOP_NOT) && !scheduler->ready_head &&
                    has_ended(scheduler))
                return; /* a here-loop's only turn, as a rule */
            look_if_due(scheduler, scheduler->pace - scheduler->budget);
            continue;
        }
        if (has_ended(scheduler))
            return;
        /* A few descriptors were ready a moment ago: it is their answers that come next, ask them
         * first.  If it was many, more gather while letters are looked for, and cost one poll. */
        if (scheduler->found > 0 && scheduler->found < A_BATCH)
            look_around(scheduler);
        if (look_for_work(scheduler) && !scheduler->abandon)
            continue;
        look_around(scheduler);
        if (!has_work(scheduler) && !scheduler->abandon)
            sleep_until_work(scheduler);
    }
}

/* Abandon all that began and did not end, and end what did not begin. */
static void abandon_rest(struct asi_scheduler *scheduler)
{
    while (!asi_list_is_empty(&scheduler->begun)) {
        struct anysync_task *task =
                asi_container_of(scheduler->begun.next, struct anysync_task, list);
        asi_list_remove(&task->list);
        if (task->state == ASI_TASK_SUSPENDED) /* the others are ready */
            asi_task_abandon(task);
    }
    while (scheduler->ready_head) {
        struct anysync_task *task = pop_ready(scheduler);
        if (asi_task_has_stack(task))
            asi_task_abandon(task);
        else
            asi_task_end(scheduler, task, -ECANCELED);
    }
}

static void enter(struct asi_scheduler *scheduler)
{
    asi_local.scheduler = scheduler;
    scheduler->errno_at = &errno;
    scheduler->generation = asi_fork_generation;
    asi_coro_init_host(&scheduler->host);
    if (!asi_local.fault_stack) {
        if (!scheduler->fault_stack)
            scheduler->fault_stack = asi_allocate(ASI_OVERFLOW_STACK);
        asi_local.fault_stack =
                scheduler->fault_stack && asi_overflow_enter(scheduler->fault_stack);
    }
}

void asi_scheduler_run(struct asi_scheduler *scheduler)
{
    enter(scheduler);
    scheduler->pace = BUDGET;
    scheduler->checked_at = 0;
    loop(scheduler);
    if (asi_scheduler_live(scheduler) > 0)
        abandon_rest(scheduler);
    if (ASI_UNLIKELY(asi_timers_any(&scheduler->timers)))
        asi_timed_end_all(scheduler);
    if (asi_spare_any())
        asi_spare_trim_all();
    asi_poller_fini(&scheduler->poller);
    asi_coro_running = NULL;
    asi_local.scheduler = NULL;
}
