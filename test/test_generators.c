/* SPDX-License-Identifier: MIT */
/*
 * Contract D: generators.  (Loops, errors: test_generators_loops.c; read-ahead: _ahead.c; how they
 * end: test_generators_ends.c; many at once: test_generators_stress.c.)
 *
 * Promised                                        Tested by
 *   D1  1, 2, 3 and the end, in every world         d1_a_loop_gives_the_items_and_ends
 *       the same one by one, on another executor    d1_on_another_executor
 *       on its caller's loop, or on the worker      d1_runs_on_the_callers_loop_or_on_the_worker
 *       nothing runs before the first item          d1_nothing_runs_before_the_first_item
 *   D2  next three times, then done for ever        d2_next_then_done_for_ever
 *   D3  send: 1, then what was sent, then done      d3_send_gives_what_was_sent
 *       values of another type                      d3_a_value_of_another_type
 *       a plain next sends all zero                 d3_next_sends_all_zero
 *       a value sent into a fresh one               d3_a_value_for_a_fresh_one_is_refused
 *   D4  throw into a fresh one, then done           d4_throw_into_a_fresh_one_finishes_it
 *       a throw that is caught gives its next       d4_a_throw_that_is_caught_gives_the_next_item
 *       a throw that is not comes back              d4_a_throw_that_is_not_caught_comes_back
 *       past the end                                d4_a_throw_past_the_end_says_done
 */
#include "worlds.h"

#include <errno.h>

static int cleaned, began;

ANYSYNC_GENERATOR(int, count_to, (int, last))
{
    int error = 0;

    began++;
    for (int i = 1; i <= last && !error; i++)
        error = count_to_yield(i);
    cleaned++;
    return error;
}

ANYSYNC_GENERATOR(int, echo)
{
    int sent = -1;
    int error = echo_yield_receive(1, &sent);

    return error ? error : echo_yield(sent);
}

/* --- D1, D2 ----------------------------------------------------------------------------------- */

static void check_loop(void)
{
    int sum = 0, error = 0, expected = 1;

    ANYSYNC_FOR(count_to, i, &error, 3)
    {
        CHECK_EQ(i, expected++);
        sum += i;
    }
    CHECK_EQ(error, 0);
    CHECK_EQ(sum, 6);
    error = 7;
    ANYSYNC_FOR(count_to, i, &error, 0)
    {
        CHECK(i && false);
    }
    CHECK_EQ(error, 7); /* left alone */
}

TEST(d1_a_loop_gives_the_items_and_ends)
{
    in_worlds(EVERYWHERE, check_loop);
}

static struct anysync_executor *other;

ANYSYNC_GENERATOR(unsigned, threads)
{
    int error = 0;

    for (int i = 0; i < 2 && !error; i++)
        error = threads_yield(anysync_thread_serial());
    return error;
}

static void check_other(void)
{
    struct anysync_generator_options options = {.executor = other};
    threads_generator generator;
    unsigned serial = 0;

    CHECK_EQ(threads_open_with(&options, &generator), 0);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(threads_next(&generator, &serial), 0);
        CHECK_EQ(serial, stats_of(other).worker_serial);
    }
    CHECK_EQ(threads_next(&generator, &serial), ANYSYNC_DONE);
    threads_drop(&generator);
}

