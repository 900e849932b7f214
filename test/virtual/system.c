/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE 1
/*
 * What the library asks of the system, in a virtual build.  (What that is: virtual.h.)
 *
 * Each function here stands in the place of the system's one of that name: the library's calls of
 * close() are renamed to virtual_close(), and so on for all that is in no list of harmless ones
 * (link.sh).  What has no place in a virtual build fails when it is called.
 */
#include "atomic.h"
#include "explore.h"
#include "machine.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 4, PAGE = 4096, BELLS = 4, FIRST_BELL = 100 };

int virtual_processors;

static void (*destructors[KEYS])(void *value);
static unsigned key_count;

/* What an eventfd() leads to. */
static struct bell {
    uint64_t count;
    bool open;
} bells[BELLS];

/* Set when the program starts, and so not set back. */
static struct {
    void (*before)(void), (*in_parent)(void), (*in_child)(void);
} on_fork;

void system_reset(void)
{
    key_count = 0;
    virtual_processors = 2;
    memset(bells, 0, sizeof(bells));
}

/* --- threads ---------------------------------------------------------------------------------- */

int virtual_pthread_create(
        pthread_t *ret_thread, const void *attributes, void *(*run)(void *), void *argument)
{
    (void)attributes;
    point("start", NULL, "pthread_create");
    memory_publish(running);
    struct thread *thread = explore_disturbs(&explore.refusals) ? NULL : thread_new(run, argument);
    if (!thread)
        return EAGAIN;
    running->seen.of[running->number]++;
    *ret_thread = (pthread_t)thread->number;
    return 0;
}

static void join(struct thread *thread)
{
    point("join", NULL, "pthread_join");
    memory_publish(running);
    while (thread->state != ENDED)
        (void)sleep_on(thread, FOREVER, "pthread_join");
    clock_join(&running->seen, &thread->seen);
}

int virtual_pthread_join(pthread_t thread, void **ret_result)
{
    (void)ret_result;
    join(&threads[thread]);
    return 0;
}

int virtual_pthread_detach(pthread_t thread)
{
    (void)thread;
    return 0;
}

pthread_t virtual_pthread_self(void)
{
    return (pthread_t)running->number;
}

struct start {
    void (*function)(void *argument);
    void *argument;
};

static void *run_start(void *argument)
{
    struct start *start = argument;

    start->function(start->argument);
    memory_give(start, "virtual_start");
    return NULL;
}

int virtual_start(void (*function)(void *argument), void *argument)
{
    struct start *start = memory_take(sizeof(*start), 64);
    pthread_t thread;

    *start = (struct start){function, argument};
    if (virtual_pthread_create(&thread, NULL, run_start, start) != 0)
        explore_give_up("too many threads");
    threads[thread].awaited = true;
    return (int)thread;
}

void virtual_join(int thread)
{
    join(&threads[thread]);
}

int virtual_self(void)
{
    return running->number;
}

int virtual_pthread_key_create(pthread_key_t *ret_key, void (*destructor)(void *))
{
    if (key_count == KEYS)
        return EAGAIN;
    destructors[key_count] = destructor;
    *ret_key = key_count++;
    return 0;
}

int virtual_pthread_setspecific(pthread_key_t key, const void *value)
{
    running->specific[key] = value;
    return 0;
}

void system_end_thread(void)
{
    bool again = true;

    for (int round = 0; again && round < ROUNDS; round++) {
        again = false;
        for (unsigned key = 0; key < key_count; key++) {
            void *value = (void *)(uintptr_t)running->specific[key];
            running->specific[key] = NULL;
            if (value) {
                destructors[key](value);
                again = true;
            }
        }
    }
}

int virtual_sched_yield(void)
{
    memory_publish(running);
    give_way("sched_yield");
    return 0;
}

int virtual_sched_getaffinity(pid_t pid, size_t size, cpu_set_t *ret_set)
{
    (void)pid;
    memset(ret_set, 0, size);
    for (int i = 0; i < virtual_processors; i++)
        CPU_SET(i, ret_set);
    return 0;
}

/* --- fork() ----------------------------------------------------------------------------------- */

int virtual_pthread_atfork(void (*before)(void), void (*in_parent)(void), void (*in_child)(void))
{
    on_fork.before = before;
    on_fork.in_parent = in_parent;
    on_fork.in_child = in_child;
    return 0;
}

void virtual_fork(bool as_child)
{
    on_fork.before();
    point("fork", NULL, "fork");
    memory_publish(running);
    for (int i = 0; as_child && i < VIRTUAL_THREADS; i++) {
        if (&threads[i] == running || threads[i].state == UNUSED)
            continue;
        threads[i].state = ENDED;
        threads[i].delayed_count = 0;
        clock_join(&running->seen, &threads[i].seen); /* a copy: nothing goes on beside it */
    }
    if (as_child)
        on_fork.in_child();
    else
        on_fork.in_parent();
}

