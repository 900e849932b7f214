/* SPDX-License-Identifier: MIT */
/*
 * Contract B: values.  (B3, B5, B7: test_values_errors.c, B6: test_values_endings.c.)
 *
 * Promised                                       Tested by
 *   B1  a new task runs nothing                    b1_a_new_task_runs_nothing
 *       it runs when it is run, awaited, started   b1_a_task_runs_when_it_is_used
 *       and never if it is dropped unused          b1_a_task_that_is_dropped_unused_never_runs
 *   B2  the same value from run                    b2_run_gives_the_value_in_every_world
 *       from run_here                              b2_run_here_gives_the_value_on_plain_threads
 *       from await                                 b2_await_gives_the_value_in_every_coroutine
 *       from call                                  b2_call_gives_the_value_in_every_world
 *       from spawn and wait                        b2_spawn_and_wait_give_the_value_in_every_world
 *       from run_on                                b2_run_on_gives_the_value_in_every_world
 *       in a callback of a loop of ours            b2_run_and_spawn_give_the_value_in_a_callback
 *       from many threads at once                  b2_stress_each_caller_gets_its_own_value
 *   B4  a task object runs once                    b4_a_second_use_says_so
 *       also if two threads use it at once         b4_stress_of_many_threads_one_may_use_a_task
 *   B8  detection is never cached                  b8_each_call_finds_out_where_it_is
 *                                                  b8_a_thread_is_plain_again_after_run_here
 *   B9  called by its name: the caller's task      b9_a_call_in_a_coroutine_stays_in_its_task
 *       an error returns as from any C function    b9_an_error_returns_as_from_any_function
 *       _start and spawn make new tasks            b9_start_and_spawn_make_new_tasks
 *
 * B9 promises more of context variables: see the tests of section F.
 */
#include "worlds.h"

#include <errno.h>

ANYSYNC_COROUTINE(void, count_up, (int *, count))
{
    ++*count;
    return 0;
}

ANYSYNC_COROUTINE(unsigned, where)
{
    *result = anysync_thread_serial();
    return 0;
}

/* --- B1 --------------------------------------------------------------------------------------- */

static int runs;

static void check_new_runs_nothing(void)
{
    struct anysync_task *task = NULL;
    uint64_t before = anysync_tasks_started();

    runs = 0;
    CHECK_EQ(count_up_new(&task, &runs), 0);
    CHECK_EQ(anysync_yield(), 0);
    CHECK_EQ(anysync_sleep(anysync_in_ms(1)), 0);
    CHECK_EQ(anysync_tasks_started(), before);
    CHECK_EQ(where_run(NULL), 0); /* the worker has had its chance */
    CHECK_EQ(runs, 0);
    anysync_task_unref(task);
}

TEST(b1_a_new_task_runs_nothing)
{
    in_worlds(EVERYWHERE, check_new_runs_nothing);
}

static struct anysync_task *new_count_up(void)
{
    struct anysync_task *task = NULL;

    runs = 0;
    CHECK_EQ(count_up_new(&task, &runs), 0);
    CHECK_EQ(runs, 0);
    return task;
}

static void check_use_runs(void)
{
    struct anysync_future *soon = NULL;
    struct anysync_task *task = new_count_up();

    CHECK_EQ(anysync_task_run(task, NULL, ANYSYNC_FOREVER), 0);
    CHECK_EQ(runs, 1);
    anysync_task_unref(task);

    task = new_count_up();
    if (anysync_in_coroutine())
        CHECK_EQ(anysync_task_await(task, NULL, ANYSYNC_FOREVER), 0);
    else
        CHECK_EQ(anysync_task_run_here(task, NULL, ANYSYNC_FOREVER), 0);
    CHECK_EQ(runs, 1);
    anysync_task_unref(task);

    task = new_count_up();
    CHECK_EQ(anysync_task_start(task, &soon), 0);
    CHECK_EQ(anysync_wait(soon, NULL, ANYSYNC_FOREVER), 0);
    CHECK_EQ(runs, 1);
    anysync_future_unref(soon);
    anysync_task_unref(task);

    if (world_now == NESTED) /* there the global worker is blocked */
        return;
    task = new_count_up();
    CHECK_EQ(anysync_task_start_on(NULL, task, &soon), 0);
    anysync_task_unref(task);
    CHECK_EQ(anysync_wait(soon, NULL, ANYSYNC_FOREVER), 0);
    CHECK_EQ(runs, 1);
    anysync_future_unref(soon);
}

