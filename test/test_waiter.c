/* SPDX-License-Identifier: MIT */
/*
 * Waiter (lib/thread/waiter.h).
 *
 * Promised                                  Tested by
 *   count says how many deliveries came       deliveries_are_counted
 *   arm only while nothing new came           arming_fails_when_something_came,
 *                                             arming_twice_is_arming_once
 *   a delivery wakes only who is armed, and   only_a_delivery_to_an_armed_waiter_wakes,
 *   ends that                                 a_delivery_ends_the_arming
 *   disarm: whether a wake is on its way      disarming_says_whether_a_wake_is_due
 *   sleep: true when something came, also     sleeping_ends_at_once_when_something_came,
 *   before; false when the deadline passed,   sleeping_ends_at_the_deadline_and_not_before,
 *   and then the waiter is not armed          a_delivery_before_the_deadline_counts
 *   nothing is lost, and what the deliverer   stress_no_delivery_is_lost_1, _2 and _16 ahead
 *   did is visible (TSan)                     (a lost one hangs: time limit)
 *   the wake function sees what came before   stress_each_armed_sleep_gets_one_wake
 *   arm, and runs once for each arming
 *   a thread may leave right after a          stress_a_thread_may_leave_right_after_a_delivery
 *   delivery
 *   deadlines against deliveries              stress_deadlines_lose_no_delivery
 *   a wake that was held back comes when it   a_held_wake_comes_when_it_is_given,
 *   is given, or when its thread ends; only   a_held_wake_comes_at_the_end_of_its_thread,
 *   one is held                               one_wake_is_held_and_no_other
 *   of who does not sleep nothing is held     of_an_awake_waiter_no_wake_is_held
 */
#include "harness.h"

#include "base/list.h"
#include "thread/local.h"
#include "thread/thread.h"
#include "thread/waiter.h"

#include <semaphore.h>
#include <stdatomic.h>

enum { MS = 1000000 };

struct sleeper {
    struct asi_waiter waiter;
    int prepared; /* plain: written before each arming, read by the wake function */
    int wakes;    /* plain: by the wake function, read after it arrived */
    sem_t arrived;
};

static void wake(struct asi_waiter *waiter)
{
    struct sleeper *sleeper = asi_container_of(waiter, struct sleeper, waiter);

    CHECK_GE(sleeper->prepared, 1);
    sleeper->wakes++;
    sem_post(&sleeper->arrived);
}

static void sleeper_init(struct sleeper *sleeper)
{
    sleeper->prepared = 0;
    sleeper->wakes = 0;
    CHECK_EQ(sem_init(&sleeper->arrived, 0, 0), 0);
    asi_waiter_init(&sleeper->waiter, wake);
}

static bool arm(struct sleeper *sleeper, uint32_t seen)
{
    sleeper->prepared++;
    return asi_waiter_arm(&sleeper->waiter, seen);
}

TEST(deliveries_are_counted)
{
    struct asi_waiter waiter;

    asi_waiter_init(&waiter, NULL);
    for (uint32_t i = 0; i < 5; i++) {
        CHECK_EQ(asi_waiter_count(&waiter), i);
        asi_waiter_deliver(&waiter);
    }
    CHECK_EQ(asi_waiter_count(&waiter), 5);
}

TEST(arming_fails_when_something_came)
{
    struct asi_waiter waiter;

    asi_waiter_init(&waiter, NULL);
    asi_waiter_deliver(&waiter);
    CHECK(!asi_waiter_arm(&waiter, 0));
    CHECK(asi_waiter_arm(&waiter, 1));
    CHECK_EQ(asi_waiter_count(&waiter), 1);
}

TEST(arming_twice_is_arming_once)
{
    struct sleeper sleeper;

    sleeper_init(&sleeper);
    CHECK(arm(&sleeper, 0));
    CHECK(arm(&sleeper, 0));
    asi_waiter_deliver(&sleeper.waiter);
    CHECK_EQ(sleeper.wakes, 1);
    CHECK(!arm(&sleeper, 0));
}