TEST(d1_on_another_executor)
{
    CHECK_EQ(anysync_executor_new(NULL, &other), 0);
    in_worlds(EVERYWHERE, check_other);
    CHECK_EQ(anysync_executor_shutdown(other, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    anysync_executor_unref(other);
}

static void check_where(void)
{
    unsigned serial = 0;
    int error = 0;

    ANYSYNC_FOR(threads, where, &error)
    {
        serial = where;
    }
    CHECK_EQ(error, 0);
    if (world_now & IN_COROUTINES)
        CHECK_EQ(serial, anysync_thread_serial());
    else
        CHECK_EQ(serial, stats_of(NULL).worker_serial);
}

TEST(d1_runs_on_the_callers_loop_or_on_the_worker)
{
    in_worlds(EVERYWHERE, check_where);
}

static void check_nothing_runs(void)
{
    count_to_generator generator;

    began = cleaned = 0;
    CHECK_EQ(count_to_open(&generator, 3), 0);
    CHECK_EQ(anysync_yield(), 0);
    CHECK_EQ(world_body_run(check_loop), 0); /* the worker has had its chance */
    CHECK_EQ(began, 2);
    count_to_drop(&generator);
    CHECK_EQ(began, 2); /* nor when it is dropped */
    count_to_drop(&generator);
}

TEST(d1_nothing_runs_before_the_first_item)
{
    in_worlds(EVERYWHERE, check_nothing_runs);
}

static void check_next(void)
{
    count_to_generator generator;
    int item = 0;

    CHECK_EQ(count_to_open(&generator, 3), 0);
    for (int i = 1; i <= 3; i++) {
        CHECK_EQ(count_to_next(&generator, &item), 0);
        CHECK_EQ(item, i);
    }
    for (int i = 0; i < 3; i++)
        CHECK_EQ(count_to_next(&generator, &item), ANYSYNC_DONE);
    CHECK_EQ(item, 3);
    CHECK_EQ(count_to_close(&generator), 0);
    CHECK_EQ(count_to_next(&generator, &item), ANYSYNC_DONE);
    count_to_drop(&generator);
}

TEST(d2_next_then_done_for_ever)
{
    in_worlds(EVERYWHERE, check_next);
}

/* --- D3 --------------------------------------------------------------------------------------- */

static void check_send(void)
{
    echo_generator generator;
    int item = 0;

    CHECK_EQ(echo_open(&generator), 0);
    CHECK_EQ(echo_next(&generator, &item), 0);
    CHECK_EQ(item, 1);
    CHECK_EQ(echo_send(&generator, 42, &item), 0);
    CHECK_EQ(item, 42);
    CHECK_EQ(echo_send(&generator, 43, &item), ANYSYNC_DONE);
    CHECK_EQ(echo_send(&generator, 43, &item), ANYSYNC_DONE);
    echo_drop(&generator);
}

TEST(d3_send_gives_what_was_sent)
{
    in_worlds(EVERYWHERE, check_send);
}

ANYSYNC_GENERATOR_SENT(size_t, const char *, lengths)
{
    const char *word = "";
    int error = 0;

    while (!error)
        error = lengths_yield_receive(strlen(word), &word);
    return error;
}

TEST(d3_a_value_of_another_type)
{
    lengths_generator generator;
    size_t length = 9;

    CHECK_EQ(lengths_open(&generator), 0);
    CHECK_EQ(lengths_next(&generator, &length), 0);
    CHECK_EQ(length, 0);
    CHECK_EQ(lengths_send(&generator, "four", &length), 0);
    CHECK_EQ(length, 4);
    CHECK_EQ(lengths_close(&generator), 0);
    lengths_drop(&generator);
}

static void check_next_sends_zero(void)
{
    echo_generator generator;
    int item = 0;

    CHECK_EQ(echo_open(&generator), 0);
    CHECK_EQ(echo_next(&generator, &item), 0);
    item = 5;
    CHECK_EQ(anysync_generator_send(generator.generator, NULL, &item, ANYSYNC_FOREVER), 0);
    CHECK_EQ(item, 0);
    echo_drop(&generator);
}

TEST(d3_next_sends_all_zero)
{
    in_worlds(EVERYWHERE, check_next_sends_zero);
}

static void check_send_fresh(void)
{
    echo_generator generator;
    int item = 0;

    CHECK_EQ(echo_open(&generator), 0);
    CHECK_EQ(echo_send(&generator, 42, &item), -EINVAL);
    CHECK_CONTAINS(anysync_last_error()->message, "call next first");
    CHECK_EQ(echo_next(&generator, &item), 0); /* it can still be used */
    CHECK_EQ(item, 1);
    echo_drop(&generator);
}

TEST(d3_a_value_for_a_fresh_one_is_refused)
{
    in_worlds(EVERYWHERE, check_send_fresh);
}

/* --- D4 --------------------------------------------------------------------------------------- */

static void check_throw_fresh(void)
{
    count_to_generator generator;
    int item = 0;

    began = 0;
    CHECK_EQ(count_to_open(&generator, 3), 0);
    CHECK_EQ(count_to_throw(&generator, -EIO, "the wire is cut", &item), -EIO);
    CHECK_CONTAINS(anysync_last_error()->message, "the wire is cut");
    CHECK_EQ(count_to_next(&generator, &item), ANYSYNC_DONE);
    CHECK_EQ(began, 0);
    count_to_drop(&generator);
}

TEST(d4_throw_into_a_fresh_one_finishes_it)
{
    in_worlds(EVERYWHERE, check_throw_fresh);
}

ANYSYNC_GENERATOR(int, catcher)
{
    int error = catcher_yield(1);

    CHECK_EQ(error, -EIO);
    CHECK_EQ(anysync_last_error()->code, -EIO);
    CHECK_STR(anysync_last_error()->message, "the wire is cut");
    return catcher_yield(2);
}

static void check_caught(void)
{
    catcher_generator generator;
    int item = 0;

    CHECK_EQ(catcher_open(&generator), 0);
    CHECK_EQ(catcher_next(&generator, &item), 0);
    CHECK_EQ(catcher_throw(&generator, -EIO, "the wire is cut", &item), 0);
    CHECK_EQ(item, 2);
    CHECK_EQ(catcher_next(&generator, &item), ANYSYNC_DONE);
    catcher_drop(&generator);
}

TEST(d4_a_throw_that_is_caught_gives_the_next_item)
{
    in_worlds(EVERYWHERE, check_caught);
}

static void check_not_caught(void)
{
    count_to_generator generator;
    int item = 0;

    cleaned = 0;
    CHECK_EQ(count_to_open(&generator, 3), 0);
    CHECK_EQ(count_to_next(&generator, &item), 0);
    CHECK_EQ(count_to_throw(&generator, -EIO, "the wire is cut", &item), -EIO);
    CHECK_EQ(cleaned, 1);
    CHECK_STR(anysync_last_error()->message, "the wire is cut");
    CHECK_EQ(anysync_last_error()->origin, ANYSYNC_ORIGIN_TASK);
    CHECK_EQ(count_to_next(&generator, &item), ANYSYNC_DONE);
    count_to_drop(&generator);
}

TEST(d4_a_throw_that_is_not_caught_comes_back)
{
    in_worlds(EVERYWHERE, check_not_caught);
}

static void check_throw_past_end(void)
{
    count_to_generator generator;
    int item = 0;

    CHECK_EQ(count_to_open(&generator, 0), 0);
    CHECK_EQ(count_to_next(&generator, &item), ANYSYNC_DONE);
    CHECK_EQ(count_to_throw(&generator, -EIO, NULL, &item), ANYSYNC_DONE);
    count_to_drop(&generator);
}

TEST(d4_a_throw_past_the_end_says_done)
{
    in_worlds(EVERYWHERE, check_throw_past_end);
}
