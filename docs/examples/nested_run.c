/* SPDX-License-Identifier: MIT */
/* A blocking function called from a coroutine: its run works there too, on a fresh thread. */
#include <anysync.h>

#include <stdio.h>

ANYSYNC_COROUTINE(unsigned, where)
{
    *result = anysync_thread_serial();
    return anysync_yield();
}

/* An old function that blocks.  It need not know who calls it. */
static int where_is_it(unsigned *serial)
{
    return where_run(serial);
}

ANYSYNC_COROUTINE(int, outer)
{
    unsigned self = anysync_thread_serial(), nested = 0, called = 0;
    int error = where_is_it(&nested); /* blocks this worker, so a fresh thread does the work */

    if (!error)
        error = where(&called); /* better where it is possible: a plain call */
    printf("run in a coroutine: %s thread\n", nested == self ? "the same" : "a fresh");
    printf("call in a coroutine: %s thread\n", called == self ? "the same" : "a fresh");
    return error;
}

int main(void)
{
    unsigned serial = 0;
    int error = where_is_it(&serial); /* on a thread: the worker does it */

    if (!error)
        error = outer(NULL);
    if (error)
        fprintf(stderr, "%s\n", anysync_last_error()->message);
    return error != 0;
}
