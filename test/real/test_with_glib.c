/* SPDX-License-Identifier: MIT */
/*
 * GLib's main loop and ours (include/anysync/with_glib.h).
 *
 * Packages: glib-2.0
 */
#include "foreign.h"

#include <anysync/with_glib.h>

static GMainLoop *loop;

static gboolean on_time(gpointer argument)
{
    static bool first = true;

    (void)argument;
    if (first)
        open_gate(foreign.by_loop);
    first = false;
    if (!foreign_is_over())
        return G_SOURCE_CONTINUE;
    g_main_loop_quit(loop);
    return G_SOURCE_REMOVE;
}

static void run_in(GMainContext *context)
{
    struct anysync_glib bridge;
    GSource *timer = g_timeout_source_new(1);

    loop = g_main_loop_new(context, FALSE);
    CHECK_EQ(anysync_glib_open(&bridge, context), 0);
    foreign.port = bridge.port;
    g_source_set_callback(timer, on_time, NULL, NULL);
    (void)g_source_attach(timer, context);
    begin_foreign();
    g_main_loop_run(loop);
    anysync_glib_close(&bridge);
    g_source_unref(timer);
    g_main_loop_unref(loop);
    end_foreign();
}

TEST(the_default_context_and_coroutines_serve_one_another)
{
    run_in(NULL);
}

TEST(a_context_of_ones_own_and_coroutines_serve_one_another)
{
    GMainContext *context = g_main_context_new();

    run_in(context);
    g_main_context_unref(context);
}
