/* SPDX-License-Identifier: MIT */
/*
 * The calls that wait, as scenes cut them (scenes_calls.h).
 *
 * What most of them wait for is `scene_ready`, a future of an int that the feeder sets to
 * SCENE_VALUE.  What runs on behalf of a call, a task or a job, counts where it begins and where it
 * ends.
 */
#include "scenes_calls.h"

#include "sched/scheduler.h"

struct anysync_future *scene_ready;
int scene_begun, scene_ended;
bool scene_unfed;

static struct anysync_future *other, *never;

void scene_configure_here(void)
{
    asi_scheduler_here()->options.spin = ANYSYNC_SPIN_NEVER;
    asi_scheduler_here()->options.grace_ns = ANYSYNC_FOREVER;
}

void scene_open_ready(void)
{
    VIRTUAL_CHECK(anysync_future_new(sizeof(int), &scene_ready) == 0);
    VIRTUAL_CHECK(anysync_future_new(sizeof(int), &other) == 0);
    VIRTUAL_CHECK(anysync_future_new(0, &never) == 0);
}

static void set_to_value(struct anysync_future *future)
{
    int value = SCENE_VALUE;

    VIRTUAL_CHECK(anysync_future_set(future, &value) == 0);
}

void scene_set_ready(void)
{
    set_to_value(scene_ready);
}

static void set_both(void)
{
    set_to_value(scene_ready);
    set_to_value(other);
}

void scene_close_ready(void)
{
    int value = 0;

    VIRTUAL_CHECK(anysync_wait(scene_ready, &value, ANYSYNC_POLL) == 0 && value == SCENE_VALUE);
    VIRTUAL_CHECK(scene_begun == scene_ended);
    anysync_future_unref(scene_ready);
    anysync_future_unref(other);
    anysync_future_unref(never);
}

int scene_one_of_both(int error, int value)
{
    VIRTUAL_CHECK(value == (error ? 0 : SCENE_VALUE));
    return error;
}

/* What tasks and jobs run: waits for `scene_ready`. */
static int wait_body(void *argument, void *result)
{
    (void)argument;
    scene_begun++;
    int error = anysync_wait(scene_ready, result, ANYSYNC_FOREVER);
    scene_ended++;
    return error;
}

static const struct anysync_function waiter = ANYSYNC_FUNCTION(waiter, wait_body, 0, sizeof(int));
static const struct anysync_function job = {
        "job", __FILE__, __LINE__, wait_body, 0, sizeof(int), 0, ANYSYNC_KIND_BLOCKING};

/* --- waiting ---------------------------------------------------------------------------------- */

static int call_sleep(anysync_time deadline)
{
    anysync_time end = deadline;

    if (end == ANYSYNC_FOREVER && !scene_unfed)
        end = anysync_in_ms(1);
    int error = anysync_sleep(end);

    VIRTUAL_CHECK(error || anysync_now() >= end);
    return error;
}

const struct scene_call scene_call_sleep = {.call = call_sleep, .callers = 1};

static int call_yield(anysync_time deadline)
{
    int error = 0;

    (void)deadline;
    for (int i = 0; i < 3 && !error; i++)
        error = anysync_yield();
    return error;
}

const struct scene_call scene_call_yield = {.call = call_yield, .callers = 1, .endless = true};

static int call_wait(anysync_time deadline)
{
    int value = 0;

    int error = anysync_wait(scene_ready, &value, deadline);

    return scene_one_of_both(error, value);
}

const struct scene_call scene_call_wait = {
        scene_open_ready, call_wait, scene_set_ready, NULL, scene_close_ready, .callers = 2};

static int call_wait_any(anysync_time deadline)
{
    struct anysync_future *futures[] = {NULL, never, scene_ready, other};
    size_t index = 9;
    int error = anysync_wait_any(futures, 4, deadline, &index), value = 0;

    if (error)
        VIRTUAL_CHECK(index == 9);
    else
        VIRTUAL_CHECK(anysync_wait(futures[index], &value, ANYSYNC_POLL) == 0);
    return scene_one_of_both(error, value);
}

const struct scene_call scene_call_wait_any = {
        scene_open_ready, call_wait_any, set_both, NULL, scene_close_ready, .callers = 1};

static int call_wait_all(anysync_time deadline)
{
    struct anysync_future *futures[] = {scene_ready, NULL, other};
    int error = anysync_wait_all(futures, 3, deadline);

    VIRTUAL_CHECK(error || (anysync_future_done(scene_ready) && anysync_future_done(other)));
    return error;
}

const struct scene_call scene_call_wait_all = {
        scene_open_ready, call_wait_all, set_both, NULL, scene_close_ready, .callers = 1};

/* Clean-up in a shield is not cut. */
static int call_shield(anysync_time deadline)
{
    struct anysync_scope shield;
    int error = anysync_future_wait(other, deadline);

    anysync_shield_enter(&shield, ANYSYNC_FOREVER);
    VIRTUAL_CHECK(anysync_future_wait(scene_ready, ANYSYNC_FOREVER) == 0);
    VIRTUAL_CHECK(anysync_scope_exit(&shield, 0) == 0);
    return error;
}