TEST(b1_a_task_runs_when_it_is_used)
{
    in_worlds(EVERYWHERE, check_use_runs);
}

static void check_dropped(void)
{
    struct anysync_task *task = new_count_up();

    CHECK(anysync_task_unref(task) == NULL);
    CHECK_EQ(where_run(NULL), 0);
    CHECK_EQ(anysync_yield(), 0);
    CHECK_EQ(runs, 0);
}

TEST(b1_a_task_that_is_dropped_unused_never_runs)
{
    in_worlds(EVERYWHERE, check_dropped);
}

/* --- B2 --------------------------------------------------------------------------------------- */

struct letter {
    int number;
    char text[300]; /* more than what a call keeps on the stack */
};

/* The same text with the next number; at once, or after a while. */
ANYSYNC_COROUTINE(struct letter, answer, (struct letter, question), (bool, later))
{
    *result = question;
    result->number++;
    return later ? anysync_sleep(anysync_in_ms(1)) : 0;
}

static struct letter question(int number)
{
    struct letter made = {.number = number};

    for (size_t i = 0; i < sizeof(made.text); i++)
        made.text[i] = (char)((size_t)number * 31 + i);
    return made;
}

static void check_answer(const struct letter *got, int number)
{
    struct letter expected = question(number);

    expected.number++;
    CHECK_EQ(memcmp(got, &expected, sizeof(expected)), 0);
}

/* CALL fills `got` with the answer to `asked`, whether the body suspends or not. */
#define CHECK_ANSWER(call)                                                                         \
    for (int later = 0; later < 2; later++) {                                                      \
        struct letter asked = question(7 + later), got = {0};                                      \
        CHECK_EQ(call, 0);                                                                         \
        check_answer(&got, 7 + later);                                                             \
    }

static void check_run_value(void)
{
    CHECK_ANSWER(answer_run(&got, asked, later));
}

TEST(b2_run_gives_the_value_in_every_world)
{
    in_worlds(EVERYWHERE, check_run_value);
}

static void check_run_here_value(void)
{
    CHECK_ANSWER(answer_run_here(&got, asked, later));
}

TEST(b2_run_here_gives_the_value_on_plain_threads)
{
    in_worlds(ON_THREADS, check_run_here_value);
}

static void check_await_value(void)
{
    CHECK_ANSWER(answer_await(&got, asked, later));
}

TEST(b2_await_gives_the_value_in_every_coroutine)
{
    in_worlds(IN_COROUTINES, check_await_value);
}

static void check_call_value(void)
{
    CHECK_ANSWER(answer(&got, asked, later));
    for (int later = 0; later < 2; later++) { /* the untyped call copies by itself */
        const struct answer_arguments asked = {question(20), later};
        struct letter got = {0};

        CHECK_EQ(anysync_call(&answer_function, &asked, &got), 0);
        check_answer(&got, 20);
    }
}

TEST(b2_call_gives_the_value_in_every_world)
{
    in_worlds(EVERYWHERE, check_call_value);
}

static int spawn_and_wait(struct letter *got, struct letter asked, bool later)
{
    answer_future soon;

    CHECK_EQ(answer_start(&soon, asked, later), 0);
    int error = answer_wait(&soon, got, ANYSYNC_FOREVER);
    answer_drop(&soon);
    return error;
}

static void check_spawn_value(void)
{
    CHECK_ANSWER(spawn_and_wait(&got, asked, later));
}

TEST(b2_spawn_and_wait_give_the_value_in_every_world)
{
    in_worlds(EVERYWHERE, check_spawn_value);
}

static void check_run_on_value(void)
{
    CHECK_ANSWER(answer_run_on(NULL, &got, asked, later));
}

/* But not in a nested run of the worker itself, which is blocked meanwhile. */
TEST(b2_run_on_gives_the_value_in_every_world)
{
    in_worlds(EVERYWHERE & ~(unsigned)NESTED, check_run_on_value);
}

static answer_future spawned;
static struct anysync_future *called_back;

static void on_turn(evutil_socket_t fd, short events, void *argument)
{
    (void)fd;
    (void)events;
    (void)argument;
    CHECK(!anysync_in_coroutine());
    check_run_value();
    CHECK_EQ(answer_start(&spawned, question(5), true), 0);
    open_gate(called_back);
}

