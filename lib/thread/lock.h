/* SPDX-License-Identifier: MIT */
/*
 * A lock for slow paths: starting, stopping, refilling a cache.  No lock of the library is held
 * while user code runs, and none is taken between a caller and a running worker.
 *
 * Lock order: once before executor before pool before graph before recycle.  fork() takes them in
 * that order (thread/fork.h); parent and child both give them back, as in both it is the same
 * thread's copy.  A group's lock comes before all of these.  fork() does not take it: a group of
 * another process is told by its generation, and not locked.
 */
#ifndef ASI_THREAD_LOCK_H
#define ASI_THREAD_LOCK_H

#include "base/assert.h"

#include <pthread.h>

struct asi_lock {
    pthread_mutex_t mutex;
};

/* Critical sections are a few instructions: where there are mutexes that look before they sleep,
 * use them. */
#if defined(__GLIBC__) && defined(_GNU_SOURCE)
#define ASI_LOCK_INIT                                                                              \
    {                                                                                              \
        .mutex = PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP                                             \
    }
#else
#define ASI_LOCK_INIT                                                                              \
    {                                                                                              \
        .mutex = PTHREAD_MUTEX_INITIALIZER                                                         \
    }
#endif

static inline void asi_lock_take(struct asi_lock *lock)
{
    int error = pthread_mutex_lock(&lock->mutex);

    ASI_ASSERT(error == 0, "a lock could not be taken");
}

static inline void asi_lock_give(struct asi_lock *lock)
{
    int error = pthread_mutex_unlock(&lock->mutex);

    ASI_ASSERT(error == 0, "a lock could not be given back");
}

#endif
