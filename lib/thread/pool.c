/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* mutexes that look before they sleep */
/*
 * Pool.  (What it promises: pool.h.)
 *
 * Each thread waits on a waiter of its own, so that the one to be used is chosen and no other is
 * woken.  The idle ones are a list, used last first.  At most one of a pool looks for work before
 * it sleeps, and stands in front: more of them would take processors from those who work.
 *
 *      starting --> working --rest--> idle --give--> working
 *                                       |
 *                                       +--idle time over, or pool closed--> ends
 *
 * A thread is taken off the idle list by whoever gives it work or tells it to end, and then gets
 * exactly one delivery; or by itself, when its time is over.  The lock says who was first.
 *
 * One lock serves all pools.  A lock of each would have to be taken by a fork() too, however many
 * there are; and the lock is held for a few instructions at each end of work that is worth a
 * thread.  Threads are started and woken outside of it.
 */
#include "thread/pool.h"

#include "base/clock.h"
#include "base/list.h"
#include "base/memory.h"
#include "thread/fork.h"
#include "thread/lock.h"
#include "thread/once.h"
#include "thread/refs.h"
#include "thread/spin.h"
#include "thread/thread.h"
#include "thread/waiter.h"

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

enum { NAME_SIZE = 16 /* what systems show of it */ };

struct anysync_pool {
    struct asi_refs refs;             /* not of the common one */
    char name[NAME_SIZE];             /* [const] */
    int64_t idle_ns;                  /* [const] */
    struct asi_list idle;             /* [lock] threads, used last first */
    unsigned idle_count;              /* [lock] */
    unsigned threads;                 /* [lock] starting, working, idle, or told to end */
    bool looked_for;                  /* [lock] the first of the idle ones looks for work */
    bool closed;                      /* [lock] the last reference has gone */
    struct asi_letter *first, **last; /* [lock] work that waits for a thread */
    struct anysync_pool *next;        /* [lock] all pools */
};

struct asi_pool_thread {
    struct asi_list list; /* [lock] among the idle */
    bool idle;            /* [lock] */
    bool looks;           /* [lock] */
    bool resting;         /* [its own] since the work began */
    bool may_look;        /* [its own] it was chosen to look */
    struct anysync_pool *pool;
    struct asi_letter *given;  /* what the delivery brought; NULL: end */
    struct asi_letter *queued; /* [its own] what it found when it came to rest */
    uint32_t seen;             /* [its own] deliveries */
    struct asi_waiter waiter;
    struct asi_spin spin;
    struct asi_thread thread;
};

static struct asi_lock lock = ASI_LOCK_INIT;
static struct anysync_pool common = {.name = "anysync-pool",
        .idle_ns = 10 * (int64_t)ASI_NS_PER_SECOND,
        .idle = {&common.idle, &common.idle},
        .last = &common.first};
static struct anysync_pool *all = &common; /* [lock] */

/* --- fork ------------------------------------------------------------------------------------- */

static void before_fork(void)
{
    asi_lock_take(&lock);
}

static void after_fork(void)
{
    asi_lock_give(&lock);
}

/* The threads do not exist here, and what they were to do is their parent's. */
static void in_child(void)
{
    for (struct anysync_pool *pool = all; pool; pool = pool->next) {
        asi_list_init(&pool->idle);
        pool->idle_count = 0;
        pool->threads = 0;
        pool->looked_for = false;
        pool->first = NULL;
        pool->last = &pool->first;
    }
}

static void prepare(void)
{
    static const struct asi_fork_part part = {before_fork, in_child, after_fork};

    asi_fork_add(&part);
}

static void prepare_process(void)
{
    static struct asi_once once = ASI_ONCE_INIT;

    asi_once_run(&once, prepare);
}

/* --- pools ------------------------------------------------------------------------------------ */

struct anysync_pool *asi_pool_new(const char *name, int64_t idle_ns)
{
    struct anysync_pool *pool = asi_allocate_zero(sizeof(*pool));

    if (!pool)
        return NULL;
    prepare_process();
    asi_refs_init(&pool->refs, 1);
    strncpy(pool->name, name, sizeof(pool->name) - 1);
    pool->idle_ns = idle_ns;
    asi_list_init(&pool->idle);
    pool->last = &pool->first;
    asi_lock_take(&lock);
    pool->next = all;
    all = pool;
    asi_lock_give(&lock);
    return pool;
}

struct anysync_pool *asi_pool_common(void)
{
    return &common;
}

struct anysync_pool *asi_pool_ref(struct anysync_pool *pool)
{
    if (pool != &common)
        asi_refs_add(&pool->refs);
    return pool;
}

/* [lock] */
static void remove_from_all(struct anysync_pool *pool)
{
    struct anysync_pool **at = &all;

    while (*at != pool)
        at = &(*at)->next;
    *at = pool->next;
}

/* [lock] Take THREAD off the idle list, to give it something. */
static void take_off(struct asi_pool_thread *thread)
{
    struct anysync_pool *pool = thread->pool;

    asi_list_remove(&thread->list);
    pool->idle_count--;
    thread->idle = false;
    if (thread->looks)
        pool->looked_for = false;
    thread->looks = false;
}

/* [lock] The idle thread that was used last; NULL: there is none. */
static struct asi_pool_thread *take_idle(struct anysync_pool *pool)
{
    if (asi_list_is_empty(&pool->idle))
        return NULL;
    struct asi_pool_thread *thread =
            asi_container_of(pool->idle.next, struct asi_pool_thread, list);
    take_off(thread);
    return thread;
}

/* THREAD, which was taken off the idle list, gets WORK; NULL: it has to end. */
static void hand_over(struct asi_pool_thread *thread, struct asi_letter *work)
{
    thread->given = work;
    asi_waiter_deliver(&thread->waiter);
}

