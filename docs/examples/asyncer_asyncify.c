/* SPDX-License-Identifier: MIT */
/* Asyncer, asyncify: a function that says it blocks runs elsewhere, and the loop goes on. */
#include <anysync.h>

#include <errno.h>
#include <stdio.h>
#include <time.h>

static int ticks; /* of one loop: no lock needed */

ANYSYNC_COROUTINE(void, tick)
{
    for (;;) {
        int error = anysync_yield();
        if (error)
            return error;
        ticks++;
    }
}

ANYSYNC_BLOCKING(int, greet_slowly, (const char *, name))
{
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL); /* knows nothing of loops */
    *result = printf("Hello, %s\n", name);
    return 0;
}

ANYSYNC_COROUTINE(void, async_main)
{
    ANYSYNC_SCOPED_FUTURE(tick, other);
    int length = 0;
    int error = tick_start(&other);

    if (error)
        return error;
    error = greet_slowly(&length, "World"); /* on a thread of the pool; this coroutine suspends */
    if (error)
        return error;
    printf("%d bytes; ticks of the other task meanwhile: %s\n", length, ticks ? "some" : "none");
    tick_cancel(&other);
    error = tick_wait(&other, ANYSYNC_FOREVER);
    return error == -ECANCELED ? 0 : error;
}

int main(void)
{
    return async_main_run_here() != 0;
}
