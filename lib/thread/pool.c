/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE /* mutexes that look before they sleep */
/*
 * Pool.  (What it promises: pool.h.)
 *
 *      starting --> working --rest--> idle --called, or given work--> working
 *          |           ^               |
 *          +-- idle <--+               +--idle time over, or pool closed--> ends
 *
 * WHO DOES IT  The idle threads are a list, used last first, and each waits on a waiter of its own.
 *   At most one of them looks for work before it sleeps, and stands in front: more would take
 *   processors from those who work.  Work is handed straight to the one that looks.  Otherwise it
 *   is queued, and one thread is called (woken, or started).  While that one is on its way nobody
 *   else is called: waking a thread costs more than much of the work does, and a thread that comes
 *   to rest meanwhile takes what is queued.  The one that was called, or any other that takes work,
 *   calls the next if more is queued: so blocking work gets all the threads it needs.
 *
 *   Work is queued => a thread is on its way, or none can be had and those that work will take it.
 *
 * HOW MANY  A thread is started only if none is idle, so each other one works or is on its way, and
 *   there is work for one more: never more threads than there was work at one time.
 *
 * A thread is taken off the idle list by whoever gives it work, calls it or tells it to end, and
 * then gets exactly one delivery; or by itself, when its time is over.  The lock says who was
 * first.
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

/* What each piece of work changes comes first, in one line; so in a limiter (sched/limiter.c). */
struct anysync_pool {
    struct asi_list idle;             /* [lock] threads, used last first */
    unsigned idle_count;              /* [lock] */
    unsigned threads;                 /* [lock] starting, working, idle, or told to end */
    unsigned paused;                  /* [lock] of those that work: they wait, perhaps for others */
    bool looked_for;                  /* [lock] the first of the idle ones looks for work */
    bool called;                      /* [lock] a thread is on its way to the queue */
    bool closed;                      /* [lock] the last reference has gone */
    struct asi_letter *first, **last; /* [lock] queued work */
    struct asi_letter *own;    /* [lock] of it, what belongs to who starts the called thread */
    struct anysync_pool *next; /* [lock] all pools */
    struct asi_refs refs;      /* not of those that are always there */
    char name[NAME_SIZE];      /* [const] */
    int64_t idle_ns;           /* [const] */
};

struct asi_pool_thread {
    struct asi_list list;      /* [lock] among the idle */
    bool idle;                 /* [lock] */
    bool looks;                /* [lock] */
    bool ends;                 /* [lock] it was told to */
    struct asi_letter *given;  /* [lock] its next work; NULL: what is queued */
    struct anysync_pool *pool; /* [const] not to be touched by one that was told to end */
    int64_t idle_ns;           /* [const] the pool's */
    struct asi_thread thread;  /* large: it keeps what others write off the line it looks at */
    struct asi_waiter waiter;
    struct asi_spin spin;
    uint32_t seen; /* [its own] deliveries */
    bool resting;  /* [its own] since the work began */
    bool may_look; /* [its own] it was chosen to look */
    bool waits;    /* [its own] there will be a delivery */
};

_Static_assert(
        offsetof(struct asi_pool_thread, waiter) - offsetof(struct asi_pool_thread, thread) >= 128,
        "a thread would look at the line that others write");

static _Alignas(64) struct asi_lock lock = ASI_LOCK_INIT;
static struct anysync_pool names = {.name = "anysync-names",
        .idle_ns = 10 * (int64_t)ASI_NS_PER_SECOND,
        .idle = {&names.idle, &names.idle},
        .last = &names.first};
static _Alignas(64) struct anysync_pool common = {.name = "anysync-pool",
        .idle_ns = 10 * (int64_t)ASI_NS_PER_SECOND,
        .idle = {&common.idle, &common.idle},
        .last = &common.first,
        .next = &names};
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
        pool->paused = 0;
        pool->looked_for = false;
        pool->called = false;
        pool->own = NULL;
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

struct anysync_pool *asi_pool_of_names(void)
{
    return &names;
}

static bool is_always_there(const struct anysync_pool *pool)
{
    return pool == &common || pool == &names;
}

