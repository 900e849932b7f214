/* SPDX-License-Identifier: MIT */
/* nsync, a sleep for every framework, libuv and GLib: loops that call back when a descriptor is
 * readable.  This program brings a loop of that shape along, so that it needs neither of them. */
#include <anysync.h>

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

typedef void readable_fn(void *data);

/* The shape of uv_poll_start() and of g_unix_fd_add(). */
struct watch {
    int fd;
    readable_fn *callback;
    void *data;
};

/* The shape of uv_run() and of g_main_loop_run(). */
static void run_foreign_loop(const struct watch *watch)
{
    struct pollfd one = {.fd = watch->fd, .events = POLLIN};

    while (poll(&one, 1, -1) < 1)
        continue;
    watch->callback(watch->data);
}

ANYSYNC_COROUTINE(int, rest, (int, delay_ms))
{
    *result = delay_ms;
    return anysync_sleep(anysync_in_ms(delay_ms));
}

/* Runs REST, and tells the loop that watches the pipe. */
ANYSYNC_COROUTINE(int, rest_and_tell, (int, delay_ms), (int, pipe))
{
    int error = rest(result, delay_ms);

    if (error)
        return error;
    ssize_t told = anysync_write(pipe, "!", 1, ANYSYNC_FOREVER);
    return told < 0 ? (int)told : 0;
}

static void on_readable(void *data)
{
    int slept = 0;

    if (rest_and_tell_wait(data, &slept, ANYSYNC_FOREVER) == 0) /* it is about to return */
        printf("foreign loop: slept %d ms\n", slept);
}

int main(void)
{
    rest_and_tell_future soon;
    int ends[2];

    if (pipe(ends) || rest_and_tell_start(&soon, 10, ends[1]))
        return 1;
    run_foreign_loop(&(struct watch){ends[0], on_readable, &soon});
    rest_and_tell_drop(&soon);
    return 0;
}
