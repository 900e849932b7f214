/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* system_calls.h */
/*
 * The system refuses, or is interrupted, in sockets, servers and datagrams, where the library has
 * no door for a test to close (system_calls.h; CONTRACT K4).
 *
 * Promised                                        Tested by
 *   a listener, a dial without descriptors          sockets_that_cannot_be_had
 *   whoever answers for an address, it is in use    a_busy_sockets_address_is_in_use
 *   a server passes over what befell a connection   a_server_goes_on_after_a_lost_connection
 *   a server without memory says so, or drops it    a_server_without_memory_does_not_begin
 *                                                   a_server_drops_what_it_has_no_memory_for
 *   a handler's bare code is reported, too          a_handlers_code_is_reported
 *   datagrams that are interrupted go on            interrupted_datagrams_go_on
 *   messages of other kinds are refused             other_messages_are_no_descriptors
 *   an address with a scope                         an_address_names_its_scope
 *   a stream whose half cannot be closed            a_half_that_cannot_be_closed
 */
#include "fault.h"
#include "futures.h"
#include "streams.h"
#include "system_calls.h"
#include "worlds.h"

#include "api/address.h"

#include <netinet/in.h>
#include <sys/un.h>

/* --- sockets ---------------------------------------------------------------------------------- */

static char place[ANYSYNC_ADDRESS_SIZE];

static int listen_there(void)
{
    int fd = -1, error = anysync_listen(place, 0, &fd);

    if (error)
        CHECK_CONTAINS(anysync_last_error()->message, place);
    else
        close(fd);
    return error;
}

static int bind_there(void)
{
    int fd = -1, error = anysync_bind("127.0.0.1:0", &fd);

    if (!error)
        close(fd);
    return error;
}

static int dial_there(void)
{
    int fd = -1, error = anysync_dial(place, &fd, ANYSYNC_FOREVER);

    if (!error)
        close(fd);
    return error;
}

static int dial_name_there(void)
{
    int fd = -1;
    int error = anysync_dial_name("127.0.0.1", strrchr(place, ':') + 1, ANYSYNC_FOREVER, &fd);

    if (!error)
        close(fd);
    return error;
}

TEST(sockets_that_cannot_be_had)
{
    static const struct step none[] = {{"socket", 0, EMFILE, -EMFILE}};
    static const struct step listens[] = {
            {"socket", 0, EMFILE, -EMFILE}, {"listen", 0, EADDRINUSE, -EADDRINUSE}};
    /* It cannot be seen that the file there is a dead one's. */
    static const struct step dead[] = {{"socket", 1, EMFILE, -EADDRINUSE}};
    int first = -1, second = -1;

    strcpy(place, "127.0.0.1:0");
    CHECK_STEPS(listens, listen_there);
    CHECK_STEPS(none, bind_there);
    CHECK_EQ(anysync_listen(place, 0, &first), 0);
    CHECK_EQ(anysync_local_address(first, place), 0);
    CHECK_STEPS(none, dial_there);
    CHECK_STEPS(none, dial_name_there);
    close(first);

    make_folder();
    snprintf(place, sizeof(place), "unix:%s", file);
    CHECK_STEPS(dead, listen_there);
    remove_folder();

    snprintf(place, sizeof(place), "unix:@anysync-test-%d", (int)getpid()); /* no file is there */
    CHECK_EQ(anysync_listen(place, 0, &first), 0);
    CHECK_EQ(anysync_listen(place, 0, &second), -EADDRINUSE);
    close(first);
}

/* A connect() to a living socket with a full queue fails in other ways than one to a dead one. */
TEST(a_busy_sockets_address_is_in_use)
{
    enum { MOST = 100 };
    int listener = -1, clients[MOST], count = 0, code = 0;

    make_folder();
    snprintf(place, sizeof(place), "unix:%s", file);
    CHECK_EQ(anysync_listen(place, 1, &listener), 0);
    while (code == 0 && count < MOST) {
        code = anysync_dial(place, &clients[count], ANYSYNC_POLL);
        count += code == 0;
    }
    CHECK_EQ(code, -ETIMEDOUT);
    CHECK_EQ(listen_there(), -EADDRINUSE);
    while (count > 0)
        close(clients[--count]);
    close(listener);
    remove_folder();
}

/* --- servers ---------------------------------------------------------------------------------- */

static atomic_int reported;

static void on_error(const char *task, const struct anysync_error *error, void *context)
{
    (void)task, (void)context;
    CHECK_EQ(error->code, -EDOM);
    atomic_fetch_add(&reported, 1);
}

/* Ends the connection; no sentence. */
static int say_code(int fd, void *argument)
{
    close(fd);
    return *(int *)argument;
}

ANYSYNC_COROUTINE(void, server, (int, fd), (int *, code))
{
    return anysync_serve(fd, 3, say_code, code, ANYSYNC_FOREVER);
}

