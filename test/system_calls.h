/* SPDX-License-Identifier: MIT */
/*
 * The system's calls, of which a test may let one fail: pipe2(), socket(), write() and so on of the
 * program come before the system's, and refuse once, as refuse() says.  (Those of libevent and of
 * the C library itself are left alone.)  Include it once in a program, which defines _GNU_SOURCE.
 *
 *      refuse("pipe2", 0, EMFILE);      the next one
 *      CHECK_EQ(what_is_tested(), -EMFILE);
 *      check_refused();                 there was one
 *
 * Thread  any.
 */
#ifndef TEST_SYSTEM_CALLS_H
#define TEST_SYSTEM_CALLS_H

#include "harness.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { NOTHING = -1 /* it says that it did nothing, and no error */ };

static _Atomic(const char *) refused_call;
static atomic_int passing, refused_with;

/* Let the call NAME fail with ERROR, once, after PASSING calls that work. */
static void refuse(const char *name, int passes, int error)
{
    atomic_store(&refused_call, NULL);
    atomic_store(&passing, passes);
    atomic_store(&refused_with, error);
    atomic_store(&refused_call, name);
}

static int error_of(const char *name)
{
    const char *wanted = atomic_load(&refused_call);

    if (!wanted || strcmp(wanted, name) != 0 || atomic_fetch_sub(&passing, 1) != 0)
        return 0;
    return atomic_load(&refused_with);
}

/* It was refused; from now on nothing is. */
static void check_refused(void)
{
    const char *name = atomic_exchange(&refused_call, NULL);

    if (atomic_load(&passing) >= 0)
        test_fail(TEST_HERE, "nobody called %s()", name);
}

#define REAL(name)                                                                                 \
    static __typeof__(&name) real;                                                                 \
    if (!real)                                                                                     \
    *(void **)&real = dlsym(RTLD_NEXT, #name)

/* NAME with its errors in errno. */
#define CALL(type, name, parameters, arguments)                                                    \
    type name parameters                                                                           \
    {                                                                                              \
        REAL(name);                                                                                \
        int error = error_of(#name);                                                               \
        if (error == 0)                                                                            \
            return real arguments;                                                                 \
        errno = error;                                                                             \
        return error == NOTHING ? 0 : -1;                                                          \
    }

/* NAME that returns its error. */
#define CALL_RETURNS(name, parameters, arguments)                                                  \
    int name parameters                                                                            \
    {                                                                                              \
        REAL(name);                                                                                \
        int error = error_of(#name);                                                               \
        return error ? error : real arguments;                                                     \
    }

CALL(int, pipe2, (int fds[2], int flags), (fds, flags))
CALL(int, socket, (int family, int type, int protocol), (family, type, protocol))
CALL(int, listen, (int fd, int backlog), (fd, backlog))
CALL(int, accept4, (int fd, __SOCKADDR_ARG address, socklen_t *size, int flags),
        (fd, address, size, flags))
CALL(int, fsync, (int fd), (fd))
CALL(ssize_t, pwrite, (int fd, const void *bytes, size_t size, off_t offset),
        (fd, bytes, size, offset))
CALL(ssize_t, read, (int fd, void *bytes, size_t size), (fd, bytes, size))
CALL(ssize_t, write, (int fd, const void *bytes, size_t size), (fd, bytes, size))
CALL(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags), (fd, message, flags))
CALL(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags), (fd, message, flags))
CALL(int, epoll_ctl, (int epoll, int operation, int fd, struct epoll_event *event),
        (epoll, operation, fd, event))
CALL(int, epoll_wait, (int epoll, struct epoll_event *events, int most, int wait_ms),
        (epoll, events, most, wait_ms))
CALL(int, sigtimedwait, (const sigset_t *set, siginfo_t *info, const struct timespec *time),
        (set, info, time))
CALL_RETURNS(posix_spawn_file_actions_init, (posix_spawn_file_actions_t * actions), (actions))
CALL_RETURNS(posix_spawn_file_actions_adddup2,
        (posix_spawn_file_actions_t * actions, int from, int to), (actions, from, to))
CALL_RETURNS(posix_spawn_file_actions_addchdir_np,
        (posix_spawn_file_actions_t * actions, const char *path), (actions, path))
CALL_RETURNS(posix_spawnattr_init, (posix_spawnattr_t * attributes), (attributes))

/* What it closes is closed in any case. */
int close(int fd)
{
    REAL(close);
    int error = error_of("close"), status = real(fd);

    if (error == 0)
        return status;
    errno = error;
    return -1;
}

int open(const char *path, int flags, ...)
{
    REAL(open);
    va_list list;

    va_start(list, flags);
    mode_t mode = flags & O_CREAT ? va_arg(list, mode_t) : 0;
    va_end(list);
    int error = error_of("open");
    if (error == 0)
        return real(path, flags, mode);
    errno = error;
    return -1;
}

struct step {
    const char *call;
    int passes, error;
    int code; /* what is to come of it */
};

/* Each of STEPS fails once: FUNCTION says the code, and no descriptor is left. */
static void check_steps(const struct step *steps, size_t count, int (*function)(void))
{
    CHECK_EQ(function(), 0);
    int before = test_fd_count();
    for (size_t i = 0; i < count; i++) {
        refuse(steps[i].call, steps[i].passes, steps[i].error);
        int code = function();
        check_refused();
        if (code != steps[i].code)
            test_fail(TEST_HERE, "%s after %d with %d: %d, not %d", steps[i].call, steps[i].passes,
                    steps[i].error, code, steps[i].code);
        CHECK_EQ(test_fd_count(), before);
    }
    CHECK_EQ(function(), 0);
}

#define CHECK_STEPS(steps, function) check_steps(steps, sizeof(steps) / sizeof(*(steps)), function)

/* A folder of the test's own, for one file. */
static char file[] = "/tmp/anysync-test-XXXXXX/file";

static inline void make_folder(void)
{
    char *slash = strrchr(file, '/');

    *slash = '\0';
    CHECK(mkdtemp(file) != NULL);
    *slash = '/';
}

static inline void remove_folder(void)
{
    unlink(file);
    *strrchr(file, '/') = '\0';
    CHECK_EQ(rmdir(file), 0); /* nothing else is left in it */
}

#endif
