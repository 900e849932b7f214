/* SPDX-License-Identifier: MIT */
/*
 * Streams.
 *
 * Two halves, each with a buffer and one user at a time.  Whoever is in a half has it to itself: it
 * said so under the lock (`busy`), and the next one sees all it did, as it takes that lock later.
 * So buffers need no lock, and nobody waits in it.
 *
 *      in    data [start, end) has come and was not read;  it grows for an item that is longer
 *      out   data [start, end) was written and not sent;   it grows for a write that is longer
 *
 * NOTHING IS LOST  Bytes are read into the buffer, and leave it in one step when a call returns
 * them.  (Only read() may have them put straight into its caller's memory: it returns what it got.)
 * A write first sees that there is room: it waits until the buffer is below MARK, and gets memory
 * for all it brings.  What follows, the copy and a trial to send, neither waits nor fails; what the
 * system says in that trial is kept in `failed`, for the next call.
 *
 * TRANSPORTS  All goes through receive(), send_some() and tell_end(): to the descriptor, or to a
 * transport, which says what to wait for.
 */
#include <anysync/stream.h>

#include "api/address.h"
#include "api/half.h"
#include "api/io.h"
#include "base/memory.h"
#include "sched/error.h"
#include "sched/wait.h"
#include "thread/fork.h"
#include "thread/owned.h"

#include <anysync/cancel.h>
#include <anysync/io.h>
#include <anysync/transport.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    MARK = ASI_HALF_MARK, /* as many bytes to be sent make a write wait */
    PIECE = 4096          /* at most this much at once to what is no socket */
};

struct anysync_stream {
    struct asi_owned lock;
    uint32_t generation; /* [const] */
    int fd;              /* [const] */
    int flags;           /* [const] what the close sets back; -1: nothing */
    bool is_socket;      /* [const] */
    bool shut;           /* [out.busy] there is no half for writing any more */
    int failed;          /* [out.busy] why nothing can be sent any more; 0: it can */
    unsigned awaited;    /* [out.busy] what FD has to be ready for before more can be sent */
    struct asi_half in, out;
    const struct anysync_transport *transport; /* [const] NULL: none */
    void *context;                             /* [const] of the transport */
    struct asi_address peer;                   /* [const] */
};

/* --- what is below --------------------------------------------------------------------------- */

/* Wait for bytes.  Returns how many have come, 0: the end. */
static ssize_t receive(
        struct anysync_stream *stream, void *buffer, size_t size, anysync_time deadline)
{
    if (!stream->transport)
        return anysync_read(stream->fd, buffer, size, deadline);
    for (;;) {
        unsigned events = ANYSYNC_READABLE;
        ssize_t count = stream->transport->read(stream->context, buffer, size, &events);
        if (count != -EAGAIN)
            return count;
        int ready = anysync_wait_fd(stream->fd, events, deadline);
        if (ready < 0)
            return ready;
    }
}

/* Send what of DATA can be sent at once.  Returns how much, -EAGAIN, or why nothing can be. */
static ssize_t send_some(struct anysync_stream *stream, const char *data, size_t size)
{
    ssize_t count;

    stream->awaited = ANYSYNC_WRITABLE;
    if (stream->transport)
        return stream->transport->write(stream->context, data, size, &stream->awaited);
    do
        count = stream->is_socket ? send(stream->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL)
                                  : write(stream->fd, data, size < PIECE ? size : PIECE);
    while (count < 0 && errno == EINTR);
    return count >= 0 ? count : errno == EWOULDBLOCK ? -EAGAIN : -errno;
}

/* Tell the other side that no more will come. */
static int tell_end(struct anysync_stream *stream, anysync_time deadline)
{
    const struct anysync_transport *transport = stream->transport;

    if (!transport)
        return shutdown(stream->fd, SHUT_WR) == 0 ? 0 : -errno;
    for (;;) {
        unsigned events = ANYSYNC_WRITABLE;
        int error = transport->shutdown(stream->context, &events);
        if (error != -EAGAIN)
            return error;
        int ready = anysync_wait_fd(stream->fd, events, deadline);
        if (ready < 0)
            return ready;
    }
}

/* --- who is in which half --------------------------------------------------------------------- */

