/* SPDX-License-Identifier: MIT */
/* Something done once in a process, by whoever comes first; the others wait until it is done. */
#ifndef ASI_THREAD_ONCE_H
#define ASI_THREAD_ONCE_H

#include <pthread.h>

struct asi_once {
    pthread_once_t once;
};

#define ASI_ONCE_INIT                                                                              \
    {                                                                                              \
        .once = PTHREAD_ONCE_INIT                                                                  \
    }

static inline void asi_once_run(struct asi_once *once, void (*function)(void))
{
    (void)pthread_once(&once->once, function);
}

#endif
