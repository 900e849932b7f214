/* SPDX-License-Identifier: MIT */
/*
 * Something done once in a process, by whoever comes first; the others wait until it is done.
 *
 * Not pthread_once(): a fork() in the middle of it leaves the child with a step that nobody ends,
 * unless the C library thinks of that.  Here fork() waits for the step (once.c).
 */
#ifndef ASI_THREAD_ONCE_H
#define ASI_THREAD_ONCE_H

#include "base/assert.h"
#include "thread/flag.h"

struct asi_once {
    struct asi_pointer done; /* not NULL: it was */
};

#define ASI_ONCE_INIT                                                                              \
    {                                                                                              \
        .done = { NULL }                                                                           \
    }

/* For the first one: run FUNCTION, which must not come here again. */
void asi_once_run_slowly(struct asi_once *once, void (*function)(void));

static inline void asi_once_run(struct asi_once *once, void (*function)(void))
{
    if (ASI_UNLIKELY(!asi_pointer_get(&once->done)))
        asi_once_run_slowly(once, function);
}

/* Around fork(), before all other locks. */
void asi_once_before_fork(void);
void asi_once_after_fork(void);

#endif