/* --- locks and sleeps ------------------------------------------------------------------------- */

/* A mutex, as far as it matters here: its first word says who holds it. */
struct mutex {
    int holder; /* 0: nobody */
};

int virtual_pthread_mutex_lock(pthread_mutex_t *mutex_)
{
    struct mutex *mutex = (struct mutex *)mutex_;

    point("lock", mutex, "pthread_mutex_lock");
    memory_check(mutex, "pthread_mutex_lock");
    memory_publish(running);
    while (mutex->holder != 0) {
        if (mutex->holder == running->number + 1)
            virtual_fail("a lock is taken by who holds it");
        (void)sleep_on(mutex, FOREVER, "pthread_mutex_lock");
    }
    mutex->holder = running->number + 1;
    memory_acquire(mutex);
    return 0;
}

int virtual_pthread_mutex_unlock(pthread_mutex_t *mutex_)
{
    struct mutex *mutex = (struct mutex *)mutex_;

    point("unlock", mutex, "pthread_mutex_unlock");
    if (mutex->holder != running->number + 1)
        virtual_fail("a lock is given back by who does not hold it");
    memory_publish(running);
    memory_release(mutex);
    mutex->holder = 0;
    wake(mutex, INT_MAX);
    return 0;
}

static long futex_wait(uint32_t *word, uint32_t expected, const struct timespec *until)
{
    int64_t deadline = FOREVER;

    point("sleep", word, "futex");
    memory_check(word, "futex");
    memory_publish(running);
    if (until)
        deadline = (int64_t)until->tv_sec * 1000000000 + until->tv_nsec;
    errno = EAGAIN;
    if (*word != expected)
        return -1;
    errno = EINTR;
    if (explore_disturbs(&explore.interruptions)) /* by a signal, or for no reason, in turn */
        return explore.interruptions % 2 - 1;
    errno = ETIMEDOUT;
    if (deadline <= now_ns || !sleep_on(word, deadline, "futex"))
        return -1;
    return 0;
}

static long futex_wake(uint32_t *word, int most)
{
    point("wake", word, "futex");
    memory_publish(running);
    wake(word, most);
    return 0;
}

long virtual_syscall(long number, ...)
{
    va_list list;
    long status = 0;

    va_start(list, number);
    if (number == SYS_futex) {
        uint32_t *word = va_arg(list, uint32_t *);
        int operation = va_arg(list, int) & ~FUTEX_PRIVATE_FLAG;
        uint32_t value = va_arg(list, uint32_t);
        const struct timespec *until = va_arg(list, const struct timespec *);
        if (operation == FUTEX_WAIT_BITSET)
            status = futex_wait(word, value, until);
        else if (operation == FUTEX_WAKE)
            status = futex_wake(word, (int)value);
        else
            virtual_fail("a futex operation that is not there: %d", operation);
    } else if (number == SYS_membarrier) {
        point("barrier", NULL, "membarrier");
        for (int i = 0; i < VIRTUAL_THREADS; i++)
            memory_publish(&threads[i]);
    } else {
        virtual_fail("a system call that is not there: %ld", number);
    }
    va_end(list);
    return status;
}

int virtual_clock_gettime(clockid_t clock, struct timespec *ret_time)
{
    (void)clock;
    now_ns++; /* it never stands still */
    ret_time->tv_sec = (time_t)(now_ns / 1000000000);
    ret_time->tv_nsec = (long)(now_ns % 1000000000);
    return 0;
}

/* --- memory ----------------------------------------------------------------------------------- */

void *virtual_aligned_alloc(size_t alignment, size_t size)
{
    if (explore_disturbs(&explore.refusals))
        return NULL;
    void *memory = memory_take(size, alignment);

    return memset(memory, 0xa5, size); /* it has no right to be anything */
}

void virtual_free(void *memory)
{
    if (!memory)
        return;
    point("free", memory, "free");
    memory_publish(running);
    memory_give(memory, "free");
}

void *virtual_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    (void)at;
    (void)protection;
    (void)flags;
    (void)fd;
    (void)offset;
    if (explore_disturbs(&explore.refusals))
        return MAP_FAILED;
    return memory_take(size, PAGE);
}

int virtual_munmap(void *memory, size_t size)
{
    point("unmap", memory, "munmap");
    memory_publish(running);
    memory_unmap(memory, size, "munmap");
    return 0;
}

/* --- descriptors: eventfd() only -------------------------------------------------------------- */

