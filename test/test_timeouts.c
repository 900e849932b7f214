/* SPDX-License-Identifier: MIT */
/*
 * Deadlines of calls that run a task (include/anysync/task.h, DEADLINES).
 *
 * Contract                                   Tested by
 *   C1 -ETIMEDOUT at the deadline, not before  c1_a_call_ends_at_its_deadline
 *      the same for one that has passed        c1_a_deadline_long_past_ends_the_task
 *      clean-up ends before the call returns   c1_the_clean_up_ends_before_the_call_returns
 *      a value that arrives meanwhile counts   c1_a_value_that_arrives_in_the_clean_up_is_returned
 *      an error that arrives meanwhile does not c1_a_failure_in_the_clean_up_is_still_a_timeout
 *      up to the grace limit: abandoned        c1_a_task_that_stays_is_abandoned_after_the_grace
 *                                              c1_a_task_that_stays_is_abandoned_here
 *                                              c1_a_task_in_a_wait_that_stays_is_abandoned_here
 *                                              c1_what_a_root_leaves_here_is_abandoned
 *      a negative grace: no time at all        c1_without_grace_a_task_is_abandoned_at_once
 *      the loop of an abandoned task is usable c1_a_thread_runs_here_again_after_it_abandoned
 *      a task that never began says so, too    c1_a_waiting_task_here_never_begins_after_abandon
 *   C2 nothing writes to the caller's memory   c2_an_abandoned_task_writes_nothing_to_its_caller
 *                                              c2_a_timed_out_call_leaves_the_result_alone
 *                                              stress_c2_calls_that_leave_at_any_moment
 *   C4 the nearest counts, the outer is not cut c4_an_inner_deadline_leaves_the_outer_task_alone
 *                                              c4_an_outer_deadline_ends_the_inner_task
 *
 * Worlds: see worlds[].  Cancelling by hand: test_cancel.c.  More: test_timeouts_limits.c.
 */
#include "stage.h"

#include <anysync/typed.h>

#include <errno.h>
#include <stdatomic.h>

#define MS ((int64_t)1000 * 1000)

typedef int run_fn(const struct anysync_function *function, const void *argument, void *ret_result,
        anysync_time deadline);

enum place { ON_THREAD, ON_WORKER, ON_HERE };

struct world {
    const char *name;
    run_fn *run;
    enum place caller;
    bool here; /* the limits are those of a here-loop */
};

static struct anysync_executor *own; /* an executor of its own, for those worlds that ask for one */

static int run_on_own(const struct anysync_function *function, const void *argument,
        void *ret_result, anysync_time deadline)
{
    return anysync_run_on(own, function, argument, ret_result, deadline);
}

static const struct world worlds[] = {
        {"run on a plain thread", anysync_run, ON_THREAD, false},
        {"run nested", anysync_run, ON_WORKER, false},
        {"run in a coroutine here", anysync_run, ON_HERE, false},
        {"run here", anysync_run_here, ON_THREAD, true},
        {"await on the worker", anysync_await, ON_WORKER, false},
        {"await here", anysync_await, ON_HERE, true},
        {"run_on from a plain thread", run_on_own, ON_THREAD, false},
        {"run_on from a coroutine", run_on_own, ON_WORKER, false},
};

enum { WORLDS = sizeof(worlds) / sizeof(*worlds) };

/* One call, and what came of it. */
struct call {
    const struct world *world;
    const struct anysync_function *function;
    const void *argument;
    void *result;
    anysync_time deadline;
    int status;
    enum anysync_origin origin;
    char message[512];
};

static void make_call(struct call *call)
{
    call->status = call->world->run(call->function, call->argument, call->result, call->deadline);
    if (call->status == 0)
        return;
    CHECK_EQ(anysync_last_error()->code, call->status);
    call->origin = anysync_last_error()->origin;
    snprintf(call->message, sizeof(call->message), "%s", anysync_last_error()->message);
}

ANYSYNC_COROUTINE(void, caller, (struct call *, call))
{
    make_call(call);
    return 0;
}

static void run_in(const struct world *world, struct call *call)
{
    call->world = world;
    call->message[0] = 0;
    switch (world->caller) {
    case ON_THREAD:
        make_call(call);
        break;
    case ON_WORKER:
        CHECK_EQ(caller_run(call), 0);
        break;
    case ON_HERE:
        CHECK_EQ(caller_run_here(call), 0);
        break;
    }
}

/* Give GRACE_NS to the global executor and to `own`, both not started yet. */
static void give_grace(int64_t grace_ns)
{
    struct anysync_executor_options options = {.name = "own", .grace_ns = grace_ns};

    CHECK_EQ(anysync_configure(&options), 0);
    CHECK_EQ(anysync_executor_new(&options, &own), 0);
}

