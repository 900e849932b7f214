/* SPDX-License-Identifier: MIT */
/*
 * Scenes of lib/thread's smaller parts: ring, doorbell, flag, barrier, spin, gauge, the end of a
 * thread, fork().  (What a scene is: virtual.h.)
 */
#include "virtual.h"

#include "base/memory.h"
#include "thread/barrier.h"
#include "thread/doorbell.h"
#include "thread/flag.h"
#include "thread/gauge.h"
#include "thread/local.h"
#include "thread/once.h"
#include "thread/ring.h"
#include "thread/spin.h"
#include "thread/waiter.h"

#include <string.h>

/* --- ring ------------------------------------------------------------------------------------- */

enum { ITEMS = 3, LIMIT = 2 };

/* One end of the ring, which sleeps now and then. */
static struct side {
    struct asi_waiter waiter;
    uint32_t seen; /* deliveries */
    int note;      /* for who wakes it: written before each sleep */
    anysync_time deadline;
} producer, consumer;

static struct asi_ring *ring;
static int items[LIMIT];

static void open_ring(void)
{
    ring = asi_allocate(sizeof(*ring));
    asi_ring_init(ring, LIMIT);
    asi_waiter_init(&producer.waiter, NULL);
    asi_waiter_init(&consumer.waiter, NULL);
}

static void wake_side(struct side *side)
{
    VIRTUAL_CHECK(side == &producer || side->note > 0);
    asi_waiter_deliver(&side->waiter);
}

/* SIDE, which said so, sleeps.  BACK: how it says that it gave up; it does so once. */
static void sleep_side(struct side *side, bool (*back)(struct asi_ring *ring))
{
    anysync_time deadline = side->deadline;

    side->deadline = ANYSYNC_FOREVER;
    if (!asi_waiter_sleep(&side->waiter, side->seen, deadline)) {
        if (back(ring))
            return;
        VIRTUAL_CHECK(asi_waiter_sleep(&side->waiter, side->seen, ANYSYNC_FOREVER));
    }
    side->seen++;
}

static void push_all(void *unused)
{
    (void)unused;
    VIRTUAL_CHECK(asi_waiter_sleep(&producer.waiter, 0, ANYSYNC_FOREVER)); /* it sleeps at first */
    producer.seen++;
    for (int i = 1; i <= ITEMS; i++) {
        while (!asi_ring_has_room(ring)) {
            producer.note++;
            if (asi_ring_producer_sleeps(ring))
                sleep_side(&producer, asi_ring_producer_back);
        }
        items[asi_ring_push_place(ring)] = i;
        if (asi_ring_push(ring))
            wake_side(&consumer);
    }
    if (asi_ring_end(ring))
        wake_side(&consumer);
}

static void pop_all(void)
{
    for (int count = 0;;) {
        while (asi_ring_has_item(ring)) {
            VIRTUAL_CHECK(items[asi_ring_pop_place(ring)] == ++count);
            if (asi_ring_pop(ring))
                wake_side(&producer);
        }
        if (asi_ring_is_over(ring)) {
            VIRTUAL_CHECK(count == ITEMS);
            return;
        }
        if (asi_ring_flush(ring))
            wake_side(&producer);
        consumer.note++;
        if (asi_ring_consumer_sleeps(ring))
            sleep_side(&consumer, asi_ring_consumer_back);
    }
}

static void pass_items(anysync_time deadline, bool loose)
{
    open_ring();
    producer.deadline = consumer.deadline = deadline;
    if (loose)
        asi_ring_loosen(ring);
    int other = virtual_start(push_all, NULL);
    pop_all();
    virtual_join(other);
    asi_free(ring);
}

SCENE(ring_hands_on_items, 2, 1)
{
    pass_items(ANYSYNC_FOREVER, false);
}

SCENE(ring_is_loose_until_its_consumer_sleeps, 2, 1)
{
    pass_items(ANYSYNC_FOREVER, true);
}

SCENE(sides_of_a_ring_give_up_sleeping, 2, 1)
{
    pass_items(anysync_in_ms(1), false);
}

/* What a side wrote before it said that it sleeps is seen by who wakes it. */
static void push_one(void *unused)
{
    (void)unused;
    items[asi_ring_push_place(ring)] = 1;
    if (asi_ring_push(ring))
        VIRTUAL_CHECK(consumer.note == 7);
}

SCENE(consumer_prepares_before_it_sleeps, 4, 1)
{
    open_ring();
    int other = virtual_start(push_one, NULL);
    consumer.note = 7;
    (void)asi_ring_consumer_sleeps(ring);
    virtual_join(other);
}

static void flush(void *unused)
{
    (void)unused;
    ring->popped = LIMIT;
    if (asi_ring_flush(ring))
        VIRTUAL_CHECK(producer.note == 7);
}

SCENE(producer_prepares_before_it_sleeps, 4, 1)
{
    open_ring();
    (void)asi_ring_producer_back(ring); /* it is awake */
    for (int i = 0; i < LIMIT; i++)
        (void)asi_ring_push(ring);
    int other = virtual_start(flush, NULL);
    producer.note = 7;
    (void)asi_ring_producer_sleeps(ring);
    virtual_join(other);
}

