/* SPDX-License-Identifier: MIT */
/*
 * Sleeping on a word (lib/thread/futex.h): the implementation of this system.
 * test_futex_portable.c includes this file to say the same of the other one.
 *
 * Promised                                  Tested by
 *   no sleep if the word has changed          waiting_on_a_changed_word_returns_at_once
 *   false when the deadline passed, not       waiting_ends_at_the_deadline_and_not_before,
 *   before; long past deadlines too           a_deadline_long_past_ends_the_wait_at_once
 *   wake wakes all who sleep                  a_wake_wakes_all_sleepers
 *   wake touches no memory                    waking_touches_no_memory
 *   wake is async-signal-safe (futexes)       a_signal_handler_may_wake (not portable)
 *   a signal is no reason, or a spurious one  a_signal_does_not_look_like_a_deadline
 *   words that share a bucket                 stress_neighbours_do_not_take_each_others_wakes
 *   no wake lost between look and sleep       stress_no_wake_is_lost (a lost one hangs: time
 *                                             limit), stress_deadlines_and_wakes_mix
 */
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include "harness.h"

#include "thread/futex.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MS = 1000000 };

TEST(waiting_on_a_changed_word_returns_at_once)
{
    _Atomic(uint32_t) word = 5;

    CHECK(asi_futex_wait(&word, 4, ANYSYNC_FOREVER));
    CHECK(asi_futex_wait(&word, 6, ANYSYNC_POLL));
}

TEST(waiting_ends_at_the_deadline_and_not_before)
{
    _Atomic(uint32_t) word = 5;
    int64_t deadline = test_now_ns() + 20 * MS;

    while (asi_futex_wait(&word, 5, deadline))
        ;
    CHECK_GE(test_now_ns(), deadline);
}

TEST(a_deadline_long_past_ends_the_wait_at_once)
{
    _Atomic(uint32_t) word = 5;

    CHECK(!asi_futex_wait(&word, 5, ANYSYNC_POLL));
    CHECK(!asi_futex_wait(&word, 5, 1));
    CHECK(!asi_futex_wait(&word, 5, -7));
    CHECK(!asi_futex_wait(&word, 5, INT64_MIN));
}

struct bedroom {
    _Atomic(uint32_t) word;
    _Atomic(int) about_to_sleep;
};

static void sleep_until_changed(void *argument, int index)
{
    struct bedroom *bedroom = argument;

    (void)index;
    atomic_fetch_add(&bedroom->about_to_sleep, 1);
    while (atomic_load(&bedroom->word) == 0)
        CHECK(asi_futex_wait(&bedroom->word, 0, ANYSYNC_FOREVER));
}

TEST(a_wake_wakes_all_sleepers)
{
    enum { SLEEPERS = 8 };

    for (int round = 0; round < 20; round++) {
        struct bedroom bedroom = {.word = 0};
        struct test_threads *threads = test_threads_start(SLEEPERS, sleep_until_changed, &bedroom);
        while (atomic_load(&bedroom.about_to_sleep) < SLEEPERS)
            ;
        asi_futex_wake(&bedroom.word); /* for nothing: all go back to sleep */
        atomic_store(&bedroom.word, 1);
        asi_futex_wake(&bedroom.word);
        test_threads_join(threads);
    }
}

TEST(waking_touches_no_memory)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    _Atomic(uint32_t) *word = mmap(NULL, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(word != MAP_FAILED);
    asi_futex_wake(word);
    CHECK_EQ(munmap((void *)word, page), 0);
    asi_futex_wake(word);
}

#if defined(__linux__) && !defined(ASI_PORTABLE_FUTEX)
static struct bedroom *woken_by_signal;

static void on_signal(int number)
{
    (void)number;
    atomic_store(&woken_by_signal->word, 1);
    asi_futex_wake(&woken_by_signal->word);
}

TEST(a_signal_handler_may_wake)
{
    struct sigaction action = {.sa_handler = on_signal};
    struct bedroom bedroom = {.word = 0};

    woken_by_signal = &bedroom;
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    struct test_threads *threads = test_threads_start(2, sleep_until_changed, &bedroom);
    CHECK_EQ(raise(SIGUSR1), 0);
    test_threads_join(threads);
}
#endif

static void ignore_signal(int number)
{
    (void)number;
}

/* The alarm rings while the thread sleeps, or before: neither is a deadline that passed. */
TEST(a_signal_does_not_look_like_a_deadline)
{
    struct sigaction action = {.sa_handler = ignore_signal};
    _Atomic(uint32_t) word = 0;
    int64_t deadline = test_now_ns() + 1500 * (int64_t)MS;

    CHECK_EQ(sigaction(SIGALRM, &action, NULL), 0);
    alarm(1);
    while (asi_futex_wait(&word, 0, deadline))
        ;
    CHECK_GE(test_now_ns(), deadline);
}

/* --- stress ----------------------------------------------------------------------------------- */

enum { PAIRS = 3 };

struct court {
    struct {
        _Atomic(uint32_t) word; /* whose turn it is: even numbers are the first player's */
        int rally;              /* plain: whoever has the turn writes it */
    } pairs[PAIRS];             /* so near each other that the portable one uses one bucket */
    uint32_t count;
};

static void play(void *argument, int index)
{
    struct court *court = argument;
    int pair = index / 2;
    _Atomic(uint32_t) *word = &court->pairs[pair].word;
    uint32_t turn = (uint32_t)(index % 2);

    for (; turn < court->count; turn += 2) {
        uint32_t seen;
        while ((seen = atomic_load_explicit(word, memory_order_acquire)) != turn)
            CHECK(asi_futex_wait(word, seen, ANYSYNC_FOREVER));
        CHECK_EQ(court->pairs[pair].rally++, turn);
        atomic_store_explicit(word, turn + 1, memory_order_release);
        asi_futex_wake(word);
    }
}

TEST(stress_no_wake_is_lost)
{
    struct court court = {.count = (uint32_t)test_scaled(100000)};

    test_together(2, play, &court);
    CHECK_EQ(court.pairs[0].rally, court.count);
}

TEST(stress_neighbours_do_not_take_each_others_wakes)
{
    struct court court = {.count = (uint32_t)test_scaled(30000)};

    test_together(2 * PAIRS, play, &court);
    for (int pair = 0; pair < PAIRS; pair++)
        CHECK_EQ(court.pairs[pair].rally, court.count);
}

/* The same, with short deadlines: a wake that comes as one passes must not be lost for the next. */
static void play_impatiently(void *argument, int index)
{
    struct court *court = argument;
    _Atomic(uint32_t) *word = &court->pairs[0].word;

    for (uint32_t turn = (uint32_t)index; turn < court->count; turn += 2) {
        uint32_t seen, round = 0;
        while ((seen = atomic_load_explicit(word, memory_order_acquire)) != turn)
            (void)asi_futex_wait(
                    word, seen, index == 0 ? test_now_ns() + round++ % 64 * 1000 : ANYSYNC_FOREVER);
        atomic_store_explicit(word, turn + 1, memory_order_release);
        asi_futex_wake(word);
    }
}

TEST(stress_deadlines_and_wakes_mix)
{
    struct court court = {.count = (uint32_t)test_scaled(50000)};

    test_together(2, play_impatiently, &court);
    CHECK_EQ(atomic_load(&court.pairs[0].word), court.count);
}
