/* SPDX-License-Identifier: MIT */
/*
 * Contract D9: lock step, read-ahead, and nothing lost.  (The rest of D: test_generators.c.)
 *
 * Promised                                        Tested by
 *   D9  lock step: not a step further               d9_lock_step_goes_no_further
 *       reads at most n ahead                       d9_reads_at_most_n_ahead
 *       all of it arrives, in order                 d9_all_items_arrive_in_order
 *       a consumer that gave up lost nothing        d9_nothing_is_lost_at_a_deadline
 *                                                   d9_an_item_that_came_too_late_is_kept
 *                                                   d9_nothing_is_lost_to_a_cancel
 */
#include "worlds.h"

#include <errno.h>

static struct anysync_future *gate;

static int cleaned;

ANYSYNC_GENERATOR(int, count_to, (int, last))
{
    int error = 0;

    for (int i = 1; i <= last && !error; i++)
        error = count_to_yield(i);
    cleaned++;
    return error;
}

static void check_loop(void)
{
    int sum = 0, error = 0;

    ANYSYNC_FOR(count_to, i, &error, 3)
    {
        sum += i;
    }
    CHECK_EQ(error, 0);
    CHECK_EQ(sum, 6);
}

/* --- D9 --------------------------------------------------------------------------------------- */

static struct anysync_future *steps[16];
static int step; /* how far the body got */

ANYSYNC_GENERATOR(int, stepper, (int, last))
{
    int error = 0;

    for (int i = 0; i < last && !error; i++) {
        step = i + 1;
        open_gate(steps[i]);
        error = stepper_yield(i);
    }
    return error;
}

/* All that can run on the loop of GENERATOR has run. */
static void settle_loop(void)
{
    if (world_now & IN_COROUTINES)
        for (int i = 0; i < 3; i++)
            CHECK_EQ(anysync_yield(), 0);
    else
        CHECK_EQ(world_body_run(check_loop), 0);
}

static void check_ahead(uint32_t read_ahead, int expected)
{
    struct anysync_generator_options options = {.read_ahead = read_ahead};
    stepper_generator generator;
    int item = -1;

    step = 0;
    for (int i = 0; i < 16; i++)
        steps[i] = new_gate();
    CHECK_EQ(stepper_open_with(&options, &generator, 16), 0);
    CHECK_EQ(stepper_next(&generator, &item), 0);
    CHECK_EQ(item, 0);
    pass_gate(steps[expected - 1]);
    settle_loop();
    CHECK_GE(step, expected);
    CHECK_GE(read_ahead + 1, step);
    for (int i = 1; i < 16; i++) {
        CHECK_EQ(stepper_next(&generator, &item), 0);
        CHECK_EQ(item, i);
        settle_loop();
        CHECK_GE(i + 1 + (int)read_ahead, step);
    }
    CHECK_EQ(stepper_next(&generator, &item), ANYSYNC_DONE);
    stepper_drop(&generator);
    for (int i = 0; i < 16; i++)
        anysync_future_unref(steps[i]);
}

static void check_lock_step(void)
{
    check_ahead(0, 1);
}

static void check_some_ahead(void)
{
    check_ahead(1, 1);
    check_ahead(3, 3);
    check_ahead(8, 8);
}

TEST(d9_lock_step_goes_no_further)
{
    in_worlds(EVERYWHERE, check_lock_step);
}

TEST(d9_reads_at_most_n_ahead)
{
    in_worlds(EVERYWHERE, check_some_ahead);
}

static void check_order(void)
{
    static const uint32_t few[] = {0, 1, 2, 3, 64, 100};
    int last = (int)test_scaled(2000);

    for (size_t i = 0; i < sizeof(few) / sizeof(few[0]); i++) {
        struct anysync_generator_options options = {.read_ahead = few[i]};
        count_to_generator generator;
        int error = 0, expected = 0;
        CHECK_EQ(count_to_open_with(&options, &generator, last), 0);
        ANYSYNC_FOR_REST(count_to, item, &error, &generator)
        {
            CHECK_EQ(item, ++expected);
        }
        CHECK_EQ(expected, last);
        CHECK_EQ(error, 0);
        count_to_drop(&generator);
    }
}

