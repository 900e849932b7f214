/* SPDX-License-Identifier: MIT */
/*
 * Names by evdns (include/anysync/dns.h), asked of a name server of this file's own on loopback,
 * which does what the name says: NAME.good has the address 127.0.0.7, NAME.none there is not,
 * NAME.silent is not answered, NAME.garbage is answered by noise, NAME.fail by a failure.
 *
 * Promised                                       Tested by
 *   names are found, in every world                names_are_found_in_every_world
 *   codes, with both names                         what_is_not_found_is_named
 *   a deadline holds, silence or garbage           a_silent_server_is_left_at_the_deadline
 *                                                  garbage_is_no_answer
 *     and so do tries                              a_server_that_never_answers_is_given_up
 *   a cancel holds                                 a_cancel_leaves_at_once
 *   an answer that comes with the deadline         stress_an_answer_at_the_deadline_is_freed
 *   many at once                                   stress_many_names_at_once
 *   options                                        servers_that_are_none_are_named
 *   nothing is left                                nothing_is_left
 *
 * Packages: libevent_extra
 * With: lib/dns/dns.c
 */
#include "futures.h"
#include "worlds.h"

#include <anysync/dns.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

/* --- the name server -------------------------------------------------------------------------- */

static char server_address[ANYSYNC_ADDRESS_SIZE];
static int server_fd;
static atomic_int asked; /* questions that were not answered */

enum { HEAD = 12, PACKET = 512 };

/* The last label of the name in PACKET, and where the question ends. */
static size_t read_name(const unsigned char *packet, size_t size, char last[64])
{
    size_t at = HEAD;

    while (at < size && packet[at]) {
        memcpy(last, packet + at + 1, packet[at] & 63u);
        last[packet[at] & 63u] = '\0';
        at += packet[at] + 1u;
    }
    for (char *letter = last; *letter; letter++)
        *letter |= 0x20; /* evdns plays with the case */
    return at + 5;
}

/* Turn the question into an answer.  Returns its size, 0: none. */
static size_t answer(unsigned char *packet, size_t size)
{
    static const unsigned char record[] = {0xc0, HEAD, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 127, 0, 0, 7};
    char last[64] = "";
    size_t end = read_name(packet, size, last);
    bool wants_four = packet[end - 3] == 1;

    packet[2] |= 0x80;
    packet[10] = packet[11] = 0; /* no additional records */
    if (strcmp(last, "good") == 0) {
        packet[7] = wants_four;
        memcpy(packet + end, record, sizeof(record));
        return end + (wants_four ? sizeof(record) : 0);
    }
    if (strcmp(last, "none") == 0 || strcmp(last, "fail") == 0) {
        packet[3] = last[0] == 'n' ? 3 : 2;
        return end;
    }
    atomic_fetch_add(&asked, 1);
    if (strcmp(last, "garbage") != 0)
        return 0;
    memset(packet + 2, 0xff, 40); /* the number is right */
    return 42;
}

ANYSYNC_COROUTINE(void, serve_names)
{
    unsigned char packet[PACKET + 64];
    char from[ANYSYNC_ADDRESS_SIZE];

    for (;;) {
        ssize_t count = anysync_receive_from(server_fd, packet, PACKET, from, ANYSYNC_FOREVER);
        if (count < 0)
            return (int)count;
        size_t size = answer(packet, (size_t)count);
        if (size > 0)
            CHECK_EQ(anysync_send_to(server_fd, packet, size, from, ANYSYNC_FOREVER), 0);
    }
}

static serve_names_future server;
static struct anysync_executor *server_home; /* a nested run would hold up the global worker */

static struct anysync_dns *new_dns(int tries)
{
    const char *servers[] = {server_address, NULL};
    const struct anysync_dns_options options = {
            .servers = servers, .tries = tries, .try_ns = tries ? 2000000 : 0};
    struct anysync_dns *dns = NULL;

    if (!server_address[0]) {
        CHECK_EQ(anysync_bind("127.0.0.1:0", &server_fd), 0);
        CHECK_EQ(anysync_local_address(server_fd, server_address), 0);
        CHECK_EQ(anysync_executor_new(NULL, &server_home), 0);
        CHECK_EQ(serve_names_start_on(server_home, &server), 0);
    }
    CHECK_EQ(anysync_dns_new(&options, &dns), 0);
    return dns;
}

