/* SPDX-License-Identifier: MIT */
/*
 * Signals that are awaited, by threads and coroutines, in the place of handlers.
 *
 *      static const int numbers[] = {SIGTERM, SIGINT};
 *      struct anysync_signals *signals;
 *
 *      error = anysync_signals_open(numbers, 2, &signals);
 *      ...
 *      error = anysync_signal_wait(signals, ANYSYNC_FOREVER, &got);      // got.number
 *      ...
 *      signals = anysync_signals_close(signals);
 *
 * HANDLERS  The library installs none until one of these is opened.  Then the signals of the set
 *   have the library's, which does nothing but note the signal; what was there before is not
 *   called.  The last close for a signal restores that, unless somebody else has installed another
 *   one meanwhile: that one stays.  System calls that are interrupted go on (SA_RESTART).
 *
 * WHO GETS IT  Each object that is open for a signal is told of it.  Of those who wait for one
 *   object, one is: open one for each who is to be told.  Nothing is lost while nobody waits.
 *
 * THREADS  Signals may stay unblocked in the program's threads, and must be in one at least:
 *   the library's own threads block all.
 *
 * MERGING  The system merges a signal with one of the same number that is pending, realtime
 *   signals excepted: so several may be told as one.  All that it delivers is told, in that
 *   order; but if a hundred are unread in an object, more may be dropped.
 *
 * FORK  A child made by fork() begins with the handlers that were there before, and what the parent
 *   opened is of no use in it (-EOWNERDEAD).
 */
#ifndef ANYSYNC_SIGNAL_H
#define ANYSYNC_SIGNAL_H

#include <anysync/base.h>

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct anysync_signals; /* opaque: a set of signals that is open */

/* A signal that came. */
struct anysync_signal {
    int number;
    int code;      /* why: si_code of sigaction(), SI_USER and the like */
    int process;   /* who sent it: process id; 0 if the system did */
    int user;      /* the sender's user id */
    int64_t value; /* si_value.sival_int of sigqueue(); of SIGCHLD si_status; else 0 */
};

/*
 * Open a set of signals: from the return on none is missed.
 *
 * numbers      COUNT signal numbers, at least one; borrowed for the call.
 * ret_signals  owned by the caller: anysync_signals_close() it.
 *
 * Returns  0; -EINVAL: a number that is none, that cannot be caught (SIGKILL, SIGSTOP), or that
 *          a fault of a thread raises (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS);
 *          -EMFILE: 32 are open, or no descriptors are left (it takes two, which are kept for the
 *          next one that is opened); -ENOMEM.
 * Thread   any.   Blocks  never.
 */
ANYSYNC_API int anysync_signals_open(
        const int *numbers, size_t count, struct anysync_signals **ret_signals) ANYSYNC_MUST_CHECK;

/*
 * Wait until a signal of SIGNALS (borrowed) comes, or take one that came before.
 *
 * ret_signal  which.
 *
 * Returns     0  one came.
 *    -ETIMEDOUT  DEADLINE passed first.
 *    -ECANCELED  the calling task was cancelled.
 *        -EPIPE  SIGNALS is being closed.
 *      -EDEADLK  called by a callback of a loop, and none has come.
 *   -EOWNERDEAD  it belongs to the process this one was forked from.
 *
 * Thread  any, tasks too; any number of waiters.
 * Blocks  a thread; suspends a coroutine.   Cancel  cancellation point; nothing is lost.
 */
ANYSYNC_API int anysync_signal_wait(struct anysync_signals *signals, anysync_time deadline,
        struct anysync_signal *ret_signal) ANYSYNC_MUST_CHECK;

/*
 * Close SIGNALS (consumed): handlers are restored (see HANDLERS), and who waits is told -EPIPE; the
 * memory goes when the last of them has left.  Nobody may begin to wait any more.  NULL is fine.
 * Returns NULL.
 *
 * Thread  any.   Blocks  never.
 */
ANYSYNC_API struct anysync_signals *anysync_signals_close(struct anysync_signals *signals);

#ifdef __cplusplus
}
#endif

#endif
