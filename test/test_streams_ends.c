/* SPDX-License-Identifier: MIT */
/*
 * Streams (include/anysync/stream.h): their two halves, their end, and errors.
 *
 * Promised                                       Tested by
 *   one reader, one writer                         a_reader_and_a_writer_work_at_once
 *                                                  a_second_one_is_told_busy
 *   shutdown                                       a_shutdown_ends_one_direction
 *   close                                          a_close_sends_what_was_written
 *                                                  a_close_that_cannot_send_says_how_much
 *                                                  a_close_gives_the_flags_back
 *   errors                                         an_error_names_descriptor_and_peer
 *                                                  a_closed_peer_is_told_for_ever
 *                                                  senseless_arguments_are_refused
 *                                                  a_callback_works_in_the_buffers_alone
 *                                                  without_memory_nothing_is_lost
 *                                                  a_forked_child_can_only_close
 */
#include "fault.h"
#include "streams.h"

#include <sys/stat.h>

/* --- two halves ------------------------------------------------------------------------------- */

ANYSYNC_COROUTINE(void, read_line, (struct anysync_stream *, stream))
{
    expect_line(stream, "hello");
    return 0;
}

static void check_at_once(void)
{
    int pair[2];
    read_line_future reader;
    flush_it_future writer;

    open_pair(SOCKET, pair);
    struct anysync_stream *one = open_stream_of(pair[0]), *other = open_stream_of(pair[1]);
    size_t end = write_until_full(one, 0);
    CHECK_EQ(read_line_start(&reader, one), 0);
    CHECK_EQ(flush_it_start(&writer, one), 0);
    CHECK_EQ(read_line_wait(&reader, anysync_in_us(100)), -ETIMEDOUT);
    CHECK(!anysync_future_done(writer.future));
    CHECK_EQ(anysync_stream_write(other, "hello\n", 6, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_stream_flush(other, ANYSYNC_FOREVER), 0);
    CHECK_EQ(read_line_wait(&reader, ANYSYNC_FOREVER), 0);
    CHECK(!anysync_future_done(writer.future));
    expect_pattern(other, 0, end);
    CHECK_EQ(flush_it_wait(&writer, ANYSYNC_FOREVER), 0);
    read_line_drop(&reader);
    flush_it_drop(&writer);
    close_well(one);
    close_well(other);
}

TEST(a_reader_and_a_writer_work_at_once)
{
    CHECK_EQ(in_coroutine_run(check_at_once), 0);
    CHECK_EQ(in_coroutine_run_here(check_at_once), 0);
}

static void check_busy(void)
{
    int pair[2];
    read_line_future reader;
    flush_it_future writer;
    char *data = NULL, got;
    size_t size;

    open_pair(SOCKET, pair);
    struct anysync_stream *one = open_stream_of(pair[0]), *other = open_stream_of(pair[1]);
    CHECK_EQ(read_line_start(&reader, one), 0);
    CHECK_EQ(anysync_yield(), 0);
    CHECK_EQ(anysync_stream_read(one, &got, 1, ANYSYNC_FOREVER), -EBUSY);
    CHECK_CONTAINS(anysync_last_error()->message, "one at a time");
    CHECK_EQ(anysync_stream_read_exactly(one, &got, 1, ANYSYNC_FOREVER), -EBUSY);
    CHECK_EQ(anysync_stream_read_until(one, "\n", 1, 9, &data, &size, ANYSYNC_FOREVER), -EBUSY);
    CHECK_EQ(anysync_stream_close(one, ANYSYNC_FOREVER), -EBUSY);
    size_t end = write_until_full(one, 0); /* the other half is free, also after that */
    CHECK_EQ(flush_it_start(&writer, one), 0);
    CHECK_EQ(anysync_yield(), 0);
    CHECK_EQ(anysync_stream_write(one, "a", 1, ANYSYNC_FOREVER), -EBUSY);
    CHECK_EQ(anysync_stream_flush(one, ANYSYNC_FOREVER), -EBUSY);
    CHECK_EQ(anysync_stream_shutdown(one, ANYSYNC_FOREVER), -EBUSY);
    CHECK_EQ(write(pair[1], "hello\n", 6), 6);
    CHECK_EQ(read_line_wait(&reader, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_stream_close(one, ANYSYNC_FOREVER), -EBUSY);
    CHECK_EQ(anysync_stream_read(one, &got, 1, ANYSYNC_POLL), -ETIMEDOUT);
    expect_pattern(other, 0, end);
    CHECK_EQ(flush_it_wait(&writer, ANYSYNC_FOREVER), 0);
    read_line_drop(&reader);
    flush_it_drop(&writer);
    close_well(one);
    close_well(other);
}

TEST(a_second_one_is_told_busy)
{
    CHECK_EQ(in_coroutine_run(check_busy), 0);
    CHECK_EQ(in_coroutine_run_here(check_busy), 0);
}

/* --- shutdown and close ----------------------------------------------------------------------- */

static void check_shutdown(void)
{
    int pair[2];
    char got[4];

    open_pair(SOCKET, pair);
    struct anysync_stream *one = open_stream_of(pair[0]), *other = open_stream_of(pair[1]);
    CHECK_EQ(anysync_stream_write(one, "bye\n", 4, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_stream_shutdown(one, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_stream_shutdown(one, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_stream_write(one, "a", 1, ANYSYNC_FOREVER), -EPIPE);
    expect_line(other, "bye");
    CHECK_EQ(anysync_stream_read_exactly(other, got, 1, ANYSYNC_FOREVER), ANYSYNC_DONE);
    CHECK_EQ(anysync_stream_write(other, "yes", 3, ANYSYNC_FOREVER), 0);
    close_well(other);
    CHECK_EQ(anysync_stream_read_exactly(one, got, 3, ANYSYNC_FOREVER), 0);
    close_well(one);
    struct both pipe = open_both(PIPE);
    CHECK_EQ(anysync_stream_shutdown(pipe.out, ANYSYNC_FOREVER), -ENOTSOCK);
    say(pipe, "still\n");
    expect_line(pipe.in, "still");
    close_both(pipe);
}

TEST(a_shutdown_ends_one_direction)
{
    in_every_world(check_shutdown);
}

static struct stat file_of(struct anysync_stream *stream)
{
    struct stat file;

    CHECK_EQ(fstat(anysync_stream_descriptor(stream), &file), 0);
    return file;
}

/* FD is not open, or it is another thread's by now: the worker's loop may be making its own. */
static bool is_closed(int fd, const struct stat *file)
{
    struct stat now;

    return fstat(fd, &now) != 0 || now.st_dev != file->st_dev || now.st_ino != file->st_ino;
}

static void check_close(void)
{
    for (int kind = 0; kind < KINDS; kind++) {
        struct both both = open_both(kind);
        int fd = anysync_stream_descriptor(both.out);
        const struct stat file = file_of(both.out);
        size_t end = write_until_full(both.out, 0);
        read_pattern_future task;
        CHECK_EQ(read_pattern_start(&task, both.in, 0, end), 0);
        close_well(both.out);
        CHECK(is_closed(fd, &file));
        CHECK_EQ(read_pattern_wait(&task, ANYSYNC_FOREVER), 0);
        read_pattern_drop(&task);
        close_well(both.in);
    }
}

TEST(a_close_sends_what_was_written)
{
    in_every_world(check_close);
}

static void check_unsent(void)
{
    char text[60];

    for (int kind = 0; kind < KINDS; kind++) {
        struct both both = open_both(kind);
        int fd = anysync_stream_descriptor(both.out);
        const struct stat file = file_of(both.out);
        write_until_full(both.out, 0);
        snprintf(text, sizeof(text), "%zu bytes were not sent", anysync_stream_unsent(both.out));
        anysync_time deadline = anysync_in_us(100);
        CHECK_EQ(anysync_stream_close(both.out, deadline), -ETIMEDOUT);
        CHECK_GE(anysync_now(), deadline);
        CHECK_CONTAINS(anysync_last_error()->message, text);
        CHECK(is_closed(fd, &file));
        close_well(both.in);
    }
}

TEST(a_close_that_cannot_send_says_how_much)
{
    in_every_world(check_unsent);
}

TEST(a_close_gives_the_flags_back)
{
    for (int kind = 0; kind < KINDS; kind++) {
        int pair[2];
        open_pair(kind, pair);
        int other = dup(pair[0]), flags = fcntl(other, F_GETFL);
        struct anysync_stream *stream = open_stream_of(pair[0]);
        CHECK(fcntl(other, F_GETFL) & O_NONBLOCK);
        close_well(stream);
        CHECK_EQ(fcntl(other, F_GETFL), flags);
        close(other);
        close(pair[1]);
    }
}

/* --- errors ----------------------------------------------------------------------------------- */

static void check_names(void)
{
    int pair[2];
    char text[100], byte;
    struct sockaddr_in peer;
    socklen_t size = sizeof(peer);

    open_stream(pair);
    CHECK_EQ(getpeername(pair[0], (struct sockaddr *)&peer, &size), 0);
    struct anysync_stream *stream = open_stream_of(pair[0]);
    snprintf(text, sizeof(text),
            "anysync_stream_read() on descriptor %d to 127.0.0.1:%d: ", pair[0],
            ntohs(peer.sin_port));
    CHECK_EQ(anysync_stream_read(stream, &byte, 1, ANYSYNC_POLL), -ETIMEDOUT);
    CHECK_CONTAINS(anysync_last_error()->message, text);
    close(pair[1]); /* resets the connection */
    CHECK_EQ(anysync_stream_read(stream, &byte, 1, ANYSYNC_FOREVER), -ECONNRESET);
    CHECK_CONTAINS(anysync_last_error()->message, text);
    close_well(stream);
}

TEST(an_error_names_descriptor_and_peer)
{
    in_every_world(check_names);
}

static void check_closed_peer(void)
{
    struct both both = open_both(SOCKET);
    static char load[100 * 1000];

    close_well(both.in);
    CHECK_EQ(anysync_stream_write(both.out, "a", 1, ANYSYNC_FOREVER), 0); /* buffered */
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(anysync_stream_flush(both.out, ANYSYNC_FOREVER), -EPIPE);
        CHECK_CONTAINS(anysync_last_error()->message, "anysync_stream_flush() on descriptor");
        CHECK_EQ(anysync_stream_write(both.out, load, sizeof(load), ANYSYNC_FOREVER), -EPIPE);
        CHECK_EQ(anysync_stream_unsent(both.out), 1);
    }
    CHECK_EQ(anysync_stream_close(both.out, ANYSYNC_FOREVER), -EPIPE);
}

TEST(a_closed_peer_is_told_for_ever)
{
    in_every_world(check_closed_peer);
}

TEST(senseless_arguments_are_refused)
{
    struct anysync_stream *stream = NULL;
    struct both both = open_both(SOCKET);
    char *data = NULL, byte = 0;
    size_t size = 0;

    CHECK_EQ(anysync_stream_open(1000, &stream), -EBADF);
    CHECK_CONTAINS(anysync_last_error()->message, "descriptor 1000");
    CHECK_EQ(anysync_stream_open(-1, &stream), -EBADF);
    CHECK(stream == NULL);
    CHECK_EQ(anysync_stream_read_until(both.in, "", 0, 1, &data, &size, ANYSYNC_POLL), -EINVAL);
    CHECK_EQ(anysync_stream_read_until(both.in, "a", 1, SIZE_MAX, &data, &size, ANYSYNC_POLL),
            -EINVAL);
    CHECK_EQ(anysync_stream_read_exactly(both.in, &byte, SIZE_MAX, ANYSYNC_POLL), -EINVAL);
    CHECK_EQ(anysync_stream_write(both.out, &byte, SIZE_MAX, ANYSYNC_POLL), -EINVAL);
    close_both(both);
}

static void in_callback(evutil_socket_t fd, short events, void *argument)
{
    struct both both = open_both(SOCKET);
    char got[4] = "";

    (void)fd, (void)events;
    CHECK_EQ(anysync_stream_read(both.in, got, 1, ANYSYNC_FOREVER), -EDEADLK);
    CHECK_CONTAINS(anysync_last_error()->message, "spawn a coroutine");
    say(both, "abc");
    CHECK_EQ(anysync_stream_read_exactly(both.in, got, 4, ANYSYNC_FOREVER), -EDEADLK);
    CHECK_EQ(anysync_stream_read_exactly(both.in, got, 3, ANYSYNC_FOREVER), 0);
    while (anysync_stream_write(both.out, "abcdefgh", 8, ANYSYNC_FOREVER) == 0)
        ;
    CHECK_EQ(anysync_last_error()->code, -EDEADLK);
    CHECK_EQ(anysync_stream_close(both.out, ANYSYNC_FOREVER), -EDEADLK);
    close_well(both.in);
    set(argument, 0);
}

static void check_callback(void)
{
    call_back(in_callback);
}

TEST(a_callback_works_in_the_buffers_alone)
{
    CHECK_EQ(in_coroutine_run(check_callback), 0);
}

TEST(without_memory_nothing_is_lost)
{
    static char load[50000];
    struct anysync_stream *stream = NULL;
    struct both both = open_both(SOCKET);
    char *data = NULL, got[4] = "";
    size_t size = 0;

    fault_fail("malloc", 1, true);
    CHECK_EQ(anysync_stream_open(0, &stream), -ENOMEM);
    CHECK_EQ(anysync_stream_write(both.out, "a", 1, ANYSYNC_FOREVER), -ENOMEM);
    CHECK_EQ(anysync_stream_read(both.in, got, 1, ANYSYNC_FOREVER), -ENOMEM);
    fault_clear();
    say(both, "abc");
    CHECK_EQ(anysync_stream_write(both.out, "d", 1, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_stream_read_exactly(both.in, got, 1, ANYSYNC_FOREVER), 0);
    fault_fail("malloc", 1, true);
    CHECK_EQ(anysync_stream_write(both.out, load, sizeof(load), ANYSYNC_FOREVER), -ENOMEM);
    CHECK_EQ(anysync_stream_read_exactly(both.in, load, sizeof(load), ANYSYNC_FOREVER), -ENOMEM);
    fault_clear();
    CHECK_EQ(anysync_stream_unsent(both.out), 1);
    CHECK_EQ(anysync_stream_buffered(both.in), 2);
    say(both, "\n");
    CHECK_EQ(anysync_stream_read_until(both.in, "\n", 1, 3, &data, &size, ANYSYNC_FOREVER), 0);
    CHECK_STR(data, "bcd");
    close_both(both);
}

static int use_in_child(void *argument)
{
    struct both *both = argument;
    char *data = NULL, got;
    size_t size = 0;

    CHECK_EQ(anysync_stream_read(both->in, &got, 1, ANYSYNC_POLL), -EOWNERDEAD);
    CHECK_CONTAINS(anysync_last_error()->message, "forked");
    CHECK_EQ(anysync_stream_read_exactly(both->in, &got, 1, ANYSYNC_POLL), -EOWNERDEAD);
    CHECK_EQ(anysync_stream_read_until(both->in, "a", 1, 1, &data, &size, ANYSYNC_POLL),
            -EOWNERDEAD);
    CHECK_EQ(anysync_stream_write(both->out, "x", 1, ANYSYNC_POLL), -EOWNERDEAD);
    CHECK_EQ(anysync_stream_flush(both->out, ANYSYNC_POLL), -EOWNERDEAD);
    CHECK_EQ(anysync_stream_shutdown(both->out, ANYSYNC_POLL), -EOWNERDEAD);
    close_both(*both);
    check_names();
    return 0;
}

TEST(a_forked_child_can_only_close)
{
    struct both both = open_both(SOCKET);
    char got[4] = "";

    CHECK_EQ(anysync_stream_write(both.out, "abc", 3, ANYSYNC_POLL), 0);
    struct test_child child = test_child(use_in_child, &both);
    CHECK(child.exited);
    CHECK_EQ(child.status, 0);
    free(child.errors);
    CHECK(fcntl(anysync_stream_descriptor(both.in), F_GETFL) & O_NONBLOCK);
    close_well(both.out);
    CHECK_EQ(anysync_stream_read_exactly(both.in, got, 3, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_stream_read(both.in, got, 1, ANYSYNC_FOREVER), 0); /* it came once */
    close_well(both.in);
}
