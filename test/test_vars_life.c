/* SPDX-License-Identifier: MIT */
/*
 * Contract F5: how long values live (include/anysync/vars.h), and what they cost.
 *
 * Promised                                       Tested by
 *   a context that nobody comes to use         f5_a_context_of_a_task_that_never_runs_is_let_go
 *   capture is O(1)                            f5_a_capture_does_not_depend_on_the_number
 *   drop functions: once for each value            f5_each_value_is_dropped_once
 *     by a thread that ends                        f5_a_thread_that_ends_drops_its_values
 *     a context that was let go keeps none         f5_a_context_let_go_keeps_no_value
 *     by anysync_exit(), in no task any more       f5_values_of_a_task_that_exits_are_dropped
 *   no memory, anywhere                            f5_no_memory_changes_nothing
 *   a context goes on in a child process           f5_stress_a_context_is_usable_after_fork
 *   many threads share and change                  f5_stress_shared_values
 */
#include "fault.h"
#include "worlds.h"

#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

ANYSYNC_VAR(int, number, 1);

static void set_number(int value)
{
    CHECK_EQ(number_set(value, NULL), 0);
}

ANYSYNC_COROUTINE(int, looks)
{
    *result = number_get();
    return 0;
}

ANYSYNC_COROUTINE(int, adds_one)
{
    int error = number_set(number_get() + 1, NULL);

    *result = number_get();
    return error;
}

/* One more in CONTEXT, by a task. */
static int run_with(struct anysync_context *context)
{
    struct anysync_task *task;
    int value = 0;

    CHECK_EQ(adds_one_new(&task), 0);
    CHECK_EQ(anysync_task_use_context(task, context), 0);
    CHECK_EQ(anysync_task_run(task, &value, ANYSYNC_FOREVER), 0);
    anysync_task_unref(task);
    return value;
}

/* --- drop ------------------------------------------------------------------------------------- */

static atomic_int made, dropped;

static void drop_thing(int **thing)
{
    CHECK_EQ(**thing, 77); /* not dropped before, as far as can be seen */
    **thing = 0;
    free(*thing);
    dropped++;
}

ANYSYNC_VAR_DROP(int *, thing, NULL, drop_thing);

static int set_thing(struct anysync_token *token)
{
    int *value = malloc(sizeof(*value));

    CHECK(value != NULL);
    *value = 77;
    int error = thing_set(value, token);
    if (error)
        free(value); /* it is still ours */
    else
        made++;
    return error;
}

ANYSYNC_COROUTINE(void, sets_things)
{
    struct anysync_token token;
    int error = set_thing(NULL);

    CHECK_EQ(error, 0);
    error = set_thing(&token);
    CHECK_EQ(error, 0);
    error = looks_await(NULL);
    CHECK_EQ(error, 0);
    error = anysync_var_reset(&token);
    CHECK_EQ(error, 0);
    return set_thing(NULL);
}

static void check_dropped(void)
{
    struct anysync_context *context;
    struct anysync_token token;

    CHECK_EQ(anysync_context_capture(&context), 0);
    CHECK_EQ(set_thing(NULL), 0);
    CHECK_EQ(sets_things_run(), 0);
    CHECK_EQ(dropped, made - 1);
    CHECK_EQ(set_thing(&token), 0);
    CHECK_EQ(dropped, made - 2); /* the token has the other */
    anysync_token_drop(&token);
    CHECK_EQ(dropped, made - 1);
    CHECK_EQ(*thing_get(), 77);
    anysync_context_apply(context); /* ours go, the context's come */
    CHECK_EQ(dropped, made);
    anysync_context_unref(context);
    CHECK(thing_get() == NULL);
}

TEST(f5_each_value_is_dropped_once)
{
    in_worlds(EVERYWHERE, check_dropped);
}

/* Several at once, of the same values; then one more, that may be one of them again. */
static void capture_and_let_go(void)
{
    struct anysync_context *contexts[3];

    for (int i = 0; i < 3; i++)
        CHECK_EQ(anysync_context_capture(&contexts[i]), 0);
    for (int i = 0; i < 3; i++)
        anysync_context_unref(contexts[i]);
    CHECK_EQ(anysync_context_capture(&contexts[0]), 0);
    CHECK(anysync_context_ref(contexts[0]) == contexts[0]);
    anysync_context_unref(contexts[0]);
    anysync_context_apply(contexts[0]);
    anysync_context_unref(contexts[0]);
}

ANYSYNC_COROUTINE(void, captures_a_thing)
{
    int error = set_thing(NULL);

    CHECK_EQ(error, 0);
    capture_and_let_go();
    return 0;
}

/* The values of the caller, whose map the child had as well. */
ANYSYNC_COROUTINE(void, captures_what_it_has)
{
    capture_and_let_go();
    return 0;
}

