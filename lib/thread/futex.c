/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* syscall() */
/*
 * Sleeping on a word.  (What it promises: futex.h.)
 *
 * Where the system has no futexes, a word's address chooses one of 64 buckets, each a mutex and a
 * condition variable.  All who sleep in a bucket are woken together (broadcast: a signal might go
 * to a sleeper of another word), look at their words, and sleep again.
 */
#include "thread/futex.h"

#include "base/assert.h"
#include "base/clock.h"

#include <errno.h>
#include <limits.h>

#if defined(__linux__) && !defined(ASI_PORTABLE_FUTEX)

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

/* 32-bit systems have a second call, for times with 64 bits. */
#if defined(SYS_futex_time64)
#define FUTEX (sizeof(((struct timespec *)0)->tv_sec) > sizeof(long) ? SYS_futex_time64 : SYS_futex)
#else
#define FUTEX SYS_futex
#endif

bool asi_futex_wait(asi_atomic(uint32_t) *word, uint32_t expected, anysync_time deadline)
{
    struct timespec until = asi_clock_timespec(deadline);
    /* FUTEX_WAIT_BITSET takes the deadline as an absolute moment of the monotonic clock. */
    long error = syscall(FUTEX, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected,
            deadline == ANYSYNC_FOREVER ? NULL : &until, NULL, FUTEX_BITSET_MATCH_ANY);

    if (error == 0)
        return true;
    ASI_ASSERT(errno == EAGAIN || errno == EINTR || errno == ETIMEDOUT,
            "the system refused to let a thread sleep");
    return errno != ETIMEDOUT;
}

void asi_futex_wake(asi_atomic(uint32_t) *word)
{
    (void)syscall(FUTEX, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, INT_MAX, NULL, NULL, 0);
}

void asi_futex_before_fork(void)
{
}

void asi_futex_after_fork(bool in_child)
{
    (void)in_child;
}

#else

#include <pthread.h>

enum { BUCKETS = 64 };

static struct bucket {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
} buckets[BUCKETS];

/* When the library is loaded; and once more in a forked child, whose sleepers are gone. */
__attribute__((constructor)) static void make_buckets(void)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
#if !defined(__APPLE__)
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
#endif
    for (int i = 0; i < BUCKETS; i++) {
        pthread_mutex_init(&buckets[i].mutex, NULL);
        pthread_cond_init(&buckets[i].changed, &attributes);
    }
    pthread_condattr_destroy(&attributes);
}

static struct bucket *bucket_of(const void *word)
{
    return &buckets[((uintptr_t)word >> 4) % BUCKETS];
}

bool asi_futex_wait(asi_atomic(uint32_t) *word, uint32_t expected, anysync_time deadline)
{
    struct bucket *bucket = bucket_of(word);
    struct timespec until = asi_clock_timespec(deadline);
    int error = 0;

    pthread_mutex_lock(&bucket->mutex);
    /* relaxed: the waker changed the word before it locked the bucket, so the mutex orders the two;
     * a change that comes later finds us waiting. */
    if (asi_load(word, relaxed) == expected) {
        if (deadline == ANYSYNC_FOREVER)
            pthread_cond_wait(&bucket->changed, &bucket->mutex);
        else
            error = pthread_cond_timedwait(&bucket->changed, &bucket->mutex, &until);
    }
    pthread_mutex_unlock(&bucket->mutex);
    return error != ETIMEDOUT;
}

void asi_futex_wake(asi_atomic(uint32_t) *word)
{
    struct bucket *bucket = bucket_of(word);

    pthread_mutex_lock(&bucket->mutex);
    pthread_cond_broadcast(&bucket->changed);
    pthread_mutex_unlock(&bucket->mutex);
}

void asi_futex_before_fork(void)
{
    for (int i = 0; i < BUCKETS; i++)
        pthread_mutex_lock(&buckets[i].mutex);
}

void asi_futex_after_fork(bool in_child)
{
    for (int i = 0; i < BUCKETS; i++)
        pthread_mutex_unlock(&buckets[i].mutex);
    if (in_child)
        make_buckets();
}

#endif
