/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* setrlimit() */
/*
 * Listen, serve, dial (include/anysync/net.h).
 *
 * Promised                                       Tested by
 *   listen and dial, of each kind of address       each_kind_of_address_meets
 *   addresses as text; senseless ones refused      addresses_that_are_none_are_refused
 *   refused, absent: the sentence has the address  a_dial_that_fails_names_the_address
 *   a dead Unix socket's file is replaced          a_dead_sockets_file_is_replaced
 *   deadlines                                      each_call_ends_at_its_deadline
 *   each connection has a handler                  a_server_serves_many
 *   at most `most` at a time                       a_full_server_does_not_accept
 *   a cancel ends the handlers, leaks nothing      a_cancelled_server_ends_its_handlers
 *                                                  a_handler_that_never_began_leaks_nothing
 *   a handler's failure is its own                 a_failing_handler_ends_its_connection_only
 *   no descriptors, no memory: it goes on          a_server_survives_a_lack_of_descriptors
 *                                                  a_server_survives_a_lack_of_memory
 *   callbacks                                      a_callback_cannot_serve
 *   refused arguments                              a_server_without_room_is_refused
 *   nothing is lost                                stress_many_clients_of_a_small_server
 */
#include "fault.h"
#include "futures.h"
#include "jobs.h"

#include "api/address.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

/* Listen on a free port, whose address goes to RET_ADDRESS. */
static int listen_here(char ret_address[ANYSYNC_ADDRESS_SIZE])
{
    int fd = -1;

    CHECK_EQ(anysync_listen("127.0.0.1:0", 0, &fd), 0);
    CHECK_EQ(anysync_local_address(fd, ret_address), 0);
    return fd;
}

static int dial(const char *address)
{
    int fd = -1;

    CHECK_EQ(anysync_dial(address, &fd, ANYSYNC_FOREVER), 0);
    CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    return fd;
}

/* --- addresses -------------------------------------------------------------------------------- */

static void check_meeting(const char *address)
{
    char local[ANYSYNC_ADDRESS_SIZE], own[ANYSYNC_ADDRESS_SIZE], peer[ANYSYNC_ADDRESS_SIZE];
    char byte = 0;
    int listener = -1;

    CHECK_EQ(anysync_listen(address, 5, &listener), 0);
    CHECK(fcntl(listener, F_GETFL) & O_NONBLOCK);
    CHECK(fcntl(listener, F_GETFD) & FD_CLOEXEC);
    CHECK_EQ(anysync_local_address(listener, local), 0);
    int client = dial(local);
    int server = anysync_accept(listener, NULL, NULL, ANYSYNC_FOREVER);
    CHECK_GE(server, 0);
    CHECK_EQ(anysync_peer_address(client, peer), 0);
    CHECK_STR(peer, local);
    CHECK_EQ(anysync_local_address(client, own), 0);
    CHECK_EQ(anysync_peer_address(server, peer), 0);
    CHECK_STR(peer, own);
    CHECK_EQ(anysync_write_all(client, "a", 1, NULL, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_read(server, &byte, 1, ANYSYNC_FOREVER), 1);
    CHECK_EQ(anysync_peer_address(listener, peer), -ENOTCONN);
    CHECK_EQ(anysync_local_address(1000, peer), -EBADF);
    CHECK_CONTAINS(anysync_last_error()->message, "descriptor 1000");
    close(client);
    close(server);
    close(listener);
}

static void check_kinds(void)
{
    char path[] = "/tmp/anysync-net-XXXXXX", address[60];
    int file = mkstemp(path), probe = socket(AF_INET6, SOCK_STREAM, 0);
    const struct sockaddr_in6 loopback = {
            .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};

    close(file);
    unlink(path);
    check_meeting("127.0.0.1:0");
    if (probe >= 0 && bind(probe, (const struct sockaddr *)&loopback, sizeof(loopback)) == 0)
        check_meeting("[::1]:0");
    close(probe);
    snprintf(address, sizeof(address), "unix:%s", path);
    check_meeting(address);
    unlink(path);
    snprintf(address, sizeof(address), "unix:@%s", path + 5);
    check_meeting(address);
    CHECK_EQ(access(address + sizeof("unix:") - 1, F_OK), -1); /* it was in no file system */
}

TEST(each_kind_of_address_meets)
{
    in_every_world(check_kinds);
}

TEST(addresses_that_are_none_are_refused)
{
    static const char *const bad[] = {"", ":", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536",
            "127.0.0.1:-1", "127.0.0.1: 1", "127.0.0.1:1x", "localhost:80", "::1:80", "[::1]",
            "[::1:80", "[127.0.0.1]:80", "[::1%nowhere]:80", "127.0.0.1.1:80", "unix:", "/tmp/x",
            "unix:/"
            "a-path-that-is-longer-than-any-that-the-address-of-a-socket-has-room-for-which-is-"
            "only-a-hundred-and-eight-bytes",
            "[0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000]:80"};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int fd = -2;
        CHECK_EQ(anysync_listen(bad[i], 0, &fd), -EINVAL);
        CHECK_CONTAINS(anysync_last_error()->message, "anysync_listen(): \"");
        CHECK_EQ(anysync_dial(bad[i], &fd, ANYSYNC_POLL), -EINVAL);
        CHECK_CONTAINS(anysync_last_error()->message, bad[i][0] ? "\"" : "\"\"");
        CHECK_EQ(fd, -2);
    }
}

