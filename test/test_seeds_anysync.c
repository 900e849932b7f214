/* SPDX-License-Identifier: MIT */
/*
 * AnySync's own tests, by their names; docs/from-python.md has these rows too, and what differs.
 *
 * Promised                                         Tested by
 *   a value: awaited, run, run in a coroutine        await_wrapped_function
 *                                                    sync_wrapped_function, ..._in_async_context
 *   a run changes no variable of its caller,         contextvars_not_shared_between_...
 *     nor of the next run                            contextvar_changes_not_shared_...
 *   a block within a manager, in every world         await_wrapped_context_manager
 *                                                    sync_..., sync_..._in_async_context
 *   a manager is used once                           cannot_resuse_context_manager
 *   errors of enter, exit and the block arrive       exception_during_..._is_propagated
 *   what enter sets is seen in exit only             contextvars_shared_within_async_context
 *   a loop over a generator                          async_for_, sync_for_wrapped_generator
 *                                                    sync_for_..._in_async_context
 *   a loop that is left early                        async_for_with_early_break_...
 *   next, send and throw                             the same three names of each
 *   variables in a loop, and from next to next       contextvars_shared_within_async_for
 *                                                    contextvars_not_shared_between_async_...
 *   recursion blocks thread after thread, and ends   re_entrant_coroutine_does_not_deadlock
 *
 * A sync_..._in_async_context of theirs has its generator on another thread.  So has ours: it runs
 * on an executor of its own, and a plain function that a coroutine calls uses it.
 */
#include "worlds.h"

#include <errno.h>

ANYSYNC_VAR(int, var, 0);

struct text {
    char bytes[16];
};

/* --- coroutines ------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(struct text, get_value)
{
    int error = anysync_yield();

    *result = (struct text){"value"};
    return error;
}

static void check_await(void)
{
    struct text called = {""}, awaited = {""};

    CHECK_EQ(get_value(&called), 0);
    CHECK_STR(called.bytes, "value");
    CHECK_EQ(get_value_await(&awaited), 0);
    CHECK_STR(awaited.bytes, "value");
}

TEST(await_wrapped_function)
{
    in_worlds(IN_COROUTINES, check_await);
}

static void check_run(void)
{
    struct text text = {""};

    CHECK_EQ(get_value_run(&text), 0);
    CHECK_STR(text.bytes, "value");
}

TEST(sync_wrapped_function)
{
    in_worlds(ON_THREADS, check_run);
}

TEST(sync_wrapped_function_in_async_context)
{
    in_worlds(IN_COROUTINES, check_run);
}

/* --- context variables of runs ---------------------------------------------------------------- */

ANYSYNC_COROUTINE(int, set_var, (int, value))
{
    CHECK_EQ(var_set(value, NULL), 0);
    *result = var_get();
    return anysync_yield();
}

static void check_set_in_a_run(void)
{
    int inside = 0;

    CHECK_EQ(set_var_run(&inside, 42), 0);
    CHECK_EQ(inside, 42);
    CHECK_EQ(var_get(), 0);
}

TEST(contextvars_not_shared_between_sync_async_code)
{
    in_worlds(EVERYWHERE, check_set_in_a_run);
}

struct seen {
    int value;
    unsigned thread;
};

ANYSYNC_COROUTINE(struct seen, add_one)
{
    CHECK_EQ(var_set(var_get() + 1, NULL), 0);
    *result = (struct seen){var_get(), anysync_thread_serial()};
    return 0;
}

/* Both runs on one thread, the worker: its own values are not changed either. */
static void check_two_runs(void)
{
    struct anysync_token token;
    struct seen first = {0}, second = {0};

    CHECK_EQ(var_set(1, &token), 0);
    CHECK_EQ(add_one_run(&first), 0);
    CHECK_EQ(add_one_run(&second), 0);
    CHECK_EQ(first.value, 2);
    CHECK_EQ(second.value, 2);
    CHECK_NE(first.thread, anysync_thread_serial());
    if (!(world_now & ON_WORKERS)) /* those get a fresh thread each time */
        CHECK_EQ(first.thread, second.thread);
    CHECK_EQ(var_get(), 1);
    CHECK_EQ(anysync_var_reset(&token), 0);
    CHECK_EQ(var_get(), 0);
}

