/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* POLLRDHUP */
/*
 * Registrations that outlive a wait (lib/loop/watches.h), and reads that rely on them.
 *
 * Promised                                        Tested by
 *   the next wait finds what was kept               a_second_wait_costs_no_registration
 *   what nobody waits for goes                      what_nobody_waits_for_is_dropped
 *   a number that is used again misses nothing      a_number_used_again_is_found_before_the_sleep,
 *                                                   _by_a_busy_loop, _among_many, _by_another_owner
 *     and is not trusted a second time              (the same)
 *   what was closed leaves the others alone         a_closed_descriptor_is_forgotten
 *   a wait for more events                          a_wait_for_more_leaves_nobody_behind
 *   a base that is shared: nothing is kept,         sharing_keeps_waits_and_nothing_else,
 *     users' events hear of numbers used again      a_users_event_hears_of_a_number_used_again
 *   a short read from a stream empties it           a_short_read_empties_a_stream,
 *     not one from anything else, nor a last one    _but_no_other_kind, the_last_read_is_tried
 *   data that is there counts: at a deadline,       what_is_there_is_read_without_waiting,
 *     for a task that is cancelled                  _at_a_deadline, _in_spite_of_a_cancel
 *   a peer that goes right after its data           an_end_right_behind_data_is_seen,
 *                                                   a_reset_right_behind_data_is_seen
 *   wait_fd says the truth                          wait_fd_is_not_deceived
 *   numbers used again by all and sundry            stress_numbers_are_used_again (time limit)
 *
 * The poller itself: test_poller.c.  Descriptors in tasks: test_io.c, test_io_loop.c.
 */
#include "futures.h"
#include "pairs.h"

#include "loop/poller.h"

#include <anysync/io.h>

#include <arpa/inet.h>
#include <event2/event.h>
#include <netinet/in.h>
#include <poll.h>

enum { MS = 1000000, READABLE = 1, WRITABLE = 2, MANY = 30 };

struct loop {
    struct asi_doorbell bell;
    struct asi_poller poller;
};

static const int owner, other_owner;

static void loop_open(struct loop *loop)
{
    asi_doorbell_init(&loop->bell);
    asi_poller_init(&loop->poller, &loop->bell);
    CHECK_EQ(asi_poller_open(&loop->poller), 0);
    if (!loop->poller.watches.keeps)
        test_skip("libevent knows no edges here");
}

static void loop_fini(struct loop *loop)
{
    asi_poller_fini(&loop->poller);
    asi_doorbell_in_child(&loop->bell); /* closes its descriptor, which otherwise stays */
}

static void loop_sleep(struct loop *loop, int64_t deadline)
{
    asi_poller_sleep(&loop->poller, asi_doorbell_ticket(&loop->bell), deadline);
}

struct seen {
    struct asi_watch watch;
    int count;
    unsigned ready;
};

static void note(void *context, unsigned ready)
{
    struct seen *seen = context;

    seen->count++;
    seen->ready = ready;
}

static void watch(struct loop *loop, struct seen *seen, int fd, unsigned events, const void *whose)
{
    CHECK_EQ(asi_poller_watch(&loop->poller, &seen->watch, fd, events, whose, note, seen), 0);
}

static void sleep_until_seen(struct loop *loop, const struct seen *seen)
{
    while (seen->count == 0)
        loop_sleep(loop, ANYSYNC_FOREVER);
}

static void put(int fd)
{
    CHECK_EQ(write(fd, "a", 1), 1);
}

static void take(int fd)
{
    char byte;

    CHECK_EQ(read(fd, &byte, 1), 1);
}

/* A wait for PAIR[0] that ends, so that its registration is kept. */
static void wait_once(struct loop *loop, const int pair[2])
{
    struct seen seen = {.count = 0};

    watch(loop, &seen, pair[0], READABLE, &owner);
    put(pair[1]);
    while (seen.count == 0)
        asi_poller_poll(&loop->poller);
    take(pair[0]);
}

/* PAIR is closed, and another has the same numbers. */
static void use_numbers_again(int pair[2])
{
    int fresh[2];

    open_pair(PIPE, fresh);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(dup2(fresh[i], pair[i]), pair[i]);
        close(fresh[i]);
    }
}

