/* SPDX-License-Identifier: MIT */
/*
 * Contract D: loops over generators, and errors.  (Items: test_generators.c.)
 *
 * Promised                                        Tested by
 *   D5  next, then a loop goes on                   d5_a_loop_goes_on_where_next_stopped
 *       a loop over a finished one is empty         d5_a_second_loop_is_empty
 *   D6  break, return, goto run the clean-up        d6_leaving_a_loop_runs_the_clean_up
 *       also in a cancelled coroutine               d6_a_cancelled_loop_runs_the_clean_up
 *       an error of the clean-up is the loop's      d6_an_error_of_the_clean_up_is_the_loops
 *   D7  both items, then the error, once            d7_items_then_the_error_then_done
 *       by its name and place                       d7_items_then_the_error_then_done
 *   D8  two in next: one gets the item              d8_of_two_in_next_one_gets_the_item
 *       the body asks itself                        d8_a_body_cannot_advance_itself
 *   D10 an iterator of one's own, and generators    d10_whatever_gives_items_works_in_loops
 *   D11 the worker lives on                         d11_closing_never_harms_the_worker
 *   --  yield deep in C code                        yields_from_deep_inside
 *       and outside of a body                       yields_only_in_its_body
 *   --  opened there, used here                     opened_in_one_world_and_used_in_another
 */
#include "worlds.h"

#include <errno.h>

static int cleaned;

ANYSYNC_GENERATOR(int, count_to, (int, last))
{
    int error = 0;

    for (int i = 1; i <= last && !error; i++)
        error = count_to_yield(i);
    cleaned++;
    return error;
}

static struct anysync_executor *other;

static void check_untouched(void)
{
    count_to_generator generator;

    CHECK_EQ(count_to_open(&generator, 3), 0);
    count_to_drop(&generator);
}

/* --- D5, D6, D7 ------------------------------------------------------------------------------- */

static void check_rest(void)
{
    count_to_generator generator;
    int item = 0, error = 0;

    CHECK_EQ(count_to_open(&generator, 4), 0);
    CHECK_EQ(count_to_next(&generator, &item), 0);
    ANYSYNC_FOR_REST(count_to, i, &error, &generator)
    {
        CHECK_EQ(i, ++item);
    }
    CHECK_EQ(item, 4);
    CHECK_EQ(error, 0);
    count_to_drop(&generator);
}

TEST(d5_a_loop_goes_on_where_next_stopped)
{
    in_worlds(EVERYWHERE, check_rest);
}

static void check_second_loop(void)
{
    count_to_generator generator;
    int rounds = 0, error = 0;

    CHECK_EQ(count_to_open(&generator, 4), 0);
    for (int i = 0; i < 3; i++) {
        ANYSYNC_FOR_REST(count_to, item, &error, &generator)
        {
            rounds += item > 0;
            if (item == 3)
                break; /* that closes it */
        }
    }
    CHECK_EQ(rounds, 3);
    CHECK_EQ(error, 0);
    count_to_drop(&generator);
}

TEST(d5_a_second_loop_is_empty)
{
    in_worlds(EVERYWHERE, check_second_loop);
}

static int return_early(void)
{
    int error = 0;

    ANYSYNC_FOR(count_to, i, &error, 5)
    {
        if (i == 2)
            return i;
    }
    return 0;
}

static void check_leaving(void)
{
    int error = 0, inner = 0;

    cleaned = 0;
    ANYSYNC_FOR(count_to, i, &error, 5)
    {
        if (i == 2)
            break;
    }
    CHECK_EQ(cleaned, 1);
    CHECK_EQ(return_early(), 2);
    CHECK_EQ(cleaned, 2);
    ANYSYNC_FOR(count_to, i, &error, 5)
    {
        ANYSYNC_FOR(count_to, j, &error, i)
        {
            inner += j;
            if (i == 3)
                goto out;
            continue;
        }
    }
out:
    CHECK_EQ(inner, 1 + 3 + 1);
    CHECK_EQ(cleaned, 2 + 4);
    CHECK_EQ(error, 0);
}

TEST(d6_leaving_a_loop_runs_the_clean_up)
{
    in_worlds(EVERYWHERE, check_leaving);
}

static struct anysync_future *gate;

