/* SPDX-License-Identifier: MIT */
/*
 * GLib.  A thread runs a main loop; g_main_context_invoke() hands it functions, and a caller waits
 * on a condition.  No coroutines, so no W4, W5, W9; sleepers are timeout sources; W7 is a GTask.
 */
#include "peer.h"

#include <gio/gio.h>

struct call {
    GMutex lock;
    GCond changed;
    gboolean done; /* under lock */
};

static GMainContext *context;
static GMainLoop *loop;
static int64_t left, in_flight; /* of W7 */

static gpointer loop_main(gpointer unused)
{
    g_main_context_push_thread_default(context);
    g_main_loop_run(loop);
    return unused;
}

void peer_start(void)
{
    context = g_main_context_new();
    loop = g_main_loop_new(context, FALSE);
    g_thread_new("loop", loop_main, NULL);
}

static gboolean end_call(gpointer argument)
{
    struct call *call = argument;

    g_mutex_lock(&call->lock);
    call->done = TRUE;
    g_cond_signal(&call->changed);
    g_mutex_unlock(&call->lock);
    return G_SOURCE_REMOVE;
}

void peer_call(void)
{
    struct call call = {.done = FALSE};

    g_mutex_init(&call.lock);
    g_cond_init(&call.changed);
    g_main_context_invoke(context, end_call, &call);
    g_mutex_lock(&call.lock);
    while (!call.done)
        g_cond_wait(&call.changed, &call.lock);
    g_mutex_unlock(&call.lock);
    g_cond_clear(&call.changed);
    g_mutex_clear(&call.lock);
}

static gboolean end_task(gpointer unused)
{
    (void)unused;
    peer_task_ran();
    return G_SOURCE_REMOVE;
}

void peer_submit(void)
{
    g_main_context_invoke(context, end_task, NULL);
}

static gboolean on_timeout(gpointer its_loop)
{
    if (peer_sleeper_ends())
        g_main_loop_quit(its_loop);
    return G_SOURCE_REMOVE;
}

void peer_sleep(void)
{
    GMainLoop *own = g_main_loop_new(NULL, FALSE);

    for (int64_t i = 0; i < peer_sleepers; i++) {
        g_timeout_add(PEER_DELAY_NS / 1000000, on_timeout, own);
        peer_sleeper_begins();
    }
    g_main_loop_run(own);
    g_main_loop_unref(own);
}

static void no_work(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    (void)source, (void)data, (void)cancellable;
    g_task_return_boolean(task, TRUE);
}

static void on_worked(GObject *source, GAsyncResult *result, gpointer own);

static void offload(GMainLoop *own)
{
    GTask *task = g_task_new(NULL, NULL, on_worked, own);

    g_task_run_in_thread(task, no_work);
    g_object_unref(task);
}

static void on_worked(GObject *source, GAsyncResult *result, gpointer own)
{
    (void)source;
    g_task_propagate_boolean(G_TASK(result), NULL);
    if (--left >= 0)
        offload(own);
    else if (--in_flight == 0)
        g_main_loop_quit(own);
}

int64_t peer_offload(int64_t count, int flight)
{
    GMainLoop *own = g_main_loop_new(NULL, FALSE);
    int64_t start = peer_now_ns();

    left = count - flight, in_flight = flight;
    for (int i = 0; i < flight; i++)
        offload(own);
    g_main_loop_run(own);
    g_main_loop_unref(own);
    return peer_now_ns() - start;
}

static gboolean end_nested(gpointer own)
{
    g_main_loop_quit(own);
    return G_SOURCE_REMOVE;
}

void *peer_nested(void *unused)
{
    GMainContext *own_context = g_main_context_new();
    GMainLoop *own = g_main_loop_new(own_context, FALSE);
    GSource *idle = g_idle_source_new();

    g_source_set_callback(idle, end_nested, own, NULL);
    g_source_attach(idle, own_context);
    g_main_loop_run(own);
    g_source_unref(idle);
    g_main_loop_unref(own);
    g_main_context_unref(own_context);
    return unused;
}
