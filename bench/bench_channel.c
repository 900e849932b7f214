/* SPDX-License-Identifier: MIT */
/*
 * W11: channel ping-pong between two coroutines: ns a message.
 *
 * By hand: two libevent callbacks that activate one another, with a message in a queue of one.  The
 * floor: a switch for each message.
 */
#include "bench.h"
#include "by_hand.h"
#include "floor.h"

#include <anysync.h>
#include <event2/event.h>

#ifndef FLOOR_HAS_SWITCH
#define floor_yields NULL
#endif

struct pair {
    struct anysync_channel *to, *from;
    int64_t count;
};

static int pong_body(void *argument, void *result)
{
    struct pair *pair = argument;
    int64_t message;

    (void)result;
    for (int64_t i = 0; i < pair->count; i++) {
        bench_check(anysync_channel_recv(pair->to, &message, ANYSYNC_FOREVER), "recv");
        bench_check(anysync_channel_send(pair->from, &message, ANYSYNC_FOREVER), "send");
    }
    return 0;
}

static const struct anysync_function pong =
        ANYSYNC_FUNCTION(pong, pong_body, sizeof(struct pair), 0);

static int ping_body(void *argument, void *result)
{
    struct pair pair = {.count = *(int64_t *)argument / 2};
    struct anysync_future *other;
    int64_t message;

    bench_check(anysync_channel_new(1, sizeof(message), &pair.to), "anysync_channel_new");
    bench_check(anysync_channel_new(1, sizeof(message), &pair.from), "anysync_channel_new");
    int64_t start = bench_now_ns();
    bench_check(anysync_spawn(&pong, &pair, &other), "anysync_spawn");
    for (int64_t i = 0; i < pair.count; i++) {
        bench_check(anysync_channel_send(pair.to, &i, ANYSYNC_FOREVER), "send");
        bench_check(anysync_channel_recv(pair.from, &message, ANYSYNC_FOREVER), "recv");
        bench_check(message != i, "the same message");
    }
    bench_check(anysync_wait(other, NULL, ANYSYNC_FOREVER), "anysync_wait");
    *(int64_t *)result = bench_now_ns() - start;
    anysync_future_unref(other);
    anysync_channel_unref(pair.to);
    anysync_channel_unref(pair.from);
    return 0;
}

static const struct anysync_function ping =
        ANYSYNC_FUNCTION(ping, ping_body, sizeof(int64_t), sizeof(int64_t));

static int64_t ours(int64_t count)
{
    int64_t elapsed;

    bench_check(anysync_run(&ping, &count, &elapsed, ANYSYNC_FOREVER), "anysync_run");
    return elapsed;
}

/* --- by hand ---------------------------------------------------------------------------------- */

struct side {
    struct event *event;
    struct side *other;
    int64_t queue[1]; /* of messages to this side */
    size_t queued;
};

static int64_t left; /* messages to go */

static void on_message(evutil_socket_t fd, short what, void *argument)
{
    struct side *self = argument;
    int64_t message = self->queue[--self->queued];

    (void)fd;
    (void)what;
    if (--left <= 0)
        return;
    self->other->queue[self->other->queued++] = message;
    event_active(self->other->event, EV_TIMEOUT, 0);
}

static int64_t callbacks(int64_t count)
{
    struct event_base *base = by_hand_base_new();
    struct side sides[2] = {{.other = &sides[1]}, {.other = &sides[0]}};
    int64_t start;

    for (int i = 0; i < 2; i++)
        sides[i].event = event_new(base, -1, 0, on_message, &sides[i]);
    left = count;
    sides[0].queue[sides[0].queued++] = 1;
    start = bench_now_ns();
    event_active(sides[0].event, EV_TIMEOUT, 0);
    event_base_loop(base, 0);
    start = bench_now_ns() - start;
    for (int i = 0; i < 2; i++)
        event_free(sides[i].event);
    event_base_free(base);
    return start;
}

const struct bench_row bench_rows[] = {
        {.key = "W11",
                .work = "W11 channel ping-pong",
                .run = {ours, callbacks, floor_yields},
                .target = "15",
                .bound = 15},
};
const size_t bench_row_count = sizeof(bench_rows) / sizeof(bench_rows[0]);
