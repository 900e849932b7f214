/* SPDX-License-Identifier: MIT */
/* One coroutine function, called from both worlds: main() blocks, a coroutine just calls. */
#include <anysync.h>

#include <stdio.h>

ANYSYNC_COROUTINE(int, add_later, (int, a), (int, b))
{
    int error = anysync_sleep(anysync_in_ms(10)); /* suspends this task, not the loop */

    if (error)
        return error;
    *result = a + b;
    return 0;
}

ANYSYNC_COROUTINE(int, add_three, (int, a), (int, b), (int, c))
{
    int sum;
    int error = add_later(&sum, a, b); /* in a coroutine: a plain call, no new task */

    return error ? error : add_later(result, sum, c);
}

int main(void)
{
    int sum;
    int error = add_three(&sum, 1, 2, 3); /* on a thread: the worker starts, and runs it */

    if (error) {
        fprintf(stderr, "%s\n", anysync_last_error()->message);
        return 1;
    }
    printf("1 + 2 + 3 = %d\n", sum);
    return 0;
}
