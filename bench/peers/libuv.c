/* SPDX-License-Identifier: MIT */
/*
 * libuv.  A thread runs a loop; an async handle wakes it to take a list of jobs under a mutex, and
 * a caller waits for its semaphore.  No coroutines, so no W4, W5, W9; sleepers are timers.
 */
#include "queue.h"

#include <uv.h>

static uv_async_t wake;
static int64_t left; /* of W7 */

static void on_wake(uv_async_t *unused)
{
    (void)unused;
    peer_queue_run();
}

static void wake_loop(void)
{
    uv_async_send(&wake);
}

static void loop_main(void *unused)
{
    (void)unused;
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}

void peer_start(void)
{
    static uv_thread_t thread;

    uv_async_init(uv_default_loop(), &wake, on_wake);
    uv_thread_create(&thread, loop_main, NULL);
}

static void on_timer(uv_timer_t *timer)
{
    uv_close((uv_handle_t *)timer, (uv_close_cb)free);
    peer_sleeper_ends();
}

void peer_sleep(void)
{
    for (int64_t i = 0; i < peer_sleepers; i++) {
        uv_timer_t *timer = malloc(sizeof(*timer));

        uv_timer_init(uv_default_loop(), timer);
        uv_timer_start(timer, on_timer, PEER_DELAY_NS / 1000000, 0);
        peer_sleeper_begins();
    }
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}

static void no_work(uv_work_t *unused)
{
    (void)unused;
}

static void on_worked(uv_work_t *work, int status)
{
    (void)status;
    if (--left >= 0)
        uv_queue_work(uv_default_loop(), work, no_work, on_worked);
}

int64_t peer_offload(int64_t count, int in_flight)
{
    uv_work_t works[PEER_CREW];
    int64_t start = peer_now_ns();

    left = count;
    for (int i = 0; i < in_flight && --left >= 0; i++)
        uv_queue_work(uv_default_loop(), &works[i], no_work, on_worked);
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
    return peer_now_ns() - start;
}

static void on_nested(uv_async_t *task)
{
    uv_close((uv_handle_t *)task, NULL);
}

void *peer_nested(void *unused)
{
    uv_loop_t own;
    uv_async_t task;

    uv_loop_init(&own);
    uv_async_init(&own, &task, on_nested);
    uv_async_send(&task);
    uv_run(&own, UV_RUN_DEFAULT);
    uv_loop_close(&own);
    return unused;
}

static void on_memory(uv_handle_t *handle, size_t size, uv_buf_t *buffer)
{
    (void)size;
    *buffer = uv_buf_init(handle->data, 4096);
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    uv_buf_t answer = uv_buf_init(buffer->base, size > 0 ? (unsigned)size : 0);

    if (size < 0)
        uv_close((uv_handle_t *)stream, (uv_close_cb)free);
    else if (size > 0)
        peer_check(uv_try_write(stream, &answer, 1) == size, "uv_try_write");
}

static void on_connection(uv_stream_t *listener, int status)
{
    uv_tcp_t *stream = malloc(sizeof(*stream) + 4096);

    (void)status;
    uv_tcp_init(listener->loop, stream);
    stream->data = stream + 1;
    uv_accept(listener, (uv_stream_t *)stream);
    uv_tcp_nodelay(stream, 1);
    uv_read_start((uv_stream_t *)stream, on_memory, on_read);
}

int64_t peer_echo(int64_t port, int unused)
{
    uv_tcp_t listener;
    int fd = peer_listen();

    uv_tcp_init(uv_default_loop(), &listener);
    uv_tcp_open(&listener, fd);
    uv_listen((uv_stream_t *)&listener, 128, on_connection);
    peer_ready(fd);
    return uv_run(uv_default_loop(), UV_RUN_DEFAULT) + port + unused;
}
