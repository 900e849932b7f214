/* SPDX-License-Identifier: MIT */
/*
 * A loop of your own on poll(), select() or epoll: watch one descriptor more, and dispatch.
 *
 *      struct pollfd items[2] = {mine, anysync_poll_item(port)};
 *
 *      while (running) {
 *          poll(items, 2, timeout);
 *          anysync_poll_done(port, &items[1]);      // calls what is due
 *          ...
 *      }
 *
 * What a port does: <anysync/port.h>.
 */
#ifndef ANYSYNC_WITH_POLL_H
#define ANYSYNC_WITH_POLL_H

#include <anysync/port.h>

#include <poll.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What to give to poll() for PORT.  The same, as numbers, serves epoll_ctl() and select(). */
static inline struct pollfd anysync_poll_item(struct anysync_port *port)
{
    struct pollfd item;

    item.fd = anysync_port_descriptor(port);
    item.events = POLLIN;
    item.revents = 0;
    return item;
}

/* After poll(): dispatch PORT if ITEM is ready.  Returns as anysync_port_dispatch(); 0 if it is
 * not. */
static inline int anysync_poll_done(struct anysync_port *port, const struct pollfd *item)
{
    return item->revents ? anysync_port_dispatch(port) : 0;
}

#ifdef __cplusplus
}
#endif

#endif
