/* SPDX-License-Identifier: MIT */
/* ASI_ASSERT: what the code relies on, checked in every build.  A broken one is a bug, ours or the
 * caller's: it stops the program with the place and the sentence. */
#ifndef ASI_BASE_ASSERT_H
#define ASI_BASE_ASSERT_H

#define ASI_LIKELY(condition) __builtin_expect(!!(condition), 1)
#define ASI_UNLIKELY(condition) __builtin_expect(!!(condition), 0)

#define ASI_ASSERT(condition, sentence)                                                            \
    do {                                                                                           \
        if (ASI_UNLIKELY(!(condition)))                                                            \
            asi_stop(__FILE__, __LINE__, sentence);                                                \
    } while (0)

/* Print FILE:LINE and SENTENCE on standard error and abort.  Any thread; async-signal-safe. */
void asi_stop(const char *file, int line, const char *sentence)
        __attribute__((noreturn, cold, noinline));

#endif