static int say(const struct anysync_stream *stream, const char *call, int error)
{
    char peer[ASI_ADDRESS_TEXT];
    const char *reason = error == -ECANCELED ? anysync_cancel_reason() : NULL;
    const struct anysync_transport *transport = stream->transport;
    const char *name = NULL;

    if (error >= 0)
        return error;
    if (error == -EOWNERDEAD)
        return asi_call_fails(
                error, "%s(): a stream of the process this one was forked from", call);
    if (transport && transport->name)
        name = transport->name(stream->context);
    if (transport && transport->reason && !reason)
        reason = transport->reason(stream->context, error);
    asi_address_format(&stream->peer, peer);
    return asi_call_fails(error, "%s() on descriptor %d%s%s%s%s%s: %s%s%s", call, stream->fd,
            peer[0] ? " to " : "", peer, name ? " (" : "", name ? name : "", name ? ")" : "",
            error == -EDEADLK   ? "a callback of the loop cannot wait: spawn a coroutine that does"
            : error == -EBUSY   ? "another task or thread is at it: one at a time"
            : error == -ENODATA ? "the end of the file came in the middle; what has come stays"
                                : anysync_error_text(error),
            reason ? ": " : "", reason ? reason : "");
}

/* Be the one in HALF.  Returns 0, -EBUSY or -EOWNERDEAD. */
static int enter(struct anysync_stream *stream, struct asi_half *half)
{
    if (stream->generation != asi_fork_generation)
        return -EOWNERDEAD;
    bool owner = asi_owned_take(&stream->lock);
    bool was_busy = half->busy;
    half->busy = true;
    asi_owned_give(&stream->lock, owner);
    return was_busy ? -EBUSY : 0;
}

static void leave(struct anysync_stream *stream, struct asi_half *half)
{
    bool owner = asi_owned_take(&stream->lock);

    half->busy = false;
    asi_owned_give(&stream->lock, owner);
}

/* --- reading ---------------------------------------------------------------------------------- */

/* Wait for more, with room for SIZE bytes in all.  Returns how many have come, 0: the end. */
static ssize_t fill(struct anysync_stream *stream, size_t size, anysync_time deadline)
{
    struct asi_half *in = &stream->in;
    int error = asi_half_reserve(in, size);

    if (error)
        return error;
    ssize_t count = receive(stream, in->data + in->end, in->capacity - in->end, deadline);
    if (count > 0)
        in->end += (size_t)count;
    return count;
}

/* The end has come before what was waited for. */
static int at_end(const struct asi_half *in)
{
    return asi_half_held(in) > 0 ? -ENODATA : ANYSYNC_DONE;
}

static ssize_t read_some(
        struct anysync_stream *stream, void *buffer, size_t size, anysync_time deadline)
{
    struct asi_half *in = &stream->in;

    if (size == 0)
        return 0;
    if (asi_half_held(in) == 0 && size >= MARK) /* no need of a copy */
        return receive(stream, buffer, size, deadline);
    if (asi_half_held(in) == 0) {
        ssize_t count = fill(stream, MARK, deadline);
        if (count <= 0)
            return count;
    }
    if (size > asi_half_held(in))
        size = asi_half_held(in);
    asi_half_take(in, buffer, size);
    return (ssize_t)size;
}

ssize_t anysync_stream_read(
        struct anysync_stream *stream, void *buffer, size_t size, anysync_time deadline)
{
    ssize_t status = enter(stream, &stream->in);

    if (!status) {
        status = read_some(stream, buffer, size, deadline);
        leave(stream, &stream->in);
    }
    return status < 0 ? say(stream, "anysync_stream_read", (int)status) : status;
}

static int read_all(struct anysync_stream *stream, void *buffer, size_t size, anysync_time deadline)
{
    struct asi_half *in = &stream->in;

    if (size > ASI_MOST_BYTES)
        return -EINVAL;
    while (asi_half_held(in) < size) {
        ssize_t count = fill(stream, size, deadline);
        if (count <= 0)
            return count < 0 ? (int)count : at_end(in);
    }
    asi_half_take(in, buffer, size);
    return 0;
}

int anysync_stream_read_exactly(
        struct anysync_stream *stream, void *buffer, size_t size, anysync_time deadline)
{
    int status = enter(stream, &stream->in);

    if (!status) {
        status = read_all(stream, buffer, size, deadline);
        leave(stream, &stream->in);
    }
    return say(stream, "anysync_stream_read_exactly", status);
}

struct delimiter {
    const char *data;
    size_t size;
    size_t most;
};

/* Look for DELIMITER from LOOKED on: no place before that can be its beginning.  Returns how many
 * bytes come before it, or -EAGAIN: it has not come, and LOOKED tells how far that is sure. */
