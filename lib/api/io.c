/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* accept4() */
/*
 * Descriptors.
 *
 * The operation is tried first, in a way that cannot block; only if it would have to wait does the
 * caller wait: a task watches the descriptor on its loop's base, a thread polls.  For sockets the
 * trial is a flag of the call; for anything else readiness is asked for before, because a read of
 * a ready descriptor does not block, and a write of at most PIPE_BUF bytes to a ready pipe neither.
 */
#include <anysync/io.h>

#include "api/io.h"
#include "base/clock.h"
#include "loop/poller.h"
#include "sched/error.h"
#include "sched/job.h"
#include "sched/scheduler.h"
#include "sched/scope.h"
#include "sched/wait.h"
#include "thread/fork.h"

#include <anysync/task.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <unistd.h>

enum { LONGEST_POLL_MS = 1000 * 60 * 60, PAUSE_MS = 10 };

struct readiness {
    struct anysync_task *task;
    unsigned ready;
    bool woken;
};

static void on_ready(void *context, unsigned ready)
{
    struct readiness *readiness = context;

    readiness->ready = ready;
    readiness->woken = true;
    asi_task_wake(readiness->task);
}

static int fail(int error, const char *call, int fd)
{
    return asi_call_fails(error, "%s() on descriptor %d: %s", call, fd, anysync_error_text(error));
}

/* The watches of this thread's loop; NULL where there are none. */
static struct asi_watches *watches_here(void)
{
    struct asi_scheduler *scheduler = asi_scheduler_here();

    return scheduler && scheduler->generation == asi_fork_generation ? &scheduler->poller.watches
                                                                     : NULL;
}

void asi_io_forget(int fd)
{
    struct asi_watches *watches = watches_here();

    if (watches)
        asi_watches_forget(watches, fd);
}

int asi_io_pause(anysync_time deadline)
{
    anysync_time end = anysync_in_ms(PAUSE_MS);

    if (deadline <= anysync_now())
        return -ETIMEDOUT;
    return anysync_sleep(deadline < end ? deadline : end);
}

/* In a task: suspend until FD is ready. */
static int wait_in_task(int fd, unsigned events, anysync_time deadline)
{
    struct asi_scheduler *scheduler = asi_scheduler_here();
    struct readiness readiness = {.task = scheduler->current};
    struct asi_watch watch;
    int error = asi_wait_checkpoint();

    if (!error && deadline == ANYSYNC_POLL)
        return -ETIMEDOUT;
    if (!error)
        error = asi_poller_watch(
                &scheduler->poller, &watch, fd, events, scheduler->current, on_ready, &readiness);
    if (error)
        return error;
    error = asi_wait_local(&readiness.woken, deadline);
    asi_watches_remove(&watch);
    return error ? error : (int)readiness.ready;
}

/* One poll(); 0: not ready within WAIT_MS. */
static int poll_once(int fd, unsigned events, int wait_ms)
{
    struct pollfd pollfd = {.fd = fd,
            .events = (short)((events & ANYSYNC_READABLE ? POLLIN : 0) |
                              (events & ANYSYNC_WRITABLE ? POLLOUT : 0))};
    int count = poll(&pollfd, 1, wait_ms);

    if (count < 0)
        return errno == EINTR ? 0 : -errno;
    if (count == 0)
        return 0;
    if (pollfd.revents & POLLNVAL)
        return -EBADF;
    unsigned ready = (pollfd.revents & POLLIN ? ANYSYNC_READABLE : 0) |
                     (pollfd.revents & POLLOUT ? ANYSYNC_WRITABLE : 0);
    /* An error or a hang-up: the operation that follows does not wait, and tells which. */
    return (int)(ready & events ? ready & events : events);
}

