/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* RTLD_NEXT */
/*
 * Names (include/anysync/resolve.h), in every world.  This program has a getaddrinfo() of its own,
 * which the library's calls find before the C library's: names that end in ".slow" hang in it until
 * a test lets them go, "two.test" has two addresses, "answer.test" has none: a test says why.  All
 * others are passed on.
 *
 * Promised                                       Tested by
 *   K9 names and numbers                         k9_names_and_numbers_are_found
 *      numbers need no thread, in callbacks too  k9_numbers_need_no_thread
 *      codes, and sentences with both names      k9_what_is_not_found_is_named
 *                                                k9_each_answer_has_its_code
 *      a deadline holds though the resolver      k9_a_slow_resolver_is_left_at_the_deadline
 *        hangs, and memory stays the job's         (and the leak check)
 *      so does a cancel                          k9_a_cancel_leaves_at_once
 *      others are not held up                    k9_hanging_names_keep_no_job_waiting
 *      dialling tries each address               k9_dialling_tries_each_address
 *        with its share of the time              k9_a_silent_address_gets_its_share
 *                                                k9_a_refused_dial_names_the_host
 *      refusals lose nothing                     k9_refused_at_each_place
 */
#include "fault.h"
#include "futures.h"
#include "jobs.h"
#include "worlds.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <unistd.h>

static atomic_bool released;
static atomic_int hanging;
static atomic_int asked; /* with names */
static struct sockaddr_in dead;

static atomic_int answer, system_error; /* for "answer.test" */

static int find_two(const struct addrinfo *hints, const char *service, struct addrinfo **found);

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
        struct addrinfo **found)
{
    size_t size = host ? strlen(host) : 0;

    if (hints->ai_flags & AI_NUMERICHOST)
        ; /* answered at once */
    else if (size > 5 && strcmp(host + size - 5, ".slow") == 0) {
        atomic_fetch_add(&hanging, 1);
        hold_until(&released);
        host = "127.0.0.1";
        atomic_fetch_sub(&hanging, 1);
    } else {
        atomic_fetch_add(&asked, 1);
        if (host && strcmp(host, "answer.test") == 0) {
            errno = atomic_load(&system_error);
            return atomic_load(&answer);
        }
        if (host && strcmp(host, "two.test") == 0)
            return find_two(hints, service, found);
    }
    void *symbol = dlsym(RTLD_NEXT, "getaddrinfo");
    CHECK(symbol != NULL);
    int (*call)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    memcpy(&call, &symbol, sizeof(call));
    return call(host, service, hints, found);
}

/* A dead address before the living one. */
static int find_two(const struct addrinfo *hints, const char *service, struct addrinfo **found)
{
    char port[16];

    snprintf(port, sizeof(port), "%d", ntohs(dead.sin_port));
    int error = getaddrinfo("127.0.0.1", port, hints, found);
    return error ? error : getaddrinfo("127.0.0.1", service, hints, &(*found)->ai_next);
}

