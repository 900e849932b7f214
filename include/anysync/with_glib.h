/* SPDX-License-Identifier: MIT */
/*
 * A GLib main context, and so GTK: a port (<anysync/port.h>) that it dispatches.
 *
 *      struct anysync_glib bridge;
 *      error = anysync_glib_open(&bridge, NULL);                  // NULL: the default context
 *
 *      anysync_port_on_done(bridge.port, future, show, window);  // show() runs over there
 *      anysync_port_call(bridge.port, redraw, window, deadline);  // a coroutine waits for it
 *
 *      anysync_glib_close(&bridge);
 *
 * Coroutines wait for what GLib's callbacks do by futures made by hand: anysync_future_set() in
 * the callback.
 */
#ifndef ANYSYNC_WITH_GLIB_H
#define ANYSYNC_WITH_GLIB_H

#include <anysync/port.h>

#include <glib-unix.h>
#include <glib.h>

#ifdef __cplusplus
extern "C" {
#endif

struct anysync_glib {
    struct anysync_port *port;
    GSource *source;
};

static inline gboolean asi_glib_readable(gint fd, GIOCondition condition, gpointer port)
{
    (void)fd;
    (void)condition;
    (void)anysync_port_dispatch((struct anysync_port *)port);
    return G_SOURCE_CONTINUE;
}

/* Close BRIDGE, on the thread of its context; see anysync_port_close(). */
static inline void anysync_glib_close(struct anysync_glib *bridge)
{
    g_source_destroy(bridge->source);
    g_source_unref(bridge->source);
    anysync_port_close(bridge->port);
    bridge->port = anysync_port_unref(bridge->port);
}

/*
 * Open RET_BRIDGE for CONTEXT (borrowed; NULL: the default one).
 *
 * Returns  0, or as anysync_port_new().
 * Thread   that of CONTEXT.
 */
static inline int anysync_glib_open(struct anysync_glib *ret_bridge, GMainContext *context)
{
    int error = anysync_port_new(&ret_bridge->port);

    if (error)
        return error;
    ret_bridge->source = g_unix_fd_source_new(anysync_port_descriptor(ret_bridge->port), G_IO_IN);
    g_source_set_callback(
            ret_bridge->source, G_SOURCE_FUNC(asi_glib_readable), ret_bridge->port, NULL);
    (void)g_source_attach(ret_bridge->source, context);
    return 0;
}

#ifdef __cplusplus
}
#endif

#endif
