/* SPDX-License-Identifier: MIT */
/* nsync, gather at top level: plain code starts tasks, waits for all, and has their values. */
#include <anysync.h>

#include <stdio.h>

ANYSYNC_COROUTINE(int, fetch, (int, delay_ms))
{
    int error = anysync_sleep(anysync_in_ms(delay_ms)); /* all of them sleep at the same time */

    *result = delay_ms * 100;
    return error;
}

int main(void)
{
    const int delays[] = {3, 1, 2};
    fetch_future soon[3] = {{NULL}, {NULL}, {NULL}};
    struct anysync_future *all[3];
    int values[3] = {0};
    int error = 0;

    for (int i = 0; i < 3 && !error; i++)
        error = fetch_start(&soon[i], delays[i]);
    for (int i = 0; i < 3; i++)
        all[i] = soon[i].future;
    if (!error)
        error = anysync_wait_all(all, 3, ANYSYNC_FOREVER);
    for (int i = 0; i < 3; i++) { /* in the order they were started */
        if (!error)
            error = fetch_wait(&soon[i], &values[i], ANYSYNC_POLL);
        fetch_drop(&soon[i]);
    }
    if (error) {
        fprintf(stderr, "%s\n", anysync_last_error()->message);
        return 1;
    }
    printf("%d, %d, %d\n", values[0], values[1], values[2]);
    return 0;
}
