/* SPDX-License-Identifier: MIT */
/* libevent and what is built on it: use the loop's base, complete a future in the callback. */
#include <anysync.h>

#include <errno.h>
#include <event2/event.h>
#include <stdio.h>

/* Called by libevent on the loop's thread, outside tasks: it may not wait, it may complete. */
static void on_timer(evutil_socket_t fd, short what, void *argument)
{
    static const char *const text = "called back";

    (void)fd;
    (void)what;
    anysync_future_set(argument, &text);
}

ANYSYNC_COROUTINE(const char *, wait_for_libevent)
{
    const struct timeval delay = {.tv_usec = 10000};
    struct anysync_future *called;
    struct event *timer;
    int error = anysync_future_new(sizeof(const char *), &called);

    if (error)
        return error;
    struct event_base *base = anysync_event_base(); /* borrowed */
    timer = base ? event_new(base, -1, 0, on_timer, called) : NULL;
    if (timer && event_add(timer, &delay) == 0)
        error = anysync_wait(called, result, ANYSYNC_FOREVER);
    else
        error = anysync_fail(-ENOMEM, "no timer could be made");
    if (timer)
        event_free(timer); /* first: from here on nobody calls back */
    anysync_future_unref(called);
    return error;
}

int main(void)
{
    const char *text = "";
    int error = wait_for_libevent_run_here(&text); /* on a loop of this thread */

    printf("%s\n", error ? anysync_last_error()->message : text);
    return error != 0;
}
