/* SPDX-License-Identifier: MIT */
/* SmartAsync, a plain function in a coroutine: blocking calls run on a pool, at the same time. */
#include <anysync.h>

#include <stdio.h>
#include <time.h>

/* An old library that blocks. */
ANYSYNC_BLOCKING(int, legacy_square, (int, n))
{
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    *result = n * n;
    return 0;
}

ANYSYNC_COROUTINE(void, squares)
{
    legacy_square_future soon[3] = {{NULL}, {NULL}, {NULL}};
    int one = 0, three[3] = {0};
    int error = legacy_square(&one, 6); /* suspends; a thread of the pool has it */

    for (int i = 0; i < 3 && !error; i++)
        error = legacy_square_start(&soon[i], i + 2); /* three threads, at the same time */
    for (int i = 0; i < 3; i++) {
        if (!error)
            error = legacy_square_wait(&soon[i], &three[i], ANYSYNC_FOREVER);
        legacy_square_drop(&soon[i]);
    }
    if (!error)
        printf("in a coroutine: %d, then %d, %d, %d\n", one, three[0], three[1], three[2]);
    return error;
}

int main(void)
{
    int value = 0;
    int error = legacy_square(&value, 5); /* in plain code: a direct call, on this thread */

    printf("in plain code: %d\n", value);
    if (!error)
        error = squares();
    return error != 0;
}
