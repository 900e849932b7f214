/* SPDX-License-Identifier: MIT */
/* Two ways to end a task early: a deadline of the call that runs it, and a cancel by hand. */
#include <anysync.h>

#include <errno.h>
#include <stdio.h>

ANYSYNC_COROUTINE(void, work, (const char *, name))
{
    int error = anysync_sleep(ANYSYNC_FOREVER);

    printf("%s: cleans up after %s\n", name, anysync_error_name(error));
    return error; /* a later wait would say -ECANCELED again */
}

ANYSYNC_COROUTINE(void, end_by_deadline)
{
    /* The deadline ends the task: its clean-up has run when the call returns. */
    int error = work_await_until("first", anysync_in_ms(10));

    printf("first: %s: %s\n", anysync_error_name(error), anysync_last_error()->message);
    return error == -ETIMEDOUT ? 0 : error;
}

ANYSYNC_COROUTINE(void, end_by_hand)
{
    ANYSYNC_SCOPED_FUTURE(work, soon); /* dropped at the end of the block */
    int error = work_start(&soon, "second");

    if (error)
        return error;
    error = work_wait(&soon, anysync_in_ms(10)); /* ends the wait: the task runs on */
    printf("second: waited: %s\n", anysync_error_name(error));
    work_cancel(&soon);
    error = work_wait(&soon, ANYSYNC_FOREVER); /* how it ended */
    printf("second: ended: %s\n", anysync_error_name(error));
    return error == -ECANCELED ? 0 : error;
}

int main(void)
{
    int error = end_by_deadline();

    if (!error)
        error = end_by_hand();
    return error != 0;
}
