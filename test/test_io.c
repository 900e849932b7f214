/* SPDX-License-Identifier: MIT */
/*
 * Descriptors (include/anysync/io.h), on a plain thread, on the worker and here.
 *
 * Promised                                       Tested by
 *   bytes go through, in every kind of pipe      bytes_go_through_sockets_and_pipes
 *     and socket, blocking or not                a_wait_for_bytes_ends_when_they_come
 *   a full one waits for room                    a_write_waits_for_room
 *   regular files                                a_regular_file_is_always_ready
 *   end of file: 0                               the_end_of_file_is_zero_bytes
 *   accept, connect                              accept_and_connect_meet
 *                                                an_accepted_descriptor_is_private_and_nonblocking
 *   refused connect                              a_refused_connect_says_so
 *   wait_fd tells the events                     wait_fd_tells_what_is_ready
 *     hang-up counts as ready, -EINVAL           a_hang_up_counts_as_ready
 *                                                wait_fd_for_nothing_is_refused
 *   -EPIPE without SIGPIPE                       a_closed_peer_gives_epipe_and_no_signal
 *   closed descriptor, sentence                  a_closed_descriptor_is_named_in_the_sentence
 *   deadlines, nothing read or written           each_call_ends_at_its_deadline
 *   the descriptor's flags stay                  a_connect_leaves_the_flags_as_they_were
 *
 * Cancels, callbacks, signals, a busy loop, shared descriptors: test_io_loop.c.
 */
#include "futures.h"
#include "pairs.h"

#include <anysync/io.h>
#include <anysync/typed.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <unistd.h>

/* --- reading and writing ---------------------------------------------------------------------- */

static void check_through(void)
{
    for (int kind = 0; kind < KINDS; kind++) {
        int pair[2];
        char got[8] = "";
        open_pair(kind, pair);
        CHECK_EQ(anysync_write(pair[1], "hello", 5, ANYSYNC_FOREVER), 5);
        CHECK_EQ(anysync_read(pair[0], got, 2, ANYSYNC_FOREVER), 2);
        CHECK_EQ(anysync_read(pair[0], got + 2, 6, ANYSYNC_FOREVER), 3);
        CHECK_STR(got, "hello");
        CHECK_EQ(anysync_write(pair[1], "", 0, ANYSYNC_FOREVER), 0);
        close_pair(pair);
    }
}

TEST(bytes_go_through_sockets_and_pipes)
{
    in_every_world(check_through);
}

/* Says hello when somebody waits, or shortly before. */
static void greet(void *argument, int index)
{
    const int *fd = argument;

    (void)index;
    sched_yield();
    CHECK_EQ(write(*fd, "hello", 5), 5);
}

static void check_wait(void)
{
    for (int kind = 0; kind < KINDS; kind++) {
        int pair[2];
        char got[8] = "";
        open_pair(kind, pair);
        struct test_threads *threads = test_threads_start(1, greet, &pair[1]);
        CHECK_EQ(anysync_read(pair[0], got, sizeof(got), anysync_in_seconds(3600)), 5);
        CHECK_STR(got, "hello");
        test_threads_join(threads);
        close_pair(pair);
    }
}

TEST(a_wait_for_bytes_ends_when_they_come)
{
    in_every_world(check_wait);
}

enum { LOAD = 1000 * 1000 };

static void drain(void *argument, int index)
{
    const int *fd = argument;
    char buffer[3000];
    long sum = 0;

    (void)index;
    while (sum < LOAD) {
        ssize_t count = anysync_read(*fd, buffer, sizeof(buffer), ANYSYNC_FOREVER);
        CHECK_GE(count, 1);
        for (ssize_t i = 0; i < count; i++)
            CHECK_EQ(buffer[i], (char)((sum + i) % 101));
        sum += count;
    }
    CHECK_EQ(sum, LOAD);
}

/* More than any buffer of the system takes, so that the write has to wait for room. */
static void check_room(void)
{
    static char load[LOAD];

    for (long i = 0; i < LOAD; i++)
        load[i] = (char)(i % 101);
    for (int kind = 0; kind < KINDS; kind++) {
        int pair[2];
        open_pair(kind, pair);
        struct test_threads *threads = test_threads_start(1, drain, &pair[0]);
        for (long sum = 0; sum < LOAD;) {
            ssize_t count =
                    anysync_write(pair[1], load + sum, (size_t)(LOAD - sum), ANYSYNC_FOREVER);
            CHECK_GE(count, 1);
            sum += count;
        }
        test_threads_join(threads);
        close_pair(pair);
    }
}