static struct bell *bell_of(int fd)
{
    if (fd < FIRST_BELL || fd >= FIRST_BELL + BELLS || !bells[fd - FIRST_BELL].open)
        virtual_fail("descriptor %d is not there", fd);
    return &bells[fd - FIRST_BELL];
}

int virtual_eventfd(unsigned count, int flags)
{
    (void)flags;
    for (int i = 0; i < BELLS; i++) {
        if (!bells[i].open) {
            bells[i] = (struct bell){count, true};
            return FIRST_BELL + i;
        }
    }
    errno = EMFILE;
    return -1;
}

static ssize_t write_bell(int fd, const uint64_t *count)
{
    point("write", NULL, "write");
    struct bell *bell = bell_of(fd);
    memory_publish(running);
    bell->count += *count;
    wake(bell, INT_MAX);
    return sizeof(*count);
}

/* One descriptor, until it can be read. */
int virtual_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    point("poll", NULL, "poll");
    if (count != 1 || timeout_ms >= 0)
        virtual_fail("poll() waits for one descriptor, and without a deadline");
    memory_publish(running);
    struct bell *bell = bell_of(fds->fd);
    while (bell->count == 0)
        (void)sleep_on(bell, FOREVER, "poll");
    fds->revents = POLLIN;
    return 1;
}

ssize_t virtual_read(int fd, void *ret_bytes, size_t size)
{
    point("read", NULL, "read");
    struct bell *bell = bell_of(fd);
    memory_publish(running);
    errno = EAGAIN;
    if (bell->count == 0)
        return -1;
    if (size < sizeof(bell->count))
        virtual_fail("an eventfd() has eight bytes to read");
    memcpy(ret_bytes, &bell->count, sizeof(bell->count));
    bell->count = 0;
    return sizeof(bell->count);
}

int virtual_close(int fd)
{
    bell_of(fd)->open = false;
    return 0;
}

/* --- what is said ----------------------------------------------------------------------------- */

static char said[256]; /* on standard error, last */

ssize_t virtual_write(int fd, const void *bytes, size_t size)
{
    if (fd != STDERR_FILENO)
        return write_bell(fd, bytes);
    snprintf(said, sizeof(said), "%.*s", (int)size, (const char *)bytes);
    said[strcspn(said, "\n")] = '\0';
    return (ssize_t)size;
}

void virtual_abort(void)
{
    virtual_fail("%s", said);
}

int virtual_fprintf(FILE *file, const char *format, ...)
{
    (void)file;
    (void)format;
    return 0;
}

/* --- what does nothing here ------------------------------------------------------------------- */

#define NOTHING(name)                                                                              \
    int virtual_##name(void)                                                                       \
    {                                                                                              \
        return 0;                                                                                  \
    }
NOTHING(madvise)
NOTHING(mprotect)
NOTHING(prctl)
NOTHING(pthread_setname_np)
NOTHING(pthread_sigmask)
NOTHING(sigaction)
NOTHING(sigaltstack)
NOTHING(signal)

long virtual_sysconf(int name)
{
    return name == _SC_PAGESIZE ? PAGE : virtual_processors;
}

pid_t virtual_getpid(void)
{
    return 1;
}

/* --- what is not there ------------------------------------------------------------------------ */

#define NOT_THERE(name)                                                                            \
    int virtual_##name(void)                                                                       \
    {                                                                                              \
        virtual_fail("%s() is not there", #name);                                                  \
    }
NOT_THERE(_setjmp)
NOT_THERE(accept4)
NOT_THERE(connect)
NOT_THERE(event_add)
NOT_THERE(event_assign)
NOT_THERE(event_base_free)
NOT_THERE(event_base_get_features)
NOT_THERE(event_base_get_num_events)
NOT_THERE(event_base_loop)
NOT_THERE(event_base_new)
NOT_THERE(event_del)
NOT_THERE(event_free)
NOT_THERE(event_get_struct_event_size)
NOT_THERE(event_new)
NOT_THERE(event_set_fatal_callback)
NOT_THERE(evthread_use_pthreads)
NOT_THERE(fcntl)
NOT_THERE(getsockopt)
NOT_THERE(longjmp)
NOT_THERE(open)
NOT_THERE(posix_spawnattr_destroy)
NOT_THERE(posix_spawnattr_init)
NOT_THERE(posix_spawnattr_setflags)
NOT_THERE(posix_spawnattr_setsigdefault)
NOT_THERE(posix_spawnattr_setsigmask)
NOT_THERE(posix_spawnp)
NOT_THERE(raise)
NOT_THERE(recv)
NOT_THERE(send)
NOT_THERE(timerfd_create)
NOT_THERE(timerfd_settime)
