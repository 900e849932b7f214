/* SPDX-License-Identifier: MIT */
/*
 * Streams: buffered reading and writing of any descriptor that bytes go through: sockets, pipes,
 * terminals.
 *
 *      char *line;
 *      size_t size;
 *
 *      error = anysync_stream_open(fd, &stream);
 *      while (!error) {
 *          error = anysync_stream_read_until(stream, "\n", 1, 1000, &line, &size, deadline);
 *          if (!error)
 *              error = anysync_stream_write(stream, line, size, deadline);
 *          if (!error)
 *              error = anysync_stream_flush(stream, deadline);
 *      }
 *      closed = anysync_stream_close(stream, deadline);    here error is ANYSYNC_DONE at the end
 *
 * TWO HALVES  One task, or thread, may read while another one writes.  A second reader, or a second
 *   writer, is told -EBUSY, and nothing has happened.
 *
 * NOTHING IS LOST  Whoever gives up, at a deadline or by a cancel, finds all as if it had not
 *   called: what has come stays in the stream for the next call, a write has taken all of its data
 *   or none, and a flush goes on where the last one stopped.
 *
 * THE DESCRIPTOR  belongs to the stream, and must not be used or closed by others.  It is made
 *   non-blocking, which others that have the same open file see (a terminal's other programs); the
 *   close takes that back.  A pipe whose reader has gone raises SIGPIPE, as always; sockets do not.
 *   A terminal whose other side has gone may read as -EIO.
 *
 * FORK  In a child made by fork() a stream of the parent can only be closed, which sends nothing.
 *
 * All calls return these besides their own; the sentence names the descriptor and the other side:
 *   -ETIMEDOUT  DEADLINE passed first.
 *   -ECANCELED  the calling task was cancelled.
 *       -EBUSY  somebody else is reading, or writing.
 *     -EDEADLK  called by a callback of a loop, and it would have to wait.
 *      -ENOMEM  no memory; nothing is lost, either.
 *  -EOWNERDEAD  the stream is of the process this one was forked from.
 *  other -Exxx  from the system.  A stream that could not be written once says so for ever.
 *
 * Thread  any.
 * Blocks  if it has to wait: in a coroutine it suspends, elsewhere it blocks the thread.
 * Cancel  cancellation point if it has to wait.
 */
#ifndef ANYSYNC_STREAM_H
#define ANYSYNC_STREAM_H

#include <anysync/base.h>

#include <stddef.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct anysync_stream; /* opaque; its owner closes it */

/*
 * Make a stream of FD.
 *
 * fd          consumed if the return is 0, borrowed otherwise.
 * ret_stream  owned by the caller: anysync_stream_close() it.
 *
 * Returns  0, -ENOMEM, or -EBADF.
 * Thread   any.   Blocks  never.
 */
ANYSYNC_API int anysync_stream_open(int fd, struct anysync_stream **ret_stream) ANYSYNC_MUST_CHECK;

/*
 * Send what was written, and close STREAM (consumed) and its descriptor, however the sending ends.
 *
 * stream    NULL is fine: 0.  Not consumed, and nothing done, if the return is -EBUSY.
 * deadline  of the sending.  ANYSYNC_POLL: what can be sent without waiting.
 *
 * Returns  0: all was sent.  Otherwise see above; the sentence says how many bytes were not.
 *          A task that was cancelled does not wait: close in a shield if it has to.
 */
ANYSYNC_API int anysync_stream_close(
        struct anysync_stream *stream, anysync_time deadline) ANYSYNC_MUST_CHECK;

/* The descriptor of STREAM; it stays the stream's.  Any thread; never blocks. */
ANYSYNC_API int anysync_stream_descriptor(const struct anysync_stream *stream);

/* --- reading ---------------------------------------------------------------------------------- */

/*
 * Read what there is, at most SIZE bytes, into BUFFER; wait if there is nothing.
 *
 * Returns  how many; 0 at the end of the file; or as above.
 */
ANYSYNC_API ssize_t anysync_stream_read(struct anysync_stream *stream, void *buffer, size_t size,
        anysync_time deadline) ANYSYNC_MUST_CHECK;

/*
 * Read SIZE bytes into BUFFER, all of them or none.  The stream holds them until they are complete:
 * for very many, read in a loop.
 *
 * Returns     0  they are in BUFFER.
 *  ANYSYNC_DONE  the end of the file: nothing was left.
 *      -ENODATA  the end of the file came before there were SIZE bytes.  What has come stays: read
 *                gives it.
 *       -EINVAL  SIZE is beyond all reason.
 *         other  see above.
 */
ANYSYNC_API int anysync_stream_read_exactly(struct anysync_stream *stream, void *buffer,
        size_t size, anysync_time deadline) ANYSYNC_MUST_CHECK;

/*
 * Read up to DELIMITER, which is taken too, and not given.
 *
 * delimiter  DELIMITER_SIZE bytes, at least one.
 * most       how many bytes may come before it.
 * ret_data   the bytes before it, in the stream's memory: borrowed, valid until the next call that
 *            reads from STREAM or closes it; the caller may change them.  A zero byte follows.
 * ret_size   how many.
 *
 * Returns     0  there it is.
 *  ANYSYNC_DONE  the end of the file: nothing was left.
 *     -EMSGSIZE  more than MOST bytes came without it.  Nothing was taken: a larger MOST goes on,
 *                and read gives what has come.
 *      -ENODATA  the end of the file came before it.  What has come stays: read gives it.
 *       -EINVAL  no delimiter, or MOST is beyond all reason.
 *         other  see above.
 */
ANYSYNC_API int anysync_stream_read_until(struct anysync_stream *stream, const void *delimiter,
        size_t delimiter_size, size_t most, char **ret_data, size_t *ret_size,
        anysync_time deadline) ANYSYNC_MUST_CHECK;

/* How many bytes have come, and were not read yet.  For who reads; never blocks. */
ANYSYNC_API size_t anysync_stream_buffered(const struct anysync_stream *stream);

/* --- writing ---------------------------------------------------------------------------------- */

/*
 * Write SIZE bytes of DATA, which is copied.  They are sent when some thousands have gathered, by
 * flush, or by close.  If as many wait to be sent already, wait until they were.
 *
 * Returns  0: all of DATA was taken.  -EPIPE: the other side closed, or the half for writing was
 *          shut down.  Otherwise see above.  In case of an error nothing of DATA was taken.
 */
ANYSYNC_API int anysync_stream_write(struct anysync_stream *stream, const void *data, size_t size,
        anysync_time deadline) ANYSYNC_MUST_CHECK;

/* Send all that was written.  Returns 0: the system has it; or as above: the next flush goes on
 * where this one stopped. */
ANYSYNC_API int anysync_stream_flush(
        struct anysync_stream *stream, anysync_time deadline) ANYSYNC_MUST_CHECK;

/* How many bytes were written and not sent yet.  For who writes; never blocks. */
ANYSYNC_API size_t anysync_stream_unsent(const struct anysync_stream *stream);

/*
 * Send all that was written, and shut down the half for writing: the other side finds the end of
 * the file.  Reading goes on.
 *
 * Returns  0, also if it was before.  -ENOTSOCK: only a socket has halves; close STREAM instead.
 *          Otherwise see above; then it is still open.
 */
ANYSYNC_API int anysync_stream_shutdown(
        struct anysync_stream *stream, anysync_time deadline) ANYSYNC_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
