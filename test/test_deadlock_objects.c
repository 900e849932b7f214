/* SPDX-License-Identifier: MIT */
/*
 * Deadlocks by way of objects: limiters, groups, generators, jobs (lib/sched/graph.h).
 *
 * Promised                                          Tested by
 *   a limiter held by its waiters is found
 *     by the holder itself                              a_holder_that_acquires_again
 *     by two that hold one each                         two_limiters_crosswise
 *     by all of several holders                         all_holders_wait
 *     over two loops                                    two_limiters_crosswise_on_two_loops
 *   and nothing else is taken for one
 *     a token with a thread                             a_token_with_a_thread_is_a_way_out
 *     one of two holders goes on                        a_holder_that_goes_on_is_a_way_out
 *     who released, who got it meanwhile                a_token_that_was_passed_on_is_forgotten
 *     tokens that others release                        tokens_that_move_are_a_way_out
 *     anybody at any moment                             stress_tokens_without_a_cycle
 *   a child that waits for who closes its group       a_child_that_waits_for_the_opener
 *                                                     a_late_child_that_waits_for_the_opener
 *   a child whose starter it waits for                a_child_that_waits_for_its_starter
 *   a generator whose consumer it waits for           a_body_that_waits_for_its_consumer
 *                                                     a_remote_body_that_waits_for_its_consumer
 *   a job whose loop is blocked by it                 a_job_and_its_blocked_loop
 *     that runs a loop of its own                       a_job_in_whose_loop_the_ring_closes
 *   jobs that run, and wait for, each other           stress_two_jobs_that_wait_for_each_other
 */
#include "worlds.h"

#include <anysync.h>

#include <errno.h>
#include <stdatomic.h>

static struct anysync_limiter *new_limiter(size_t total)
{
    struct anysync_limiter *limiter = NULL;

    CHECK_EQ(anysync_limiter_new(total, &limiter), 0);
    return limiter;
}

static size_t borrowed(struct anysync_limiter *limiter)
{
    struct anysync_limiter_figures figures;

    anysync_limiter_stats(limiter, &figures);
    return figures.borrowed;
}

/* --- limiters --------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(void, acquires_twice, (struct anysync_limiter *, limiter))
{
    CHECK_EQ(anysync_limiter_acquire(limiter, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_limiter_acquire(limiter, ANYSYNC_FOREVER), -EDEADLK);
    CHECK_CONTAINS(anysync_last_error()->message, "task \"acquires_twice\" waits for");
    CHECK_EQ(anysync_limiter_acquire(limiter, anysync_in_ms(1)), -ETIMEDOUT);
    anysync_limiter_release(limiter);
    return 0;
}

TEST(a_holder_that_acquires_again)
{
    struct anysync_limiter *limiter = new_limiter(1);

    CHECK_EQ(acquires_twice_run(limiter), 0);
    CHECK_EQ(acquires_twice_run_here(limiter), 0);
    CHECK_EQ(borrowed(limiter), 0);
    anysync_limiter_unref(limiter);
}

/* Holds FIRST, says so, waits for the other's word, wants SECOND; counts who was told. */
static atomic_int told;

ANYSYNC_COROUTINE(void, crosses, (struct anysync_limiter *, first),
        (struct anysync_limiter *, second), (struct anysync_future *, mine),
        (struct anysync_future *, others))
{
    CHECK_EQ(anysync_limiter_acquire(first, ANYSYNC_FOREVER), 0);
    open_gate(mine);
    pass_gate(others);
    int error = anysync_limiter_acquire(second, ANYSYNC_FOREVER);
    if (error == -EDEADLK) {
        CHECK_CONTAINS(anysync_last_error()->message, "\"crosses\"");
        atomic_fetch_add(&told, 1);
    } else {
        CHECK_EQ(error, 0);
        anysync_limiter_release(second);
    }
    anysync_limiter_release(first);
    return 0;
}

static void cross(struct anysync_executor *one, struct anysync_executor *other)
{
    struct anysync_limiter *a = new_limiter(1), *b = new_limiter(1);
    struct anysync_future *gates[2] = {new_gate(), new_gate()};
    crosses_future soon[2];

    atomic_store(&told, 0);
    CHECK_EQ(crosses_start_on(one, &soon[0], a, b, gates[0], gates[1]), 0);
    CHECK_EQ(crosses_start_on(other, &soon[1], b, a, gates[1], gates[0]), 0);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(crosses_wait(&soon[i], ANYSYNC_FOREVER), 0);
        crosses_drop(&soon[i]);
        anysync_future_unref(gates[i]);
    }
    CHECK_GE(atomic_load(&told), 1);
    CHECK_EQ(borrowed(a) + borrowed(b), 0);
    anysync_limiter_unref(a);
    anysync_limiter_unref(b);
}

