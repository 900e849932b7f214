/* SPDX-License-Identifier: MIT */
/*
 * Poller (lib/loop/poller.h).
 *
 * Promised                                  Tested by
 *   no base until one is needed               a_sleep_without_watches_needs_no_base
 *   sleep ends by ring, deadline, readiness   a_ring_ends_the_sleep, _also_with_a_base,
 *                                             the_deadline_ends_the_sleep, _also_with_a_base,
 *                                             a_ready_descriptor_ends_the_sleep
 *   earlier and later deadlines in turn       the_clock_may_be_set_back_and_forth
 *   watch fires once, says what is ready      a_watch_fires_once, a_watch_says_what_is_ready
 *   unwatch, also after it fired              an_unwatched_descriptor_stays_silent
 *   poll never waits, costs nothing idle      a_poll_without_watches_asks_nobody,
 *                                             a_poll_finds_what_is_ready
 *   errors: -EMFILE and no exit; -EPERM       no_descriptors_are_told_and_libevent_lives,
 *   from the system; -EBADF                   a_base_that_cannot_be_made_is_told,
 *                                             what_cannot_be_watched_is_told
 *   open again after fini                     a_poller_opens_again_after_its_end,
 *                                             opening_leaks_no_descriptors
 *   in a child: forget, touch nothing         a_child_forgets_the_base
 *   no ring lost in any kind of sleep         stress_no_ring_is_lost_while_polling (time limit)
 */
#include "harness.h"

#include "fault.h"
#include "loop/poller.h"

#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <unistd.h>

enum { MS = 1000000, READABLE = 1, WRITABLE = 2 };

struct loop {
    struct asi_doorbell bell;
    struct asi_poller poller;
};

static void loop_init(struct loop *loop)
{
    asi_doorbell_init(&loop->bell);
    asi_poller_init(&loop->poller, &loop->bell);
}

static void loop_open(struct loop *loop)
{
    loop_init(loop);
    CHECK_EQ(asi_poller_open(&loop->poller), 0);
    CHECK(loop->poller.base != NULL);
}

static void loop_fini(struct loop *loop)
{
    asi_poller_fini(&loop->poller);
    asi_doorbell_in_child(&loop->bell); /* closes its descriptor, which otherwise stays */
}

static void loop_sleep(struct loop *loop, uint32_t ticket, anysync_time deadline)
{
    asi_poller_sleep(&loop->poller, ticket, deadline);
}

struct seen {
    int count;
    unsigned ready;
};

static void note(void *context, unsigned ready)
{
    struct seen *seen = context;

    seen->count++;
    seen->ready = ready;
}

struct pair {
    int read_fd, write_fd;
};

static struct pair open_pipe(void)
{
    int fds[2];

    CHECK_EQ(pipe(fds), 0);
    return (struct pair){fds[0], fds[1]};
}

static void close_pipe(struct pair pair)
{
    close(pair.read_fd);
    close(pair.write_fd);
}

TEST(a_sleep_without_watches_needs_no_base)
{
    struct loop loop;
    int fds = test_fd_count();

    loop_init(&loop);
    loop_sleep(&loop, asi_doorbell_ticket(&loop.bell), test_now_ns() + MS);
    CHECK(loop.poller.base == NULL);
    CHECK_EQ(test_fd_count(), fds);
    CHECK_EQ(asi_counter_get(&loop.poller.sleeps), 1);
    CHECK_EQ(asi_counter_get(&loop.poller.polls), 0);
    loop_fini(&loop);
}

TEST(a_ring_ends_the_sleep)
{
    struct loop loop;

    loop_init(&loop);
    uint32_t ticket = asi_doorbell_ticket(&loop.bell);
    asi_doorbell_ring(&loop.bell);
    loop_sleep(&loop, ticket, ANYSYNC_FOREVER); /* returns */
    loop_fini(&loop);
}

TEST(a_ring_ends_the_sleep_also_with_a_base)
{
    struct loop loop;

    loop_open(&loop);
    for (int i = 0; i < 5; i++) {
        uint32_t ticket = asi_doorbell_ticket(&loop.bell);
        asi_doorbell_ring(&loop.bell);
        loop_sleep(&loop, ticket, ANYSYNC_FOREVER);
    }
    loop_fini(&loop);
}

