/* SPDX-License-Identifier: MIT */
/*
 * libev.  A thread runs a loop; an async watcher wakes it to take a list of jobs under a mutex, and
 * a caller waits for its semaphore.  No coroutines and no pool, so no W4, W5, W7, W9.
 */
#include "queue.h"

#include <ev.h>

static struct ev_loop *loop;
static ev_async wake;

static void on_wake(struct ev_loop *unused, ev_async *watcher, int events)
{
    (void)unused, (void)watcher, (void)events;
    peer_queue_run();
}

static void wake_loop(void)
{
    ev_async_send(loop, &wake);
}

static void *loop_main(void *unused)
{
    ev_run(loop, 0);
    return unused;
}

void peer_start(void)
{
    static pthread_t thread;

    loop = ev_loop_new(EVFLAG_AUTO);
    ev_async_init(&wake, on_wake);
    ev_async_start(loop, &wake);
    pthread_create(&thread, NULL, loop_main, NULL);
}

static void on_timer(struct ev_loop *its_loop, ev_timer *timer, int events)
{
    (void)its_loop, (void)events;
    free(timer);
    peer_sleeper_ends();
}

void peer_sleep(void)
{
    struct ev_loop *own = ev_default_loop(0);

    for (int64_t i = 0; i < peer_sleepers; i++) {
        ev_timer *timer = malloc(sizeof(*timer));

        if (i % 1000 == 0)
            ev_now_update(own);
        ev_timer_init(timer, on_timer, PEER_DELAY_NS / 1e9, 0);
        ev_timer_start(own, timer);
        peer_sleeper_begins();
    }
    ev_run(own, 0);
}

static void on_nested(struct ev_loop *own, ev_timer *timer, int events)
{
    (void)own, (void)timer, (void)events;
}

void *peer_nested(void *unused)
{
    struct ev_loop *own = ev_loop_new(EVFLAG_AUTO);
    ev_timer task;

    ev_timer_init(&task, on_nested, 0, 0);
    ev_timer_start(own, &task);
    ev_run(own, 0);
    ev_loop_destroy(own);
    return unused;
}

static void on_readable(struct ev_loop *own, ev_io *io, int events)
{
    char buffer[4096];
    ssize_t size = read(io->fd, buffer, sizeof(buffer));

    (void)events;
    if (size > 0 && write(io->fd, buffer, (size_t)size) == size)
        return;
    ev_io_stop(own, io);
    close(io->fd);
    free(io);
}

static void on_connection(struct ev_loop *own, ev_io *listener, int events)
{
    ev_io *io = malloc(sizeof(*io));

    (void)events;
    ev_io_init(io, on_readable, accept(listener->fd, NULL, NULL), EV_READ);
    ev_io_start(own, io);
}

int64_t peer_echo(int64_t port, int unused)
{
    ev_io listener;
    int fd = peer_listen();

    ev_io_init(&listener, on_connection, fd, EV_READ);
    ev_io_start(ev_default_loop(0), &listener);
    peer_ready(fd);
    return ev_run(ev_default_loop(0), 0) + port + unused;
}
