/* SPDX-License-Identifier: MIT */
/*
 * Contract F2, F3, F4: context variables of managers and generators.
 *
 * Promised                                        Tested by
 *   F2  set in enter: seen in exit, not in the      f2_set_in_enter_is_seen_in_exit_only
 *       block, not afterwards
 *       enter starts with its caller's              f2_enter_starts_with_its_callers_values
 *   F3  loop: set once, seen at each yield          f3_a_loop_keeps_what_the_body_set
 *       also reading ahead                          f3_reading_ahead_keeps_them_too
 *   F4  next: each starts with its caller's         f4_each_next_starts_with_its_callers_values
 *       send and throw too                          f4_send_and_throw_too
 */
#include "worlds.h"

#include <errno.h>

ANYSYNC_VAR(int, number, 0);
static int seen_in_exit;

ANYSYNC_CONTEXT_MANAGER(int, sets_number, (int, to))
{
    int before = number_get();

    if (to)
        CHECK_EQ(number_set(to, NULL), 0);
    int error = sets_number_yield(before);
    seen_in_exit = number_get();
    return error;
}

static void check_manager(void)
{
    int error = 0;

    ANYSYNC_WITH(sets_number, before, &error, 42)
    {
        CHECK_EQ(before, 0);
        CHECK_EQ(number_get(), 0);
    }
    CHECK_EQ(error, 0);
    CHECK_EQ(seen_in_exit, 42);
    CHECK_EQ(number_get(), 0);
}

TEST(f2_set_in_enter_is_seen_in_exit_only)
{
    in_worlds(EVERYWHERE, check_manager);
}

static void check_manager_starts(void)
{
    struct anysync_token token;
    int error = 0;

    CHECK_EQ(number_set(20, &token), 0);
    ANYSYNC_WITH(sets_number, before, &error, 0)
    {
        CHECK_EQ(before, 20);
        CHECK_EQ(number_set(21, NULL), 0);
    }
    CHECK_EQ(error, 0);
    CHECK_EQ(seen_in_exit, 20); /* it has its own */
    CHECK_EQ(anysync_var_reset(&token), 0);
}

TEST(f2_enter_starts_with_its_callers_values)
{
    in_worlds(EVERYWHERE, check_manager_starts);
}

/* --- generators ------------------------------------------------------------------------------- */

ANYSYNC_GENERATOR(int, numbers)
{
    int error = 0;

    CHECK_EQ(number_set(42, NULL), 0);
    while (!error || error == -EAGAIN)
        error = numbers_yield(number_get());
    return error;
}

static void loop(uint32_t read_ahead)
{
    struct anysync_generator_options options = {.read_ahead = read_ahead};
    numbers_generator generator;
    int error = 0, rounds = 0;

    CHECK_EQ(numbers_open_with(&options, &generator), 0);
    ANYSYNC_FOR_REST(numbers, value, &error, &generator)
    {
        CHECK_EQ(value, 42);
        CHECK_EQ(number_get(), 0);
        if (++rounds == 3)
            break;
    }
    CHECK_EQ(error, 0);
    CHECK_EQ(number_get(), 0);
    numbers_drop(&generator);
}

static void check_loop(void)
{
    loop(0);
}

static void check_loop_ahead(void)
{
    loop(1);
    loop(2);
}

TEST(f3_a_loop_keeps_what_the_body_set)
{
    in_worlds(EVERYWHERE, check_loop);
}

TEST(f3_reading_ahead_keeps_them_too)
{
    in_worlds(EVERYWHERE, check_loop_ahead);
}

static void expect_next(numbers_generator *generator, int expected)
{
    int value = -1;

    CHECK_EQ(numbers_next(generator, &value), 0);
    CHECK_EQ(value, expected);
}

static void check_next(void)
{
    numbers_generator generator;
    struct anysync_token token;

    CHECK_EQ(numbers_open(&generator), 0);
    expect_next(&generator, 42);
    expect_next(&generator, 0);
    expect_next(&generator, 0);
    CHECK_EQ(number_set(20, &token), 0);
    expect_next(&generator, 20);
    CHECK_EQ(anysync_var_reset(&token), 0);
    expect_next(&generator, 0);
    CHECK_EQ(number_get(), 0);
    numbers_drop(&generator);
}

TEST(f4_each_next_starts_with_its_callers_values)
{
    in_worlds(EVERYWHERE, check_next);
}

static void check_send(void)
{
    numbers_generator generator;
    struct anysync_token token;
    int value = -1;

    CHECK_EQ(numbers_open(&generator), 0);
    expect_next(&generator, 42);
    CHECK_EQ(number_set(20, &token), 0);
    CHECK_EQ(numbers_send(&generator, 1, &value), 0);
    CHECK_EQ(value, 20);
    CHECK_EQ(number_set(21, NULL), 0);
    CHECK_EQ(numbers_throw(&generator, -EAGAIN, NULL, &value), 0);
    CHECK_EQ(value, 21);
    CHECK_EQ(anysync_var_reset(&token), 0);
    numbers_drop(&generator);
}

TEST(f4_send_and_throw_too)
{
    in_worlds(EVERYWHERE, check_send);
}