TEST(contextvar_changes_not_shared_between_runs)
{
    in_worlds(EVERYWHERE, check_two_runs);
}

/* --- context managers ------------------------------------------------------------------------- */

ANYSYNC_CONTEXT_MANAGER(struct text, value_manager)
{
    int error = anysync_yield();

    return error ? error : value_manager_yield((struct text){"value"});
}

static void check_with(void)
{
    bool ran = false;
    int error = 0;

    ANYSYNC_WITH(value_manager, text, &error)
    {
        CHECK_STR(text.bytes, "value");
        ran = true;
    }
    CHECK_EQ(error, 0);
    CHECK(ran);
}

TEST(await_wrapped_context_manager)
{
    in_worlds(WORKER | HERE, check_with);
}

TEST(sync_wrapped_context_manager)
{
    in_worlds(ON_THREADS, check_with);
}

TEST(sync_wrapped_context_manager_in_async_context)
{
    in_worlds(IN_COROUTINES, check_with);
}

static void check_reuse(void)
{
    struct anysync_manager *manager = NULL;
    int blocks = 0, error = 0;

    CHECK_EQ(value_manager_new(&manager), 0);
    ANYSYNC_WITH_MANAGER(struct text, text, manager, &error)
    {
        CHECK_STR(text.bytes, "value");
        blocks++;
    }
    CHECK_EQ(error, 0);
    ANYSYNC_WITH_MANAGER(struct text, text, manager, &error)
    {
        blocks++;
    }
    CHECK_EQ(error, -EALREADY);
    CHECK_CONTAINS(anysync_last_error()->message, "cannot be used again");
    CHECK_EQ(blocks, 1);
    anysync_manager_unref(manager);
}

TEST(cannot_resuse_context_manager)
{
    in_worlds(EVERYWHERE, check_reuse);
}

enum part { NOWHERE, ENTER, EXIT };

/* Fails in PART; otherwise passes on what the block says. */
ANYSYNC_CONTEXT_MANAGER(int, broken, (enum part, part), (int *, ret_told))
{
    if (part == ENTER)
        return anysync_fail(-ERANGE, "broken");
    *ret_told = broken_yield(1);
    return part == EXIT ? anysync_fail(-ERANGE, "broken") : *ret_told;
}

/* In a manager that is broken in PART, a block that ends with CODE.  Returns what came of it. */
static int use_broken(enum part part, int code, int *ret_told, int *ret_blocks)
{
    int error = 0;

    *ret_told = *ret_blocks = 0;
    ANYSYNC_WITH(broken, value, &error, part, ret_told)
    {
        CHECK_EQ(value, 1);
        ++*ret_blocks;
        if (code)
            error = anysync_fail(code, "broken");
    }
    if (error)
        CHECK_STR(anysync_last_error()->message, "broken");
    return error;
}

static void check_broken_enter(void)
{
    int told, blocks;

    CHECK_EQ(use_broken(ENTER, 0, &told, &blocks), -ERANGE);
    CHECK_EQ(blocks, 0);
}

TEST(exception_during_enter_is_propagated)
{
    in_worlds(EVERYWHERE, check_broken_enter);
}

static void check_broken_exit(void)
{
    int told, blocks;

    CHECK_EQ(use_broken(EXIT, 0, &told, &blocks), -ERANGE);
    CHECK_EQ(blocks, 1);
    CHECK_EQ(told, 0);
}

TEST(exception_during_exit_is_propagated)
{
    in_worlds(EVERYWHERE, check_broken_exit);
}

static void check_broken_block(void)
{
    int told, blocks;

    CHECK_EQ(use_broken(NOWHERE, -EDOM, &told, &blocks), -EDOM);
    CHECK_EQ(blocks, 1);
    CHECK_EQ(told, -EDOM);
}

TEST(exception_during_yield_is_propagated)
{
    in_worlds(EVERYWHERE, check_broken_block);
}

/* RET_SEEN: what exit sees. */
ANYSYNC_CONTEXT_MANAGER(int, set_var_around, (int *, ret_seen))
{
    CHECK_EQ(var_set(42, NULL), 0);
    int error = set_var_around_yield(var_get());
    *ret_seen = var_get();
    return error;
}

