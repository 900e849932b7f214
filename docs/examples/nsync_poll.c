/* SPDX-License-Identifier: MIT */
/* nsync, a sleep for every framework, plain poll loops: a task tells the loop that it is time. */
#include <anysync.h>

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

/* Works for every future: when FUTURE (consumed) is done, whoever polls the pipe hears of it. */
ANYSYNC_COROUTINE(void, tell, (struct anysync_future *, future), (int, pipe))
{
    int error = anysync_future_wait(future, ANYSYNC_FOREVER);

    anysync_future_unref(future);
    if (error)
        return error;
    ssize_t told = anysync_write(pipe, "!", 1, ANYSYNC_FOREVER);
    return told < 0 ? (int)told : 0;
}

ANYSYNC_COROUTINE(int, rest, (int, delay_ms))
{
    *result = delay_ms;
    return anysync_sleep(anysync_in_ms(delay_ms));
}

int main(void)
{
    int ends[2], slept = 0;
    rest_future soon;

    if (pipe(ends) || rest_start(&soon, 10))
        return 1;
    if (tell_start(NULL, anysync_future_ref(soon.future), ends[1]))
        return 1;

    struct pollfd watched = {.fd = ends[0], .events = POLLIN}; /* one of many, in a real loop */
    while (poll(&watched, 1, -1) < 1)
        continue;
    int error = rest_wait(&soon, &slept, ANYSYNC_POLL); /* it is there: does not wait */
    printf("poll: slept %d ms\n", slept);
    rest_drop(&soon);
    return error != 0;
}