/* A sleep may end for no reason: until the deadline it is begun again. */
static void sleep_out(struct loop *loop, int64_t deadline)
{
    do
        loop_sleep(loop, asi_doorbell_ticket(&loop->bell), deadline);
    while (test_now_ns() < deadline);
}

TEST(the_deadline_ends_the_sleep)
{
    struct loop loop;

    loop_init(&loop);
    sleep_out(&loop, test_now_ns() + 20 * MS);
    loop_fini(&loop);
}

TEST(the_deadline_ends_the_sleep_also_with_a_base)
{
    struct loop loop;

    loop_open(&loop);
    for (int i = 0; i < 5; i++) {
        sleep_out(&loop, test_now_ns() + 5 * MS);
        sleep_out(&loop, ANYSYNC_POLL); /* long past */
        sleep_out(&loop, test_now_ns() - 1);
    }
    CHECK_GE(100, asi_counter_get(&loop.poller.sleeps)); /* it slept, and did not spin */
    loop_fini(&loop);
}

TEST(the_clock_may_be_set_back_and_forth)
{
    static const int delays_ms[] = {8, 2, 5, 1, 9, 3};
    struct loop loop;

    loop_open(&loop);
    for (int i = 0; i < 6; i++) {
        /* Set for later, woken early by a ring; then for earlier. */
        asi_doorbell_ring(&loop.bell);
        loop_sleep(&loop, 0, test_now_ns() + 50 * (int64_t)MS);
        sleep_out(&loop, test_now_ns() + delays_ms[i] * MS);
    }
    loop_fini(&loop);
}

TEST(a_ready_descriptor_ends_the_sleep)
{
    struct seen seen = {0};
    struct asi_watch watch;
    struct pair pipe = open_pipe();
    struct loop loop;

    loop_init(&loop);
    CHECK_EQ(asi_poller_watch(&loop.poller, &watch, pipe.read_fd, READABLE, NULL, note, &seen), 0);
    CHECK(asi_poller_watches(&loop.poller));
    CHECK_EQ(write(pipe.write_fd, "x", 1), 1);
    while (seen.count == 0)
        loop_sleep(&loop, asi_doorbell_ticket(&loop.bell), ANYSYNC_FOREVER);
    CHECK_EQ(seen.ready, READABLE);
    asi_watches_remove(&watch);
    loop_fini(&loop);
    close_pipe(pipe);
}

TEST(a_watch_fires_once)
{
    struct seen seen = {0};
    struct asi_watch watch;
    struct pair pipe = open_pipe();
    struct loop loop;

    loop_init(&loop);
    CHECK_EQ(asi_poller_watch(&loop.poller, &watch, pipe.write_fd, WRITABLE, NULL, note, &seen), 0);
    for (int i = 0; i < 5; i++)
        asi_poller_poll(&loop.poller);
    CHECK_EQ(seen.count, 1);
    CHECK_EQ(seen.ready, WRITABLE);
    CHECK(!asi_poller_watches(&loop.poller));
    asi_watches_remove(&watch);
    loop_fini(&loop);
    close_pipe(pipe);
}

TEST(a_watch_says_what_is_ready)
{
    struct seen both = {0}, reads = {0};
    struct asi_watch watch_both, watch_read;
    struct pair pipe = open_pipe();
    struct loop loop;

    loop_init(&loop);
    CHECK_EQ(asi_poller_watch(&loop.poller, &watch_both, pipe.write_fd, READABLE | WRITABLE, NULL,
                     note, &both),
            0);
    CHECK_EQ(
            asi_poller_watch(&loop.poller, &watch_read, pipe.read_fd, READABLE, NULL, note, &reads),
            0);
    asi_poller_poll(&loop.poller);
    CHECK_EQ(both.ready, WRITABLE);
    CHECK_EQ(reads.count, 0);
    close(pipe.write_fd); /* the end of a file is readable too */
    asi_poller_poll(&loop.poller);
    CHECK_EQ(reads.ready, READABLE);
    asi_watches_remove(&watch_both);
    asi_watches_remove(&watch_read);
    loop_fini(&loop);
    close(pipe.read_fd);
}