TEST(a_second_wait_costs_no_registration)
{
    struct seen seen = {.count = 0};
    struct loop loop;
    int pair[2];

    loop_open(&loop);
    open_pair(PIPE, pair);
    wait_once(&loop, pair);
    CHECK_EQ(loop.poller.watches.doubtful_count, 1);
    struct asi_registration *kept = loop.poller.watches.by_fd[pair[0]];
    watch(&loop, &seen, pair[0], READABLE, &owner);
    CHECK_EQ(loop.poller.watches.doubtful_count, 1); /* it was trusted, not made anew */
    CHECK(loop.poller.watches.by_fd[pair[0]] == kept);
    put(pair[1]);
    asi_poller_poll(&loop.poller);
    CHECK_EQ(seen.count, 1);
    loop_fini(&loop);
    close_pair(pair);
}

TEST(what_nobody_waits_for_is_dropped)
{
    struct loop loop;
    int pair[2];

    loop_open(&loop);
    open_pair(PIPE, pair);
    wait_once(&loop, pair);
    CHECK(!asi_poller_watches(&loop.poller));
    loop_sleep(&loop, test_now_ns() + MS);
    CHECK(loop.poller.watches.by_fd[pair[0]] == NULL);
    CHECK_EQ(loop.poller.watches.doubtful_count, 0);
    loop_fini(&loop);
    close_pair(pair);
}

/* --- numbers that are used again -------------------------------------------------------------- */

TEST(a_number_used_again_is_found_before_the_sleep)
{
    struct seen seen = {.count = 0};
    struct loop loop;
    int pair[2];

    loop_open(&loop);
    open_pair(PIPE, pair);
    wait_once(&loop, pair);
    use_numbers_again(pair);
    watch(&loop, &seen, pair[0], READABLE, &owner);
    put(pair[1]);
    sleep_until_seen(&loop, &seen);
    CHECK(loop.poller.watches.careful);
    loop_fini(&loop);
    close_pair(pair);
}

TEST(a_number_used_again_is_found_by_a_busy_loop)
{
    struct seen seen = {.count = 0};
    struct loop loop;
    int pair[2];

    loop_open(&loop);
    open_pair(PIPE, pair);
    wait_once(&loop, pair);
    use_numbers_again(pair);
    watch(&loop, &seen, pair[0], READABLE, &owner);
    put(pair[1]);
    while (seen.count == 0)
        asi_poller_poll(&loop.poller);
    CHECK(loop.poller.watches.careful);
    /* Once bitten: now it is made anew each time. */
    take(pair[0]);
    use_numbers_again(pair);
    seen.count = 0;
    watch(&loop, &seen, pair[0], READABLE, &owner);
    CHECK_EQ(loop.poller.watches.doubtful_count, 0);
    put(pair[1]);
    asi_poller_poll(&loop.poller);
    CHECK_EQ(seen.count, 1);
    loop_fini(&loop);
    close_pair(pair);
}

TEST(a_number_used_again_is_found_among_many)
{
    struct seen seen[MANY] = {{.count = 0}};
    struct loop loop;
    int pairs[MANY][2];

    loop_open(&loop);
    for (int i = 0; i < MANY; i++) {
        open_pair(PIPE, pairs[i]);
        wait_once(&loop, pairs[i]);
    }
    use_numbers_again(pairs[7]);
    for (int i = 0; i < MANY; i++)
        watch(&loop, &seen[i], pairs[i][0], READABLE, &owner);
    put(pairs[7][1]);
    sleep_until_seen(&loop, &seen[7]);
    put(pairs[8][1]); /* the others are as they were */
    sleep_until_seen(&loop, &seen[8]);
    CHECK_EQ(seen[9].count, 0);
    loop_fini(&loop);
    for (int i = 0; i < MANY; i++)
        close_pair(pairs[i]);
}

TEST(a_number_used_again_is_found_by_another_owner)
{
    struct seen seen = {.count = 0};
    struct loop loop;
    int pair[2];

    loop_open(&loop);
    open_pair(PIPE, pair);
    wait_once(&loop, pair);
    use_numbers_again(pair);
    watch(&loop, &seen, pair[0], READABLE, &other_owner);
    CHECK_EQ(loop.poller.watches.doubtful_count, 0);
    put(pair[1]);
    asi_poller_poll(&loop.poller);
    CHECK_EQ(seen.count, 1);
    CHECK(!loop.poller.watches.careful); /* nobody relied on it */
    loop_fini(&loop);
    close_pair(pair);
}

