/* SPDX-License-Identifier: MIT */
/*
 * Doors: what the library and libevent ask of the system, each of which a test can close.
 *
 * The program's own mmap(), epoll_ctl(), pthread_create() and so on come before those of the C
 * library, for the library's objects and for libevent alike, also under an address sanitizer; each
 * asks door_refuses() and then does the real thing.  Memory comes by asi_fault() and by
 * event_set_mem_functions().  What a scenario itself asks of the system it asks within
 * OWN(...), which no door minds.  Include it once, in the file of the program.
 *
 * Doors of three kinds:
 *   hard   may be closed for good: no memory, no thread, no descriptor;
 *   soft   come to nothing but cannot stay closed: EINTR, a wake for nothing.  "From now on" means
 *          the next SOFT_LIMIT times;
 *   data   soft at first (EINTR); as a second choice an error that the caller is to hear, for the
 *          descriptors that a scenario has named by door_watch().
 *
 * Thread  any: relaxed atomics, which hide no race.
 */
#ifndef TEST_RELIABILITY_DOORS_H
#define TEST_RELIABILITY_DOORS_H

#include "../fault.h"
#include "../harness.h"

#include "base/memory.h"

#include <dlfcn.h>
#include <errno.h>
#include <event2/event.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum door {
    DOOR_MEMORY,   /* the library's */
    DOOR_MEMORY_2, /* libevent's: malloc, calloc */
    DOOR_MEMORY_3, /* libevent's: realloc */
    DOOR_MMAP,
    DOOR_MPROTECT,
    DOOR_MADVISE,
    DOOR_THREAD,
    DOOR_KEY,
    DOOR_SPECIFIC,
    DOOR_ALTSTACK,
    DOOR_EVENTFD,
    DOOR_TIMERFD,
    DOOR_EPOLL,
    DOOR_EPOLL_CTL,
    DOOR_EPOLL_WAIT,
    DOOR_OPEN,
    DOOR_PIPE,
    DOOR_READ,
    DOOR_WRITE,
    DOOR_RECV,
    DOOR_SEND,
    DOOR_ACCEPT,
    DOOR_CONNECT,
    DOOR_GETSOCKOPT,
    DOOR_POLL,
    DOOR_FUTEX,
    DOOR_BARRIER,
    DOOR_PIDFD,
    DOOR_GUARDS,
    DOOR_SPAWN,
    DOOR_AFFINITY,
    DOORS
};

enum door_kind { HARD, SOFT, DATA };
enum { SOFT_LIMIT = 40, MOST_FDS = 256 };

struct door_about {
    const char *name;
    enum door_kind kind;
    int errors[2]; /* what it says when it is closed: one of two */
};

static const struct door_about doors[DOORS] = {
        [DOOR_MEMORY] = {"malloc", HARD, {ENOMEM, ENOMEM}},
        [DOOR_MEMORY_2] = {"libevent's malloc", HARD, {ENOMEM, ENOMEM}},
        [DOOR_MEMORY_3] = {"libevent's realloc", HARD, {ENOMEM, ENOMEM}},
        [DOOR_MMAP] = {"mmap", HARD, {ENOMEM, EAGAIN}},
        [DOOR_MPROTECT] = {"mprotect", HARD, {ENOMEM, ENOMEM}},
        [DOOR_MADVISE] = {"madvise", HARD, {ENOMEM, EINVAL}},
        [DOOR_THREAD] = {"pthread_create", HARD, {EAGAIN, EAGAIN}},
        [DOOR_KEY] = {"pthread_key_create", HARD, {EAGAIN, ENOMEM}},
        [DOOR_SPECIFIC] = {"pthread_setspecific", HARD, {ENOMEM, ENOMEM}},
        [DOOR_ALTSTACK] = {"sigaltstack", HARD, {ENOMEM, EPERM}},
        [DOOR_EVENTFD] = {"eventfd", HARD, {EMFILE, ENOMEM}},
        [DOOR_TIMERFD] = {"timerfd_create", HARD, {EMFILE, ENOMEM}},
        [DOOR_EPOLL] = {"epoll_create1", HARD, {EMFILE, ENOMEM}},
        [DOOR_EPOLL_CTL] = {"epoll_ctl", HARD, {ENOSPC, ENOMEM}},
        [DOOR_EPOLL_WAIT] = {"epoll_wait", SOFT, {EINTR, EINTR}},
        [DOOR_OPEN] = {"open", HARD, {EMFILE, ENFILE}},
        [DOOR_PIPE] = {"pipe", HARD, {EMFILE, ENFILE}},
        [DOOR_READ] = {"read", DATA, {EINTR, EIO}},
        [DOOR_WRITE] = {"write", DATA, {EINTR, EIO}},
        [DOOR_RECV] = {"recv", DATA, {EINTR, ENOMEM}},
        [DOOR_SEND] = {"send", DATA, {EINTR, ENOBUFS}},
        [DOOR_ACCEPT] = {"accept4", DATA, {EINTR, EMFILE}},
        [DOOR_CONNECT] = {"connect", DATA, {EINTR, ENETUNREACH}},
        [DOOR_GETSOCKOPT] = {"getsockopt", HARD, {ENOBUFS, ENOMEM}},
        [DOOR_POLL] = {"poll", DATA, {EINTR, ENOMEM}},
        [DOOR_FUTEX] = {"futex", SOFT, {EINTR, EAGAIN}},
        [DOOR_BARRIER] = {"membarrier", SOFT, {ENOMEM, ENOMEM}},
        [DOOR_PIDFD] = {"pidfd_open", HARD, {EMFILE, ENOSYS}},
        [DOOR_GUARDS] = {"process_madvise", HARD, {EINVAL, EPERM}},
        [DOOR_SPAWN] = {"posix_spawnp", HARD, {EAGAIN, ENOMEM}},
        [DOOR_AFFINITY] = {"sched_getaffinity", HARD, {EINVAL, ENOSYS}},
};

