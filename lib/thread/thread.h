/* SPDX-License-Identifier: MIT */
/*
 * Threads of the library: named, all signals blocked, and counted.
 *
 * Signals that a fault of the thread itself raises (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP,
 * SIGSYS) stay open: blocked, they would kill the process without calling anybody's handler.
 */
#ifndef ASI_THREAD_THREAD_H
#define ASI_THREAD_THREAD_H

#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <sys/types.h>

struct asi_thread {
    pthread_t handle;
    const char *name; /* borrowed by the new thread; NULL: it has it already */
    void (*run)(void *argument);
    void *argument;
    sigset_t clean_mask;
};

/*
 * Start a thread that runs RUN(ARGUMENT) and ends.  THREAD stays where it is until it has been
 * joined or detached.  Returns 0, -EAGAIN or -ENOMEM.  Order: all before the call happens before
 * RUN.
 */
int asi_thread_start(
        struct asi_thread *thread, const char *name, void (*run)(void *argument), void *argument);

/* The same on a thread of the library, for one that is to be like it: name and signal mask are
 * those of the calling thread, which costs nothing. */
int asi_thread_start_like_this(
        struct asi_thread *thread, void (*run)(void *argument), void *argument);

/* Wait for its end; all it did happens before the return. */
void asi_thread_join(struct asi_thread *thread);

/* Let it end by itself. */
void asi_thread_detach(struct asi_thread *thread);

/* Give the rest of the time slice away. */
void asi_thread_yield(void);

/* write() to a pipe, without the SIGPIPE that a closed one raises.  Returns the count or -errno. */
ssize_t asi_thread_write_quietly(int fd, const void *bytes, size_t size);

/* The signal mask a child process of the calling thread should start with. */
void asi_thread_clean_mask(sigset_t *ret_mask);

/* In a forked child, on the thread that forked: put that mask in force. */
void asi_thread_in_child(void);

#endif