TEST(a_closed_descriptor_is_forgotten)
{
    struct seen seen = {.count = 0};
    struct loop loop;
    int pair[2], left[2];

    loop_open(&loop);
    open_pair(PIPE, left);
    open_pair(PIPE, pair);
    wait_once(&loop, pair);
    watch(&loop, &seen, left[0], READABLE, &owner);
    int copy = dup(pair[0]); /* keeps the system from forgetting it */
    close(pair[0]);
    put(pair[1]);
    for (int i = 0; i < 5; i++)
        loop_sleep(&loop, test_now_ns() + MS);
    CHECK_GE(20, asi_counter_get(&loop.poller.polls)); /* it did sleep */
    CHECK_EQ(seen.count, 0);
    put(left[1]);
    sleep_until_seen(&loop, &seen);
    loop_fini(&loop);
    close(copy);
    close(pair[1]);
    close_pair(left);
}

TEST(a_wait_for_more_leaves_nobody_behind)
{
    struct seen reads = {.count = 0}, writes = {.count = 0};
    struct loop loop;
    int pair[2];

    loop_open(&loop);
    open_pair(SOCKET, pair);
    watch(&loop, &reads, pair[0], READABLE, &owner);
    watch(&loop, &writes, pair[0], WRITABLE, &other_owner);
    asi_poller_poll(&loop.poller);
    CHECK_EQ(writes.ready, WRITABLE);
    CHECK_EQ(reads.count, 0);
    put(pair[1]);
    asi_poller_poll(&loop.poller);
    CHECK_EQ(reads.ready, READABLE);
    loop_fini(&loop);
    close_pair(pair);
}

/* --- a base that is shared -------------------------------------------------------------------- */

TEST(sharing_keeps_waits_and_nothing_else)
{
    struct seen reads = {.count = 0}, writes = {.count = 0};
    struct loop loop;
    int pair[2], idle[2];

    loop_open(&loop);
    open_pair(SOCKET, pair);
    open_pair(PIPE, idle);
    wait_once(&loop, idle);
    fill(pair[0]);
    watch(&loop, &reads, pair[0], READABLE, &owner);
    watch(&loop, &writes, pair[0], WRITABLE, &other_owner);
    asi_poller_share(&loop.poller);
    CHECK(loop.poller.watches.by_fd[idle[0]] == NULL);
    CHECK_EQ(loop.poller.watches.doubtful_count, 0);
    put(pair[1]);
    asi_poller_poll(&loop.poller);
    CHECK_EQ(reads.count, 1);
    asi_poller_poll(&loop.poller); /* nobody waits for it, though it is ready */
    CHECK_EQ(reads.count, 1);
    CHECK_EQ(writes.count, 0);
    char rest[4096];
    while (recv(pair[1], rest, sizeof(rest), MSG_DONTWAIT) > 0)
        ;
    asi_poller_poll(&loop.poller);
    CHECK_EQ(writes.count, 1);
    CHECK(loop.poller.watches.by_fd[pair[0]] == NULL);
    loop_fini(&loop);
    close_pair(pair);
    close_pair(idle);
}

static void count_event(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    ++*(int *)argument;
}

TEST(a_users_event_hears_of_a_number_used_again)
{
    struct loop loop;
    int pair[2], count = 0;

    loop_open(&loop);
    open_pair(PIPE, pair);
    asi_poller_share(&loop.poller);
    wait_once(&loop, pair);
    use_numbers_again(pair);
    struct event *event = event_new(loop.poller.base, pair[0], EV_READ, count_event, &count);
    CHECK(event != NULL);
    CHECK_EQ(event_add(event, NULL), 0);
    put(pair[1]);
    CHECK(asi_poller_watches(&loop.poller));
    asi_poller_poll(&loop.poller);
    CHECK_EQ(count, 1);
    event_free(event);
    loop_fini(&loop);
    close_pair(pair);
}

/* --- short reads ------------------------------------------------------------------------------ */

/* Two ends of a TCP connection.  A close resets it, so that no port is taken for a while. */
static void open_stream(int pair[2])
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

/* What the peer did when it closed has come. */
static void await_hang_up(int fd)
{
    struct pollfd pollfd = {.fd = fd, .events = POLLRDHUP};

    while (poll(&pollfd, 1, -1) < 1)
        ;
}

static bool knows_empty(const struct loop *loop, int fd)
{
    return asi_watches_knows_empty(&loop->poller.watches, fd, &owner);
}