static void check_vars_of_a_manager(void)
{
    int seen = 0, error = 0;

    ANYSYNC_WITH(set_var_around, value, &error, &seen)
    {
        CHECK_EQ(value, 42);
        CHECK_EQ(var_get(), 0);
    }
    CHECK_EQ(error, 0);
    CHECK_EQ(seen, 42);
    CHECK_EQ(var_get(), 0);
}

TEST(contextvars_shared_within_async_context)
{
    in_worlds(EVERYWHERE, check_vars_of_a_manager);
}

/* --- generators ------------------------------------------------------------------------------- */

ANYSYNC_GENERATOR(int, three)
{
    int error = 0;

    for (int i = 1; i <= 3 && !error; i++)
        error = three_yield(i);
    return error;
}

/* Gives 1, and then what it was sent. */
ANYSYNC_GENERATOR(int, echo)
{
    int sent = 0;
    int error = echo_yield_receive(1, &sent);

    return error ? error : echo_yield(sent);
}

static struct anysync_executor *elsewhere; /* where generators run; NULL: where they like */

static const struct anysync_generator_options *where(void)
{
    static struct anysync_generator_options options;

    options.executor = elsewhere;
    return &options;
}

static void in_worlds_with_generators_elsewhere(unsigned worlds, world_check_fn *check)
{
    CHECK_EQ(anysync_executor_new(NULL, &elsewhere), 0);
    in_worlds(worlds, check);
    CHECK_EQ(anysync_executor_shutdown(elsewhere, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    elsewhere = anysync_executor_unref(elsewhere);
}

static void check_for(void)
{
    three_generator generator;
    int items[4] = {0}, count = 0, error = 0;

    CHECK_EQ(three_open_with(where(), &generator), 0);
    ANYSYNC_FOR_REST(three, item, &error, &generator)
    {
        CHECK(count < 3);
        items[count++] = item;
    }
    three_drop(&generator);
    CHECK_EQ(error, 0);
    CHECK_EQ(count, 3);
    CHECK_EQ(items[0] * 100 + items[1] * 10 + items[2], 123);
}

TEST(async_for_wrapped_generator)
{
    in_worlds(IN_COROUTINES, check_for);
}

TEST(sync_for_wrapped_generator)
{
    in_worlds(ON_THREADS, check_for);
}

TEST(sync_for_wrapped_generator_in_async_context)
{
    in_worlds_with_generators_elsewhere(IN_COROUTINES, check_for);
}

ANYSYNC_GENERATOR(int, for_ever, (bool *, ret_stopped))
{
    int error = 0;

    while (!error)
        error = for_ever_yield(1);
    *ret_stopped = true;
    return error;
}

/* Not eventually: when the statement after the loop runs. */
static void check_early_break(void)
{
    bool stopped = false;
    int error = 0;

    ANYSYNC_FOR(for_ever, item, &error, &stopped)
    {
        CHECK_EQ(item, 1);
        CHECK(!stopped);
        break;
    }
    CHECK(stopped);
    CHECK_EQ(error, 0);
}

TEST(async_for_with_early_break_eventually_stops)
{
    in_worlds(EVERYWHERE, check_early_break);
}

static void check_next(void)
{
    three_generator generator;
    int item = 0;

    CHECK_EQ(three_open_with(where(), &generator), 0);
    for (int i = 1; i <= 3; i++) {
        CHECK_EQ(three_next(&generator, &item), 0);
        CHECK_EQ(item, i);
    }
    CHECK_EQ(three_next(&generator, &item), ANYSYNC_DONE);
    CHECK_EQ(three_next(&generator, &item), ANYSYNC_DONE);
    CHECK_EQ(item, 3);
    three_drop(&generator);
}

TEST(async_next_wrapped_generator)
{
    in_worlds(IN_COROUTINES, check_next);
}

TEST(sync_next_wrapped_generator)
{
    in_worlds(ON_THREADS, check_next);
}

TEST(sync_next_wrapped_generator_in_async_context)
{
    in_worlds_with_generators_elsewhere(IN_COROUTINES, check_next);
}

static void check_send(void)
{
    echo_generator generator;
    int item = 0;

    CHECK_EQ(echo_open_with(where(), &generator), 0);
    CHECK_EQ(echo_next(&generator, &item), 0); /* send(None) */
    CHECK_EQ(item, 1);
    CHECK_EQ(echo_send(&generator, 42, &item), 0);
    CHECK_EQ(item, 42);
    CHECK_EQ(echo_next(&generator, &item), ANYSYNC_DONE);
    echo_drop(&generator);
}

TEST(async_send_wrapped_generator)
{
    in_worlds(IN_COROUTINES, check_send);
}

TEST(sync_send_wrapped_generator)
{
    in_worlds(ON_THREADS, check_send);
}

TEST(sync_send_wrapped_generator_in_async_context)
{
    in_worlds_with_generators_elsewhere(IN_COROUTINES, check_send);
}

static void check_throw(void)
{
    echo_generator generator;
    int item = 7;

    CHECK_EQ(echo_open_with(where(), &generator), 0);
    CHECK_EQ(echo_throw(&generator, -EDOM, "division by zero", &item), -EDOM);
    CHECK_STR(anysync_last_error()->message, "division by zero");
    CHECK_EQ(echo_next(&generator, &item), ANYSYNC_DONE);
    CHECK_EQ(item, 7);
    echo_drop(&generator);
}

TEST(async_throw_wrapped_generator)
{
    in_worlds(IN_COROUTINES, check_throw);
}

TEST(sync_throw_wrapped_generator)
{
    in_worlds(ON_THREADS, check_throw);
}

TEST(sync_throw_wrapped_generator_in_async_context)
{
    in_worlds_with_generators_elsewhere(IN_COROUTINES, check_throw);
}

/* --- context variables of generators ---------------------------------------------------------- */

ANYSYNC_GENERATOR(int, give_var)
{
    int error = var_set(42, NULL);

    for (int i = 0; i < 3 && !error; i++)
        error = give_var_yield(var_get());
    return error;
}

static void check_vars_in_a_loop(void)
{
    int count = 0, error = 0;

    ANYSYNC_FOR(give_var, item, &error)
    {
        CHECK_EQ(item, 42);
        CHECK_EQ(var_get(), 0);
        count++;
    }
    CHECK_EQ(error, 0);
    CHECK_EQ(count, 3);
    CHECK_EQ(var_get(), 0);
}

TEST(contextvars_shared_within_async_for)
{
    in_worlds(EVERYWHERE, check_vars_in_a_loop);
}

static void check_vars_from_next_to_next(void)
{
    static const int expected[] = {42, 0, 0};
    give_var_generator generator;

    CHECK_EQ(give_var_open(&generator), 0);
    for (int i = 0; i < 3; i++) {
        int item = -1;
        CHECK_EQ(give_var_next(&generator, &item), 0);
        CHECK_EQ(item, expected[i]);
        CHECK_EQ(var_get(), 0);
    }
    give_var_drop(&generator);
}

TEST(contextvars_not_shared_between_async_next_calls)
{
    in_worlds(EVERYWHERE, check_vars_from_next_to_next);
}

/* --- recursion -------------------------------------------------------------------------------- */

/* The threads that ran something; each is blocked by the next, so they note one at a time. */
struct threads {
    unsigned serials[64];
    int count;
};

static void note_thread(struct threads *threads)
{
    unsigned self = anysync_thread_serial();

    for (int i = 0; i < threads->count; i++)
        if (threads->serials[i] == self)
            return;
    CHECK(threads->count < 64);
    threads->serials[threads->count++] = self;
}

ANYSYNC_COROUTINE(void, recurse, (struct threads *, threads), (int, depth))
{
    note_thread(threads);
    if (depth == 1)
        return 0;
    int error = recurse_run(threads, depth - 1);
    return error ? error : recurse_run(threads, depth - 1);
}

/* Depth 3, two calls at each level, two outermost calls: 3! * 2 - 2 threads in Python, main
 * included, and as many here. */
TEST(re_entrant_coroutine_does_not_deadlock)
{
    struct threads threads = {.count = 0};

    for (int call = 0; call < 2; call++)
        CHECK_EQ(recurse_run_here(&threads, 3), 0);
    CHECK_EQ(threads.count, 10);
}