TEST(two_limiters_crosswise)
{
    cross(NULL, NULL);
}

TEST(two_limiters_crosswise_on_two_loops)
{
    struct anysync_executor *other = NULL;

    CHECK_EQ(anysync_executor_new(NULL, &other), 0);
    for (long i = test_scaled(20); i > 0; i--)
        cross(NULL, other);
    anysync_executor_unref(other);
}

/* Holds a token of LIMITER and waits for the end of FUTURE. */
ANYSYNC_COROUTINE(void, holds_and_waits, (struct anysync_limiter *, limiter),
        (struct anysync_future *, holds), (struct anysync_future **, until))
{
    CHECK_EQ(anysync_limiter_acquire(limiter, ANYSYNC_FOREVER), 0);
    open_gate(holds);
    int error = anysync_future_wait(*until, ANYSYNC_FOREVER);
    anysync_limiter_release(limiter);
    return error;
}

ANYSYNC_COROUTINE(int, wants, (struct anysync_limiter *, limiter))
{
    *result = anysync_limiter_acquire(limiter, ANYSYNC_FOREVER);
    if (*result == 0)
        anysync_limiter_release(limiter);
    return 0;
}

/* COUNT tasks hold all tokens; all but GOING wait for the one that wants one, which is first. */
static int hold_all(size_t count, size_t going)
{
    struct anysync_limiter *limiter = new_limiter(count);
    struct anysync_future *way_out = new_gate(), *wanting = NULL, *holds[4];
    holds_and_waits_future soon[4];
    struct anysync_task *task = NULL;
    int result = -1;

    CHECK_EQ(wants_new(&task, limiter), 0);
    for (size_t i = 0; i < count; i++)
        holds[i] = new_gate();
    /* The futures are there before the tasks need them: a holder looks when it is its turn. */
    for (size_t i = 0; i < count; i++) {
        CHECK_EQ(
                holds_and_waits_start(&soon[i], limiter, holds[i], i < going ? &way_out : &wanting),
                0);
    }
    CHECK_EQ(anysync_task_start(task, &wanting), 0);
    for (size_t i = 0; i < count; i++)
        pass_gate(holds[i]);
    CHECK_EQ(anysync_yield(), 0);
    open_gate(way_out);
    CHECK_EQ(anysync_wait(wanting, &result, ANYSYNC_FOREVER), 0);
    for (size_t i = 0; i < count; i++) {
        int error = holds_and_waits_wait(&soon[i], ANYSYNC_FOREVER);
        CHECK(error == 0 || error == -EDEADLK);
        if (error)
            result = error;
        holds_and_waits_drop(&soon[i]);
        anysync_future_unref(holds[i]);
    }
    anysync_future_unref(wanting);
    anysync_future_unref(way_out);
    anysync_task_unref(task);
    CHECK_EQ(borrowed(limiter), 0);
    anysync_limiter_unref(limiter);
    return result;
}

ANYSYNC_COROUTINE(void, all_hold)
{
    CHECK_EQ(hold_all(3, 0), -EDEADLK);
    CHECK_EQ(hold_all(1, 0), -EDEADLK);
    return 0;
}

TEST(all_holders_wait)
{
    CHECK_EQ(all_hold_run_here(), 0);
    CHECK_EQ(all_hold_run(), 0);
}

ANYSYNC_COROUTINE(void, one_goes_on)
{
    CHECK_EQ(hold_all(3, 1), 0);
    CHECK_EQ(hold_all(2, 1), 0);
    return 0;
}

TEST(a_holder_that_goes_on_is_a_way_out)
{
    CHECK_EQ(one_goes_on_run_here(), 0);
    CHECK_EQ(one_goes_on_run(), 0);
}

TEST(a_token_with_a_thread_is_a_way_out)
{
    struct anysync_limiter *limiter = new_limiter(1);
    wants_future soon;
    int result = -1;

    CHECK_EQ(anysync_limiter_acquire(limiter, ANYSYNC_FOREVER), 0);
    CHECK_EQ(wants_start(&soon, limiter), 0);
    CHECK_EQ(wants_wait(&soon, NULL, anysync_in_ms(2)), -ETIMEDOUT);
    anysync_limiter_release(limiter);
    CHECK_EQ(wants_wait(&soon, &result, ANYSYNC_FOREVER), 0);
    CHECK_EQ(result, 0);
    wants_drop(&soon);
    anysync_limiter_unref(limiter);
}