/* On a thread: block until FD is ready. */
static int wait_in_thread(int fd, unsigned events, anysync_time deadline)
{
    anysync_time end = asi_scope_limit(deadline);

    for (;;) {
        anysync_time now = anysync_now();
        anysync_time left = end == ANYSYNC_FOREVER ? ANYSYNC_FOREVER : end > now ? end - now : 0;
        int64_t left_ms = left <= 0 ? 0 : left / ASI_NS_PER_MS + 1;
        struct anysync_limiter *limiter = asi_job_pause();
        int ready =
                poll_once(fd, events, left_ms > LONGEST_POLL_MS ? LONGEST_POLL_MS : (int)left_ms);
        asi_job_resume(limiter);
        if (ready != 0)
            return ready;
        if (left <= 0)
            return asi_scope_why(deadline);
    }
}

/* Wait until FD, which was not ready just now, is.  Returns the events, or an error without
 * sentence. */
static int wait_ready(int fd, unsigned events, anysync_time deadline)
{
    switch (asi_world()) {
    case ASI_WORLD_CALLBACK:
        return -EDEADLK;
    case ASI_WORLD_THREAD:
        return wait_in_thread(fd, events, deadline);
    case ASI_WORLD_TASK:
        break;
    }
    return wait_in_task(fd, events, deadline);
}

int anysync_wait_fd(int fd, unsigned events, anysync_time deadline)
{
    if (events == 0 || (events & ~(ANYSYNC_READABLE | ANYSYNC_WRITABLE)) != 0)
        return asi_call_fails(-EINVAL, "anysync_wait_fd() was asked for events %#x", events);
    if (fd < 0) /* poll() and libevent would pass over it, and wait for ever */
        return fail(-EBADF, "anysync_wait_fd", fd);
    /* Look first: what is ready needs no loop, and some descriptors (files) are always ready.  Look
     * again after each wait: another coroutine may have been first. */
    int ready = poll_once(fd, events, 0);
    while (ready == 0) {
        int error = wait_ready(fd, events, deadline);
        if (error < 0)
            return fail(error, "anysync_wait_fd", fd);
        ready = poll_once(fd, events, 0);
    }
    return ready < 0 ? fail(ready, "anysync_wait_fd", fd) : ready;
}

/* Before an operation that may block on FD, which is no socket: make sure that it does not. */
static int wait_unless_nonblocking(int fd, unsigned events, anysync_time deadline)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0)
        return -errno;
    if (flags & O_NONBLOCK)
        return 0;
    /* Look again after each wait: another coroutine may have been first. */
    for (;;) {
        int ready = poll_once(fd, events, 0);
        if (ready != 0)
            return ready < 0 ? ready : 0;
        ready = wait_ready(fd, events, deadline);
        if (ready < 0)
            return ready;
    }
}

static bool would_block(int error)
{
    return error == EAGAIN || error == EWOULDBLOCK;
}

/* After an operation failed with ERROR: 0, try again; negative, give up. */
static int after_failure(int error, int fd, unsigned events, anysync_time deadline)
{
    if (error == EINTR)
        return 0;
    if (!would_block(error))
        return -error;
    int ready = wait_ready(fd, events, deadline);
    return ready < 0 ? ready : 0;
}

/* A task that has read all there was on FD waits before it tries again.  Returns why that wait
 * ended early: only if a trial fails even so.  0: it was not, or is ready. */
static int wait_for_news(int fd, anysync_time deadline)
{
    struct asi_watches *watches = watches_here();
    struct anysync_task *task = watches ? asi_scheduler_here()->current : NULL;

    if (!task || !asi_watches_knows_empty(watches, fd, task))
        return 0;
    int ready = wait_in_task(fd, ANYSYNC_READABLE, deadline);
    return ready < 0 ? ready : 0;
}

/* COUNT bytes of SIZE were there. */
static void note_read(int fd, size_t count, size_t size)
{
    struct asi_watches *watches = watches_here();

    if (!watches || count == size)
        return;
    if (count == 0)
        asi_watches_forget(watches, fd); /* the end: it is closed next */
    else
        asi_watches_note_short(watches, fd, asi_scheduler_here()->current);
}

