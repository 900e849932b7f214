/* SPDX-License-Identifier: MIT */
/* nsync, a sleep for every framework, libevent: the program's own base awaits a future. */
#include <anysync.h>

#include <event2/event.h>
#include <stdio.h>
#include <unistd.h>

/* When FUTURE (consumed) is done, whoever watches the pipe hears of it. */
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

/* Called by libevent, which knows nothing of coroutines. */
static void on_told(evutil_socket_t fd, short what, void *argument)
{
    int slept = 0;

    (void)fd;
    (void)what;
    if (rest_wait(argument, &slept, ANYSYNC_POLL) == 0) /* it is there: does not wait */
        printf("libevent: slept %d ms\n", slept);
}

int main(void)
{
    struct event_base *base = event_base_new();
    rest_future soon;
    int ends[2];

    if (!base || pipe(ends) || rest_start(&soon, 10))
        return 1;
    if (tell_start(NULL, anysync_future_ref(soon.future), ends[1]))
        return 1;
    if (event_base_once(base, ends[0], EV_READ, on_told, &soon, NULL))
        return 1;
    event_base_dispatch(base); /* until nothing is left to wait for */
    event_base_free(base);
    rest_drop(&soon);
    return 0;
}
