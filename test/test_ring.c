/* SPDX-License-Identifier: MIT */
/*
 * Ring (lib/thread/ring.h).
 *
 * Promised                                        Tested by
 *   items come out in order, and no more than       fifo_up_to_its_limit
 *   its limit are in it
 *   room is seen in batches                         room_is_seen_after_a_batch
 *   a consumer that sleeps is woken once            a_sleeping_consumer_is_woken_once
 *   a producer that sleeps is woken once            a_sleeping_producer_is_woken_once
 *   a sleep fails if there is something             a_sleep_fails_when_there_is_something
 *   the end                                         the_end_comes_after_the_items
 *   a consumer that does not sleep makes it loose   a_ring_gets_loose
 *   what was pushed then is seen, and ends a sleep  a_sleep_ends_the_loose_time
 *   no lost wake-up, no lost item (TSan)            stress_two_threads, stress_loose
 */
#include "harness.h"
#include "thread/ring.h"
#include "thread/waiter.h"

static struct asi_ring ring;
static int items[8];

static bool push(int item)
{
    items[asi_ring_push_place(&ring)] = item;
    return asi_ring_push(&ring);
}

static bool pop(int expected)
{
    CHECK(asi_ring_has_item(&ring));
    CHECK_EQ(items[asi_ring_pop_place(&ring)], expected);
    return asi_ring_pop(&ring);
}

TEST(fifo_up_to_its_limit)
{
    static const uint32_t limits[] = {1, 2, 3, 5, 8};

    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        int in = 0, out = 0;
        asi_ring_init(&ring, limits[i]);
        CHECK(!asi_ring_has_item(&ring));
        for (int round = 0; round < 5; round++) {
            for (; asi_ring_has_room(&ring); in++)
                push(in);
            CHECK_EQ(in - out, limits[i]);
            while (asi_ring_has_item(&ring))
                pop(out++);
            CHECK_EQ(in, out);
            asi_ring_flush(&ring);
        }
    }
}

TEST(room_is_seen_after_a_batch)
{
    asi_ring_init(&ring, 4);
    for (int i = 0; i < 4; i++)
        push(i);
    pop(0);
    CHECK(!asi_ring_has_room(&ring));
    pop(1);
    CHECK(!asi_ring_has_room(&ring));
    pop(2);
    CHECK(asi_ring_has_room(&ring));
}

TEST(a_sleeping_consumer_is_woken_once)
{
    asi_ring_init(&ring, 4);
    CHECK(asi_ring_consumer_sleeps(&ring));
    CHECK(push(1));
    CHECK(!push(2));
    CHECK(!asi_ring_consumer_back(&ring));
    pop(1);
    pop(2);
    CHECK(!asi_ring_has_item(&ring));
    CHECK(asi_ring_consumer_sleeps(&ring));
    CHECK(asi_ring_consumer_back(&ring));
    CHECK(!push(3));
}

TEST(a_sleeping_producer_is_woken_once)
{
    asi_ring_init(&ring, 2);
    CHECK(asi_ring_flush(&ring)); /* it sleeps at first */
    CHECK(!asi_ring_flush(&ring));
    push(1);
    push(2);
    CHECK(!asi_ring_has_room(&ring));
    CHECK(asi_ring_producer_sleeps(&ring));
    CHECK(pop(1));
    CHECK(!asi_ring_producer_back(&ring));
    CHECK(asi_ring_has_room(&ring));
    push(3);
    CHECK(!asi_ring_has_room(&ring));
    CHECK(asi_ring_producer_sleeps(&ring));
    CHECK(asi_ring_producer_back(&ring));
    CHECK(!pop(2));
}

TEST(a_sleep_fails_when_there_is_something)
{
    asi_ring_init(&ring, 1);
    CHECK(asi_ring_flush(&ring));
    push(1);
    CHECK(!asi_ring_consumer_sleeps(&ring));
    CHECK(!asi_ring_has_room(&ring));
    pop(1);
    CHECK(!asi_ring_producer_sleeps(&ring));
}

