/* SPDX-License-Identifier: MIT */
/*
 * Channels (include/anysync/channel.h).
 *
 * Promised                                         Tested by
 *   items come out in order, each once               items_come_out_in_order
 *                                                    stress_every_item_arrives_once
 *   in every world, between all of them              a_channel_joins_all_worlds
 *   a full channel makes senders wait                a_sender_waits_for_room
 *   an empty one receivers                           a_receiver_waits_for_an_item
 *   first come, first served                         waiters_are_served_in_order
 *   capacity 0 is a meeting                          capacity_0_is_a_meeting
 *   close: sends fail, what is in it comes out       close_lets_out_what_is_in_it
 *          those who wait are told                   close_ends_the_waits
 *   a deadline, a cancel: nothing is lost            a_deadline_loses_nothing
 *                                                    a_cancel_loses_nothing
 *                                                    stress_receivers_that_give_up_lose_nothing
 *   a callback may poll and not wait                 a_callback_may_only_poll
 *   no memory: a code, and the next call works       without_memory_there_is_no_channel
 *   after a fork it is of no use                     a_forked_child_is_refused
 *   typed channels                                   typed_channels_keep_their_types
 */
#include "fault.h"
#include "futures.h"
#include "worlds.h"

#include <anysync/channel.h>

#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

ANYSYNC_CHANNEL(number, int);

static number_channel *new_channel(size_t capacity)
{
    number_channel *channel = NULL;

    CHECK_EQ(number_channel_new(capacity, &channel), 0);
    return channel;
}

static int receive(number_channel *channel)
{
    int item = -1;

    CHECK_EQ(number_channel_recv(channel, &item, ANYSYNC_FOREVER), 0);
    return item;
}

static void put(number_channel *channel, int item)
{
    CHECK_EQ(number_channel_send(channel, item, ANYSYNC_FOREVER), 0);
}

static void check_order(void)
{
    number_channel *channel = new_channel(3);

    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 3; i++)
            put(channel, round * 3 + i);
        CHECK_EQ(anysync_channel_count((struct anysync_channel *)(void *)channel), 3);
        for (int i = 0; i < 3; i++)
            CHECK_EQ(receive(channel), round * 3 + i);
    }
    CHECK(number_channel_unref(channel) == NULL);
}

TEST(items_come_out_in_order)
{
    in_worlds(EVERYWHERE, check_order);
}