TEST(only_a_delivery_to_an_armed_waiter_wakes)
{
    struct sleeper sleeper;

    sleeper_init(&sleeper);
    asi_waiter_deliver(&sleeper.waiter);
    CHECK_EQ(sleeper.wakes, 0);
    CHECK(arm(&sleeper, 1));
    asi_waiter_deliver(&sleeper.waiter);
    CHECK_EQ(sleeper.wakes, 1);
}

TEST(a_delivery_ends_the_arming)
{
    struct sleeper sleeper;

    sleeper_init(&sleeper);
    CHECK(arm(&sleeper, 0));
    asi_waiter_deliver(&sleeper.waiter);
    asi_waiter_deliver(&sleeper.waiter);
    CHECK_EQ(sleeper.wakes, 1);
    CHECK_EQ(asi_waiter_count(&sleeper.waiter), 2);
}

TEST(disarming_says_whether_a_wake_is_due)
{
    struct sleeper sleeper;

    sleeper_init(&sleeper);
    CHECK(!asi_waiter_disarm(&sleeper.waiter));
    CHECK(arm(&sleeper, 0));
    CHECK(asi_waiter_disarm(&sleeper.waiter));
    asi_waiter_deliver(&sleeper.waiter);
    CHECK_EQ(sleeper.wakes, 0); /* nobody slept */
    CHECK(arm(&sleeper, 1));
    asi_waiter_deliver(&sleeper.waiter);
    CHECK(!asi_waiter_disarm(&sleeper.waiter));
    CHECK_EQ(sleeper.wakes, 1);
}

TEST(sleeping_ends_at_once_when_something_came)
{
    struct asi_waiter waiter;

    asi_waiter_init(&waiter, NULL);
    asi_waiter_deliver(&waiter);
    CHECK(asi_waiter_sleep(&waiter, 0, ANYSYNC_FOREVER));
    CHECK(asi_waiter_sleep(&waiter, 0, ANYSYNC_POLL));
    CHECK(!asi_waiter_sleep(&waiter, 1, ANYSYNC_POLL));
}

TEST(sleeping_ends_at_the_deadline_and_not_before)
{
    struct asi_waiter waiter;

    asi_waiter_init(&waiter, NULL);
    int64_t deadline = test_now_ns() + 20 * MS;
    CHECK(!asi_waiter_sleep(&waiter, 0, deadline));
    CHECK_GE(test_now_ns(), deadline);
    CHECK(!asi_waiter_disarm(&waiter));
    CHECK_EQ(asi_waiter_count(&waiter), 0);
}

static void deliver_once(void *argument, int index)
{
    (void)index;
    asi_waiter_deliver(argument);
}

TEST(a_delivery_before_the_deadline_counts)
{
    struct asi_waiter waiter;

    asi_waiter_init(&waiter, NULL);
    struct test_threads *threads = test_threads_start(3, deliver_once, &waiter);
    for (uint32_t seen = 0; seen < 3; seen = asi_waiter_count(&waiter))
        CHECK(asi_waiter_sleep(&waiter, seen, ANYSYNC_FOREVER - 1));
    test_threads_join(threads);
    CHECK_EQ(asi_waiter_count(&waiter), 3);
}

/* --- stress ----------------------------------------------------------------------------------- */

struct stream {
    struct asi_waiter there; /* deliveries to the consumer */
    struct asi_waiter back;  /* acknowledgements to the producer */
    uint32_t count;
    uint32_t ahead; /* how many deliveries may be on their way */
    int *values;    /* plain: each written before its delivery, read after */
};

static void send_stream(void *argument, int index)
{
    struct stream *stream = argument;

    (void)index;
    for (uint32_t i = 0; i < stream->count; i++) {
        uint32_t acknowledged = asi_waiter_count(&stream->back);
        while (i - acknowledged >= stream->ahead) {
            CHECK(asi_waiter_sleep(&stream->back, acknowledged, ANYSYNC_FOREVER));
            acknowledged = asi_waiter_count(&stream->back);
        }
        stream->values[i] = (int)i + 1;
        asi_waiter_deliver(&stream->there);
    }
}