static void drop_own(void)
{
    CHECK_EQ(anysync_executor_shutdown(own, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    own = anysync_executor_unref(own);
}

/* --- tasks that go when they are asked to ----------------------------------------------------- */

struct trace {
    int waited; /* what the wait returned */
    int steps;  /* of the clean-up */
    int status; /* to return */
    bool began;
};

/* The clean-up suspends a few times: the loop goes on meanwhile. */
ANYSYNC_COROUTINE(int, tidy_sleeper, (struct trace *, trace))
{
    trace->began = true;
    trace->waited = anysync_sleep(ANYSYNC_FOREVER);
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(anysync_yield(), -ECANCELED);
        trace->steps++;
    }
    *result = 7;
    return trace->status;
}

static void check_timed_out(const struct call *call, const char *how)
{
    if (call->status != -ETIMEDOUT)
        test_fail(TEST_HERE, "%s: %d instead of -ETIMEDOUT", call->world->name, call->status);
    CHECK_EQ(call->origin, ANYSYNC_ORIGIN_CALL);
    CHECK_CONTAINS(call->message, "deadline passed");
    CHECK_CONTAINS(call->message, how);
    CHECK_GE(anysync_now(), call->deadline);
}

/* Runs tidy_sleeper with STATUS in world i; the deadline is AFTER_NS from now, 0: long past. */
static struct call time_out(int i, struct trace *trace, int *value, int64_t after_ns)
{
    struct tidy_sleeper_arguments arguments = {trace};
    struct call call = {.function = &tidy_sleeper_function,
            .argument = &arguments,
            .result = value,
            .deadline = after_ns ? anysync_in_ns(after_ns) : ANYSYNC_POLL};

    run_in(&worlds[i], &call);
    return call;
}

TEST(c1_a_call_ends_at_its_deadline)
{
    give_grace(0);
    for (int i = 0; i < WORLDS; i++) {
        struct trace trace = {.status = -ECANCELED};
        int value = 5;
        struct call call = time_out(i, &trace, &value, 3 * MS);
        check_timed_out(&call, "tidy_sleeper");
        CHECK_EQ(value, 5);
    }
    drop_own();
}

TEST(c1_a_deadline_long_past_ends_the_task)
{
    give_grace(0);
    for (int i = 0; i < WORLDS; i++) {
        struct trace trace = {.status = -ECANCELED};
        int value = 5;
        struct call call = time_out(i, &trace, &value, 0);
        check_timed_out(&call, "has ended");
        CHECK_EQ(value, 5);
        CHECK_EQ(trace.steps, trace.began ? 5 : 0);
    }
    drop_own();
}

TEST(c1_the_clean_up_ends_before_the_call_returns)
{
    give_grace(3600 * 1000 * MS);
    for (int i = 0; i < WORLDS; i++) {
        struct trace trace = {.status = -ECANCELED};
        int value = 5;
        struct call call = time_out(i, &trace, &value, 2 * MS);
        check_timed_out(&call, "has ended");
        if (trace.began) {
            CHECK_EQ(trace.waited, -ECANCELED);
            CHECK_EQ(trace.steps, 5);
        }
        CHECK_EQ(value, 5);
    }
    drop_own();
}

TEST(c1_a_value_that_arrives_in_the_clean_up_is_returned)
{
    give_grace(3600 * 1000 * MS);
    for (int i = 0; i < WORLDS; i++) {
        struct trace trace = {.status = 0};
        int value = 5;
        struct call call = time_out(i, &trace, &value, 2 * MS);
        if (trace.began) {
            CHECK_EQ(call.status, 0);
            CHECK_EQ(value, 7);
        } else {
            check_timed_out(&call, "has ended");
        }
    }
    drop_own();
}

TEST(c1_a_failure_in_the_clean_up_is_still_a_timeout)
{
    give_grace(3600 * 1000 * MS);
    for (int i = 0; i < WORLDS; i++) {
        struct trace trace = {.status = -EIO};
        int value = 5;
        struct call call = time_out(i, &trace, &value, 2 * MS);
        check_timed_out(&call, "has ended");
        CHECK_EQ(value, 5);
    }
    drop_own();
}

/* --- tasks that stay -------------------------------------------------------------------------- */

struct page {
    struct stage *stage;
    char text[56];
};

/* Goes on after it was cancelled until it is released, and then has a value. */
ANYSYNC_COROUTINE(struct page, stubborn, (struct page, page))
{
    struct stage *mine = page.stage;

    stay(mine);
    memset(page.text, 'w', sizeof(page.text));
    memset(result->text, 'w', sizeof(result->text));
    return anysync_future_set(mine->ended, NULL);
}

/* Has a stubborn task run into its deadline.  On a busy machine that may pass before it begins: it
 * is then cancelled like any other, and we try again. */
static struct call call_stubborn(
        int i, struct page *argument, struct page *result, int64_t after_ns)
{
    for (;;) {
        struct call call = {.function = &stubborn_function, .argument = argument, .result = result};
        open_stage();
        argument->stage = stage;
        call.deadline = anysync_in_ns(after_ns);
        run_in(&worlds[i], &call);
        if (atomic_load(&stage->began))
            return call;
        atomic_store(&stage->release, true); /* should it begin yet */
    }
}

static bool is_filled(const struct page *page, char with)
{
    for (size_t i = 0; i < sizeof(page->text); i++) {
        if (page->text[i] != with)
            return false;
    }
    return true;
}

/* In all worlds but those on a here-loop, whose task goes on nowhere. */
static void abandon_everywhere(int64_t grace_ns)
{
    give_grace(grace_ns);
    for (int i = 0; i < WORLDS; i++) {
        struct page argument, result;
        if (worlds[i].here)
            continue;
        memset(&argument, 'a', sizeof(argument));
        memset(&result, 'r', sizeof(result));
        struct call call = call_stubborn(i, &argument, &result, 2 * MS);
        check_timed_out(&call, "abandoned");
        CHECK_CONTAINS(call.message, "stubborn");
        if (grace_ns > 0)
            CHECK_GE(anysync_now(), call.deadline + grace_ns);
        close_stage();
        CHECK(is_filled(&result, 'r'));
        CHECK(is_filled(&argument, 'a'));
    }
    drop_own();
}

TEST(c1_a_task_that_stays_is_abandoned_after_the_grace)
{
    abandon_everywhere(5 * MS);
}

TEST(c1_without_grace_a_task_is_abandoned_at_once)
{
    abandon_everywhere(-1);
}

static const struct world *find_here(run_fn *run)
{
    for (int i = 0; i < WORLDS; i++) {
        if (worlds[i].here && worlds[i].run == run)
            return &worlds[i];
    }
    test_fail(TEST_HERE, "no such world");
}

/* A here-loop has no options: its grace is the default, one second. */
static void abandon_here(const struct anysync_function *function, const void *argument)
{
    struct page result;
    struct call call = {.function = function,
            .argument = argument,
            .result = &result,
            .deadline = anysync_in_ns(2 * MS)};

    memset(&result, 'r', sizeof(result));
    run_in(find_here(anysync_run_here), &call);
    check_timed_out(&call, "abandoned");
    CHECK_GE(anysync_now(), call.deadline + 1000 * MS);
    CHECK(is_filled(&result, 'r'));
}

TEST(c1_a_task_that_stays_is_abandoned_here)
{
    struct stubborn_arguments arguments = {{0}};

    open_stage();
    arguments.page.stage = stage;
    abandon_here(&stubborn_function, &arguments);
    CHECK(!anysync_future_done(stage->ended));
}

/* Its last suspension is not a yield: it waits, as long as it takes, for a child that stays. */
ANYSYNC_COROUTINE(void, waits_for_stubborn)
{
    struct page page = {.stage = stage};

    return stubborn_await(NULL, page);
}

TEST(c1_a_task_in_a_wait_that_stays_is_abandoned_here)
{
    open_stage();
    abandon_here(&waits_for_stubborn_function, NULL);
}

ANYSYNC_COROUTINE(int, leaves_stubborn, (struct anysync_future **, left))
{
    stubborn_future child;
    struct page page = {.stage = stage};
    int error = stubborn_start(&child, page);

    *left = child.future;
    *result = 3;
    return error ? error : anysync_yield();
}

TEST(c1_what_a_root_leaves_here_is_abandoned)
{
    struct anysync_future *left = NULL;
    int value = 0;

    open_stage();
    CHECK_EQ(leaves_stubborn_run_here(&value, &left), 0);
    CHECK_EQ(value, 3);
    CHECK(anysync_future_done(left));
    CHECK_EQ(anysync_future_result(left, NULL), -ECANCELED);
    CHECK_CONTAINS(anysync_last_error()->message, "abandoned");
    CHECK_EQ(anysync_cancel(left), ANYSYNC_DONE);
    anysync_future_unref(left);
}

ANYSYNC_COROUTINE(int, answer)
{
    int error = anysync_sleep(anysync_in_ms(1));
    *result = 42;
    return error;
}

TEST(c1_a_thread_runs_here_again_after_it_abandoned)
{
    struct stubborn_arguments arguments = {{0}};
    int value = 0;

    open_stage();
    arguments.page.stage = stage;
    abandon_here(&stubborn_function, &arguments);
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(answer_run_here(&value), 0);
        CHECK_EQ(value, 42);
    }
    CHECK_EQ(anysync_future_set(stage->ended, NULL), 0); /* the abandoned task did not come to it */
}

