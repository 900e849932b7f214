/* SPDX-License-Identifier: MIT */
/* What tests of ports share: a port, and another loop that has one. */
#ifndef TEST_PORTS_H
#define TEST_PORTS_H

#include "futures.h"
#include "jobs.h"

#include <poll.h>
#include <pthread.h>

static inline struct anysync_port *new_port(void)
{
    struct anysync_port *port = NULL;

    CHECK_EQ(anysync_port_new(&port), 0);
    return port;
}

static inline void drop_port(struct anysync_port *port)
{
    anysync_port_close(port);
    anysync_port_close(port);
    CHECK(anysync_port_unref(anysync_port_ref(port)) == NULL);
    CHECK(anysync_port_unref(port) == NULL);
}

static inline bool is_readable(struct anysync_port *port, int milliseconds)
{
    struct pollfd item = {.fd = anysync_port_descriptor(port), .events = POLLIN};

    return poll(&item, 1, milliseconds) == 1;
}

/* Another loop: a thread that polls and dispatches. */
struct other_loop {
    struct anysync_port *port;
    pthread_t thread;
    atomic_bool stop;
};

static inline void *run_other_loop(void *argument)
{
    struct other_loop *loop = argument;

    while (!atomic_load(&loop->stop)) {
        CHECK(is_readable(loop->port, -1));
        CHECK(anysync_port_dispatch(loop->port) >= 0);
    }
    drop_port(loop->port);
    return NULL;
}

static inline void start_loop(struct other_loop *loop)
{
    loop->port = new_port();
    atomic_store(&loop->stop, false);
    CHECK_EQ(pthread_create(&loop->thread, NULL, run_other_loop, loop), 0);
}

static inline int stop_here(void *argument)
{
    struct other_loop *loop = argument;

    atomic_store(&loop->stop, true);
    return 0;
}

static inline void stop_loop(struct other_loop *loop)
{
    CHECK_EQ(anysync_port_call(loop->port, stop_here, loop, ANYSYNC_FOREVER), 0);
    CHECK_EQ(pthread_join(loop->thread, NULL), 0);
}

static struct other_loop other;

#endif