static uint16_t port_of(const struct anysync_addresses *addresses)
{
    struct sockaddr_in in;

    CHECK_GE(addresses->count, 1);
    CHECK_EQ(addresses->list[0].family, AF_INET);
    memcpy(&in, &addresses->list[0].at, sizeof(in));
    CHECK_EQ(in.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
    return ntohs(in.sin_port);
}

static void expect_port(const char *host, const char *service, int port)
{
    const struct anysync_resolve_options options = {.family = AF_INET};
    struct anysync_addresses *addresses = NULL;

    CHECK_EQ(anysync_resolve(host, service, &options, ANYSYNC_FOREVER, &addresses), 0);
    CHECK_EQ(port_of(addresses), port);
    CHECK_EQ(addresses->list[0].type, SOCK_STREAM);
    anysync_free(addresses);
}

static void check_found(void)
{
    expect_port("localhost", "80", 80);
    expect_port("127.0.0.1", "4711", 4711);
    expect_port(NULL, "80", 80);
    expect_port("localhost", NULL, 0);
}

TEST(k9_names_and_numbers_are_found)
{
    in_worlds(EVERYWHERE_AND_POOL, check_found);
}

static void find_in_callback(evutil_socket_t fd, short events, void *called)
{
    struct anysync_addresses *addresses = NULL;

    (void)fd;
    (void)events;
    expect_port("127.0.0.1", "80", 80);
    CHECK_EQ(atomic_load(&asked), 0);
    CHECK_EQ(anysync_resolve("localhost", "80", NULL, ANYSYNC_FOREVER, &addresses), -EDEADLK);
    CHECK_CONTAINS(anysync_last_error()->message, "localhost, 80 was not resolved: a callback");
    set(called, 0);
}

static void check_callback(void)
{
    call_back(find_in_callback);
}

TEST(k9_numbers_need_no_thread)
{
    in_worlds(WORKER | HERE, check_callback);
}

static void check_missing(void)
{
    struct anysync_addresses *addresses = NULL;
    char name[2000];

    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    CHECK_EQ(anysync_resolve("127.0.0.1", "no-such-service", NULL, ANYSYNC_FOREVER, &addresses),
            -ENOENT);
    CHECK_CONTAINS(anysync_last_error()->message, "127.0.0.1, no-such-service: ");
    CHECK_CONTAINS(anysync_last_error()->message, gai_strerror(EAI_SERVICE));
    CHECK_EQ(anysync_resolve(NULL, NULL, NULL, ANYSYNC_FOREVER, &addresses), -EINVAL);
    CHECK_EQ(anysync_resolve(name, "80", NULL, ANYSYNC_FOREVER, &addresses), -EINVAL);
    CHECK_EQ(anysync_resolve("localhost", name, NULL, ANYSYNC_FOREVER, &addresses), -EINVAL);
    CHECK_EQ(anysync_resolve("127.0.0.1", "80", &(struct anysync_resolve_options){.family = 999},
                     ANYSYNC_FOREVER, &addresses),
            -EINVAL);
    CHECK(addresses == NULL);
}

TEST(k9_what_is_not_found_is_named)
{
    in_worlds(EVERYWHERE_AND_POOL, check_missing);
}

/* --- resolvers that hang ---------------------------------------------------------------------- */

static void let_go(void)
{
    atomic_store(&released, true);
    while (atomic_load(&hanging) > 0)
        nap();
    atomic_store(&released, false);
}

static void check_slow(void)
{
    struct anysync_addresses *addresses = NULL;
    anysync_time deadline = anysync_in_ms(1);

    CHECK_EQ(anysync_resolve("host.slow", "80", NULL, deadline, &addresses), -ETIMEDOUT);
    CHECK_GE(anysync_now(), deadline);
    CHECK_STR(anysync_last_error()->message, "host.slow, 80 was not resolved: the deadline passed");
    CHECK_EQ(anysync_resolve("host.slow", "80", NULL, ANYSYNC_POLL, &addresses), -ETIMEDOUT);
    CHECK_EQ(anysync_dial_name("host.slow", "80", anysync_in_ms(1), &(int){0}), -ETIMEDOUT);
    CHECK(addresses == NULL);
    let_go();
}

TEST(k9_a_slow_resolver_is_left_at_the_deadline)
{
    in_worlds(EVERYWHERE_AND_POOL, check_slow);
}

ANYSYNC_COROUTINE(void, resolves, (const char *, host))
{
    struct anysync_addresses *addresses;
    int error = anysync_resolve(host, "80", NULL, ANYSYNC_FOREVER, &addresses);

    if (!error)
        anysync_free(addresses);
    return error;
}

static void check_cancel(void)
{
    resolves_future task;

    CHECK_EQ(resolves_start(&task, "host.slow"), 0);
    CHECK_EQ(anysync_yield(), 0);
    CHECK_EQ(resolves_cancel(&task), 0);
    CHECK_EQ(resolves_wait(&task, ANYSYNC_FOREVER), -ECANCELED);
    resolves_drop(&task);
    let_go();
}

TEST(k9_a_cancel_leaves_at_once)
{
    in_worlds(IN_COROUTINES, check_cancel);
}

TEST(k9_hanging_names_keep_no_job_waiting)
{
    enum { MANY = 60 };
    resolves_future tasks[MANY];
    int sum = 0;

    for (int i = 0; i < MANY; i++)
        CHECK_EQ(resolves_start(&tasks[i], "host.slow"), 0);
    while (atomic_load(&hanging) < 8)
        nap();
    CHECK_EQ(add_offload(NULL, &sum, 1, 2), 0); /* of the default limiter */
    CHECK_EQ(sum, 3);
    CHECK_EQ(atomic_load(&hanging), 8);
    atomic_store(&released, true);
    for (int i = 0; i < MANY; i++) {
        CHECK_EQ(resolves_wait(&tasks[i], ANYSYNC_FOREVER), 0);
        resolves_drop(&tasks[i]);
    }
}

/* --- dialling --------------------------------------------------------------------------------- */

static int listen_here(struct sockaddr_in *address, bool listens)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    socklen_t size = sizeof(*address);

    *address =
            (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    CHECK_EQ(bind(fd, (struct sockaddr *)address, size), 0);
    CHECK_EQ(getsockname(fd, (struct sockaddr *)address, &size), 0);
    CHECK_EQ(listens ? listen(fd, 5) : 0, 0);
    return fd;
}

static void check_dial(void)
{
    struct sockaddr_in address;
    int listener = listen_here(&address, true), refuser = listen_here(&dead, false);
    int peer, fd;
    char port[16], byte = 0;

    snprintf(port, sizeof(port), "%d", ntohs(address.sin_port));
    const char *hosts[] = {"127.0.0.1", "localhost", "two.test"};
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(anysync_dial_name(hosts[i], port, anysync_in_seconds(3600), &fd), 0);
        CHECK(fcntl(fd, F_GETFL) & O_NONBLOCK);
        CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        peer = accept(listener, NULL, NULL);
        CHECK_EQ(write(peer, "x", 1), 1);
        CHECK_EQ(anysync_read(fd, &byte, 1, ANYSYNC_FOREVER), 1);
        close(peer);
        close(fd);
    }
    close(listener);
    close(refuser);
}