/* Spawns and never lets go of its processor until long after the grace: the child has no turn. */
ANYSYNC_COROUTINE(void, hog, (answer_future *, child))
{
    int error;

    do
        error = anysync_yield();
    while (!error);
    error = answer_start(child);
    anysync_time end = anysync_in_ns(1100 * MS);
    while (anysync_now() < end)
        ;
    while (!error || !atomic_load(&stage->release)) /* for ever */
        go_on_regardless();
    return error;
}

TEST(c1_a_waiting_task_here_never_begins_after_abandon)
{
    answer_future child = {NULL};

    open_stage();
    CHECK_EQ(hog_run_here_until(&child, anysync_in_ns(2 * MS)), -ETIMEDOUT);
    CHECK(child.future != NULL);
    int value = 5;
    int status = answer_wait(&child, &value, ANYSYNC_FOREVER); /* never done: the time limit */
    CHECK(status == -ECANCELED || (status == 0 && value == 42));
    answer_drop(&child);
}

/* --- the caller's memory ---------------------------------------------------------------------- */

TEST(c2_an_abandoned_task_writes_nothing_to_its_caller)
{
    give_grace(1 * MS);
    for (int i = 0; i < WORLDS; i++) {
        if (worlds[i].here)
            continue;
        struct page *argument = malloc(sizeof(*argument));
        struct page *result = malloc(sizeof(*result));
        CHECK(argument && result);
        memset(argument, 'a', sizeof(*argument));
        memset(result, 'r', sizeof(*result));
        struct call call = call_stubborn(i, argument, result, MS);
        check_timed_out(&call, "abandoned");
        CHECK(is_filled(argument, 'a'));
        CHECK(is_filled(result, 'r'));
        free(argument); /* from now on a sanitizer sees who touches them */
        free(result);
        close_stage();
    }
    drop_own();
}

