/* SPDX-License-Identifier: MIT */
/*
 * What all peers in C and C++ share.  A peer is a program that measures another library:
 *
 *      echo 1000 1000 | build/peers/libuv W1-hot
 *
 * It prints "ready" when it has set up workload W1-hot, then for each COUNT it reads a line with
 * the ns (or bytes) of one operation; when it has no notion of the workload it prints nothing and
 * ends.  A number at the end of the workload is an argument (W2-64: callers, W3-4: producers,
 * W7-64: in flight, W9-64: ahead, W6-time-1000: sleepers).  For W1-latency the ns of each call
 * follow on the same line, for W6-time the bytes of a sleeper.  For W10 it prints "ready PORT", and
 * serves until it is killed.
 *
 * A file that includes this defines those of the functions below whose workloads it has.
 */
#ifndef BENCH_PEERS_PEER_H
#define BENCH_PEERS_PEER_H

#include <arpa/inet.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PEER_DELAY_NS 1000000000 /* W6: how long they sleep */
#define PEER_CREW 64             /* W2, W7: at most that many */

/* --- defined by the peer, as far as its library can ------------------------------------------- */

#pragma weak peer_start
#pragma weak peer_call
#pragma weak peer_submit
#pragma weak peer_spawn
#pragma weak peer_yield
#pragma weak peer_sleep
#pragma weak peer_offload
#pragma weak peer_nested
#pragma weak peer_iterate
#pragma weak peer_in_loop
#pragma weak peer_echo

#ifdef __cplusplus
extern "C" {
#endif

void peer_start(void);                       /* the thread with the loop: before W1, W2, W3, W9 */
void peer_call(void);                        /* W1, W2: block until the loop has run a no-op */
void peer_submit(void);                      /* W3: have the loop run peer_task_ran() */
int64_t peer_spawn(int64_t count, int);      /* W4: ns of COUNT children spawned and awaited */
int64_t peer_yield(int64_t count, int);      /* W5: ns of COUNT yields of two coroutines */
void peer_sleep(void);                       /* W6: peer_sleepers of them, and wait for all */
int64_t peer_offload(int64_t, int flight);   /* W7: ns, with so many in flight */
void *peer_nested(void *);                   /* W8: of a fresh thread: a loop, a no-op, no loop */
int64_t peer_iterate(int64_t, int ahead);    /* W9: ns of COUNT items, taken by a plain thread; */
                                             /* AHEAD is 1 (lock step), or 64 */
int64_t peer_in_loop(int64_t count, int);    /* ... taken by a coroutine */
int64_t peer_echo(int64_t port, int unused); /* W10: peer_listen(), peer_ready(), serve */

#ifdef __cplusplus
}
#endif

/* --- for the peer ----------------------------------------------------------------------------- */

static inline int64_t peer_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline void peer_check(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "%s failed\n", what);
    exit(1);
}

static inline int64_t peer_resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    long long pages = 0;

    peer_check(file && fscanf(file, "%*s %lld", &pages) == 1, "/proc/self/statm");
    fclose(file);
    return (int64_t)pages * sysconf(_SC_PAGESIZE);
}

/* W3: tasks count themselves on the loop; the last one wakes the main thread. */
static int64_t peer_expected, peer_ran;
static sem_t peer_finished;

static inline void peer_task_ran(void)
{
    if (++peer_ran == peer_expected)
        sem_post(&peer_finished);
}

/* W6: sleepers count themselves; the last to begin takes the bytes, the last to end is told so. */
static int64_t peer_sleepers, peer_asleep, peer_awake, peer_bytes_asleep;

static inline void peer_sleeper_begins(void)
{
    if (++peer_asleep == peer_sleepers)
        peer_bytes_asleep = peer_resident_bytes();
}

static inline bool peer_sleeper_ends(void)
{
    return ++peer_awake == peer_sleepers;
}

/* W10: a listening socket on the loopback. */
static inline int peer_listen(void)
{
    struct sockaddr_in address = {};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    peer_check(bind(fd, (struct sockaddr *)&address, size) == 0 && listen(fd, 128) == 0 &&
                       getsockname(fd, (struct sockaddr *)&address, &size) == 0,
            "listen");
    return fd;
}

static inline void peer_ready(int fd)
{
    struct sockaddr_in address = {};
    socklen_t size = sizeof(address);

    getsockname(fd, (struct sockaddr *)&address, &size);
    printf("ready %d\n", ntohs(address.sin_port));
    fflush(stdout);
}

#include "peer_main.h"

#endif