static void run_stream(uint32_t count, uint32_t ahead)
{
    struct stream stream = {.count = count, .ahead = ahead};

    stream.values = calloc(count, sizeof(int));
    CHECK(stream.values != NULL);
    asi_waiter_init(&stream.there, NULL);
    asi_waiter_init(&stream.back, NULL);
    struct test_threads *threads = test_threads_start(1, send_stream, &stream);
    for (uint32_t done = 0; done < count;) {
        CHECK(asi_waiter_sleep(&stream.there, done, ANYSYNC_FOREVER));
        for (uint32_t now = asi_waiter_count(&stream.there); done < now; done++) {
            CHECK_EQ(stream.values[done], done + 1);
            asi_waiter_deliver(&stream.back);
        }
    }
    test_threads_join(threads);
    CHECK_EQ(asi_waiter_count(&stream.there), count);
    free(stream.values);
}

TEST(stress_no_delivery_is_lost_1_ahead)
{
    run_stream((uint32_t)test_scaled(100000), 1);
}

TEST(stress_no_delivery_is_lost_2_ahead)
{
    run_stream((uint32_t)test_scaled(100000), 2);
}

TEST(stress_no_delivery_is_lost_16_ahead)
{
    run_stream((uint32_t)test_scaled(100000), 16);
}

struct bombed {
    struct sleeper sleeper;
    int count; /* deliveries of each thread */
};

static void bomb(void *argument, int index)
{
    struct bombed *bombed = argument;

    (void)index;
    for (int i = 0; i < bombed->count; i++)
        asi_waiter_deliver(&bombed->sleeper.waiter);
}

/* Every third sleep is ended by something else: then disarm tells whether a wake is due as well. */
TEST(stress_each_armed_sleep_gets_one_wake)
{
    enum { BOMBERS = 3 };
    struct bombed bombed = {.count = (int)test_scaled(100000)};
    struct sleeper *sleeper = &bombed.sleeper;
    uint32_t all = BOMBERS * (uint32_t)bombed.count;
    int wakes = 0, round = 0;

    sleeper_init(sleeper);
    struct test_threads *threads = test_threads_start(BOMBERS, bomb, &bombed);
    for (uint32_t seen = 0; seen < all; seen = asi_waiter_count(&sleeper->waiter), round++) {
        if (!arm(sleeper, seen))
            continue;
        if (round % 3 == 0 && asi_waiter_disarm(&sleeper->waiter))
            continue;
        while (sem_wait(&sleeper->arrived) != 0)
            ;
        CHECK_EQ(sleeper->wakes, ++wakes);
    }
    test_threads_join(threads);
    CHECK_EQ(sleeper->wakes, wakes);
    CHECK_EQ(asi_waiter_count(&sleeper->waiter), all);
}

/* Both sides look for a while, so that they meet, then sleep, and leave the other the processor. */
enum { LOOKS = 200 };

struct brief {
    sem_t there; /* one for each waiter, and one for the end */
    _Atomic(struct asi_waiter *) waiter;
};

static void deliver_to_each(void *argument, int index)
{
    struct brief *brief = argument;
    struct asi_waiter *waiter;

    (void)index;
    do {
        int looks = 0;
        while (sem_trywait(&brief->there) != 0)
            if (looks++ == LOOKS) {
                while (sem_wait(&brief->there) != 0)
                    ;
                break;
            }
        waiter = atomic_exchange(&brief->waiter, NULL);
        if (waiter)
            asi_waiter_deliver(waiter);
    } while (waiter);
}

TEST(stress_a_thread_may_leave_right_after_a_delivery)
{
    struct brief brief = {.waiter = NULL};

    CHECK_EQ(sem_init(&brief.there, 0, 0), 0);
    struct test_threads *threads = test_threads_start(1, deliver_to_each, &brief);
    for (long round = 0; round < test_scaled(50000); round++) {
        struct asi_waiter *waiter = malloc(sizeof(*waiter)); /* ASan sees a late access */
        CHECK(waiter != NULL);
        asi_waiter_init(waiter, NULL);
        atomic_store(&brief.waiter, waiter);
        CHECK_EQ(sem_post(&brief.there), 0);
        for (int looks = 0; round % 2 == 0 && looks < LOOKS; looks++)
            if (asi_waiter_count(waiter) > 0)
                break;
        CHECK(asi_waiter_sleep(waiter, 0, ANYSYNC_FOREVER));
        free(waiter);
    }
    CHECK_EQ(sem_post(&brief.there), 0);
    test_threads_join(threads);
    sem_destroy(&brief.there);
}

