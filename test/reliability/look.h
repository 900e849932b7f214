/* SPDX-License-Identifier: MIT */
/*
 * What the programs of the scoreboard ask of their surroundings: how much to do, what the process
 * holds, whether a child ended in time.
 *
 * A program prints each of its figures as "name: number", for the check's script to pick up; so it
 * is run with TEST_VERBOSE=1.
 */
#ifndef TEST_LOOK_H
#define TEST_LOOK_H

#include "../harness.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A number from the environment. */
static inline long asked_for(const char *name, long otherwise)
{
    const char *text = getenv(name);

    return text && *text ? strtol(text, NULL, 10) : otherwise;
}

static inline void tell(const char *name, long figure)
{
    printf("%s: %ld\n", name, figure);
    fflush(stdout);
}

/* The number that a line of PATH has behind NAME. */
static inline long figure_of(const char *path, const char *name)
{
    char line[256];
    long figure = -1;
    FILE *file = fopen(path, "r");

    CHECK(file != NULL);
    while (fgets(line, sizeof(line), file)) {
        if (strncmp(line, name, strlen(name)) == 0)
            figure = strtol(line + strlen(name), NULL, 10);
    }
    fclose(file);
    CHECK_GE(figure, 0);
    return figure;
}

/* KiB of memory this process has, counted page by page. */
static inline long memory_kb(void)
{
    return figure_of("/proc/self/smaps_rollup", "Rss:");
}

static inline int mapping_count(void)
{
    FILE *file = fopen("/proc/self/maps", "r");
    int count = 0;

    CHECK(file != NULL);
    for (int c; (c = getc(file)) != EOF;)
        count += c == '\n';
    fclose(file);
    return count;
}

static inline void pause_us(long us)
{
    nanosleep(&(struct timespec){us / 1000000, us % 1000000 * 1000}, NULL);
}

/* Wait until this process has at most COUNT threads; one that was joined is still listed for a
 * moment.  Returns how many there are after LIMIT_MS at the latest. */
static inline int wait_for_threads(int count, long limit_ms)
{
    int64_t end = test_now_ns() + limit_ms * 1000000;
    int there;

    while ((there = test_thread_count()) > count && test_now_ns() < end)
        pause_us(100);
    return there;
}

static inline void do_nothing(void *argument, int index)
{
    (void)argument;
    (void)index;
}

/* How many threads this process has before the library is used: 1, and those of a sanitizer, which
 * has them from the first thread on. */
static inline int threads_at_first(void)
{
    test_together(1, do_nothing, NULL);
    return wait_for_threads(1, 100);
}

/* Wait at most LIMIT_MS for the end of the child PID, and reap it.  Returns how it ended as
 * waitpid() says it; one that does not end is killed, and -1 returned. */
static inline int end_of(pid_t pid, int limit_ms)
{
    int status = -1;
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd end = {.fd = fd, .events = POLLIN};

    CHECK_GE(fd, 0);
    int ready;
    while ((ready = poll(&end, 1, limit_ms)) < 0 && errno == EINTR)
        ;
    close(fd);
    if (ready == 0)
        kill(pid, SIGKILL);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    return ready == 0 ? -1 : status;
}

/* Numbers that look like chance, the same for each SEED; never 0 if it is not. */
static inline unsigned next_random(unsigned *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    *seed ^= *seed << 5;
    return *seed;
}

#endif