/* --- between worlds --------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(void, sender, (number_channel *, channel), (int, from), (int, to))
{
    for (int i = from; i < to; i++) {
        int error = number_channel_send(channel, i, ANYSYNC_FOREVER);
        if (error)
            return error;
    }
    return 0;
}

ANYSYNC_COROUTINE(int, receiver, (number_channel *, channel), (int, count))
{
    for (int i = 0; i < count; i++) {
        int item;
        int error = number_channel_recv(channel, &item, ANYSYNC_FOREVER);
        if (error)
            return error;
        *result += item;
    }
    return 0;
}

static void check_both_ways(void)
{
    struct anysync_executor *other = NULL;
    number_channel *channel = new_channel(2);
    sender_future sending;
    receiver_future receiving;
    int sum = 0;

    CHECK_EQ(anysync_executor_new(NULL, &other), 0);
    CHECK_EQ(sender_start_on(other, &sending, channel, 0, 10), 0);
    for (int i = 0; i < 10; i++)
        CHECK_EQ(receive(channel), i);
    CHECK_EQ(sender_wait(&sending, ANYSYNC_FOREVER), 0);
    sender_drop(&sending);
    CHECK_EQ(receiver_start_on(other, &receiving, channel, 10), 0);
    for (int i = 0; i < 10; i++)
        put(channel, i);
    CHECK_EQ(receiver_wait(&receiving, &sum, ANYSYNC_FOREVER), 0);
    CHECK_EQ(sum, 45);
    receiver_drop(&receiving);
    CHECK_EQ(anysync_executor_shutdown(other, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    anysync_executor_unref(other);
    number_channel_unref(channel);
}

TEST(a_channel_joins_all_worlds)
{
    in_worlds(EVERYWHERE, check_both_ways);
}

ANYSYNC_COROUTINE(void, check_room)
{
    number_channel *channel = new_channel(1);
    sender_future sending;

    CHECK_EQ(sender_start(&sending, channel, 0, 3), 0);
    CHECK_EQ(anysync_yield(), 0);
    CHECK_EQ(anysync_channel_count((struct anysync_channel *)(void *)channel), 1);
    CHECK_EQ(anysync_future_done(sending.future), 0);
    CHECK_EQ(receive(channel), 0);
    CHECK_EQ(receive(channel), 1);
    CHECK_EQ(receive(channel), 2);
    CHECK_EQ(sender_wait(&sending, ANYSYNC_FOREVER), 0);
    sender_drop(&sending);
    number_channel_unref(channel);
    return 0;
}

TEST(a_sender_waits_for_room)
{
    CHECK_EQ(check_room_run(), 0);
    CHECK_EQ(check_room_run_here(), 0);
}

ANYSYNC_COROUTINE(void, check_empty)
{
    number_channel *channel = new_channel(1);
    receiver_future receiving;
    int sum = 0;

    CHECK_EQ(receiver_start(&receiving, channel, 2), 0);
    CHECK_EQ(anysync_yield(), 0);
    CHECK_EQ(anysync_future_done(receiving.future), 0);
    put(channel, 3);
    put(channel, 4);
    CHECK_EQ(receiver_wait(&receiving, &sum, ANYSYNC_FOREVER), 0);
    CHECK_EQ(sum, 7);
    receiver_drop(&receiving);
    number_channel_unref(channel);
    return 0;
}

TEST(a_receiver_waits_for_an_item)
{
    CHECK_EQ(check_empty_run(), 0);
    CHECK_EQ(check_empty_run_here(), 0);
}

ANYSYNC_COROUTINE(void, check_turns)
{
    number_channel *channel = new_channel(0);
    receiver_future receiving[4];
    sender_future sending[4];
    int item = -1;

    for (int i = 0; i < 4; i++) {
        CHECK_EQ(receiver_start(&receiving[i], channel, 1), 0);
        CHECK_EQ(anysync_yield(), 0);
    }
    for (int i = 0; i < 4; i++)
        put(channel, i);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(receiver_wait(&receiving[i], &item, ANYSYNC_FOREVER), 0);
        CHECK_EQ(item, i);
        receiver_drop(&receiving[i]);
    }
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(sender_start(&sending[i], channel, i, i + 1), 0);
        CHECK_EQ(anysync_yield(), 0);
    }
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(receive(channel), i);
        CHECK_EQ(sender_wait(&sending[i], ANYSYNC_FOREVER), 0);
        sender_drop(&sending[i]);
    }
    number_channel_unref(channel);
    return 0;
}

TEST(waiters_are_served_in_order)
{
    CHECK_EQ(check_turns_run(), 0);
}

ANYSYNC_COROUTINE(void, check_meeting)
{
    number_channel *channel = new_channel(0);
    sender_future sending;

    CHECK_EQ(number_channel_send(channel, 1, ANYSYNC_POLL), -ETIMEDOUT);
    CHECK_EQ(sender_start(&sending, channel, 5, 6), 0);
    CHECK_EQ(anysync_yield(), 0);
    CHECK_EQ(anysync_channel_count((struct anysync_channel *)(void *)channel), 0);
    CHECK(!anysync_future_done(sending.future));
    CHECK_EQ(receive(channel), 5);
    CHECK_EQ(sender_wait(&sending, ANYSYNC_FOREVER), 0);
    sender_drop(&sending);
    number_channel_unref(channel);
    return 0;
}

TEST(capacity_0_is_a_meeting)
{
    CHECK_EQ(check_meeting_run(), 0);
}

/* --- close ------------------------------------------------------------------------------------ */

static void check_close(void)
{
    number_channel *channel = new_channel(2);
    int item = 77;

    put(channel, 1);
    put(channel, 2);
    number_channel_close(channel);
    number_channel_close(channel);
    CHECK_EQ(number_channel_send(channel, 3, ANYSYNC_FOREVER), -EPIPE);
    CHECK_CONTAINS(anysync_last_error()->message, "closed");
    CHECK_EQ(receive(channel), 1);
    CHECK_EQ(receive(channel), 2);
    CHECK_EQ(number_channel_recv(channel, &item, ANYSYNC_FOREVER), ANYSYNC_DONE);
    CHECK_EQ(item, 77);
    number_channel_unref(channel);
}

TEST(close_lets_out_what_is_in_it)
{
    in_worlds(EVERYWHERE, check_close);
}