/* Which requests are refused, counted from 1 at door_plan(); 0: none. */
struct plan {
    int first;
    int second;  /* one more, after FIRST */
    bool sticky; /* all after FIRST, too */
    int choice;  /* of the two errors */
    int only;    /* this door alone is counted; -1: all */
};

static struct {
    struct plan plan;
    atomic_bool armed;
    atomic_int count;
    atomic_int struck; /* refused so far */
    atomic_int soft;
    atomic_int by_door[DOORS]; /* refused so far */
    atomic_bool watched[MOST_FDS];
} door_state;

static atomic_int *door_tell; /* told of each that is refused, while it happens; NULL: nobody */

static _Thread_local int door_own; /* > 0: the scenario itself asks */

#define OWN(statement)                                                                             \
    do {                                                                                           \
        door_own++;                                                                                \
        statement;                                                                                 \
        door_own--;                                                                                \
    } while (0)

#define DOOR_GET(field) atomic_load_explicit(&door_state.field, memory_order_relaxed)
#define DOOR_SET(field, value) atomic_store_explicit(&door_state.field, value, memory_order_relaxed)
#define DOOR_ADD(field) atomic_fetch_add_explicit(&door_state.field, 1, memory_order_relaxed)

/* What an address sanitizer asks for itself, and cannot do without. */
static bool door_is_shared(enum door door)
{
    return TEST_ASAN && (door == DOOR_KEY || door == DOOR_SPECIFIC || door == DOOR_ALTSTACK);
}

static bool door_strikes(enum door door)
{
    const struct plan *plan = &door_state.plan;

    if (door_is_shared(door))
        return false;

    if (!DOOR_GET(armed) || door_own > 0 || (plan->only >= 0 && plan->only != (int)door))
        return false;
    int count = DOOR_ADD(count) + 1;
    if (count != plan->first && count != plan->second && !(plan->sticky && count > plan->first))
        return false;
    if (plan->first == 0 || (doors[door].kind != HARD && DOOR_ADD(soft) >= SOFT_LIMIT))
        return false;
    DOOR_ADD(by_door[door]);
    DOOR_ADD(struck);
    if (door_tell)
        atomic_fetch_add_explicit(&door_tell[door], 1, memory_order_relaxed);
    return true;
}

/* Whether this request is refused: the error, or 0.  FD: of the request, or -1. */
static int door_refuses(enum door door, int fd)
{
    bool own_data = fd >= 0 && fd < MOST_FDS && DOOR_GET(watched[fd]);
    bool heard = doors[door].kind != DATA || own_data;

    return door_strikes(door) ? doors[door].errors[heard ? door_state.plan.choice : 0] : 0;
}

/* From now on requests are counted, and refused as PLAN says. */
static inline void door_plan(struct plan plan)
{
    door_state.plan = plan;
    DOOR_SET(count, 0);
    DOOR_SET(struck, 0);
    DOOR_SET(soft, 0);
    for (int i = 0; i < DOORS; i++)
        DOOR_SET(by_door[i], 0);
    atomic_store(&door_state.armed, true);
}

/* All is granted again; what was counted stays. */
static inline void doors_open(void)
{
    atomic_store(&door_state.armed, false);
}

/* Errors of data on FD may be heard from now on. */
static inline void door_watch(int fd, bool watched)
{
    if (fd >= 0 && fd < MOST_FDS)
        DOOR_SET(watched[fd], watched);
}

