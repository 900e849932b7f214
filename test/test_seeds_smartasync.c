/* SPDX-License-Identifier: MIT */
/*
 * SmartAsync's own tests, by their names.
 *
 * Promised                                                    Tested by
 *   plain code: both kinds of methods are called by name        sync_context
 *   a coroutine: the same calls, the same values                async_context
 *   the same, of an object with a fixed layout                  slots, slots_async
 *   a free function like a method                               standalone_function_sync
 *                                                               standalone_function_async
 *   a blocking function in a coroutine: on a pool thread        standalone_sync_function_in_async
 *                                                               bidirectional_scenario_a2
 *   a coroutine function, where a loop is running already       sync_async_method_when_loop_running
 *   errors arrive with code and sentence                        error_propagation
 *                                                               error_propagation_async
 *   each call finds out where it is: nothing is cached,         cache_reset
 *     for no object and no function                             cache_shared_between_instances
 *                                                               sync_to_async_transition
 *
 * docs/from-python.md has these rows too, and what differs.
 */
#include "worlds.h"

#include <errno.h>

struct text {
    char bytes[40];
};

/* An object with methods of both kinds. */
struct manager {
    int calls;
};

ANYSYNC_COROUTINE(struct text, async_method, (struct manager *, self), (const char *, value))
{
    int error = anysync_sleep(anysync_in_ms(1));

    self->calls++;
    snprintf(result->bytes, sizeof(result->bytes), "Result: %s", value);
    return error;
}

ANYSYNC_BLOCKING(struct text, sync_method, (struct manager *, self), (const char *, value))
{
    self->calls++;
    snprintf(result->bytes, sizeof(result->bytes), "Sync: %s", value);
    return 0;
}

static void check_async_method(struct manager *manager, const char *value, const char *expected)
{
    struct text text = {""};
    int before = manager->calls;

    CHECK_EQ(async_method(&text, manager, value), 0);
    CHECK_STR(text.bytes, expected);
    CHECK_EQ(manager->calls, before + 1);
}

/* --- contexts --------------------------------------------------------------------------------- */

static void check_methods(void)
{
    struct manager manager = {0};
    struct text text = {""};

    check_async_method(&manager, "test", "Result: test");
    check_async_method(&manager, "test2", "Result: test2");
    CHECK_EQ(sync_method(&text, &manager, "sync"), 0);
    CHECK_STR(text.bytes, "Sync: sync");
    CHECK_EQ(manager.calls, 3);
}

TEST(sync_context)
{
    in_worlds(ON_THREADS, check_methods);
}

TEST(async_context)
{
    in_worlds(IN_COROUTINES, check_methods);
}

/* --- slots ------------------------------------------------------------------------------------ */

struct slots {
    const char *items[4];
    int count;
};

ANYSYNC_COROUTINE(void, add_item, (struct slots *, self), (const char *, item))
{
    int error = anysync_sleep(anysync_in_ms(1));

    if (!error)
        self->items[self->count++] = item;
    return error;
}

ANYSYNC_COROUTINE(int, get_count, (const struct slots *, self))
{
    int error = anysync_sleep(anysync_in_ms(1));

    *result = self->count;
    return error;
}

static void check_slots(void)
{
    struct slots object = {.count = 0};
    int count = 0;

    CHECK_EQ(add_item(&object, "one"), 0);
    CHECK_EQ(add_item(&object, "two"), 0);
    CHECK_EQ(add_item(&object, "three"), 0);
    CHECK_EQ(get_count(&count, &object), 0);
    CHECK_EQ(count, 3);
    CHECK_STR(object.items[2], "three");
}

TEST(slots)
{
    in_worlds(ON_THREADS, check_slots);
}

TEST(slots_async)
{
    in_worlds(IN_COROUTINES, check_slots);
}

/* --- free functions --------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(int, twice, (int, n))
{
    *result = 2 * n;
    return anysync_yield();
}

static void check_twice(void)
{
    int value = 0;

    CHECK_EQ(twice(&value, 21), 0);
    CHECK_EQ(value, 42);
}

TEST(standalone_function_sync)
{
    in_worlds(ON_THREADS, check_twice);
}

TEST(standalone_function_async)
{
    in_worlds(IN_COROUTINES, check_twice);
}

ANYSYNC_BLOCKING(unsigned, where_it_blocks)
{
    *result = anysync_thread_serial();
    return 0;
}

static void check_blocks_elsewhere(void)
{
    unsigned there = 0;

    CHECK_EQ(where_it_blocks(&there), 0);
    CHECK_NE(there, 0);
    if (anysync_in_coroutine())
        CHECK_NE(there, anysync_thread_serial());
    else
        CHECK_EQ(there, anysync_thread_serial());
}

TEST(standalone_sync_function_in_async)
{
    in_worlds(EVERYWHERE, check_blocks_elsewhere);
}

/* --- scenario A2: a coroutine program on an old blocking library ------------------------------ */

enum { OPERATIONS = 3 };

struct legacy {
    struct anysync_future *arrived[OPERATIONS]; /* operation i is in the library */
    int done[OPERATIONS];
};

