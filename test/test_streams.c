/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* posix_openpt(), cfmakeraw() */
/*
 * Streams (include/anysync/stream.h), and anysync_write_all().
 *
 * Promised                                       Tested by
 *   bytes go through sockets, pipes, terminals     bytes_go_through_in_every_world
 *                                                  a_terminal_is_a_stream_too
 *   a delimiter may come in pieces                 a_delimiter_may_come_in_pieces
 *   an item that is too long stays                 an_item_that_is_too_long_stays
 *   long items grow the buffer                     items_may_be_longer_than_the_buffer
 *   the end: clean, or in the middle               the_end_in_the_middle_has_its_own_code
 *   a deadline, a cancel lose nothing read         what_came_before_a_deadline_stays
 *                                                  what_came_before_a_cancel_stays
 *     and nothing written                          a_write_takes_all_or_nothing
 *                                                  a_flush_goes_on_where_it_stopped
 *                                                  a_cancelled_flush_goes_on_later
 *   write_all counts                               write_all_goes_on_where_it_stopped
 *   nothing is lost                                stress_deadlines_lose_nothing
 *
 * The two halves, the close, errors: test_streams_ends.c.
 */
#include "streams.h"

#include <termios.h>

static void in_all_worlds(world_check_fn *check)
{
    in_worlds(EVERYWHERE_AND_POOL, check);
}

/* --- reading ---------------------------------------------------------------------------------- */

static void check_through(void)
{
    for (int kind = 0; kind < KINDS; kind++) {
        struct both both = open_both(kind);
        char got[8] = "";
        say(both, "one\ntwo\n\nabcdefgh");
        expect_line(both.in, "one");
        expect_line(both.in, "two");
        expect_line(both.in, "");
        CHECK_EQ(anysync_stream_buffered(both.in), 8);
        CHECK_EQ(anysync_stream_read(both.in, got, 0, ANYSYNC_FOREVER), 0);
        CHECK_EQ(anysync_stream_read(both.in, got, 2, ANYSYNC_POLL), 2);
        CHECK_STR(got, "ab");
        CHECK_EQ(anysync_stream_read_exactly(both.in, got, 3, ANYSYNC_POLL), 0);
        CHECK_STR(got, "cde");
        CHECK_EQ(anysync_stream_read_exactly(both.in, got, 0, ANYSYNC_POLL), 0);
        CHECK_EQ(anysync_stream_read(both.in, got, 7, ANYSYNC_FOREVER), 3);
        CHECK_STR(got, "fgh");
        CHECK_EQ(anysync_stream_read(both.in, got, 7, ANYSYNC_POLL), -ETIMEDOUT);
        close_both(both);
    }
    CHECK_EQ(anysync_stream_close(NULL, ANYSYNC_FOREVER), 0);
}

TEST(bytes_go_through_in_every_world)
{
    in_all_worlds(check_through);
}

static void check_terminal(void)
{
    struct termios raw;
    int master = posix_openpt(O_RDWR | O_NOCTTY);

    CHECK_GE(master, 0);
    CHECK_EQ(grantpt(master), 0);
    CHECK_EQ(unlockpt(master), 0);
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    CHECK_GE(slave, 0);
    CHECK_EQ(tcgetattr(slave, &raw), 0);
    cfmakeraw(&raw);
    CHECK_EQ(tcsetattr(slave, TCSANOW, &raw), 0);
    struct both both = {open_stream_of(master), open_stream_of(slave)};
    say(both, "ls\n");
    expect_line(both.in, "ls");
    static char page[30000];
    CHECK_EQ(anysync_stream_write(both.out, page, sizeof(page), ANYSYNC_POLL), 0);
    CHECK_EQ(anysync_stream_flush(both.out, anysync_in_ms(1)), -ETIMEDOUT); /* nobody reads */
    size_t left = anysync_stream_unsent(both.out);
    CHECK_GE(sizeof(page) - 1, left);
    CHECK_GE(left, 1);
    CHECK_EQ(anysync_stream_read_exactly(both.in, page, sizeof(page) - left, ANYSYNC_FOREVER), 0);
    CHECK_EQ(tcflush(slave, TCOFLUSH), 0);
    int closed = anysync_stream_close(both.out, ANYSYNC_POLL);
    CHECK(closed == 0 || closed == -ETIMEDOUT);
    close_well(both.in);
}

TEST(a_terminal_is_a_stream_too)
{
    check_terminal();
    CHECK_EQ(in_coroutine_run(check_terminal), 0);
}

