/* SPDX-License-Identifier: MIT */
/* What tests of groups share: a group, and how many of its children began and ended. */
#ifndef TEST_GROUPS_H
#define TEST_GROUPS_H

#include "worlds.h"

#include <stdatomic.h>

static atomic_int begun, ended;

/* The group of the test that runs. */
static inline struct anysync_group *open_group(void)
{
    struct anysync_group *group = NULL;

    atomic_store(&begun, 0);
    atomic_store(&ended, 0);
    CHECK_EQ(anysync_group_open(&group), 0);
    return group;
}

ANYSYNC_COROUTINE(int, gives, (int, value))
{
    begun++;
    ended++;
    *result = value;
    return 0;
}

ANYSYNC_COROUTINE(int, sleeps)
{
    begun++;
    int error = anysync_sleep(ANYSYNC_FOREVER);
    int again = anysync_yield(); /* its clean-up takes a while */
    CHECK_EQ(again, error);
    ended++;
    return error;
}

ANYSYNC_COROUTINE(int, fails, (int, code))
{
    begun++;
    ended++;
    return anysync_fail(code, "failed with %d", code);
}

#endif
