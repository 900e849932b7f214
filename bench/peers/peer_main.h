/* SPDX-License-Identifier: MIT */
/*
 * The main program of a peer in C or C++, and how each workload uses what the peer defines: see
 * peer.h, which includes this.
 */
#ifndef BENCH_PEERS_PEER_MAIN_H
#define BENCH_PEERS_PEER_MAIN_H

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

struct peer_work {
    const char *id;
    bool there;
    int64_t (*run)(int64_t count, int number); /* ns of COUNT operations */
    int number;                                /* when the id has none */
    bool started;                              /* after peer_start() */
};

/* Give RUN(count) to whoever writes to the standard input. */
static inline void peer_serve(const struct peer_work *work, int number)
{
    long long count;

    printf("ready\n");
    fflush(stdout);
    while (scanf("%lld", &count) == 1) {
        printf("%.6g", (double)work->run(count, number) / (double)count);
        for (int64_t i = 0; i < peer_record_count; i++)
            printf(" %.0f", peer_records[i]);
        printf("\n");
        fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    const struct peer_work works[] = {
            {"W1-hot", peer_call != NULL, peer_calls, 0, true},
            {"W1-one-core", peer_call != NULL, peer_calls, 0, true},
            {"W1-parked", peer_call != NULL, peer_calls_parked, 0, true},
            {"W1-latency", peer_call != NULL, peer_calls_timed, 0, true},
            {"W2", peer_call != NULL, peer_calls_crew, 1, true},
            {"W3", peer_submit != NULL, peer_submits, 1, true},
            {"W4", peer_spawn != NULL, peer_spawn, 0, false},
            {"W5", peer_yield != NULL, peer_yield, 0, false},
            {"W6-time", peer_sleep != NULL, peer_sleep_time, 100000, false},
            {"W6-bytes", peer_sleep != NULL, peer_sleep_bytes, 100000, false},
            {"W7", peer_offload != NULL, peer_offload, 1, false},
            {"W8", peer_nested != NULL, peer_nested_runs, 0, false},
            {"W9", peer_iterate != NULL, peer_iterate, 1, true},
            {"W9-loop", peer_in_loop != NULL, peer_in_loop, 0, false},
            {"W10", peer_echo != NULL, peer_echo, 0, false},
    };

    for (size_t i = 0; argc == 2 && i < sizeof(works) / sizeof(works[0]); i++) {
        size_t length = strlen(works[i].id);
        const char *rest = argv[1] + length;
        char *end = argv[1];
        long number = works[i].number;

        if (!works[i].there || strncmp(works[i].id, argv[1], length) != 0)
            continue;
        if (*rest && (*rest != '-' || (number = strtol(rest + 1, &end, 10)) < 1 || *end))
            continue;
        if (works[i].started && peer_start)
            peer_start();
        if (works[i].run == peer_echo)
            return (int)peer_echo(0, 0); /* says itself when it is ready */
        peer_serve(&works[i], (int)number);
        break;
    }
    return argc != 2;
}

#endif