static void check_pieces(void)
{
    static const char text[] = "a\r\r\nb\r\n\r\n--\r\n.\r\n";
    struct both both = open_both(SOCKET);
    char *data = NULL;
    size_t size = 0;

    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        CHECK_EQ(write(anysync_stream_descriptor(both.out), text + i, 1), 1);
        int status =
                anysync_stream_read_until(both.in, "\r\n.\r\n", 5, 100, &data, &size, ANYSYNC_POLL);
        CHECK_EQ(status, i + 2 < sizeof(text) ? -ETIMEDOUT : 0);
    }
    CHECK_STR(data, "a\r\r\nb\r\n\r\n--");
    CHECK_EQ(size, strlen(data));
    say(both, "aab");
    CHECK_EQ(anysync_stream_read_until(both.in, "ab", 2, 1, &data, &size, ANYSYNC_FOREVER), 0);
    CHECK_STR(data, "a");
    CHECK_EQ(anysync_stream_buffered(both.in), 0);
    close_both(both);
}

TEST(a_delimiter_may_come_in_pieces)
{
    in_every_world(check_pieces);
}

static void check_too_long(void)
{
    struct both both = open_both(SOCKET);
    char *data = NULL, got[6] = "";
    size_t size = 7;

    say(both, "12345;rest");
    for (size_t most = 0; most < 5; most++) {
        CHECK_EQ(anysync_stream_read_until(both.in, ";", 1, most, &data, &size, ANYSYNC_FOREVER),
                -EMSGSIZE);
        CHECK(data == NULL && size == 7);
    }
    CHECK_CONTAINS(anysync_last_error()->message, "without the delimiter");
    CHECK_EQ(anysync_stream_read_until(both.in, ";", 1, 5, &data, &size, ANYSYNC_FOREVER), 0);
    CHECK_STR(data, "12345");
    /* The delimiter has not come, and could only come too late. */
    CHECK_EQ(anysync_stream_read_until(both.in, "\r\n", 2, 2, &data, &size, ANYSYNC_FOREVER),
            -EMSGSIZE);
    CHECK_EQ(anysync_stream_read_until(both.in, "\r\n", 2, 3, &data, &size, ANYSYNC_POLL),
            -ETIMEDOUT); /* the last byte could still be that before it */
    CHECK_EQ(anysync_stream_read_exactly(both.in, got, 4, ANYSYNC_POLL), 0);
    CHECK_STR(got, "rest");
    close_both(both);
}

TEST(an_item_that_is_too_long_stays)
{
    in_every_world(check_too_long);
}

enum { LONG = 300 * 1000 };

ANYSYNC_COROUTINE(void, send_long, (struct anysync_stream *, stream))
{
    static char load[LONG + 1];

    for (int i = 0; i < LONG; i++)
        load[i] = (char)('a' + i % 23);
    load[LONG] = '\n';
    for (int i = 0; i < 2; i++)
        CHECK_EQ(anysync_stream_write(stream, load, sizeof(load), ANYSYNC_FOREVER), 0);
    return anysync_stream_flush(stream, ANYSYNC_FOREVER);
}

static void check_long(void)
{
    for (int kind = 0; kind < KINDS; kind++) {
        struct both both = open_both(kind);
        send_long_future task;
        char *data = NULL, *got = malloc(LONG + 1);
        size_t size = 0;
        CHECK_EQ(send_long_start(&task, both.out), 0);
        CHECK_EQ(anysync_stream_read_until(both.in, "\n", 1, LONG, &data, &size, ANYSYNC_FOREVER),
                0);
        CHECK_EQ(size, LONG);
        for (int i = 0; i < LONG; i++)
            CHECK_EQ(data[i], 'a' + i % 23);
        CHECK_EQ(anysync_stream_read_exactly(both.in, got, LONG + 1, ANYSYNC_FOREVER), 0);
        for (int i = 0; i < LONG; i++)
            CHECK_EQ(got[i], 'a' + i % 23);
        CHECK_EQ(got[LONG], '\n');
        CHECK_EQ(send_long_wait(&task, ANYSYNC_FOREVER), 0);
        send_long_drop(&task);
        free(got);
        close_both(both);
    }
}

TEST(items_may_be_longer_than_the_buffer)
{
    in_every_world(check_long);
}