void asi_pool_unref(struct anysync_pool *pool)
{
    struct asi_pool_thread *thread;
    bool last;

    if (pool == &common || !asi_refs_drop(&pool->refs))
        return;
    do { /* one at a time: a thread that was told to end is gone soon */
        asi_lock_take(&lock);
        pool->closed = true;
        thread = take_idle(pool);
        last = !thread && pool->threads == 0;
        if (last)
            remove_from_all(pool);
        bool more = !asi_list_is_empty(&pool->idle);
        asi_lock_give(&lock);
        if (thread)
            hand_over(thread, NULL);
        if (!more)
            break; /* and from here on the pool may be gone with its last thread */
    } while (true);
    if (last)
        asi_free(pool);
}

const char *asi_pool_name(const struct anysync_pool *pool)
{
    return pool->name;
}

void asi_pool_count(struct anysync_pool *pool, unsigned *ret_threads, unsigned *ret_idle)
{
    asi_lock_take(&lock);
    *ret_threads = pool->threads;
    *ret_idle = pool->idle_count;
    asi_lock_give(&lock);
}

/* --- threads ---------------------------------------------------------------------------------- */

void asi_pool_rest(struct asi_pool_thread *thread)
{
    struct anysync_pool *pool = thread->pool;

    thread->resting = true;
    asi_lock_take(&lock);
    thread->queued = pool->first;
    if (pool->first) {
        pool->first = thread->queued->next;
        if (!pool->first)
            pool->last = &pool->first;
    } else {
        thread->idle = true;
        thread->looks = thread->may_look = !pool->looked_for;
        pool->idle_count++;
        /* in front, or behind the one that looks */
        struct asi_list *after = thread->looks ? &pool->idle : pool->idle.next;
        asi_list_add(after->next, &thread->list);
        pool->looked_for = true;
    }
    asi_lock_give(&lock);
}

/* Look for a delivery for a short time. */
static void look(struct asi_pool_thread *thread)
{
    struct asi_look look;

    asi_look_begin(&look, &thread->spin, ASI_SPIN_ADAPTIVE);
    while (asi_waiter_count(&thread->waiter) == thread->seen && asi_look_again(&look))
        ;
    asi_look_end(&look, asi_waiter_count(&thread->waiter) != thread->seen);
    asi_lock_take(&lock);
    if (thread->looks) /* from now on another one may */
        thread->pool->looked_for = false;
    thread->looks = false;
    asi_lock_give(&lock);
}

/* THREAD leaves the idle ones by itself.  False: it was given something in the meantime. */
static bool give_up(struct asi_pool_thread *thread)
{
    asi_lock_take(&lock);
    bool mine = thread->idle;
    if (mine)
        take_off(thread);
    asi_lock_give(&lock);
    return mine;
}

/* What THREAD, which rests, has to do next; NULL: it has to end. */
static struct asi_letter *next_work(struct asi_pool_thread *thread)
{
    if (thread->queued)
        return thread->queued;
    if (thread->may_look)
        look(thread);
    if (asi_waiter_count(&thread->waiter) == thread->seen &&
            !asi_waiter_sleep(&thread->waiter, thread->seen,
                    asi_clock_after(anysync_now(), thread->pool->idle_ns))) {
        if (give_up(thread))
            return NULL;
        asi_waiter_sleep(&thread->waiter, thread->seen, ANYSYNC_FOREVER);
    }
    thread->seen++;
    return thread->given;
}

/* The last thread of a pool that was closed frees it. */
static void leave(struct anysync_pool *pool)
{
    asi_lock_take(&lock);
    bool last = --pool->threads == 0 && pool->closed;
    if (last)
        remove_from_all(pool);
    asi_lock_give(&lock);
    if (last)
        asi_free(pool);
}

static void work(void *argument)
{
    struct asi_pool_thread *thread = argument;
    struct anysync_pool *pool = thread->pool;
    struct asi_letter *next = thread->given;

    while (next) {
        thread->resting = false;
        next->deliver(next, thread);
        if (!thread->resting)
            asi_pool_rest(thread);
        next = next_work(thread);
    }
    asi_thread_detach(&thread->thread);
    asi_free(thread);
    leave(pool);
}

/* Start a thread of POOL, which was counted, with WORK. */
static int start(struct anysync_pool *pool, struct asi_letter *first)
{
    struct asi_pool_thread *thread = asi_allocate_zero(sizeof(*thread));

    if (!thread)
        return -ENOMEM;
    asi_list_init(&thread->list);
    asi_waiter_init(&thread->waiter, NULL);
    thread->pool = pool;
    thread->given = first;
    int error = asi_thread_start(&thread->thread, pool->name, work, thread);
    if (error)
        asi_free(thread);
    return error;
}

/* [lock] WORK waits until a thread comes to rest. */
static void enqueue(struct anysync_pool *pool, struct asi_letter *work)
{
    work->next = NULL;
    *pool->last = work;
    pool->last = &work->next;
}

int asi_pool_give(struct anysync_pool *pool, struct asi_letter *work)
{
    prepare_process();
    asi_lock_take(&lock);
    struct asi_pool_thread *thread = take_idle(pool);
    if (!thread)
        pool->threads++;
    asi_lock_give(&lock);
    int error = thread ? 0 : start(pool, work);
    if (error) {
        asi_lock_take(&lock);
        pool->threads--;
        thread = take_idle(pool); /* there may be one by now */
        if (!thread && pool->threads > 0) {
            enqueue(pool, work);
            error = 0;
        }
        asi_lock_give(&lock);
    }
    if (thread)
        hand_over(thread, work);
    return thread ? 0 : error;
}