TEST(a_short_read_empties_a_stream)
{
    struct loop loop;
    int pair[2];

    loop_open(&loop);
    open_stream(pair);
    wait_once(&loop, pair);
    CHECK(!knows_empty(&loop, pair[0]));
    asi_watches_note_short(&loop.poller.watches, pair[0], &other_owner);
    CHECK(!knows_empty(&loop, pair[0])); /* what others read says nothing to this one */
    asi_watches_note_short(&loop.poller.watches, pair[0], &owner);
    CHECK(knows_empty(&loop, pair[0]));
    CHECK(!asi_watches_knows_empty(&loop.poller.watches, pair[0], &other_owner));
    asi_watches_forget(&loop.poller.watches, pair[0]);
    CHECK(!knows_empty(&loop, pair[0]));
    loop_fini(&loop);
    close_pair(pair);
}

TEST(a_short_read_empties_no_other_kind)
{
    struct loop loop;

    loop_open(&loop);
    for (int kind = 0; kind < KINDS; kind++) {
        int pair[2];
        open_pair(kind, pair);
        wait_once(&loop, pair);
        asi_watches_note_short(&loop.poller.watches, pair[0], &owner);
        CHECK(!knows_empty(&loop, pair[0]));
        close_pair(pair);
    }
    loop_fini(&loop);
}

TEST(the_last_read_is_tried)
{
    struct seen seen = {.count = 0};
    struct loop loop;
    int pair[2];

    loop_open(&loop);
    open_stream(pair);
    watch(&loop, &seen, pair[0], READABLE, &owner);
    put(pair[1]);
    CHECK_EQ(shutdown(pair[1], SHUT_WR), 0);
    await_hang_up(pair[0]);
    sleep_until_seen(&loop, &seen);
    take(pair[0]);
    asi_watches_note_short(&loop.poller.watches, pair[0], &owner);
    CHECK(!knows_empty(&loop, pair[0]));
    loop_fini(&loop);
    close_pair(pair);
}

/* --- reads in a task -------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(void, say, (int, fd))
{
    put(fd);
    return 0;
}

/* A read that waits, and finds less than there is room for: the next one would wait untried. */
static void read_short(const int pair[2])
{
    char bytes[8];
    say_future saying;

    CHECK_EQ(say_start(&saying, pair[1]), 0);
    CHECK_EQ(anysync_read(pair[0], bytes, sizeof(bytes), ANYSYNC_FOREVER), 1);
    say_drop(&saying);
}

static void check_there(void)
{
    char byte;
    int pair[2];

    open_stream(pair);
    read_short(pair);
    put(pair[1]);
    CHECK_EQ(anysync_read(pair[0], &byte, 1, ANYSYNC_POLL), 1);
    CHECK_EQ(anysync_read(pair[0], &byte, 1, ANYSYNC_POLL), -ETIMEDOUT);
    close_pair(pair);
}

TEST(what_is_there_is_read_without_waiting)
{
    CHECK_EQ(in_coroutine_run(check_there), 0);
    CHECK_EQ(in_coroutine_run_here(check_there), 0);
}

static void check_deadline(void)
{
    char byte;
    int pair[2];

    open_stream(pair);
    read_short(pair);
    put(pair[1]);
    CHECK_EQ(anysync_read(pair[0], &byte, 1, anysync_now()), 1);
    read_short(pair);
    anysync_time deadline = anysync_in_us(200);
    CHECK_EQ(anysync_read(pair[0], &byte, 1, deadline), -ETIMEDOUT);
    CHECK_GE(anysync_now(), deadline);
    close_pair(pair);
}

TEST(what_is_there_is_read_at_a_deadline)
{
    CHECK_EQ(in_coroutine_run(check_deadline), 0);
    CHECK_EQ(in_coroutine_run_here(check_deadline), 0);
}

ANYSYNC_COROUTINE(void, read_cancelled, (struct anysync_future *, begun))
{
    char byte;
    int pair[2];

    open_stream(pair);
    read_short(pair);
    put(pair[1]);
    set(begun, 1);
    CHECK_EQ(anysync_sleep(ANYSYNC_FOREVER), -ECANCELED);
    CHECK_EQ(anysync_read(pair[0], &byte, 1, ANYSYNC_FOREVER), 1);
    CHECK_EQ(anysync_read(pair[0], &byte, 1, ANYSYNC_FOREVER), -ECANCELED);
    close_pair(pair);
    return 0;
}

