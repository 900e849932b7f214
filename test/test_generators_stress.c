/* SPDX-License-Identifier: MIT */
/*
 * Contract D: many generators at once.  (What each promises: test_generators.c and its neighbours.)
 *
 * Promised                                        Tested by
 *   many generators, threads, random ends           stress_many_generators_end_at_random
 *   many consumers of one                           stress_many_consumers_share_one
 *   close at any moment of a next                   stress_close_meets_next
 *   deadlines at any moment                         stress_deadlines_lose_nothing
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

static struct anysync_generator_options with(uint32_t read_ahead)
{
    return (struct anysync_generator_options){.read_ahead = read_ahead};
}

/* --- many ------------------------------------------------------------------------------------- */

static uint32_t random_of(uint32_t *state, uint32_t below)
{
    *state = *state * 1664525u + 1013904223u;
    return (*state >> 10) % below;
}

ANYSYNC_GENERATOR(int, counts_and_yields, (uint32_t, seed))
{
    int error = 0;

    for (int i = 0; i < 20 && !error; i++) {
        if (random_of(&seed, 4) == 0)
            error = anysync_yield();
        if (!error)
            error = counts_and_yields_yield(i);
    }
    return error;
}

/* Some items, some of them too late; then the end, a close, or neither. */
static void use_at_random(uint32_t *seed)
{
    static const uint32_t ahead[] = {0, 0, 1, 2, 7};
    struct anysync_generator_options options = with(ahead[random_of(seed, 5)]);
    counts_and_yields_generator generator;
    uint32_t wanted = random_of(seed, 24);
    int item = -1, error = 0, expected = 0;

    CHECK_EQ(counts_and_yields_open_with(&options, &generator, *seed), 0);
    for (uint32_t i = 0; i < wanted && error != ANYSYNC_DONE; i++) {
        anysync_time deadline =
                random_of(seed, 3) ? ANYSYNC_FOREVER : anysync_in_us(random_of(seed, 20));
        error = counts_and_yields_next_until(&generator, &item, deadline);
        if (!error)
            CHECK_EQ(item, expected++);
        else if (error != ANYSYNC_DONE)
            CHECK_EQ(error, -ETIMEDOUT);
    }
    if (error == ANYSYNC_DONE)
        CHECK_EQ(expected, 20);
    if (random_of(seed, 2))
        CHECK_EQ(counts_and_yields_close(&generator), 0);
    counts_and_yields_drop(&generator);
}

ANYSYNC_COROUTINE(void, use_inside, (uint32_t, seed))
{
    use_at_random(&seed);
    return 0;
}

static void use_many(void *argument, int index)
{
    uint32_t seed = (uint32_t)index * 77 + 1;

    for (long i = *(long *)argument; i > 0; i--) {
        use_at_random(&seed);
        if (random_of(&seed, 3) == 0)
            CHECK_EQ(use_inside_run(seed), 0);
        if (random_of(&seed, 3) == 0)
            CHECK_EQ(use_inside_run_here(seed), 0);
    }
}

TEST(stress_many_generators_end_at_random)
{
    long count = test_scaled(300);

    test_together(4, use_many, &count);
    CHECK_EQ(anysync_shutdown(ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
}

static count_to_generator common;
static long sums[4];

static int take_some(int index)
{
    int item = 0, error;

    do {
        error = count_to_next_until(&common, &item, anysync_in_us(50));
        if (!error)
            sums[index] += item;
    } while (error == 0);
    return error == ANYSYNC_DONE;
}

ANYSYNC_COROUTINE(int, take_some_inside, (int, index))
{
    *result = take_some(index);
    return 0;
}

static void take_all(void *argument, int index)
{
    int done = 0;

    (void)argument;
    while (!done) {
        if (index == 0)
            CHECK_EQ(take_some_inside_run(&done, index), 0);
        else if (index == 1)
            CHECK_EQ(take_some_inside_run_here(&done, index), 0);
        else
            done = take_some(index);
    }
}

TEST(stress_many_consumers_share_one)
{
    for (uint32_t ahead = 0; ahead < 4; ahead++) {
        struct anysync_generator_options options = with(ahead);
        int last = (int)test_scaled(1000);
        memset(sums, 0, sizeof(sums));
        CHECK_EQ(count_to_open_with(&options, &common, last), 0);
        test_together(4, take_all, NULL);
        CHECK_EQ(sums[0] + sums[1] + sums[2] + sums[3], (long)last * (last + 1) / 2);
        count_to_drop(&common);
    }
}

static void close_or_take(void *argument, int index)
{
    int item = 0, error = 0;

    (void)argument;
    if (index == 1)
        CHECK_EQ(count_to_close(&common), 0);
    while (index == 0 && !error)
        error = count_to_next(&common, &item);
    if (index == 0)
        CHECK_EQ(error, ANYSYNC_DONE);
}

TEST(stress_close_meets_next)
{
    for (long i = test_scaled(400); i > 0; i--) {
        struct anysync_generator_options options = with((uint32_t)(i % 3));
        CHECK_EQ(count_to_open_with(&options, &common, 1 << 30), 0);
        test_together(2, close_or_take, NULL);
        count_to_drop(&common);
    }
}

TEST(stress_deadlines_lose_nothing)
{
    for (uint32_t ahead = 0; ahead < 2; ahead++) {
        struct anysync_generator_options options = with(ahead);
        int last = (int)test_scaled(3000), item = 0, expected = 0, error = 0;
        CHECK_EQ(count_to_open_with(&options, &common, last), 0);
        for (int64_t delay = 0; error != ANYSYNC_DONE; delay = (delay + 37) % 3000) {
            error = count_to_next_until(&common, &item, anysync_in_ns(delay));
            if (!error)
                CHECK_EQ(item, ++expected);
        }
        CHECK_EQ(expected, last);
        count_to_drop(&common);
    }
}
