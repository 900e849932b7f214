/* SPDX-License-Identifier: MIT */
/* What tests of streams share: a pair of them, and bytes that tell where they belong. */
#ifndef TEST_STREAMS_H
#define TEST_STREAMS_H

#include "futures.h"
#include "jobs.h"
#include "pairs.h"

static inline struct anysync_stream *open_stream_of(int fd)
{
    struct anysync_stream *stream = NULL;

    CHECK_EQ(anysync_stream_open(fd, &stream), 0);
    CHECK_EQ(anysync_stream_descriptor(stream), fd);
    return stream;
}

static inline void close_well(struct anysync_stream *stream)
{
    CHECK_EQ(anysync_stream_close(stream, ANYSYNC_FOREVER), 0);
}

struct both {
    struct anysync_stream *in, *out;
};

static inline struct both open_both(int kind)
{
    int pair[2];

    open_pair(kind, pair);
    return (struct both){open_stream_of(pair[0]), open_stream_of(pair[1])};
}

static inline void close_both(struct both both)
{
    close_well(both.in);
    close_well(both.out);
}

static inline void say(struct both both, const char *text)
{
    CHECK_EQ(anysync_stream_write(both.out, text, strlen(text), ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_stream_flush(both.out, ANYSYNC_FOREVER), 0);
    CHECK_EQ(anysync_stream_unsent(both.out), 0);
}

static inline void expect_line(struct anysync_stream *stream, const char *line)
{
    char *data = NULL;
    size_t size = 0;

    CHECK_EQ(anysync_stream_read_until(stream, "\n", 1, 1000, &data, &size, ANYSYNC_FOREVER), 0);
    CHECK_EQ(size, strlen(line));
    CHECK_STR(data, line);
}

/* The next byte of a pattern that does not repeat soon. */
static inline char pattern(size_t at)
{
    return (char)(at * 7 + at / 251);
}

/* Write bytes of the pattern from AT on until that would have to wait.  Returns where it ends. */
static inline size_t write_until_full(struct anysync_stream *stream, size_t at)
{
    char piece[777];

    for (;;) {
        for (size_t i = 0; i < sizeof(piece); i++)
            piece[i] = pattern(at + i);
        int error = anysync_stream_write(stream, piece, sizeof(piece), ANYSYNC_POLL);
        if (error) {
            CHECK_EQ(error, -ETIMEDOUT);
            return at;
        }
        at += sizeof(piece);
    }
}

static inline void expect_pattern(struct anysync_stream *stream, size_t from, size_t to)
{
    char got[1000];

    while (from < to) {
        size_t size = to - from < sizeof(got) ? to - from : sizeof(got);
        CHECK_EQ(anysync_stream_read_exactly(stream, got, size, ANYSYNC_FOREVER), 0);
        for (size_t i = 0; i < size; i++)
            CHECK_EQ(got[i], pattern(from + i));
        from += size;
    }
}

ANYSYNC_COROUTINE(
        void, read_pattern, (struct anysync_stream *, stream), (size_t, from), (size_t, to))
{
    expect_pattern(stream, from, to);
    return 0;
}

ANYSYNC_COROUTINE(void, flush_it, (struct anysync_stream *, stream))
{
    return anysync_stream_flush(stream, ANYSYNC_FOREVER);
}

ANYSYNC_COROUTINE(void, read_six, (struct anysync_stream *, stream))
{
    char got[6];

    return anysync_stream_read_exactly(stream, got, sizeof(got), ANYSYNC_FOREVER);
}

/* A read of BOTH (consumed), in a coroutine, that is cancelled loses nothing. */
static inline void expect_kept_by_cancel(struct both both)
{
    read_six_future task;
    char got[8] = "";

    CHECK_EQ(read_six_start(&task, both.in), 0);
    CHECK_EQ(anysync_yield(), 0);
    say(both, "abc");
    CHECK_EQ(read_six_wait(&task, anysync_in_us(200)), -ETIMEDOUT); /* it has these three */
    CHECK_EQ(anysync_cancel_because(task.future, "the user left"), 0);
    CHECK_EQ(read_six_wait(&task, ANYSYNC_FOREVER), -ECANCELED);
    CHECK_CONTAINS(anysync_last_error()->message, "the user left");
    read_six_drop(&task);
    say(both, "def");
    CHECK_EQ(anysync_stream_read_exactly(both.in, got, 6, ANYSYNC_FOREVER), 0);
    CHECK_STR(got, "abcdef");
    close_both(both);
}

#endif
