/* SPDX-License-Identifier: MIT */
/* A manager that notes what happens to it, for the tests of context managers. */
#ifndef TEST_MANAGERS_H
#define TEST_MANAGERS_H

#include "worlds.h"

#include <errno.h>
#include <stdio.h>

static int entered, exited, told;
static int exit_code; /* what the clean-up returns; 1: what it was told */
static char told_message[64];

ANYSYNC_CONTEXT_MANAGER(int, lent, (int, value))
{
    int error;

    entered++;
    if (value < 0)
        return anysync_fail(-ENOENT, "no value %d", value);
    error = lent_yield(value);
    told = error;
    snprintf(told_message, sizeof(told_message), "%s", error ? anysync_last_error()->message : "");
    exited++;
    if (exit_code == 1)
        return error;
    return exit_code ? anysync_fail(exit_code, "the clean-up failed") : 0;
}

static inline void start_afresh(void)
{
    entered = exited = told = 0;
    exit_code = 1;
}

#endif