/* A acquires and releases; B has the token now, and A waits for B, while C waits for a token. */
ANYSYNC_COROUTINE(void, passed_on)
{
    struct anysync_limiter *limiter = new_limiter(1);
    struct anysync_future *release = new_gate(), *holds = new_gate();
    holds_and_waits_future b;
    wants_future c;
    int result = -1;

    CHECK_EQ(anysync_limiter_acquire(limiter, ANYSYNC_FOREVER), 0);
    CHECK_EQ(holds_and_waits_start(&b, limiter, holds, &release), 0);
    CHECK_EQ(wants_start(&c, limiter), 0);
    CHECK_EQ(anysync_yield(), 0); /* both are in line */
    anysync_limiter_release(limiter);
    pass_gate(holds);
    CHECK_EQ(anysync_future_wait(c.future, anysync_in_ms(1)), -ETIMEDOUT);
    open_gate(release);
    CHECK_EQ(wants_wait(&c, &result, ANYSYNC_FOREVER), 0); /* this task holds nothing any more */
    CHECK_EQ(result, 0);
    CHECK_EQ(holds_and_waits_wait(&b, ANYSYNC_FOREVER), 0);
    holds_and_waits_drop(&b);
    wants_drop(&c);
    anysync_future_unref(holds);
    anysync_future_unref(release);
    anysync_limiter_unref(limiter);
    return 0;
}

TEST(a_token_that_was_passed_on_is_forgotten)
{
    CHECK_EQ(passed_on_run_here(), 0);
    CHECK_EQ(passed_on_run(), 0);
}

ANYSYNC_COROUTINE(void, releases, (struct anysync_limiter *, limiter))
{
    anysync_limiter_release(limiter);
    return 0;
}

/* The token of this task is released by another: then nobody can tell who holds the next. */
ANYSYNC_COROUTINE(void, moved)
{
    struct anysync_limiter *limiter = new_limiter(1);
    wants_future soon;
    int result = -1;

    CHECK_EQ(anysync_limiter_acquire(limiter, ANYSYNC_FOREVER), 0);
    CHECK_EQ(releases_await(limiter), 0);
    CHECK_EQ(anysync_limiter_acquire(limiter, ANYSYNC_FOREVER), 0);
    CHECK_EQ(wants_start(&soon, limiter), 0);
    CHECK_EQ(releases_start(NULL, limiter), 0); /* after this task waits for who wants one */
    CHECK_EQ(wants_wait(&soon, &result, ANYSYNC_FOREVER), 0);
    CHECK_EQ(result, 0);
    wants_drop(&soon);
    anysync_limiter_unref(limiter);
    return 0;
}

TEST(tokens_that_move_are_a_way_out)
{
    CHECK_EQ(moved_run_here(), 0);
}

enum { LIMITERS = 3, USERS = 6 };

static struct anysync_limiter *ordered[LIMITERS];

/* Takes two limiters, always the lower one first: no cycle can come of it. */
ANYSYNC_COROUTINE(void, takes_in_order, (long, rounds), (unsigned, seed))
{
    for (long i = 0; i < rounds; i++) {
        seed = seed * 1103515245u + 12345u;
        unsigned low = (seed >> 16) % (LIMITERS - 1);
        unsigned high = low + 1 + (seed >> 20) % (LIMITERS - 1 - low);
        CHECK_EQ(anysync_limiter_acquire(ordered[low], ANYSYNC_FOREVER), 0);
        CHECK_EQ(anysync_limiter_acquire(ordered[high], ANYSYNC_FOREVER), 0);
        CHECK_EQ(anysync_yield(), 0);
        anysync_limiter_release(ordered[high]);
        anysync_limiter_release(ordered[low]);
    }
    return 0;
}

static void take_on_thread(void *argument, int index)
{
    (void)argument;
    long rounds = test_scaled(300);

    if (index % 3 == 0)
        CHECK_EQ(takes_in_order_run_here(rounds, (unsigned)index), 0);
    else
        CHECK_EQ(takes_in_order_run(rounds, (unsigned)index), 0);
}

TEST(stress_tokens_without_a_cycle)
{
    for (int i = 0; i < LIMITERS; i++)
        ordered[i] = new_limiter(i == 1 ? 2 : 1);
    test_together(USERS, take_on_thread, NULL);
    for (int i = 0; i < LIMITERS; i++) {
        CHECK_EQ(borrowed(ordered[i]), 0);
        anysync_limiter_unref(ordered[i]);
    }
}