TEST(the_end_comes_after_the_items)
{
    asi_ring_init(&ring, 4);
    push(1);
    CHECK(!asi_ring_end(&ring));
    CHECK(!asi_ring_is_over(&ring));
    pop(1);
    CHECK(asi_ring_is_over(&ring));
    CHECK(!asi_ring_has_item(&ring));
    CHECK(!asi_ring_consumer_sleeps(&ring));
    asi_ring_init(&ring, 4);
    CHECK(asi_ring_consumer_sleeps(&ring));
    CHECK(asi_ring_end(&ring));
}

/* Push and pop until the consumer has not slept for long enough. */
static int make_loose(void)
{
    int count = 0;

    asi_ring_init(&ring, 4);
    while (!ring.is_loose && count < 2 * ASI_RING_LOOSE_AFTER) {
        push(count);
        pop(count++);
    }
    CHECK_EQ(ring.is_loose, asi_barrier_available());
    return count;
}

TEST(a_ring_gets_loose)
{
    int next = make_loose();

    CHECK(next >= ASI_RING_LOOSE_AFTER);
    for (int i = 0; i < 10; i++) {
        CHECK(!push(next));
        pop(next++);
    }
    CHECK(!asi_ring_has_item(&ring));
    push(next);
    CHECK(!asi_ring_end(&ring));
    CHECK(!asi_ring_is_over(&ring));
    pop(next);
    CHECK(asi_ring_is_over(&ring));
}

TEST(a_sleep_ends_the_loose_time)
{
    int next = make_loose();

    push(next);
    CHECK(!asi_ring_consumer_sleeps(&ring));
    CHECK(!ring.is_loose);
    pop(next++);
    CHECK(asi_ring_consumer_sleeps(&ring));
    CHECK(push(next));
    pop(next);
    next = make_loose();
    push(next);
    pop(next);
    CHECK(asi_ring_consumer_sleeps(&ring));
    CHECK(asi_ring_end(&ring));
}

/* --- two threads ------------------------------------------------------------------------------ */

static struct asi_waiter producer, consumer;

static void produce(int last)
{
    uint32_t naps = 0;

    for (int i = 0; i < last; i++) {
        while (!asi_ring_has_room(&ring)) {
            if (asi_ring_producer_sleeps(&ring))
                CHECK(asi_waiter_sleep(&producer, naps++, ANYSYNC_FOREVER));
        }
        if (push(i))
            asi_waiter_deliver(&consumer);
    }
    if (asi_ring_end(&ring))
        asi_waiter_deliver(&consumer);
}

static int loops; /* how often the consumer looks before it sleeps */

static void consume(int last)
{
    uint32_t naps = 0;
    int left = loops;

    for (int i = 0; i < last;) {
        if (asi_ring_has_item(&ring)) {
            if (pop(i++))
                asi_waiter_deliver(&producer);
            left = loops;
            continue;
        }
        if (left-- > 0)
            continue;
        if (asi_ring_flush(&ring))
            asi_waiter_deliver(&producer);
        if (asi_ring_consumer_sleeps(&ring))
            CHECK(asi_waiter_sleep(&consumer, naps++, ANYSYNC_FOREVER));
    }
}

static void either(void *argument, int index)
{
    int last = *(int *)argument;

    if (index == 0)
        produce(last);
    else
        consume(last);
}

static void run_both(void)
{
    for (uint32_t limit = 1; limit <= 8; limit++) {
        int last = (int)test_scaled(20000);
        asi_ring_init(&ring, limit);
        asi_waiter_init(&producer, NULL);
        asi_waiter_init(&consumer, NULL);
        CHECK(asi_ring_flush(&ring)); /* the producer is awake */
        test_together(2, either, &last);
    }
}

TEST(stress_two_threads)
{
    run_both();
}

TEST(stress_loose)
{
    loops = 20;
    run_both();
}
