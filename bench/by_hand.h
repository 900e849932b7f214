/* SPDX-License-Identifier: MIT */
/*
 * The same service as a good C programmer writes it without this library: a thread that runs a
 * libevent loop, a list of jobs under a mutex, an eventfd that wakes the loop when the list was
 * empty, and a mutex and condition variable in each job on which its caller blocks.
 */
#ifndef BENCH_BY_HAND_H
#define BENCH_BY_HAND_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct event;

struct by_hand_job {
    struct by_hand_job *next;
    void (*run)(struct by_hand_job *job); /* on the loop's thread; the job is its own then */
};

struct by_hand_loop {
    pthread_t thread;
    struct event_base *base;
    struct event *wake;
    int eventfd;
    pthread_mutex_t lock;
    struct by_hand_job *first; /* under lock */
    struct by_hand_job **last; /* under lock */
};

/* A job with a result that one thread waits for. */
struct by_hand_call {
    struct by_hand_job job; /* first */
    int (*body)(void *argument);
    void *argument;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool done;  /* under lock */
    int result; /* under lock */
};

/* Start LOOP with its thread.  It runs as long as the process. */
void by_hand_start(struct by_hand_loop *loop);

/* Hand JOB over.  It belongs to the loop until it has run.  Any thread. */
void by_hand_post(struct by_hand_loop *loop, struct by_hand_job *job);

/* Make CALL ready to be posted as a job; then by_hand_wait() for it, then by_hand_call_fini(). */
void by_hand_call_init(struct by_hand_call *call, int (*body)(void *argument), void *argument);

/* The result of CALL, waited for until DEADLINE_NS on the monotonic clock (INT64_MAX: forever). */
int by_hand_wait(struct by_hand_call *call, int64_t deadline_ns);

void by_hand_call_fini(struct by_hand_call *call);

/* Run BODY on the loop, and block for its result. */
int by_hand_run(struct by_hand_loop *loop, int (*body)(void *argument), void *argument,
        int64_t deadline_ns);

/* A base of one thread: no locks, as its programmer knows that no other touches it. */
struct event_base *by_hand_base_new(void);

/* How many ns COUNT callbacks take on one loop, where two events activate each other in turn. */
int64_t by_hand_callbacks(int64_t count);

#endif
