/* SPDX-License-Identifier: MIT */
/*
 * How each workload uses what a peer in C or C++ defines: see peer.h, which includes this.
 */
#ifndef BENCH_PEERS_PEER_WORKS_H
#define BENCH_PEERS_PEER_WORKS_H

static double *peer_records; /* of the last repetition: W1-latency each call, W6-time the bytes */
static int64_t peer_record_count;
static int64_t peer_share; /* operations of one thread of the crew */
static void (*peer_work_of_one)(void);
static pthread_barrier_t peer_barrier;

static inline void *peer_member(void *unused)
{
    pthread_barrier_wait(&peer_barrier);
    for (int64_t i = 0; i < peer_share; i++)
        peer_work_of_one();
    return unused;
}

/* Let COUNT threads do WORK together until it was done TOTAL times.  Returns ns. */
static inline int64_t peer_crew(int64_t total, int count, void (*work)(void))
{
    pthread_t threads[PEER_CREW];
    int64_t start;

    peer_share = (total + count - 1) / count;
    peer_work_of_one = work;
    pthread_barrier_init(&peer_barrier, NULL, (unsigned)count + 1);
    for (int i = 0; i < count; i++)
        peer_check(pthread_create(&threads[i], NULL, peer_member, NULL) == 0, "pthread_create");
    start = peer_now_ns();
    pthread_barrier_wait(&peer_barrier);
    for (int i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    return peer_now_ns() - start;
}

static inline int64_t peer_calls(int64_t count, int unused)
{
    int64_t start = peer_now_ns();

    (void)unused;
    for (int64_t i = 0; i < count; i++)
        peer_call();
    return peer_now_ns() - start;
}

/* 2 ms apart, so that the loop sleeps; the call alone is timed. */
static inline int64_t peer_calls_parked(int64_t count, int unused)
{
    const struct timespec gap = {0, 2000000};
    int64_t elapsed = 0;

    for (int64_t i = 0; i < count; i++) {
        nanosleep(&gap, NULL);
        elapsed += peer_calls(1, unused);
    }
    return elapsed;
}

static inline void peer_keep_records(int64_t count)
{
    peer_records = (double *)realloc(peer_records, (size_t)count * sizeof(*peer_records));
    peer_check(peer_records, "realloc");
    peer_record_count = count;
}

static inline int64_t peer_calls_timed(int64_t count, int unused)
{
    int64_t begin = peer_now_ns(), start = begin, now = begin;

    (void)unused;
    peer_keep_records(count);
    for (int64_t i = 0; i < count; i++, start = now) {
        peer_call();
        now = peer_now_ns();
        peer_records[i] = (double)(now - start);
    }
    return now - begin;
}

static inline int64_t peer_calls_crew(int64_t count, int callers)
{
    return peer_crew(count, callers, peer_call);
}

static inline int64_t peer_submits(int64_t count, int producers)
{
    int64_t start = peer_now_ns();

    sem_init(&peer_finished, 0, 0);
    peer_ran = 0;
    peer_expected = (count + producers - 1) / producers * producers;
    peer_crew(count, producers, peer_submit);
    while (sem_wait(&peer_finished) != 0)
        continue;
    return peer_now_ns() - start;
}

/* Both W6 take COUNT for 1: a row has one figure for all sleepers. */
static inline int64_t peer_sleep_time(int64_t count, int sleepers)
{
    int64_t before = peer_resident_bytes();
    int64_t start = peer_now_ns();

    peer_sleepers = sleepers;
    peer_asleep = peer_awake = 0;
    peer_sleep();
    start = peer_now_ns() - start - PEER_DELAY_NS;
    peer_keep_records(1);
    peer_records[0] = (double)(peer_bytes_asleep - before) / sleepers;
    return start * count;
}

static inline int64_t peer_sleep_bytes(int64_t count, int sleepers)
{
    peer_sleep_time(count, sleepers);
    peer_record_count = 0;
    return (int64_t)peer_records[0] * count;
}

static inline int64_t peer_nested_runs(int64_t count, int unused)
{
    int64_t start = peer_now_ns();
    pthread_t thread;

    (void)unused;
    for (int64_t i = 0; i < count; i++) {
        peer_check(pthread_create(&thread, NULL, peer_nested, NULL) == 0, "pthread_create");
        pthread_join(thread, NULL);
    }
    return peer_now_ns() - start;
}

#endif
