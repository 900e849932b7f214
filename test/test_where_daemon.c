/* SPDX-License-Identifier: MIT */
/*
 * Contract A9: the worker is a daemon.  (The rest of A: test_where.c.)
 *
 * Promised                                       Tested by
 *   A9  returning from main ends the process       a9_returning_from_main_with_tasks_asleep
 *                                                  a9_returning_from_main_with_a_busy_task
 *                                                  a9_returning_from_main_with_a_nested_run
 *       nothing is taken from it meanwhile         a9_the_worker_goes_on_while_the_process_exits
 *                                                  a9_returning_from_main_with_threads_that_wait
 *                                                  a9_returning_from_main_with_an_executor_left
 *                                                  a9_returning_from_main_with_an_idle_worker
 *
 * Each main() here is a process of its own: whatever it or a sanitizer says is an error.
 */
#include "worlds.h"

#include <sched.h>
#include <stdatomic.h>

ANYSYNC_COROUTINE(unsigned, where)
{
    *result = anysync_thread_serial();
    return 0;
}

/* MAIN_FUNCTION, in a process of its own, ends well and says nothing. */
static void check_clean_end(int (*main_function)(void *))
{
    struct test_child child = test_child(main_function, NULL);

    CHECK_STR(child.errors, "");
    CHECK(child.exited);
    CHECK_EQ(child.status, 0);
    free(child.errors);
}

/* Holds memory that only its stack knows. */
ANYSYNC_COROUTINE(void, sleep_for_ever, (struct anysync_future *, begun))
{
    char *memory = malloc(1000);

    CHECK(memory);
    memory[0] = 1;
    open_gate(begun);
    int error = anysync_sleep(ANYSYNC_FOREVER);
    free(memory);
    return error;
}

static int main_with_sleepers(void *argument)
{
    (void)argument;
    for (int i = 0; i < 100; i++) {
        struct anysync_future *begun = new_gate();

        CHECK_EQ(sleep_for_ever_start(NULL, begun), 0);
        pass_gate(begun);
        anysync_future_unref(begun);
    }
    CHECK_EQ(stats_of(NULL).live, 100);
    return 0;
}

TEST(a9_returning_from_main_with_tasks_asleep)
{
    check_clean_end(main_with_sleepers);
}

ANYSYNC_COROUTINE(void, never_rest, (struct anysync_future *, begun))
{
    open_gate(begun);
    for (;;) {
        int error = anysync_yield();
        if (error)
            return error;
    }
}

static int main_with_busy_task(void *argument)
{
    struct anysync_future *begun = new_gate();

    (void)argument;
    CHECK_EQ(never_rest_start(NULL, begun), 0);
    pass_gate(begun);
    anysync_future_unref(begun);
    return 0;
}

TEST(a9_returning_from_main_with_a_busy_task)
{
    check_clean_end(main_with_busy_task);
}

static atomic_bool look_at_exit;
static atomic_long turns;

/* The last thing that runs in a process: the worker still turns, and nothing is gone under it. */
__attribute__((destructor(101))) static void see_it_go_on(void)
{
    long seen = atomic_load(&turns);

    while (atomic_load(&look_at_exit) && atomic_load(&turns) < seen + 100)
        sched_yield();
}

ANYSYNC_COROUTINE(void, count_turns)
{
    for (;;) {
        int error = anysync_yield();
        if (error)
            return error;
        atomic_fetch_add(&turns, 1);
    }
}

static int main_with_late_look(void *argument)
{
    (void)argument;
    CHECK_EQ(count_turns_start(NULL), 0);
    atomic_store(&look_at_exit, true);
    return 0;
}

TEST(a9_the_worker_goes_on_while_the_process_exits)
{
    check_clean_end(main_with_late_look);
}

ANYSYNC_COROUTINE(void, nest_for_ever, (struct anysync_future *, begun))
{
    return sleep_for_ever_run(begun);
}

static int main_with_nested_run(void *argument)
{
    struct anysync_future *begun = new_gate();

    (void)argument;
    CHECK_EQ(nest_for_ever_start(NULL, begun), 0);
    pass_gate(begun);
    anysync_future_unref(begun);
    return 0;
}

TEST(a9_returning_from_main_with_a_nested_run)
{
    check_clean_end(main_with_nested_run);
}

static void wait_for_ever(void *argument, int index)
{
    struct anysync_future **begun = argument;

    if (index % 2 == 0)
        CHECK_EQ(sleep_for_ever_run(begun[index]), 0);
    else
        CHECK_EQ(sleep_for_ever_run_here(begun[index]), 0);
}

static int main_with_waiting_threads(void *argument)
{
    static struct anysync_future *begun[4];
    static struct test_threads *threads; /* reachable, and never joined */

    (void)argument;
    for (int i = 0; i < 4; i++)
        begun[i] = new_gate();
    threads = test_threads_start(4, wait_for_ever, begun);
    CHECK(threads);
    for (int i = 0; i < 4; i++)
        pass_gate(begun[i]);
    return 0;
}

TEST(a9_returning_from_main_with_threads_that_wait)
{
    check_clean_end(main_with_waiting_threads);
}

static int main_with_executor_left(void *argument)
{
    struct anysync_future *begun = new_gate();
    struct anysync_executor *executor = NULL;

    (void)argument;
    CHECK_EQ(anysync_executor_new(NULL, &executor), 0);
    CHECK_EQ(sleep_for_ever_start_on(executor, NULL, begun), 0);
    pass_gate(begun);
    anysync_future_unref(begun);
    return 0;
}

TEST(a9_returning_from_main_with_an_executor_left)
{
    check_clean_end(main_with_executor_left);
}

static int main_with_idle_worker(void *argument)
{
    (void)argument;
    CHECK_EQ(where_run(NULL), 0);
    return 0;
}

TEST(a9_returning_from_main_with_an_idle_worker)
{
    check_clean_end(main_with_idle_worker);
}
