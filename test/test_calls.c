/* SPDX-License-Identifier: MIT */
/*
 * Contract G: automatic calls.
 *
 * Promised                                       Tested by
 *   G1  plain to coroutine function: runs          g1_plain_code_calls_a_coroutine_function
 *       plain to blocking function: a plain call   g1_plain_code_calls_a_blocking_function_directly
 *       coroutine to coroutine function: suspends  g1_a_coroutine_calls_a_coroutine_function
 *       coroutine to blocking function: the pool   g1_a_coroutine_calls_a_blocking_function
 *       and the loop goes on                       g1_the_loop_goes_on_meanwhile
 *       the value arrives everywhere               g1_call_gives_the_value_in_every_world
 *       and so does the error                      g1_call_gives_the_error_in_every_world
 *       run, run_here, await, run_on, spawn        g1_each_way_of_running_takes_blocking_functions
 *       and task objects                           g1_task_objects_of_blocking_functions
 *       never on a loop's thread                   g1_run_of_a_blocking_function_in_a_coroutine
 *       the option nested is kept                  g1_run_keeps_to_the_option_nested
 *   G2  three at once: in order, with effects      g2_three_calls_at_once
 *   G3  methods                                    g3_methods
 *       tables of functions of both kinds          g3_a_table_of_both_kinds
 *   G4  in a callback: -EDEADLK with a text        g4_a_callback_is_told_what_to_do
 *   G5  on a pool thread: a plain call             g5_a_job_calls_a_blocking_function_directly
 */
#include "worlds.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>

ANYSYNC_BLOCKING(int, square, (int, n))
{
    CHECK(!anysync_in_coroutine());
    *result = n * n;
    return 0;
}

ANYSYNC_COROUTINE(int, square_later, (int, n))
{
    int error = anysync_yield();

    CHECK(anysync_in_coroutine());
    *result = n * n;
    return error;
}

ANYSYNC_BLOCKING(unsigned, where)
{
    CHECK(!anysync_in_coroutine());
    *result = anysync_thread_serial();
    return 0;
}

ANYSYNC_COROUTINE(unsigned, where_coroutine)
{
    *result = anysync_thread_serial();
    return 0;
}

ANYSYNC_BLOCKING(void, refuse, (const char *, why))
{
    return anysync_fail(-ENXIO, "no: %s", why);
}

/* --- G1 --------------------------------------------------------------------------------------- */

TEST(g1_plain_code_calls_a_coroutine_function)
{
    unsigned serial = 0;
    int n = 0;

    CHECK_EQ(square_later(&n, 3), 0);
    CHECK_EQ(n, 9);
    CHECK_EQ(where_coroutine(&serial), 0);
    CHECK_NE(serial, anysync_thread_serial());
}

TEST(g1_plain_code_calls_a_blocking_function_directly)
{
    unsigned serial = 0;
    int n = 0;

    CHECK_EQ(square(&n, 3), 0);
    CHECK_EQ(n, 9);
    CHECK_EQ(where(&serial), 0);
    CHECK_EQ(serial, anysync_thread_serial());
    CHECK_EQ(anysync_call(&where_function, NULL, &serial), 0);
    CHECK_EQ(serial, anysync_thread_serial());
    CHECK_EQ(stats_of(NULL).workers, 0);
}

static void check_coroutine_call(void)
{
    unsigned serial = 0;
    uint64_t before = anysync_tasks_started();
    int n = 0;

    CHECK_EQ(square_later(&n, 5), 0);
    CHECK_EQ(n, 25);
    CHECK_EQ(where_coroutine(&serial), 0);
    CHECK_EQ(serial, anysync_thread_serial());
    CHECK_EQ(anysync_tasks_started(), before);
}

TEST(g1_a_coroutine_calls_a_coroutine_function)
{
    in_worlds(IN_COROUTINES, check_coroutine_call);
}

static void check_blocking_call(void)
{
    unsigned serial = 0, again = 0;

    CHECK_EQ(where(&serial), 0);
    CHECK_NE(serial, anysync_thread_serial());
    CHECK_EQ(where(&again), 0);
    CHECK_EQ(serial, again); /* one at a time: the warm thread */
}

