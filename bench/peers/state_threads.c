/* SPDX-License-Identifier: MIT */
/*
 * State Threads: coroutines in one thread.  Nothing reaches it from other threads, so no W1, W2,
 * W3, W7, W8; no channels, so no W9, W11.
 */
#include "peer.h"

#include <st.h>

#define STACK_SIZE 16384 /* as the other stacks of W6; the default is 64 KiB */

static st_thread_t sides[2];
static int64_t left; /* of W5 */

/* Nothing here waits for descriptors before W10, but the library starts whole. */
static void set_up(void)
{
    static bool done;

    if (!done)
        peer_check(st_set_eventsys(ST_EVENTSYS_ALT) == 0 && st_init() == 0, "st_init");
    done = true;
}

static void *child_main(void *unused)
{
    return unused;
}

int64_t peer_spawn(int64_t count, int unused)
{
    int64_t start;

    set_up();
    start = peer_now_ns();
    for (int64_t i = unused; i < count; i++)
        st_thread_join(st_thread_create(child_main, NULL, 1, 0), NULL);
    return peer_now_ns() - start;
}

/* st_usleep(0) is its yield: version 1.9 has no other. */
static void *yielder_main(void *unused)
{
    while (--left >= 0)
        st_usleep(0);
    return unused;
}

int64_t peer_yield(int64_t count, int unused)
{
    int64_t start;

    set_up();
    start = peer_now_ns();
    left = count + unused;
    for (int i = 0; i < 2; i++)
        sides[i] = st_thread_create(yielder_main, NULL, 1, 0);
    for (int i = 0; i < 2; i++)
        st_thread_join(sides[i], NULL);
    return peer_now_ns() - start;
}

static void *sleeper_main(void *finished)
{
    peer_sleeper_begins();
    st_usleep(PEER_DELAY_NS / 1000);
    if (peer_sleeper_ends())
        st_cond_signal(finished);
    return NULL;
}

void peer_sleep(void)
{
    st_cond_t finished;

    set_up();
    finished = st_cond_new();
    for (int64_t i = 0; i < peer_sleepers; i++)
        peer_check(st_thread_create(sleeper_main, finished, 0, STACK_SIZE), "st_thread_create");
    st_cond_wait(finished);
    st_cond_destroy(finished);
}

static void *cancelled_main(void *unused)
{
    peer_check(st_sleep(3600) != 0, "an interrupt");
    return unused;
}

int64_t peer_cancel(int64_t count, int unused)
{
    st_thread_t sleepers[PEER_BATCH];
    int64_t elapsed = unused;

    set_up();
    for (; count > 0; count -= PEER_BATCH) {
        int batch = count < PEER_BATCH ? (int)count : PEER_BATCH;
        int64_t start;

        for (int i = 0; i < batch; i++)
            sleepers[i] = st_thread_create(cancelled_main, NULL, 1, 0);
        st_usleep(0); /* they sleep now */
        start = peer_now_ns();
        for (int i = 0; i < batch; i++)
            st_thread_interrupt(sleepers[i]);
        for (int i = 0; i < batch; i++)
            st_thread_join(sleepers[i], NULL);
        elapsed += peer_now_ns() - start;
    }
    return elapsed;
}

static void *connection_main(void *argument)
{
    st_netfd_t connection = argument;
    char buffer[4096];
    ssize_t size;

    while ((size = st_read(connection, buffer, sizeof(buffer), ST_UTIME_NO_TIMEOUT)) > 0)
        st_write(connection, buffer, (size_t)size, ST_UTIME_NO_TIMEOUT);
    st_netfd_close(connection);
    return NULL;
}

int64_t peer_echo(int64_t port, int unused)
{
    st_netfd_t listener;
    int fd;

    set_up();
    fd = peer_listen();
    listener = st_netfd_open_socket(fd);
    for (peer_ready(fd);;) {
        st_netfd_t connection = st_accept(listener, NULL, NULL, ST_UTIME_NO_TIMEOUT);

        st_thread_create(connection_main, connection, 0, STACK_SIZE);
    }
    return port + unused;
}
