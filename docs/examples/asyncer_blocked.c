/* SPDX-License-Identifier: MIT */
/* Asyncer, what not to do: a plain blocking call in a coroutine stops everybody on its loop. */
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

static void greet_slowly(const char *name)
{
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL); /* knows nothing of loops */
    printf("Hello, %s\n", name);
}

ANYSYNC_COROUTINE(void, async_main)
{
    ANYSYNC_SCOPED_FUTURE(tick, other);
    int error = tick_start(&other);

    if (error)
        return error;
    int before = ticks;
    greet_slowly("World"); /* do not: nothing suspends here */
    printf("ticks of the other task meanwhile: %d\n", ticks - before);
    tick_cancel(&other);
    error = tick_wait(&other, ANYSYNC_FOREVER);
    return error == -ECANCELED ? 0 : error;
}

int main(void)
{
    return async_main_run_here() != 0;
}