TEST(g1_a_coroutine_calls_a_blocking_function)
{
    in_worlds(IN_COROUTINES, check_blocking_call);
}

ANYSYNC_BLOCKING(void, pass, (struct anysync_future *, gate))
{
    pass_gate(gate);
    return 0;
}

ANYSYNC_COROUTINE(void, opener, (struct anysync_future *, gate))
{
    open_gate(gate);
    return 0;
}

/* The job ends only because another task of the same loop goes on. */
static void check_goes_on(void)
{
    struct anysync_future *gate = new_gate();
    ANYSYNC_SCOPED_FUTURE(opener, soon);

    CHECK_EQ(opener_start(&soon, gate), 0);
    CHECK_EQ(pass(gate), 0);
    CHECK_EQ(opener_wait(&soon, ANYSYNC_FOREVER), 0);
    anysync_future_unref(gate);
}

TEST(g1_the_loop_goes_on_meanwhile)
{
    in_worlds(IN_COROUTINES, check_goes_on);
}

static void check_value(void)
{
    int n = 0;

    CHECK_EQ(square(&n, 7), 0);
    CHECK_EQ(n, 49);
    CHECK_EQ(square(NULL, 7), 0);
    n = 0;
    CHECK_EQ(anysync_call(&square_function, &(int){8}, &n), 0);
    CHECK_EQ(n, 64);
}

TEST(g1_call_gives_the_value_in_every_world)
{
    in_worlds(EVERYWHERE_AND_POOL, check_value);
}

static void check_error(void)
{
    CHECK_EQ(refuse("today"), -ENXIO);
    CHECK_STR(anysync_last_error()->message, "no: today");
    CHECK_STR(anysync_last_error()->function, "refuse");
}

TEST(g1_call_gives_the_error_in_every_world)
{
    in_worlds(EVERYWHERE_AND_POOL, check_error);
}

static void check_ways(void)
{
    struct anysync_future *soon = NULL;
    int n = 0, three = 3;

    CHECK_EQ(anysync_run(&square_function, &three, &n, ANYSYNC_FOREVER), 0);
    CHECK_EQ(n, 9);
    n = 0;
    CHECK_EQ(anysync_run_on(NULL, &square_function, &three, &n, ANYSYNC_FOREVER), 0);
    CHECK_EQ(n, 9);
    n = 0;
    if (anysync_in_coroutine()) {
        CHECK_EQ(anysync_await(&square_function, &three, &n, ANYSYNC_FOREVER), 0);
        CHECK_EQ(anysync_run_here(&square_function, &three, &n, ANYSYNC_FOREVER), -EDEADLK);
    } else {
        CHECK_EQ(anysync_run_here(&square_function, &three, &n, ANYSYNC_FOREVER), 0);
        CHECK_EQ(anysync_await(&square_function, &three, &n, ANYSYNC_FOREVER), -EPERM);
    }
    CHECK_EQ(n, 9);
    n = 0;
    CHECK_EQ(anysync_spawn(&square_function, &three, &soon), 0);
    CHECK_EQ(anysync_wait(soon, &n, ANYSYNC_FOREVER), 0);
    CHECK_EQ(n, 9);
    anysync_future_unref(soon);
    CHECK_EQ(anysync_spawn_on(NULL, &square_function, &three, &soon), 0);
    CHECK_EQ(anysync_wait(soon, &n, ANYSYNC_FOREVER), 0);
    anysync_future_unref(soon);
    n = 0;
    CHECK_EQ(square_offload(NULL, &n, 3), 0);
    CHECK_EQ(n, 9);
}

TEST(g1_each_way_of_running_takes_blocking_functions)
{
    in_worlds(EVERYWHERE_AND_POOL, check_ways);
}

enum way { RUN, RUN_HERE, AWAIT, START, START_ON, WAYS };

