/* SPDX-License-Identifier: MIT */
/*
 * Transports below streams (include/anysync/transport.h).  The one here turns each byte around, may
 * have to read before it can write or end.
 *
 * Promised                                       Tested by
 *   all calls of streams work on it                bytes_go_through_a_transport
 *   it waits for what it asks for                  a_write_may_wait_for_reading
 *   the same bytes come again                      a_write_takes_all_or_nothing_through_it
 *   a shutdown and a close tell the end, once      the_end_is_told_once
 *                                                  a_close_says_if_the_end_was_not_told
 *                                                  an_end_is_told_again_until_it_was
 *                                                  who_has_gone_need_not_be_told_of_the_end
 *   its names and reasons are in the sentences     what_failed_and_why_is_in_the_sentence
 *   its context is found                           a_context_is_found_by_its_transport
 *   a child that was forked frees it               a_forked_child_frees_it
 */
#include "streams.h"

#include <anysync/transport.h>

#include <stdatomic.h>

struct turned {
    int fd;
    bool permits; /* a write, or the end, needs a byte from the other side first */
    int busy;     /* the end is told when it was tried so many times more */
    int failing;  /* what everything returns; 0: nothing does */
    char last;    /* the first byte of what could not be sent */
    bool again;   /* and it comes again */
};

static atomic_int ends_told, closed;

static ssize_t read_turned(void *context, void *buffer, size_t size, unsigned *ret_events)
{
    struct turned *turned = context;
    char *bytes = buffer;

    *ret_events = ANYSYNC_READABLE;
    if (turned->failing)
        return turned->failing;
    ssize_t count = recv(turned->fd, buffer, size < 100 ? size : 100, MSG_DONTWAIT);
    if (count < 0)
        return -errno;
    for (ssize_t i = 0; i < count; i++)
        bytes[i] = (char)~bytes[i];
    return count;
}

static bool may_go(struct turned *turned, unsigned *ret_events)
{
    char byte;

    *ret_events = ANYSYNC_READABLE;
    if (turned->permits && recv(turned->fd, &byte, 1, MSG_DONTWAIT) == 1)
        turned->permits = false;
    return !turned->permits;
}