TEST(a_write_waits_for_room)
{
    in_every_world(check_room);
}

static void check_file(void)
{
    char got[8] = "", name[] = "/tmp/anysync-test-XXXXXX";
    int fd = mkstemp(name);

    CHECK_GE(fd, 0);
    unlink(name);
    CHECK_EQ(anysync_wait_fd(fd, ANYSYNC_READABLE, ANYSYNC_FOREVER), ANYSYNC_READABLE);
    CHECK_EQ(anysync_write(fd, "hello", 5, ANYSYNC_POLL), 5);
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    CHECK_EQ(anysync_read(fd, got, 7, ANYSYNC_FOREVER), 5);
    CHECK_STR(got, "hello");
    CHECK_EQ(anysync_read(fd, got, 7, ANYSYNC_FOREVER), 0);
    close(fd);
}

TEST(a_regular_file_is_always_ready)
{
    in_every_world(check_file);
}

static void check_end(void)
{
    for (int kind = 0; kind < KINDS; kind++) {
        int pair[2];
        char got;
        open_pair(kind, pair);
        CHECK_EQ(anysync_write(pair[1], "a", 1, ANYSYNC_FOREVER), 1);
        close(pair[1]);
        CHECK_EQ(anysync_read(pair[0], &got, 1, ANYSYNC_FOREVER), 1);
        CHECK_EQ(anysync_read(pair[0], &got, 1, ANYSYNC_FOREVER), 0);
        CHECK_EQ(anysync_read(pair[0], &got, 1, ANYSYNC_POLL), 0);
        close(pair[0]);
    }
}

TEST(the_end_of_file_is_zero_bytes)
{
    in_every_world(check_end);
}

/* --- connections ------------------------------------------------------------------------------ */

