/* SPDX-License-Identifier: MIT */
/*
 * Registrations that outlive a wait (lib/loop/watches.h).
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
 *     not one from anything else, nor a last one    _no_other_kind, the_last_read_is_tried
 *
 * The poller itself: test_poller.c.  Reads that rely on this: test_io_kept.c.
 */
#include "futures.h"
#include "pairs.h"

#include "loop/poller.h"

#include <event2/event.h>

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
    int64_t end = test_now_ns() + 5 * MS;
    do
        loop_sleep(&loop, end);
    while (test_now_ns() < end);
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
    CHECK_EQ(asi_poller_poll(&loop.poller), 0); /* nobody waits for it, though it is ready */
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
    sleep_until_seen(&loop, &seen);
    char bytes[2]; /* the end may be an edge of its own */
    CHECK_EQ(recv(pair[0], bytes, sizeof(bytes), MSG_PEEK | MSG_WAITALL), 1);
    asi_poller_poll(&loop.poller);
    take(pair[0]);
    asi_watches_note_short(&loop.poller.watches, pair[0], &owner);
    CHECK(!knows_empty(&loop, pair[0]));
    loop_fini(&loop);
    close_pair(pair);
}