const struct scene_call scene_call_shield = {scene_open_ready, call_shield, set_both, NULL,
        scene_close_ready, .callers = 1, .stays = true};

/* --- tasks and jobs --------------------------------------------------------------------------- */

static int call_await(anysync_time deadline)
{
    int value = 0;
    int error = anysync_await(&waiter, NULL, &value, deadline);

    VIRTUAL_CHECK(scene_begun == scene_ended);
    return scene_one_of_both(error, value);
}

const struct scene_call scene_call_await = {scene_open_ready, call_await, scene_set_ready, NULL,
        scene_close_ready, .callers = 1, .coroutine = true};

static int call_run(anysync_time deadline)
{
    int value = 0;
    int error = anysync_run(&waiter, NULL, &value, deadline);

    VIRTUAL_CHECK(scene_begun == scene_ended);
    return scene_one_of_both(error, value);
}

const struct scene_call scene_call_run = {scene_open_ready, call_run, scene_set_ready, NULL,
        scene_close_ready, .callers = 1, .stays = true};

static struct anysync_executor *elsewhere;

static void open_elsewhere(void)
{
    struct anysync_executor_options options = {
            .spin = ANYSYNC_SPIN_NEVER, .stack_size = 16384, .grace_ns = ANYSYNC_FOREVER};

    scene_open_ready();
    VIRTUAL_CHECK(anysync_executor_new(&options, &elsewhere) == 0);
}

static void close_elsewhere(void)
{
    size_t left = 7;

    VIRTUAL_CHECK(anysync_executor_shutdown(elsewhere, ANYSYNC_DRAIN, ANYSYNC_FOREVER, &left) == 0);
    VIRTUAL_CHECK(left == 0);
    anysync_executor_unref(elsewhere);
    scene_close_ready();
}

static int call_run_on(anysync_time deadline)
{
    int value = 0;
    int error = anysync_run_on(elsewhere, &waiter, NULL, &value, deadline);

    VIRTUAL_CHECK(scene_begun == scene_ended);
    return scene_one_of_both(error, value);
}

const struct scene_call scene_call_run_on = {open_elsewhere, call_run_on, scene_set_ready, NULL,
        close_elsewhere, .callers = 1, .stays = true};

/* A wait that ends early leaves the task alone. */
static struct anysync_future *child;

static int call_spawn(anysync_time deadline)
{
    int value = 0;

    VIRTUAL_CHECK(anysync_spawn(&waiter, NULL, &child) == 0);
    int error = anysync_wait(child, &value, deadline);
    return scene_one_of_both(error, value);
}

static void settle_child(void)
{
    int value = 0;

    if (!child) /* the caller never began */
        return;
    VIRTUAL_CHECK(anysync_wait(child, &value, ANYSYNC_FOREVER) == 0 && value == SCENE_VALUE);
    anysync_future_unref(child);
}

const struct scene_call scene_call_spawn = {scene_open_ready, call_spawn, scene_set_ready,
        settle_child, scene_close_ready, .callers = 1};

static int call_offload(anysync_time deadline)
{
    int value = 0;
    int error = anysync_offload(&job, NULL, &value, NULL, deadline);

    VIRTUAL_CHECK(scene_begun == scene_ended);
    return scene_one_of_both(error, value);
}

const struct scene_call scene_call_offload = {scene_open_ready, call_offload, scene_set_ready, NULL,
        scene_close_ready, .callers = 1, .stays = true};

/* A job that was left alone ends by itself; its value is taken by the caller, or dropped. */
static struct anysync_limiter *jobs; /* of one token: who gets it knows that the job is over */
static struct anysync_future *job_is_gone;
static int taken, dropped;

static void open_abandoned_job(void)
{
    scene_open_ready();
    VIRTUAL_CHECK(anysync_future_new(0, &job_is_gone) == 0);
    VIRTUAL_CHECK(anysync_limiter_new(1, &jobs) == 0);
}

static void drop(void *result)
{
    VIRTUAL_CHECK(*(int *)result == SCENE_VALUE);
    dropped++;
    VIRTUAL_CHECK(anysync_future_set(job_is_gone, NULL) == 0);
}

static int call_abandoned_job(anysync_time deadline)
{
    struct anysync_offload_options options = {.limiter = jobs, .abandon = true, .drop = drop};
    int value = 0;
    int error = anysync_offload(&job, NULL, &value, &options, deadline);

    taken = error == 0;
    return scene_one_of_both(error, value);
}

static void settle_abandoned_job(void)
{
    VIRTUAL_CHECK(anysync_limiter_acquire(jobs, ANYSYNC_FOREVER) == 0);
    if (scene_begun > 0 && !taken)
        VIRTUAL_CHECK(anysync_future_wait(job_is_gone, ANYSYNC_FOREVER) == 0);
    VIRTUAL_CHECK(scene_begun == taken + dropped);
    anysync_limiter_release(jobs);
}