/* A socket bound to a free port of this machine, and that address. */
static int bound_socket(struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    socklen_t size = sizeof(*address);

    CHECK_GE(fd, 0);
    *address =
            (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK_EQ(bind(fd, (struct sockaddr *)address, size), 0);
    CHECK_EQ(getsockname(fd, (struct sockaddr *)address, &size), 0);
    return fd;
}

struct meeting {
    struct sockaddr_in address;
    int listener;
};

static void serve(void *argument, int index)
{
    const struct meeting *meeting = argument;
    struct sockaddr_in peer;
    socklen_t size = sizeof(peer);
    char got = 0;

    (void)index;
    int fd = anysync_accept(
            meeting->listener, (struct sockaddr *)&peer, &size, anysync_in_seconds(3600));
    CHECK_GE(fd, 0);
    CHECK_EQ(size, sizeof(peer));
    CHECK_EQ(peer.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
    CHECK_EQ(anysync_read(fd, &got, 1, ANYSYNC_FOREVER), 1);
    got++;
    CHECK_EQ(anysync_write(fd, &got, 1, ANYSYNC_FOREVER), 1);
    close(fd);
}

static void visit(const struct meeting *meeting)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char byte = 'a';

    CHECK_GE(fd, 0);
    CHECK_EQ(anysync_connect(fd, (const struct sockaddr *)&meeting->address,
                     sizeof(meeting->address), anysync_in_seconds(3600)),
            0);
    CHECK_EQ(anysync_write(fd, &byte, 1, ANYSYNC_FOREVER), 1);
    CHECK_EQ(anysync_read(fd, &byte, 1, ANYSYNC_FOREVER), 1);
    CHECK_EQ(byte, 'b');
    close(fd);
}

ANYSYNC_COROUTINE(void, server, (struct meeting *, meeting))
{
    serve(meeting, 0);
    return 0;
}

/* A thread's client meets the server of this world, and the other way round. */
static void check_meeting(void)
{
    struct meeting meeting;
    server_future task;

    meeting.listener = bound_socket(&meeting.address);
    CHECK_EQ(listen(meeting.listener, 5), 0);
    struct test_threads *threads = test_threads_start(1, serve, &meeting);
    visit(&meeting);
    test_threads_join(threads);
    CHECK_EQ(server_start(&task, &meeting), 0);
    visit(&meeting);
    CHECK_EQ(server_wait(&task, ANYSYNC_FOREVER), 0);
    server_drop(&task);
    close(meeting.listener);
}

TEST(accept_and_connect_meet)
{
    in_every_world(check_meeting);
}

TEST(an_accepted_descriptor_is_private_and_nonblocking)
{
    struct sockaddr_in address;
    int listener = bound_socket(&address), client = socket(AF_INET, SOCK_STREAM, 0);

    CHECK_EQ(listen(listener, 5), 0);
    CHECK_EQ(connect(client, (struct sockaddr *)&address, sizeof(address)), 0);
    int fd = anysync_accept(listener, NULL, NULL, ANYSYNC_FOREVER);
    CHECK_GE(fd, 0);
    CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    close(fd);
    close(client);
    close(listener);
}

static void check_refused(void)
{
    struct sockaddr_in address;
    char name[40];
    int closed = bound_socket(&address); /* bound, and does not listen */
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    CHECK_EQ(anysync_connect(fd, (struct sockaddr *)&address, sizeof(address), ANYSYNC_FOREVER),
            -ECONNREFUSED);
    snprintf(name, sizeof(name), "connect() on descriptor %d", fd);
    CHECK_CONTAINS(anysync_last_error()->message, name);
    CHECK_EQ(anysync_last_error()->origin, ANYSYNC_ORIGIN_CALL);
    close(fd);
    close(closed);
}

TEST(a_refused_connect_says_so)
{
    in_every_world(check_refused);
}

static void check_flags(void)
{
    struct sockaddr_in address;
    int listener = bound_socket(&address);

    CHECK_EQ(listen(listener, 5), 0);
    for (int i = 0; i < 2; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        CHECK_EQ(fcntl(fd, F_SETFL, i ? O_NONBLOCK : 0), 0);
        int flags = fcntl(fd, F_GETFL);
        CHECK_EQ(anysync_connect(fd, (struct sockaddr *)&address, sizeof(address), ANYSYNC_FOREVER),
                0);
        CHECK_EQ(fcntl(fd, F_GETFL), flags);
        close(fd);
    }
    close(listener);
}

TEST(a_connect_leaves_the_flags_as_they_were)
{
    in_every_world(check_flags);
}

/* --- readiness -------------------------------------------------------------------------------- */

static void check_events(void)
{
    const unsigned both = ANYSYNC_READABLE | ANYSYNC_WRITABLE;
    int pair[2];

    open_pair(SOCKET, pair);
    CHECK_EQ(anysync_wait_fd(pair[0], both, ANYSYNC_FOREVER), ANYSYNC_WRITABLE);
    CHECK_EQ(anysync_wait_fd(pair[0], ANYSYNC_READABLE, anysync_in_us(100)), -ETIMEDOUT);
    CHECK_EQ(anysync_wait_fd(pair[0], ANYSYNC_READABLE, ANYSYNC_POLL), -ETIMEDOUT);
    CHECK_EQ(write(pair[1], "a", 1), 1);
    CHECK_EQ(anysync_wait_fd(pair[0], ANYSYNC_READABLE, ANYSYNC_POLL), ANYSYNC_READABLE);
    CHECK_EQ(anysync_wait_fd(pair[0], both, ANYSYNC_FOREVER), both);
    CHECK_EQ(anysync_wait_fd(pair[0], ANYSYNC_WRITABLE, ANYSYNC_FOREVER), ANYSYNC_WRITABLE);
    close_pair(pair);
}

TEST(wait_fd_tells_what_is_ready)
{
    in_every_world(check_events);
}

static void check_hang_up(void)
{
    for (int kind = 0; kind < KINDS; kind++) {
        int pair[2];
        char got;
        open_pair(kind, pair);
        close(pair[1]);
        CHECK_EQ(anysync_wait_fd(pair[0], ANYSYNC_READABLE, ANYSYNC_FOREVER), ANYSYNC_READABLE);
        CHECK_EQ(anysync_read(pair[0], &got, 1, ANYSYNC_FOREVER), 0);
        close(pair[0]);
    }
}

TEST(a_hang_up_counts_as_ready)
{
    in_every_world(check_hang_up);
}

static void check_nothing_asked(void)
{
    CHECK_EQ(anysync_wait_fd(0, 0, ANYSYNC_FOREVER), -EINVAL);
    CHECK_EQ(anysync_last_error()->code, -EINVAL);
    CHECK_CONTAINS(anysync_last_error()->message, "anysync_wait_fd");
    CHECK_EQ(anysync_wait_fd(0, 4, ANYSYNC_FOREVER), -EINVAL);
}

TEST(wait_fd_for_nothing_is_refused)
{
    in_every_world(check_nothing_asked);
}

/* --- failures --------------------------------------------------------------------------------- */

static void check_closed_peer(void)
{
    for (int kind = SOCKET; kind < KINDS; kind++) {
        int pair[2];
        open_pair(kind, pair);
        close(pair[1]);
        CHECK_EQ(anysync_write(pair[0], "a", 1, ANYSYNC_FOREVER), -EPIPE);
        CHECK_CONTAINS(anysync_last_error()->message, "write() on descriptor");
        close(pair[0]);
    }
}

TEST(a_closed_peer_gives_epipe_and_no_signal)
{
    in_every_world(check_closed_peer); /* SIGPIPE ends the process */
}

static void expect_named(int error, const char *call, int fd)
{
    char name[60];

    CHECK_EQ(error, -EBADF);
    snprintf(name, sizeof(name), "%s() on descriptor %d", call, fd);
    CHECK_CONTAINS(anysync_last_error()->message, name);
    CHECK_EQ(anysync_last_error()->code, -EBADF);
}

static void check_closed(void)
{
    const struct sockaddr_in address = {.sin_family = AF_INET};
    const struct sockaddr *to = (const struct sockaddr *)&address;
    char byte = 'a';
    int fd = 1000; /* not open */

    CHECK_EQ(fcntl(fd, F_GETFD), -1);
    expect_named((int)anysync_read(fd, &byte, 1, ANYSYNC_FOREVER), "anysync_read", fd);
    expect_named((int)anysync_write(fd, &byte, 1, ANYSYNC_FOREVER), "anysync_write", fd);
    expect_named(anysync_wait_fd(fd, 1, ANYSYNC_FOREVER), "anysync_wait_fd", fd);
    expect_named(anysync_accept(fd, NULL, NULL, ANYSYNC_FOREVER), "anysync_accept", fd);
    expect_named(anysync_connect(fd, to, sizeof(address), ANYSYNC_FOREVER), "anysync_connect", fd);
}

TEST(a_closed_descriptor_is_named_in_the_sentence)
{
    in_every_world(check_closed);
}

static void expect_timeout(ssize_t error, const char *call, anysync_time deadline)
{
    CHECK_EQ(error, -ETIMEDOUT);
    CHECK_GE(anysync_now(), deadline);
    CHECK_EQ(anysync_last_error()->code, -ETIMEDOUT);
    CHECK_EQ(anysync_last_error()->origin, ANYSYNC_ORIGIN_CALL);
    CHECK_CONTAINS(anysync_last_error()->message, call);
}

static void check_deadlines(void)
{
    struct sockaddr_in address;
    int listener = bound_socket(&address);
    anysync_time deadline = anysync_in_us(200);

    CHECK_EQ(listen(listener, 5), 0);
    expect_timeout(anysync_accept(listener, NULL, NULL, deadline), "accept", deadline);
    expect_timeout(anysync_accept(listener, NULL, NULL, ANYSYNC_POLL), "accept", 0);
    close(listener);
    for (int kind = 0; kind < KINDS; kind++) {
        int pair[2];
        char byte = 'x';
        open_pair(kind, pair);
        deadline = anysync_in_us(200);
        expect_timeout(anysync_read(pair[0], &byte, 1, deadline), "read", deadline);
        expect_timeout(anysync_read(pair[0], &byte, 1, ANYSYNC_POLL), "read", 0);
        expect_timeout(anysync_wait_fd(pair[0], 1, ANYSYNC_POLL), "wait_fd", 0);
        CHECK_EQ(byte, 'x');
        fill(pair[1]);
        deadline = anysync_in_us(200);
        expect_timeout(anysync_write(pair[1], &byte, 1, deadline), "write", deadline);
        expect_timeout(anysync_write(pair[1], &byte, 1, ANYSYNC_POLL), "write", 0);
        close_pair(pair);
    }
}

TEST(each_call_ends_at_its_deadline)
{
    in_every_world(check_deadlines);
}

TEST(a_moment_before_all_others_has_passed)
{
    int pair[2];

    open_pair(PIPE, pair);
    CHECK_EQ(anysync_wait_fd(pair[0], ANYSYNC_READABLE, INT64_MIN), -ETIMEDOUT);
    close_pair(pair);
}