/* Deadlines of a few microseconds, so that they pass while a delivery is on its way. */
TEST(stress_deadlines_lose_no_delivery)
{
    struct bombed bombed = {.count = (int)test_scaled(20000)};
    struct asi_waiter *waiter = &bombed.sleeper.waiter;
    uint32_t all = 2 * (uint32_t)bombed.count;

    asi_waiter_init(waiter, NULL);
    struct test_threads *threads = test_threads_start(2, bomb, &bombed);
    for (uint32_t seen = 0, round = 0; seen < all; round++) {
        bool came = asi_waiter_sleep(waiter, seen, test_now_ns() + round % 64 * 100);
        uint32_t now = asi_waiter_count(waiter);
        CHECK(!came || now > seen);
        seen = now;
    }
    test_threads_join(threads);
    CHECK_EQ(asi_waiter_count(waiter), all);
}

/* --- a wake that is held back ----------------------------------------------------------------- */

/* The tests arm the waiter in this thread's place, so that a delivery owes a wake whether or not
 * the thread has got to its sleep. */
static void held_sleep(void *argument)
{
    struct asi_waiter *waiter = argument;

    CHECK(asi_waiter_sleep(waiter, 0, ANYSYNC_FOREVER));
}

TEST(a_held_wake_comes_when_it_is_given)
{
    struct asi_waiter waiter;
    struct asi_thread thread;

    asi_waiter_init(&waiter, NULL);
    CHECK(asi_waiter_arm(&waiter, 0));
    CHECK_EQ(asi_thread_start(&thread, "sleeper", held_sleep, &waiter), 0);
    asi_waiter_hold_wake();
    asi_waiter_deliver(&waiter);
    CHECK(asi_local.held_wake == &waiter.word);
    asi_waiter_give_wake();
    CHECK(!asi_local.held_wake);
    CHECK(!asi_local.holds_wake);
    asi_thread_join(&thread);
}

static void deliver_and_end(void *argument)
{
    asi_waiter_hold_wake();
    asi_waiter_deliver(argument);
    CHECK(asi_local.held_wake != NULL);
}

TEST(a_held_wake_comes_at_the_end_of_its_thread)
{
    struct asi_waiter waiter;
    struct asi_thread sleeper, ending;

    asi_waiter_init(&waiter, NULL);
    CHECK(asi_waiter_arm(&waiter, 0));
    CHECK_EQ(asi_thread_start(&sleeper, "sleeper", held_sleep, &waiter), 0);
    CHECK_EQ(asi_thread_start(&ending, "ending", deliver_and_end, &waiter), 0);
    asi_thread_join(&sleeper);
    asi_thread_join(&ending);
}

TEST(one_wake_is_held_and_no_other)
{
    struct asi_waiter first, second;
    struct asi_thread sleeper;

    asi_waiter_init(&first, NULL);
    asi_waiter_init(&second, NULL);
    CHECK(asi_waiter_arm(&first, 0));
    CHECK(asi_waiter_arm(&second, 0));
    CHECK_EQ(asi_thread_start(&sleeper, "sleeper", held_sleep, &second), 0);
    asi_waiter_hold_wake();
    asi_waiter_deliver(&first);
    asi_waiter_deliver(&second);
    asi_thread_join(&sleeper); /* without waiting for the first's wake */
    CHECK(asi_local.held_wake == &first.word);
    asi_waiter_give_wake();
}

TEST(of_an_awake_waiter_no_wake_is_held)
{
    struct asi_waiter waiter;

    asi_waiter_init(&waiter, NULL);
    asi_waiter_hold_wake();
    asi_waiter_deliver(&waiter);
    CHECK(!asi_local.held_wake);
    asi_waiter_give_wake();
}
