/* SPDX-License-Identifier: MIT */
/* Pairs of descriptors of each kind, to read from [0] and write to [1]. */
#ifndef TEST_PAIRS_H
#define TEST_PAIRS_H

#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
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

static inline void put(int fd)
{
    CHECK_EQ(write(fd, "a", 1), 1);
}

static inline void take(int fd)
{
    char byte;

    CHECK_EQ(read(fd, &byte, 1), 1);
}

/* Two ends of a TCP connection.  A close resets it, so that no port is taken for a while. */
static inline void open_stream(int pair[2])
{
    const struct linger at_once = {.l_onoff = 1};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    CHECK_EQ(bind(listener, (struct sockaddr *)&address, size), 0);
    CHECK_EQ(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    CHECK_EQ(listen(listener, 1), 0);
    pair[1] = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_EQ(connect(pair[1], (struct sockaddr *)&address, size), 0);
    pair[0] = accept(listener, NULL, NULL);
    CHECK_GE(pair[0], 0);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(setsockopt(pair[i], SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
    close(listener);
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
