/* SPDX-License-Identifier: MIT */
/*
 * A libevent base that is not ours, and a loop on poll() (include/anysync/with_libevent.h,
 * with_poll.h).
 *
 * Packages: libevent_core
 */
#include "foreign.h"

#include <anysync/with_libevent.h>
#include <anysync/with_poll.h>

static struct event *timer;
static struct anysync_libevent bridge;

static void on_time(evutil_socket_t fd, short events, void *base)
{
    static bool first = true;

    (void)fd, (void)events;
    if (first)
        open_gate(foreign.by_loop);
    first = false;
    if (foreign_is_over())
        CHECK_EQ(event_base_loopbreak(base), 0);
}

TEST(a_base_of_ones_own_and_coroutines_serve_one_another)
{
    struct event_base *base = event_base_new();
    struct timeval each = {.tv_usec = 1000};

    CHECK(base);
    CHECK_EQ(anysync_libevent_open(&bridge, base), 0);
    foreign.port = bridge.port;
    timer = event_new(base, -1, EV_PERSIST, on_time, base);
    CHECK(timer);
    CHECK_EQ(event_add(timer, &each), 0);
    begin_foreign();
    CHECK_EQ(event_base_dispatch(base), 0);
    anysync_libevent_close(&bridge);
    event_free(timer);
    event_base_free(base);
    end_foreign();
}

TEST(a_loop_on_poll_and_coroutines_serve_one_another)
{
    CHECK_EQ(anysync_port_new(&foreign.port), 0);
    begin_foreign();
    open_gate(foreign.by_loop);
    struct pollfd item = anysync_poll_item(foreign.port);
    while (!foreign_is_over()) {
        CHECK_EQ(poll(&item, 1, -1), 1);
        CHECK(anysync_poll_done(foreign.port, &item) >= 0);
    }
    item.revents = 0;
    CHECK_EQ(anysync_poll_done(foreign.port, &item), 0);
    anysync_port_close(foreign.port);
    anysync_port_unref(foreign.port);
    end_foreign();
}
