/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE 1 /* sched_setaffinity */
/*
 * What the harness asks of the machine: clock, processors, threads, and what others use.
 *
 * What others use is all the processor time of the machine (/proc/stat) less that of this process.
 * The former comes in steps of 10 ms, so a short difference is noise and can be negative; over the
 * seconds of a row it is exact to a percent or so.
 */
#include "bench.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define CREW_MAX 64

int64_t bench_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void bench_sleep_ns(int64_t delay_ns)
{
    struct timespec delay = {delay_ns / 1000000000, (long)(delay_ns % 1000000000)};

    nanosleep(&delay, NULL);
}

void bench_check(int error, const char *what)
{
    if (error == 0)
        return;
    if (error == 1) /* a condition, not a code */
        fprintf(stderr, "bench: %s failed\n", what);
    else
        fprintf(stderr, "bench: %s: %s (%d)\n", what, strerror(abs(error)), error);
    exit(1);
}

/* Those this process may use; asked once, by the main thread, before anything is pinned. */
static const cpu_set_t *allowed(void)
{
    static cpu_set_t set;

    if (CPU_COUNT(&set) == 0)
        bench_check(sched_getaffinity(0, sizeof(set), &set) != 0, "sched_getaffinity");
    return &set;
}

int bench_cores(void)
{
    return CPU_COUNT(allowed());
}

void bench_pin(int index)
{
    cpu_set_t one;
    size_t cpu = 0;

    for (int left = index + 1; left > 0; cpu++)
        if (CPU_ISSET(cpu, allowed()))
            left--;
    CPU_ZERO(&one);
    CPU_SET(cpu - 1, &one);
    bench_check(sched_setaffinity(0, sizeof(one), &one) != 0, "sched_setaffinity");
}

void bench_unpin(void)
{
    bench_check(sched_setaffinity(0, sizeof(cpu_set_t), allowed()) != 0, "sched_setaffinity");
}

struct crew {
    pthread_barrier_t start;
    void (*work)(int index);
};

struct member {
    struct crew *crew;
    pthread_t thread;
    int index;
};

static void *member_main(void *argument)
{
    struct member *member = argument;

    pthread_barrier_wait(&member->crew->start);
    member->crew->work(member->index);
    return NULL;
}

int64_t bench_crew(int count, void (*work)(int index))
{
    struct crew crew = {.work = work};
    struct member members[CREW_MAX];
    int64_t start;

    bench_check(count > CREW_MAX, "crew too large");
    pthread_barrier_init(&crew.start, NULL, (unsigned)count + 1);
    for (int i = 0; i < count; i++) {
        members[i].crew = &crew;
        members[i].index = i;
        bench_check(pthread_create(&members[i].thread, NULL, member_main, &members[i]),
                "pthread_create");
    }
    start = bench_now_ns(); /* before the barrier: none begins earlier */
    pthread_barrier_wait(&crew.start);
    for (int i = 0; i < count; i++)
        pthread_join(members[i].thread, NULL);
    pthread_barrier_destroy(&crew.start);
    return bench_now_ns() - start;
}

static int64_t timeval_ns(struct timeval time)
{
    return (int64_t)time.tv_sec * 1000000000 + (int64_t)time.tv_usec * 1000;
}

int bench_free_gb(void)
{
    FILE *file = fopen("/proc/meminfo", "r");
    long long kilobytes = 0;
    char line[128];

    while (file && kilobytes == 0 && fgets(line, sizeof(line), file))
        sscanf(line, "MemAvailable: %lld", &kilobytes);
    if (file)
        fclose(file);
    return (int)(kilobytes / 1024 / 1024);
}

int64_t bench_others_ns(void)
{
    unsigned long long user = 0, nice = 0, system = 0, idle, iowait, irq = 0, softirq = 0,
                       steal = 0;
    int64_t tick_ns = 1000000000 / sysconf(_SC_CLK_TCK);
    struct rusage own, children;
    FILE *file = fopen("/proc/stat", "r");

    if (file == NULL)
        return 0;
    if (fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle,
                &iowait, &irq, &softirq, &steal) != 8)
        user = 0;
    fclose(file);
    getrusage(RUSAGE_SELF, &own);
    getrusage(RUSAGE_CHILDREN, &children);
    return (int64_t)(user + nice + system + irq + softirq + steal) * tick_ns -
           timeval_ns(own.ru_utime) - timeval_ns(own.ru_stime) - timeval_ns(children.ru_utime) -
           timeval_ns(children.ru_stime);
}