TEST(an_unwatched_descriptor_stays_silent)
{
    struct seen seen = {0};
    struct asi_watch watch;
    struct pair pipe = open_pipe();
    struct loop loop;

    loop_init(&loop);
    CHECK_EQ(asi_poller_watch(&loop.poller, &watch, pipe.write_fd, WRITABLE, NULL, note, &seen), 0);
    asi_watches_remove(&watch);
    asi_watches_remove(&watch); /* once more does nothing */
    CHECK(!asi_poller_watches(&loop.poller));
    asi_poller_poll(&loop.poller);
    CHECK_EQ(seen.count, 0);
    loop_fini(&loop);
    close_pipe(pipe);
}

TEST(a_poll_without_watches_asks_nobody)
{
    struct loop loop;

    loop_init(&loop);
    asi_poller_poll(&loop.poller);
    CHECK_EQ(asi_poller_open(&loop.poller), 0);
    CHECK_EQ(asi_poller_open(&loop.poller), 0); /* there is one already */
    CHECK(!asi_poller_watches(&loop.poller));
    asi_poller_poll(&loop.poller);
    CHECK_EQ(asi_counter_get(&loop.poller.polls), 0);
    loop_fini(&loop);
}

TEST(a_poll_finds_what_is_ready)
{
    struct seen seen = {0};
    struct asi_watch watch;
    struct pair pipe = open_pipe();
    struct loop loop;

    loop_init(&loop);
    CHECK_EQ(asi_poller_watch(&loop.poller, &watch, pipe.read_fd, READABLE, NULL, note, &seen), 0);
    asi_poller_poll(&loop.poller);
    CHECK_EQ(seen.count, 0);
    CHECK_EQ(write(pipe.write_fd, "x", 1), 1);
    asi_poller_poll(&loop.poller);
    CHECK_EQ(seen.count, 1);
    CHECK_EQ(asi_counter_get(&loop.poller.polls), 2);
    asi_watches_remove(&watch);
    loop_fini(&loop);
    close_pipe(pipe);
}

/* --- refusals --------------------------------------------------------------------------------- */

/* With every number of free descriptors from none to plenty: an error or a base, and never an
 * exit. */
TEST(no_descriptors_are_told_and_libevent_lives)
{
    struct rlimit before, limit;
    bool opened = false;
    int highest = dup(0);

    CHECK_GE(highest, 0);
    close(highest);
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    for (int room = 0; room < 20; room++) {
        struct loop loop;
        loop_init(&loop);
        limit = before;
        limit.rlim_cur = (rlim_t)(highest + room);
        CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
        int error = asi_poller_open(&loop.poller);
        CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
        CHECK(error == 0 || error == -EMFILE);
        CHECK_EQ(loop.poller.base != NULL, error == 0);
        CHECK(!opened || error == 0);
        opened = error == 0;
        loop_fini(&loop);
    }
    CHECK(opened);
}

TEST(a_base_that_cannot_be_made_is_told)
{
    static const char *const doors[] = {"base", "eventfd"};

    for (int i = 0; i < 2; i++) {
        struct loop loop;
        int fds = test_fd_count();

        loop_init(&loop);
        fault_fail(doors[i], 1, false);
        CHECK_EQ(asi_poller_open(&loop.poller), -EMFILE);
        fault_clear();
        CHECK(loop.poller.base == NULL);
        CHECK_EQ(test_fd_count(), fds);
        CHECK_EQ(asi_poller_open(&loop.poller), 0);
        loop_fini(&loop);
    }
}

TEST(what_cannot_be_watched_is_told)
{
    struct asi_watch watch;
    struct seen seen = {0};
    struct loop loop;
    FILE *file = tmpfile();

    CHECK(file != NULL);
    loop_init(&loop);
    int error = asi_poller_watch(&loop.poller, &watch, fileno(file), READABLE, NULL, note, &seen);
    CHECK_EQ(error, -EPERM); /* epoll knows no files */
    CHECK(watch.registration == NULL);
    int closed_fd = dup(0);
    close(closed_fd);
    CHECK_EQ(
            asi_poller_watch(&loop.poller, &watch, closed_fd, READABLE, NULL, note, &seen), -EBADF);
    CHECK(!asi_poller_watches(&loop.poller));
    asi_watches_remove(&watch);
    loop_fini(&loop);
    fclose(file);
}

/* --- again, and in a child -------------------------------------------------------------------- */

