/* SPDX-License-Identifier: MIT */
/* AnySync, run(coroutine): an object is made first and run later, once. */
#include <anysync.h>

#include <errno.h>
#include <stdio.h>

ANYSYNC_COROUTINE(int, add, (int, a), (int, b))
{
    *result = a + b;
    return anysync_yield();
}

/* Is handed a coroutine object, as run() is: function and arguments are in it. */
static int run_and_print(struct anysync_task *coroutine)
{
    int sum = 0;
    int error = anysync_task_run(coroutine, &sum, ANYSYNC_FOREVER);

    if (error)
        printf("%s: %s\n", anysync_error_name(error), anysync_last_error()->message);
    else
        printf("%d\n", sum);
    return error;
}

int main(void)
{
    struct anysync_task *coroutine = NULL;
    int error = add_new(&coroutine, 40, 2); /* runs nothing yet */

    if (!error)
        error = run_and_print(coroutine);
    if (!error)
        error = run_and_print(coroutine) == -EALREADY ? 0 : 1; /* as in Python */
    anysync_task_unref(coroutine);
    return error != 0;
}