struct anysync_pool *asi_pool_ref(struct anysync_pool *pool)
{
    if (!is_always_there(pool))
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

void asi_pool_unref(struct anysync_pool *pool)
{
    struct asi_pool_thread *thread;
    bool last = false;

    if (is_always_there(pool) || !asi_refs_drop(&pool->refs))
        return;
    do { /* no work is left; a thread that was called may still be on its way */
        asi_lock_take(&lock);
        thread = take_idle(pool);
        if (thread) {
            thread->ends = true;
            pool->threads--;
        } else {
            pool->closed = true; /* and from here on the last thread may free it */
            last = pool->threads == 0;
            if (last)
                remove_from_all(pool);
        }
        asi_lock_give(&lock);
        if (thread)
            asi_waiter_deliver(&thread->waiter);
    } while (thread);
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

/* --- the queue -------------------------------------------------------------------------------- */

static void enqueue(struct anysync_pool *pool, struct asi_letter *work) /* [lock] */
{
    work->next = NULL;
    *pool->last = work;
    pool->last = &work->next;
}

static struct asi_letter *dequeue(struct anysync_pool *pool) /* [lock] */
{
    struct asi_letter *work = pool->first;

    if (work) {
        if (pool->own == work)
            pool->own = NULL;
        pool->first = work->next;
        if (!pool->first)
            pool->last = &pool->first;
    }
    return work;
}

/* Whether somebody has to be called, and who. */
struct call {
    bool needed;
    struct asi_pool_thread *thread; /* idle until now; NULL: a new one */
};

/* [lock] See to it that somebody comes if there is work.  Go on with carry_out(), outside. */
static struct call call_somebody(struct anysync_pool *pool, struct asi_letter *work)
{
    struct call call = {.needed = pool->first && !pool->called};

    if (!call.needed)
        return call;
    pool->called = true;
    call.thread = take_idle(pool);
    if (!call.thread) {
        pool->threads++;
        pool->own = work;
    }
    return call;
}

static int start(struct anysync_pool *pool);

/* A thread could not be started, for ERROR.  If nobody is there who will do the work, that is
 * returned, and all that is queued but WORK, of which the caller takes care, is told. */
static int do_without(struct anysync_pool *pool, struct asi_letter *work, int error)
{
    struct asi_letter *lost = NULL;

    asi_lock_take(&lock);
    bool mine = work && pool->own == work; /* else somebody has taken it, and perhaps ended it */
    pool->own = NULL;
    pool->threads--;
    pool->called = false;
    struct asi_pool_thread *thread = take_idle(pool); /* there may be one by now */
    if (thread)
        pool->called = true;
    if (thread || pool->threads > pool->paused) {
        error = 0;
    } else {
        lost = pool->first;
        pool->first = NULL;
        pool->last = &pool->first;
    }
    asi_lock_give(&lock);
    if (thread)
        asi_waiter_deliver(&thread->waiter);
    while (lost) {
        struct asi_letter *next = lost->next;
        if (!mine || lost != work)
            lost->deliver(lost, NULL);
        lost = next;
    }
    return mine ? error : 0;
}

/* WORK: what the caller is responsible for; NULL: it works itself, and so cannot fail. */
static int carry_out(struct anysync_pool *pool, struct call call, struct asi_letter *work)
{
    if (!call.needed)
        return 0;
    if (call.thread) {
        asi_waiter_deliver(&call.thread->waiter);
        return 0;
    }
    int error = start(pool);
    return error ? do_without(pool, work, error) : 0;
}

int asi_pool_give(struct anysync_pool *pool, struct asi_letter *work)
{
    struct asi_pool_thread *looking = NULL;
    struct call call = {.needed = false};

    prepare_process();
    asi_lock_take(&lock);
    if (pool->looked_for && !pool->first)
        looking = take_idle(pool);
    if (looking) {
        looking->given = work;
    } else {
        enqueue(pool, work);
        call = call_somebody(pool, work);
    }
    asi_lock_give(&lock);
    if (looking) {
        asi_waiter_deliver(&looking->waiter);
        return 0;
    }
    return carry_out(pool, call, work);
}

void asi_pool_pause(struct anysync_pool *pool)
{
    asi_lock_take(&lock);
    pool->paused++;
    struct call call = call_somebody(pool, NULL); /* who was to do it later does not come so soon */
    asi_lock_give(&lock);
    (void)carry_out(pool, call, NULL);
}

void asi_pool_resume(struct anysync_pool *pool)
{
    asi_lock_take(&lock);
    if (pool->paused > 0) /* not in a child */
        pool->paused--;
    asi_lock_give(&lock);
}

/* --- threads ---------------------------------------------------------------------------------- */

/* [lock] THREAD takes what is queued, or joins the idle ones. */
static void take_or_rest(struct asi_pool_thread *thread)
{
    struct anysync_pool *pool = thread->pool;

    thread->given = dequeue(pool);
    thread->waits = !thread->given;
    if (thread->given)
        return;
    thread->idle = true;
    thread->looks = thread->may_look = !pool->looked_for;
    pool->idle_count++;
    /* in front, or behind the one that looks */
    struct asi_list *after = thread->looks ? &pool->idle : pool->idle.next;
    asi_list_add(after->next, &thread->list);
    pool->looked_for = true;
}

void asi_pool_rest(struct asi_pool_thread *thread)
{
    thread->resting = true;
    asi_lock_take(&lock);
    take_or_rest(thread);
    struct call call = call_somebody(thread->pool, NULL);
    asi_lock_give(&lock);
    (void)carry_out(thread->pool, call, NULL);
}

/* Look for a delivery for a short time. */
static void look(struct asi_pool_thread *thread)
{
    struct asi_look look;

    asi_look_begin(&look, &thread->spin, asi_spin_policy());
    while (asi_waiter_count(&thread->waiter) == thread->seen && asi_look_again(&look))
        ;
    bool found = asi_waiter_count(&thread->waiter) != thread->seen;
    asi_look_end(&look, found);
    if (found)
        return; /* who delivered has taken it off the list, and so from its looking */
    asi_lock_take(&lock);
    if (thread->looks) /* from now on another one may */
        thread->pool->looked_for = false;
    thread->looks = false;
    asi_lock_give(&lock);
}

/* THREAD sleeps until its delivery.  False: its time is over. */
static bool sleep_idle(struct asi_pool_thread *thread)
{
    anysync_time end = asi_clock_after(anysync_now(), thread->idle_ns);
    anysync_time start = asi_sleep_begin(&thread->spin);

    if (!asi_waiter_sleep(&thread->waiter, thread->seen, end))
        return false;
    asi_sleep_end(&thread->spin, start);
    return true;
}

/* THREAD leaves the idle ones, and its pool, by itself.  False: it was taken off before. */
static bool give_up(struct asi_pool_thread *thread)
{
    asi_lock_take(&lock);
    bool mine = thread->idle;
    if (mine) {
        take_off(thread);
        thread->pool->threads--;
    }
    asi_lock_give(&lock);
    return mine;
}

/* THREAD, which is idle, waits for its delivery.  False: it has to end. */
static bool wait_idle(struct asi_pool_thread *thread)
{
    if (thread->may_look)
        look(thread);
    if (asi_waiter_count(&thread->waiter) == thread->seen && !sleep_idle(thread)) {
        if (give_up(thread))
            return false;
        asi_waiter_sleep(&thread->waiter, thread->seen, ANYSYNC_FOREVER);
    }
    thread->seen++;
    return !thread->ends;
}

/* THREAD was called: it looks into the queue.  False: the pool was closed meanwhile. */
static bool come(struct asi_pool_thread *thread)
{
    struct anysync_pool *pool = thread->pool;
    struct call call = {.needed = false};
    bool last = false;

    asi_lock_take(&lock);
    bool closed = pool->closed;
    pool->called = false;
    if (closed) {
        last = --pool->threads == 0;
        if (last)
            remove_from_all(pool);
    } else {
        take_or_rest(thread);
        call = call_somebody(pool, NULL);
    }
    asi_lock_give(&lock);
    (void)carry_out(pool, call, NULL);
    if (last)
        asi_free(pool);
    return !closed;
}

/* What THREAD, which is not at work, has to do next; NULL: it has to end, and its pool may be
 * gone. */
static struct asi_letter *next_work(struct asi_pool_thread *thread)
{
    while (thread->waits) {
        if (!wait_idle(thread))
            return NULL;
        if (thread->given)
            break; /* straight from the giver */
        if (!come(thread))
            return NULL;
    }
    return thread->given;
}

static void work(void *argument)
{
    struct asi_pool_thread *thread = argument;
    struct asi_letter *next = come(thread) ? next_work(thread) : NULL;

    while (next) {
        thread->resting = false;
        next->deliver(next, thread);
        if (!thread->resting)
            asi_pool_rest(thread);
        next = next_work(thread);
    }
    asi_thread_detach(&thread->thread);
    asi_free(thread);
}

/* Start a thread of POOL, which was called and counted. */
static int start(struct anysync_pool *pool)
{
    struct asi_pool_thread *thread = asi_allocate_zero(sizeof(*thread));

    if (!thread)
        return -ENOMEM;
    asi_list_init(&thread->list);
    asi_waiter_init(&thread->waiter, NULL);
    thread->spin.serves = true;
    thread->pool = pool;
    thread->idle_ns = pool->idle_ns;
    int error = asi_thread_start(&thread->thread, pool->name, work, thread);
    if (error)
        asi_free(thread);
    return error;
}