static int use_task(struct anysync_task *task, enum way way, int *ret_n)
{
    struct anysync_future *soon = NULL;
    int error = 0;

    switch (way) {
    case RUN:
        return anysync_task_run(task, ret_n, ANYSYNC_FOREVER);
    case RUN_HERE:
        return anysync_task_run_here(task, ret_n, ANYSYNC_FOREVER);
    case AWAIT:
        return anysync_task_await(task, ret_n, ANYSYNC_FOREVER);
    case START:
        error = anysync_task_start(task, &soon);
        break;
    case START_ON:
        error = anysync_task_start_on(NULL, task, &soon);
        break;
    case WAYS:
        break;
    }
    if (!error)
        error = anysync_wait(soon, ret_n, ANYSYNC_FOREVER);
    anysync_future_unref(soon);
    return error;
}

static void check_task_objects(void)
{
    for (enum way way = RUN; way < WAYS; way++) {
        struct anysync_task *task = NULL;
        bool works = way == (anysync_in_coroutine() ? RUN_HERE : AWAIT);
        int n = 0;

        CHECK_EQ(square_new(&task, 4), 0);
        int error = use_task(task, way, &n);
        CHECK_EQ(error, !works ? 0 : way == AWAIT ? -EPERM : -EDEADLK);
        CHECK_EQ(n, works ? 0 : 16);
        CHECK_EQ(use_task(task, RUN, &n), -EALREADY);
        anysync_task_unref(task);
        CHECK_EQ(refuse_new(&task, "a task"), 0);
        error = use_task(task, way, NULL);
        if (!works) {
            CHECK_EQ(error, -ENXIO);
            CHECK_STR(anysync_last_error()->message, "no: a task");
        }
        anysync_task_unref(task);
    }
}

TEST(g1_task_objects_of_blocking_functions)
{
    struct anysync_task *task = NULL;

    in_worlds(EVERYWHERE_AND_POOL, check_task_objects);
    CHECK_EQ(square_new(&task, 4), 0); /* never used */
    anysync_task_unref(task);
}

static void check_run_in_coroutine(void)
{
    unsigned serial = 0;

    CHECK_EQ(anysync_run(&where_function, NULL, &serial, ANYSYNC_FOREVER), 0);
    CHECK_NE(serial, anysync_thread_serial());
}

TEST(g1_run_of_a_blocking_function_in_a_coroutine)
{
    in_worlds(EVERYWHERE_AND_POOL, check_run_in_coroutine);
}

ANYSYNC_COROUTINE(void, runs_a_job)
{
    return anysync_run(&where_function, NULL, NULL, ANYSYNC_FOREVER);
}

ANYSYNC_COROUTINE(void, runs_a_gate_job, (struct anysync_future *, gate))
{
    ANYSYNC_SCOPED_FUTURE(opener, soon);

    CHECK_EQ(opener_start(&soon, gate), 0);
    CHECK_EQ(anysync_run(&pass_function, &gate, NULL, ANYSYNC_FOREVER), 0);
    return opener_wait(&soon, ANYSYNC_FOREVER);
}

TEST(g1_run_keeps_to_the_option_nested)
{
    struct anysync_executor_options options = {.nested = ANYSYNC_NESTED_SUSPEND};
    struct anysync_executor *executor = NULL;
    struct anysync_future *gate = new_gate();

    CHECK_EQ(anysync_executor_new(&options, &executor), 0);
    CHECK_EQ(runs_a_gate_job_run_on(executor, gate), 0);
    anysync_executor_unref(executor);
    options.nested = ANYSYNC_NESTED_ERROR;
    CHECK_EQ(anysync_executor_new(&options, &executor), 0);
    CHECK_EQ(runs_a_job_run_on(executor), -EDEADLK);
    anysync_executor_unref(executor);
    anysync_future_unref(gate);
}

/* --- G2 --------------------------------------------------------------------------------------- */

static int effects[3];
static atomic_int begun;

ANYSYNC_BLOCKING(int, noted_square, (int, n))
{
    atomic_fetch_add(&begun, 1);
    while (atomic_load(&begun) < 3) /* all three are at it at once, each on its own thread */
        sched_yield();
    effects[n - 2] = n; /* plain: each job has its own */
    *result = n * n;
    return 0;
}

