/* SPDX-License-Identifier: MIT */
/*
 * nsync's own tests, by their names: one object with a plain method and one that waits.
 *
 * Promised                                                           Tested by
 *   in a coroutine: the method that waits, and the plain one           async
 *   from plain code: the same calls, the same values                   sync
 *
 * docs/from-python.md has these rows too.
 */
#include "worlds.h"

struct holder {
    int value;
};

ANYSYNC_COROUTINE(int, get_value_async, (const struct holder *, self))
{
    int error = anysync_yield();

    *result = self->value;
    return error;
}

static int get_value_sync(const struct holder *self)
{
    return self->value;
}

static void check_both_methods(void)
{
    const struct holder object = {1};
    int value = 0;

    CHECK_EQ(get_value_async(&value, &object), 0);
    CHECK_EQ(value, 1);
    CHECK_EQ(get_value_sync(&object), 1);
}

TEST(async)
{
    in_worlds(IN_COROUTINES, check_both_methods);
}

TEST(sync)
{
    in_worlds(ON_THREADS, check_both_methods);
}