static void check_let_go(void)
{
    struct anysync_context *none;
    int before;

    CHECK_EQ(anysync_context_capture(&none), 0);
    CHECK_EQ(set_thing(NULL), 0);
    capture_and_let_go();
    before = dropped;
    CHECK_EQ(set_thing(NULL), 0);
    CHECK_EQ(dropped, before + 1);
    capture_and_let_go();
    CHECK_EQ(captures_what_it_has_run(), 0);
    capture_and_let_go();
    CHECK_EQ(captures_a_thing_run(), 0);
    CHECK_EQ(dropped, made - 1);
    capture_and_let_go();
    anysync_context_apply(none);
    CHECK_EQ(dropped, made);
    anysync_context_unref(none);
}

TEST(f5_a_context_let_go_keeps_no_value)
{
    in_worlds(EVERYWHERE_AND_POOL, check_let_go);
}

TEST(f5_a_context_of_a_task_that_never_runs_is_let_go)
{
    struct anysync_context *context;
    struct anysync_task *task;

    CHECK_EQ(set_thing(NULL), 0);
    CHECK_EQ(anysync_context_capture(&context), 0);
    CHECK_EQ(looks_new(&task), 0);
    CHECK_EQ(anysync_task_use_context(task, context), 0);
    anysync_task_unref(task); /* never used */
    CHECK_EQ(looks_run(NULL), 0);
    CHECK_EQ(anysync_shutdown(ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    CHECK_EQ(looks_new(&task), 0);
    CHECK_EQ(anysync_task_use_context(task, context), 0);
    CHECK_EQ(anysync_task_run(task, NULL, ANYSYNC_FOREVER), -ESHUTDOWN);
    anysync_task_unref(task);
    CHECK_EQ(dropped, 0);
    anysync_context_apply(context); /* the same */
    CHECK_EQ(set_thing(NULL), 0);
    CHECK_EQ(dropped, 0);
    anysync_context_unref(context); /* nobody else had it any more */
    CHECK_EQ(dropped, 1);
}

static void set_and_end(void *argument, int index)
{
    (void)argument;
    for (int i = 0; i <= index; i++)
        CHECK_EQ(set_thing(NULL), 0);
}

TEST(f5_a_thread_that_ends_drops_its_values)
{
    test_together(4, set_and_end, NULL);
    CHECK_EQ(made, 10);
    CHECK_EQ(dropped, 10);
}

static const struct anysync_var *seen_by_drop;

static void look_in_drop(void *value)
{
    (void)value;
    CHECK(!anysync_in_coroutine());
    CHECK(anysync_task_name() == NULL);
    CHECK(anysync_var_look(seen_by_drop) == NULL);
    CHECK_EQ(anysync_await(&looks_function, NULL, NULL, ANYSYNC_FOREVER), -EPERM); /* a sentence */
    dropped++;
}

static const struct anysync_var looking = {"looking", sizeof(int), NULL, look_in_drop};

ANYSYNC_COROUTINE(void, sets_and_exits, (bool, exits))
{
    int value = 1;
    int error = anysync_var_set(&looking, &value, NULL);

    CHECK_EQ(error, 0);
    if (exits)
        anysync_exit(-EIO);
    return -EIO;
}

TEST(f5_values_of_a_task_that_exits_are_dropped)
{
    seen_by_drop = &looking;
    for (int exits = 0; exits < 2; exits++) {
        CHECK_EQ(sets_and_exits_run(exits), -EIO);
        CHECK_EQ(sets_and_exits_run_here(exits), -EIO);
        CHECK_EQ(anysync_last_error()->origin, ANYSYNC_ORIGIN_TASK);
    }
    CHECK_EQ(dropped, 4);
}

/* --- capture ---------------------------------------------------------------------------------- */

/* How often RUN asks for memory, when everything was used before; the least of some tries, as the
 * caches of the library may have to be filled. */
static int count_allocations(void (*run)(void))
{
    int least = 1000;

    for (int i = 0; i < 50; i++) {
        fault_clear();
        run();
        if (fault_count("malloc") < least)
            least = fault_count("malloc");
    }
    return least;
}

static void capture(void)
{
    struct anysync_context *context;

    CHECK_EQ(anysync_context_capture(&context), 0);
    anysync_context_unref(context);
}

static void run_task(void)
{
    CHECK_EQ(looks_run_here(NULL), 0); /* nobody has to wait, which would need memory */
}

TEST(f5_a_capture_does_not_depend_on_the_number)
{
    static struct anysync_var vars[100];
    int value = 1;

    fault_clear();
    int task = count_allocations(run_task);
    set_number(1);
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(count_allocations(capture), 0); /* the one that was let go */
        vars[i] = (struct anysync_var){"one of many", sizeof(int), NULL, NULL};
        CHECK_EQ(anysync_var_set(&vars[i], &value, NULL), 0);
    }
    CHECK_EQ(count_allocations(run_task), task);
}

/* --- no memory -------------------------------------------------------------------------------- */

static int use_all(void)
{
    struct anysync_context *context = NULL;
    struct anysync_task *task = NULL;
    struct anysync_token token;
    int before = number_get();
    int error = number_set(before + 1, &token);

    CHECK_EQ(number_get(), error ? before : before + 1);
    if (error) {
        CHECK_EQ(anysync_var_reset(&token), -EALREADY);
        return error;
    }
    error = anysync_context_capture(&context); /* the next set has to copy the map */
    if (!error)
        error = set_thing(NULL);
    if (!error)
        error = adds_one_new(&task);
    if (!error)
        error = anysync_task_use_context(task, context);
    if (!error)
        error = anysync_task_run(task, NULL, ANYSYNC_FOREVER);
    anysync_task_unref(task);
    anysync_context_unref(context);
    CHECK_EQ(number_get(), before + 1);
    int undone;
    do
        undone = anysync_var_reset(&token);
    while (undone == -ENOMEM); /* the token can be used again */
    CHECK_EQ(undone, 0);
    CHECK_EQ(number_get(), before);
    return error;
}

static void check_no_memory(void)
{
    CHECK_EQ(use_all(), 0);
    for (int nth = 1;; nth++) {
        fault_fail("malloc", nth, false);
        int error = use_all();
        bool reached = fault_failed("malloc") > 0;
        fault_clear();
        CHECK(error == 0 || error == -ENOMEM);
        CHECK_EQ(use_all(), 0);
        CHECK_GE(made, dropped + 1);
        if (!reached)
            return;
    }
}

TEST(f5_no_memory_changes_nothing)
{
    fault_clear();
    in_worlds(PLAIN | WORKER | HERE, check_no_memory);
}

/* --- stress ----------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(int, changes_and_spawns, (int, depth))
{
    int before = number_get(), error = 0;

    if (depth % 2)
        error = set_thing(NULL);
    if (!error)
        error = number_set(before + 1, NULL);
    if (!error)
        error = anysync_yield();
    if (!error && depth > 0)
        error = changes_and_spawns_await(NULL, depth - 1);
    CHECK_EQ(number_get(), before + 1);
    *result = number_get();
    return error;
}

static void share_and_change(void *argument, int index)
{
    struct anysync_context *context = argument;

    for (long i = test_scaled(200); i > 0; i--) {
        changes_and_spawns_future soon;
        int value = 0;
        if (i % 3 == 0)
            anysync_context_apply(context);
        set_number(index);
        CHECK_EQ(set_thing(NULL), 0);
        CHECK_EQ(changes_and_spawns_start(&soon, (int)(i % 4)), 0);
        set_number(-1);
        CHECK_EQ(changes_and_spawns_wait(&soon, &value, ANYSYNC_FOREVER), 0);
        CHECK_EQ(value, index + 1);
        changes_and_spawns_drop(&soon);
        CHECK_GE(run_with(context), 1); /* the last to end wins */
    }
}