static void check_three(void)
{
    noted_square_future soon[3];

    memset(effects, 0, sizeof(effects));
    atomic_store(&begun, 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(noted_square_start(&soon[i], i + 2), 0);
    for (int i = 0; i < 3; i++) {
        int n = 0;
        CHECK_EQ(noted_square_wait(&soon[i], &n, ANYSYNC_FOREVER), 0);
        CHECK_EQ(n, (i + 2) * (i + 2));
        CHECK_EQ(effects[i], i + 2);
        noted_square_drop(&soon[i]);
    }
}

TEST(g2_three_calls_at_once)
{
    in_worlds(EVERYWHERE_AND_POOL, check_three);
}

/* --- G3 --------------------------------------------------------------------------------------- */

struct account {
    int balance;
};

ANYSYNC_BLOCKING(int, account_add, (struct account *, self), (int, amount))
{
    *result = self->balance += amount;
    return 0;
}

ANYSYNC_COROUTINE(int, account_add_later, (struct account *, self), (int, amount))
{
    int error = anysync_yield();

    *result = self->balance += amount;
    return error;
}

static void check_methods(void)
{
    struct account account = {.balance = 1};
    int balance = 0;

    CHECK_EQ(account_add(&balance, &account, 2), 0);
    CHECK_EQ(balance, 3);
    CHECK_EQ(account_add_later(&balance, &account, 4), 0);
    CHECK_EQ(balance, 7);
    CHECK_EQ(account.balance, 7);
}

TEST(g3_methods)
{
    in_worlds(EVERYWHERE_AND_POOL, check_methods);
}

struct adders {
    const struct anysync_function *now;
    const struct anysync_function *later;
};

static void check_table(void)
{
    static const struct adders adders = {&account_add_function, &account_add_later_function};
    const struct anysync_function *const table[] = {adders.now, adders.later, adders.now};
    struct account account = {.balance = 0};
    int balance = 0;

    for (int i = 0; i < 3; i++) {
        struct account_add_arguments arguments = {.self = &account, .amount = i + 1};
        CHECK_EQ(anysync_call(table[i], &arguments, &balance), 0);
    }
    CHECK_EQ(balance, 6);
}

TEST(g3_a_table_of_both_kinds)
{
    in_worlds(EVERYWHERE_AND_POOL, check_table);
}

/* --- G4 --------------------------------------------------------------------------------------- */

static struct anysync_future *callback_ran;

static void on_callback(evutil_socket_t fd, short events, void *argument)
{
    ANYSYNC_SCOPED_FUTURE(square, soon);
    int n = 0;

    (void)fd;
    (void)events;
    (void)argument;
    CHECK_EQ(square_later(&n, 2), -EDEADLK);
    CHECK_CONTAINS(anysync_last_error()->message, "spawn");
    CHECK_EQ(square(&n, 2), -EDEADLK);
    CHECK_CONTAINS(anysync_last_error()->message, "spawn");
    CHECK_EQ(square_offload(NULL, &n, 2), -EDEADLK);
    CHECK_CONTAINS(anysync_last_error()->message, "anysync_offload_start()");
    CHECK_EQ(n, 0);
    CHECK_EQ(square_start(&soon, 2), 0); /* what the text says */
    open_gate(callback_ran);
}

ANYSYNC_COROUTINE(void, calls_back)
{
    struct event_base *base = anysync_event_base();

    CHECK(base);
    CHECK_EQ(event_base_once(base, -1, EV_TIMEOUT, on_callback, NULL, NULL), 0);
    pass_gate(callback_ran);
    return 0;
}

TEST(g4_a_callback_is_told_what_to_do)
{
    callback_ran = new_gate();
    CHECK_EQ(calls_back_run(), 0);
    anysync_future_unref(callback_ran);
    callback_ran = new_gate();
    CHECK_EQ(calls_back_run_here(), 0);
    anysync_future_unref(callback_ran);
}

/* --- G5 --------------------------------------------------------------------------------------- */

ANYSYNC_BLOCKING(void, calls_directly)
{
    unsigned serial = 0;

    CHECK_EQ(where(&serial), 0);
    CHECK_EQ(serial, anysync_thread_serial());
    CHECK_EQ(anysync_run_here(&where_function, NULL, &serial, ANYSYNC_FOREVER), 0);
    CHECK_EQ(serial, anysync_thread_serial());
    return 0;
}

TEST(g5_a_job_calls_a_blocking_function_directly)
{
    CHECK_EQ(calls_directly_offload(NULL), 0);
}