/* No memory of the library is asked for. */
static int connect_there(void)
{
    struct asi_address address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    CHECK_EQ(asi_address_parse("", place, &address), 0);
    CHECK_EQ(connect(fd, asi_address_pointer(&address), address.size), 0);
    return fd;
}

static void check_client(void)
{
    int client = connect_there();
    char byte;

    CHECK_EQ(read(client, &byte, 1), 0); /* the end */
    close(client);
}

static int open_server(server_future *task, int *code)
{
    int listener = -1;

    CHECK_EQ(anysync_listen("127.0.0.1:0", 0, &listener), 0);
    CHECK_EQ(anysync_local_address(listener, place), 0);
    CHECK_EQ(server_start(task, listener, code), 0);
    return listener;
}

static void close_server(server_future *task, int listener)
{
    CHECK_EQ(server_cancel(task), 0);
    CHECK_EQ(server_wait(task, ANYSYNC_FOREVER), -ECANCELED);
    server_drop(task);
    close(listener);
}

TEST(a_server_goes_on_after_a_lost_connection)
{
    static const int errors[] = {ECONNABORTED, EPROTO, ENOBUFS, ENFILE, EPERM};
    server_future task;
    int code = 0, listener = open_server(&task, &code);

    for (size_t i = 0; i < sizeof(errors) / sizeof(*errors); i++) {
        refuse("accept4", 0, errors[i]);
        check_client();
        check_refused();
    }
    close_server(&task, listener);
}

TEST(a_server_drops_what_it_has_no_memory_for)
{
    server_future task;
    int code = 0, listener = open_server(&task, &code);

    check_client();
    for (int nth = 1; nth <= 8; nth++) {
        fault_fail("malloc", nth, false);
        check_client();
        fault_clear();
    }
    close_server(&task, listener);
}

TEST(a_handlers_code_is_reported)
{
    server_future task;
    int code = -EDOM, listener = open_server(&task, &code);

    anysync_set_error_hook(on_error, NULL);
    check_client();
    close_server(&task, listener);
    CHECK_EQ(atomic_load(&reported), 1);
}

static void check_no_server(void)
{
    int listener = -1;

    CHECK_EQ(anysync_listen("127.0.0.1:0", 0, &listener), 0);
    for (int nth = 1; nth <= 2; nth++) { /* the semaphore, the group */
        fault_fail("malloc", nth, true);
        CHECK_EQ(anysync_serve(listener, 1, say_code, NULL, ANYSYNC_POLL), -ENOMEM);
        fault_clear();
    }
    close(listener);
}

TEST(a_server_without_memory_does_not_begin)
{
    check_no_server();
}

/* --- messages --------------------------------------------------------------------------------- */

static int pair[2];

static int exchange(void)
{
    int got = -1, error = anysync_send_descriptor(pair[0], pair[0], ANYSYNC_FOREVER);

    if (!error)
        error = anysync_receive_descriptor(pair[1], &got, ANYSYNC_FOREVER);
    if (!error)
        close(got);
    return error;
}

TEST(interrupted_datagrams_go_on)
{
    static const struct step steps[] = {{"sendmsg", 0, EINTR, 0}, {"recvmsg", 0, EINTR, 0}};

    CHECK_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    CHECK_STEPS(steps, exchange);
}

TEST(other_messages_are_no_descriptors)
{
    const int one = 1;

    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    CHECK_EQ(setsockopt(pair[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)), 0);
    int before = test_fd_count();
    CHECK_EQ(exchange(), -EPROTO); /* credentials come before it, and leave it no room */
    CHECK_EQ(test_fd_count(), before);
}

TEST(an_address_names_its_scope)
{
    struct asi_address address = {.size = sizeof(struct sockaddr_in6)};
    struct sockaddr_in6 *ip6 = (void *)&address.storage;
    char text[ASI_ADDRESS_TEXT];

    ip6->sin6_family = AF_INET6;
    ip6->sin6_addr = in6addr_loopback;
    ip6->sin6_port = htons(80);
    ip6->sin6_scope_id = 7;
    asi_address_format(&address, text);
    CHECK_STR(text, "[::1%7]:80");
}

TEST(a_half_that_cannot_be_closed)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct anysync_stream *stream = open_stream_of(fd);

    CHECK_EQ(anysync_stream_shutdown(stream, ANYSYNC_FOREVER), -ENOTCONN);
    close_well(stream);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
    stream = open_stream_of(pair[0]);
    close(pair[1]);
    CHECK_EQ(anysync_stream_write(stream, "a", 1, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_stream_shutdown(stream, ANYSYNC_FOREVER), -EPIPE);
    CHECK_EQ(anysync_stream_close(stream, ANYSYNC_FOREVER), -EPIPE);
}
