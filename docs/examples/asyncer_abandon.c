/* SPDX-License-Identifier: MIT */
/* Asyncer, abandon on cancel: the caller goes on at once, the job ends when it likes. */
#include <anysync.h>

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>

static struct anysync_future *begun, *dropped;
static sem_t may_end;

ANYSYNC_BLOCKING(int, slow, (int, n))
{
    anysync_future_set(begun, NULL);
    while (sem_wait(&may_end)) /* blocks, and hears of no cancel */
        continue;
    *result = n;
    return 0;
}

/* Called when nobody took the value. */
static void on_drop(void *value)
{
    anysync_future_set(dropped, value);
}

ANYSYNC_COROUTINE(int, impatient)
{
    const struct anysync_offload_options options = {.abandon = true, .drop = on_drop};

    return slow_offload(&options, result, 42);
}

int main(void)
{
    impatient_future soon;
    int value = 0;

    if (anysync_future_new(0, &begun) || sem_init(&may_end, 0, 0) ||
            anysync_future_new(sizeof(int), &dropped) || impatient_start(&soon))
        return 1;
    int error = anysync_future_wait(begun, ANYSYNC_FOREVER);
    impatient_cancel(&soon);
    if (!error)
        error = impatient_wait(&soon, &value, ANYSYNC_FOREVER); /* the job still runs */
    printf("the caller: %s\n", anysync_error_name(error));
    sem_post(&may_end);
    if (anysync_wait(dropped, &value, ANYSYNC_FOREVER))
        return 1;
    printf("the job's value was dropped: %d\n", value);
    impatient_drop(&soon);
    return error == -ECANCELED ? 0 : 1;
}
