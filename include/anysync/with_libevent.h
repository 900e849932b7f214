/* SPDX-License-Identifier: MIT */
/*
 * A libevent base of your own: a port (<anysync/port.h>) that it dispatches.
 *
 *      struct anysync_libevent bridge;
 *      error = anysync_libevent_open(&bridge, base);
 *
 *      anysync_port_on_done(bridge.port, future, show, window);  // show() is called by BASE
 *      anysync_port_call(bridge.port, redraw, window, deadline);  // a coroutine waits for it
 *
 *      anysync_libevent_close(&bridge);
 *
 * The base stays yours: this library never locks it, and other threads never touch it, so it needs
 * no evthread_use_pthreads().  While the bridge is open event_base_dispatch() does not end for
 * want of events.  Coroutines wait for what its callbacks do by futures made by hand.
 */
#ifndef ANYSYNC_WITH_LIBEVENT_H
#define ANYSYNC_WITH_LIBEVENT_H

#include <anysync/port.h>

#include <errno.h>
#include <event2/event.h>

#ifdef __cplusplus
extern "C" {
#endif

struct anysync_libevent {
    struct anysync_port *port;
    struct event *event;
};

static inline void asi_libevent_readable(evutil_socket_t fd, short events, void *port)
{
    (void)fd;
    (void)events;
    (void)anysync_port_dispatch((struct anysync_port *)port);
}

/* Close RET_BRIDGE, on the thread of its base; see anysync_port_close(). */
static inline void anysync_libevent_close(struct anysync_libevent *bridge)
{
    event_free(bridge->event);
    anysync_port_close(bridge->port);
    bridge->port = anysync_port_unref(bridge->port);
}

/*
 * Open RET_BRIDGE for BASE, which has to outlive it.
 *
 * Returns  0, or as anysync_port_new(); -ENOMEM too when libevent has none.
 * Thread   that of BASE.
 */
static inline int anysync_libevent_open(
        struct anysync_libevent *ret_bridge, struct event_base *base)
{
    int error = anysync_port_new(&ret_bridge->port);

    if (error)
        return error;
    ret_bridge->event = event_new(base, anysync_port_descriptor(ret_bridge->port),
            EV_READ | EV_PERSIST, asi_libevent_readable, ret_bridge->port);
    if (ret_bridge->event && event_add(ret_bridge->event, NULL) == 0)
        return 0;
    if (ret_bridge->event)
        event_free(ret_bridge->event);
    ret_bridge->port = anysync_port_unref(ret_bridge->port);
    return -ENOMEM;
}

#ifdef __cplusplus
}
#endif

#endif
