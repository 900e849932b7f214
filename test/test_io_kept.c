/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* POLLRDHUP */
/*
 * Descriptors (include/anysync/io.h) that a task reads again and again, and numbers that are used
 * again: what the loop keeps of them (lib/loop/watches.h) changes no result.
 *
 * Promised                                        Tested by
 *   data that is there counts: at a deadline,       what_is_there_is_read_without_waiting,
 *     for a task that is cancelled                  _at_a_deadline, _in_spite_of_a_cancel
 *   a peer that goes right after its data           an_end_right_behind_data_is_seen,
 *                                                   a_reset_right_behind_data_is_seen
 *   wait_fd says the truth                          wait_fd_is_not_deceived
 *   numbers used again by all and sundry            stress_numbers_are_used_again (time limit)
 */
#include "futures.h"
#include "pairs.h"

#include <anysync/io.h>

#include <poll.h>

/* What the peer did when it closed has come. */
static void await_hang_up(int fd)
{
    struct pollfd pollfd = {.fd = fd, .events = POLLRDHUP};

    while (poll(&pollfd, 1, -1) < 1)
        ;
}

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