/* How many descriptors are open, with those that a loop opens when it first waits. */
static int count_descriptors(void)
{
    int pair[2];

    CHECK_EQ(pipe(pair), 0);
    CHECK_EQ(anysync_wait_fd(pair[0], ANYSYNC_READABLE, anysync_in_us(10)), -ETIMEDOUT);
    close(pair[0]);
    close(pair[1]);
    return test_fd_count();
}

static void check_failed_dial(void)
{
    char address[ANYSYNC_ADDRESS_SIZE];
    int fd = -2, listener = listen_here(address), fds = count_descriptors();

    CHECK_EQ(anysync_listen(address, 0, &fd), -EADDRINUSE);
    CHECK_CONTAINS(anysync_last_error()->message, address);
    close(listener);
    CHECK_EQ(anysync_dial(address, &fd, ANYSYNC_FOREVER), -ECONNREFUSED);
    CHECK_CONTAINS(anysync_last_error()->message, address);
    CHECK_EQ(anysync_dial("unix:/nowhere/at/all", &fd, ANYSYNC_FOREVER), -ENOENT);
    CHECK_CONTAINS(anysync_last_error()->message, "unix:/nowhere/at/all");
    CHECK_EQ(fd, -2);
    CHECK_EQ(test_fd_count(), fds - 1);
}

TEST(a_dial_that_fails_names_the_address)
{
    check_failed_dial();
    CHECK_EQ(in_coroutine_run_here(check_failed_dial), 0);
}

TEST(a_dead_sockets_file_is_replaced)
{
    char path[] = "/tmp/anysync-net-XXXXXX", address[60];
    int file = mkstemp(path), fd = -1, other = -1;

    snprintf(address, sizeof(address), "unix:%s", path);
    CHECK_EQ(anysync_listen(address, 0, &fd), -EADDRINUSE); /* it is no socket, and stays */
    close(file);
    CHECK_EQ(unlink(path), 0);
    CHECK_EQ(anysync_listen(address, 0, &fd), 0);
    CHECK_EQ(anysync_listen(address, 0, &other), -EADDRINUSE);
    close(fd);
    CHECK_EQ(anysync_listen(address, 0, &fd), 0);
    close(dial(address));
    close(fd);
    unlink(path);
}

static int linger(int fd, void *argument)
{
    char byte;
    ssize_t count = anysync_read(fd, &byte, 1, ANYSYNC_FOREVER);

    (void)argument;
    close(fd);
    return count < 0 ? (int)count : 0;
}

