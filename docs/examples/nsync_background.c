/* SPDX-License-Identifier: MIT */
/* nsync, background tasks: the program's loop ends when those have ended, too. */
#include <anysync.h>

#include <stdio.h>

/* Goes on when GO is done, and that is after the main task has ended. */
ANYSYNC_COROUTINE(void, in_background, (struct anysync_future *, go))
{
    int error = anysync_future_wait(go, ANYSYNC_FOREVER);

    if (!error)
        puts("background is done");
    return error;
}

/* The main task: starts one in the background, and does not wait for it. */
ANYSYNC_COROUTINE(void, async_main, (struct anysync_group *, group), (struct anysync_future *, go))
{
    int error = in_background_spawn(group, NULL, go);

    if (!error)
        error = anysync_sleep(anysync_in_ms(5));
    if (!error)
        puts("main is done");
    return error ? error : anysync_future_set(go, NULL);
}

/* What a framework's run() does: it waits for the main task, and for what that left behind. */
ANYSYNC_COROUTINE(void, run_all)
{
    struct anysync_future *go = NULL;
    int error = anysync_future_new(0, &go);

    if (error)
        return error;
    ANYSYNC_GROUP(group, &error)
    {
        error = async_main(group, go);
    }
    anysync_future_unref(go);
    return error;
}

int main(void)
{
    int error = run_all_run_here();

    if (!error)
        puts("all is done");
    return error != 0;
}
