/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* CMSG_SPACE() */
/*
 * Datagrams, and descriptors sent over Unix sockets (include/anysync/net.h).
 *
 * Promised                                       Tested by
 *   a datagram and where it came from              a_datagram_arrives_with_its_address
 *     also to a socket that is connected           a_connected_socket_needs_no_address
 *   a long one is told, and lost                   a_datagram_that_is_too_long_is_told
 *   waits, deadlines, room                         a_receive_waits
 *                                                  each_call_ends_at_its_deadline
 *     also for room in another socket              a_send_waits_for_room_in_another_socket
 *   a descriptor is sent                           a_descriptor_is_sent
 *     close-on-exec                                a_received_descriptor_is_private
 *   never leaked                                   what_is_no_descriptor_leaks_nothing
 *   the end, a closed peer                         the_end_is_told
 *   errors, callbacks                              an_error_names_call_and_descriptor
 *                                                  a_callback_cannot_wait_for_a_datagram
 */
#include "futures.h"
#include "jobs.h"
#include "pairs.h"

#include <sys/uio.h>

static int bind_here(char ret_address[ANYSYNC_ADDRESS_SIZE])
{
    int fd = -1;

    CHECK_EQ(anysync_bind("127.0.0.1:0", &fd), 0);
    CHECK_EQ(anysync_local_address(fd, ret_address), 0);
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    return fd;
}

/* --- datagrams -------------------------------------------------------------------------------- */

