/* SPDX-License-Identifier: MIT */
/*
 * The mailbox with its park and its doorbell (lib/thread/mailbox.c) as one plain C11 file, for
 * model checkers from outside that read pthreads, <stdatomic.h> and assert(), GenMC for one:
 *
 *      genmc -- -DPRODUCERS=2 queue.c
 *
 * PRODUCERS threads push LETTERS letters each; the main thread takes them, sleeps in between,
 * closes. Asserted: a letter's content is visible, letters of one producer come in their order, and
 * each comes once; that the main thread comes to its end is that no wake-up is lost.
 *
 * As an ordinary program it does so -DROUNDS times, on real processors.  Labels and orders are
 * those of the sources: test/reliability/check_models.sh compares them.
 */
#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>

#ifndef PRODUCERS
#define PRODUCERS 2
#endif
#ifndef LETTERS
#define LETTERS 1
#endif

#ifdef ROUNDS
#include <sched.h>
#include <stdio.h>
#define let_others_run() sched_yield()
#else
#define ROUNDS 1
#define let_others_run() (void)0
#endif

#define asi_load(object, order) atomic_load_explicit(object, memory_order_##order)
#define asi_store(object, value, order) atomic_store_explicit(object, value, memory_order_##order)
#define asi_exchange(object, value, order)                                                         \
    atomic_exchange_explicit(object, value, memory_order_##order)
#define asi_add(object, value, order) atomic_fetch_add_explicit(object, value, memory_order_##order)
#define asi_cas_weak(object, expected, desired, success, failure)                                  \
    atomic_compare_exchange_weak_explicit(                                                         \
            object, expected, desired, memory_order_##success, memory_order_##failure)
#define asi_cas_strong(object, expected, desired, success, failure)                                \
    atomic_compare_exchange_strong_explicit(                                                       \
            object, expected, desired, memory_order_##success, memory_order_##failure)

struct letter {
    struct letter *next;
    int sender, number;
};

static struct letter parked_mark, closed_mark;
#define PARKED (&parked_mark)
#define CLOSED (&closed_mark)

static _Atomic(struct letter *) newest;
static atomic_uint rings;
static atomic_int target; /* 0: the word `rings`; 1: the other one */
static atomic_uint other;
static struct letter letters[PRODUCERS][LETTERS];

static void ring(void)
{
    if (asi_load(&target, relaxed) == 0) /* D1 */
        asi_add(&rings, 1, release);     /* D3 */
    else
        atomic_fetch_add_explicit(&other, 1, memory_order_relaxed);
}

static void push(struct letter *letter)
{
    struct letter *seen = asi_load(&newest, relaxed); /* M2 */

    do {
        assert(seen != CLOSED);
        letter->next = seen == PARKED ? NULL : seen;
        /* M1, M2 */
    } while (!asi_cas_weak(&newest, &seen, letter, acq_rel, relaxed));
    if (seen == PARKED)
        ring();
}

static void *produce(void *argument)
{
    int me = *(int *)argument;

    for (int i = 0; i < LETTERS; i++) {
        letters[me][i].sender = me;
        letters[me][i].number = i + 1;
        push(&letters[me][i]);
    }
    return NULL;
}

static void sleep_until_work(int where)
{
    struct letter *seen = NULL;

    asi_store(&target, where, relaxed);          /* D2 */
    unsigned ticket = asi_load(&rings, acquire); /* D4 */
    unsigned others = atomic_load_explicit(&other, memory_order_relaxed);
    if (!asi_cas_strong(&newest, &seen, PARKED, release, relaxed)) /* M6 */
        return;
    if (where == 0)
        while (atomic_load_explicit(&rings, memory_order_relaxed) == ticket)
            let_others_run();
    else
        while (atomic_load_explicit(&other, memory_order_relaxed) == others)
            let_others_run();
}

static struct letter *take_all(void)
{
    struct letter *lifo = asi_exchange(&newest, NULL, acquire); /* M4 */
    struct letter *first = NULL;

    if (lifo == PARKED)
        lifo = NULL;
    while (lifo) {
        struct letter *next = lifo->next;
        lifo->next = first;
        first = lifo;
        lifo = next;
    }
    return first;
}

static void consume(void)
{
    int last[PRODUCERS] = {0}, got = 0, where = 0;

    while (got < PRODUCERS * LETTERS) {
        struct letter *first = take_all();

        if (!first) {
            sleep_until_work(where);
            where = !where;
        }
        for (; first; first = first->next) {
            assert(first->number == last[first->sender] + 1);
            last[first->sender] = first->number;
            got++;
        }
    }
    struct letter *seen = NULL;
    int closed = asi_cas_strong(&newest, &seen, CLOSED, release, relaxed); /* M7 */
    assert(closed);
    (void)closed;
}

int main(void)
{
    pthread_t threads[PRODUCERS];
    int names[PRODUCERS];

    for (int round = 0; round < ROUNDS; round++) {
        asi_store(&newest, NULL, release);
        asi_store(&target, 0, relaxed); /* D2 */
        for (int i = 0; i < PRODUCERS; i++) {
            names[i] = i;
            pthread_create(&threads[i], NULL, produce, &names[i]);
        }
        consume();
        for (int i = 0; i < PRODUCERS; i++)
            pthread_join(threads[i], NULL);
    }
#if ROUNDS > 1
    printf("%d rounds, %d letters\n", ROUNDS, ROUNDS * PRODUCERS * LETTERS);
#endif
    return 0;
}
