/* SPDX-License-Identifier: MIT */
/*
 * What many threads cost one another at one cache line, and at several: the constants of the
 * simulation in cores.py.  No rows of the table.
 *
 *   contention-N   N threads do one step each on the same line: ns of the machine for a step, which
 *                  is the time divided by the steps of all
 *   shards-N       16 threads on N lines, each on its own of them as far as there are enough
 *   handover-2     a line goes from one processor to the other: ns one way
 *
 * A step is, for us, a push into a mailbox; by hand, a list under a mutex; the floor, one exchange;
 * the other side, a load and a compare-and-swap until it succeeds.  Nobody takes, so a push is all
 * that is measured: letters are pushed again and again, which is wrong in any mailbox that somebody
 * looks at, and harmless in one that is thrown away.
 *
 * More threads than processors take turns: such a point says what preemption does to the step, not
 * what more processors would.
 */
#include "bench.h"
#include "floor.h"
#include "thread/mailbox.h"

#include <pthread.h>
#include <stdatomic.h>

enum { SHARDS_MOST = 16, THREADS_MOST = 64, LETTERS = 64, SHARED_BY = 16 };

static struct shard {
    _Alignas(128) struct asi_mailbox mailbox;
    _Alignas(128) pthread_mutex_t lock;
    struct asi_letter *newest; /* under lock */
    _Alignas(128) _Atomic uint64_t line;
} shards[SHARDS_MOST];

static struct letters {
    _Alignas(128) struct asi_letter own[LETTERS];
} letters[THREADS_MOST];

static int threads, shard_count;
static int64_t share; /* of one thread */

static struct shard *shard_of(int index)
{
    return &shards[index % shard_count];
}

static void push_work(int index)
{
    struct shard *shard = shard_of(index);

    for (int64_t i = 0; i < share; i++)
        bench_check(asi_mailbox_push(&shard->mailbox, &letters[index].own[i % LETTERS]) !=
                            ASI_PUSH_QUEUED,
                "asi_mailbox_push");
}

static void locked_work(int index)
{
    struct shard *shard = shard_of(index);

    for (int64_t i = 0; i < share; i++) {
        struct asi_letter *letter = &letters[index].own[i % LETTERS];

        pthread_mutex_lock(&shard->lock);
        letter->next = shard->newest;
        shard->newest = letter;
        pthread_mutex_unlock(&shard->lock);
    }
}

static void exchange_work(int index)
{
    struct shard *shard = shard_of(index);

    for (int64_t i = 0; i < share; i++)
        atomic_exchange_explicit(&shard->line, (uint64_t)i, memory_order_acq_rel);
}

static void swap_work(int index)
{
    struct shard *shard = shard_of(index);

    for (int64_t i = 0; i < share; i++) {
        uint64_t seen = atomic_load_explicit(&shard->line, memory_order_relaxed);

        while (!atomic_compare_exchange_weak_explicit(
                &shard->line, &seen, seen + 1, memory_order_acq_rel, memory_order_relaxed))
            continue;
    }
}

static int64_t crew(void (*work)(int index), int64_t count)
{
    share = (count + threads - 1) / threads;
    return bench_crew(threads, work);
}

static int64_t ours(int64_t count)
{
    for (int i = 0; i < SHARDS_MOST; i++)
        asi_mailbox_init(&shards[i].mailbox);
    return crew(push_work, count);
}

static int64_t hand(int64_t count)
{
    return crew(locked_work, count);
}

static int64_t exchange(int64_t count)
{
    return crew(exchange_work, count);
}

static int64_t swap(int64_t count)
{
    return crew(swap_work, count);
}

static int64_t handover(int64_t count)
{
    return floor_spin(count / 2 + 1); /* there and back */
}

static void set_up(int its_threads, int its_shards)
{
    threads = its_threads;
    shard_count = its_shards;
    for (int i = 0; i < SHARDS_MOST; i++)
        pthread_mutex_init(&shards[i].lock, NULL);
}

#define CONTENTION(n)                                                                              \
    static void threads_##n(void)                                                                  \
    {                                                                                              \
        set_up(n, 1);                                                                              \
    }
#define SHARDS(n)                                                                                  \
    static void shards_##n(void)                                                                   \
    {                                                                                              \
        set_up(SHARED_BY, n);                                                                      \
    }
#define ROW(name, words, setter, n)                                                                \
    {                                                                                              \
        .key = name "-" #n, .work = #n words, .setup = setter##_##n,                               \
        .run = {ours, hand, exchange, swap}, .other = "compare-and-swap", .repetitions = 7         \
    }

CONTENTION(1)
CONTENTION(2)
CONTENTION(4)
CONTENTION(8)
CONTENTION(16)
CONTENTION(32)
CONTENTION(64)
SHARDS(1)
SHARDS(2)
SHARDS(4)
SHARDS(8)
SHARDS(16)

const struct bench_row bench_rows[] = {
        ROW("contention", " threads, one line", threads, 1),
        ROW("contention", " threads, one line", threads, 2),
        ROW("contention", " threads, one line", threads, 4),
        ROW("contention", " threads, one line", threads, 8),
        ROW("contention", " threads, one line", threads, 16),
        ROW("contention", " threads, one line", threads, 32),
        ROW("contention", " threads, one line", threads, 64),
        ROW("shards", " lines, 16 threads", shards, 1),
        ROW("shards", " lines, 16 threads", shards, 2),
        ROW("shards", " lines, 16 threads", shards, 4),
        ROW("shards", " lines, 16 threads", shards, 8),
        ROW("shards", " lines, 16 threads", shards, 16),
        {.key = "handover-2",
                .work = "a line to another core",
                .cores = 2,
                .run = {[BENCH_FLOOR] = handover}},
};
const size_t bench_row_count = sizeof(bench_rows) / sizeof(bench_rows[0]);
