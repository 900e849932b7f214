/* SPDX-License-Identifier: MIT */
/*
 * A worker thread with a libevent loop, by hand: see by_hand.h.
 *
 * Done as well as this shape allows, for it is the peer to be measured against: jobs are linked,
 * not copied; the list is taken whole; only the push that found it empty writes to the eventfd;
 * the base is locked only where another thread uses it.
 */
#include "by_hand.h"

#include "bench.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

static void on_wake(evutil_socket_t fd, short events, void *argument)
{
    struct by_hand_loop *loop = argument;
    struct by_hand_job *job, *next;
    uint64_t count;

    (void)events;
    bench_check(read(fd, &count, sizeof(count)) != sizeof(count), "read an eventfd");
    pthread_mutex_lock(&loop->lock);
    job = loop->first;
    loop->first = NULL;
    loop->last = &loop->first;
    pthread_mutex_unlock(&loop->lock);
    for (; job; job = next) {
        next = job->next;
        job->run(job);
    }
}

static void *loop_main(void *argument)
{
    struct by_hand_loop *loop = argument;

    event_base_loop(loop->base, EVLOOP_NO_EXIT_ON_EMPTY);
    return NULL;
}

void by_hand_start(struct by_hand_loop *loop)
{
    bench_check(evthread_use_pthreads(), "evthread_use_pthreads");
    pthread_mutex_init(&loop->lock, NULL);
    loop->first = NULL;
    loop->last = &loop->first;
    loop->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    bench_check(loop->eventfd < 0, "eventfd");
    loop->base = event_base_new();
    bench_check(loop->base == NULL, "event_base_new");
    loop->wake = event_new(loop->base, loop->eventfd, EV_READ | EV_PERSIST, on_wake, loop);
    bench_check(loop->wake == NULL || event_add(loop->wake, NULL), "event_add");
    bench_check(pthread_create(&loop->thread, NULL, loop_main, loop), "pthread_create");
}

void by_hand_post(struct by_hand_loop *loop, struct by_hand_job *job)
{
    const uint64_t one = 1;
    bool was_empty;

    job->next = NULL;
    pthread_mutex_lock(&loop->lock);
    was_empty = loop->first == NULL;
    *loop->last = job;
    loop->last = &job->next;
    pthread_mutex_unlock(&loop->lock);
    if (was_empty)
        bench_check(write(loop->eventfd, &one, sizeof(one)) != sizeof(one), "write an eventfd");
}

static void call_run(struct by_hand_job *job)
{
    struct by_hand_call *call = (struct by_hand_call *)job;
    int result = call->body(call->argument);

    pthread_mutex_lock(&call->lock);
    call->result = result;
    call->done = true;
    pthread_cond_signal(&call->changed); /* under the lock: the caller's stack holds the call */
    pthread_mutex_unlock(&call->lock);
}

void by_hand_call_init(struct by_hand_call *call, int (*body)(void *argument), void *argument)
{
    pthread_condattr_t monotonic;

    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&call->lock, NULL);
    pthread_cond_init(&call->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    call->job.run = call_run;
    call->body = body;
    call->argument = argument;
    call->done = false;
}

int by_hand_wait(struct by_hand_call *call, int64_t deadline_ns)
{
    struct timespec until = {deadline_ns / 1000000000, (long)(deadline_ns % 1000000000)};
    int error = 0;

    pthread_mutex_lock(&call->lock);
    while (!call->done && error == 0)
        error = deadline_ns == INT64_MAX
                        ? pthread_cond_wait(&call->changed, &call->lock)
                        : pthread_cond_timedwait(&call->changed, &call->lock, &until);
    pthread_mutex_unlock(&call->lock);
    bench_check(error, "pthread_cond_wait"); /* ten seconds for nothing: the bench is broken */
    return call->result;
}

void by_hand_call_fini(struct by_hand_call *call)
{
    pthread_cond_destroy(&call->changed);
    pthread_mutex_destroy(&call->lock);
}

int by_hand_run(
        struct by_hand_loop *loop, int (*body)(void *argument), void *argument, int64_t deadline_ns)
{
    struct by_hand_call call;
    int result;

    by_hand_call_init(&call, body, argument);
    by_hand_post(loop, &call.job);
    result = by_hand_wait(&call, deadline_ns);
    by_hand_call_fini(&call);
    return result;
}

struct event_base *by_hand_base_new(void)
{
    struct event_config *config = event_config_new();
    struct event_base *base;

    bench_check(config == NULL, "event_config_new");
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
    base = event_base_new_with_config(config);
    event_config_free(config);
    bench_check(base == NULL, "event_base_new_with_config");
    return base;
}

static struct event *events[2]; /* each activates the other */
static int64_t left;            /* callbacks to go */

static void on_event(evutil_socket_t fd, short what, void *argument)
{
    (void)fd;
    (void)what;
    if (--left > 0)
        event_active(*(struct event **)argument, EV_TIMEOUT, 0);
}

int64_t by_hand_callbacks(int64_t count)
{
    struct event_base *base = by_hand_base_new();
    int64_t start;

    for (int i = 0; i < 2; i++)
        events[i] = event_new(base, -1, 0, on_event, &events[1 - i]);
    left = count;
    start = bench_now_ns();
    event_active(events[0], EV_TIMEOUT, 0);
    event_base_loop(base, 0);
    start = bench_now_ns() - start;
    for (int i = 0; i < 2; i++)
        event_free(events[i]);
    event_base_free(base);
    return start;
}