static void check_address(void)
{
    char one[ANYSYNC_ADDRESS_SIZE], other[ANYSYNC_ADDRESS_SIZE], from[ANYSYNC_ADDRESS_SIZE];
    char got[10] = "";
    int a = bind_here(one), b = bind_here(other);

    CHECK_EQ(anysync_send_to(a, "hello", 5, other, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_send_to(a, "", 0, other, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_receive_from(b, got, sizeof(got), from, ANYSYNC_FOREVER), 5);
    CHECK_STR(got, "hello");
    CHECK_STR(from, one);
    CHECK_EQ(anysync_receive_from(b, got, sizeof(got), NULL, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_send_to(b, "you", 3, from, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_receive_from(a, got, sizeof(got), from, ANYSYNC_FOREVER), 3);
    CHECK_STR(from, other);
    close(a);
    close(b);
}

TEST(a_datagram_arrives_with_its_address)
{
    in_every_world(check_address);
}

TEST(a_connected_socket_needs_no_address)
{
    char got[4] = "", from[ANYSYNC_ADDRESS_SIZE] = "x";
    int pair[2];

    CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
    CHECK_EQ(anysync_send_to(pair[0], "abc", 3, NULL, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_receive_from(pair[1], got, 3, from, ANYSYNC_FOREVER), 3);
    CHECK_STR(got, "abc");
    close_pair(pair);
}

TEST(a_datagram_that_is_too_long_is_told)
{
    static char load[100 * 1000];
    char one[ANYSYNC_ADDRESS_SIZE], other[ANYSYNC_ADDRESS_SIZE], got[4] = "";
    int a = bind_here(one), b = bind_here(other);

    CHECK_EQ(anysync_send_to(a, load, sizeof(load), other, ANYSYNC_FOREVER), -EMSGSIZE);
    CHECK_EQ(anysync_send_to(a, "hello", 5, other, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_send_to(a, "abc", 3, other, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_receive_from(b, got, 4, NULL, ANYSYNC_FOREVER), -EMSGSIZE);
    CHECK_CONTAINS(anysync_last_error()->message, "longer than 4 bytes");
    CHECK_EQ(anysync_receive_from(b, got, 3, NULL, ANYSYNC_FOREVER), 3);
    CHECK(memcmp(got, "abc", 3) == 0);
    close(a);
    close(b);
}

ANYSYNC_COROUTINE(void, receive_one, (int, fd))
{
    char byte = 0;

    CHECK_EQ(anysync_receive_from(fd, &byte, 1, NULL, ANYSYNC_FOREVER), 1);
    CHECK_EQ(byte, 'a');
    return 0;
}

static void check_wait(void)
{
    char one[ANYSYNC_ADDRESS_SIZE], other[ANYSYNC_ADDRESS_SIZE];
    int a = bind_here(one), b = bind_here(other);
    receive_one_future task;

    CHECK_EQ(receive_one_start(&task, b), 0);
    CHECK_EQ(receive_one_wait(&task, anysync_in_us(200)), -ETIMEDOUT);
    CHECK_EQ(anysync_send_to(a, "a", 1, other, ANYSYNC_FOREVER), 0);
    CHECK_EQ(receive_one_wait(&task, ANYSYNC_FOREVER), 0);
    receive_one_drop(&task);
    close(a);
    close(b);
}

TEST(a_receive_waits)
{
    in_every_world(check_wait);
}

static void check_deadlines(void)
{
    char byte = 'x';
    int pair[2], got = -2;

    CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair), 0);
    anysync_time deadline = anysync_in_us(200);
    CHECK_EQ(anysync_receive_from(pair[0], &byte, 1, NULL, deadline), -ETIMEDOUT);
    CHECK_GE(anysync_now(), deadline);
    CHECK_EQ(anysync_receive_descriptor(pair[0], &got, ANYSYNC_POLL), -ETIMEDOUT);
    int sent = 0, error;
    while ((error = anysync_send_to(pair[0], "a", 1, NULL, ANYSYNC_POLL)) == 0)
        sent++;
    CHECK_EQ(error, -ETIMEDOUT); /* it is full */
    CHECK_EQ(anysync_send_descriptor(pair[0], 0, anysync_in_us(100)), -ETIMEDOUT);
    for (; sent > 0; sent--)
        CHECK_EQ(anysync_receive_from(pair[1], &byte, 1, NULL, ANYSYNC_POLL), 1);
    CHECK_EQ(anysync_receive_from(pair[1], &byte, 1, NULL, ANYSYNC_POLL), -ETIMEDOUT);
    CHECK_EQ(got, -2);
    close_pair(pair);
}

TEST(each_call_ends_at_its_deadline)
{
    in_every_world(check_deadlines);
}

static void bind_unix(const char *name, int *ret_fd, char address[ANYSYNC_ADDRESS_SIZE])
{
    snprintf(address, ANYSYNC_ADDRESS_SIZE, "unix:@anysync-%s-%d", name, (int)getpid());
    CHECK_EQ(anysync_bind(address, ret_fd), 0);
}

ANYSYNC_COROUTINE(void, receive_late, (int, fd))
{
    char byte = 0;

    CHECK_EQ(anysync_sleep(anysync_in_ms(1)), 0);
    CHECK_EQ(anysync_receive_from(fd, &byte, 1, NULL, ANYSYNC_POLL), 1);
    return 0;
}

/* The sender's own descriptor is ready all the time. */
static void check_room(void)
{
    char from[ANYSYNC_ADDRESS_SIZE], to[ANYSYNC_ADDRESS_SIZE];
    receive_late_future task;
    int a = -1, b = -1, error;

    bind_unix("from", &a, from);
    bind_unix("to", &b, to);
    while ((error = anysync_send_to(a, "a", 1, to, ANYSYNC_POLL)) == 0)
        ;
    CHECK_EQ(error, -ETIMEDOUT);
    anysync_time deadline = anysync_in_ms(1);
    CHECK_EQ(anysync_send_to(a, "a", 1, to, deadline), -ETIMEDOUT);
    CHECK_GE(anysync_now(), deadline);
    CHECK_EQ(receive_late_start(&task, b), 0); /* perhaps on this loop */
    CHECK_EQ(anysync_send_to(a, "a", 1, to, ANYSYNC_FOREVER), 0);
    CHECK_EQ(receive_late_wait(&task, ANYSYNC_FOREVER), 0);
    receive_late_drop(&task);
    close(a);
    close(b);
}

TEST(a_send_waits_for_room_in_another_socket)
{
    in_every_world(check_room);
}

/* --- descriptors ------------------------------------------------------------------------------ */

static void check_sent(void)
{
    int pair[2], pipes[2], got = -1;
    char byte = 0;

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    CHECK_EQ(pipe(pipes), 0);
    CHECK_EQ(anysync_send_descriptor(pair[0], pipes[1], ANYSYNC_FOREVER), 0);
    close(pipes[1]);
    CHECK_EQ(anysync_receive_descriptor(pair[1], &got, ANYSYNC_FOREVER), 0);
    put(got);
    CHECK_EQ(anysync_read(pipes[0], &byte, 1, ANYSYNC_FOREVER), 1);
    CHECK_EQ(byte, 'a');
    close(got);
    CHECK_EQ(anysync_read(pipes[0], &byte, 1, ANYSYNC_FOREVER), 0);
    close(pipes[0]);
    close_pair(pair);
}

TEST(a_descriptor_is_sent)
{
    in_every_world(check_sent);
}

TEST(a_received_descriptor_is_private)
{
    int pair[2], got = -1;

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    CHECK_EQ(anysync_send_descriptor(pair[0], pair[0], ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_receive_descriptor(pair[1], &got, ANYSYNC_FOREVER), 0);
    CHECK(fcntl(got, F_GETFD) & FD_CLOEXEC);
    close(got);
    close_pair(pair);
}

/* Send COUNT times FD with BYTES bytes. */
static void send_many(int socket, int fd, int count, size_t bytes)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(8 * sizeof(int))];
    } control;
    char load[8] = "abcdefg";
    struct iovec piece = {.iov_base = load, .iov_len = bytes};
    struct msghdr message = {.msg_iov = &piece,
            .msg_iovlen = 1,
            .msg_control = &control,
            .msg_controllen = CMSG_SPACE((size_t)count * sizeof(int))};

    memset(&control, 0, sizeof(control));
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
    for (int i = 0; i < count; i++)
        memcpy(CMSG_DATA(&control.header) + (size_t)i * sizeof(int), &fd, sizeof(int));
    CHECK_EQ(sendmsg(socket, &message, 0), bytes);
}

TEST(what_is_no_descriptor_leaks_nothing)
{
    int pair[2], got = -2, fds;

    CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    fds = test_fd_count();
    for (int count = 2; count <= 8; count++) {
        send_many(pair[0], pair[0], count, 1);
        CHECK_EQ(anysync_receive_descriptor(pair[1], &got, ANYSYNC_FOREVER), -EPROTO);
        CHECK_CONTAINS(anysync_last_error()->message, "one descriptor");
        CHECK_EQ(test_fd_count(), fds);
    }
    send_many(pair[0], pair[0], 1, 2); /* one, with two bytes */
    CHECK_EQ(anysync_receive_descriptor(pair[1], &got, ANYSYNC_FOREVER), -EPROTO);
    send_many(pair[0], pair[0], 1, 0); /* one, with none */
    CHECK_EQ(anysync_receive_descriptor(pair[1], &got, ANYSYNC_FOREVER), -EPROTO);
    CHECK_EQ(send(pair[0], "a", 1, 0), 1); /* none */
    CHECK_EQ(anysync_receive_descriptor(pair[1], &got, ANYSYNC_FOREVER), -EPROTO);
    CHECK_EQ(got, -2);
    CHECK_EQ(test_fd_count(), fds);
    CHECK_EQ(anysync_send_descriptor(pair[0], 1000, ANYSYNC_FOREVER), -EBADF);
    CHECK_EQ(anysync_receive_descriptor(pair[1], &got, ANYSYNC_POLL), -ETIMEDOUT);
    close_pair(pair);
}

static void check_end(void)
{
    int pair[2], got = -2;

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    close(pair[0]);
    CHECK_EQ(anysync_receive_descriptor(pair[1], &got, ANYSYNC_FOREVER), ANYSYNC_DONE);
    CHECK_EQ(anysync_send_descriptor(pair[1], pair[1], ANYSYNC_FOREVER), -EPIPE); /* no SIGPIPE */
    CHECK_EQ(got, -2);
    close(pair[1]);
}

TEST(the_end_is_told)
{
    in_every_world(check_end);
}

/* --- errors ----------------------------------------------------------------------------------- */

TEST(an_error_names_call_and_descriptor)
{
    char byte = 0;
    int got = -2;

    CHECK_EQ(anysync_send_to(1000, "a", 1, "127.0.0.1:9", ANYSYNC_POLL), -EBADF);
    CHECK_CONTAINS(anysync_last_error()->message, "anysync_send_to() on descriptor 1000");
    CHECK_EQ(anysync_send_to(1000, "a", 1, "nowhere", ANYSYNC_POLL), -EINVAL);
    CHECK_CONTAINS(anysync_last_error()->message, "\"nowhere\"");
    CHECK_EQ(anysync_receive_from(1000, &byte, 1, NULL, ANYSYNC_POLL), -EBADF);
    CHECK_CONTAINS(anysync_last_error()->message, "anysync_receive_from() on descriptor 1000");
    CHECK_EQ(anysync_receive_descriptor(1000, &got, ANYSYNC_POLL), -EBADF);
    CHECK_CONTAINS(anysync_last_error()->message, "anysync_receive_descriptor() on descriptor");
    CHECK_EQ(anysync_send_descriptor(1000, 0, ANYSYNC_POLL), -EBADF);
    CHECK_CONTAINS(anysync_last_error()->message, "anysync_send_descriptor() on descriptor");
}

static void in_callback(evutil_socket_t fd, short events, void *argument)
{
    char address[ANYSYNC_ADDRESS_SIZE], byte;
    int socket = bind_here(address);

    (void)fd, (void)events;
    CHECK_EQ(anysync_receive_from(socket, &byte, 1, NULL, ANYSYNC_FOREVER), -EDEADLK);
    CHECK_CONTAINS(anysync_last_error()->message, "spawn a coroutine");
    CHECK_EQ(anysync_send_to(socket, "a", 1, address, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_receive_from(socket, &byte, 1, NULL, ANYSYNC_FOREVER), 1);
    close(socket);
    set(argument, 0);
}

static void check_callback(void)
{
    call_back(in_callback);
}

TEST(a_callback_cannot_wait_for_a_datagram)
{
    CHECK_EQ(in_coroutine_run(check_callback), 0);
}
