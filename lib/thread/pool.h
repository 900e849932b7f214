/* SPDX-License-Identifier: MIT */
/*
 * Pool: threads that run blocking work, one piece at a time each.
 *
 * A piece of work is a letter whose function does it.  It goes to the thread that was used last, as
 * that one's caches are warm and it may still be looking for work; without an idle thread a new one
 * is started.  Short pieces that come in a row are done by few threads, as waking more would take
 * longer.  How many there are is not decided here: whoever gives work limits it
 * (sched/limiter.h).  A thread that had nothing to do for the pool's idle time ends.  Threads are
 * daemons: nobody joins them.
 *
 * Thread    any.   Progress  one lock, for a few instructions, at both ends of a piece of work.
 * Order     what came before give happens before the work.
 * Memory    a pool lives until nobody has a reference and its last thread has left.
 * Bound     who gave the work that is queued here holds a token.
 */
#ifndef ASI_THREAD_POOL_H
#define ASI_THREAD_POOL_H

#include "thread/mailbox.h"

#include <stdint.h>

struct anysync_pool;
struct asi_pool_thread;

/* A pool with one reference; NULL when there is no memory.  NAME (copied) is its threads';
 * IDLE_NS: how long one waits for work before it ends. */
struct anysync_pool *asi_pool_new(const char *name, int64_t idle_ns);

/* The one that all share; references of it are not counted. */
struct anysync_pool *asi_pool_common(void);

/* That of names that are looked up (<anysync/resolve.h>); likewise. */
struct anysync_pool *asi_pool_of_names(void);

struct anysync_pool *asi_pool_ref(struct anysync_pool *pool);
void asi_pool_unref(struct anysync_pool *pool);

const char *asi_pool_name(const struct anysync_pool *pool);

/*
 * Have WORK (consumed if the return is 0) done: deliver(WORK, its struct asi_pool_thread) is called
 * on a thread of POOL, on which WORK has a reference until it rests.  If no thread can be started,
 * one that is busy does it later; if there is no such thread either, and this was found out by
 * somebody else, deliver(WORK, NULL) is called there.
 * Returns 0; -EAGAIN or -ENOMEM: there is no thread at all.
 */
int asi_pool_give(struct anysync_pool *pool, struct asi_letter *work);

/* In a piece of work, once, near its end: THREAD, the calling one, may be given the next, which it
 * begins when this one has returned. */
void asi_pool_rest(struct asi_pool_thread *thread);

/* Around a wait in a piece of work: its thread will not take what is queued meanwhile. */
void asi_pool_pause(struct anysync_pool *pool);
void asi_pool_resume(struct anysync_pool *pool);

/* How many threads POOL has now, and how many of them have nothing to do. */
void asi_pool_count(struct anysync_pool *pool, unsigned *ret_threads, unsigned *ret_idle);

#endif
