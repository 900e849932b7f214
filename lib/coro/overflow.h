/* SPDX-License-Identifier: MIT */
/*
 * Saying in words that a coroutine's stack overflowed.
 *
 * A handler for SIGSEGV and SIGBUS looks whether the fault lies in the guard of the stack that
 * runs.  If so it prints a sentence and lets the fault happen again with the handler that was
 * there before (a core dump, a sanitizer's report); any other fault goes to that handler at once.
 */
#ifndef ASI_CORO_OVERFLOW_H
#define ASI_CORO_OVERFLOW_H

#include <stddef.h>

/* Once in a process, when the first stack is made. */
void asi_overflow_install(void);

/* Who runs on this thread, for the sentence: set by the scheduler.  Async-signal-safe. */
extern const char *(*asi_overflow_name)(const char **ret_file, int *ret_line);

enum { ASI_OVERFLOW_STACK = 32 * 1024 };

/* Give this thread a stack of its own for the handler, unless it has one: MEMORY of that many
 * bytes, borrowed until _leave.  Returns whether it was taken. */
int asi_overflow_enter(void *memory);
void asi_overflow_leave(void);

#endif
