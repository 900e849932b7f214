/* SPDX-License-Identifier: MIT */
/*
 * Scenes of starts that the system refuses, and of loops that are gone: nothing is lost, nobody
 * waits for what will not come.  (What a scene is: virtual.h.)
 */
#include "scenes.h"

#include "api/executor.h"
#include "sched/scheduler.h"

#include <errno.h>

static int nothing_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    return 0;
}

static const struct anysync_function nothing = ANYSYNC_FUNCTION(nothing, nothing_body, 0, 0);
static const struct anysync_function job = {
        "work", __FILE__, __LINE__, nothing_body, 0, 0, 0, ANYSYNC_KIND_BLOCKING};

static int nest_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    return anysync_run(&nothing, NULL, NULL, ANYSYNC_FOREVER);
}

static const struct anysync_function nester = ANYSYNC_FUNCTION(nest, nest_body, 0, 0);

static bool is_refusal(int error)
{
    return error == -ENOMEM || error == -EAGAIN;
}

/* Those who are about to let go of something do; and the last error is always the same. */
static void let_others_go(void)
{
    for (int i = 0; i < 8; i++)
        VIRTUAL_CHECK(anysync_yield() == 0);
    VIRTUAL_CHECK(anysync_limiter_set_total(NULL, 0) == -EINVAL);
}

/* Do what PIECE does, once as usual, and once when a thread or an allocation may be refused. */
static void in_spite(void (*piece)(void))
{
    piece();
    let_others_go();
    size_t before = virtual_in_use();
    virtual_disturb(0, 1);
    piece();
    virtual_disturb(0, 0);
    let_others_go();
    VIRTUAL_CHECK(virtual_in_use() == before);
}

static void start_a_job(void)
{
    struct anysync_offload_options options = {0};
    struct anysync_future *future;

    if (anysync_pool_new(NULL, &options.pool) != 0)
        return;
    int error = anysync_offload_start(&job, NULL, &options, &future);
    VIRTUAL_CHECK(error == 0 || is_refusal(error));
    if (!error) {
        error = anysync_future_wait(future, ANYSYNC_FOREVER);
        VIRTUAL_CHECK(error == 0 || error == -ENOMEM); /* then it is not done, perhaps */
        anysync_future_unref(future);
    }
    error = anysync_offload_start(&job, NULL, &options, NULL);
    VIRTUAL_CHECK(error == 0 || is_refusal(error));
    anysync_pool_unref(options.pool);
}

SCENE(refused_job_loses_nothing, 0, 0)
{
    scene_configure(0);
    in_spite(start_a_job);
}

static void name_a_task(void)
{
    struct anysync_task *task;

    int error = anysync_task_new(&nothing, NULL, "name", &task);
    VIRTUAL_CHECK(error == 0 || error == -ENOMEM);
    if (!error)
        anysync_task_unref(task);
}

SCENE(refused_task_loses_nothing, 0, 0)
{
    scene_configure(0);
    in_spite(name_a_task);
}

static void run_nested(void)
{
    int error = anysync_run(&nester, NULL, NULL, ANYSYNC_FOREVER);
    VIRTUAL_CHECK(error == 0 || is_refusal(error));
}

SCENE(refused_nested_run_loses_nothing, 0, 0)
{
    scene_configure(0);
    in_spite(run_nested);
}

/* A nested run whose thread, or memory, may be refused. */
static void nest_in_spite(void)
{
    virtual_disturb(0, 1);
    int error = anysync_run(&nothing, NULL, NULL, ANYSYNC_FOREVER);
    virtual_disturb(0, 0);
    VIRTUAL_CHECK(error == 0 || is_refusal(error));
}

/* The scheduler that was for it is closed: what comes to it from who knew it before is refused. */
static int nest_in_vain_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    nest_in_spite();
    struct asi_scheduler *scheduler = asi_scheduler_take();
    struct asi_letter letter;
    VIRTUAL_CHECK(!asi_scheduler_post(scheduler, &letter));
    asi_scheduler_give(scheduler);
    return 0;
}

static const struct anysync_function vain_nester = ANYSYNC_FUNCTION(nest, nest_in_vain_body, 0, 0);

SCENE(refused_nested_run_leaves_a_closed_loop, 0, 0)
{
    scene_configure(0);
    VIRTUAL_CHECK(anysync_run(&vain_nester, NULL, NULL, ANYSYNC_FOREVER) == 0);
}

