/* SPDX-License-Identifier: MIT */
/*
 * A list of jobs under a mutex, for loops that only have a way to be woken: the peer defines
 * wake_loop(), and runs peer_queue_run() when it was woken.
 */
#ifndef BENCH_PEERS_QUEUE_H
#define BENCH_PEERS_QUEUE_H

#include "peer.h"

struct peer_job {
    struct peer_job *next;
    sem_t *done; /* NULL: a task that nobody waits for */
};

static pthread_mutex_t peer_queue_lock = PTHREAD_MUTEX_INITIALIZER;
static struct peer_job *peer_first, **peer_last = &peer_first; /* under the lock */

static void wake_loop(void);

static void peer_queue_run(void)
{
    struct peer_job *job, *next;

    pthread_mutex_lock(&peer_queue_lock);
    job = peer_first;
    peer_first = NULL;
    peer_last = &peer_first;
    pthread_mutex_unlock(&peer_queue_lock);
    for (; job; job = next) {
        next = job->next;
        if (job->done) {
            sem_post(job->done);
        } else {
            free(job);
            peer_task_ran();
        }
    }
}

static void peer_queue_post(struct peer_job *job)
{
    bool was_empty;

    job->next = NULL;
    pthread_mutex_lock(&peer_queue_lock);
    was_empty = peer_first == NULL;
    *peer_last = job;
    peer_last = &job->next;
    pthread_mutex_unlock(&peer_queue_lock);
    if (was_empty)
        wake_loop();
}

void peer_call(void)
{
    sem_t done;
    struct peer_job job = {NULL, &done};

    sem_init(&done, 0, 0);
    peer_queue_post(&job);
    while (sem_wait(&done) != 0)
        continue;
    sem_destroy(&done);
}

void peer_submit(void)
{
    peer_queue_post((struct peer_job *)calloc(1, sizeof(struct peer_job)));
}

#endif
