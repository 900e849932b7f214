/* SPDX-License-Identifier: MIT */
/*
 * W17: a mutex that goes back and forth between two coroutines: ns a hand-over, which is an unlock,
 * a lock that waits, and a switch.  And one that nobody else wants: ns a lock and an unlock.
 *
 * By hand: two threads that hand a turn to one another under a pthread mutex with a condition; and
 * a pthread mutex that nobody else wants.  The floor of the first: a switch.
 */
#include "bench.h"
#include "floor.h"

#include <anysync.h>
#include <pthread.h>

#ifndef FLOOR_HAS_SWITCH
#define floor_yields NULL
#endif

struct turns {
    struct anysync_mutex *mutex;
    int64_t count;
};

/* Each unlock finds the other in line, each lock finds it the holder. */
static int take_turns_body(void *argument, void *result)
{
    struct turns *turns = argument;

    (void)result;
    for (int64_t i = 0; i < turns->count; i++) {
        bench_check(anysync_mutex_lock(turns->mutex, ANYSYNC_FOREVER), "lock");
        if (i == 0)
            bench_check(anysync_yield(), "yield"); /* let the other one join the line */
        anysync_mutex_unlock(turns->mutex);
    }
    return 0;
}

static const struct anysync_function take_turns =
        ANYSYNC_FUNCTION(take_turns, take_turns_body, sizeof(struct turns), 0);

static int both_body(void *argument, void *result)
{
    struct turns turns = {.count = *(int64_t *)argument / 2};
    struct anysync_future *futures[2];

    bench_check(anysync_mutex_new(&turns.mutex), "anysync_mutex_new");
    int64_t start = bench_now_ns();
    for (int i = 0; i < 2; i++)
        bench_check(anysync_spawn(&take_turns, &turns, &futures[i]), "anysync_spawn");
    bench_check(anysync_wait_all(futures, 2, ANYSYNC_FOREVER), "anysync_wait_all");
    *(int64_t *)result = bench_now_ns() - start;
    for (int i = 0; i < 2; i++)
        anysync_future_unref(futures[i]);
    anysync_mutex_unref(turns.mutex);
    return 0;
}

static const struct anysync_function both =
        ANYSYNC_FUNCTION(both, both_body, sizeof(int64_t), sizeof(int64_t));

static int64_t hand_over(int64_t count)
{
    int64_t elapsed;

    bench_check(anysync_run(&both, &count, &elapsed, ANYSYNC_FOREVER), "anysync_run");
    return elapsed;
}

static int free_body(void *argument, void *result)
{
    struct anysync_mutex *mutex;

    bench_check(anysync_mutex_new(&mutex), "anysync_mutex_new");
    int64_t start = bench_now_ns();
    for (int64_t i = *(int64_t *)argument; i > 0; i--) {
        bench_check(anysync_mutex_lock(mutex, ANYSYNC_FOREVER), "lock");
        anysync_mutex_unlock(mutex);
    }
    *(int64_t *)result = bench_now_ns() - start;
    anysync_mutex_unref(mutex);
    return 0;
}

static const struct anysync_function alone =
        ANYSYNC_FUNCTION(alone, free_body, sizeof(int64_t), sizeof(int64_t));

static int64_t lock_alone(int64_t count)
{
    int64_t elapsed;

    bench_check(anysync_run(&alone, &count, &elapsed, ANYSYNC_FOREVER), "anysync_run");
    return elapsed;
}

/* --- by hand ---------------------------------------------------------------------------------- */

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int turn;
    int64_t each;
} shared = {.mutex = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void *alternate(void *argument)
{
    int self = *(int *)argument;

    for (int64_t i = 0; i < shared.each; i++) {
        (void)pthread_mutex_lock(&shared.mutex);
        while (shared.turn != self)
            (void)pthread_cond_wait(&shared.changed, &shared.mutex);
        shared.turn = !self;
        (void)pthread_cond_broadcast(&shared.changed);
        (void)pthread_mutex_unlock(&shared.mutex);
    }
    return NULL;
}

static int64_t threads(int64_t count)
{
    pthread_t thread;
    int sides[2] = {0, 1};

    shared.turn = 0;
    shared.each = count / 2;
    int64_t start = bench_now_ns();
    bench_check(pthread_create(&thread, NULL, alternate, &sides[0]), "pthread_create");
    (void)alternate(&sides[1]);
    (void)pthread_join(thread, NULL);
    return bench_now_ns() - start;
}

static int64_t lock_pthread(int64_t count)
{
    int64_t start = bench_now_ns();

    for (int64_t i = 0; i < count; i++) {
        (void)pthread_mutex_lock(&shared.mutex);
        (void)pthread_mutex_unlock(&shared.mutex);
    }
    return bench_now_ns() - start;
}

const struct bench_row bench_rows[] = {
        {.key = "W17",
                .work = "W17 mutex hand-over",
                .run = {hand_over, threads, floor_yields},
                .target = "50",
                .bound = 50},
        {.key = "W17-free", .work = "W17 mutex, free", .run = {lock_alone, lock_pthread}},
};
const size_t bench_row_count = sizeof(bench_rows) / sizeof(bench_rows[0]);