static ssize_t write_turned(void *context, const void *data, size_t size, unsigned *ret_events)
{
    struct turned *turned = context;
    char bytes[100];

    if (turned->failing)
        return turned->failing;
    if (!may_go(turned, ret_events))
        return -EAGAIN;
    *ret_events = ANYSYNC_WRITABLE;
    if (size > sizeof(bytes))
        size = sizeof(bytes);
    CHECK_GE(size, 1);
    for (size_t i = 0; i < size; i++)
        bytes[i] = (char)~((const char *)data)[i];
    if (turned->again)
        CHECK_EQ(bytes[0], turned->last);
    turned->last = bytes[0];
    ssize_t count = send(turned->fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    turned->again = count < 0;
    return count < 0 ? -errno : count;
}

static int shut_down_turned(void *context, unsigned *ret_events)
{
    struct turned *turned = context;

    if (turned->failing)
        return turned->failing;
    if (!may_go(turned, ret_events))
        return -EAGAIN;
    *ret_events = ANYSYNC_WRITABLE;
    if (turned->busy-- > 0)
        return -EAGAIN;
    if (shutdown(turned->fd, SHUT_WR) != 0)
        return -errno;
    atomic_fetch_add(&ends_told, 1);
    return 0;
}

static void close_turned(void *context)
{
    atomic_fetch_add(&closed, 1);
    free(context);
}

static const char *name_turned(const void *context)
{
    (void)context;
    return "all turned around";
}

static const char *reason_turned(const void *context, int error)
{
    return error == ((const struct turned *)context)->failing ? "it is tired" : NULL;
}

static const struct anysync_transport turning = {.read = read_turned,
        .write = write_turned,
        .shutdown = shut_down_turned,
        .close = close_turned,
        .name = name_turned,
        .reason = reason_turned};

static const struct anysync_transport plain = {.read = read_turned, .write = write_turned};

static struct turned *turned_of(struct anysync_stream *stream)
{
    struct turned *turned = anysync_stream_context(stream, &turning);

    CHECK(turned != NULL);
    return turned;
}

static struct anysync_stream *open_turned(int fd)
{
    struct anysync_stream *stream = NULL;
    struct turned *turned = calloc(1, sizeof(*turned));

    turned->fd = fd;
    CHECK_EQ(anysync_stream_open_over(fd, &turning, turned, &stream), 0);
    return stream;
}

static struct both open_both_turned(void)
{
    int pair[2];

    open_pair(SOCKET, pair);
    return (struct both){open_turned(pair[0]), open_turned(pair[1])};
}

static void check_through(void)
{
    struct both both = open_both_turned();
    char got[4] = "";

    say(both, "one\ntwo\nabc");
    expect_line(both.in, "one");
    expect_line(both.in, "two");
    CHECK_EQ(anysync_stream_read_exactly(both.in, got, 3, ANYSYNC_FOREVER), 0);
    CHECK_STR(got, "abc");
    CHECK_EQ(anysync_stream_read(both.in, got, 1, anysync_in_us(100)), -ETIMEDOUT);
    CHECK_CONTAINS(anysync_last_error()->message, "(all turned around): the deadline passed");
    CHECK_EQ(write(anysync_stream_descriptor(both.out), "\x9e", 1), 1);
    CHECK_EQ(anysync_stream_read(both.in, got, 1, ANYSYNC_FOREVER), 1);
    CHECK_EQ(got[0], 'a');
    close_both(both);
}

TEST(bytes_go_through_a_transport)
{
    in_worlds(EVERYWHERE_AND_POOL, check_through);
}

static void check_permit(void)
{
    struct both both = open_both_turned();
    flush_it_future task;

    turned_of(both.out)->permits = true;
    CHECK_EQ(anysync_stream_write(both.out, "hello\n", 6, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_stream_flush(both.out, anysync_in_us(100)), -ETIMEDOUT);
    CHECK_EQ(anysync_stream_unsent(both.out), 6);
    CHECK_EQ(flush_it_start(&task, both.out), 0);
    CHECK_EQ(write(anysync_stream_descriptor(both.in), "p", 1), 1);
    CHECK_EQ(flush_it_wait(&task, ANYSYNC_FOREVER), 0);
    flush_it_drop(&task);
    expect_line(both.in, "hello");
    close_both(both);
}

TEST(a_write_may_wait_for_reading)
{
    in_every_world(check_permit);
}

static void check_all_or_nothing(void)
{
    struct both both = open_both_turned();
    char byte = 'x';
    size_t end = write_until_full(both.out, 0);
    size_t unsent = anysync_stream_unsent(both.out);

    CHECK_EQ(anysync_stream_write(both.out, &byte, 1, anysync_in_us(100)), -ETIMEDOUT);
    CHECK_EQ(anysync_stream_unsent(both.out), unsent);
    read_pattern_future task;
    CHECK_EQ(read_pattern_start(&task, both.in, 0, end), 0);
    CHECK_EQ(anysync_stream_flush(both.out, ANYSYNC_FOREVER), 0);
    CHECK_EQ(read_pattern_wait(&task, ANYSYNC_FOREVER), 0);
    read_pattern_drop(&task);
    close_both(both);
}

TEST(a_write_takes_all_or_nothing_through_it)
{
    in_every_world(check_all_or_nothing);
}

TEST(the_end_is_told_once)
{
    struct both both = open_both_turned();
    char got;

    CHECK_EQ(anysync_stream_write(both.out, "x", 1, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_stream_shutdown(both.out, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_stream_shutdown(both.out, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_stream_write(both.out, "y", 1, ANYSYNC_FOREVER), -EPIPE);
    CHECK_EQ(anysync_stream_read(both.in, &got, 1, ANYSYNC_FOREVER), 1);
    CHECK_EQ(anysync_stream_read(both.in, &got, 1, ANYSYNC_FOREVER), 0);
    close_well(both.out);
    CHECK_EQ(atomic_load(&ends_told), 1);
    close_well(both.in);
    CHECK_EQ(atomic_load(&closed), 2);
    both = open_both_turned();
    close_well(both.out);
    CHECK_EQ(atomic_load(&ends_told), 3);
    CHECK_EQ(anysync_stream_read_exactly(both.in, &got, 1, ANYSYNC_FOREVER), ANYSYNC_DONE);
    close_well(both.in);

    /* There is a way to tell only if the transport has one. */
    int pair[2];
    struct anysync_stream *stream = NULL;
    struct turned turned = {0};
    open_pair(SOCKET, pair);
    turned.fd = pair[0];
    CHECK_EQ(anysync_stream_open_over(pair[0], &plain, &turned, &stream), 0);
    CHECK_EQ(anysync_stream_shutdown(stream, ANYSYNC_FOREVER), -ENOTSOCK);
    close_well(stream);
    close(pair[1]);
}

static void check_untold(void)
{
    struct both both = open_both_turned();

    turned_of(both.out)->permits = true;
    CHECK_EQ(anysync_stream_close(both.out, anysync_in_us(100)), -ETIMEDOUT);
    CHECK_CONTAINS(anysync_last_error()->message, "all bytes were sent, but not that");
    close_well(both.in);
}

TEST(a_close_says_if_the_end_was_not_told)
{
    in_every_world(check_untold);
}

static void check_busy_end(void)
{
    struct both both = open_both_turned();
    char got;

    turned_of(both.out)->busy = 2;
    close_well(both.out);
    CHECK_EQ(anysync_stream_read(both.in, &got, 1, ANYSYNC_FOREVER), 0);
    close_well(both.in);
}

TEST(an_end_is_told_again_until_it_was)
{
    in_every_world(check_busy_end);
}

TEST(who_has_gone_need_not_be_told_of_the_end)
{
    static const int gone[] = {-EPIPE, -ECONNRESET};

    for (int i = 0; i < 2; i++) {
        struct both both = open_both_turned();

        turned_of(both.out)->failing = gone[i];
        close_well(both.out);
        close_well(both.in);
    }
}

TEST(what_failed_and_why_is_in_the_sentence)
{
    struct both both = open_both_turned();
    char got;

    turned_of(both.in)->failing = -EPROTO;
    CHECK_EQ(anysync_stream_read(both.in, &got, 1, ANYSYNC_FOREVER), -EPROTO);
    CHECK_CONTAINS(anysync_last_error()->message, "(all turned around): ");
    CHECK_CONTAINS(anysync_last_error()->message, ": it is tired");
    CHECK_EQ(anysync_stream_write(both.in, "a", 1, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_stream_flush(both.in, ANYSYNC_FOREVER), -EPROTO);
    CHECK_EQ(anysync_stream_write(both.in, "a", 1, ANYSYNC_FOREVER), -EPROTO);
    CHECK_EQ(anysync_stream_close(both.in, ANYSYNC_FOREVER), -EPROTO);
    CHECK_CONTAINS(anysync_last_error()->message, "1 bytes were not sent");
    turned_of(both.out)->failing = -EPROTO;
    CHECK_EQ(anysync_stream_close(both.out, ANYSYNC_FOREVER), -EPROTO);
}

TEST(a_context_is_found_by_its_transport)
{
    struct both both = open_both(SOCKET), over = open_both_turned();

    CHECK(anysync_stream_context(both.in, &turning) == NULL);
    CHECK(anysync_stream_context(both.in, NULL) == NULL);
    CHECK(anysync_stream_context(over.in, &plain) == NULL);
    CHECK(anysync_stream_context(over.in, &turning) != NULL);
    close_both(both);
    close_both(over);
}

static int close_in_child(void *argument)
{
    struct both *both = argument;
    char got;

    CHECK_EQ(anysync_stream_read(both->in, &got, 1, ANYSYNC_POLL), -EOWNERDEAD);
    close_both(*both);
    CHECK_EQ(atomic_load(&closed), 2);
    CHECK_EQ(atomic_load(&ends_told), 0);
    return 0;
}

TEST(a_forked_child_frees_it)
{
    struct both both = open_both_turned();

    struct test_child child = test_child(close_in_child, &both);
    CHECK(child.exited);
    CHECK_EQ(child.status, 0);
    free(child.errors);
    say(both, "hello\n");
    expect_line(both.in, "hello");
    close_both(both);
}
