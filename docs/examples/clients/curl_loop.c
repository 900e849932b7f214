/* SPDX-License-Identifier: MIT */
/*
 * curl's multi interface on the libevent base of an anysync loop.  (What it promises: curl_loop.h.)
 *
 * Packages: libcurl libevent_core
 *
 * DISCIPLINE  All fields but `keeper`, `port` and `thread` are the loop's alone: there is no lock.
 *   Others come in by the port, whose descriptor the base watches.
 *
 * KEEPER  A coroutine of the loop owns it all: it sets up, waits to be asked to close, and tears
 *   down.  So what is on the base goes before the base does, even if the loop ends early.
 *
 * WHY EVENTS AND NOT COROUTINES  curl changes what it wants of a socket while it is in the middle
 *   of something else, and wants to be told as long as a socket is ready.  A coroutine that waits
 *   for each socket would have to be cancelled and started anew each time; an event is told.
 */
#include "curl_loop.h"

#include <anysync/with_libevent.h>

#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>

struct curl_loop {
    CURLM *multi;
    struct event_base *base; /* borrowed */
    struct event *timer;
    struct anysync_libevent bridge;  /* from the port to the base */
    struct anysync_port *port;       /* how others come in; a reference */
    struct curl_transfer *transfers; /* that are active */
    struct anysync_event *end_now;   /* set by the end */
    struct anysync_future *opened;   /* how that went */
    struct anysync_future *keeper;   /* the task */
    unsigned thread;                 /* its serial */
    long most;
    bool open;
};

/* --- transfers -------------------------------------------------------------------------------- */

static void unlink_transfer(struct curl_transfer *transfer)
{
    transfer->active = false;
    *transfer->at = transfer->next;
    if (transfer->next)
        transfer->next->at = transfer->at;
}

int curl_loop_add(struct curl_loop *loop, struct curl_transfer *transfer)
{
    curl_easy_setopt(transfer->easy, CURLOPT_PRIVATE, transfer);
    if (curl_multi_add_handle(loop->multi, transfer->easy) != CURLM_OK)
        return anysync_fail(-ENOMEM, "curl takes no transfer");
    transfer->active = true;
    transfer->next = loop->transfers;
    transfer->at = &loop->transfers;
    if (transfer->next)
        transfer->next->at = &transfer->next;
    loop->transfers = transfer;
    return 0;
}

void curl_loop_remove(struct curl_loop *loop, struct curl_transfer *transfer)
{
    if (!transfer->active)
        return;
    unlink_transfer(transfer);
    curl_multi_remove_handle(loop->multi, transfer->easy);
}

/* Tell the transfers that have ended. */
static void collect(struct curl_loop *loop)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(loop->multi, &left))) {
        struct curl_transfer *transfer = NULL;
        CURLcode code = message->data.result; /* the message goes with its handle */

        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
        curl_loop_remove(loop, transfer);
        transfer->code = code;
        transfer->ended(transfer);
    }
}

/* --- what curl is told, and what it asks for -------------------------------------------------- */

static void act(struct curl_loop *loop, curl_socket_t fd, int what)
{
    int running;

    curl_multi_socket_action(loop->multi, fd, what, &running);
    collect(loop);
}

static void on_ready(evutil_socket_t fd, short what, void *loop)
{
    act(loop, fd,
            (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0));
}

static void on_time(evutil_socket_t fd, short what, void *loop)
{
    (void)fd, (void)what;
    act(loop, CURL_SOCKET_TIMEOUT, 0);
}

/* curl wants FD watched in another way.  Its event is curl's pointer for that socket. */
static int on_watch(CURL *easy, curl_socket_t fd, int what, void *context, void *known)
{
    struct curl_loop *loop = context;
    struct event *event = known;
    short kind = (short)(EV_PERSIST | (what & CURL_POLL_IN ? EV_READ : 0) |
                         (what & CURL_POLL_OUT ? EV_WRITE : 0));

    (void)easy;
    if (event)
        event_free(event);
    event = NULL;
    if (what != CURL_POLL_REMOVE) {
        event = event_new(loop->base, fd, kind, on_ready, loop);
        if (!event || event_add(event, NULL) != 0)
            goto fail;
    }
    if (event != known)
        curl_multi_assign(loop->multi, fd, event);
    return 0;

fail:
    if (event)
        event_free(event);
    curl_multi_assign(loop->multi, fd, NULL);
    return -1; /* curl ends its transfers */
}

/* curl wants to be called in so many milliseconds, or not at all. */
static int on_timer(CURLM *multi, long delay_ms, void *context)
{
    struct curl_loop *loop = context;
    const struct timeval delay = {.tv_sec = delay_ms / 1000, .tv_usec = delay_ms % 1000 * 1000};

    (void)multi;
    if (delay_ms < 0)
        return event_del(loop->timer);
    return event_add(loop->timer, &delay);
}

/* --- from open to end ----------------------------------------------------------------------- */

