/* SPDX-License-Identifier: MIT */
/*
 * Arguments, values and items of sizes that no memory has (CONTRACT K4): -ENOMEM and a sentence,
 * also where the sum of two, rounded, begins again at zero.  With 32 bits these are not far away.
 */
#include "harness.h"

#include <anysync/generator.h>
#include <anysync/typed.h>

#include <errno.h>

static int nothing(void *argument, void *result)
{
    (void)argument;
    (void)result;
    return 0;
}

static int no_items(struct anysync_generator *generator, void *argument)
{
    (void)generator;
    (void)argument;
    return 0;
}

ANYSYNC_COROUTINE(void, calls_it, (const struct anysync_function *, function), (void *, argument))
{
    int value = 7;

    CHECK_EQ(anysync_call(function, argument, &value), -ENOMEM);
    CHECK_CONTAINS(anysync_last_error()->message, "huge");
    CHECK_EQ(value, 7);
    return 0;
}

static void refused(size_t size)
{
    struct anysync_function huge = {.name = "huge",
            .file = __FILE__,
            .line = __LINE__,
            .body = nothing,
            .argument_size = 4,
            .result_size = size};
    struct anysync_generator_function items =
            ANYSYNC_GENERATOR_FUNCTION(items, no_items, 4, size, 0);
    struct anysync_generator_function sends =
            ANYSYNC_GENERATOR_FUNCTION(sends, no_items, 4, 1, size);
    struct anysync_generator *generator = NULL;
    struct anysync_future *future = NULL;
    int argument = 1, value = 7;

    CHECK_EQ(anysync_run(&huge, &argument, &value, ANYSYNC_FOREVER), -ENOMEM);
    CHECK_EQ(anysync_run_here(&huge, &argument, &value, ANYSYNC_FOREVER), -ENOMEM);
    CHECK_EQ(calls_it_run_here(&huge, &argument), 0);
    CHECK_EQ(anysync_future_new(size, &future), -ENOMEM);
    CHECK_EQ(anysync_generator_new(&items, &argument, NULL, &generator), -ENOMEM);
    CHECK_EQ(anysync_generator_new(&sends, &argument, NULL, &generator), -ENOMEM);
    CHECK_EQ(value, 7);
    CHECK(!future && !generator);
}

TEST(k4_sizes_whose_sum_is_too_large_are_enomem)
{
    for (size_t below = 0; below < 512; below++)
        refused(SIZE_MAX - below);
    refused(SIZE_MAX / 2);
    refused(SIZE_MAX / 2 + 1);
}