TEST(a_poller_opens_again_after_its_end)
{
    struct loop loop;

    loop_open(&loop);
    for (int i = 0; i < 3; i++) {
        asi_doorbell_ring(&loop.bell); /* left over from one life to the next */
        asi_poller_fini(&loop.poller);
        uint32_t ticket = asi_doorbell_ticket(&loop.bell);
        asi_doorbell_ring(&loop.bell);
        loop_sleep(&loop, ticket, ANYSYNC_FOREVER); /* on the word again */
        CHECK_EQ(asi_poller_open(&loop.poller), 0);
        sleep_out(&loop, test_now_ns() + 2 * MS);
    }
    loop_fini(&loop);
}

TEST(opening_leaks_no_descriptors)
{
    struct loop loop;

    loop_open(&loop);
    loop_fini(&loop);
    int fds = test_fd_count();
    for (int i = 0; i < 20; i++) {
        loop_open(&loop);
        loop_fini(&loop);
        CHECK_EQ(test_fd_count(), fds);
    }
}

static int use_in_child(void *argument)
{
    struct loop *loop = argument;
    struct asi_watch watch;
    struct seen seen = {0};
    struct pair pipe = open_pipe();

    asi_poller_in_child(&loop->poller);
    CHECK(loop->poller.base == NULL);
    uint32_t ticket = asi_doorbell_ticket(&loop->bell);
    asi_doorbell_ring(&loop->bell);
    loop_sleep(loop, ticket, ANYSYNC_FOREVER);
    CHECK_EQ(
            asi_poller_watch(&loop->poller, &watch, pipe.write_fd, WRITABLE, NULL, note, &seen), 0);
    asi_poller_poll(&loop->poller);
    CHECK_EQ(seen.count, 1);
    asi_watches_remove(&watch);
    loop_fini(loop);
    close_pipe(pipe);
    return 0;
}

TEST(a_child_forgets_the_base)
{
    struct asi_watch watch;
    struct seen seen = {0};
    struct pair pipe = open_pipe();
    struct loop loop;

    loop_init(&loop);
    CHECK_EQ(asi_poller_watch(&loop.poller, &watch, pipe.read_fd, READABLE, NULL, note, &seen), 0);
    struct test_child child = test_child(use_in_child, &loop);
    CHECK_STR(child.errors, "");
    CHECK(child.exited);
    CHECK_EQ(child.status, 0);
    free(child.errors);
    CHECK_EQ(write(pipe.write_fd, "x", 1), 1); /* the parent's watch is untouched */
    asi_poller_poll(&loop.poller);
    CHECK_EQ(seen.count, 1);
    asi_watches_remove(&watch);
    loop_fini(&loop);
    close_pipe(pipe);
}

/* --- stress ----------------------------------------------------------------------------------- */

struct ringer {
    struct loop loop;
    sem_t go;
    atomic_long rung; /* rings that are over; relaxed: the bell is what is tested */
    long count;
};

static void ring_often(void *argument, int index)
{
    struct ringer *ringer = argument;

    (void)index;
    for (long i = 1; i <= ringer->count; i++) {
        while (sem_wait(&ringer->go) != 0)
            ;
        atomic_store_explicit(&ringer->rung, i, memory_order_relaxed);
        asi_doorbell_ring(&ringer->loop.bell);
    }
}

/* Between sleeps the loop changes from word to base and back; a ring that is lost hangs. */
TEST(stress_no_ring_is_lost_while_polling)
{
    struct ringer ringer = {.count = test_scaled(20000)};
    struct loop *loop = &ringer.loop;

    loop_init(loop);
    CHECK_EQ(sem_init(&ringer.go, 0, 0), 0);
    struct test_threads *threads = test_threads_start(1, ring_often, &ringer);
    for (long i = 1; i <= ringer.count; i++) {
        if (i % 500 == 100)
            CHECK_EQ(asi_poller_open(&loop->poller), 0);
        if (i % 500 == 400)
            asi_poller_fini(&loop->poller);
        uint32_t ticket = asi_doorbell_ticket(&loop->bell);
        sem_post(&ringer.go);
        while (atomic_load_explicit(&ringer.rung, memory_order_relaxed) < i)
            loop_sleep(loop, ticket, ANYSYNC_FOREVER);
    }
    test_threads_join(threads);
    sem_destroy(&ringer.go);
    loop_fini(loop);
}