static void check_deadlines(void)
{
    char name[40], address[ANYSYNC_ADDRESS_SIZE];
    int fd = -1, fds[64], count = 0, listener = listen_here(address);

    anysync_time deadline = anysync_in_ms(1);
    CHECK_EQ(anysync_serve(listener, 1, linger, NULL, deadline), -ETIMEDOUT);
    CHECK_GE(anysync_now(), deadline);
    int client = dial(address);
    CHECK_EQ(anysync_serve(listener, 1, linger, NULL, anysync_in_ms(1)), -ETIMEDOUT);
    close(client);
    close(listener);
    snprintf(name, sizeof(name), "unix:@anysync-full-%d", (int)getpid());
    CHECK_EQ(anysync_listen(name, 1, &listener), 0);
    for (; count < 64 && anysync_dial(name, &fd, ANYSYNC_POLL) == 0; count++)
        fds[count] = fd;
    CHECK_GE(63, count); /* its backlog is full */
    CHECK_EQ(anysync_dial(name, &fd, anysync_in_ms(1)), -ETIMEDOUT);
    while (count > 0)
        close(fds[--count]);
    close(listener);
}

TEST(each_call_ends_at_its_deadline)
{
    in_every_world(check_deadlines);
}

/* --- serving ---------------------------------------------------------------------------------- */

/* What handlers tell. */
struct tally {
    atomic_int running, most, served;
};

/* Sends back a line, one more byte. */
static int echo(int fd, void *argument)
{
    struct tally *tally = argument;
    struct anysync_stream *stream = NULL;
    char *line = NULL;
    size_t size = 0;
    int running = atomic_fetch_add(&tally->running, 1) + 1, seen = atomic_load(&tally->most);

    while (running > seen && !atomic_compare_exchange_weak(&tally->most, &seen, running))
        ;
    CHECK_EQ(anysync_stream_open(fd, &stream), 0);
    int error = anysync_stream_read_until(stream, "\n", 1, 100, &line, &size, ANYSYNC_FOREVER);
    if (!error)
        error = anysync_stream_write(stream, line, size, ANYSYNC_FOREVER);
    int closed = anysync_stream_close(stream, ANYSYNC_FOREVER);
    atomic_fetch_sub(&tally->running, 1);
    atomic_fetch_add(&tally->served, 1);
    return error ? error : closed;
}

ANYSYNC_COROUTINE(
        void, server, (int, fd), (size_t, most), (anysync_serve_fn *, handler), (void *, argument))
{
    return anysync_serve(fd, most, handler, argument, ANYSYNC_FOREVER);
}

static void end_server(server_future *task)
{
    CHECK_EQ(server_cancel(task), 0);
    CHECK_EQ(server_wait(task, ANYSYNC_FOREVER), -ECANCELED);
    server_drop(task);
}