static void close_abandoned_job(void)
{
    scene_close_ready();
    anysync_future_unref(job_is_gone);
    anysync_limiter_unref(jobs);
}

const struct scene_call scene_call_abandoned_job = {open_abandoned_job, call_abandoned_job,
        scene_set_ready, settle_abandoned_job, close_abandoned_job, .callers = 1};

static int back_body(void *argument, void *result)
{
    (void)argument;
    return anysync_run_back(&waiter, NULL, result, ANYSYNC_FOREVER);
}

static const struct anysync_function back_job = {
        "back", __FILE__, __LINE__, back_body, 0, sizeof(int), 0, ANYSYNC_KIND_BLOCKING};

static int call_run_back(anysync_time deadline)
{
    int value = 0;
    int error = anysync_offload(&back_job, NULL, &value, NULL, deadline);

    VIRTUAL_CHECK(scene_begun == scene_ended);
    return scene_one_of_both(error, value);
}

const struct scene_call scene_call_run_back = {scene_open_ready, call_run_back, scene_set_ready,
        NULL, scene_close_ready, .callers = 1, .coroutine = true};

/* --- limiters and channels -------------------------------------------------------------------- */

static struct anysync_limiter *limiter;
static int inside;

static void open_limiter(void)
{
    VIRTUAL_CHECK(anysync_limiter_new(1, &limiter) == 0);
    VIRTUAL_CHECK(anysync_limiter_try_acquire(limiter) == 0);
}

static int call_limiter(anysync_time deadline)
{
    int error = anysync_limiter_acquire(limiter, deadline);

    if (error)
        return error;
    VIRTUAL_CHECK(inside++ == 0);
    error = anysync_yield(); /* with the token */
    inside--;
    anysync_limiter_release(limiter);
    return error;
}

static void release(void)
{
    anysync_limiter_release(limiter);
}

static void close_limiter(void)
{
    VIRTUAL_CHECK(anysync_limiter_try_acquire(limiter) == 0); /* it has come back */
    VIRTUAL_CHECK(anysync_limiter_try_acquire(limiter) == -EAGAIN);
    anysync_limiter_release(limiter);
    anysync_limiter_unref(limiter);
}

const struct scene_call scene_call_limiter = {
        open_limiter, call_limiter, release, NULL, close_limiter, .callers = 2};

static struct anysync_channel *channel;
static int sent[VIRTUAL_THREADS], received[VIRTUAL_THREADS]; /* sums of items, by each thread */

static void open_channel(size_t capacity)
{
    VIRTUAL_CHECK(anysync_channel_new(capacity, sizeof(int), &channel) == 0);
}

/* All that was sent has been received, or is there still. */
static void close_channel(void)
{
    int item, left = 0;

    while (anysync_channel_recv(channel, &item, ANYSYNC_POLL) == 0)
        left += item;
    for (int i = 0; i < VIRTUAL_THREADS; i++)
        left += received[i] - sent[i];
    VIRTUAL_CHECK(left == 0);
    anysync_channel_unref(channel);
}

static int put(int item, anysync_time deadline)
{
    int error = anysync_channel_send(channel, &item, deadline);

    sent[virtual_self()] += error ? 0 : item;
    return error;
}

static int take(anysync_time deadline)
{
    int item = 0;
    int error = anysync_channel_recv(channel, &item, deadline);

    VIRTUAL_CHECK((item == 0) == (error != 0));
    received[virtual_self()] += item;
    return error;
}

static void open_empty_channel(void)
{
    open_channel(2);
}

static void send_two(void)
{
    VIRTUAL_CHECK(put(1, ANYSYNC_FOREVER) == 0);
    VIRTUAL_CHECK(put(2, ANYSYNC_FOREVER) == 0);
}

const struct scene_call scene_call_receive = {
        open_empty_channel, take, send_two, NULL, close_channel, .callers = 2};

static void open_full_channel(void)
{
    open_channel(1);
    VIRTUAL_CHECK(put(10, ANYSYNC_POLL) == 0);
}

static int call_send(anysync_time deadline)
{
    return put(20, deadline);
}

static void receive_two(void)
{
    VIRTUAL_CHECK(take(ANYSYNC_FOREVER) == 0);
    VIRTUAL_CHECK(take(ANYSYNC_FOREVER) == 0);
}

const struct scene_call scene_call_send = {
        open_full_channel, call_send, receive_two, NULL, close_channel, .callers = 2};

/* Who sends and who receives meet; the end of the channel ends who waits alone. */
static void open_meeting(void)
{
    open_channel(0);
}

static void receive_till_the_end(void)
{
    int error;

    do
        error = take(ANYSYNC_FOREVER);
    while (!error);
    VIRTUAL_CHECK(error == ANYSYNC_DONE);
}

static void end_channel(void)
{
    anysync_channel_close(channel);
}

const struct scene_call scene_call_meeting = {
        open_meeting, call_send, receive_till_the_end, end_channel, close_channel, .callers = 2};
