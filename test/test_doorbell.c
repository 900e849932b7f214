/* SPDX-License-Identifier: MIT */
/*
 * Doorbell (lib/thread/doorbell.h).
 *
 * Promised                                Tested by
 *   a ring after the ticket ends the sleep, a_ring_after_the_ticket_ends_the_sleep,
 *   one before it does not                  a_ring_before_the_ticket_does_not
 *   the deadline ends it                    sleeping_ends_at_the_deadline_and_not_before
 *   rings go where the loop says            rings_go_to_the_descriptor, rings_go_to_the_word_again
 *   the descriptor stays the same           the_descriptor_is_made_once
 *   an edge for each ring, without reading  each_ring_is_an_edge (Linux)
 *   ringing keeps errno, and never blocks   ringing_keeps_errno, ringing_a_full_bell_returns
 *   no descriptors: -EMFILE                 no_descriptors_are_told
 *   a child forgets the parent's            a_child_has_a_bell_of_its_own
 *   ring is async-signal-safe               a_signal_handler_may_ring
 *   order of ring and sleep (TSan), no ring stress_no_ring_is_lost_on_the_word,
 *   lost                                    stress_no_ring_is_lost_on_the_descriptor (time limit)
 */
#include "harness.h"

#include "fault.h"
#include "thread/doorbell.h"

#include <errno.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/epoll.h>
#endif

enum { MS = 1000000 };

static bool readable(int fd)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

    return poll(&poll_fd, 1, 0) == 1;
}

static int descriptor_of(struct asi_doorbell *bell)
{
    int fd = asi_doorbell_use_descriptor(bell);

    CHECK_GE(fd, 0);
    return fd;
}

TEST(a_ring_after_the_ticket_ends_the_sleep)
{
    struct asi_doorbell bell;

    asi_doorbell_init(&bell);
    uint32_t ticket = asi_doorbell_ticket(&bell);
    asi_doorbell_ring(&bell);
    CHECK(asi_doorbell_sleep(&bell, ticket, ANYSYNC_FOREVER));
    CHECK_NE(asi_doorbell_ticket(&bell), ticket);
}

TEST(a_ring_before_the_ticket_does_not)
{
    struct asi_doorbell bell;

    asi_doorbell_init(&bell);
    asi_doorbell_ring(&bell);
    uint32_t ticket = asi_doorbell_ticket(&bell);
    CHECK(!asi_doorbell_sleep(&bell, ticket, ANYSYNC_POLL));
}

TEST(sleeping_ends_at_the_deadline_and_not_before)
{
    struct asi_doorbell bell;

    asi_doorbell_init(&bell);
    int64_t deadline = test_now_ns() + 20 * MS;
    while (asi_doorbell_sleep(&bell, asi_doorbell_ticket(&bell), deadline))
        ;
    CHECK_GE(test_now_ns(), deadline);
}

TEST(rings_go_to_the_descriptor)
{
    struct asi_doorbell bell;

    asi_doorbell_init(&bell);
    uint32_t ticket = asi_doorbell_ticket(&bell);
    int fd = descriptor_of(&bell);
    CHECK(!readable(fd));
    asi_doorbell_ring(&bell);
    CHECK(readable(fd));
    CHECK_EQ(asi_doorbell_ticket(&bell), ticket);
    asi_doorbell_drain(&bell);
    CHECK(!readable(fd));
    asi_doorbell_in_child(&bell); /* closes it */
}

TEST(rings_go_to_the_word_again)
{
    struct asi_doorbell bell;

    asi_doorbell_init(&bell);
    int fd = descriptor_of(&bell);
    asi_doorbell_use_word(&bell);
    uint32_t ticket = asi_doorbell_ticket(&bell);
    asi_doorbell_ring(&bell);
    CHECK(!readable(fd));
    CHECK(asi_doorbell_sleep(&bell, ticket, ANYSYNC_FOREVER));
    asi_doorbell_in_child(&bell);
}

TEST(the_descriptor_is_made_once)
{
    struct asi_doorbell bell;

    asi_doorbell_init(&bell);
    int fd = descriptor_of(&bell);
    int count = test_fd_count();
    asi_doorbell_use_word(&bell);
    CHECK_EQ(descriptor_of(&bell), fd);
    CHECK_EQ(test_fd_count(), count);
    asi_doorbell_in_child(&bell);
}

#if defined(__linux__)
TEST(each_ring_is_an_edge)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    struct asi_doorbell bell;

    asi_doorbell_init(&bell);
    int fd = descriptor_of(&bell);
    CHECK(!asi_doorbell_is_level(&bell));
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    CHECK_GE(epoll_fd, 0);
    CHECK_EQ(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event), 0);
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(epoll_wait(epoll_fd, &event, 1, 0), 0);
        asi_doorbell_ring(&bell);
        CHECK_EQ(epoll_wait(epoll_fd, &event, 1, 0), 1);
    }
    close(epoll_fd);
    asi_doorbell_in_child(&bell);
}

TEST(ringing_a_full_bell_returns)
{
    uint64_t nearly_all = UINT64_MAX - 1;
    struct asi_doorbell bell;

    asi_doorbell_init(&bell);
    int fd = descriptor_of(&bell);
    CHECK_EQ(write(fd, &nearly_all, sizeof(nearly_all)), sizeof(nearly_all));
    errno = EDOM;
    asi_doorbell_ring(&bell);
    CHECK_EQ(errno, EDOM);
    CHECK(readable(fd));
    asi_doorbell_in_child(&bell);
}
#endif