/* Returns when all are in: the pool runs them at the same time, or this hangs. */
ANYSYNC_BLOCKING(int, legacy_square, (struct legacy *, self), (int, index))
{
    CHECK(!anysync_in_coroutine()); /* so what waits here blocks */
    open_gate(self->arrived[index]);
    CHECK_EQ(anysync_wait_all(self->arrived, OPERATIONS, ANYSYNC_FOREVER), 0);
    self->done[index] = 1;
    *result = (index + 2) * (index + 2);
    return 0;
}

/* A coroutine for each, all of one loop: if one blocked it, the others would never begin. */
ANYSYNC_COROUTINE(int, square_in_coroutine, (struct legacy *, self), (int, index))
{
    return legacy_square(result, self, index);
}

static void check_scenario_a2(void)
{
    struct legacy legacy = {{NULL}, {0}};
    square_in_coroutine_future soon[OPERATIONS];

    for (int i = 0; i < OPERATIONS; i++)
        legacy.arrived[i] = new_gate();
    for (int i = 0; i < OPERATIONS; i++)
        CHECK_EQ(square_in_coroutine_start(&soon[i], &legacy, i), 0);
    for (int i = 0; i < OPERATIONS; i++) {
        int value = 0;
        CHECK_EQ(square_in_coroutine_wait(&soon[i], &value, ANYSYNC_FOREVER), 0);
        CHECK_EQ(value, (i + 2) * (i + 2));
        CHECK_EQ(legacy.done[i], 1); /* what it did is seen */
        square_in_coroutine_drop(&soon[i]);
    }
    for (int i = 0; i < OPERATIONS; i++)
        anysync_future_unref(legacy.arrived[i]);
}

TEST(bidirectional_scenario_a2)
{
    in_worlds(IN_COROUTINES, check_scenario_a2);
}

/* --- a loop is running already ---------------------------------------------------------------- */

/* SmartAsync cannot: it hands out a coroutine there.  A plain call gives the value here, and so
 * does one that blocks on purpose. */
static void check_when_loop_running(void)
{
    struct manager manager = {0};
    struct text text = {""};

    CHECK(anysync_in_coroutine());
    check_async_method(&manager, "plain call", "Result: plain call");
    CHECK_EQ(async_method_run(&text, &manager, "run"), 0);
    CHECK_STR(text.bytes, "Result: run");
    CHECK_EQ(async_method_run_here(&text, &manager, "here"), -EDEADLK);
    CHECK_CONTAINS(anysync_last_error()->message, "anysync_run()"); /* says what to do */
}

TEST(sync_async_method_when_loop_running)
{
    in_worlds(IN_COROUTINES, check_when_loop_running);
}

/* --- errors ----------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(int, buggy, (int, code))
{
    int error = anysync_sleep(anysync_in_ms(1));

    return error ? error : anysync_fail(code, "user error %d in async code", code);
}

static void check_error(void)
{
    int value = 7;

    CHECK_EQ(buggy(&value, -ERANGE), -ERANGE);
    CHECK_EQ(value, 7);
    CHECK_EQ(anysync_last_error()->code, -ERANGE);
    CHECK_CONTAINS(anysync_last_error()->message, "in async code");
    CHECK_CONTAINS(anysync_last_error()->function, "buggy");
}

TEST(error_propagation)
{
    in_worlds(ON_THREADS, check_error);
}

TEST(error_propagation_async)
{
    in_worlds(IN_COROUTINES, check_error);
}

/* --- no cache --------------------------------------------------------------------------------- */

static struct manager *shared; /* the object that calls from several worlds use */

static void check_shared(void)
{
    char expected[40], value[20];

    snprintf(value, sizeof(value), "world %d", (int)world_now);
    snprintf(expected, sizeof(expected), "Result: %s", value);
    check_async_method(shared, value, expected);
}

/* There is no cache to reset: the call after a call in another world is as good as the first. */
TEST(cache_reset)
{
    struct manager manager = {0};

    shared = &manager;
    in_worlds(PLAIN, check_shared);
    in_worlds(HERE, check_shared);
    in_worlds(PLAIN, check_shared);
    CHECK_EQ(manager.calls, 3);
}

/* Nor is there one that objects share: one is used in coroutines, the other in plain code. */
TEST(cache_shared_between_instances)
{
    struct manager first = {0}, second = {0};

    for (int round = 0; round < 2; round++) {
        shared = &first;
        in_worlds(IN_COROUTINES, check_shared);
        shared = &second;
        in_worlds(ON_THREADS, check_shared);
    }
    CHECK_EQ(first.calls, 8);
    CHECK_EQ(second.calls, 4);
}

/* And no order of worlds in which a function has to be used. */
TEST(sync_to_async_transition)
{
    struct manager manager = {0};

    shared = &manager;
    in_worlds(EVERYWHERE, check_shared); /* PLAIN comes first, FOREIGN last */
    in_worlds(EVERYWHERE, check_shared);
    CHECK_EQ(manager.calls, 12);
}
