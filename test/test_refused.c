/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* pipe2(), syscall() */
/*
 * The system refuses, where the library has no door for a test to close (CONTRACT K4).
 *
 * Promised                                       Tested by
 *   K4 descriptors run out at any moment:          k4_descriptors_that_go_in_the_middle_are_emfile
 *     -EMFILE, no exit
 *   no thread-specific key, no memory for a        k4_a_process_without_keys_goes_on
 *     barrier: it works all the same               k4_a_barrier_without_memory_is_tried_again
 *
 * That descriptors are taken by somebody else between the look and the base is made certain here:
 * the program's own pipe2() and so on come before the system's, and refuse.
 */
#include "harness.h"

#include <anysync/channel.h>
#include <anysync/io.h>
#include <anysync/typed.h>

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#if TEST_TSAN

TEST(k4_what_is_refused)
{
    test_skip("a thread sanitizer's runtime calls these before it is ready");
}

#else

#define EXPORTED __attribute__((visibility("default")))

static atomic_bool refusing;
static atomic_int refused;

static int refuse(void)
{
    atomic_fetch_add(&refused, 1);
    errno = EMFILE;
    return -1;
}

EXPORTED int pipe2(int fds[2], int flags)
{
    return atomic_load(&refusing) ? refuse() : (int)syscall(SYS_pipe2, fds, flags);
}

EXPORTED int pipe(int fds[2])
{
    return pipe2(fds, 0);
}

EXPORTED int socketpair(int domain, int type, int protocol, int fds[2])
{
    return atomic_load(&refusing) ? refuse()
                                  : (int)syscall(SYS_socketpair, domain, type, protocol, fds);
}

ANYSYNC_COROUTINE(int, watch, (int, fd))
{
    int ready = anysync_wait_fd(fd, ANYSYNC_READABLE, anysync_in_ms(1));

    *result = 42;
    return ready == -ETIMEDOUT ? 0 : ready;
}

ANYSYNC_COROUTINE(int, watch_nested, (int, fd))
{
    return watch_run(result, fd);
}

TEST(k4_descriptors_that_go_in_the_middle_are_emfile)
{
    int (*const uses[])(int *result, int fd) = {watch_run, watch_run_here, watch_nested_run};
    int fds[2], value = 7;

    CHECK_EQ(pipe(fds), 0);
    atomic_store(&refusing, true);
    for (size_t i = 0; i < sizeof(uses) / sizeof(*uses); i++) {
        int before = atomic_load(&refused);
        CHECK_EQ(uses[i](&value, fds[0]), -EMFILE);
        CHECK_EQ(anysync_last_error()->code, -EMFILE);
        CHECK_CONTAINS(anysync_last_error()->message, "anysync_wait_fd()");
        CHECK_EQ(value, 7);
        CHECK_GE(atomic_load(&refused), before + 1);
    }
    atomic_store(&refusing, false);
    for (size_t i = 0; i < sizeof(uses) / sizeof(*uses); i++) {
        value = 0;
        CHECK_EQ(uses[i](&value, fds[0]), 0);
        CHECK_EQ(value, 42);
    }
    CHECK_EQ(anysync_shutdown(ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    _exit(EXIT_SUCCESS); /* what libevent had of the bases is lost: no leak check */
}

int __pthread_key_create(pthread_key_t *key, void (*destructor)(void *value)); /* glibc's */

EXPORTED int pthread_key_create(pthread_key_t *key, void (*destructor)(void *value))
{
    if (!atomic_load(&refusing))
        return __pthread_key_create(key, destructor);
    refuse();
    return EAGAIN;
}

ANYSYNC_COROUTINE(int, twice, (int, n))
{
    *result = 2 * n;
    return anysync_sleep(anysync_in_us(10));
}

static void run_in_thread(void *argument, int index)
{
    int value = 0;

    (void)argument;
    CHECK_EQ(twice_run(&value, index), 0);
    CHECK_EQ(value, 2 * index);
    CHECK_EQ(twice_run_here(&value, index), 0);
    CHECK_EQ(value, 2 * index);
    CHECK_EQ(anysync_fail(-EPROTO, "a sentence"), -EPROTO);
    CHECK_STR(anysync_last_error()->message, "a sentence");
}

TEST(k4_a_process_without_keys_goes_on)
{
    atomic_store(&refusing, true);
    test_together(3, run_in_thread, NULL);
    CHECK_GE(atomic_load(&refused), 1);
    CHECK_EQ(anysync_shutdown(ANYSYNC_DRAIN, ANYSYNC_FOREVER, NULL), 0);
    _exit(EXIT_SUCCESS); /* what threads kept is lost at their ends: no leak check */
}

static atomic_int barriers; /* to refuse */

/* The system's, but for the first heavy barriers. */
EXPORTED long syscall(long number, ...)
{
    static long (*real)(long number, ...);
    long a[6];
    va_list list;

    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    if (number == SYS_membarrier && a[0] == 1 << 3 && atomic_fetch_sub(&barriers, 1) > 0) {
        (void)refuse();
        errno = ENOMEM;
        return -1;
    }
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "syscall");
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

ANYSYNC_CHANNEL(number, int);

ANYSYNC_COROUTINE(void, put, (number_channel *, channel), (int, n))
{
    return number_channel_send(channel, n, ANYSYNC_POLL);
}

TEST(k4_a_barrier_without_memory_is_tried_again)
{
    number_channel *channel = NULL;
    int item = 0;

    CHECK_EQ(number_channel_new(2, &channel), 0);
    CHECK_EQ(put_run(channel, 1), 0); /* it is the worker's now */
    atomic_store(&barriers, 3);
    CHECK_EQ(number_channel_recv(channel, &item, ANYSYNC_FOREVER), 0); /* and everybody's */
    CHECK_EQ(item, 1);
    if (atomic_load(&barriers) == 3)
        test_skip("this system has no such barrier");
    CHECK_EQ(atomic_load(&refused), 3);
    number_channel_unref(channel);
}

#endif