/* --- groups ----------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(void, waits_for, (struct anysync_future **, whom))
{
    return anysync_future_wait(*whom, ANYSYNC_FOREVER);
}

ANYSYNC_COROUTINE(void, opens, (struct anysync_future **, myself))
{
    int error = 0;

    ANYSYNC_GROUP(group, &error)
    {
        error = waits_for_spawn(group, NULL, myself);
    }
    CHECK_EQ(error, -EDEADLK);
    CHECK_CONTAINS(anysync_last_error()->message, "\"opens\"");
    CHECK_CONTAINS(anysync_last_error()->message, "\"waits_for\"");
    return 0;
}

ANYSYNC_COROUTINE(void, starts_opens)
{
    static struct anysync_future *myself;
    opens_future soon;

    CHECK_EQ(opens_start(&soon, &myself), 0);
    myself = soon.future; /* before the child looks: it begins when its opener waits */
    CHECK_EQ(opens_wait(&soon, ANYSYNC_FOREVER), 0);
    opens_drop(&soon);
    return 0;
}

TEST(a_child_that_waits_for_the_opener)
{
    CHECK_EQ(starts_opens_run_here(), 0);
    CHECK_EQ(starts_opens_run(), 0);
}

ANYSYNC_COROUTINE(void, adds_one, (struct anysync_group *, group), (struct anysync_future **, whom))
{
    CHECK_EQ(anysync_yield(), 0); /* the close waits by now */
    return waits_for_spawn(group, NULL, whom);
}

ANYSYNC_COROUTINE(void, opens_late, (struct anysync_future **, myself))
{
    int error = 0;

    ANYSYNC_GROUP(group, &error)
    {
        error = adds_one_spawn(group, NULL, group, myself);
    }
    CHECK_EQ(error, -EDEADLK);
    return 0;
}

ANYSYNC_COROUTINE(void, starts_late)
{
    static struct anysync_future *myself;
    opens_late_future soon;

    CHECK_EQ(opens_late_start(&soon, &myself), 0);
    myself = soon.future;
    CHECK_EQ(opens_late_wait(&soon, ANYSYNC_FOREVER), 0);
    opens_late_drop(&soon);
    return 0;
}

TEST(a_late_child_that_waits_for_the_opener)
{
    CHECK_EQ(starts_late_run_here(), 0);
    CHECK_EQ(starts_late_run(), 0);
}

ANYSYNC_COROUTINE(void, begins, (struct anysync_future **, myself))
{
    struct anysync_group *group = NULL;
    struct waits_for_arguments arguments = {myself};

    CHECK_EQ(anysync_group_open(&group), 0);
    CHECK_EQ(anysync_group_start(
                     group, &waits_for_function, &arguments, NULL, 0, NULL, ANYSYNC_FOREVER),
            -EDEADLK);
    CHECK_CONTAINS(anysync_last_error()->message, "\"begins\"");
    CHECK_EQ(anysync_group_close(group, 0, ANYSYNC_FOREVER), 0);
    return 0;
}

ANYSYNC_COROUTINE(void, starts_begins)
{
    static struct anysync_future *myself;
    begins_future soon;

    CHECK_EQ(begins_start(&soon, &myself), 0);
    myself = soon.future;
    CHECK_EQ(begins_wait(&soon, ANYSYNC_FOREVER), 0);
    begins_drop(&soon);
    return 0;
}

TEST(a_child_that_waits_for_its_starter)
{
    CHECK_EQ(starts_begins_run_here(), 0);
    CHECK_EQ(starts_begins_run(), 0);
}

/* --- generators ------------------------------------------------------------------------------- */

ANYSYNC_GENERATOR(int, asks_back, (struct anysync_future **, whom))
{
    int error = asks_back_yield(1);

    if (!error)
        error = anysync_future_wait(*whom, ANYSYNC_FOREVER);
    if (error == -ECANCELED) /* the consumer was told, and has closed */
        return error;
    CHECK_EQ(error, -EDEADLK);
    CHECK_CONTAINS(anysync_last_error()->message, "\"asks_back\"");
    CHECK_CONTAINS(anysync_last_error()->message, "\"consumes\"");
    return error;
}

ANYSYNC_COROUTINE(
        void, consumes, (struct anysync_executor *, where), (struct anysync_future **, myself))
{
    struct anysync_generator_options options = {.executor = where};
    asks_back_generator generator;
    int item = 0;

    CHECK_EQ(asks_back_open_with(where ? &options : NULL, &generator, myself), 0);
    CHECK_EQ(asks_back_next(&generator, &item), 0);
    CHECK_EQ(item, 1);
    CHECK_EQ(asks_back_next(&generator, &item), -EDEADLK);
    if (!where) /* the body waits last, and so it is told; over two loops it may be either */
        CHECK_EQ(asks_back_next(&generator, &item), ANYSYNC_DONE);
    asks_back_drop(&generator);
    return 0;
}