static void check_callback_value(void)
{
    struct letter got = {0};

    called_back = new_gate();
    CHECK_EQ(event_base_once(anysync_event_base(), -1, EV_TIMEOUT, on_turn, NULL, NULL), 0);
    pass_gate(called_back);
    anysync_future_unref(called_back);
    CHECK_EQ(answer_wait(&spawned, &got, ANYSYNC_FOREVER), 0);
    check_answer(&got, 5);
    answer_drop(&spawned);
}

TEST(b2_run_and_spawn_give_the_value_in_a_callback)
{
    in_worlds(IN_COROUTINES, check_callback_value);
}

static void ask_many(void *argument, int index)
{
    (void)argument;
    for (int i = 0; i < (int)test_scaled(1000); i++) {
        int number = index * 100000 + i;
        struct letter got = {0};

        if (i % 3 == 0)
            CHECK_EQ(answer(&got, question(number), i % 2), 0);
        else if (i % 3 == 1)
            CHECK_EQ(answer_run_here(&got, question(number), i % 2), 0);
        else
            CHECK_EQ(spawn_and_wait(&got, question(number), i % 2), 0);
        check_answer(&got, number);
    }
}

TEST(b2_stress_each_caller_gets_its_own_value)
{
    test_together(6, ask_many, NULL);
}

/* --- B4 --------------------------------------------------------------------------------------- */

enum use { RUN, RUN_HERE, AWAIT, START, START_ON, USES };

static int use(struct anysync_task *task, enum use how)
{
    struct anysync_future *soon = NULL;
    int error = 0;

    switch (how) {
    case RUN:
        return anysync_task_run(task, NULL, ANYSYNC_FOREVER);
    case RUN_HERE:
        return anysync_task_run_here(task, NULL, ANYSYNC_FOREVER);
    case AWAIT:
        return anysync_task_await(task, NULL, ANYSYNC_FOREVER);
    case START:
        error = anysync_task_start(task, &soon);
        break;
    default:
        error = anysync_task_start_on(NULL, task, &soon);
        break;
    }
    if (!error)
        error = anysync_wait(soon, NULL, ANYSYNC_FOREVER);
    else
        CHECK(soon == NULL);
    anysync_future_unref(soon);
    return error;
}

static bool possible(enum use how)
{
    switch (how) {
    case RUN_HERE:
        return !anysync_in_coroutine();
    case AWAIT:
        return anysync_in_coroutine();
    case START_ON:
        return world_now != NESTED; /* there the global worker is blocked */
    default:
        return true;
    }
}

static void check_used_twice(void)
{
    for (int first = RUN; first < USES; first++) {
        for (int second = RUN; second < USES; second++) {
            if (!possible((enum use)first))
                continue;
            struct anysync_task *task = new_count_up();
            CHECK_EQ(use(task, (enum use)first), 0);
            CHECK_EQ(use(task, (enum use)second), -EALREADY);
            CHECK_EQ(anysync_last_error()->code, -EALREADY);
            CHECK_EQ(anysync_last_error()->origin, ANYSYNC_ORIGIN_CALL);
            CHECK_CONTAINS(anysync_last_error()->message, "count_up");
            CHECK_CONTAINS(anysync_last_error()->message, "a task runs once");
            CHECK_EQ(where_run(NULL), 0);
            CHECK_EQ(runs, 1);
            anysync_task_unref(task);
        }
    }
}

TEST(b4_a_second_use_says_so)
{
    in_worlds(EVERYWHERE, check_used_twice);
}

enum { RIVALS = 4 };

static void try_to_use(void *argument, int index)
{
    static const enum use ways[RIVALS] = {RUN, RUN_HERE, START, START_ON};
    struct anysync_task *task = *(struct anysync_task **)argument;
    int error = use(task, ways[index]);

    if (error != 0)
        CHECK_EQ(error, -EALREADY);
}

TEST(b4_stress_of_many_threads_one_may_use_a_task)
{
    for (long round = test_scaled(200); round > 0; round--) {
        struct anysync_task *task = new_count_up();

        test_together(RIVALS, try_to_use, &task);
        CHECK_EQ(runs, 1);
        anysync_task_unref(task);
    }
}

/* --- B8 --------------------------------------------------------------------------------------- */

/* In a coroutine the body runs here, elsewhere on the worker. */
static void check_found_out(void)
{
    unsigned expected, typed = 0, untyped = 0;

    CHECK_EQ(where(&typed), 0);
    CHECK_EQ(anysync_call(&where_function, NULL, &untyped), 0);
    expected = anysync_in_coroutine() ? anysync_thread_serial() : stats_of(NULL).worker_serial;
    CHECK_EQ(typed, expected);
    CHECK_EQ(untyped, expected);
}

