/* SPDX-License-Identifier: MIT */
/*
 * Transports: what lies between a stream (<anysync/stream.h>) and its descriptor, if the bytes are
 * not sent as they are: TLS (<anysync/tls.h>), a compression, a protocol of your own.
 *
 *      static const struct anysync_transport plain = {.read = ..., .write = ..., .close = ...};
 *
 *      error = anysync_stream_open_over(fd, &plain, connection, &stream);
 *
 * All calls of streams work on it with all that they promise.  A transport does not wait and knows
 * nothing of deadlines, tasks, or cancels: it tries, and says what the descriptor has to be ready
 * for; the stream waits, and calls again.
 */
#ifndef ANYSYNC_TRANSPORT_H
#define ANYSYNC_TRANSPORT_H

#include <anysync/base.h>
#include <anysync/io.h>
#include <anysync/stream.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * What a transport can do.  CONTEXT is that of anysync_stream_open_over().  None of these may wait,
 * or call anything that does.
 *
 * RET_EVENTS  with -EAGAIN: what to wait for, ANYSYNC_READABLE, ANYSYNC_WRITABLE, or both.
 *
 * Thread  any.  Reading and writing may go on in two threads at the same time, so take a lock; read
 *         is not called twice at a time, nor are write and shutdown.
 */
struct anysync_transport {
    /* Give at most SIZE bytes (at least one) to BUFFER.  Returns how many; 0: the end, and so it is
     * from now on; -EAGAIN: there are none yet; or another error. */
    ssize_t (*read)(void *context, void *buffer, size_t size, unsigned *ret_events);

    /*
     * Send of DATA, SIZE bytes, what can be sent.  Returns how many bytes the system has, at least
     * one; -EAGAIN: none yet; or another error, which is for ever.  After -EAGAIN it is called with
     * the same bytes, perhaps in another place, perhaps with more behind them, until they went.
     */
    ssize_t (*write)(void *context, const void *data, size_t size, unsigned *ret_events);

    /* Tell the other side that no more will come; all was written.  Returns 0, -EAGAIN, or an
     * error.  Called by anysync_stream_shutdown(), and by close if that was not called before.
     * NULL: there is no way to tell, a shutdown is -ENOTSOCK. */
    int (*shutdown)(void *context, unsigned *ret_events);

    /* Free CONTEXT; the descriptor is the stream's.  Also in a forked child.  NULL: nothing to do.
     */
    void (*close)(void *context);

    /* For sentences, both borrowed, NULL where there is nothing to say: who is on the other side;
     * why ERROR was returned.  Either function may be NULL. */
    const char *(*name)(const void *context);
    const char *(*reason)(const void *context, int error);
};

/*
 * Make a stream of FD with TRANSPORT between them.
 *
 * fd          consumed if the return is 0, borrowed otherwise.
 * transport   borrowed as long as the stream is there: let it be static.
 * context     what TRANSPORT's functions get; consumed if the return is 0.
 * ret_stream  owned by the caller: anysync_stream_close() it.
 *
 * Returns  0, -ENOMEM, or -EBADF.
 * Thread   any.   Blocks  never.
 */
ANYSYNC_API int anysync_stream_open_over(int fd, const struct anysync_transport *transport,
        void *context, struct anysync_stream **ret_stream) ANYSYNC_MUST_CHECK;

/* The context of STREAM if TRANSPORT is what it goes through; otherwise NULL.  Any thread. */
ANYSYNC_API void *anysync_stream_context(
        const struct anysync_stream *stream, const struct anysync_transport *transport);

#ifdef __cplusplus
}
#endif

#endif
