/* SPDX-License-Identifier: MIT */
/* AnySync, compared with asyncio.run: run works where a loop is running already. */
#include <anysync.h>

#include <errno.h>
#include <stdio.h>

ANYSYNC_COROUTINE(int, answer)
{
    *result = 42;
    return anysync_yield();
}

/* A coroutine on a loop of this thread.  It may run another, and blocks for it. */
ANYSYNC_COROUTINE(void, inside)
{
    int value = 0;
    int error = answer_run_here(&value); /* what asyncio.run would have to do: a loop in a loop */

    printf("run_here: %s: %s\n", anysync_error_name(error), anysync_last_error()->message);
    if (error != -EDEADLK)
        return anysync_fail(-EPROTO, "a loop inside a loop");
    error = answer_run(&value); /* another thread's loop does it */
    printf("run: %d\n", value);
    return error;
}

int main(void)
{
    int error = inside_run_here(); /* asyncio.run(inside()) */

    if (error)
        fprintf(stderr, "%s\n", anysync_last_error()->message);
    return error != 0;
}
