/* SPDX-License-Identifier: MIT */
/* AnySync, contextvars: what a run changes stays in it; copying back is said in words. */
#include <anysync.h>

#include <stdio.h>

ANYSYNC_VAR(int, level, 0);

ANYSYNC_COROUTINE(void, raise_level)
{
    return level_set(42, NULL);
}

/* The same run, but its values are ours afterwards. */
static int run_and_take_over(void)
{
    struct anysync_context *context = NULL;
    struct anysync_task *task = NULL;
    int error = anysync_context_capture(&context);

    if (!error)
        error = raise_level_new(&task);
    if (!error)
        error = anysync_task_use_context(task, context);
    if (!error)
        error = anysync_task_run(task, NULL, ANYSYNC_FOREVER);
    if (!error)
        anysync_context_apply(context);
    anysync_task_unref(task);
    anysync_context_unref(context);
    return error;
}

int main(void)
{
    int error = raise_level_run();

    printf("after run: %d\n", level_get());
    if (!error)
        error = run_and_take_over();
    printf("copied back: %d\n", level_get());
    if (error)
        fprintf(stderr, "%s\n", anysync_last_error()->message);
    return error != 0;
}