static ssize_t find(const struct asi_half *in, const struct delimiter *delimiter, size_t *looked)
{
    size_t count = asi_half_held(in);

    if (count == 0) /* perhaps there is no buffer yet */
        return -EAGAIN;
    const char *data = in->data + in->start;
    while (*looked + delimiter->size <= count) {
        size_t places = count - delimiter->size + 1 - *looked;
        const char *place = memchr(data + *looked, delimiter->data[0], places);
        if (!place) {
            *looked += places;
            break;
        }
        *looked = (size_t)(place - data);
        if (memcmp(place, delimiter->data, delimiter->size) == 0)
            return (ssize_t)*looked;
        ++*looked;
    }
    return -EAGAIN;
}

static int read_item(struct anysync_stream *stream, const struct delimiter *delimiter,
        char **ret_data, size_t *ret_size, anysync_time deadline)
{
    const size_t limit = delimiter->most + delimiter->size;
    struct asi_half *in = &stream->in;
    size_t looked = 0;

    for (;;) {
        ssize_t found = find(in, delimiter, &looked);
        if (looked > delimiter->most)
            return -EMSGSIZE;
        if (found >= 0) {
            *ret_data = in->data + in->start;
            *ret_size = (size_t)found;
            in->start += (size_t)found + delimiter->size;
            (*ret_data)[found] = '\0';
            return 0;
        }
        /* What is held is less than the limit: so there is room for at least one more. */
        size_t size = 2 * asi_half_held(in) < limit ? 2 * asi_half_held(in) : limit;
        ssize_t count = fill(stream, size < MARK ? MARK : size, deadline);
        if (count <= 0)
            return count < 0 ? (int)count : at_end(in);
    }
}

int anysync_stream_read_until(struct anysync_stream *stream, const void *delimiter,
        size_t delimiter_size, size_t most, char **ret_data, size_t *ret_size,
        anysync_time deadline)
{
    const struct delimiter until = {delimiter, delimiter_size, most};
    int status;

    if (delimiter_size == 0 || (delimiter_size | most) > ASI_MOST_BYTES / 2)
        return asi_call_fails(-EINVAL,
                "anysync_stream_read_until() needs a delimiter, and a most that memory can hold");
    status = enter(stream, &stream->in);
    if (!status) {
        status = read_item(stream, &until, ret_data, ret_size, deadline);
        leave(stream, &stream->in);
    }
    if (status == -EMSGSIZE)
        return asi_call_fails(status,
                "anysync_stream_read_until() on descriptor %d: %zu bytes came without the "
                "delimiter; they stay",
                stream->fd, asi_half_held(&stream->in));
    return say(stream, "anysync_stream_read_until", status);
}

size_t anysync_stream_buffered(const struct anysync_stream *stream)
{
    return asi_half_held(&stream->in);
}

/* --- writing ---------------------------------------------------------------------------------- */

/* Send what of DATA can be sent without waiting.  Returns how much; a failure is kept. */
static size_t send_now(struct anysync_stream *stream, const char *data, size_t size)
{
    size_t sent = 0;

    while (sent < size && !stream->failed) {
        ssize_t count = send_some(stream, data + sent, size - sent);
        if (count == -EAGAIN)
            break;
        if (count >= 0)
            sent += (size_t)count;
        else
            stream->failed = (int)count;
    }
    return sent;
}

/* Send all that is held. */
static int send_held(struct anysync_stream *stream, anysync_time deadline)
{
    struct asi_half *out = &stream->out;

    while (asi_half_held(out) > 0 && !stream->failed) {
        out->start += send_now(stream, out->data + out->start, asi_half_held(out));
        if (asi_half_held(out) == 0 || stream->failed)
            break;
        int ready = anysync_wait_fd(stream->fd, stream->awaited, deadline);
        if (ready < 0)
            return ready;
    }
    if (asi_half_held(out) == 0)
        (void)asi_half_reserve(out, 0); /* give back what is large */
    return stream->failed;
}

static int put(struct anysync_stream *stream, const void *data, size_t size, anysync_time deadline)
{
    struct asi_half *out = &stream->out;
    size_t sent = 0;

    if (stream->shut)
        return -EPIPE;
    if (size > ASI_MOST_BYTES)
        return -EINVAL;
    int error = asi_half_held(out) >= MARK ? send_held(stream, deadline) : stream->failed;
    if (!error)
        error = asi_half_reserve(out, asi_half_held(out) + size);
    if (error)
        return error;
    if (asi_half_held(out) == 0 && size >= MARK) /* no need of a copy */
        sent = send_now(stream, data, size);
    asi_half_append(out, (const char *)data + sent, size - sent);
    if (sent == 0 && asi_half_held(out) >= MARK)
        out->start += send_now(stream, out->data + out->start, asi_half_held(out));
    return 0;
}

int anysync_stream_write(
        struct anysync_stream *stream, const void *data, size_t size, anysync_time deadline)
{
    int status = enter(stream, &stream->out);

