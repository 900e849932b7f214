/* SPDX-License-Identifier: MIT */
/*
 * Typed coroutine functions (include/anysync/typed.h).
 *
 * Promised                                           Tested by
 *   called by its name it works, also with NULL      a_call_gives_its_result_in_every_world
 *   in a coroutine that is a plain call of the body  a_call_in_a_coroutine_makes_no_task
 *   _run blocks in each world, as a task             run_is_a_new_task_in_every_world
 *   _run_here: here, and not inside a loop           run_here_runs_on_the_calling_thread
 *   _run_on, _start_on: on that executor             run_on_runs_on_the_executor_named
 *   _await suspends, and not on a plain thread       await_is_a_new_task_of_this_loop
 *   _until ends the task at the deadline             each_until_form_ends_at_its_deadline
 *   the result: zero first, kept only if 0           result_is_zero_first_and_untouched_by_an_error
 *   handles: wait, repeat, cancel, drop              start_wait_and_drop
 *                                                    a_wait_that_timed_out_can_be_repeated
 *                                                    cancel_ends_the_task
 *                                                    a_task_without_a_handle_runs_on
 *                                                    a_start_that_fails_leaves_an_empty_handle
 *                                                    a_scoped_future_is_dropped_when_left
 *                                                    a_handle_has_an_untyped_future
 *   _new makes a task and runs nothing               new_makes_a_task_that_is_not_started
 *   types: struct, pointers, void *, 8 arguments     results_and_arguments_of_many_types
 *   no arguments, no result, neither                 functions_without_arguments_or_result
 *   a body may call itself                           a_body_can_call_itself
 *   _function describes it                           the_descriptor_tells_all
 *   DECLARE and DEFINE                               declared_and_defined_apart
 *   a stack of its own                               a_stack_of_its_own_is_large_enough
 *
 * Two files share a function: test_typed_cpp.sh.  What must not compile: test_typed_refusals.sh
 */
#include "harness.h"

#include <anysync/typed.h>

#include <errno.h>

struct page {
    struct {
        int number, lines;
    } head;
    char text[40];
};

typedef void check_fn(void);

/* As a header would declare them. */
ANYSYNC_COROUTINE_DECLARE(int, shared_add, (int, a), (int, b));
ANYSYNC_COROUTINE_DECLARE(void, shared_beat);

ANYSYNC_COROUTINE(int, add_later, (int, a), (int, b))
{
    int error = anysync_sleep(anysync_in_ms(1));
    if (error)
        return error;
    *result = a + b;
    return 0;
}

ANYSYNC_COROUTINE(int, answer)
{
    *result = 42;
    return 0;
}

ANYSYNC_COROUTINE(void, count_up, (int *, count), (int, by))
{
    *count += by;
    return 0;
}

static int beats;

ANYSYNC_COROUTINE(void, beat)
{
    beats++;
    return anysync_yield();
}

ANYSYNC_COROUTINE(const char *, word_after, (const char *, word), (int, index))
{
    *result = word + index;
    return 0;
}

ANYSYNC_COROUTINE(void *, address, (void *, of))
{
    *result = of;
    return 0;
}

ANYSYNC_COROUTINE(struct page, fetch, (int, number), (const struct page *, from))
{
    *result = *from;
    result->head.number = number;
    return anysync_yield();
}

ANYSYNC_COROUTINE(double, sum_of_8, (char, a), (short, b), (int, c), (long, d), (float, e),
        (double, f), (const char *, g), (struct page, h))
{
    *result = a + b + c + (double)d + e + f + g[0] + h.head.lines;
    return 0;
}

/* Writes a result and fails all the same; in another way if the result is not zero at first. */
ANYSYNC_COROUTINE(struct page, spoil, (int, code))
{
    const struct page zero = {{0, 0}, ""};
    if (memcmp(result, &zero, sizeof(zero)) != 0)
        return -EBADMSG;
    result->head.lines = 77;
    return code;
}

ANYSYNC_COROUTINE(long, factorial, (int, n))
{
    if (n < 2) {
        *result = 1;
        return 0;
    }
    int error = factorial(result, n - 1);
    *result *= n;
    return error;
}

ANYSYNC_COROUTINE(unsigned, where)
{
    *result = anysync_thread_serial();
    return 0;
}

ANYSYNC_COROUTINE(bool, in_task, (const char *, name))
{
    *result = strcmp(anysync_task_name(), name) == 0;
    return 0;
}

ANYSYNC_COROUTINE(int, wait_for, (struct anysync_future *, gate), (int, value))
{
    int error = anysync_wait(gate, NULL, ANYSYNC_FOREVER);
    if (error)
        return error;
    *result = value;
    return 0;
}