/* Its clean-up waits; a cancel of its consumer is not its own. */
ANYSYNC_GENERATOR(int, slow_to_end)
{
    struct anysync_scope shield;
    int error = slow_to_end_yield(1);

    anysync_shield_enter(&shield, ANYSYNC_FOREVER);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(anysync_yield(), 0);
    cleaned++;
    return anysync_scope_exit(&shield, error);
}

ANYSYNC_COROUTINE(int, cancelled_loop)
{
    int error = 0;

    ANYSYNC_FOR(slow_to_end, i, &error)
    {
        open_gate(gate);
        CHECK_EQ(anysync_sleep(ANYSYNC_FOREVER), -ECANCELED);
        CHECK_EQ(i, 1);
    }
    CHECK_EQ(cleaned, 1);
    CHECK_EQ(error, -ECANCELED); /* of the next that the loop tried */
    *result = 9;
    return 0;
}

TEST(d6_a_cancelled_loop_runs_the_clean_up)
{
    cancelled_loop_future future;
    int value = 0;

    gate = new_gate();
    CHECK_EQ(cancelled_loop_start(&future), 0);
    pass_gate(gate);
    CHECK_EQ(cancelled_loop_cancel(&future), 0);
    CHECK_EQ(cancelled_loop_wait(&future, &value, ANYSYNC_FOREVER), 0);
    CHECK_EQ(value, 9);
    cancelled_loop_drop(&future);
    anysync_future_unref(gate);
}

ANYSYNC_GENERATOR(int, fails_to_end)
{
    int error = fails_to_end_yield(1);

    return error ? anysync_fail(-ENOSPC, "no room to clean up") : 0;
}

static void check_failing_clean_up(void)
{
    int error = 0;

    ANYSYNC_FOR(fails_to_end, i, &error)
    {
        CHECK_EQ(i, 1);
        break;
    }
    CHECK_EQ(error, -ENOSPC);
    CHECK_STR(anysync_last_error()->message, "no room to clean up");
}

TEST(d6_an_error_of_the_clean_up_is_the_loops)
{
    in_worlds(EVERYWHERE, check_failing_clean_up);
}

ANYSYNC_GENERATOR(int, two_and_fail)
{
    int error = two_and_fail_yield(1);

    if (!error)
        error = two_and_fail_yield(2);
    return error ? error : anysync_fail(-EPROTO, "nothing but noise");
}

static void check_fails(void)
{
    struct anysync_generator_options ahead = {.read_ahead = 8};
    two_and_fail_generator generator;
    int item = 0, error = 0, items = 0;

    for (int way = 0; way < 2; way++) {
        CHECK_EQ(two_and_fail_open_with(way ? &ahead : NULL, &generator), 0);
        for (int i = 1; i <= 2; i++) {
            CHECK_EQ(two_and_fail_next(&generator, &item), 0);
            CHECK_EQ(item, i);
        }
        CHECK_EQ(two_and_fail_next(&generator, &item), -EPROTO);
        CHECK_STR(anysync_last_error()->message, "nothing but noise");
        CHECK_STR(anysync_last_error()->function, "two_and_fail");
        CHECK(anysync_last_error()->frames);
        CHECK_EQ(two_and_fail_next(&generator, &item), ANYSYNC_DONE);
        CHECK_EQ(two_and_fail_close(&generator), 0);
        two_and_fail_drop(&generator);
    }
    ANYSYNC_FOR(two_and_fail, i, &error)
    {
        items += i;
    }
    CHECK_EQ(items, 3);
    CHECK_EQ(error, -EPROTO);
}

TEST(d7_items_then_the_error_then_done)
{
    in_worlds(EVERYWHERE, check_fails);
}

/* --- D8 --------------------------------------------------------------------------------------- */

static struct anysync_future *inside;

ANYSYNC_GENERATOR(int, waits_inside)
{
    open_gate(inside);
    pass_gate(gate);
    return waits_inside_yield(1);
}

static waits_inside_generator shared;

static void next_in_thread(void *argument, int index)
{
    int item = 0;

    (void)index;
    CHECK_EQ(waits_inside_next(&shared, &item), 0);
    *(int *)argument = item;
}

