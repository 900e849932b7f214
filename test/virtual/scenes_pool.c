/* SPDX-License-Identifier: MIT */
/*
 * Scenes of the pool: work and threads meet, threads are refused, idle ones end, a pool is closed.
 * (What a scene is: virtual.h.)
 */
#include "virtual.h"

#include "base/memory.h"
#include "thread/pool.h"
#include "thread/spin.h"
#include "thread/thread.h"
#include "thread/waiter.h"

#include <errno.h>
#include <string.h>

enum { JOBS = 3 };

static struct job {
    struct asi_letter letter;
    void (*also)(void);
    bool done, refused;
} jobs[JOBS];

static struct anysync_pool *pool;
static struct asi_waiter finished; /* a delivery for each job that was done, or refused */
static size_t used_before;

static void do_job(struct asi_letter *letter, void *thread)
{
    struct job *job = (struct job *)(void *)letter;

    VIRTUAL_CHECK(!job->done && !job->refused);
    job->refused = !thread;
    job->done = thread;
    if (job->also)
        job->also();
    if (thread)
        asi_pool_rest(thread);
    asi_waiter_deliver(&finished);
}

static int give(int number)
{
    jobs[number].letter.deliver = do_job;
    return asi_pool_give(pool, &jobs[number].letter);
}

static void wait_for(unsigned count)
{
    uint32_t seen;

    while ((seen = asi_waiter_count(&finished)) < count)
        VIRTUAL_CHECK(asi_waiter_sleep(&finished, seen, ANYSYNC_FOREVER));
}

/* Threads look for work before they sleep if POLICY says so, and end without any for IDLE_NS. */
static void open_pool(enum asi_spin_policy policy, int64_t idle_ns)
{
    used_before = virtual_in_use();
    asi_spin_configure(policy, 1);
    asi_waiter_init(&finished, NULL);
    pool = asi_pool_new("scene", idle_ns);
    VIRTUAL_CHECK(pool && strcmp(asi_pool_name(pool), "scene") == 0);
}

/* And all its threads end. */
static void close_pool(void)
{
    asi_pool_unref(pool);
    while (virtual_in_use() != used_before)
        asi_thread_yield();
}

static void check_threads(unsigned most)
{
    unsigned threads, idle;

    asi_pool_count(pool, &threads, &idle);
    VIRTUAL_CHECK(threads <= most && idle <= threads);
}

SCENE(pool_does_what_it_is_given, 2, 0)
{
    open_pool(ASI_SPIN_NEVER, ANYSYNC_FOREVER);
    VIRTUAL_CHECK(give(0) == 0 && give(1) == 0);
    wait_for(2);
    check_threads(2);
    VIRTUAL_CHECK(jobs[0].done && jobs[1].done);
    asi_pool_unref(asi_pool_ref(pool));
    close_pool();
}

/* Its threads may have to be called, have just begun to rest, be about to end, have ended. */
static void use_now_and_then(enum asi_spin_policy policy)
{
    open_pool(policy, 1000000);
    VIRTUAL_CHECK(give(0) == 0);
    wait_for(1);
    VIRTUAL_CHECK(give(1) == 0);
    wait_for(2);
    close_pool();
}

SCENE(pool_is_used_now_and_then, 2, 0)
{
    use_now_and_then(ASI_SPIN_NEVER);
}

SCENE(pool_looks_for_work, 1, 0)
{
    use_now_and_then(ASI_SPIN_ALWAYS);
}

static const char *refused;

static bool refuse(const char *what)
{
    return refused && strcmp(what, refused) == 0;
}

SCENE(pool_is_refused_its_first_thread, 0, 0)
{
    open_pool(ASI_SPIN_NEVER, ANYSYNC_FOREVER);
    asi_fault_hook = refuse;
    refused = "thread";
    VIRTUAL_CHECK(give(0) == -EAGAIN && !jobs[0].refused);
    refused = "malloc";
    VIRTUAL_CHECK(give(0) == -ENOMEM && !jobs[0].refused);
    check_threads(0);
    close_pool();
}

static void give_last(void *unused)
{
    (void)unused;
    VIRTUAL_CHECK(give(2) == 0);
}

static void refuse_from_now(void)
{
    asi_fault_hook = refuse;
    refused = "thread";
    asi_waiter_deliver(&finished); /* that the job has begun */
}

/* The one there is does all, though it may have come to rest when that is found out. */
SCENE(pool_is_refused_a_second_thread, 2, 0)
{
    open_pool(ASI_SPIN_NEVER, ANYSYNC_FOREVER);
    jobs[0].also = refuse_from_now;
    VIRTUAL_CHECK(give(0) == 0);
    wait_for(1);
    int other = virtual_start(give_last, NULL);
    VIRTUAL_CHECK(give(1) == 0);
    wait_for(4);
    virtual_join(other);
    check_threads(1);
    VIRTUAL_CHECK(jobs[1].done && jobs[2].done);
    close_pool();
}

static void wait_for_second(void)
{
    asi_pool_pause(pool);
    while (asi_waiter_count(&finished) == 0)
        asi_thread_yield();
    asi_pool_resume(pool);
}

/* A job that waits for another lets a second thread come. */
SCENE(pool_goes_on_while_a_job_waits, 2, 0)
{
    open_pool(ASI_SPIN_NEVER, ANYSYNC_FOREVER);
    jobs[0].also = wait_for_second;
    VIRTUAL_CHECK(give(0) == 0 && give(1) == 0);
    wait_for(2);
    close_pool();
}

SCENE(pool_has_new_threads_in_a_child, 2, 0)
{
    open_pool(ASI_SPIN_NEVER, ANYSYNC_FOREVER);
    VIRTUAL_CHECK(give(0) == 0);
    virtual_fork(false);
    wait_for(1);
    virtual_fork(true);
    check_threads(0);
    VIRTUAL_CHECK(give(1) == 0);
    wait_for(2);
}