static void end_server(void)
{
    CHECK_EQ(serve_names_cancel(&server), 0);
    CHECK_EQ(serve_names_wait(&server, ANYSYNC_FOREVER), -ECANCELED);
    serve_names_drop(&server);
    CHECK_EQ(anysync_executor_shutdown(server_home, ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    anysync_executor_unref(server_home);
    close(server_fd);
    server_address[0] = '\0';
}

/* --- questions -------------------------------------------------------------------------------- */

static struct anysync_dns *dns;

static void expect_found(const char *host)
{
    const struct anysync_resolve_options options = {.family = AF_INET};
    struct anysync_addresses *addresses = NULL;
    struct sockaddr_in in;

    CHECK_EQ(anysync_dns_resolve(dns, host, "4711", &options, ANYSYNC_FOREVER, &addresses), 0);
    CHECK_EQ(addresses->count, 1);
    CHECK_EQ(addresses->list[0].type, SOCK_STREAM);
    memcpy(&in, &addresses->list[0].at, sizeof(in));
    CHECK_EQ(in.sin_family, AF_INET);
    CHECK_EQ(in.sin_addr.s_addr, inet_addr("127.0.0.7"));
    CHECK_EQ(ntohs(in.sin_port), 4711);
    anysync_free(addresses);
}

static void check_found(void)
{
    expect_found("some.good");
    expect_found("127.0.0.7");
    struct anysync_addresses *addresses = NULL;
    CHECK_EQ(anysync_dns_resolve(dns, "other.good", "80", NULL, ANYSYNC_FOREVER, &addresses), 0);
    CHECK_GE(addresses->count, 1); /* it has no address of IPv6 */
    anysync_free(addresses);
}

TEST(names_are_found_in_every_world)
{
    dns = new_dns(0);
    in_worlds(EVERYWHERE_AND_POOL, check_found);
    anysync_dns_free(dns);
    anysync_dns_free(NULL);
    end_server();
}

static int fails(const char *host, anysync_time deadline)
{
    struct anysync_addresses *addresses = NULL;

    int error = anysync_dns_resolve(dns, host, "80", NULL, deadline, &addresses);
    CHECK(addresses == NULL);
    CHECK_CONTAINS(anysync_last_error()->message, host);
    CHECK_CONTAINS(anysync_last_error()->message, ", 80");
    return error;
}

static void in_callback(evutil_socket_t fd, short events, void *called)
{
    (void)fd;
    (void)events;
    CHECK_EQ(fails("some.good", ANYSYNC_FOREVER), -EDEADLK);
    set(called, 0);
}

static void check_callback(void)
{
    call_back(in_callback);
}

static void check_missing(void)
{
    struct anysync_addresses *addresses = NULL;

    CHECK_EQ(fails("some.none", ANYSYNC_FOREVER), -ENOENT);
    CHECK_EQ(fails("some.fail", ANYSYNC_FOREVER), -EAGAIN);
    CHECK_EQ(anysync_dns_resolve(dns, NULL, NULL, NULL, ANYSYNC_FOREVER, &addresses), -EINVAL);
    check_found(); /* it is there again */
}

TEST(what_is_not_found_is_named)
{
    dns = new_dns(0);
    in_worlds(EVERYWHERE_AND_POOL, check_missing);
    CHECK_EQ(in_coroutine_run(check_callback), 0);
    anysync_dns_free(dns);
    end_server();
}

static void check_silent(void)
{
    anysync_time deadline = anysync_in_ms(3);

    CHECK_EQ(fails("some.silent", deadline), -ETIMEDOUT);
    CHECK_GE(anysync_now(), deadline);
    CHECK_EQ(fails("some.silent", ANYSYNC_POLL), -ETIMEDOUT);
    check_found();
}

TEST(a_silent_server_is_left_at_the_deadline)
{
    dns = new_dns(0);
    in_worlds(EVERYWHERE_AND_POOL, check_silent);
    anysync_dns_free(dns);
    end_server();
}

static void check_garbage(void)
{
    int error = fails("some.garbage", anysync_in_ms(20));

    CHECK(error == -ETIMEDOUT || error == -EAGAIN);
}

TEST(garbage_is_no_answer)
{
    dns = new_dns(0);
    in_every_world(check_garbage);
    CHECK_GE(atomic_load(&asked), 1);
    anysync_dns_free(dns);
    dns = new_dns(0);
    check_found();
    anysync_dns_free(dns);
    end_server();
}

TEST(a_server_that_never_answers_is_given_up)
{
    dns = new_dns(2);
    int error = fails("some.silent", ANYSYNC_FOREVER);
    CHECK(error == -ETIMEDOUT || error == -EAGAIN);
    CHECK_GE(atomic_load(&asked), 2);
    anysync_dns_free(dns);
    end_server();
}

ANYSYNC_COROUTINE(void, find, (const char *, host))
{
    struct anysync_addresses *addresses = NULL;

    int error = anysync_dns_resolve(dns, host, "80", NULL, ANYSYNC_FOREVER, &addresses);
    if (!error)
        anysync_free(addresses);
    return error;
}

static void check_cancel(void)
{
    find_future task;

    CHECK_EQ(find_start(&task, "some.silent"), 0);
    CHECK_EQ(anysync_yield(), 0);
    CHECK_EQ(find_cancel(&task), 0);
    CHECK_EQ(find_wait(&task, ANYSYNC_FOREVER), -ECANCELED);
    find_drop(&task);
}

TEST(a_cancel_leaves_at_once)
{
    dns = new_dns(0);
    CHECK_EQ(in_coroutine_run(check_cancel), 0);
    CHECK_EQ(in_coroutine_run_here(check_cancel), 0);
    anysync_dns_free(dns);
    end_server();
}

/* Deadlines about as far off as the answer is: it may come when the wait for it is just over, and
 * is freed by nobody else then. */
static void ask_just_in_time(void *nothing, int index)
{
    const struct anysync_resolve_options options = {.family = AF_INET};
    int64_t patience_ns = 100000;

    (void)nothing, (void)index;
    for (int i = 0; i < 4000; i++) {
        struct anysync_addresses *addresses = NULL;
        int error = anysync_dns_resolve(
                dns, "some.good", "80", &options, anysync_in_ns(patience_ns), &addresses);

        CHECK(error == 0 || error == -ETIMEDOUT);
        if (error)
            CHECK_CONTAINS(anysync_last_error()->message, "some.good");
        else
            anysync_free(addresses);
        patience_ns += error ? patience_ns / 16 : -(patience_ns / 16);
    }
}

TEST(stress_an_answer_at_the_deadline_is_freed)
{
    dns = new_dns(0);
    test_together(8, ask_just_in_time, NULL);
    anysync_dns_free(dns);
    end_server();
}

TEST(stress_many_names_at_once)
{
    enum { MANY = 200 };
    static const char *const hosts[] = {"a.good", "b.good", "c.none", "d.silent"};
    find_future tasks[MANY];

    dns = new_dns(0);
    for (int i = 0; i < MANY; i++)
        CHECK_EQ(find_start(&tasks[i], hosts[i % 4]), 0);
    for (int i = 0; i < MANY; i++) {
        if (i % 4 == 3)
            CHECK(find_cancel(&tasks[i]) >= 0);
        int error = find_wait(&tasks[i], ANYSYNC_FOREVER);
        CHECK_EQ(error, i % 4 == 3 ? -ECANCELED : i % 4 == 2 ? -ENOENT : 0);
        find_drop(&tasks[i]);
    }
    anysync_dns_free(dns);
    end_server();
}

TEST(servers_that_are_none_are_named)
{
    const char *servers[] = {"127.0.0.1:53", "not.a.number", NULL};
    const struct anysync_dns_options options = {.servers = servers};

    CHECK_EQ(anysync_dns_new(&options, &dns), -EINVAL);
    CHECK_CONTAINS(anysync_last_error()->message, "\"not.a.number\" is no address");
    servers[0] = NULL;
    CHECK_EQ(anysync_dns_new(&options, &dns), -ENOENT);
    CHECK(dns == NULL);
}

TEST(nothing_is_left)
{
    dns = new_dns(0);
    check_found();
    anysync_dns_free(dns);
    int fds = test_fd_count(), threads = test_thread_count();
    for (int i = 0; i < 5; i++) {
        dns = new_dns(0);
        check_found();
        check_silent();
        anysync_dns_free(dns);
    }
    CHECK_EQ(test_fd_count(), fds);
    while (test_thread_count() > threads) /* the system counts one that was joined a moment ago */
        sched_yield();
    end_server();
}