/* --- the system's calls ----------------------------------------------------------------------- */

#define DOOR_EXPORTED __attribute__((visibility("default")))
#define REAL(name)                                                                                 \
    static __typeof__(&name) real;                                                                 \
    if (!real)                                                                                     \
    *(void **)&real = dlsym(RTLD_NEXT, #name)

/* NAME with its errors in errno: refused, it gives NOTHING. */
#define DOOR(type, name, door, fd, nothing, parameters, arguments)                                 \
    DOOR_EXPORTED type name parameters                                                             \
    {                                                                                              \
        REAL(name);                                                                                \
        int error = door_refuses(door, fd);                                                        \
        if (error) {                                                                               \
            errno = error;                                                                         \
            return nothing;                                                                        \
        }                                                                                          \
        return real arguments;                                                                     \
    }

/* NAME that returns its error. */
#define DOOR_RETURNS(name, door, parameters, arguments)                                            \
    DOOR_EXPORTED int name parameters                                                              \
    {                                                                                              \
        REAL(name);                                                                                \
        int error = door_refuses(door, -1);                                                        \
        return error ? error : real arguments;                                                     \
    }

DOOR(void *, mmap, DOOR_MMAP, -1, MAP_FAILED,
        (void *at, size_t size, int protection, int flags, int fd, off_t offset),
        (at, size, protection, flags, fd, offset))
DOOR(int, mprotect, DOOR_MPROTECT, -1, -1, (void *at, size_t size, int protection),
        (at, size, protection))
DOOR(int, madvise, DOOR_MADVISE, -1, -1, (void *at, size_t size, int advice), (at, size, advice))
DOOR(int, sigaltstack, DOOR_ALTSTACK, -1, -1, (const stack_t *stack, stack_t *old), (stack, old))
DOOR(int, eventfd, DOOR_EVENTFD, -1, -1, (unsigned count, int flags), (count, flags))
DOOR(int, timerfd_create, DOOR_TIMERFD, -1, -1, (int clock, int flags), (clock, flags))
DOOR(int, epoll_create, DOOR_EPOLL, -1, -1, (int size), (size))
DOOR(int, epoll_wait, DOOR_EPOLL_WAIT, -1, -1,
        (int epoll, struct epoll_event *events, int most, int wait_ms),
        (epoll, events, most, wait_ms))
DOOR(int, pipe, DOOR_PIPE, -1, -1, (int fds[2]), (fds))
DOOR(int, socketpair, DOOR_PIPE, -1, -1, (int domain, int type, int protocol, int fds[2]),
        (domain, type, protocol, fds))
DOOR(ssize_t, read, DOOR_READ, fd, -1, (int fd, void *buffer, size_t size), (fd, buffer, size))
DOOR(ssize_t, recv, DOOR_RECV, fd, -1, (int fd, void *buffer, size_t size, int flags),
        (fd, buffer, size, flags))
DOOR(ssize_t, send, DOOR_SEND, fd, -1, (int fd, const void *buffer, size_t size, int flags),
        (fd, buffer, size, flags))
DOOR(int, accept4, DOOR_ACCEPT, fd, -1,
        (int fd, __SOCKADDR_ARG address, socklen_t *size, int flags), (fd, address, size, flags))
DOOR(int, getsockopt, DOOR_GETSOCKOPT, -1, -1,
        (int fd, int level, int name, void *value, socklen_t *size), (fd, level, name, value, size))
DOOR(int, poll, DOOR_POLL, fds->fd, -1, (struct pollfd * fds, nfds_t count, int wait_ms),
        (fds, count, wait_ms))
DOOR(int, sched_getaffinity, DOOR_AFFINITY, -1, -1, (pid_t pid, size_t size, cpu_set_t *set),
        (pid, size, set))
DOOR_RETURNS(pthread_create, DOOR_THREAD,
        (pthread_t * thread, const pthread_attr_t *attributes, void *(*function)(void *),
                void *argument),
        (thread, attributes, function, argument))
DOOR_RETURNS(pthread_key_create, DOOR_KEY, (pthread_key_t * key, void (*destructor)(void *)),
        (key, destructor))
DOOR_RETURNS(
        pthread_setspecific, DOOR_SPECIFIC, (pthread_key_t key, const void *value), (key, value))
DOOR_RETURNS(posix_spawnp, DOOR_SPAWN,
        (pid_t * pid, const char *path, const posix_spawn_file_actions_t *actions,
                const posix_spawnattr_t *attributes, char *const arguments[],
                char *const environment[]),
        (pid, path, actions, attributes, arguments, environment))

static atomic_bool door_dawdles; /* others get time in the middle of the making of a base */

DOOR_EXPORTED int epoll_create1(int flags)
{
    REAL(epoll_create1);
    int error = door_refuses(DOOR_EPOLL, -1);

    if (error) {
        errno = error;
        return -1;
    }
    int epoll = real(flags);
    if (atomic_load_explicit(&door_dawdles, memory_order_relaxed))
        nanosleep(&(struct timespec){0, 20000}, NULL);
    return epoll;
}

/* What libevent cannot do without: what the system itself refuses is told, too. */
DOOR_EXPORTED int pipe2(int fds[2], int flags)
{
    REAL(pipe2);
    int error = door_refuses(DOOR_PIPE, -1);

    if (error) {
        errno = error;
        return -1;
    }
    int status = real(fds, flags);
    if (status != 0 && door_tell && door_own == 0)
        atomic_fetch_add_explicit(&door_tell[DOOR_PIPE], 1, memory_order_relaxed);
    return status;
}

/* What is told to standard error is no business of a door. */
DOOR_EXPORTED ssize_t write(int fd, const void *buffer, size_t size)
{
    REAL(write);
    int error = fd == STDERR_FILENO ? 0 : door_refuses(DOOR_WRITE, fd);

    if (error) {
        errno = error;
        return -1;
    }
    return real(fd, buffer, size);
}

/* A connect() that a signal interrupts goes on by itself. */
DOOR_EXPORTED int connect(int fd, __CONST_SOCKADDR_ARG address, socklen_t size)
{
    REAL(connect);
    int error = door_refuses(DOOR_CONNECT, fd);

    if (error && error != EINTR) {
        errno = error;
        return -1;
    }
    int status = real(fd, address, size);
    if (error && (status == 0 || errno == EINPROGRESS)) {
        errno = EINTR;
        return -1;
    }
    return status;
}

/* Only additions need something of the system: to forget never fails for want of it. */
DOOR_EXPORTED int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event)
{
    REAL(epoll_ctl);
    int error = operation == EPOLL_CTL_ADD ? door_refuses(DOOR_EPOLL_CTL, -1) : 0;

    if (error) {
        errno = error;
        return -1;
    }
    return real(epoll, operation, fd, event);
}