/* --- executors -------------------------------------------------------------------------------- */

static struct anysync_executor *executor;

static void open_executor(void)
{
    struct anysync_executor_options options = {
            .spin = ANYSYNC_SPIN_NEVER, .stack_size = 16384, .grace_ns = ANYSYNC_FOREVER};

    scene_configure(0); /* callers do not look before they sleep, either */
    VIRTUAL_CHECK(anysync_executor_new(&options, &executor) == 0);
}

static void shut_down(void)
{
    VIRTUAL_CHECK(anysync_executor_shutdown(executor, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL) == 0);
}

/* Its thread, or memory, may be refused. */
static int start_in_spite(void)
{
    virtual_disturb(0, 1);
    int error = anysync_executor_start(executor);
    virtual_disturb(0, 0);
    VIRTUAL_CHECK(error == 0 || is_refusal(error));
    return error;
}

static void call(void *unused)
{
    (void)unused;
    int error = anysync_run_on(executor, &nothing, NULL, NULL, ANYSYNC_FOREVER);
    VIRTUAL_CHECK(error == 0 || error == -ESHUTDOWN || is_refusal(error));
}

/* The caller may have seen the worker that was there before. */
SCENE(call_of_an_executor_whose_start_is_refused, 1, 0)
{
    open_executor();
    VIRTUAL_CHECK(anysync_executor_start(executor) == 0);
    int caller = virtual_start(call, NULL);
    shut_down();
    int error = start_in_spite();
    if (error)
        virtual_join(caller);
    shut_down();
    if (!error)
        virtual_join(caller);
    anysync_executor_unref(executor);
}

static struct asi_scheduler *former;

static int note_loop_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    former = asi_scheduler_here();
    return 0;
}

static const struct anysync_function note_loop = ANYSYNC_FUNCTION(note, note_loop_body, 0, 0);

/* An executor that was shut down, and whose loop is known. */
static void open_and_note(void)
{
    open_executor();
    VIRTUAL_CHECK(anysync_run_on(executor, &note_loop, NULL, NULL, ANYSYNC_FOREVER) == 0);
    shut_down();
}

/* As of a nested run above. */
SCENE(refused_start_leaves_a_closed_loop, 0, 0)
{
    struct asi_letter letter;

    open_and_note();
    int error = start_in_spite();
    if (error)
        VIRTUAL_CHECK(!asi_scheduler_post(former, &letter));
    shut_down();
    anysync_executor_unref(executor);
}

/* Who knows a loop from an earlier life sends it a letter at any time: it is refused, or read. */
static struct asi_letter late_letter;
static bool letter_sent, letter_read;

static void read_letter(struct asi_letter *letter, void *receiver)
{
    (void)letter;
    (void)receiver;
    letter_read = true;
}

static void send_letter(void *unused)
{
    (void)unused;
    late_letter.deliver = read_letter;
    letter_sent = asi_scheduler_post(former, &late_letter);
}

static void check_letter(int sender)
{
    virtual_join(sender);
    VIRTUAL_CHECK(letter_read || !letter_sent);
}

SCENE(letter_to_an_executor_whose_start_is_refused, 1, 0)
{
    open_and_note();
    letter_sent = letter_read = false;
    int sender = virtual_start(send_letter, NULL);
    (void)start_in_spite();
    shut_down();
    check_letter(sender);
    anysync_executor_unref(executor);
}

static int nest_twice_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    VIRTUAL_CHECK(anysync_run(&note_loop, NULL, NULL, ANYSYNC_FOREVER) == 0);
    letter_sent = letter_read = false;
    int sender = virtual_start(send_letter, NULL);
    nest_in_spite();
    check_letter(sender);
    return 0;
}

static const struct anysync_function twice_nester = ANYSYNC_FUNCTION(nest, nest_twice_body, 0, 0);

SCENE(letter_to_a_nested_run_whose_start_is_refused, 1, 0)
{
    scene_configure(0);
    VIRTUAL_CHECK(anysync_run(&twice_nester, NULL, NULL, ANYSYNC_FOREVER) == 0);
}

/* Another one may be made where it was. */
static int leave_home_body(void *argument, void *result)
{
    struct anysync_executor *gone = executor;

    (void)argument;
    (void)result;
    VIRTUAL_CHECK(asi_executor_is_here(gone));
    anysync_executor_unref(executor);
    VIRTUAL_CHECK(!asi_executor_is_here(gone));
    return 0;
}

