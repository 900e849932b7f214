/* SPDX-License-Identifier: MIT */
/*
 * What a peer in C or C++ may use: see peer.h, which includes this.
 */
#ifndef BENCH_PEERS_PEER_TOOLS_H
#define BENCH_PEERS_PEER_TOOLS_H

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
#define PEER_BATCH 32            /* W14: sleepers at a time */

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

#endif
