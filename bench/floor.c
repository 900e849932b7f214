/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE 1 /* syscall */
/*
 * The floor of calls between one caller and one worker: see floor.h.
 *
 * A call is a serial number in `request`, its answer the same number in `answer`, each on a cache
 * line of its own.  What differs is how the two sides wait: by spinning, by futex, or in epoll.
 */
#include "floor.h"

#include "bench.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SPINS_BEFORE_YIELD 20000 /* both on one processor: let the other go on */
#define STOP UINT32_MAX

/* Two words on lines of their own: the last request, the last answer. */
static _Alignas(128) _Atomic uint32_t request;
static _Alignas(128) _Atomic uint32_t answer;
static int wake_fd; /* of floor_parked() */

static void pause_a_little(void)
{
#if defined(__x86_64__)
    __asm__ __volatile__("pause");
#elif defined(__aarch64__)
    __asm__ __volatile__("isb");
#endif
}

/* Spin while WORD holds OLD; returns what it holds now. */
static uint32_t spin_wait(_Atomic uint32_t *word, uint32_t old)
{
    uint32_t now;

    for (int spins = 0; (now = atomic_load_explicit(word, memory_order_acquire)) == old; spins++) {
        pause_a_little();
        if (spins % SPINS_BEFORE_YIELD == SPINS_BEFORE_YIELD - 1)
            sched_yield();
    }
    return now;
}

static void futex_wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

/* Sleep while WORD holds OLD; returns what it holds now. */
static uint32_t futex_wait(_Atomic uint32_t *word, uint32_t old)
{
    uint32_t now;

    while ((now = atomic_load_explicit(word, memory_order_acquire)) == old)
        syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);
    return now;
}

static void *spin_server(void *unused)
{
    uint32_t serial = 0;

    (void)unused;
    bench_pin(1);
    while ((serial = spin_wait(&request, serial)) != STOP)
        atomic_store_explicit(&answer, serial, memory_order_release);
    return NULL;
}

static void *futex_server(void *unused)
{
    uint32_t serial = 0;

    (void)unused;
    while ((serial = futex_wait(&request, serial)) != STOP) {
        atomic_store_explicit(&answer, serial, memory_order_release);
        futex_wake(&answer);
    }
    return NULL;
}

static void *epoll_server(void *unused)
{
    struct epoll_event event = {.events = EPOLLIN};
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    uint64_t count;
    uint32_t serial;

    (void)unused;
    bench_check(epoll_ctl(epoll, EPOLL_CTL_ADD, wake_fd, &event), "epoll_ctl");
    for (;;) {
        if (epoll_wait(epoll, &event, 1, -1) < 1 ||
                read(wake_fd, &count, sizeof(count)) != sizeof(count))
            continue;
        serial = atomic_load_explicit(&request, memory_order_acquire);
        if (serial == STOP)
            break;
        atomic_store_explicit(&answer, serial, memory_order_release);
        futex_wake(&answer);
    }
    close(epoll);
    return NULL;
}

static void call_spinning(uint32_t serial)
{
    atomic_store_explicit(&request, serial, memory_order_release);
    spin_wait(&answer, serial - 1);
}

static void call_with_clock(uint32_t serial)
{
    (void)bench_now_ns(); /* a deadline is made from the time */
    call_spinning(serial);
}

static void call_futex(uint32_t serial)
{
    atomic_store_explicit(&request, serial, memory_order_release);
    futex_wake(&request);
    futex_wait(&answer, serial - 1);
}

static void call_eventfd(uint32_t serial)
{
    const uint64_t one = 1;

    atomic_store_explicit(&request, serial, memory_order_release);
    bench_check(write(wake_fd, &one, sizeof(one)) != sizeof(one), "write an eventfd");
    if (serial != STOP)
        futex_wait(&answer, serial - 1);
}

static pthread_t start(void *(*server)(void *))
{
    pthread_t thread;

    atomic_store_explicit(&request, 0, memory_order_relaxed);
    atomic_store_explicit(&answer, 0, memory_order_relaxed);
    bench_check(pthread_create(&thread, NULL, server, NULL), "pthread_create");
    return thread;
}

static int64_t ping_pong(void *(*server)(void *), void (*call)(uint32_t serial), int64_t count)
{
    pthread_t thread = start(server);
    int64_t begin, elapsed;

    call(1); /* the server is there */
    begin = bench_now_ns();
    for (int64_t i = 0; i < count; i++)
        call((uint32_t)(i % 1000000000) + 2);
    elapsed = bench_now_ns() - begin;
    atomic_store_explicit(&request, STOP, memory_order_release);
    futex_wake(&request);
    pthread_join(thread, NULL);
    return elapsed;
}

/* Pinned, for else the scheduler may leave both on one processor for a while. */
static int64_t spin(void (*call)(uint32_t serial), int64_t count)
{
    int64_t elapsed;

    bench_pin(0);
    elapsed = ping_pong(spin_server, call, count);
    bench_unpin();
    return elapsed;
}

int64_t floor_spin(int64_t count)
{
    return spin(call_spinning, count);
}

int64_t floor_spin_deadline(int64_t count)
{
    return spin(call_with_clock, count);
}

int64_t floor_futex(int64_t count)
{
    return ping_pong(futex_server, call_futex, count);
}

int64_t floor_parked(int64_t count)
{
    pthread_t thread;
    int64_t elapsed = 0;

    wake_fd = eventfd(0, EFD_CLOEXEC);
    thread = start(epoll_server);
    for (int64_t i = 0; i < count; i++) {
        int64_t begin;

        bench_sleep_ns(FLOOR_PARKED_GAP_NS);
        begin = bench_now_ns();
        call_eventfd((uint32_t)i + 1);
        elapsed += bench_now_ns() - begin;
    }
    call_eventfd(STOP);
    pthread_join(thread, NULL);
    close(wake_fd);
    return elapsed;
}