ANYSYNC_COROUTINE(void, check_close_waits)
{
    number_channel *empty = new_channel(1), *full = new_channel(0);
    receiver_future receiving[2];
    sender_future sending[2];

    for (int i = 0; i < 2; i++) {
        CHECK_EQ(receiver_start(&receiving[i], empty, 1), 0);
        CHECK_EQ(sender_start(&sending[i], full, 0, 1), 0);
    }
    CHECK_EQ(anysync_yield(), 0);
    number_channel_close(empty);
    number_channel_close(full);
    for (int i = 0; i < 2; i++) { /* a body may not return a positive number: see B3 */
        CHECK_EQ(receiver_wait(&receiving[i], NULL, ANYSYNC_FOREVER), -EINVAL);
        CHECK_EQ(sender_wait(&sending[i], ANYSYNC_FOREVER), -EPIPE);
        receiver_drop(&receiving[i]);
        sender_drop(&sending[i]);
    }
    number_channel_unref(empty);
    number_channel_unref(full);
    return 0;
}

TEST(close_ends_the_waits)
{
    CHECK_EQ(check_close_waits_run(), 0);
}

/* --- giving up -------------------------------------------------------------------------------- */

static void check_deadlines(void)
{
    number_channel *channel = new_channel(1);
    int item = 77;

    CHECK_EQ(number_channel_recv(channel, &item, ANYSYNC_POLL), -ETIMEDOUT);
    CHECK_EQ(number_channel_recv(channel, &item, anysync_in_ms(2)), -ETIMEDOUT);
    CHECK_EQ(item, 77);
    put(channel, 1);
    CHECK_EQ(number_channel_send(channel, 2, ANYSYNC_POLL), -ETIMEDOUT);
    CHECK_EQ(number_channel_send(channel, 2, anysync_in_ms(2)), -ETIMEDOUT);
    CHECK_EQ(receive(channel), 1);
    CHECK_EQ(number_channel_recv(channel, &item, ANYSYNC_POLL), -ETIMEDOUT);
    put(channel, 3);
    CHECK_EQ(receive(channel), 3);
    number_channel_unref(channel);
}

TEST(a_deadline_loses_nothing)
{
    in_worlds(EVERYWHERE & ~(unsigned)FOREIGN, check_deadlines);
}

ANYSYNC_COROUTINE(void, check_cancels)
{
    number_channel *channel = new_channel(0);
    receiver_future cut, later;
    sender_future cut_sender;
    int item = 0;

    CHECK_EQ(receiver_start(&cut, channel, 1), 0);
    CHECK_EQ(receiver_start(&later, channel, 1), 0);
    CHECK_EQ(anysync_yield(), 0);
    CHECK_EQ(receiver_cancel(&cut), 0);
    CHECK_EQ(receiver_wait(&cut, NULL, ANYSYNC_FOREVER), -ECANCELED);
    put(channel, 9);
    CHECK_EQ(receiver_wait(&later, &item, ANYSYNC_FOREVER), 0);
    CHECK_EQ(item, 9);
    CHECK_EQ(sender_start(&cut_sender, channel, 1, 2), 0);
    CHECK_EQ(anysync_yield(), 0);
    CHECK_EQ(sender_cancel(&cut_sender), 0);
    CHECK_EQ(sender_wait(&cut_sender, ANYSYNC_FOREVER), -ECANCELED);
    CHECK_EQ(number_channel_recv(channel, &item, ANYSYNC_POLL), -ETIMEDOUT);
    receiver_drop(&cut);
    receiver_drop(&later);
    sender_drop(&cut_sender);
    number_channel_unref(channel);
    return 0;
}

TEST(a_cancel_loses_nothing)
{
    CHECK_EQ(check_cancels_run(), 0);
}

static void in_callback(evutil_socket_t fd, short events, void *argument)
{
    number_channel *channel = new_channel(1);
    int item = 0;

    (void)fd, (void)events;
    CHECK_EQ(number_channel_recv(channel, &item, ANYSYNC_FOREVER), -EDEADLK);
    CHECK_CONTAINS(anysync_last_error()->message, "spawn");
    CHECK_EQ(number_channel_send(channel, 4, ANYSYNC_POLL), 0);
    CHECK_EQ(number_channel_send(channel, 4, ANYSYNC_FOREVER), -EDEADLK);
    CHECK_EQ(number_channel_recv(channel, &item, ANYSYNC_POLL), 0);
    CHECK_EQ(item, 4);
    number_channel_unref(channel);
    set(argument, 0);
}

static void check_callback(void)
{
    call_back(in_callback);
}

TEST(a_callback_may_only_poll)
{
    CHECK_EQ(in_coroutine_run(check_callback), 0);
}