    if (!status) {
        status = put(stream, data, size, deadline);
        leave(stream, &stream->out);
    }
    return say(stream, "anysync_stream_write", status);
}

int anysync_stream_flush(struct anysync_stream *stream, anysync_time deadline)
{
    int status = enter(stream, &stream->out);

    if (!status) {
        status = send_held(stream, deadline);
        leave(stream, &stream->out);
    }
    return say(stream, "anysync_stream_flush", status);
}

size_t anysync_stream_unsent(const struct anysync_stream *stream)
{
    return asi_half_held(&stream->out);
}

static int shut_down(struct anysync_stream *stream, anysync_time deadline)
{
    if (stream->shut)
        return 0;
    if (stream->transport ? !stream->transport->shutdown : !stream->is_socket)
        return -ENOTSOCK;
    int error = send_held(stream, deadline);
    if (!error)
        error = tell_end(stream, deadline);
    stream->shut = !error;
    return error;
}

int anysync_stream_shutdown(struct anysync_stream *stream, anysync_time deadline)
{
    int status = enter(stream, &stream->out);

    if (!status) {
        status = shut_down(stream, deadline);
        leave(stream, &stream->out);
    }
    return say(stream, "anysync_stream_shutdown", status);
}

/* --- life ------------------------------------------------------------------------------------- */

int anysync_stream_open_over(int fd, const struct anysync_transport *transport, void *context,
        struct anysync_stream **ret_stream)
{
    struct anysync_stream *stream = asi_allocate_zero(sizeof(*stream));

    if (!stream)
        return asi_call_fails(-ENOMEM, "no memory for a stream");
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)) {
        int error = -errno;
        asi_free(stream);
        return asi_call_fails(
                error, "anysync_stream_open() on descriptor %d: %s", fd, anysync_error_text(error));
    }
    asi_owned_init(&stream->lock, true);
    stream->generation = asi_fork_generation;
    stream->fd = fd;
    stream->flags = flags & O_NONBLOCK ? -1 : flags;
    stream->transport = transport;
    stream->context = context;
    stream->is_socket = asi_address_of(fd, false, &stream->peer) != -ENOTSOCK;
    asi_io_forget(fd);
    *ret_stream = stream;
    return 0;
}

int anysync_stream_open(int fd, struct anysync_stream **ret_stream)
{
    return anysync_stream_open_over(fd, NULL, NULL, ret_stream);
}

void *anysync_stream_context(
        const struct anysync_stream *stream, const struct anysync_transport *transport)
{
    return transport && stream->transport == transport ? stream->context : NULL;
}

static void destroy(struct anysync_stream *stream)
{
    if (stream->transport && stream->transport->close)
        stream->transport->close(stream->context);
    asi_io_forget(stream->fd);
    close(stream->fd);
    asi_free(stream->in.data);
    asi_free(stream->out.data);
    asi_free(stream);
}

/* Both halves, or -EBUSY. */
static int enter_both(struct anysync_stream *stream)
{
    int error = enter(stream, &stream->in);

    if (error)
        return error;
    error = enter(stream, &stream->out);
    if (error)
        leave(stream, &stream->in);
    return error;
}

/* Send what is left, and through a transport that this is the end. */
static int finish(struct anysync_stream *stream, anysync_time deadline)
{
    const struct anysync_transport *transport = stream->transport;
    int error = asi_half_held(&stream->out) > 0 ? send_held(stream, deadline) : 0;
    char call[60];

    if (error) {
        (void)snprintf(call, sizeof(call), "%zu bytes were not sent: anysync_stream_close",
                asi_half_held(&stream->out));
        return say(stream, call, error);
    }
    if (!transport || !transport->shutdown || stream->shut || stream->failed)
        return 0;
    error = tell_end(stream, deadline);
    if (error == -EPIPE || error == -ECONNRESET) /* it has gone before: nobody is to be told */
        error = 0;
    return say(
            stream, "all bytes were sent, but not that these are all: anysync_stream_close", error);
}

int anysync_stream_close(struct anysync_stream *stream, anysync_time deadline)
{
    if (!stream)
        return 0;
    int error = enter_both(stream);
    if (error == -EBUSY)
        return say(stream, "anysync_stream_close", error);
    if (error) { /* of the parent: it has the same descriptor, and sends what is to be sent */
        destroy(stream);
        return 0;
    }
    error = finish(stream, deadline);
    if (stream->flags >= 0)
        (void)fcntl(stream->fd, F_SETFL, stream->flags);
    destroy(stream);
    return error;
}

int anysync_stream_descriptor(const struct anysync_stream *stream)
{
    return stream->fd;
}