TEST(c2_a_timed_out_call_leaves_the_result_alone)
{
    struct trace trace = {.status = -ECANCELED};
    int *value = malloc(sizeof(*value));

    CHECK(value != NULL);
    *value = 5;
    CHECK_EQ(tidy_sleeper_run_until(value, &trace, anysync_in_ns(MS)), -ETIMEDOUT);
    CHECK_EQ(*value, 5);
    free(value);
    CHECK_EQ(anysync_shutdown(ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
}

/* Ends at about the deadline of its caller, well or by the cancel. */
ANYSYNC_COROUTINE(long, race_to, (long, value), (anysync_time, end))
{
    int error = anysync_sleep(end);

    *result = value;
    return error;
}

static void leave_at_any_moment(void *argument, int index)
{
    long rounds = test_scaled(400);

    (void)argument;
    for (long i = 0; i < rounds; i++) {
        long value = -1;
        anysync_time end = anysync_in_us(50 + i % 100);
        anysync_time deadline = end + (i % 7 - 3) * 5000;
        const struct race_to_arguments arguments = {i, end};
        struct call call = {.world = &worlds[i % 4 == 3  ? 3
                                             : index % 2 ? 0
                                                         : 6],
                .function = &race_to_function,
                .argument = &arguments,
                .result = &value,
                .deadline = deadline};
        make_call(&call);
        if (call.status == 0)
            CHECK_EQ(value, i);
        else
            check_timed_out(&call, "race_to");
        CHECK(call.status == 0 || value == -1);
    }
}

TEST(stress_c2_calls_that_leave_at_any_moment)
{
    give_grace(0);
    test_together(4, leave_at_any_moment, NULL);
    drop_own();
}

/* --- deadlines inside each other -------------------------------------------------------------- */

ANYSYNC_COROUTINE(int, outer, (struct trace *, trace), (anysync_time, inner))
{
    int error = tidy_sleeper_await_until(result, trace, inner);

    if (error != -ETIMEDOUT)
        return error;
    error = anysync_yield(); /* not cancelled */
    *result = 9;
    return error;
}

TEST(c4_an_inner_deadline_leaves_the_outer_task_alone)
{
    struct trace trace = {.status = -ECANCELED};
    int value = 0;

    CHECK_EQ(outer_run_until(&value, &trace, anysync_in_ns(MS), anysync_in_seconds(3600)), 0);
    CHECK_EQ(value, 9);
    CHECK_EQ(trace.steps, 5);
    CHECK_EQ(outer_run_here_until(&value, &trace, anysync_in_ns(MS), anysync_in_seconds(3600)), 0);
    CHECK_EQ(trace.steps, 10);
}

TEST(c4_an_outer_deadline_ends_the_inner_task)
{
    struct trace trace = {.status = -ECANCELED};
    int value = 5;

    CHECK_EQ(outer_run_until(&value, &trace, ANYSYNC_FOREVER, anysync_in_ns(20 * MS)), -ETIMEDOUT);
    CHECK_CONTAINS(anysync_last_error()->message, "has ended");
    CHECK_EQ(value, 5);
    CHECK_EQ(trace.steps, trace.began ? 5 : 0);
}