ANYSYNC_COROUTINE(void, starts_consumes, (struct anysync_executor *, where))
{
    static struct anysync_future *myself;
    consumes_future soon;

    CHECK_EQ(consumes_start(&soon, where, &myself), 0);
    myself = soon.future;
    CHECK_EQ(consumes_wait(&soon, ANYSYNC_FOREVER), 0);
    consumes_drop(&soon);
    return 0;
}

TEST(a_body_that_waits_for_its_consumer)
{
    CHECK_EQ(starts_consumes_run_here(NULL), 0);
    CHECK_EQ(starts_consumes_run(NULL), 0);
}

TEST(a_remote_body_that_waits_for_its_consumer)
{
    struct anysync_executor *other = NULL;

    CHECK_EQ(anysync_executor_new(NULL, &other), 0);
    for (long i = test_scaled(20); i > 0; i--)
        CHECK_EQ(starts_consumes_run_here(other), 0);
    anysync_executor_unref(other);
}

/* --- jobs ------------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(void, nothing)
{
    return 0;
}

ANYSYNC_BLOCKING(void, needs_the_worker)
{
    CHECK_EQ(nothing_run(), -EDEADLK); /* on the global worker, which waits for this job */
    CHECK_CONTAINS(anysync_last_error()->message, "\"needs_the_worker\"");
    CHECK_CONTAINS(anysync_last_error()->message, "\"blocks_the_worker\"");
    return 0;
}

ANYSYNC_COROUTINE(void, blocks_the_worker)
{
    return anysync_run(&needs_the_worker_function, NULL, NULL, ANYSYNC_FOREVER);
}

TEST(a_job_and_its_blocked_loop)
{
    CHECK_EQ(blocks_the_worker_run(), 0);
}

ANYSYNC_BLOCKING(void, may_need_the_worker)
{
    return nothing_run();
}

ANYSYNC_COROUTINE(void, waits_for_a_job)
{
    return anysync_call(&may_need_the_worker_function, NULL, NULL);
}

ANYSYNC_BLOCKING(void, runs_a_loop)
{
    return waits_for_a_job_run_here();
}

ANYSYNC_COROUTINE(void, blocks_the_worker_too)
{
    return anysync_run(&runs_a_loop_function, NULL, NULL, ANYSYNC_FOREVER);
}

/* The worker waits for a job, whose own loop waits for another job, which needs the worker.  Who of
 * them waits last is told. */
TEST(a_job_in_whose_loop_the_ring_closes)
{
    for (long i = test_scaled(20); i > 0; i--) {
        CHECK_EQ(blocks_the_worker_too_run(), -EDEADLK);
        CHECK_CONTAINS(anysync_last_error()->message, "\"runs_a_loop\"");
        CHECK_CONTAINS(anysync_last_error()->message, "\"waits_for_a_job\"");
    }
}

enum { MOST_JOBS = 1000 };

static struct anysync_future *first_jobs[MOST_JOBS]; /* kept: a second may look late */
static struct anysync_future *first_known;

ANYSYNC_BLOCKING(void, waits_for_the_first, (struct anysync_future *, first))
{
    int error = anysync_future_wait(first, ANYSYNC_FOREVER);

    CHECK(error == 0 || error == -EDEADLK); /* 0: the first was told, and has ended */
    return 0;
}

ANYSYNC_BLOCKING(void, runs_the_second, (struct anysync_future **, myself))
{
    pass_gate(first_known);
    int error = anysync_run(&waits_for_the_first_function,
            &(struct waits_for_the_first_arguments){*myself}, NULL, ANYSYNC_FOREVER);

    CHECK(error == 0 || error == -EDEADLK);
    return 0;
}

TEST(stress_two_jobs_that_wait_for_each_other)
{
    long count = test_scaled(100);

    for (long i = 0; i < count && i < MOST_JOBS; i++) {
        runs_the_second_future soon;
        first_known = new_gate();
        CHECK_EQ(runs_the_second_start(&soon, &first_jobs[i]), 0);
        first_jobs[i] = soon.future;
        open_gate(first_known);
        CHECK_EQ(runs_the_second_wait(&soon, ANYSYNC_FOREVER), 0);
        anysync_future_unref(first_known);
    }
}
