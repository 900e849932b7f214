/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
/*
 * R16: millions of mixed tasks, and nothing of them stays: memory, descriptors, mappings, threads.
 *
 * Threads do pieces of mix.h by themselves and in sessions on two executors; one of these is shut
 * down and started again all the time, by turns drained and cancelled.  The load comes in ten
 * equal rounds after a first one that is not looked at.  After each round everything is idle, idle
 * threads of the pool have ended, and what the process holds is counted.
 *
 *   SOAK_TASKS  how many tasks the ten rounds take together
 */
#include "mix.h"

#include <malloc.h>

enum { THREADS = 3, ROUNDS = 10, MOST_LOOPS = 14 };

/* The C library keeps stacks of threads that ended, and neighbours count as one mapping or as two.
 */
enum { SOME_MAPPINGS = 8 };

static struct anysync_executor *other;
static atomic_long round_end; /* the count of tasks at which this round is over */
static atomic_int working;    /* threads */
static atomic_long sessions;  /* on OTHER */
static atomic_long cut;       /* those that a restart cut short, or refused */
static long restarts;
static int threads_left; /* at rest: the main one, two workers; a sanitizer's */

static void work(void *argument, int index)
{
    unsigned seed = (unsigned)(size_t)argument * 2654435761u + (unsigned)index * 40503u + 1;

    while (atomic_load(&mix_tasks) < atomic_load(&round_end)) {
        unsigned chance = next_random(&seed);
        if (chance % 4 == 0) {
            CHECK_EQ(mix_once(&seed), 0);
        } else if (chance % 4 == 1) {
            CHECK_EQ(mix_session_run(chance, 50), 0);
        } else if (chance % 64 == 2) {
            CHECK_EQ(mix_session_run_here(chance, 50), 0);
        } else {
            int error = mix_session_run_on(other, chance, 50);
            CHECK(error == 0 || error == -ECANCELED || error == -ESHUTDOWN);
            atomic_fetch_add(&sessions, 1);
            atomic_fetch_add(&cut, error != 0);
        }
    }
    atomic_fetch_sub(&working, 1);
}

/* Shut OTHER down and start it again while the others work. */
static void restart_while_they_work(void)
{
    while (atomic_load(&working) > 0) {
        pause_us(20000);
        enum anysync_shutdown how = restarts % 2 ? ANYSYNC_CANCEL : ANYSYNC_DRAIN;
        CHECK_EQ(anysync_executor_shutdown(other, how, ANYSYNC_FOREVER, NULL), 0);
        CHECK_EQ(anysync_executor_start(other), 0);
        restarts++;
    }
}

struct holding {
    long memory, descriptors, mappings, threads;
};

/* Let everything come to rest, and see what is held. */
static struct holding rest(void)
{
    struct anysync_pool_figures pool;
    struct anysync_stats stats;

    do {
        pause_us(50000);
        anysync_pool_stats(mix_pool, &pool);
        anysync_executor_stats(NULL, &stats);
    } while (pool.threads > 0 || stats.live > 0);
    anysync_trim();
    CHECK_EQ(wait_for_threads(threads_left, 10000), threads_left);
    CHECK_EQ(atomic_load(&mix_values), 0);
    return (struct holding){
            .memory = memory_kb(),
            .descriptors = test_fd_count(),
            .mappings = mapping_count(),
            .threads = test_thread_count(),
    };
}

/* As many loops at once as the load ever has, and each of them polls: the records of loops, with
 * their eventfds, are kept for good (docs/decisions/0002, 0010). */
ANYSYNC_COROUTINE(void, have_loops, (int, more))
{
    int error = mix_reads(0);

    return error || more == 0 ? error : have_loops_run(more - 1);
}

static struct holding one_round(long number, long tasks)
{
    atomic_store(&round_end, atomic_load(&mix_tasks) + tasks);
    atomic_store(&working, THREADS);
    struct test_threads *threads = test_threads_start(THREADS, work, (void *)(size_t)(number + 1));
    restart_while_they_work();
    test_threads_join(threads);
    struct holding now = rest();
    printf("round %ld: %ld tasks, %ld KiB, %ld descriptors, %ld mappings, %ld threads\n", number,
            atomic_load(&mix_tasks), now.memory, now.descriptors, now.mappings, now.threads);
    fflush(stdout);
    return now;
}

TEST(r16_soak)
{
    long each = asked_for("SOAK_TASKS", 100000) / ROUNDS;
    struct holding first, last = {0};

    threads_left = threads_at_first() + 2;
    mallopt(M_ARENA_MAX,
            2); /* malloc() maps one for a thread whenever it likes: not ours to count */
    CHECK_EQ(anysync_executor_new(&(struct anysync_executor_options){.name = "other"}, &other), 0);
    CHECK_EQ(anysync_pool_new(&(struct anysync_pool_options){.idle_ns = 10000000}, &mix_pool), 0);
    CHECK_EQ(have_loops_run(MOST_LOOPS - 1), 0);
    first = one_round(0, each);
    long before = atomic_load(&mix_tasks);
    for (long i = 1; i <= ROUNDS; i++)
        last = one_round(i, each);
    tell("tasks", atomic_load(&mix_tasks) - before);
    tell("callbacks", atomic_load(&mix_callbacks));
    tell("restarts", restarts);
    tell("sessions", atomic_load(&sessions));
    tell("sessions cut", atomic_load(&cut));
    tell("drift in KiB", last.memory - first.memory);
    tell("drift in mappings", last.mappings - first.mappings);
    if (!TEST_ASAN && !TEST_TSAN) { /* they keep memory of their own */
        CHECK_GE(1023, last.memory - first.memory);
        CHECK_GE(first.mappings + SOME_MAPPINGS, last.mappings);
    }
    CHECK_EQ(last.descriptors, first.descriptors);
    CHECK_EQ(last.threads, first.threads);
    anysync_executor_unref(other);
}