SCENE(loose_push_is_a_plain_store, 0, 0)
{
    open_ring();
    asi_ring_loosen(ring);
    VIRTUAL_CHECK(asi_barrier_available() && !asi_ring_push(ring));
    VIRTUAL_CHECK(asi_load(&ring->tail, relaxed) == 0);
    VIRTUAL_CHECK(asi_ring_has_item(ring));
}

/* --- doorbell --------------------------------------------------------------------------------- */

static struct asi_doorbell bell;
static int published;

static void ring_bell(void *unused)
{
    (void)unused;
    published = 42;
    asi_doorbell_ring(&bell);
}

SCENE(ring_tells_what_came_before_it, 3, 1)
{
    asi_doorbell_init(&bell);
    uint32_t ticket = asi_doorbell_ticket(&bell);
    int ringer = virtual_start(ring_bell, NULL);
    while (asi_doorbell_ticket(&bell) == ticket)
        VIRTUAL_CHECK(asi_doorbell_sleep(&bell, ticket, ANYSYNC_FOREVER));
    VIRTUAL_CHECK(published == 42);
    virtual_join(ringer);
}

/* --- flag ------------------------------------------------------------------------------------- */

static struct asi_flag *parted;
static int part_of[2];

/* Who comes second sees what the first did, and tidies up. */
static void part(void *who)
{
    part_of[(size_t)who] = 1;
    if (asi_flag_raise(parted)) {
        VIRTUAL_CHECK(part_of[0] + part_of[1] == 2);
        asi_free(parted);
    }
}

SCENE(second_who_raises_a_flag_tidies_up, 4, 1)
{
    size_t before = virtual_in_use();

    parted = asi_allocate(sizeof(*parted));
    asi_flag_init(parted);
    int other = virtual_start(part, (void *)1);
    part((void *)0);
    virtual_join(other);
    VIRTUAL_CHECK(virtual_in_use() == before);
}

/* --- the end of a thread, fork() -------------------------------------------------------------- */

static void end_with_a_wake(void *unused)
{
    (void)unused;
    asi_local_attach();
    asi_waiter_hold_wake();
    asi_waiter_deliver(&consumer.waiter);
}

SCENE(wake_that_was_held_back_comes_at_the_end, 3, 0)
{
    asi_waiter_init(&consumer.waiter, NULL);
    int other = virtual_start(end_with_a_wake, NULL);
    VIRTUAL_CHECK(asi_waiter_sleep(&consumer.waiter, 0, ANYSYNC_FOREVER));
    virtual_join(other);
}

static struct asi_once before = ASI_ONCE_INIT, after = ASI_ONCE_INIT;
static int made;

static void make(void)
{
    made++;
}

static void need(void *unused)
{
    (void)unused;
    asi_once_run(&before, make);
}

SCENE(fork_waits_for_what_is_done_once, 3, 0)
{
    (void)virtual_start(need, NULL);
    virtual_fork(true);
    asi_once_run(&before, make);
    VIRTUAL_CHECK(made == 1);
    asi_once_run(&after, make);
    VIRTUAL_CHECK(made == 2);
    VIRTUAL_CHECK(asi_barrier_available());
}

SCENE(parent_goes_on_after_a_fork, 3, 0)
{
    int other = virtual_start(need, NULL);
    virtual_fork(false);
    asi_once_run(&before, make);
    virtual_join(other);
    VIRTUAL_CHECK(made == 1);
}

/* --- figures ---------------------------------------------------------------------------------- */

SCENE(figures_are_those_that_were_set, 0, 0)
{
    struct asi_spin_figures figures;
    struct asi_spin spin = {0};
    struct asi_look look;
    int rounds = 0;

    asi_spin_measured(1, 2, 3);
    asi_spin_get_measured(&figures);
    VIRTUAL_CHECK(figures.wake_ns == 1 && figures.cost_ns == 2 && figures.offer_ns == 3);
    asi_spin_measured(1000000, 2, 3);
    asi_spin_configure(ASI_SPIN_ALWAYS, 7);
    VIRTUAL_CHECK(asi_spin_policy() == ASI_SPIN_ALWAYS);
    asi_look_begin(&look, &spin, asi_spin_policy());
    while (asi_look_again(&look))
        VIRTUAL_CHECK(++rounds < 10000); /* the clock moves with each reading */
    VIRTUAL_CHECK(rounds > 0);
}

SCENE(processors_are_counted_once, 0, 0)
{
    VIRTUAL_CHECK(asi_processors() == 2);
    virtual_processors = 1;
    VIRTUAL_CHECK(asi_processors() == 2);
}

/* What is below the stack's end has been used before. */
static __attribute__((noinline)) void soil_stack(void)
{
    char bytes[2048];

    memset(bytes, 0xa5, sizeof(bytes));
    __asm__ volatile("" ::"r"(bytes) : "memory");
}

SCENE(wake_is_measured, 0, 0)
{
    struct asi_spin_figures figures;

    soil_stack();
    asi_gauge();
    asi_spin_get_measured(&figures);
    VIRTUAL_CHECK(figures.wake_ns == 3000); /* the least; here a sleep ends in time */
}
