/* SPDX-License-Identifier: MIT */
/*
 * libuv's loop and ours (include/anysync/with_libuv.h).
 *
 * Packages: libuv
 */
#include "foreign.h"

#include <anysync/with_libuv.h>

static struct anysync_libuv bridge;
static uv_timer_t timer;
static bool closed;

static void note_closed(struct anysync_libuv *which)
{
    CHECK(which == &bridge);
    closed = true;
}

static void on_time(uv_timer_t *handle)
{
    static bool first = true;

    if (first)
        open_gate(foreign.by_loop);
    first = false;
    if (!foreign_is_over())
        return;
    uv_close((uv_handle_t *)handle, NULL);
    anysync_libuv_close(&bridge, note_closed);
}

TEST(a_libuv_loop_and_coroutines_serve_one_another)
{
    uv_loop_t loop;

    CHECK_EQ(uv_loop_init(&loop), 0);
    CHECK_EQ(anysync_libuv_open(&bridge, &loop), 0);
    foreign.port = bridge.port;
    CHECK_EQ(uv_timer_init(&loop, &timer), 0);
    CHECK_EQ(uv_timer_start(&timer, on_time, 1, 1), 0);
    begin_foreign();
    CHECK_EQ(uv_run(&loop, UV_RUN_DEFAULT), 0);
    CHECK(closed);
    CHECK_EQ(uv_loop_close(&loop), 0);
    end_foreign();
}
