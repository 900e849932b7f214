/* SPDX-License-Identifier: MIT */
/* A hundred tasks at the same time on one thread; then all results, in order. */
#include <anysync.h>

#include <stdio.h>

enum { COUNT = 100 };

ANYSYNC_COROUTINE(int, square, (int, n))
{
    int error = anysync_sleep(anysync_in_ms(10)); /* all sleep together: 10 ms, not a second */

    *result = n * n;
    return error;
}

int main(void)
{
    square_future soon[COUNT];
    struct anysync_future *futures[COUNT];
    int error = 0, sum = 0;

    for (int i = 0; i < COUNT; i++) {
        int failed = square_start(&soon[i], i);
        if (failed)
            error = failed;
        futures[i] = soon[i].future; /* NULL after a failure: the wait passes over it */
    }
    if (!error)
        error = anysync_wait_all(futures, COUNT, anysync_in_seconds(10));
    for (int i = 0; i < COUNT; i++) {
        int value = 0;
        if (!error)
            error = square_wait(&soon[i], &value, ANYSYNC_POLL); /* it is there */
        sum += value;
        square_drop(&soon[i]); /* every handle, whatever happened */
    }
    if (error) {
        fprintf(stderr, "%s\n", anysync_last_error()->message);
        return 1;
    }
    printf("the squares of 0 to %d add up to %d\n", COUNT - 1, sum);
    return 0;
}
