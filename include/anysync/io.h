/* SPDX-License-Identifier: MIT */
/*
 * Descriptors, with deadlines, in every world: a coroutine suspends and its loop goes on, any other
 * thread blocks in poll().  A callback of a loop can do neither: -EDEADLK.
 *
 * DESCRIPTORS  They belong to the caller and are never closed here.  They may be blocking or not:
 *   the calls below never block a loop's thread on them, with one exception: what is not a
 *   connected socket is looked at just before the operation, so another thread that takes the data
 *   or the connection in between leaves nothing.  Make listening sockets, and pipes that several
 *   threads read, non-blocking.  Do not close a descriptor that somebody waits for: cancel the
 *   waiter first.
 *
 * SIGNALS  EINTR never reaches the caller.  Writing to a closed socket gives -EPIPE and no
 *   SIGPIPE; pipes raise it as always.
 *
 * All calls return these besides their own:
 *   -ETIMEDOUT  DEADLINE passed first; nothing was read, written, accepted.
 *   -ECANCELED  the calling task was cancelled; likewise.
 *     -EDEADLK  called by a callback of a loop.
 *   other -Exxx from the system; the sentence names call and descriptor.
 *
 * Each is a cancellation point in a coroutine and loses nothing when it ends early.
 */
#ifndef ANYSYNC_IO_H
#define ANYSYNC_IO_H

#include <anysync/base.h>

#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ANYSYNC_READABLE 1u
#define ANYSYNC_WRITABLE 2u

/*
 * Wait until FD is ready for one of EVENTS (ANYSYNC_READABLE | ANYSYNC_WRITABLE).  End of file,
 * hang-up and errors count as ready: the read or write that follows tells which.
 *
 * Returns  the events that are ready, as a positive number; or an error, -EINVAL for EVENTS == 0.
 */
ANYSYNC_API int anysync_wait_fd(int fd, unsigned events, anysync_time deadline) ANYSYNC_MUST_CHECK;

/* Read at most SIZE bytes into BUFFER.  Returns how many; 0 at the end of the file. */
ANYSYNC_API ssize_t anysync_read(
        int fd, void *buffer, size_t size, anysync_time deadline) ANYSYNC_MUST_CHECK;

/* Write at most SIZE bytes of BUFFER.  Returns how many, at least 1 for SIZE > 0. */
ANYSYNC_API ssize_t anysync_write(
        int fd, const void *buffer, size_t size, anysync_time deadline) ANYSYNC_MUST_CHECK;

/*
 * Write all SIZE bytes of BUFFER.
 *
 * written  how many were written before, 0 at first; counted up, so that after an error the same
 *          call goes on where this one stopped.  NULL: begin at 0, and tell nobody.
 *
 * Returns  0: all are written; or an error.
 */
ANYSYNC_API int anysync_write_all(int fd, const void *buffer, size_t size, size_t *written,
        anysync_time deadline) ANYSYNC_MUST_CHECK;

/*
 * Accept a connection on FD.  ADDRESS and SIZE as accept(), both may be NULL.
 * Returns  the new descriptor (owned by the caller, close-on-exec, non-blocking).
 */
ANYSYNC_API int anysync_accept(int fd, struct sockaddr *address, socklen_t *size,
        anysync_time deadline) ANYSYNC_MUST_CHECK;

/*
 * Connect FD to ADDRESS.  After an error FD can only be closed.
 * Returns  0, or -ECONNREFUSED and the like.
 */
ANYSYNC_API int anysync_connect(int fd, const struct sockaddr *address, socklen_t size,
        anysync_time deadline) ANYSYNC_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