static void ask_for(const char *address, int number)
{
    struct anysync_stream *stream = NULL;
    char text[20], got[20] = "";
    int size = snprintf(text, sizeof(text), "number %d\n", number);

    CHECK_EQ(anysync_stream_open(dial(address), &stream), 0);
    CHECK_EQ(anysync_stream_write(stream, text, (size_t)size, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_stream_flush(stream, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_stream_read_exactly(stream, got, (size_t)size - 1, ANYSYNC_FOREVER), 0);
    CHECK(memcmp(got, text, (size_t)size - 1) == 0);
    CHECK_EQ(anysync_stream_read(stream, got, 1, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_stream_close(stream, ANYSYNC_FOREVER), 0);
}

static void check_many(void)
{
    struct tally tally = {0};
    char address[ANYSYNC_ADDRESS_SIZE];
    int listener = listen_here(address);
    server_future task;

    CHECK_EQ(server_start(&task, listener, 10, echo, &tally), 0);
    for (int i = 0; i < 20; i++)
        ask_for(address, i);
    end_server(&task);
    CHECK_EQ(atomic_load(&tally.served), 20);
    close(listener);
}

TEST(a_server_serves_many)
{
    in_every_world(check_many);
}

static int hold(int fd, void *argument)
{
    atomic_int *count = argument;

    atomic_fetch_add(count, 1);
    return linger(fd, NULL);
}

/* Two run, the third waits in the backlog until one of them ends. */
static void check_full(void)
{
    atomic_int count = 0;
    char address[ANYSYNC_ADDRESS_SIZE];
    int listener = listen_here(address), clients[3];
    server_future task;

    CHECK_EQ(server_start(&task, listener, 2, hold, &count), 0);
    for (int i = 0; i < 3; i++)
        clients[i] = dial(address);
    while (atomic_load(&count) < 2)
        CHECK_EQ(server_wait(&task, anysync_in_us(100)), -ETIMEDOUT);
    CHECK_EQ(server_wait(&task, anysync_in_ms(5)), -ETIMEDOUT);
    CHECK_EQ(atomic_load(&count), 2);
    CHECK_EQ(anysync_wait_fd(listener, ANYSYNC_READABLE, ANYSYNC_FOREVER), ANYSYNC_READABLE);
    close(clients[0]);
    while (atomic_load(&count) < 3)
        CHECK_EQ(server_wait(&task, anysync_in_us(100)), -ETIMEDOUT);
    end_server(&task);
    close(clients[1]);
    close(clients[2]);
    close(listener);
}

TEST(a_full_server_does_not_accept)
{
    in_every_world(check_full);
}

static void check_end(void)
{
    atomic_int count = 0;
    char address[ANYSYNC_ADDRESS_SIZE], byte;
    int listener = listen_here(address), client = dial(address);
    server_future task;

    CHECK_EQ(server_start(&task, listener, 5, hold, &count), 0);
    while (atomic_load(&count) < 1)
        CHECK_EQ(server_wait(&task, anysync_in_us(100)), -ETIMEDOUT);
    end_server(&task);
    CHECK_EQ(anysync_read(client, &byte, 1, ANYSYNC_POLL), 0); /* the handler closed it */
    close(client);
    close(listener);
}

TEST(a_cancelled_server_ends_its_handlers)
{
    in_every_world(check_end);
}

static void check_never_began(void)
{
    atomic_int count = 0;
    char address[ANYSYNC_ADDRESS_SIZE], byte;
    int listener = listen_here(address), fds = count_descriptors(), client = dial(address);

    /* It accepts without suspending, and then has no time: the handler never begins. */
    CHECK_EQ(anysync_wait_fd(listener, ANYSYNC_READABLE, ANYSYNC_FOREVER), ANYSYNC_READABLE);
    CHECK_EQ(anysync_serve(listener, 5, hold, &count, ANYSYNC_POLL), -ETIMEDOUT);
    CHECK_EQ(atomic_load(&count), 0);
    CHECK_EQ(anysync_read(client, &byte, 1, ANYSYNC_FOREVER), 0);
    close(client);
    CHECK_EQ(test_fd_count(), fds);
    close(listener);
}

TEST(a_handler_that_never_began_leaks_nothing)
{
    CHECK_EQ(in_coroutine_run_here(check_never_began), 0);
}

static atomic_int reported;

static void on_error(const char *task, const struct anysync_error *error, void *context)
{
    (void)task, (void)context;
    CHECK_EQ(error->code, -EIO);
    CHECK_CONTAINS(error->message, "no good");
    atomic_fetch_add(&reported, 1);
}

static int break_down(int fd, void *argument)
{
    (void)argument;
    close(fd);
    return anysync_fail(-EIO, "no good");
}

static void check_failing(void)
{
    char address[ANYSYNC_ADDRESS_SIZE], byte;
    int listener = listen_here(address), before = atomic_load(&reported);
    server_future task;

    CHECK_EQ(server_start(&task, listener, 1, break_down, NULL), 0);
    for (int i = 0; i < 5; i++) {
        int client = dial(address);
        CHECK_EQ(anysync_read(client, &byte, 1, ANYSYNC_FOREVER), 0);
        close(client);
    }
    end_server(&task);
    CHECK_EQ(atomic_load(&reported), before + 5);
    close(listener);
}

TEST(a_failing_handler_ends_its_connection_only)
{
    anysync_set_error_hook(on_error, NULL);
    in_every_world(check_failing);
}

static void check_no_descriptors(void)
{
    struct tally tally = {0};
    char address[ANYSYNC_ADDRESS_SIZE], got[2] = "";
    int listener = listen_here(address), client = dial(address);
    struct rlimit before, none;
    server_future task;

    CHECK_EQ(server_start(&task, listener, 3, echo, &tally), 0);
    CHECK_EQ(server_wait(&task, ANYSYNC_POLL), -ETIMEDOUT);
    ask_for(address, 1); /* all that the loop needs is open: this one is served */
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    int late = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    struct sockaddr_in to = {.sin_family = AF_INET};
    CHECK_EQ(inet_pton(AF_INET, "127.0.0.1", &to.sin_addr), 1);
    to.sin_port = htons((in_port_t)atoi(strrchr(address, ':') + 1));
    CHECK_EQ(connect(late, (struct sockaddr *)&to, sizeof(to)), 0);
    CHECK_EQ(server_wait(&task, anysync_in_ms(30)), -ETIMEDOUT); /* it goes on */
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    CHECK_EQ(write(late, "a\n", 2), 2);
    CHECK_EQ(anysync_read(late, got, 1, ANYSYNC_FOREVER), 1);
    CHECK_STR(got, "a");
    close(late);
    close(client);
    end_server(&task);
    close(listener);
}

TEST(a_server_survives_a_lack_of_descriptors)
{
    check_no_descriptors();
    CHECK_EQ(in_coroutine_run_here(check_no_descriptors), 0);
}

/* As dial(), without a call of the library: its memory is refused already. */
static int connect_plainly(const char *text)
{
    struct asi_address address;

    CHECK_EQ(asi_address_parse("", text, &address), 0);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(connect(fd, asi_address_pointer(&address), address.size), 0);
    return fd;
}

static void check_no_memory(void)
{
    struct tally tally = {0};
    char address[ANYSYNC_ADDRESS_SIZE], byte;
    int listener = listen_here(address);
    server_future task;

    CHECK_EQ(server_start(&task, listener, 3, echo, &tally), 0);
    ask_for(address, 1);
    fault_fail("malloc", 1, false);
    int client = connect_plainly(address);
    CHECK_EQ(read(client, &byte, 1), 0); /* this one is dropped */
    fault_clear();
    close(client);
    ask_for(address, 2);
    end_server(&task);
    CHECK_EQ(atomic_load(&tally.served), 2);
    close(listener);
}

TEST(a_server_survives_a_lack_of_memory)
{
    check_no_memory();
}

static void in_callback(evutil_socket_t fd, short events, void *argument)
{
    char address[ANYSYNC_ADDRESS_SIZE];
    int listener = listen_here(address), client = -1;

    (void)fd, (void)events;
    CHECK_EQ(anysync_serve(listener, 1, linger, NULL, ANYSYNC_FOREVER), -EDEADLK);
    int status = anysync_dial(address, &client, ANYSYNC_FOREVER);
    CHECK(status == 0 || status == -EDEADLK);
    if (status == 0)
        close(client);
    close(listener);
    set(argument, 0);
}

static void check_callback(void)
{
    call_back(in_callback);
}

TEST(a_callback_cannot_serve)
{
    CHECK_EQ(in_coroutine_run(check_callback), 0);
}

TEST(a_server_without_room_is_refused)
{
    char address[ANYSYNC_ADDRESS_SIZE];
    int listener = listen_here(address), plain = socket(AF_INET, SOCK_STREAM, 0);

    CHECK_EQ(anysync_serve(listener, 0, linger, NULL, ANYSYNC_FOREVER), -EINVAL);
    CHECK_EQ(anysync_serve(1000, 1, linger, NULL, ANYSYNC_FOREVER), -EBADF);
    CHECK_EQ(fcntl(plain, F_SETFL, O_NONBLOCK), 0);
    CHECK_EQ(anysync_serve(plain, 1, linger, NULL, ANYSYNC_FOREVER), -EINVAL);
    close(plain);
    close(listener);
}

/* --- stress ----------------------------------------------------------------------------------- */

static void visit(void *argument, int index)
{
    long visits = test_scaled(100);

    for (long i = 0; i < visits; i++)
        ask_for(argument, (int)i * 10 + index);
}

TEST(stress_many_clients_of_a_small_server)
{
    enum { CLIENTS = 8, MOST = 3 };
    struct tally tally = {0};
    char address[ANYSYNC_ADDRESS_SIZE];
    int listener = listen_here(address);
    server_future task;

    CHECK_EQ(server_start(&task, listener, MOST, echo, &tally), 0);
    test_together(CLIENTS, visit, address);
    end_server(&task);
    CHECK_EQ(atomic_load(&tally.served), CLIENTS * test_scaled(100));
    CHECK_GE(MOST, atomic_load(&tally.most));
    close(listener);
}