static int start_curl(void *unused)
{
    (void)unused;
    return curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK
                   ? 0
                   : anysync_fail(-ENOMEM, "curl cannot be initialized");
}

static void tear_down(struct curl_loop *loop)
{
    loop->open = false;
    while (loop->transfers) {
        struct curl_transfer *transfer = loop->transfers;
        curl_loop_remove(loop, transfer);
        transfer->closed = true;
        transfer->ended(transfer);
    }
    if (loop->multi)
        curl_multi_cleanup(loop->multi); /* gives back its sockets and its timer */
    if (loop->timer)
        event_free(loop->timer);
    if (loop->bridge.port)
        anysync_libevent_close(&loop->bridge);
}

static int set_up(struct curl_loop *loop)
{
    static struct anysync_once once;
    int error = anysync_once_run(&once, start_curl, NULL, ANYSYNC_FOREVER);

    if (error)
        return error;
    loop->thread = anysync_thread_serial();
    loop->base = anysync_event_base();
    if (!loop->base)
        return anysync_last_error()->code;
    error = anysync_libevent_open(&loop->bridge, loop->base);
    if (error)
        return error;
    loop->port = anysync_port_ref(loop->bridge.port);
    loop->timer = evtimer_new(loop->base, on_time, loop);
    loop->multi = curl_multi_init();
    if (!loop->timer || !loop->multi)
        return anysync_fail(-ENOMEM, "no memory for a curl loop");
    curl_multi_setopt(loop->multi, CURLMOPT_SOCKETFUNCTION, on_watch);
    curl_multi_setopt(loop->multi, CURLMOPT_SOCKETDATA, loop);
    curl_multi_setopt(loop->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(loop->multi, CURLMOPT_TIMERDATA, loop);
    if (loop->most)
        curl_multi_setopt(loop->multi, CURLMOPT_MAXCONNECTS, loop->most);
    loop->open = true;
    return 0;
}

ANYSYNC_COROUTINE(void, keep_curl_loop, (struct curl_loop *, loop))
{
    int error = set_up(loop);

    if (error) {
        anysync_future_fail(loop->opened, error, "%s", anysync_last_error()->message);
    } else {
        anysync_future_set(loop->opened, NULL);
        (void)!anysync_event_wait(loop->end_now, ANYSYNC_FOREVER); /* or the loop ends */
    }
    tear_down(loop);
    return 0;
}

void curl_loop_free(struct curl_loop *loop)
{
    if (!loop)
        return;
    anysync_event_unref(loop->end_now);
    anysync_future_unref(loop->opened);
    anysync_future_unref(loop->keeper);
    anysync_port_unref(loop->port);
    free(loop);
}

/* Start the keeper, and wait until it has set up, or has ended. */
static int start_keeper(struct curl_loop *loop, struct anysync_executor *executor)
{
    const struct keep_curl_loop_arguments argument = {loop};
    size_t index;
    int error = executor ? anysync_spawn_on(
                                   executor, &keep_curl_loop_function, &argument, &loop->keeper)
                         : anysync_spawn(&keep_curl_loop_function, &argument, &loop->keeper);

    if (error)
        return error;
    ANYSYNC_SHIELD(&error, ANYSYNC_FOREVER)
    {
        struct anysync_future *const either[] = {loop->opened, loop->keeper};
        error = anysync_wait_any(either, 2, ANYSYNC_FOREVER, &index);
    }
    if (!error && !anysync_future_done(loop->opened))
        error = anysync_wait(loop->keeper, NULL, ANYSYNC_POLL); /* it never began */
    return error ? error : anysync_future_result(loop->opened, NULL);
}

int curl_loop_open(struct anysync_executor *executor, long most, struct curl_loop **ret_loop)
{
    struct curl_loop *loop = calloc(1, sizeof(*loop));

    if (!loop)
        return anysync_fail(-ENOMEM, "no memory for a curl loop");
    loop->most = most;
    int error = anysync_event_new(&loop->end_now);
    if (!error)
        error = anysync_future_new(0, &loop->opened);
    if (!error)
        error = start_keeper(loop, executor);
    if (!error) {
        *ret_loop = loop;
        return 0;
    }
    curl_loop_end(loop);
    curl_loop_free(loop);
    return error;
}

void curl_loop_end(struct curl_loop *loop)
{
    int error = 0;

    if (!loop || !loop->keeper)
        return;
    anysync_event_set(loop->end_now);
    ANYSYNC_SHIELD(&error, ANYSYNC_FOREVER)
    {
        error = anysync_future_wait(loop->keeper, ANYSYNC_FOREVER);
    }
}

int curl_loop_run(struct curl_loop *loop, int (*function)(void *argument), void *argument)
{
    int error = 0;

    if (anysync_thread_serial() == loop->thread)
        return loop->open ? function(argument) : anysync_fail(-ESHUTDOWN, "the client is closed");
    ANYSYNC_SHIELD(&error, ANYSYNC_FOREVER)
    {
        error = anysync_port_call(loop->port, function, argument, ANYSYNC_FOREVER);
    }
    return error;
}