static void check_end(void)
{
    for (int kind = 0; kind < KINDS; kind++) {
        struct both both = open_both(kind);
        char *data = NULL, got[8] = "";
        size_t size = 0;
        say(both, "line\nabc");
        close_well(both.out);
        expect_line(both.in, "line");
        CHECK_EQ(anysync_stream_read_until(both.in, "\n", 1, 9, &data, &size, ANYSYNC_FOREVER),
                -ENODATA);
        CHECK_CONTAINS(anysync_last_error()->message, "the end of the file came in the middle");
        CHECK_EQ(anysync_stream_read_exactly(both.in, got, 4, ANYSYNC_FOREVER), -ENODATA);
        CHECK_EQ(anysync_stream_read_exactly(both.in, got, 3, ANYSYNC_FOREVER), 0);
        CHECK_STR(got, "abc");
        CHECK_EQ(anysync_stream_read_exactly(both.in, got, 1, ANYSYNC_FOREVER), ANYSYNC_DONE);
        CHECK_EQ(anysync_stream_read_until(both.in, "\n", 1, 9, &data, &size, ANYSYNC_FOREVER),
                ANYSYNC_DONE);
        CHECK_EQ(anysync_stream_read(both.in, got, 1, ANYSYNC_FOREVER), 0);
        close_well(both.in);
    }
}

TEST(the_end_in_the_middle_has_its_own_code)
{
    in_every_world(check_end);
}

/* --- giving up -------------------------------------------------------------------------------- */

static void check_deadline(void)
{
    for (int kind = 0; kind < KINDS; kind++) {
        struct both both = open_both(kind);
        char *data = NULL, got[10] = "";
        size_t size = 0;
        say(both, "abc");
        anysync_time deadline = anysync_in_us(200);
        CHECK_EQ(anysync_stream_read_exactly(both.in, got, 6, deadline), -ETIMEDOUT);
        CHECK_GE(anysync_now(), deadline);
        CHECK_EQ(anysync_stream_buffered(both.in), 3);
        CHECK_EQ(anysync_stream_read_until(both.in, "\n", 1, 9, &data, &size, anysync_in_us(100)),
                -ETIMEDOUT);
        CHECK_EQ(anysync_last_error()->code, -ETIMEDOUT);
        CHECK_EQ(anysync_last_error()->origin, ANYSYNC_ORIGIN_CALL);
        say(both, "def\n");
        CHECK_EQ(anysync_stream_read_exactly(both.in, got, 1, ANYSYNC_FOREVER), 0);
        expect_line(both.in, "bcdef");
        close_both(both);
    }
}

TEST(what_came_before_a_deadline_stays)
{
    in_all_worlds(check_deadline);
}

static void check_cancel(void)
{
    expect_kept_by_cancel(open_both(SOCKET));
}

TEST(what_came_before_a_cancel_stays)
{
    CHECK_EQ(in_coroutine_run(check_cancel), 0);
    CHECK_EQ(in_coroutine_run_here(check_cancel), 0);
}