ssize_t anysync_read(int fd, void *buffer, size_t size, anysync_time deadline)
{
    int early = wait_for_news(fd, deadline);
    bool is_socket = true;

    for (;;) {
        ssize_t count = is_socket ? recv(fd, buffer, size, MSG_DONTWAIT) : read(fd, buffer, size);
        if (count >= 0) {
            note_read(fd, (size_t)count, size);
            return count;
        }
        int error = errno;
        if (early && would_block(error))
            return fail(early, "anysync_read", fd);
        if (is_socket && error == ENOTSOCK) {
            is_socket = false;
            error = -wait_unless_nonblocking(fd, ANYSYNC_READABLE, deadline);
            if (error)
                return fail(-error, "anysync_read", fd);
            continue;
        }
        error = after_failure(error, fd, ANYSYNC_READABLE, deadline);
        if (error)
            return fail(error, "anysync_read", fd);
    }
}

ssize_t anysync_write(int fd, const void *buffer, size_t size, anysync_time deadline)
{
    bool is_socket = true;

    for (;;) {
        ssize_t count = is_socket ? send(fd, buffer, size, MSG_DONTWAIT | MSG_NOSIGNAL)
                                  : write(fd, buffer, size < PIPE_BUF ? size : PIPE_BUF);
        if (count >= 0)
            return count;
        int error = errno;
        if (is_socket && error == ENOTSOCK) {
            is_socket = false;
            error = -wait_unless_nonblocking(fd, ANYSYNC_WRITABLE, deadline);
            if (error)
                return fail(-error, "anysync_write", fd);
            continue;
        }
        error = after_failure(error, fd, ANYSYNC_WRITABLE, deadline);
        if (error)
            return fail(error, "anysync_write", fd);
    }
}

int anysync_write_all(
        int fd, const void *buffer, size_t size, size_t *written, anysync_time deadline)
{
    size_t none = 0, *count = written ? written : &none;

    while (*count < size) {
        ssize_t more = anysync_write(fd, (const char *)buffer + *count, size - *count, deadline);
        if (more < 0)
            return (int)more;
        *count += (size_t)more;
    }
    return 0;
}

static int accept_now(int fd, struct sockaddr *address, socklen_t *size)
{
#if defined(__linux__)
    return accept4(fd, address, size, SOCK_CLOEXEC | SOCK_NONBLOCK);
#else
    int accepted = accept(fd, address, size);
    if (accepted >= 0) {
        (void)fcntl(accepted, F_SETFD, FD_CLOEXEC);
        (void)fcntl(accepted, F_SETFL, O_NONBLOCK);
    }
    return accepted;
#endif
}

int anysync_accept(int fd, struct sockaddr *address, socklen_t *size, anysync_time deadline)
{
    for (;;) {
        int error = wait_unless_nonblocking(fd, ANYSYNC_READABLE, deadline);
        if (error)
            return fail(error, "anysync_accept", fd);
        int accepted = accept_now(fd, address, size);
        if (accepted >= 0) {
            asi_io_forget(accepted);
            return accepted;
        }
        error = errno == ECONNABORTED ? 0 /* it went away before we came: wait for the next one */
                                      : after_failure(errno, fd, ANYSYNC_READABLE, deadline);
        if (error)
            return fail(error, "anysync_accept", fd);
    }
}

/* connect() on a descriptor that does not block. */
static int connect_nonblocking(
        int fd, const struct sockaddr *address, socklen_t size, anysync_time deadline)
{
    int error = 0;
    socklen_t error_size = sizeof(error);

    if (connect(fd, address, size) == 0)
        return 0;
    if (errno != EINPROGRESS && errno != EINTR)
        return -errno;
    int ready = wait_ready(fd, ANYSYNC_WRITABLE, deadline);
    if (ready < 0)
        return ready;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_size) != 0)
        return -errno;
    return -error;
}

int anysync_connect(int fd, const struct sockaddr *address, socklen_t size, anysync_time deadline)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags < 0)
        return fail(-errno, "anysync_connect", fd);
    if (!(flags & O_NONBLOCK) && fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
        return fail(-errno, "anysync_connect", fd);
    asi_io_forget(fd);
    int error = connect_nonblocking(fd, address, size, deadline);
    if (!(flags & O_NONBLOCK))
        (void)fcntl(fd, F_SETFL, flags);
    return error ? fail(error, "anysync_connect", fd) : 0;
}
