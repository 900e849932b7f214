/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE 1 /* syscall */
/*
 * The floor of a queue with many producers and one consumer: see floor.h.
 *
 * The head is NULL (empty), &parked_mark (empty, and the consumer sleeps), or the newest node.  Who
 * pushes on the mark wakes the consumer.  A node's state goes from PENDING to DONE, perhaps through
 * SLEEPING, and who finds SLEEPING wakes the one who sleeps.
 */
#include "floor.h"

#include "bench.h"

#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOOKS_BEFORE_PARKING 2000

enum state { PENDING, SLEEPING, DONE };

struct node {
    struct node *next;
    _Atomic uint32_t state;
};

static _Alignas(128) struct node *_Atomic head;
static _Alignas(128) _Atomic uint32_t parked;
static struct node parked_mark, stop_mark;
static bool with_states; /* complete every node, not the last alone */
static int64_t expected; /* the node that completes `finished`; read by the consumer */
static struct node finished;
static struct node *nodes; /* expected of them */
static int64_t share;      /* of one thread of the crew */

static void futex_wake(_Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void futex_wait(_Atomic uint32_t *word, uint32_t old)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, old, NULL, NULL, 0);
}

static void push(struct node *node)
{
    struct node *old = atomic_load_explicit(&head, memory_order_relaxed);

    do
        node->next = old == &parked_mark ? NULL : old;
    while (!atomic_compare_exchange_weak_explicit(
            &head, &old, node, memory_order_acq_rel, memory_order_relaxed));
    if (old != &parked_mark)
        return;
    atomic_store_explicit(&parked, 0, memory_order_release);
    futex_wake(&parked);
}

static void park(void)
{
    struct node *empty = NULL;

    atomic_store_explicit(&parked, 1, memory_order_relaxed);
    if (!atomic_compare_exchange_strong_explicit(
                &head, &empty, &parked_mark, memory_order_acq_rel, memory_order_relaxed))
        return;
    while (atomic_load_explicit(&parked, memory_order_acquire))
        futex_wait(&parked, 1);
}

/* All nodes there are, the oldest first; sleeps until there is one. */
static struct node *take_all(void)
{
    struct node *newest, *oldest = NULL, *next;

    for (int looks = 0; atomic_load_explicit(&head, memory_order_relaxed) == NULL; looks++)
        if (looks == LOOKS_BEFORE_PARKING)
            park();
    newest = atomic_exchange_explicit(&head, NULL, memory_order_acquire);
    for (; newest; newest = next) {
        next = newest->next;
        newest->next = oldest;
        oldest = newest;
    }
    return oldest;
}

static void complete(struct node *node)
{
    if (atomic_exchange_explicit(&node->state, DONE, memory_order_acq_rel) == SLEEPING)
        futex_wake(&node->state);
}

static void await(struct node *node)
{
    uint32_t state = PENDING;

    if (atomic_load_explicit(&node->state, memory_order_acquire) == DONE)
        return;
    if (!atomic_compare_exchange_strong_explicit(
                &node->state, &state, SLEEPING, memory_order_acquire, memory_order_acquire))
        return;
    while (atomic_load_explicit(&node->state, memory_order_acquire) != DONE)
        futex_wait(&node->state, SLEEPING);
}

static void *server_main(void *unused)
{
    int64_t ran = 0;

    (void)unused;
    for (;;) {
        struct node *node, *next;

        for (node = take_all(); node; node = next) {
            if (node == &stop_mark)
                return NULL;
            next = node->next;
            ran++;
            if (with_states)
                complete(node);
            if (ran == expected)
                complete(&finished);
        }
    }
}

static void call_work(int index)
{
    struct node node;

    (void)index;
    for (int64_t i = 0; i < share; i++) {
        atomic_store_explicit(&node.state, PENDING, memory_order_relaxed);
        push(&node);
        await(&node);
    }
}

static void submit_work(int index)
{
    struct node *mine = nodes + index * share;

    for (int64_t i = 0; i < share; i++)
        push(&mine[i]);
    for (int64_t i = 0; with_states && i < share; i++)
        await(&mine[i]);
}

/* Let CREW threads do WORK against a consumer, and wait until all of it has been done. */
static int64_t serve(int crew, void (*work)(int index), int64_t count)
{
    pthread_t thread;
    int64_t elapsed, start;

    share = count / crew + 1;
    expected = share * crew;
    atomic_store_explicit(&finished.state, PENDING, memory_order_relaxed);
    bench_check(pthread_create(&thread, NULL, server_main, NULL), "pthread_create");
    elapsed = bench_crew(crew, work);
    start = bench_now_ns();
    await(&finished);
    elapsed += bench_now_ns() - start;
    push(&stop_mark);
    pthread_join(thread, NULL);
    return elapsed;
}

static int64_t submit(int crew, int64_t count, bool futures)
{
    with_states = futures;
    nodes = realloc(nodes, (size_t)(count + crew) * sizeof(*nodes));
    bench_check(nodes == NULL, "memory for nodes");
    for (int64_t i = 0; i < count + crew; i++)
        atomic_init(&nodes[i].state, PENDING);
    return serve(crew, submit_work, count);
}

static int64_t calls(int crew, int64_t count)
{
    with_states = true;
    return serve(crew, call_work, count);
}

int64_t floor_calls_4(int64_t count)
{
    return calls(4, count);
}

int64_t floor_calls_16(int64_t count)
{
    return calls(16, count);
}

int64_t floor_calls_64(int64_t count)
{
    return calls(64, count);
}

int64_t floor_submit_1(int64_t count)
{
    return submit(1, count, false);
}

int64_t floor_submit_4(int64_t count)
{
    return submit(4, count, false);
}

int64_t floor_submit_futures_1(int64_t count)
{
    return submit(1, count, true);
}

int64_t floor_submit_futures_4(int64_t count)
{
    return submit(4, count, true);
}