DOOR_EXPORTED int open(const char *path, int flags, ...)
{
    REAL(open);
    va_list list;

    va_start(list, flags);
    mode_t mode = flags & O_CREAT ? va_arg(list, mode_t) : 0;
    va_end(list);
    int error = door_refuses(DOOR_OPEN, -1);
    if (error) {
        errno = error;
        return -1;
    }
    return real(path, flags, mode);
}

static int door_refuses_call(long number, const long a[6])
{
    enum { FUTEX_OPERATION = 0x7f, WAIT_BITSET = 9, HEAVY = 1 << 3 };

    switch (number) {
    case SYS_futex: /* a wake never fails */
        return (a[1] & FUTEX_OPERATION) == WAIT_BITSET ? door_refuses(DOOR_FUTEX, -1) : 0;
    case SYS_membarrier: /* to ask whether there is one may fail in other ways */
        return a[0] == HEAVY ? door_refuses(DOOR_BARRIER, -1)
                             : (door_refuses(DOOR_BARRIER, -1) ? ENOSYS : 0);
    case SYS_pidfd_open:
        return door_refuses(DOOR_PIDFD, -1);
    case SYS_process_madvise:
        return door_refuses(DOOR_GUARDS, -1);
    default:
        return 0;
    }
}

DOOR_EXPORTED long syscall(long number, ...)
{
    REAL(syscall);
    long a[6];
    va_list list;

    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    int error = door_refuses_call(number, a);
    if (error) {
        errno = error;
        return -1;
    }
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* --- memory ----------------------------------------------------------------------------------- */

static bool door_hook(const char *what)
{
    return strcmp(what, "malloc") == 0 && door_refuses(DOOR_MEMORY, -1);
}

static void *door_malloc(size_t size)
{
    if (!door_refuses(DOOR_MEMORY_2, -1))
        return malloc(size);
    errno = ENOMEM;
    return NULL;
}

static void *door_realloc(void *memory, size_t size)
{
    if (!door_refuses(DOOR_MEMORY_3, -1))
        return realloc(memory, size);
    errno = ENOMEM;
    return NULL;
}

static void door_say_nothing(int severity, const char *message)
{
    (void)severity;
    (void)message;
}

/* Once in a process, before the library's first use. */
static inline void doors_install(void)
{
    asi_fault_hook = door_hook;
    event_set_mem_functions(door_malloc, door_realloc, free);
    event_set_log_callback(door_say_nothing);
}

#endif
