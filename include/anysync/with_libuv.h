/* SPDX-License-Identifier: MIT */
/*
 * A libuv loop: a port (<anysync/port.h>) that it dispatches.
 *
 *      static struct anysync_libuv bridge;
 *      error = anysync_libuv_open(&bridge, loop);
 *
 *      anysync_port_on_done(bridge.port, future, show, window);  // show() is called by LOOP
 *      anysync_port_call(bridge.port, redraw, window, deadline);  // a coroutine waits for it
 *
 *      anysync_libuv_close(&bridge, NULL);
 *
 * While the bridge is open uv_run() does not end for want of handles; uv_unref() its `handle`
 * where that is not wanted.  Coroutines wait for what libuv's callbacks do by futures made by hand:
 * anysync_future_set() in the callback.
 */
#ifndef ANYSYNC_WITH_LIBUV_H
#define ANYSYNC_WITH_LIBUV_H

#include <anysync/port.h>

#include <stddef.h>
#include <uv.h>

#ifdef __cplusplus
extern "C" {
#endif

struct anysync_libuv {
    struct anysync_port *port;
    uv_poll_t handle;
    void (*closed)(struct anysync_libuv *bridge);
};

static inline void asi_libuv_readable(uv_poll_t *handle, int status, int events)
{
    (void)status;
    (void)events;
    (void)anysync_port_dispatch((struct anysync_port *)handle->data);
}

static inline void asi_libuv_closed(uv_handle_t *handle)
{
    struct anysync_libuv *bridge =
            (struct anysync_libuv *)(void *)((char *)handle -
                                             offsetof(struct anysync_libuv, handle));

    bridge->port = anysync_port_unref(bridge->port);
    if (bridge->closed)
        bridge->closed(bridge);
}

/* Close BRIDGE, on the thread of its loop; see anysync_port_close().  Its memory has to stay until
 * CLOSED (NULL: nothing) is called by the loop, as with any handle of libuv. */
static inline void anysync_libuv_close(
        struct anysync_libuv *bridge, void (*closed)(struct anysync_libuv *bridge))
{
    bridge->closed = closed;
    anysync_port_close(bridge->port);
    uv_close((uv_handle_t *)&bridge->handle, asi_libuv_closed);
}

/*
 * Open RET_BRIDGE for LOOP, which has to outlive it.  RET_BRIDGE must not move while it is open.
 *
 * Returns  0, as anysync_port_new(), or a code of libuv's (which are negative too).
 * Thread   that of LOOP.
 */
static inline int anysync_libuv_open(struct anysync_libuv *ret_bridge, uv_loop_t *loop)
{
    int error = anysync_port_new(&ret_bridge->port);

    if (error)
        return error;
    error = uv_poll_init(loop, &ret_bridge->handle, anysync_port_descriptor(ret_bridge->port));
    if (error) {
        ret_bridge->port = anysync_port_unref(ret_bridge->port);
        return error;
    }
    ret_bridge->handle.data = ret_bridge->port;
    error = uv_poll_start(&ret_bridge->handle, UV_READABLE, asi_libuv_readable);
    if (error)
        anysync_libuv_close(ret_bridge, NULL);
    return error;
}

#ifdef __cplusplus
}
#endif

#endif