static void check_all_or_nothing(void)
{
    for (int kind = 0; kind < KINDS; kind++) {
        struct both both = open_both(kind);
        char byte = 'x';
        size_t end = write_until_full(both.out, 0);
        size_t unsent = anysync_stream_unsent(both.out);
        anysync_time deadline = anysync_in_us(200);
        CHECK_GE(unsent, 8192);
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
}

TEST(a_write_takes_all_or_nothing)
{
    in_every_world(check_all_or_nothing);
}

/* A flush has sent a part of what it has to, again and again. */
static void check_flush(void)
{
    for (int kind = 0; kind < KINDS; kind++) {
        struct both both = open_both(kind);
        size_t size = 1000 * 1000, got = 0;
        char *load = malloc(size);
        for (size_t i = 0; i < size; i++)
            load[i] = pattern(i);
        CHECK_EQ(anysync_stream_write(both.out, load, size, ANYSYNC_POLL), 0);
        while (anysync_stream_unsent(both.out) > 0) {
            int error = anysync_stream_flush(both.out, anysync_in_us(50));
            CHECK(error == 0 || error == -ETIMEDOUT);
            size_t sent = size - anysync_stream_unsent(both.out);
            CHECK_GE(sent, got + 1);
            expect_pattern(both.in, got, sent);
            got = sent;
        }
        CHECK_EQ(got, size);
        free(load);
        close_both(both);
    }
}

TEST(a_flush_goes_on_where_it_stopped)
{
    in_every_world(check_flush);
}

static void check_cancelled_flush(void)
{
    struct both both = open_both(SOCKET);
    size_t end = write_until_full(both.out, 0);
    flush_it_future task;

    CHECK_EQ(flush_it_start(&task, both.out), 0);
    CHECK_EQ(anysync_yield(), 0);
    CHECK_EQ(flush_it_cancel(&task), 0);
    CHECK_EQ(flush_it_wait(&task, ANYSYNC_FOREVER), -ECANCELED);
    flush_it_drop(&task);
    CHECK_EQ(flush_it_start(&task, both.out), 0);
    expect_pattern(both.in, 0, end);
    CHECK_EQ(flush_it_wait(&task, ANYSYNC_FOREVER), 0);
    flush_it_drop(&task);
    close_both(both);
}

TEST(a_cancelled_flush_goes_on_later)
{
    CHECK_EQ(in_coroutine_run(check_cancelled_flush), 0);
    CHECK_EQ(in_coroutine_run_here(check_cancelled_flush), 0);
}

/* --- plain descriptors ------------------------------------------------------------------------ */

static void check_write_all(void)
{
    for (int kind = 0; kind < KINDS; kind++) {
        size_t size = 500 * 1000, written = 0, got = 0;
        char *load = malloc(size);
        int pair[2];
        open_pair(kind, pair);
        for (size_t i = 0; i < size; i++)
            load[i] = pattern(i);
        struct anysync_stream *in = open_stream_of(pair[0]);
        while (got < size) {
            int error = anysync_write_all(pair[1], load, size, &written, anysync_in_us(50));
            CHECK_EQ(error, written == size ? 0 : -ETIMEDOUT);
            CHECK_GE(written, got + 1);
            expect_pattern(in, got, written);
            got = written;
        }
        CHECK_EQ(anysync_write_all(pair[1], load, size, &written, ANYSYNC_POLL), 0);
        CHECK_EQ(anysync_write_all(pair[1], load, 5, NULL, ANYSYNC_POLL), 0);
        expect_pattern(in, 0, 5);
        free(load);
        close_well(in);
        close(pair[1]);
    }
}

TEST(write_all_goes_on_where_it_stopped)
{
    in_every_world(check_write_all);
}

/* --- stress ----------------------------------------------------------------------------------- */

/* Each side writes the pattern in pieces of all sizes, and reads the other's in as many ways, with
 * deadlines that often pass. */
static int write_pieces(struct anysync_stream *stream, size_t total)
{
    static const size_t sizes[] = {1, 7, 100, 999, 4096, 8191, 20000};
    char *piece = malloc(20000);
    size_t at = 0;

    for (unsigned i = 0; at < total; i++) {
        size_t size = sizes[i * 5 % 7] < total - at ? sizes[i * 5 % 7] : total - at;
        for (size_t j = 0; j < size; j++)
            piece[j] = pattern(at + j);
        int error = anysync_stream_write(stream, piece, size, anysync_in_us(i % 30));
        CHECK(error == 0 || error == -ETIMEDOUT || error == -ECANCELED);
        at += error ? 0 : size;
        if (i % 11 == 0)
            (void)!anysync_stream_flush(stream, anysync_in_us(i % 10));
    }
    int error;
    while ((error = anysync_stream_flush(stream, anysync_in_us(20))) != 0)
        CHECK(error == -ETIMEDOUT || error == -ECANCELED);
    free(piece);
    return 0;
}

static int read_pieces(struct anysync_stream *stream, size_t total)
{
    char *got = malloc(30000);
    size_t at = 0;

    for (unsigned i = 0; at < total; i++) {
        size_t size = i * 131 % 30000 + 1;
        if (size > total - at)
            size = total - at;
        anysync_time deadline = anysync_in_us(i % 40);
        ssize_t count = i % 3 ? anysync_stream_read(stream, got, size, deadline)
                              : anysync_stream_read_exactly(stream, got, size, deadline);
        if (i % 3 == 0 && count == 0)
            count = (ssize_t)size;
        if (count < 0) {
            CHECK_EQ(count, -ETIMEDOUT);
            continue;
        }
        CHECK_GE(count, 1);
        for (ssize_t j = 0; j < count; j++)
            CHECK_EQ(got[j], pattern(at + (size_t)j));
        at += (size_t)count;
    }
    free(got);
    return 0;
}

struct duplex {
    struct anysync_stream *sides[2];
    size_t total;
};

ANYSYNC_COROUTINE(void, work, (struct duplex *, duplex), (int, index))
{
    struct anysync_stream *stream = duplex->sides[index / 2];

    return index % 2 ? write_pieces(stream, duplex->total) : read_pieces(stream, duplex->total);
}

static void work_on_thread(void *argument, int index)
{
    if (index == 0)
        CHECK_EQ(work_function.body(&(struct work_arguments){argument, index}, NULL), 0);
    else if (index == 1)
        CHECK_EQ(work_run_here(argument, index), 0);
    else
        CHECK_EQ(work_run(argument, index), 0);
}

TEST(stress_deadlines_lose_nothing)
{
    for (int kind = SOCKET; kind < KINDS; kind++) {
        struct duplex duplex = {.total = (size_t)test_scaled(1000 * 1000)};
        int pair[2];
        open_pair(kind, pair);
        for (int i = 0; i < 2; i++)
            duplex.sides[i] = open_stream_of(pair[i]);
        test_together(4, work_on_thread, &duplex);
        for (int i = 0; i < 2; i++)
            close_well(duplex.sides[i]);
    }
}
