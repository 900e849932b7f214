/* SPDX-License-Identifier: MIT */
/*
 * Scenes of tokens in the wait-for graph: who waits for one waits for those who hold them, while
 * they come, go and become more.  (What a scene is: virtual.h.)
 */
#include "scenes_graph.h"

static struct anysync_limiter *limiter;
static int holding;

static int hold_body(void *argument, void *result)
{
    int most = *(int *)argument;

    (void)result;
    VIRTUAL_CHECK(anysync_limiter_acquire(limiter, ANYSYNC_FOREVER) == 0);
    VIRTUAL_CHECK(++holding <= most);
    int error = anysync_yield();
    holding--;
    anysync_limiter_release(limiter);
    return error;
}

static const struct anysync_function holder = ANYSYNC_FUNCTION(hold, hold_body, sizeof(int), 0);

/* Two of one loop hold tokens in turn, while their number grows. */
SCENE(tokens_become_more_while_some_wait, 1, 1)
{
    int most = 2;

    set_up();
    VIRTUAL_CHECK(anysync_limiter_new(1, &limiter) == 0);
    VIRTUAL_CHECK(anysync_spawn_on(other, &holder, &most, &a) == 0);
    VIRTUAL_CHECK(anysync_spawn_on(other, &holder, &most, &b) == 0);
    VIRTUAL_CHECK(anysync_limiter_set_total(limiter, 2) == 0);
    tear_down();
    anysync_limiter_unref(limiter);
}

static int a_holds_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    VIRTUAL_CHECK(anysync_limiter_acquire(limiter, ANYSYNC_FOREVER) == 0);
    told[A] = anysync_future_wait(b, ANYSYNC_FOREVER);
    anysync_limiter_release(limiter);
    return 0;
}

static int b_wants_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    int error = wait_for_gate();
    told[B] = error ? error : anysync_limiter_acquire(limiter, ANYSYNC_FOREVER);
    if (told[B] == 0)
        anysync_limiter_release(limiter);
    return 0;
}

static const struct anysync_function a_holds = ANYSYNC_FUNCTION(a, a_holds_body, 0, 0);
static const struct anysync_function b_wants = ANYSYNC_FUNCTION(b, b_wants_body, 0, 0);

/* A may get the token after B, and then there is no ring. */
SCENE(ring_by_a_token_is_found, 1, 1)
{
    set_up();
    VIRTUAL_CHECK(anysync_limiter_new(1, &limiter) == 0);
    VIRTUAL_CHECK(anysync_spawn(&b_wants, NULL, &b) == 0);
    VIRTUAL_CHECK(anysync_spawn_on(other, &a_holds, NULL, &a) == 0);
    open_gate();
    tear_down();
    VIRTUAL_CHECK((told[A] == -EDEADLK) + (told[B] == -EDEADLK) <= 1);
    anysync_limiter_unref(limiter);
}

SCENE(token_that_is_there_after_all_is_no_ring, 1, 1)
{
    set_up();
    VIRTUAL_CHECK(anysync_limiter_new(1, &limiter) == 0);
    VIRTUAL_CHECK(anysync_limiter_set_total(limiter, 2) == 0);
    VIRTUAL_CHECK(anysync_spawn(&b_wants, NULL, &b) == 0);
    VIRTUAL_CHECK(anysync_spawn_on(other, &a_holds, NULL, &a) == 0);
    open_gate();
    tear_down();
    VIRTUAL_CHECK(told[A] == 0 && told[B] == 0);
    anysync_limiter_unref(limiter);
}

/* A job gives its token back while it waits for a task of its loop.  When it wants it again others
 * have it, and wait for it: it goes on with one too many after a while. */
static struct anysync_future *job_over;

static int nothing_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    return 0;
}

static const struct anysync_function nothing = ANYSYNC_FUNCTION(nothing, nothing_body, 0, 0);

static int go_back_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    open_gate();
    int error = anysync_run_back(&nothing, NULL, NULL, ANYSYNC_FOREVER);
    VIRTUAL_CHECK(anysync_future_set(job_over, NULL) == 0);
    return error;
}

static const struct anysync_function job = {
        "job", __FILE__, __LINE__, go_back_body, 0, 0, 0, ANYSYNC_KIND_BLOCKING};

static int offload_body(void *argument, void *result)
{
    struct anysync_offload_options options = {.limiter = limiter};

    (void)argument;
    (void)result;
    return anysync_offload(&job, NULL, NULL, &options, ANYSYNC_FOREVER);
}

static const struct anysync_function offloader = ANYSYNC_FUNCTION(offload, offload_body, 0, 0);

static void hold_until_job_is_over(void *unused)
{
    (void)unused;
    VIRTUAL_CHECK(wait_for_gate() == 0);
    VIRTUAL_CHECK(anysync_limiter_acquire(limiter, ANYSYNC_FOREVER) == 0);
    VIRTUAL_CHECK(anysync_future_wait(job_over, ANYSYNC_FOREVER) == 0);
    anysync_limiter_release(limiter);
}

static int hold_in_task_body(void *argument, void *result)
{
    (void)argument;
    (void)result;
    hold_until_job_is_over(NULL);
    return 0;
}

static const struct anysync_function task_holder = ANYSYNC_FUNCTION(hold, hold_in_task_body, 0, 0);

SCENE(job_goes_on_with_a_token_too_many, 1, 0)
{
    struct anysync_limiter_figures figures;

    set_up();
    VIRTUAL_CHECK(anysync_future_new(0, &job_over) == 0);
    VIRTUAL_CHECK(anysync_limiter_new(1, &limiter) == 0);
    VIRTUAL_CHECK(anysync_spawn(&offloader, NULL, &a) == 0);
    VIRTUAL_CHECK(anysync_spawn_on(other, &task_holder, NULL, &b) == 0);
    int thread = virtual_start(hold_until_job_is_over, NULL);
    hold_until_job_is_over(NULL);
    virtual_join(thread);
    tear_down();
    anysync_limiter_stats(limiter, &figures);
    VIRTUAL_CHECK(figures.borrowed == 0 && figures.waiting == 0);
    anysync_limiter_unref(limiter);
    anysync_future_unref(job_over);
}