TEST(without_memory_there_is_no_channel)
{
    struct anysync_channel *channel = NULL;

    fault_fail("malloc", 1, false);
    CHECK_EQ(anysync_channel_new(1, 1, &channel), -ENOMEM);
    CHECK(channel == NULL);
    CHECK_EQ(anysync_channel_new(SIZE_MAX, 8, &channel), -ENOMEM);
    CHECK_EQ(anysync_channel_new(SIZE_MAX, 0, &channel), 0);
    anysync_channel_unref(channel);
}

static int use_in_child(void *argument)
{
    number_channel *channel = argument;
    int item = 0;

    if (number_channel_recv(channel, &item, ANYSYNC_FOREVER) != -EOWNERDEAD)
        return 1;
    return number_channel_send(channel, 1, ANYSYNC_FOREVER) == -EOWNERDEAD ? 0 : 2;
}

TEST(a_forked_child_is_refused)
{
    number_channel *channel = new_channel(1);

    put(channel, 1);
    struct test_child child = test_child(use_in_child, channel);
    CHECK(child.exited);
    CHECK_EQ(child.status, 0);
    free(child.errors);
    CHECK_EQ(receive(channel), 1);
    number_channel_unref(channel);
}

struct pair {
    short left;
    long right;
};

ANYSYNC_CHANNEL(pair, struct pair);

TEST(typed_channels_keep_their_types)
{
    pair_channel *channel = NULL;
    struct pair item = {0, 0};

    CHECK_EQ(pair_channel_new(4, &channel), 0);
    CHECK_EQ(pair_channel_send(channel, (struct pair){1, 2}, ANYSYNC_FOREVER), 0);
    CHECK_EQ(pair_channel_recv(channel, &item, ANYSYNC_FOREVER), 0);
    CHECK_EQ(item.left, 1);
    CHECK_EQ(item.right, 2);
    CHECK(pair_channel_unref(pair_channel_ref(channel)) == NULL);
    pair_channel_close(channel);
    pair_channel_unref(channel);
}

/* --- stress ----------------------------------------------------------------------------------- */

enum { SENDERS = 4, RECEIVERS = 4 };

static struct flow {
    number_channel *channel;
    long each;
    atomic_long sum, count;
    bool hasty; /* receivers give up all the time */
} flow;

/* Each even one is a thread, each odd one a coroutine on the worker. */
static int send_all(int from)
{
    for (long i = 0; i < flow.each; i++) {
        int error = number_channel_send(flow.channel, (int)(from * flow.each + i), ANYSYNC_FOREVER);
        if (error)
            return error;
    }
    return 0;
}

static int receive_all(void)
{
    for (;;) {
        int item;
        int error = number_channel_recv(flow.channel, &item,
                flow.hasty ? anysync_in_us(atomic_load(&flow.count) % 20) : ANYSYNC_FOREVER);
        if (error == -ETIMEDOUT)
            continue;
        if (error)
            return error == ANYSYNC_DONE ? 0 : error;
        atomic_fetch_add(&flow.sum, item);
        atomic_fetch_add(&flow.count, 1);
    }
}

ANYSYNC_COROUTINE(void, send_all_body, (int, from))
{
    return send_all(from);
}

ANYSYNC_COROUTINE(void, receive_all_body)
{
    return receive_all();
}

static void send_on_thread(void *argument, int index)
{
    (void)argument;
    if (index % 2 == 0)
        CHECK_EQ(send_all(index), 0);
    else
        CHECK_EQ(send_all_body_run(index), 0);
}

static void receive_on_thread(void *argument, int index)
{
    (void)argument;
    if (index % 2 == 0)
        CHECK_EQ(receive_all(), 0);
    else
        CHECK_EQ(receive_all_body_run(), 0);
}

static void flow_through(size_t capacity, bool hasty)
{
    long total;

    flow.channel = new_channel(capacity);
    flow.each = test_scaled(5000);
    flow.hasty = hasty;
    atomic_store(&flow.sum, 0);
    atomic_store(&flow.count, 0);
    struct test_threads *receivers = test_threads_start(RECEIVERS, receive_on_thread, NULL);
    test_together(SENDERS, send_on_thread, NULL);
    number_channel_close(flow.channel);
    test_threads_join(receivers);
    total = SENDERS * flow.each;
    CHECK_EQ(atomic_load(&flow.count), total);
    CHECK_EQ(atomic_load(&flow.sum), total * (total - 1) / 2);
    number_channel_unref(flow.channel);
}

TEST(stress_every_item_arrives_once)
{
    flow_through(0, false);
    flow_through(1, false);
    flow_through(64, false);
}

TEST(stress_receivers_that_give_up_lose_nothing)
{
    flow_through(0, true);
    flow_through(4, true);
}
