/* SPDX-License-Identifier: MIT */
/* Pairs of descriptors of each kind, to read from [0] and write to [1]. */
#ifndef TEST_PAIRS_H
#define TEST_PAIRS_H

#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

enum kind { PIPE, PIPE_NONBLOCKING, SOCKET, SOCKET_NONBLOCKING, KINDS };

static inline void open_pair(int kind, int pair[2])
{
    if (kind == PIPE || kind == PIPE_NONBLOCKING)
        CHECK_EQ(pipe(pair), 0);
    else
        CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    for (int i = 0; i < 2; i++) {
        if (kind == PIPE_NONBLOCKING || kind == SOCKET_NONBLOCKING)
            CHECK_EQ(fcntl(pair[i], F_SETFL, O_NONBLOCK), 0);
    }
}

static inline void close_pair(const int pair[2])
{
    close(pair[0]);
    close(pair[1]);
}

/* Write until there is no more room. */
static inline void fill(int fd)
{
    static const char zeros[4096];
    int flags = fcntl(fd, F_GETFL);

    CHECK_EQ(fcntl(fd, F_SETFL, flags | O_NONBLOCK), 0);
    while (write(fd, zeros, sizeof(zeros)) > 0)
        ;
    CHECK_EQ(errno, EAGAIN);
    CHECK_EQ(fcntl(fd, F_SETFL, flags), 0);
}

#endif
