/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE 1 /* accept4 */
/*
 * W10: TCP echo over the loopback: 64 connections, 64 bytes, one request of each under way.
 *
 * The client is the same for all sides, and so for the peers: this program's main thread in epoll,
 * on the first processor.  The servers are on the second: ours a coroutine for each connection, by
 * hand a libevent callback for each, the floor plain epoll.
 */
#include "bench.h"
#include "by_hand.h"

#include <anysync.h>
#include <arpa/inet.h>
#include <event2/event.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS 64
#define MESSAGE 64

static int ports[BENCH_SIDES];

/* --- client ----------------------------------------------------------------------------------- */

static void open_connections(int epoll, int port, int *ret_fds)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
            .sin_port = htons((uint16_t)port),
            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int yes = 1;

    for (int i = 0; i < CONNECTIONS; i++) {
        struct epoll_event event = {.events = EPOLLIN};
        int fd = socket(AF_INET, SOCK_STREAM, 0);

        bench_check(connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0, "connect");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
        event.data.fd = fd;
        bench_check(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0, "epoll_ctl");
        ret_fds[i] = fd;
    }
}

/* Send COUNT requests, each when the answer to the one before has come.  Returns ns. */
static int64_t client(int port, int64_t count)
{
    struct epoll_event events[CONNECTIONS];
    char message[MESSAGE] = {0};
    int fds[CONNECTIONS];
    int epoll = epoll_create1(0);
    int64_t sent = 0, answered = 0, start;

    bench_pin(0);
    open_connections(epoll, port, fds);
    start = bench_now_ns();
    for (; sent < CONNECTIONS && sent < count; sent++)
        bench_check(send(fds[sent], message, MESSAGE, 0) != MESSAGE, "send");
    while (answered < count) {
        int ready = epoll_wait(epoll, events, CONNECTIONS, -1);

        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;

            bench_check(recv(fd, message, MESSAGE, MSG_WAITALL) != MESSAGE, "recv");
            answered++;
            if (sent++ < count)
                bench_check(send(fd, message, MESSAGE, 0) != MESSAGE, "send");
        }
    }
    start = bench_now_ns() - start;
    for (int i = 0; i < CONNECTIONS; i++)
        close(fds[i]);
    close(epoll);
    return start;
}

static int64_t ours(int64_t count)
{
    return client(ports[BENCH_OURS], count);
}

static int64_t hand(int64_t count)
{
    return client(ports[BENCH_BY_HAND], count);
}

static int64_t floor_epoll(int64_t count)
{
    return client(ports[BENCH_FLOOR], count);
}

/* --- servers ---------------------------------------------------------------------------------- */

static int listen_for(enum bench_side side)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    bench_check(bind(fd, (struct sockaddr *)&address, size) != 0, "bind");
    bench_check(listen(fd, CONNECTIONS) != 0, "listen");
    bench_check(getsockname(fd, (struct sockaddr *)&address, &size) != 0, "getsockname");
    ports[side] = ntohs(address.sin_port);
    return fd;
}

static int connection_body(void *argument, void *result)
{
    int fd = *(int *)argument;
    char buffer[4096];
    ssize_t size;

    (void)result;
    while ((size = anysync_read(fd, buffer, sizeof(buffer), ANYSYNC_FOREVER)) > 0)
        bench_check(anysync_write(fd, buffer, (size_t)size, ANYSYNC_FOREVER) != size, "write");
    close(fd);
    return 0;
}

static const struct anysync_function connection =
        ANYSYNC_FUNCTION(connection, connection_body, sizeof(int), 0);

static int server_body(void *argument, void *result)
{
    int listener = *(int *)argument;

    (void)result;
    bench_pin(bench_cores() > 1);
    for (;;) {
        int fd = anysync_accept(listener, NULL, NULL, ANYSYNC_FOREVER);

        bench_check(fd < 0, "anysync_accept");
        bench_check(anysync_spawn(&connection, &fd, NULL), "anysync_spawn");
    }
    return 0;
}

static const struct anysync_function server = ANYSYNC_FUNCTION(server, server_body, sizeof(int), 0);

/* Answer what came on FD, or close it.  Returns whether it is open still. */
static bool answer(int fd)
{
    char buffer[4096];
    ssize_t size = recv(fd, buffer, sizeof(buffer), 0);

    if (size > 0 && send(fd, buffer, (size_t)size, 0) == size)
        return true;
    close(fd);
    return false;
}

static void on_readable(evutil_socket_t fd, short what, void *event)
{
    (void)what;
    if (!answer((int)fd)) {
        event_del(event);
        event_free(event);
    }
}

static void on_connection(evutil_socket_t listener, short what, void *base)
{
    int fd = accept4((int)listener, NULL, NULL, SOCK_NONBLOCK);
    struct event *event;

    (void)what;
    event = event_new(base, fd, EV_READ | EV_PERSIST, on_readable, event_self_cbarg());
    bench_check(event == NULL || event_add(event, NULL), "event_add");
}

static void *hand_server(void *listener)
{
    struct event_base *base = by_hand_base_new();
    struct event *event =
            event_new(base, *(int *)listener, EV_READ | EV_PERSIST, on_connection, base);

    bench_pin(bench_cores() > 1);
    bench_check(event == NULL || event_add(event, NULL), "event_add");
    event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY);
    return NULL;
}

static void *floor_server(void *argument)
{
    struct epoll_event events[CONNECTIONS], event = {.events = EPOLLIN};
    int listener = *(int *)argument;
    int epoll = epoll_create1(0);

    bench_pin(bench_cores() > 1);
    event.data.fd = listener;
    bench_check(epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) != 0, "epoll_ctl");
    for (;;) {
        int ready = epoll_wait(epoll, events, CONNECTIONS, -1);

        for (int i = 0; i < ready; i++) {
            if (events[i].data.fd != listener) {
                answer(events[i].data.fd);
                continue;
            }
            event.data.fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
            bench_check(epoll_ctl(epoll, EPOLL_CTL_ADD, event.data.fd, &event) != 0, "epoll_ctl");
        }
    }
    return NULL;
}

static void set_up(void)
{
    static int listeners[BENCH_SIDES];
    pthread_t thread;

    for (int side = 0; side < BENCH_OTHER; side++)
        listeners[side] = listen_for((enum bench_side)side);
    if (bench_wanted(&bench_rows[0], BENCH_OURS))
        bench_check(anysync_spawn(&server, &listeners[BENCH_OURS], NULL), "anysync_spawn");
    bench_check(pthread_create(&thread, NULL, hand_server, &listeners[BENCH_BY_HAND]),
            "pthread_create");
    bench_check(
            pthread_create(&thread, NULL, floor_server, &listeners[BENCH_FLOOR]), "pthread_create");
}

static double nearly_by_hand(const double *medians)
{
    return medians[BENCH_BY_HAND] * 0.97;
}

const struct bench_row bench_rows[] = {
        {.key = "W10",
                .work = "W10 TCP echo, 64 x 64 bytes",
                .unit = BENCH_THOUSANDS,
                .run = {ours, hand, floor_epoll},
                .setup = set_up,
                .client = client,
                .target = "0.97 x by hand",
                .limit = nearly_by_hand},
};
const size_t bench_row_count = sizeof(bench_rows) / sizeof(bench_rows[0]);