TEST(what_is_there_is_read_in_spite_of_a_cancel)
{
    struct anysync_future *begun = new_future();
    read_cancelled_future task;

    CHECK_EQ(read_cancelled_start(&task, begun), 0);
    CHECK_EQ(anysync_wait(begun, NULL, ANYSYNC_FOREVER), 0);
    CHECK_EQ(read_cancelled_cancel(&task), 0);
    CHECK_EQ(read_cancelled_wait(&task, ANYSYNC_FOREVER), 0);
    read_cancelled_drop(&task);
    anysync_future_unref(begun);
}

static void check_end(void)
{
    char bytes[8];
    int pair[2];

    open_stream(pair);
    read_short(pair);
    put(pair[1]);
    CHECK_EQ(shutdown(pair[1], SHUT_WR), 0);
    await_hang_up(pair[0]);
    CHECK_EQ(anysync_read(pair[0], bytes, sizeof(bytes), ANYSYNC_FOREVER), 1);
    CHECK_EQ(anysync_read(pair[0], bytes, sizeof(bytes), ANYSYNC_FOREVER), 0);
    close_pair(pair);
}

TEST(an_end_right_behind_data_is_seen)
{
    CHECK_EQ(in_coroutine_run(check_end), 0);
    CHECK_EQ(in_coroutine_run_here(check_end), 0);
}

static void check_reset(void)
{
    char bytes[8];
    int pair[2];

    open_stream(pair);
    read_short(pair);
    put(pair[1]);
    close(pair[1]);
    await_hang_up(pair[0]);
    ssize_t count = anysync_read(pair[0], bytes, sizeof(bytes), ANYSYNC_FOREVER);
    if (count == 1) /* a system may drop what came before a reset */
        count = anysync_read(pair[0], bytes, sizeof(bytes), ANYSYNC_FOREVER);
    CHECK_EQ(count, -ECONNRESET);
    close(pair[0]);
}

TEST(a_reset_right_behind_data_is_seen)
{
    CHECK_EQ(in_coroutine_run(check_reset), 0);
    CHECK_EQ(in_coroutine_run_here(check_reset), 0);
}

ANYSYNC_COROUTINE(int, wait_then_look, (int, fd))
{
    char byte;

    *result = anysync_wait_fd(fd, ANYSYNC_READABLE, ANYSYNC_FOREVER);
    CHECK_EQ(anysync_read(fd, &byte, 1, ANYSYNC_POLL), 1);
    return 0;
}

/* One byte wakes both, and is for one: the other goes on waiting. */
static void check_truth(void)
{
    wait_then_look_future tasks[2];
    int pair[2], ready;

    open_pair(PIPE, pair);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(wait_then_look_start(&tasks[i], pair[0]), 0);
    for (int i = 0; i < 2; i++) {
        int error = anysync_future_wait(tasks[1].future, anysync_in_us(100));
        CHECK(error == 0 || error == -ETIMEDOUT);
        put(pair[1]);
    }
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(wait_then_look_wait(&tasks[i], &ready, ANYSYNC_FOREVER), 0);
        CHECK_EQ(ready, ANYSYNC_READABLE);
        wait_then_look_drop(&tasks[i]);
    }
    close_pair(pair);
}

TEST(wait_fd_is_not_deceived)
{
    CHECK_EQ(in_coroutine_run(check_truth), 0);
    CHECK_EQ(in_coroutine_run_here(check_truth), 0);
}

/* --- stress ----------------------------------------------------------------------------------- */

enum { TASKS = 20 };

/* Open, read in pieces, close, again and again: all tasks take each other's numbers. */
ANYSYNC_COROUTINE(void, reuse, (long, rounds), (int, seed))
{
    for (long i = 0; i < rounds; i++) {
        int kind = (int)((i + seed) % (KINDS + 1)), pair[2];
        if (kind == KINDS)
            open_stream(pair);
        else
            open_pair(kind, pair);
        for (long k = (i + seed) % 3; k >= 0; k--)
            read_short(pair);
        close(pair[(i + seed / 2) % 2]); /* in either order, now or later */
        if (i % 4 == 0)
            CHECK_EQ(anysync_yield(), 0);
        close(pair[1 - (i + seed / 2) % 2]);
    }
    return 0;
}

TEST(stress_numbers_are_used_again)
{
    reuse_future tasks[TASKS];
    long rounds = test_scaled(300);

    for (int i = 0; i < TASKS; i++)
        CHECK_EQ(reuse_start(&tasks[i], rounds, i), 0);
    for (int i = 0; i < TASKS; i++) {
        CHECK_EQ(reuse_wait(&tasks[i], ANYSYNC_FOREVER), 0);
        reuse_drop(&tasks[i]);
    }
}
