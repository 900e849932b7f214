/* SPDX-License-Identifier: MIT */
/*
 * TLS streams (include/anysync/tls.h), both sides ours.  Handshakes: test_tls_handshakes.c; with
 * OpenSSL's own programs: test_tls_peers.c.
 *
 * Promised                                       Tested by
 *   reads and writes as of any stream              bytes_go_through_in_every_world
 *                                                  items_may_be_longer_than_a_record
 *   deadlines, cancels lose nothing                a_write_takes_all_or_nothing
 *                                                  what_came_before_a_deadline_stays
 *                                                  what_came_before_a_cancel_stays
 *                                                  stress_deadlines_lose_nothing
 *   two halves at once, two threads                stress_both_ways_at_once
 *   the end is told from a cut                     the_end_and_a_cut_are_told_apart
 *   a shutdown leaves the other half               a_shutdown_leaves_the_other_half
 *
 * Packages: libevent_openssl openssl
 * With: lib/tls/bases.c lib/tls/engine.c lib/tls/tls.c
 */
#include "tls.h"

/* --- bytes ------------------------------------------------------------------------------------ */

static void check_through(void)
{
    struct both both = open_tls();
    struct both back = {both.out, both.in};
    char got[4] = "";

    CHECK_STR(anysync_tls_version(both.in), "TLSv1.3");
    CHECK(anysync_tls_protocol(both.in) == NULL);
    CHECK(anysync_tls_ssl(both.in) != NULL);
    say(both, "one\ntwo\nabc");
    expect_line(both.in, "one");
    expect_line(both.in, "two");
    CHECK_EQ(anysync_stream_read_exactly(both.in, got, 3, ANYSYNC_FOREVER), 0);
    CHECK_STR(got, "abc");
    say(back, "back\n");
    expect_line(back.in, "back");
    CHECK_EQ(anysync_stream_read(back.in, got, 3, ANYSYNC_POLL), -ETIMEDOUT);
    close_well(both.out);
    CHECK_EQ(anysync_stream_read(both.in, got, 1, ANYSYNC_FOREVER), 0);
    close_well(both.in);
}

TEST(bytes_go_through_in_every_world)
{
    in_worlds(EVERYWHERE_AND_POOL, check_through);
}

ANYSYNC_COROUTINE(void, write_pattern, (struct anysync_stream *, stream), (size_t, size))
{
    char *load = malloc(size);

    for (size_t i = 0; i < size; i++)
        load[i] = pattern(i);
    int error = anysync_stream_write(stream, load, size, ANYSYNC_FOREVER);
    free(load);
    return error ? error : anysync_stream_flush(stream, ANYSYNC_FOREVER);
}

static void check_long(void)
{
    enum { LONG = 3 * 1000 * 1000 };
    struct both both = open_tls();
    char *got = malloc(LONG);
    write_pattern_future task;

    CHECK_EQ(write_pattern_start(&task, both.out, LONG), 0);
    CHECK_EQ(anysync_stream_read_exactly(both.in, got, LONG, ANYSYNC_FOREVER), 0);
    for (size_t i = 0; i < LONG; i++)
        CHECK_EQ(got[i], pattern(i));
    CHECK_EQ(write_pattern_wait(&task, ANYSYNC_FOREVER), 0);
    write_pattern_drop(&task);
    free(got);
    close_both(both);
}

TEST(items_may_be_longer_than_a_record)
{
    in_every_world(check_long);
}

/* --- giving up -------------------------------------------------------------------------------- */