static const struct anysync_function homeless = ANYSYNC_FUNCTION(home, leave_home_body, 0, 0);

SCENE(executor_that_was_freed_is_not_here, 1, 0)
{
    struct anysync_future *future;

    open_executor();
    VIRTUAL_CHECK(anysync_spawn_on(executor, &homeless, NULL, &future) == 0);
    VIRTUAL_CHECK(anysync_future_wait(future, ANYSYNC_FOREVER) == 0);
    anysync_future_unref(future);
}

/* --- groups ----------------------------------------------------------------------------------- */

static struct anysync_group *group;
static struct anysync_future *job_over;
static struct anysync_future *dropped; /* the value of the job, and of what it started */

static void drop_mark(const int *value)
{
    (void)value;
    VIRTUAL_CHECK(anysync_future_set(dropped, NULL) == 0);
}

ANYSYNC_VAR_DROP(int, mark, 0, drop_mark);

/* A child that starts another one, which has its value too. */
static int join_late_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    VIRTUAL_CHECK(mark_set(1, NULL) == 0);
    int error = anysync_group_spawn(group, &nothing, NULL, NULL);
    VIRTUAL_CHECK(error == 0 || error == -ESHUTDOWN || error == -EPIPE || error == -ECANCELED);
    return 0;
}

static const struct anysync_function late_job = {
        "late", __FILE__, __LINE__, join_late_body, 0, 0, 0, ANYSYNC_KIND_BLOCKING};

static int open_and_stay_body(void *argument, void *result)
{
    struct anysync_future *never;
    struct anysync_scope shield;

    (void)argument;
    (void)result;
    asi_scheduler_here()->options.spin = ANYSYNC_SPIN_NEVER;
    asi_scheduler_here()->options.grace_ns = 1;
    VIRTUAL_CHECK(anysync_future_new(0, &never) == 0);
    VIRTUAL_CHECK(anysync_group_open(&group) == 0);
    VIRTUAL_CHECK(anysync_group_spawn(group, &late_job, NULL, &job_over) == 0);
    anysync_shield_enter(&shield, ANYSYNC_FOREVER);
    return anysync_future_wait(never, ANYSYNC_FOREVER);
}

static const struct anysync_function stayer = ANYSYNC_FUNCTION(stay, open_and_stay_body, 0, 0);

/* Its opener is abandoned, and its loop ends, when a child wants to start one more. */
SCENE(group_of_a_loop_that_ends_takes_a_child_or_not, 1, 0)
{
    scene_configure(0);
    VIRTUAL_CHECK(anysync_future_new(0, &dropped) == 0);
    int error = anysync_run_here(&stayer, NULL, NULL, anysync_in_ms(1));
    VIRTUAL_CHECK(error == -ETIMEDOUT);
    if (!group)
        return; /* it never began */
    error = anysync_wait(job_over, NULL, ANYSYNC_FOREVER);
    anysync_future_unref(job_over);
    if (error == 0) /* else it was cancelled before it began */
        VIRTUAL_CHECK(anysync_future_wait(dropped, ANYSYNC_FOREVER) == 0);
}

/* --- managers --------------------------------------------------------------------------------- */

struct large {
    char bytes[1000];
};

static int enter_large(void *self, void *ret_value)
{
    (void)self;
    ((struct large *)ret_value)->bytes[999] = 1;
    return 0;
}

static int exit_large(void *self, int error)
{
    (void)self;
    return error;
}

static const struct anysync_manager_type large_manager =
        ANYSYNC_MANAGER_TYPE(large, sizeof(struct large), enter_large, exit_large);

static void manage(void)
{
    struct anysync_manager *manager;
    struct large value;

    if (anysync_manager_new(&large_manager, NULL, &manager) != 0)
        return;
    int error = anysync_manager_enter(manager, &value, ANYSYNC_FOREVER);
    VIRTUAL_CHECK(error == -ENOMEM || (error == 0 && value.bytes[999] == 1));
    if (!error)
        VIRTUAL_CHECK(anysync_manager_exit(manager, 0, ANYSYNC_FOREVER) == 0);
    anysync_manager_unref(manager);
}

SCENE(refused_manager_loses_nothing, 0, 0)
{
    scene_configure(ANYSYNC_FOREVER);
    in_spite(manage);
}