static void check_two_in_next(void)
{
    struct anysync_generator_options options = {.executor = other};

    for (int way = 0; way < 2; way++) {
        int item = 0, got = 0;
        gate = new_gate();
        inside = new_gate();
        options.read_ahead = way ? 3 : 0;
        CHECK_EQ(waits_inside_open_with(&options, &shared), 0);
        struct test_threads *threads = test_threads_start(1, next_in_thread, &got);
        pass_gate(inside);
        CHECK_EQ(waits_inside_next(&shared, &item), -EBUSY);
        CHECK_CONTAINS(anysync_last_error()->message, "already running");
        open_gate(gate);
        test_threads_join(threads);
        CHECK_EQ(got, 1);
        CHECK_EQ(item, 0);
        CHECK_EQ(waits_inside_next(&shared, &item), ANYSYNC_DONE);
        waits_inside_drop(&shared);
        anysync_future_unref(gate);
        anysync_future_unref(inside);
    }
}

TEST(d8_of_two_in_next_one_gets_the_item)
{
    CHECK_EQ(anysync_executor_new(NULL, &other), 0);
    in_worlds(EVERYWHERE, check_two_in_next);
    CHECK_EQ(anysync_executor_shutdown(other, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    anysync_executor_unref(other);
}

static struct anysync_generator *itself;

ANYSYNC_GENERATOR(int, of_itself)
{
    int item;

    pass_gate(gate);
    CHECK_EQ(anysync_generator_next(itself, &item, ANYSYNC_FOREVER), -EBUSY);
    CHECK_CONTAINS(anysync_last_error()->message, "already running");
    CHECK_EQ(anysync_generator_close(itself, ANYSYNC_FOREVER), -EDEADLK);
    open_gate(inside);
    return of_itself_yield(1);
}

static void check_itself(void)
{
    struct anysync_generator_options options = {.read_ahead = 0};
    of_itself_generator generator;
    int item = 0;

    for (; options.read_ahead < 2; options.read_ahead++) {
        CHECK_EQ(of_itself_open_with(&options, &generator), 0);
        itself = generator.generator;
        /* Its consumer has left when it asks, and still it must not wait for itself. */
        gate = new_gate();
        inside = new_gate();
        CHECK_EQ(of_itself_next_until(&generator, &item, ANYSYNC_POLL), -ETIMEDOUT);
        open_gate(gate);
        pass_gate(inside);
        CHECK_EQ(of_itself_next(&generator, &item), 0);
        anysync_future_unref(gate);
        anysync_future_unref(inside);
        CHECK_EQ(item, 1);
        CHECK_EQ(of_itself_next(&generator, &item), ANYSYNC_DONE);
        of_itself_drop(&generator);
    }
}

TEST(d8_a_body_cannot_advance_itself)
{
    in_worlds(EVERYWHERE, check_itself);
}

/* --- D10, D11 --------------------------------------------------------------------------------- */

struct digits {
    struct anysync_iterator iterator; /* first */
    int number;
    int fails_at;
    int closed;
};

static int next_digit(struct anysync_iterator *self, void *ret_item)
{
    struct digits *digits = (struct digits *)(void *)self;

    if (digits->number == digits->fails_at)
        return -EIO;
    if (digits->number == 0)
        return ANYSYNC_DONE;
    *(int *)ret_item = digits->number % 10;
    digits->number /= 10;
    return 0;
}

static void close_digits(struct anysync_iterator *self)
{
    ((struct digits *)(void *)self)->closed++;
}

static void check_iterators(void)
{
    struct digits digits = {{next_digit, close_digits}, 123, -1, 0};
    count_to_generator generator;
    int error = 0, sum = 0;

    ANYSYNC_FOR_EACH(int, digit, &digits.iterator, &error)
    {
        sum = sum * 10 + digit;
    }
    CHECK_EQ(sum, 321);
    CHECK_EQ(error, 0);
    CHECK_EQ(digits.closed, 1);
    digits.number = 45;
    digits.fails_at = 4;
    ANYSYNC_FOR_EACH(int, digit, &digits.iterator, &error)
    {
        CHECK_EQ(digit, 5);
    }
    CHECK_EQ(error, -EIO);
    CHECK_EQ(digits.closed, 2);
    digits = (struct digits){{next_digit, NULL}, 67, -1, 0};
    ANYSYNC_FOR_EACH(int, digit, &digits.iterator, NULL)
    {
        CHECK_EQ(digit, 7);
        break;
    }
    cleaned = error = 0;
    CHECK_EQ(count_to_open(&generator, 5), 0);
    ANYSYNC_FOR_EACH(int, item, count_to_iterator(&generator), &error)
    {
        if (item == 3)
            break;
    }
    CHECK_EQ(error, 0);
    CHECK_EQ(cleaned, 1);
    count_to_drop(&generator);
}

TEST(d10_whatever_gives_items_works_in_loops)
{
    in_worlds(EVERYWHERE, check_iterators);
}

TEST(d11_closing_never_harms_the_worker)
{
    for (int i = 0; i < 20; i++) {
        check_leaving();
        check_fails();
        check_untouched();
    }
    CHECK_EQ(stats_of(NULL).workers, 1);
    CHECK_EQ(stats_of(NULL).live, 0);
}

/* --- the body's side -------------------------------------------------------------------------- */

static int visit(int depth);

ANYSYNC_GENERATOR(int, visitor, (int, depth))
{
    return visit(depth);
}

static int visit(int depth) /* a walk that knows nothing of who called it */
{
    int error = depth > 0 ? visit(depth - 1) : 0;

    return error ? error : visitor_yield(depth);
}

static void check_deep(void)
{
    int error = 0, expected = 0;

    ANYSYNC_FOR(visitor, depth, &error, 5)
    {
        CHECK_EQ(depth, expected++);
    }
    CHECK_EQ(expected, 6);
    CHECK_EQ(error, 0);
}

TEST(yields_from_deep_inside)
{
    in_worlds(EVERYWHERE, check_deep);
}

ANYSYNC_COROUTINE(void, yields_for_another)
{
    CHECK_EQ(of_itself_yield(1), -EPERM);
    CHECK_EQ(anysync_generator_yield(itself, "", NULL), -EPERM);
    return 0;
}

static int yields_by_child_body(struct anysync_generator *self, void *argument)
{
    (void)argument;
    itself = self;
    CHECK_EQ(count_to_yield(1), -EPERM);
    CHECK_CONTAINS(anysync_last_error()->message, "count_to");
    CHECK_EQ(yields_for_another_run_until(ANYSYNC_FOREVER), 0);
    return 0;
}

static const struct anysync_generator_function yields_by_child =
        ANYSYNC_GENERATOR_FUNCTION(yields_by_child, yields_by_child_body, 0, 0, 0);

static void check_yields_elsewhere(void)
{
    struct anysync_generator *generator = NULL;

    CHECK_EQ(count_to_yield(1), -EPERM);
    CHECK_EQ(anysync_generator_new(&yields_by_child, NULL, NULL, &generator), 0);
    CHECK_EQ(anysync_generator_send(generator, "", NULL, ANYSYNC_FOREVER), -EINVAL);
    CHECK_EQ(anysync_generator_next(generator, NULL, ANYSYNC_FOREVER), ANYSYNC_DONE);
    anysync_generator_unref(generator);
}

TEST(yields_only_in_its_body)
{
    in_worlds(EVERYWHERE, check_yields_elsewhere);
}

static count_to_generator moved;

ANYSYNC_COROUTINE(void, open_moved, (uint32_t, read_ahead))
{
    struct anysync_generator_options options = {.read_ahead = read_ahead};

    return count_to_open_with(&options, &moved, 3);
}

static void next_moved(int expected)
{
    int item = 0;

    CHECK_EQ(count_to_next(&moved, &item), 0);
    CHECK_EQ(item, expected);
}

ANYSYNC_COROUTINE(void, next_moved_inside, (int, expected))
{
    next_moved(expected);
    return 0;
}

static void check_moves(void)
{
    int item = 0;

    for (uint32_t read_ahead = 0; read_ahead < 3; read_ahead++) {
        CHECK_EQ(open_moved_run(read_ahead), 0);
        next_moved(1);
        CHECK_EQ(next_moved_inside_run(2), 0);
        CHECK_EQ(next_moved_inside_run_on(other, 3), 0);
        CHECK_EQ(count_to_next(&moved, &item), ANYSYNC_DONE);
        count_to_drop(&moved);
        CHECK_EQ(count_to_open(&moved, 3), 0);
        CHECK_EQ(next_moved_inside_run_on(other, 1), 0);
        next_moved(2);
        CHECK_EQ(next_moved_inside_run_on(other, 3), 0);
        count_to_drop(&moved);
    }
}

TEST(opened_in_one_world_and_used_in_another)
{
    CHECK_EQ(anysync_executor_new(NULL, &other), 0);
    in_worlds(PLAIN | HERE | FOREIGN, check_moves);
    CHECK_EQ(anysync_executor_shutdown(other, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    anysync_executor_unref(other);
}