TEST(ringing_keeps_errno)
{
    struct asi_doorbell bell;

    asi_doorbell_init(&bell);
    errno = EDOM;
    asi_doorbell_ring(&bell);
    CHECK_EQ(errno, EDOM);
    descriptor_of(&bell);
    errno = EDOM;
    asi_doorbell_ring(&bell);
    CHECK_EQ(errno, EDOM);
    asi_doorbell_in_child(&bell);
}

TEST(no_descriptors_are_told)
{
    struct rlimit before, none = {0};
    struct asi_doorbell bell;

    asi_doorbell_init(&bell);
    fault_fail("eventfd", 1, false);
    CHECK_EQ(asi_doorbell_use_descriptor(&bell), -EMFILE);
    fault_clear();
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    none.rlim_max = before.rlim_max;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
    CHECK_EQ(asi_doorbell_use_descriptor(&bell), -EMFILE);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
    uint32_t ticket = asi_doorbell_ticket(&bell);
    asi_doorbell_ring(&bell); /* still the word */
    CHECK_NE(asi_doorbell_ticket(&bell), ticket);
    CHECK_GE(asi_doorbell_use_descriptor(&bell), 0);
    asi_doorbell_in_child(&bell);
}

static int forget_in_child(void *argument)
{
    struct asi_doorbell *bell = argument;
    int count = test_fd_count();

    asi_doorbell_in_child(bell);
    CHECK_EQ(test_fd_count(), count - (asi_doorbell_is_level(bell) ? 2 : 1));
    uint32_t ticket = asi_doorbell_ticket(bell);
    asi_doorbell_ring(bell);
    CHECK_NE(asi_doorbell_ticket(bell), ticket);
    return 0;
}

TEST(a_child_has_a_bell_of_its_own)
{
    struct asi_doorbell bell;

    asi_doorbell_init(&bell);
    int fd = descriptor_of(&bell);
    struct test_child child = test_child(forget_in_child, &bell);
    CHECK_STR(child.errors, "");
    CHECK_EQ(child.status, 0);
    CHECK(!readable(fd)); /* the child did not ring here */
    free(child.errors);
    asi_doorbell_in_child(&bell);
}

static struct asi_doorbell *rung_by_signal;

static void on_signal(int number)
{
    (void)number;
    asi_doorbell_ring(rung_by_signal);
}

TEST(a_signal_handler_may_ring)
{
    struct sigaction action = {.sa_handler = on_signal};
    struct asi_doorbell bell;

    asi_doorbell_init(&bell);
    rung_by_signal = &bell;
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    uint32_t ticket = asi_doorbell_ticket(&bell);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK(asi_doorbell_sleep(&bell, ticket, ANYSYNC_FOREVER));
    int fd = descriptor_of(&bell);
    CHECK_EQ(raise(SIGUSR1), 0);
    CHECK(readable(fd));
    asi_doorbell_in_child(&bell);
}

/* --- stress ----------------------------------------------------------------------------------- */

struct house {
    struct asi_doorbell bell;
    int fd;     /* -1: the word */
    long value; /* plain: written before each ring, read after each sleep */
    sem_t go;   /* back: the next ring may come */
    long count;
};

static void ring_often(void *argument, int index)
{
    struct house *house = argument;

    (void)index;
    for (long i = 0; i < house->count; i++) {
        while (sem_wait(&house->go) != 0)
            ;
        if (house->fd < 0)
            house->value = i + 1;
        asi_doorbell_ring(&house->bell);
    }
}

TEST(stress_no_ring_is_lost_on_the_word)
{
    struct house house = {.fd = -1, .count = test_scaled(100000)};

    asi_doorbell_init(&house.bell);
    CHECK_EQ(sem_init(&house.go, 0, 0), 0);
    struct test_threads *threads = test_threads_start(1, ring_often, &house);
    for (long i = 0; i < house.count; i++) {
        uint32_t ticket = asi_doorbell_ticket(&house.bell);
        sem_post(&house.go);
        while (asi_doorbell_ticket(&house.bell) == ticket)
            asi_doorbell_sleep(&house.bell, ticket, ANYSYNC_FOREVER);
        CHECK_EQ(house.value, i + 1);
    }
    test_threads_join(threads);
    sem_destroy(&house.go);
}

TEST(stress_no_ring_is_lost_on_the_descriptor)
{
    struct house house = {.count = test_scaled(50000)};

    asi_doorbell_init(&house.bell);
    house.fd = descriptor_of(&house.bell);
    CHECK_EQ(sem_init(&house.go, 0, 0), 0);
    struct test_threads *threads = test_threads_start(1, ring_often, &house);
    for (long i = 0; i < house.count; i++) {
        struct pollfd poll_fd = {.fd = house.fd, .events = POLLIN};
        sem_post(&house.go);
        while (poll(&poll_fd, 1, -1) != 1)
            ;
        asi_doorbell_drain(&house.bell);
    }
    test_threads_join(threads);
    CHECK(!readable(house.fd));
    sem_destroy(&house.go);
    asi_doorbell_in_child(&house.bell);
}