TEST(f5_stress_shared_values)
{
    struct anysync_context *context;

    CHECK_EQ(set_thing(NULL), 0);
    CHECK_EQ(anysync_context_capture(&context), 0);
    test_together(4, share_and_change, context);
    anysync_context_unref(context);
    CHECK_EQ(anysync_shutdown(ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    CHECK_EQ(dropped, made - 1);
    CHECK_EQ(*thing_get(), 77);
}

static atomic_bool enough;

static void apply_and_run(void *argument, int index)
{
    (void)index;
    while (!atomic_load(&enough)) {
        anysync_context_apply(argument);
        set_number(1);
    }
}

static int use_in_child(void *argument)
{
    anysync_context_apply(argument);
    CHECK_EQ(number_get(), 12);
    CHECK_EQ(run_with(argument), 13);
    _exit(0);
}

TEST(f5_stress_a_context_is_usable_after_fork)
{
    struct anysync_context *context;

    test_forks_among_threads();
    set_number(12);
    CHECK_EQ(anysync_context_capture(&context), 0);
    struct test_threads *threads = test_threads_start(2, apply_and_run, context);
    for (long i = test_scaled(60); i > 0; i--) {
        struct test_child child = test_child(use_in_child, context);
        CHECK_STR(child.errors, "");
        CHECK(child.exited && child.status == 0);
        free(child.errors);
    }
    atomic_store(&enough, true);
    test_threads_join(threads);
    anysync_context_unref(context);
}