static void check_all_or_nothing(void)
{
    struct both both = open_tls();
    char byte = 'x';
    size_t end = write_until_full(both.out, 0);
    size_t unsent = anysync_stream_unsent(both.out);
    anysync_time deadline = anysync_in_us(200);

    CHECK_EQ(anysync_stream_write(both.out, &byte, 1, deadline), -ETIMEDOUT);
    CHECK_GE(anysync_now(), deadline);
    CHECK_EQ(anysync_stream_unsent(both.out), unsent);
    CHECK_EQ(anysync_stream_flush(both.out, anysync_in_us(100)), -ETIMEDOUT);
    expect_pattern(both.in, 0, end - unsent);
    read_pattern_future task;
    CHECK_EQ(read_pattern_start(&task, both.in, end - unsent, end), 0);
    CHECK_EQ(anysync_stream_flush(both.out, ANYSYNC_FOREVER), 0);
    CHECK_EQ(read_pattern_wait(&task, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_stream_read(both.in, &byte, 1, ANYSYNC_POLL), -ETIMEDOUT);
    read_pattern_drop(&task);
    close_both(both);
}

TEST(a_write_takes_all_or_nothing)
{
    in_every_world(check_all_or_nothing);
}

static void check_deadline(void)
{
    struct both both = open_tls();
    char got[7] = "";

    say(both, "abc");
    anysync_time deadline = anysync_in_us(200);
    CHECK_EQ(anysync_stream_read_exactly(both.in, got, 6, deadline), -ETIMEDOUT);
    CHECK_GE(anysync_now(), deadline);
    CHECK_CONTAINS(anysync_last_error()->message, "TLS with here.test");
    say(both, "def");
    CHECK_EQ(anysync_stream_read_exactly(both.in, got, 6, ANYSYNC_FOREVER), 0);
    CHECK_STR(got, "abcdef");
    close_both(both);
}

TEST(what_came_before_a_deadline_stays)
{
    in_worlds(EVERYWHERE_AND_POOL, check_deadline);
}

static void check_cancel(void)
{
    expect_kept_by_cancel(open_tls());
}

TEST(what_came_before_a_cancel_stays)
{
    CHECK_EQ(in_coroutine_run(check_cancel), 0);
    CHECK_EQ(in_coroutine_run_here(check_cancel), 0);
}

/* --- stress ----------------------------------------------------------------------------------- */

/* Each with deadlines that often pass. */
ANYSYNC_COROUTINE(void, write_some, (struct anysync_stream *, stream), (size_t, total))
{
    static const size_t sizes[] = {1, 7, 100, 999, 8191, 16384, 40000};
    char *piece = malloc(40000);

    for (size_t at = 0, i = 0; at < total; i++) {
        size_t size = sizes[i % 7] < total - at ? sizes[i % 7] : total - at;
        for (size_t k = 0; k < size; k++)
            piece[k] = pattern(at + k);
        int error = anysync_stream_write(stream, piece, size, anysync_in_us((int)(i % 3) * 10));
        CHECK(error == 0 || error == -ETIMEDOUT);
        at += error ? 0 : size;
    }
    free(piece);
    int error;
    do
        error = anysync_stream_flush(stream, anysync_in_us(20));
    while (error == -ETIMEDOUT);
    return error;
}

ANYSYNC_COROUTINE(void, read_some, (struct anysync_stream *, stream), (size_t, total))
{
    char *got = malloc(50000);

    for (size_t at = 0, i = 0; at < total; i++) {
        ssize_t count = anysync_stream_read(
                stream, got, i % 2 ? 50000 : 100 + i % 999, anysync_in_us((int)(i % 4) * 5));
        CHECK(count > 0 || count == -ETIMEDOUT);
        for (ssize_t k = 0; k < count; k++)
            CHECK_EQ(got[k], pattern(at++));
    }
    free(got);
    return 0;
}

static void exchange(struct anysync_executor *readers, struct anysync_executor *writers)
{
    size_t total = (size_t)test_scaled(2 * 1000 * 1000);
    struct both both = open_tls();
    struct anysync_stream *ends[2] = {both.in, both.out};
    write_some_future writer[2];
    read_some_future reader[2];

    for (int i = 0; i < 2; i++) {
        CHECK_EQ(write_some_start_on(writers, &writer[i], ends[i], total), 0);
        CHECK_EQ(read_some_start_on(readers, &reader[i], ends[i], total), 0);
    }
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(write_some_wait(&writer[i], ANYSYNC_FOREVER), 0);
        CHECK_EQ(read_some_wait(&reader[i], ANYSYNC_FOREVER), 0);
        write_some_drop(&writer[i]);
        read_some_drop(&reader[i]);
    }
    close_both(both);
}

TEST(stress_deadlines_lose_nothing)
{
    exchange(NULL, NULL);
}

/* Reader and writer of a stream are two threads. */
TEST(stress_both_ways_at_once)
{
    struct anysync_executor *two[2];

    for (int i = 0; i < 2; i++)
        CHECK_EQ(anysync_executor_new(NULL, &two[i]), 0);
    exchange(two[0], two[1]);
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(anysync_executor_shutdown(two[i], ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
        anysync_executor_unref(two[i]);
    }
}

/* --- ends ------------------------------------------------------------------------------------- */

static void check_ends(void)
{
    struct both both = open_tls();
    char got[4] = "";

    say(both, "abc");
    close_well(both.out);
    CHECK_EQ(anysync_stream_read_exactly(both.in, got, 3, ANYSYNC_FOREVER), 0);
    CHECK_STR(got, "abc");
    CHECK_EQ(anysync_stream_read_exactly(both.in, got, 1, ANYSYNC_FOREVER), ANYSYNC_DONE);
    CHECK_EQ(anysync_stream_read(both.in, got, 1, ANYSYNC_POLL), 0);
    close_well(both.in);

    both = open_tls();
    say(both, "xyz");
    CHECK_EQ(shutdown(anysync_stream_descriptor(both.out), SHUT_RDWR), 0);
    CHECK_EQ(anysync_stream_read_exactly(both.in, got, 3, ANYSYNC_FOREVER), 0);
    CHECK_STR(got, "xyz");
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(anysync_stream_read(both.in, got, 1, ANYSYNC_FOREVER), -ECONNRESET);
        CHECK_CONTAINS(anysync_last_error()->message, "without close_notify");
    }
    close_both(both);
}

TEST(the_end_and_a_cut_are_told_apart)
{
    in_every_world(check_ends);
}

static void check_half(void)
{
    struct both both = open_tls();
    struct both back = {both.out, both.in};
    char got[4] = "";

    CHECK_EQ(anysync_stream_write(both.out, "abc", 3, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_stream_shutdown(both.out, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_stream_shutdown(both.out, ANYSYNC_POLL), 0);
    CHECK_EQ(anysync_stream_write(both.out, "d", 1, ANYSYNC_FOREVER), -EPIPE);
    CHECK_EQ(anysync_stream_read_exactly(both.in, got, 3, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_stream_read(both.in, got, 1, ANYSYNC_FOREVER), 0);
    say(back, "still here\n");
    expect_line(back.in, "still here");
    close_both(both);
}

TEST(a_shutdown_leaves_the_other_half)
{
    in_every_world(check_half);
}