TEST(k9_dialling_tries_each_address)
{
    in_worlds(EVERYWHERE_AND_POOL, check_dial);
}

static void check_refused(void)
{
    struct sockaddr_in address;
    int other = listen_here(&address, false), refuser = listen_here(&dead, false), fd = 99;
    char port[16], expected[100];

    snprintf(port, sizeof(port), "%d", ntohs(address.sin_port));
    CHECK_EQ(anysync_dial_name("two.test", port, ANYSYNC_FOREVER, &fd), -ECONNREFUSED);
    snprintf(expected, sizeof(expected),
            "two.test, %s: not connected, 2 addresses tried: nobody listens there", port);
    CHECK_STR(anysync_last_error()->message, expected);
    CHECK_EQ(fd, 99);
    int fds = test_fd_count();
    CHECK_EQ(anysync_dial_name("two.test", port, ANYSYNC_FOREVER, &fd), -ECONNREFUSED);
    CHECK_EQ(test_fd_count(), fds);
    close(other);
    close(refuser);
}

TEST(k9_a_refused_dial_names_the_host)
{
    in_worlds(EVERYWHERE_AND_POOL, check_refused);
}

/* The first address does not answer: its queue is full.  Whatever time there is, half of it is left
 * for the second. */
static void check_share(void)
{
    struct sockaddr_in address;
    int listener = listen_here(&address, true), silent = listen_here(&dead, false), fill[3], fd;
    char port[16];

    CHECK_EQ(listen(silent, 0), 0);
    for (int i = 0; i < 3; i++) {
        fill[i] = socket(AF_INET, SOCK_STREAM, 0);
        CHECK_EQ(i == 0 ? 0 : fcntl(fill[i], F_SETFL, O_NONBLOCK), 0);
        int error = connect(fill[i], (struct sockaddr *)&dead, sizeof(dead));
        CHECK(error == 0 || (i > 0 && errno == EINPROGRESS));
    }
    snprintf(port, sizeof(port), "%d", ntohs(address.sin_port));
    for (int64_t ms = 10;; ms *= 2) {
        anysync_time deadline = anysync_in_ms(ms);
        int error = anysync_dial_name("two.test", port, deadline, &fd);
        bool in_time = anysync_now() < deadline;
        CHECK(error == 0 || !in_time);
        if (!error)
            close(fd);
        if (in_time)
            break;
    }
    for (int i = 0; i < 3; i++)
        close(fill[i]);
    close(listener);
    close(silent);
}

TEST(k9_a_silent_address_gets_its_share)
{
    in_worlds(EVERYWHERE_AND_POOL, check_share);
}

static void check_answers(void)
{
    static const struct {
        int answer, system_error, code;
    } answers[] = {
            {EAI_AGAIN, 0, -EAGAIN},
            {EAI_MEMORY, 0, -ENOMEM},
            {EAI_FAIL, 0, -EIO},
            {EAI_SYSTEM, ENFILE, -ENFILE},
            {EAI_SYSTEM, 0, -EIO},
            {EAI_FAMILY, 0, -EINVAL},
            {EAI_SERVICE, 0, -ENOENT},
    };

    for (size_t i = 0; i < sizeof(answers) / sizeof(*answers); i++) {
        struct anysync_addresses *addresses = NULL;
        atomic_store(&answer, answers[i].answer);
        atomic_store(&system_error, answers[i].system_error);
        CHECK_EQ(anysync_resolve("answer.test", "80", NULL, ANYSYNC_FOREVER, &addresses),
                answers[i].code);
        CHECK(addresses == NULL);
        CHECK_CONTAINS(anysync_last_error()->message, "answer.test");
    }
}

TEST(k9_each_answer_has_its_code)
{
    in_worlds(EVERYWHERE_AND_POOL, check_answers);
}

TEST(k9_refused_at_each_place)
{
    /* Once more with a thread that is there already: then its own work is refused memory. */
    for (int nth = 1, rounds = 0; rounds < 2; nth++) {
        struct anysync_addresses *addresses = NULL;
        fault_fail(FAULT_ANY, nth, false);
        int error = anysync_resolve("localhost", "80", NULL, ANYSYNC_FOREVER, &addresses);
        bool reached = fault_failed(FAULT_ANY) > 0;
        fault_clear();
        CHECK(error == 0 || error == -ENOMEM || error == -EAGAIN);
        CHECK_EQ(addresses != NULL, error == 0);
        anysync_free(addresses);
        if (!reached) {
            rounds++;
            nth = 0;
        }
    }
}
