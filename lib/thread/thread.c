/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* pthread_setname_np() */
/*
 * Threads.  (What they are: thread.h.)
 *
 * A new thread inherits mask and name of the one that starts it.  So the mask is set before the
 * start and set back after it, and nobody's signal finds the new thread open; a thread that is to
 * be like its maker needs neither, three system calls less.
 */
#include "thread/thread.h"

#include "base/assert.h"
#include "base/memory.h"
#include "thread/local.h"
#include "thread/waiter.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { NAME_SIZE = 16 /* Linux keeps 15 bytes */ };

static void mask_of_library(sigset_t *mask)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};

    sigfillset(mask);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        sigdelset(mask, faults[i]);
}

static void set_name(const char *name)
{
    char shown[NAME_SIZE];

    (void)snprintf(shown, sizeof(shown), "%s", name);
#if defined(__linux__)
    pthread_setname_np(pthread_self(), shown);
#elif defined(__APPLE__)
    pthread_setname_np(shown);
#endif
}

static void *begin(void *argument)
{
    struct asi_thread *thread = argument;

    asi_local.ours = true;
    asi_local.clean_mask = thread->clean_mask;
    if (thread->name)
        set_name(thread->name);
    thread->run(thread->argument); /* after it THREAD may be gone */
    if (!asi_local.attached)
        asi_waiter_give_wake(); /* else it is the last that is done at the thread's end */
    return NULL;
}

static int start(struct asi_thread *thread, const char *name, const sigset_t *clean_mask,
        void (*run)(void *argument), void *argument)
{
    thread->name = name;
    thread->run = run;
    thread->argument = argument;
    thread->clean_mask = *clean_mask;
    return -pthread_create(&thread->handle, NULL, begin, thread);
}

int asi_thread_start(
        struct asi_thread *thread, const char *name, void (*run)(void *argument), void *argument)
{
    sigset_t mask, before;

    if (asi_fault("thread"))
        return -EAGAIN;
    mask_of_library(&mask);
    pthread_sigmask(SIG_SETMASK, &mask, &before);
    int error =
            start(thread, name, asi_local.ours ? &asi_local.clean_mask : &before, run, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return error;
}

int asi_thread_start_like_this(
        struct asi_thread *thread, void (*run)(void *argument), void *argument)
{
    if (asi_fault("thread"))
        return -EAGAIN;
    return start(thread, NULL, &asi_local.clean_mask, run, argument);
}

void asi_thread_join(struct asi_thread *thread)
{
    int error = pthread_join(thread->handle, NULL);

    ASI_ASSERT(error == 0, "a thread could not be joined");
}

void asi_thread_detach(struct asi_thread *thread)
{
    int error = pthread_detach(thread->handle);

    ASI_ASSERT(error == 0, "a thread could not be detached");
}

void asi_thread_yield(void)
{
    sched_yield();
}

void asi_thread_clean_mask(sigset_t *ret_mask)
{
    if (asi_local.ours)
        *ret_mask = asi_local.clean_mask;
    else
        pthread_sigmask(SIG_SETMASK, NULL, ret_mask);
}

void asi_thread_in_child(void)
{
    if (asi_local.ours)
        pthread_sigmask(SIG_SETMASK, &asi_local.clean_mask, NULL);
}

/* The signal goes to the thread that writes.  One that was pending before stays so. */
ssize_t asi_thread_write_quietly(int fd, const void *bytes, size_t size)
{
    sigset_t pipe_only, before, pending;

    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    sigemptyset(&pending);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
    ssize_t count = write(fd, bytes, size);
    int error = errno;
    if (count < 0 && error == EPIPE && !sigismember(&pending, SIGPIPE)) {
        while (sigtimedwait(&pipe_only, NULL, &(struct timespec){.tv_sec = 0}) < 0 &&
                errno == EINTR)
            ;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return count < 0 ? -error : count;
}
