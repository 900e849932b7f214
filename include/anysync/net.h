/* SPDX-License-Identifier: MIT */
/*
 * Networks: listen, serve and dial, datagrams, descriptors sent to other processes.
 *
 *      static int greet(int fd, void *name)            // each connection in a coroutine of its own
 *      {
 *          int error = anysync_write_all(fd, name, strlen(name), NULL, anysync_in_seconds(5));
 *          close(fd);
 *          return error;
 *      }
 *
 *      error = anysync_listen("127.0.0.1:8000", 0, &listener);
 *      if (!error)
 *          error = anysync_serve(listener, 1000, greet, "hello\n", ANYSYNC_FOREVER);
 *
 * ADDRESSES  are text: "127.0.0.1:80", "[::1]:80", "[fe80::1%eth0]:80", "unix:/path", and on Linux
 *   "unix:@name", which is in no file system.  Numbers only: a name has to be resolved before.
 *
 * All that wait return these besides their own, and are cancellation points that lose nothing:
 *   -ETIMEDOUT  DEADLINE passed first.
 *   -ECANCELED  the calling task was cancelled.
 *     -EDEADLK  called by a callback of a loop, and it would have to wait.
 *      -EINVAL  an address that is none.
 *  other -Exxx  from the system; the sentence names the address or the descriptor.
 *
 * Thread  any.
 * Blocks  if it has to wait: in a coroutine it suspends, elsewhere it blocks the thread.
 *
 * Descriptors that are given here belong to the caller, are closed by exec(), and do not block.
 */
#ifndef ANYSYNC_NET_H
#define ANYSYNC_NET_H

#include <anysync/base.h>

#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Room for each address as text, with its zero byte. */
#define ANYSYNC_ADDRESS_SIZE 128

/* --- connections ------------------------------------------------------------------------------ */

/*
 * Listen at ADDRESS.  Port 0 takes a free one: anysync_local_address() tells which.  The file of a
 * Unix socket to which nobody listens any more is replaced.
 *
 * backlog  how many connections the system keeps that were not accepted yet; 0: its most.
 * ret_fd   owned by the caller.  (A Unix socket's file stays after the close: unlink() it.)
 *
 * Returns  0, -EADDRINUSE, -EACCES, or another one of the system.   Blocks  never.
 */
ANYSYNC_API int anysync_listen(const char *address, int backlog, int *ret_fd) ANYSYNC_MUST_CHECK;

/*
 * Connect to ADDRESS.
 *
 * ret_fd  owned by the caller.  TCP sends what is written at once (TCP_NODELAY).
 *
 * Returns  0, -ECONNREFUSED, -ENOENT (no such Unix socket), or see above; then nothing is open.
 */
ANYSYNC_API int anysync_dial(
        const char *address, int *ret_fd, anysync_time deadline) ANYSYNC_MUST_CHECK;

/*
 * What is called for each connection, in a coroutine of its own, which may suspend.
 *
 * fd        the connection; owned: close it, or make a stream of it, which closes it.  TCP sends
 *           what is written at once (TCP_NODELAY).
 * argument  borrowed, as given to anysync_serve().
 *
 * Returns  0.  A failure ends this connection only, and goes to the error hook
 *          (anysync_set_error_hook()); -ECANCELED goes nowhere.  It has to return: one that leaves
 *          by anysync_exit() counts as one that runs for ever.
 */
typedef int anysync_serve_fn(int fd, void *argument);

/*
 * Accept connections on FD, and call HANDLER for each, until the caller is cancelled or DEADLINE
 * passes: then the handlers that run are cancelled, and have ended before the return.
 *
 * fd    borrowed; listens.
 * most  how many connections there are at a time; more wait with the system, which refuses them
 *       when its backlog is full.
 *
 * A connection that breaks before it is accepted, or a lack of descriptors or memory, does not end
 * it: it goes on when there are some again.
 *
 * Returns  never 0: why it ended, see above.  -EINVAL: MOST is 0, or FD does not listen.
 *          -ENOMEM: no memory to begin, or no stack for a handler.
 *
 * Handlers run on the caller's loop; those of a plain thread on the global worker.
 */
ANYSYNC_API int anysync_serve(int fd, size_t most, anysync_serve_fn *handler, void *argument,
        anysync_time deadline) ANYSYNC_MUST_CHECK;

/* The address of FD itself, of its other side, as text in RET_TEXT, ANYSYNC_ADDRESS_SIZE bytes.
 * Returns 0; -ENOTSOCK, -ENOTCONN and the like.  Never blocks. */
ANYSYNC_API int anysync_local_address(int fd, char *ret_text) ANYSYNC_MUST_CHECK;
ANYSYNC_API int anysync_peer_address(int fd, char *ret_text) ANYSYNC_MUST_CHECK;

/* --- datagrams -------------------------------------------------------------------------------- */

/* A socket for datagrams (UDP, or of the Unix kind) at ADDRESS; otherwise as anysync_listen(). */
ANYSYNC_API int anysync_bind(const char *address, int *ret_fd) ANYSYNC_MUST_CHECK;

/*
 * Send one datagram of SIZE bytes.
 *
 * address  where to, as text; NULL: where FD is connected to.
 *
 * Returns  0; -EMSGSIZE: longer than datagrams can be; or see above: then it was not sent.
 */
ANYSYNC_API int anysync_send_to(int fd, const void *data, size_t size, const char *address,
        anysync_time deadline) ANYSYNC_MUST_CHECK;

/*
 * Receive one datagram.
 *
 * buffer    SIZE bytes.
 * ret_from  where it came from, as text, ANYSYNC_ADDRESS_SIZE bytes; NULL to leave it.
 *
 * Returns  how many bytes it has, perhaps 0; -EMSGSIZE: it has more than SIZE, and is lost; or see
 *          above.  For -EMSGSIZE too, BUFFER is written.
 */
ANYSYNC_API ssize_t anysync_receive_from(int fd, void *buffer, size_t size, char *ret_from,
        anysync_time deadline) ANYSYNC_MUST_CHECK;

/* --- descriptors to other processes ----------------------------------------------------------- */

/*
 * Send DESCRIPTOR (borrowed; the other side gets one of its own for the same open file), with one
 * byte, over FD, a Unix socket.
 *
 * Returns  0; -EPIPE: the other side closed; or see above: then it was not sent.
 */
ANYSYNC_API int anysync_send_descriptor(
        int fd, int descriptor, anysync_time deadline) ANYSYNC_MUST_CHECK;

/*
 * Receive a descriptor that was sent like that.
 *
 * ret_descriptor  owned by the caller; closed by exec().
 *
 * Returns  0; ANYSYNC_DONE: the other side closed; -EPROTO: what came was not one byte with one
 *          descriptor (those that came were closed); or see above.
 */
ANYSYNC_API int anysync_receive_descriptor(
        int fd, int *ret_descriptor, anysync_time deadline) ANYSYNC_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