TEST(b8_each_call_finds_out_where_it_is)
{
    for (unsigned a = PLAIN; a <= FOREIGN; a <<= 1) {
        for (unsigned b = PLAIN; b <= FOREIGN; b <<= 1) {
            in_worlds(a, check_found_out);
            in_worlds(b, check_found_out);
            in_worlds(a, check_found_out);
        }
    }
}

TEST(b8_a_thread_is_plain_again_after_run_here)
{
    unsigned serial = 0;

    CHECK_EQ(where_run_here(&serial), 0);
    CHECK_EQ(serial, anysync_thread_serial());
    CHECK(!anysync_in_coroutine());
    CHECK_EQ(where(&serial), 0);
    CHECK_EQ(serial, stats_of(NULL).worker_serial);
    CHECK_NE(serial, anysync_thread_serial());
}

/* --- B9 --------------------------------------------------------------------------------------- */

/* What a task knows of itself. */
struct self {
    unsigned thread;
    uint64_t tasks;
    const char *name; /* the pointer: a task of another function has another */
};

ANYSYNC_COROUTINE(struct self, look_at_self, (int, more))
{
    *result = (struct self){anysync_thread_serial(), anysync_tasks_started(), anysync_task_name()};
    int error = anysync_yield();
    return !error && more > 0 ? look_at_self(result, more - 1) : error;
}

static void check_same_task(void)
{
    struct self before = {anysync_thread_serial(), anysync_tasks_started(), anysync_task_name()};

    CHECK_STR(before.name, "world_body");
    for (int depth = 0; depth < 3; depth++) {
        const struct look_at_self_arguments more = {depth};
        struct self typed = {0}, untyped = {0};

        CHECK_EQ(look_at_self(&typed, depth), 0);
        CHECK_EQ(anysync_call(&look_at_self_function, &more, &untyped), 0);
        CHECK_EQ(typed.thread, before.thread);
        CHECK_EQ(typed.tasks, before.tasks);
        CHECK(typed.name == before.name);
        CHECK_EQ(untyped.thread, before.thread);
        CHECK_EQ(untyped.tasks, before.tasks);
        CHECK(untyped.name == before.name);
    }
    CHECK_EQ(anysync_tasks_started(), before.tasks);
}

TEST(b9_a_call_in_a_coroutine_stays_in_its_task)
{
    in_worlds(IN_COROUTINES, check_same_task);
}

ANYSYNC_COROUTINE(void, fail_deep, (int, depth))
{
    int error = anysync_yield();

    if (error)
        return error;
    return depth > 0 ? fail_deep(depth - 1) : anysync_fail(-ENOENT, "nothing at depth %d", depth);
}

static void check_error_returns(void)
{
    uint64_t tasks = anysync_tasks_started();

    CHECK_EQ(fail_deep(3), -ENOENT);
    CHECK_EQ(anysync_last_error()->code, -ENOENT);
    CHECK_STR(anysync_last_error()->message, "nothing at depth 0");
    CHECK(anysync_last_error()->frames == NULL); /* it passed through no task */
    CHECK_EQ(anysync_tasks_started(), tasks);
}

TEST(b9_an_error_returns_as_from_any_function)
{
    in_worlds(IN_COROUTINES, check_error_returns);
}

static void check_new_tasks(void)
{
    uint64_t tasks = anysync_tasks_started();
    const struct look_at_self_arguments none = {0};
    look_at_self_future typed;
    struct anysync_future *untyped = NULL;
    struct self self = {0};

    CHECK_EQ(look_at_self_start(&typed, 0), 0);
    CHECK_EQ(anysync_spawn(&look_at_self_function, &none, &untyped), 0);
    CHECK_EQ(anysync_tasks_started(), tasks + 2);
    CHECK_EQ(look_at_self_wait(&typed, &self, ANYSYNC_FOREVER), 0);
    CHECK_STR(self.name, "look_at_self");
    CHECK_EQ(self.thread, anysync_thread_serial());
    self = (struct self){0};
    CHECK_EQ(anysync_wait(untyped, &self, ANYSYNC_FOREVER), 0);
    CHECK_STR(self.name, "look_at_self");
    CHECK_EQ(anysync_tasks_started(), tasks + 2);
    look_at_self_drop(&typed);
    anysync_future_unref(untyped);
}

TEST(b9_start_and_spawn_make_new_tasks)
{
    in_worlds(IN_COROUTINES, check_new_tasks);
}
