/* SPDX-License-Identifier: MIT */
/* Asyncer, runnify: a coroutine function becomes an ordinary main, on a loop of this thread. */
#include <anysync.h>

#include <stdio.h>

ANYSYNC_COROUTINE(int, async_main, (const char *, name))
{
    int error = anysync_sleep(anysync_in_ms(5));

    if (!error)
        *result = printf("Hello, %s\n", name);
    return error;
}

int main(void)
{
    int length = 0;
    int error = async_main_run_here(&length, "World"); /* `runnify(async_main)("World")` */

    if (error)
        fprintf(stderr, "%s\n", anysync_last_error()->message);
    return error != 0;
}
