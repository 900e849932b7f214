/* SPDX-License-Identifier: MIT */
/*
 * What every other header needs: visibility, time, and the codes a call can return.
 *
 * RESULTS  Every call that can fail returns an int:
 *
 *      0             it worked
 *      ANYSYNC_DONE  a named positive outcome: nothing left to do (see the call)
 *      -Exxx         an error to handle or to pass on; the negated errno value
 *
 *   The codes with one fixed meaning in the whole library:
 *
 *   -ECANCELED   from a call that waits: the calling task was cancelled.
 *                As a task's own result: that task was cancelled.
 *   -ETIMEDOUT   the deadline passed
 *   -EAGAIN      the result is not there yet, and the call does not wait
 *   -EALREADY    used before, and can be used once only
 *   -EDEADLK     waiting here could never end; the sentence says what to call instead, or who waits
 *                for whom
 *   -EPERM       not possible in this world (a thread, a coroutine, a callback)
 *   -ESHUTDOWN   the executor is stopping or has stopped
 *   -EOWNERDEAD  the future belongs to the process this one was forked from
 *   -ENOMEM      no memory, or no stack
 *   -EINVAL      an argument makes no sense; the sentence says which
 *
 *   Anything else comes from the system or from the user's own function, unchanged.  The sentence
 *   that belongs to a code is in anysync_last_error() (<anysync/error.h>).
 *
 * TIME  An anysync_time is a moment on the monotonic clock in nanoseconds.  Calls that wait
 *   take an absolute deadline as their last argument, so that one deadline covers many calls; only
 *   anysync_call() and the typed functions, which are plain calls, take none.
 */
#ifndef ANYSYNC_BASE_H
#define ANYSYNC_BASE_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define ANYSYNC_API __attribute__((visibility("default")))
#define ANYSYNC_MUST_CHECK __attribute__((warn_unused_result))
/* Two names that differ in each line of a file: for what macros declare. */
#define ASI_UNIQUE(prefix) ASI_PASTE(prefix##_, __LINE__)
#define ASI_PASTE(a, b) ASI_PASTED(a, b)
#define ASI_PASTED(a, b) a##b

#define ANYSYNC_PRINTF(text, first) __attribute__((format(printf, text, first)))

/* Nothing left to do: the task had finished before, no future is left to wait for. */
#define ANYSYNC_DONE 1

typedef int64_t anysync_time;

#define ANYSYNC_POLL ((anysync_time)0)            /* a moment long past: try once, never wait */
#define ANYSYNC_FOREVER ((anysync_time)INT64_MAX) /* never give up */

/* The time now.  Any thread; never blocks. */
ANYSYNC_API anysync_time anysync_now(void);

/*
 * The moment DELAY_NS nanoseconds from now; at most ANYSYNC_FOREVER, and now for a negative delay.
 * anysync_in_us, _ms and _seconds are the same in larger units.  Any thread; never blocks.
 */
ANYSYNC_API anysync_time anysync_in_ns(int64_t delay_ns);
ANYSYNC_API anysync_time anysync_in_us(int64_t delay_us);
ANYSYNC_API anysync_time anysync_in_ms(int64_t delay_ms);
ANYSYNC_API anysync_time anysync_in_seconds(int64_t delay_seconds);

/* Free memory that a call of this library gave to the caller and that its comment says to free by
 * this.  NULL is fine.  Any thread; never blocks. */
ANYSYNC_API void anysync_free(void *memory);

#ifdef __cplusplus
}
#endif

#endif