ANYSYNC_COROUTINE(void, open_gate, (struct anysync_future *, gate))
{
    return anysync_future_set(gate, NULL);
}

ANYSYNC_COROUTINE(void, hang)
{
    return anysync_sleep(ANYSYNC_FOREVER);
}

ANYSYNC_COROUTINE(void, check_it, (check_fn *, check))
{
    check();
    return 0;
}

/* CHECK on this plain thread, in a coroutine on the worker, and in one on a loop of this thread. */
static void in_every_world(check_fn *check)
{
    CHECK(!anysync_in_coroutine());
    check();
    CHECK_EQ(check_it_run(check), 0);
    CHECK_EQ(check_it_run_here(check), 0);
}

#define TEST_IN_EVERY_WORLD(name)                                                                  \
    static void in_one_world_##name(void);                                                         \
    TEST(name)                                                                                     \
    {                                                                                              \
        in_every_world(in_one_world_##name);                                                       \
    }                                                                                              \
    static void in_one_world_##name(void)

static struct anysync_future *new_gate(void)
{
    struct anysync_future *gate = NULL;

    CHECK_EQ(anysync_future_new(0, &gate), 0);
    return gate;
}

/* --- the ways to call ------------------------------------------------------------------------- */

TEST_IN_EVERY_WORLD(a_call_gives_its_result_in_every_world)
{
    int sum = -1;

    CHECK_EQ(add_later(&sum, 1, 2), 0);
    CHECK_EQ(sum, 3);
    CHECK_EQ(add_later(NULL, 1, 2), 0);
}

TEST_IN_EVERY_WORLD(a_call_in_a_coroutine_makes_no_task)
{
    uint64_t started = anysync_tasks_started();
    unsigned serial = 0;
    bool same = false;
    int sum = -1;

    if (!anysync_in_coroutine())
        return;
    CHECK_EQ(in_task(&same, "check_it"), 0);
    CHECK(same);
    CHECK_EQ(where(&serial), 0);
    CHECK_EQ(serial, anysync_thread_serial());
    CHECK_EQ(add_later(&sum, 1, 2), 0);
    CHECK_EQ(anysync_tasks_started(), started);
}

TEST_IN_EVERY_WORLD(run_is_a_new_task_in_every_world)
{
    bool own = false;
    unsigned serial = 0;
    int sum = -1;

    CHECK_EQ(add_later_run(&sum, 1, 2), 0);
    CHECK_EQ(sum, 3);
    CHECK_EQ(add_later_run(NULL, 1, 2), 0);
    CHECK_EQ(add_later_run_until(&sum, 3, 4, anysync_in_seconds(1000)), 0);
    CHECK_EQ(sum, 7);
    CHECK_EQ(where_run(&serial), 0);
    CHECK_NE(serial, anysync_thread_serial());
    CHECK_EQ(in_task_run(&own, "in_task"), 0);
    CHECK(own);
}

TEST_IN_EVERY_WORLD(run_here_runs_on_the_calling_thread)
{
    unsigned serial = 0;
    int sum = -1;

    if (anysync_in_coroutine()) {
        CHECK_EQ(add_later_run_here(&sum, 1, 2), -EDEADLK);
        CHECK_EQ(sum, -1);
        return;
    }
    CHECK_EQ(where_run_here(&serial), 0);
    CHECK_EQ(serial, anysync_thread_serial());
    CHECK_EQ(add_later_run_here_until(&sum, 1, 2, ANYSYNC_FOREVER), 0);
    CHECK_EQ(sum, 3);
}

static struct anysync_executor *other;

static void check_run_on(void)
{
    struct anysync_stats stats;
    where_future soon;
    unsigned serial = 0;
    int sum = -1;

    CHECK_EQ(where_run_on(other, &serial), 0);
    anysync_executor_stats(other, &stats);
    CHECK_EQ(serial, stats.worker_serial);
    CHECK_NE(serial, anysync_thread_serial());
    CHECK_EQ(where_start_on(other, &soon), 0);
    CHECK_EQ(where_wait(&soon, &serial, ANYSYNC_FOREVER), 0);
    CHECK_EQ(serial, stats.worker_serial);
    where_drop(&soon);
    CHECK_EQ(beat_run_on(other), 0);
    CHECK_EQ(add_later_run_on(NULL, &sum, 1, 2), 0);
    CHECK_EQ(sum, 3);
    CHECK_EQ(add_later_run_on_until(other, &sum, 3, 4, anysync_in_seconds(1000)), 0);
    CHECK_EQ(sum, 7);
}

TEST(run_on_runs_on_the_executor_named)
{
    CHECK_EQ(anysync_executor_new(NULL, &other), 0);
    in_every_world(check_run_on);
    CHECK_EQ(anysync_executor_shutdown(other, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    anysync_executor_unref(other);
}

TEST_IN_EVERY_WORLD(await_is_a_new_task_of_this_loop)
{
    uint64_t started = anysync_tasks_started();
    unsigned serial = 0;
    bool own = false;
    int sum = -1;

    if (!anysync_in_coroutine()) {
        CHECK_EQ(add_later_await(&sum, 1, 2), -EPERM);
        CHECK_EQ(sum, -1);
        return;
    }
    CHECK_EQ(add_later_await(&sum, 1, 2), 0);
    CHECK_EQ(sum, 3);
    CHECK_EQ(add_later_await_until(&sum, 3, 4, ANYSYNC_FOREVER), 0);
    CHECK_EQ(sum, 7);
    CHECK_EQ(in_task_await(&own, "in_task"), 0);
    CHECK(own);
    CHECK_EQ(where_await(&serial), 0);
    CHECK_EQ(serial, anysync_thread_serial());
    CHECK_EQ(anysync_tasks_started(), started + 4);
    CHECK_EQ(hang_await_until(anysync_in_ms(1)), -ETIMEDOUT);
}

TEST(each_until_form_ends_at_its_deadline)
{
    CHECK_EQ(hang_run_until(anysync_in_ms(1)), -ETIMEDOUT);
    CHECK_EQ(hang_run_here_until(anysync_in_ms(1)), -ETIMEDOUT);
    CHECK_EQ(hang_run_on_until(NULL, anysync_in_ms(1)), -ETIMEDOUT);
}

/* --- the result ------------------------------------------------------------------------------- */

TEST_IN_EVERY_WORLD(result_is_zero_first_and_untouched_by_an_error)
{
    const struct page before = {{1, 2}, "before"};
    struct page page = before;
    spoil_future soon;

    CHECK_EQ(spoil(&page, -ENOENT), -ENOENT);
    CHECK_EQ(spoil_run(&page, -EIO), -EIO);
    CHECK_EQ(spoil_start(&soon, -ESRCH), 0);
    CHECK_EQ(spoil_wait(&soon, &page, ANYSYNC_FOREVER), -ESRCH);
    spoil_drop(&soon);
    if (anysync_in_coroutine())
        CHECK_EQ(spoil_await(&page, -EINTR), -EINTR);
    else
        CHECK_EQ(spoil_run_here(&page, -EINTR), -EINTR);
    CHECK_EQ(memcmp(&page, &before, sizeof(page)), 0);
}

/* --- handles ---------------------------------------------------------------------------------- */

TEST_IN_EVERY_WORLD(start_wait_and_drop)
{
    add_later_future first, second;
    int sum = -1;

    CHECK_EQ(add_later_start(&first, 1, 2), 0);
    CHECK_EQ(add_later_start(&second, 30, 40), 0);
    CHECK_EQ(add_later_wait(&second, &sum, ANYSYNC_FOREVER), 0);
    CHECK_EQ(sum, 70);
    CHECK_EQ(add_later_wait(&first, NULL, ANYSYNC_FOREVER), 0);
    CHECK_EQ(add_later_wait(&first, &sum, ANYSYNC_FOREVER), 0);
    CHECK_EQ(sum, 3);
    CHECK_EQ(add_later_wait(&second, &sum, ANYSYNC_POLL), 0); /* again */
    add_later_drop(&first);
    add_later_drop(&second);
    CHECK(first.future == NULL);
    add_later_drop(&first); /* twice is fine */
}

TEST_IN_EVERY_WORLD(a_wait_that_timed_out_can_be_repeated)
{
    struct anysync_future *gate = new_gate();
    wait_for_future soon;
    int value = -1;

    CHECK_EQ(wait_for_start(&soon, gate, 5), 0);
    CHECK_EQ(wait_for_wait(&soon, &value, ANYSYNC_POLL), -ETIMEDOUT);
    CHECK_EQ(wait_for_wait(&soon, &value, anysync_in_ms(1)), -ETIMEDOUT);
    CHECK_EQ(value, -1);
    CHECK_EQ(anysync_future_set(gate, NULL), 0);
    CHECK_EQ(wait_for_wait(&soon, &value, ANYSYNC_FOREVER), 0);
    CHECK_EQ(value, 5);
    wait_for_drop(&soon);
    anysync_future_unref(gate);
}

TEST_IN_EVERY_WORLD(cancel_ends_the_task)
{
    hang_future soon;

    CHECK_EQ(hang_start(&soon), 0);
    CHECK_EQ(hang_cancel(&soon), 0);
    CHECK_EQ(hang_wait(&soon, ANYSYNC_FOREVER), -ECANCELED);
    CHECK_EQ(hang_cancel(&soon), ANYSYNC_DONE);
    hang_drop(&soon);
}

TEST_IN_EVERY_WORLD(a_task_without_a_handle_runs_on)
{
    struct anysync_future *gate = new_gate();
    open_gate_future soon;

    CHECK_EQ(open_gate_start(&soon, gate), 0);
    open_gate_drop(&soon);
    CHECK_EQ(anysync_wait(gate, NULL, ANYSYNC_FOREVER), 0);
    anysync_future_unref(gate);

    gate = new_gate();
    CHECK_EQ(open_gate_start(NULL, gate), 0);
    CHECK_EQ(anysync_wait(gate, NULL, ANYSYNC_FOREVER), 0);
    anysync_future_unref(gate);
}

TEST(a_start_that_fails_leaves_an_empty_handle)
{
    add_later_future soon;

    memset(&soon, 0x55, sizeof(soon));
    CHECK_EQ(anysync_executor_new(NULL, &other), 0);
    CHECK_EQ(anysync_executor_start(other), 0);
    CHECK_EQ(anysync_executor_shutdown(other, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    CHECK_EQ(add_later_start_on(other, &soon, 1, 2), -ESHUTDOWN);
    CHECK(soon.future == NULL);
    add_later_drop(&soon);
    anysync_executor_unref(other);
}

/* Leaves its block in several ways; the leak checker sees whether the reference went. */
static int add_scoped(int *sum, bool start)
{
    ANYSYNC_SCOPED_FUTURE(add_later, soon);

    if (!start)
        return 0;
    int error = add_later_start(&soon, 1, 2);
    if (error)
        return error;
    return add_later_wait(&soon, sum, ANYSYNC_FOREVER);
}

TEST_IN_EVERY_WORLD(a_scoped_future_is_dropped_when_left)
{
    int sum = -1;

    CHECK_EQ(add_scoped(&sum, false), 0);
    CHECK_EQ(add_scoped(&sum, true), 0);
    CHECK_EQ(sum, 3);
}

TEST_IN_EVERY_WORLD(a_handle_has_an_untyped_future)
{
    ANYSYNC_SCOPED_FUTURE(hang, late);
    ANYSYNC_SCOPED_FUTURE(answer, soon);
    size_t index = 99;
    int value = -1;

    CHECK_EQ(hang_start(&late), 0);
    CHECK_EQ(answer_start(&soon), 0);
    struct anysync_future *futures[] = {late.future, soon.future};
    CHECK_EQ(anysync_wait_any(futures, 2, ANYSYNC_FOREVER, &index), 0);
    CHECK_EQ(index, 1);
    CHECK_EQ(anysync_future_result(soon.future, &value), 0);
    CHECK_EQ(value, 42);
    CHECK_EQ(hang_cancel(&late), 0);
    CHECK_EQ(hang_wait(&late, ANYSYNC_FOREVER), -ECANCELED);
}

TEST_IN_EVERY_WORLD(new_makes_a_task_that_is_not_started)
{
    struct anysync_task *task = NULL;
    int count = 0;

    CHECK_EQ(count_up_new(&task, &count, 3), 0);
    CHECK_EQ(count, 0);
    CHECK_EQ(anysync_task_run(task, NULL, ANYSYNC_FOREVER), 0);
    CHECK_EQ(count, 3);
    CHECK_EQ(anysync_task_run(task, NULL, ANYSYNC_FOREVER), -EALREADY);
    anysync_task_unref(task);
    CHECK_EQ(answer_new(&task), 0);
    anysync_task_unref(task); /* never started */
}

/* --- shapes ----------------------------------------------------------------------------------- */

TEST_IN_EVERY_WORLD(results_and_arguments_of_many_types)
{
    const struct page from = {{0, 25}, "a page"};
    struct page page = {{0, 0}, ""};
    const char *word = NULL;
    void *pointer = NULL;
    double sum = 0;
    fetch_future soon;

    CHECK_EQ(fetch(&page, 7, &from), 0);
    CHECK_EQ(page.head.number, 7);
    CHECK_EQ(page.head.lines, 25);
    CHECK_STR(page.text, "a page");
    CHECK_EQ(fetch_start(&soon, 8, &from), 0);
    CHECK_EQ(fetch_wait(&soon, &page, ANYSYNC_FOREVER), 0);
    CHECK_EQ(page.head.number, 8);
    fetch_drop(&soon);

    CHECK_EQ(word_after(&word, "never", 1), 0);
    CHECK_STR(word, "ever");
    CHECK_EQ(word_after_run(&word, "slate", 1), 0);
    CHECK_STR(word, "late");
    CHECK_EQ(address(&pointer, &sum), 0);
    CHECK(pointer == &sum);

    CHECK_EQ(sum_of_8(&sum, 1, 2, 3, 4, 5.0f, 6.0, "\7", from), 0);
    CHECK(sum == 53.0);
    CHECK_EQ(sum_of_8_run(&sum, 2, 2, 3, 4, 5.0f, 6.0, "\7", from), 0);
    CHECK(sum == 54.0);
}

TEST_IN_EVERY_WORLD(functions_without_arguments_or_result)
{
    count_up_future counted;
    beat_future beaten;
    int value = 0, count = 0;

    CHECK_EQ(answer(&value), 0);
    CHECK_EQ(value, 42);

    CHECK_EQ(count_up(&count, 1), 0);
    CHECK_EQ(count_up_run(&count, 20), 0);
    CHECK_EQ(count_up_start(&counted, &count, 4000), 0);
    CHECK_EQ(count_up_wait(&counted, ANYSYNC_FOREVER), 0);
    count_up_drop(&counted);
    CHECK_EQ(count, 4021);

    beats = 0;
    CHECK_EQ(beat(), 0);
    CHECK_EQ(beat_run(), 0);
    CHECK_EQ(beat_run_until(ANYSYNC_FOREVER), 0);
    CHECK_EQ(beat_start(&beaten), 0);
    CHECK_EQ(beat_wait(&beaten, ANYSYNC_FOREVER), 0);
    beat_drop(&beaten);
    CHECK_EQ(anysync_in_coroutine() ? beat_await() : beat_run_here(), 0);
    CHECK_EQ(beats, 5);
}

TEST_IN_EVERY_WORLD(a_body_can_call_itself)
{
    long value = 0;

    CHECK_EQ(factorial(&value, 10), 0);
    CHECK_EQ(value, 3628800);
}

TEST(the_descriptor_tells_all)
{
    const struct anysync_function *function = &add_later_function;
    const struct {
        int a, b;
    } arguments = {1, 2};
    int sum = -1;

    CHECK_STR(function->name, "add_later");
    CHECK_CONTAINS(function->file, "test_typed.c");
    CHECK_GE(function->line, 40);
    CHECK_EQ(function->argument_size, sizeof(arguments));
    CHECK_EQ(function->result_size, sizeof(sum));
    CHECK_EQ(anysync_run(function, &arguments, &sum, ANYSYNC_FOREVER), 0);
    CHECK_EQ(sum, 3);

    CHECK_EQ(beat_function.argument_size, 0);
    CHECK_EQ(beat_function.result_size, 0);
    CHECK_EQ(anysync_run(&beat_function, NULL, NULL, ANYSYNC_FOREVER), 0);
}

/* --- declared in one place, defined in another ------------------------------------------------ */

TEST_IN_EVERY_WORLD(declared_and_defined_apart)
{
    int sum = -1;

    CHECK_EQ(shared_add(&sum, 1, 2), 0);
    CHECK_EQ(sum, 3);
    CHECK_EQ(shared_add_run(&sum, 3, 4), 0);
    CHECK_EQ(sum, 7);
    CHECK_EQ(shared_beat(), 0);
    CHECK_EQ(shared_beat_run(), 0);
    CHECK_EQ(shared_add_function.stack_size, 0);
    CHECK_EQ(shared_beat_function.stack_size, 1 << 20);
}

ANYSYNC_COROUTINE_DEFINE(int, shared_add, (int, a), (int, b))
{
    *result = a + b;
    return 0;
}

ANYSYNC_COROUTINE_DEFINE_STACK(1 << 20, void, shared_beat)
{
    return anysync_yield();
}

ANYSYNC_COROUTINE_STACK(1 << 20, int, deep, (int, kilobytes))
{
    char room[600 * 1024];

    memset(room, kilobytes, sizeof(room));
    *result = room[kilobytes * 1024];
    return anysync_yield();
}

TEST(a_stack_of_its_own_is_large_enough)
{
    int value = -1;

    CHECK_EQ(deep_function.stack_size, 1 << 20);
    CHECK_EQ(deep(&value, 7), 0);
    CHECK_EQ(value, 7);
    CHECK_EQ(deep_run_here(&value, 9), 0);
    CHECK_EQ(value, 9);
}
