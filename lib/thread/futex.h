/* SPDX-License-Identifier: MIT */
/*
 * Sleep on a 32-bit word until somebody says it changed: the only way a thread of this library
 * sleeps, apart from libevent's poll.
 *
 * Two implementations, one contract: Linux futexes, and for other systems a table of mutexes and
 * condition variables, always broadcast (Debian's libc may lose a signal, glibc bug 25847).
 * Neither reads the word on behalf of the waker, so the memory may be gone by the time of the
 * wake: a waiter that saw the change without sleeping is free to leave.
 */
#ifndef ASI_THREAD_FUTEX_H
#define ASI_THREAD_FUTEX_H

#include "thread/atomic.h"

#include <anysync/base.h>

#include <stdbool.h>
#include <stdint.h>

/*
 * Sleep while *WORD is EXPECTED, no longer than DEADLINE.  Returns false when DEADLINE passed; true
 * otherwise, also for no reason at all: look at the word again.  A cancelled or interrupted system
 * call counts as no reason.
 */
bool asi_futex_wait(asi_atomic(uint32_t) *word, uint32_t expected, anysync_time deadline);

/* Wake all who sleep on WORD.  Async-signal-safe with futexes.  The memory is not touched. */
void asi_futex_wake(asi_atomic(uint32_t) *word);

/* Around fork(), the innermost of all locks. */
void asi_futex_before_fork(void);
void asi_futex_after_fork(bool in_child);

#endif
