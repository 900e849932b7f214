/* SPDX-License-Identifier: MIT */
/*
 * Ports: the way between anysync and any other loop: libevent, libuv, GLib, poll(), a game's frame.
 *
 * A port has a descriptor.  The other loop watches it for reading, like a socket, and when it is
 * readable calls anysync_port_dispatch(), which calls what is due on that loop's thread:
 *
 *      anysync_port_new(&port);
 *      watch(anysync_port_descriptor(port), on_readable);  // as that loop does it
 *
 *      static void on_readable(void) { anysync_port_dispatch(port); }
 *
 *      anysync_port_on_done(port, future, show, window);   // show() is called over there
 *      anysync_port_call(port, redraw, window, deadline);  // from a coroutine: run it there, and
 *                                                          // wait for its result
 *
 * One descriptor serves any number of futures.  Who has one future only, and wants a descriptor
 * that becomes readable when it is done, makes a port for it.
 *
 * The other way round, what happens over there completes a future made by hand
 * (anysync_future_set()), for which coroutines and threads wait.  <anysync/with_libuv.h>,
 * <anysync/with_glib.h>, <anysync/with_libevent.h> and <anysync/with_poll.h> do all of this for the
 * loops they are named after.
 *
 * A QUEUE  Futures that were added with no function wait for anysync_port_next(), which gives them
 *   in the order in which they were done.
 *
 * FORK  In a child made by fork() a port of the parent is of no use: close and unref it.
 */
#ifndef ANYSYNC_PORT_H
#define ANYSYNC_PORT_H

#include <anysync/base.h>
#include <anysync/callback.h>
#include <anysync/future.h>

#ifdef __cplusplus
extern "C" {
#endif

struct anysync_port; /* opaque; reference-counted */

/*
 * Make a port.
 *
 * ret_port  owned by the caller: anysync_port_close() and anysync_port_unref() it.
 *
 * Returns  0, -ENOMEM, or -EMFILE, -ENFILE: no descriptor left.
 * Thread   any; the one that calls dispatch or next is the port's.
 */
ANYSYNC_API int anysync_port_new(struct anysync_port **ret_port) ANYSYNC_MUST_CHECK;

/* Take one more reference to PORT, and return it.  Any thread. */
ANYSYNC_API struct anysync_port *anysync_port_ref(struct anysync_port *port);

/* Drop a reference (consumed).  Each future that is still to be done has one of its own, so close
 * PORT before.  NULL is fine.  Returns NULL.  Any thread. */
ANYSYNC_API struct anysync_port *anysync_port_unref(struct anysync_port *port);

/* The descriptor to watch for reading.  It belongs to PORT: do not read or close it.  It is
 * readable while something may be due, until dispatch or next have found nothing more. */
ANYSYNC_API int anysync_port_descriptor(struct anysync_port *port);

/*
 * Have FUNCTION called on PORT's thread, by anysync_port_dispatch(), when FUTURE is done.
 *
 * future    borrowed; a reference is kept until then.
 * function  as for anysync_future_on_done(): if its future is NULL the port was closed before; then
 *           it is called by the close, or later on the thread that completes the future (if a
 *           signal handler does, it is not called, and its memory is lost).  It may call whatever
 *           a thread may.  NULL: the future waits for anysync_port_next().
 * argument  borrowed until then.
 *
 * Returns   0  it will be called, or given.
 *     -ENOMEM  no memory.
 *  -ESHUTDOWN  PORT was closed.
 * -EOWNERDEAD  FUTURE was pending, or PORT was made, before this process was forked off.
 *
 * Thread  any.   Blocks  never.
 * Order   all that came before the completion happens before the call.
 */
ANYSYNC_API int anysync_port_on_done(struct anysync_port *port, struct anysync_future *future,
        anysync_done_fn *function, void *argument) ANYSYNC_MUST_CHECK;

/*
 * Call all that is due, and what becomes due meanwhile, up to a thousand functions; the descriptor
 * stays readable if there are more.
 *
 * Returns  how many were called, or -EOWNERDEAD in a forked child, -EDEADLK within itself.
 * Thread   the port's.   Blocks  never, but for what the functions do.
 */
ANYSYNC_API int anysync_port_dispatch(struct anysync_port *port);

/*
 * The next future that is done, of those that were added without a function.  Functions that are
 * due are called on the way.
 *
 * ret_future    a reference that is the caller's from now on; NULL not to have it.
 * ret_argument  as given with it; NULL not to have it.
 *
 * Returns  0, -EAGAIN when none is done now, or as anysync_port_dispatch().
 * Thread   the port's.   Blocks  as anysync_port_dispatch().
 */
ANYSYNC_API int anysync_port_next(struct anysync_port *port, struct anysync_future **ret_future,
        void **ret_argument) ANYSYNC_MUST_CHECK;

/*
 * Run FUNCTION on PORT's thread, by its next dispatch, and wait until it has returned.
 *
 * argument  borrowed for the call.
 * deadline  if FUNCTION has not begun by then it never will; if it has, it is waited for.
 *
 * Returns  what FUNCTION returned: 0, or a negative code, or
 *          -ETIMEDOUT  DEADLINE passed first.
 *          -ECANCELED  the calling task was cancelled before it began.
 *          -ESHUTDOWN  PORT was closed before it began.
 *            -EDEADLK  called by a callback of a loop; or on PORT's thread within its dispatch,
 *                      where FUNCTION can be called directly.
 *            -ENOMEM, -EOWNERDEAD.
 *
 * Thread  any but the port's.   Blocks  a thread; suspends a coroutine.
 * Cancel  cancellation point; a function that has begun is waited for.
 * Order   what came before the call happens before FUNCTION, and that before the return; what the
 *         port's thread did before it closed PORT happens before a return of -ESHUTDOWN.
 */
ANYSYNC_API int anysync_port_call(struct anysync_port *port, int (*function)(void *argument),
        void *argument, anysync_time deadline) ANYSYNC_MUST_CHECK;

/* Close PORT: what waits in it is told (functions get NULL, calls -ESHUTDOWN), and nothing can be
 * added any more.  The descriptor is closed with the last reference: stop watching it before.
 * Again is fine.  The port's thread. */
ANYSYNC_API void anysync_port_close(struct anysync_port *port);

#ifdef __cplusplus
}
#endif

#endif