TEST(d9_all_items_arrive_in_order)
{
    in_worlds(EVERYWHERE, check_order);
}

ANYSYNC_GENERATOR(int, gated, (int, last))
{
    int error = 0;

    for (int i = 1; i <= last && !error; i++) {
        error = anysync_wait(gate, NULL, ANYSYNC_FOREVER);
        if (!error)
            error = gated_yield(i);
    }
    return error;
}

static void check_deadline(void)
{
    struct anysync_generator_options options = {.read_ahead = 0};
    gated_generator generator;
    int item = 0;

    for (; options.read_ahead < 3; options.read_ahead++) {
        gate = new_gate();
        CHECK_EQ(gated_open_with(&options, &generator, 3), 0);
        CHECK_EQ(gated_next_until(&generator, &item, anysync_in_ms(1)), -ETIMEDOUT);
        CHECK_CONTAINS(anysync_last_error()->message, "not lost");
        CHECK_EQ(gated_next_until(&generator, &item, ANYSYNC_POLL), -ETIMEDOUT);
        CHECK_EQ(gated_send(&generator, 4, &item), options.read_ahead ? -EINVAL : -EBUSY);
        open_gate(gate);
        for (int i = 1; i <= 3; i++) {
            CHECK_EQ(gated_next(&generator, &item), 0);
            CHECK_EQ(item, i);
        }
        CHECK_EQ(gated_next(&generator, &item), ANYSYNC_DONE);
        gated_drop(&generator);
        anysync_future_unref(gate);
    }
}

TEST(d9_nothing_is_lost_at_a_deadline)
{
    in_worlds(EVERYWHERE, check_deadline);
}

static void check_too_late(void)
{
    struct anysync_generator_options options = {.read_ahead = 0};
    gated_generator generator;
    int item = 0;

    for (; options.read_ahead < 2; options.read_ahead++) {
        for (int keep = 0; keep < 2; keep++) {
            gate = new_gate();
            CHECK_EQ(gated_open_with(&options, &generator, 3), 0);
            CHECK_EQ(gated_next_until(&generator, &item, anysync_in_ms(1)), -ETIMEDOUT);
            open_gate(gate);
            settle_loop(); /* now it lies there, and nobody waits */
            CHECK_EQ(gated_throw(&generator, -EIO, NULL, &item),
                    options.read_ahead ? -EINVAL : -EBUSY);
            if (keep) {
                for (int i = 1; i <= 3; i++) {
                    CHECK_EQ(gated_next(&generator, &item), 0);
                    CHECK_EQ(item, i);
                }
            }
            CHECK_EQ(gated_close(&generator), 0);
            CHECK_EQ(gated_next(&generator, &item), ANYSYNC_DONE);
            gated_drop(&generator);
            anysync_future_unref(gate);
        }
    }
}

TEST(d9_an_item_that_came_too_late_is_kept)
{
    in_worlds(EVERYWHERE, check_too_late);
}

static gated_generator waited;

ANYSYNC_COROUTINE(void, next_of_waited)
{
    int item = 0;

    CHECK_EQ(gated_next(&waited, &item), -ECANCELED);
    CHECK_EQ(anysync_last_error()->origin, ANYSYNC_ORIGIN_CALL);
    CHECK_EQ(gated_next(&waited, &item), -ECANCELED); /* level-triggered */
    return 0;
}

static void check_cancel(void)
{
    struct anysync_generator_options options = {.read_ahead = 0};

    for (; options.read_ahead < 2; options.read_ahead++) {
        next_of_waited_future future;
        int item = 0;
        gate = new_gate();
        CHECK_EQ(gated_open_with(&options, &waited, 2), 0);
        CHECK_EQ(next_of_waited_start(&future), 0);
        settle_loop();
        CHECK_EQ(next_of_waited_cancel(&future), 0);
        CHECK_EQ(next_of_waited_wait(&future, ANYSYNC_FOREVER), 0);
        next_of_waited_drop(&future);
        open_gate(gate);
        CHECK_EQ(gated_next(&waited, &item), 0);
        CHECK_EQ(item, 1);
        gated_drop(&waited);
        anysync_future_unref(gate);
    }
}

TEST(d9_nothing_is_lost_to_a_cancel)
{
    in_worlds(IN_COROUTINES, check_cancel);
}
