/* SPDX-License-Identifier: MIT */
/*
 * Contract H7, H8: what jobs and threads of pools do to one another.
 *
 * Promised                                       Tested by
 *   H7  nested under a limiter of 1                h7_nested_jobs_need_no_second_token
 *       each kind of wait gives the token back     h7_each_wait_gives_the_token_back
 *       and takes one again                        h7_a_token_is_taken_again_after_a_wait
 *       holders that hold each other up            h7_a_lock_between_jobs_is_no_deadlock
 *       deep, many                                 h7_stress_nested_jobs_end
 *   H8  idle threads end                           h8_idle_threads_end
 *       the last one used is used first            h8_one_at_a_time_has_one_thread
 *       a thousand jobs, no more threads           h8_a_thousand_jobs_share_the_threads
 *       pools apart, with names                    h8_a_pool_has_threads_of_its_own
 *       dropped pools                              h8_stress_pools_come_and_go
 */
#define _GNU_SOURCE /* pthread_getname_np() */
#include "jobs.h"

#include <pthread.h>
#include <unistd.h>

static struct anysync_limiter *narrow;

/* --- H7 --------------------------------------------------------------------------------------- */

ANYSYNC_BLOCKING(int, nested, (int, depth))
{
    struct anysync_offload_options options = {.limiter = narrow};
    int deeper = 0;
    int error = depth > 0 ? nested_offload(&options, &deeper, depth - 1) : 0;

    *result = deeper + 1;
    return error;
}

static void check_nested(void)
{
    struct anysync_offload_options options = {.limiter = new_limiter(1)};
    int depth = 0;

    narrow = options.limiter;
    CHECK_EQ(nested_offload(&options, &depth, 5), 0);
    CHECK_EQ(depth, 6);
    CHECK_EQ(figures(narrow).borrowed, 0);
    anysync_limiter_unref(narrow);
}

TEST(h7_nested_jobs_need_no_second_token)
{
    in_worlds(EVERYWHERE_AND_POOL, check_nested);
}

enum wait { WAIT, WAIT_ANY, RUN, SLEEP, READ, RUN_HERE, RUN_BACK, ACQUIRE, WAITS };

struct meeting {
    struct anysync_future *gate;
    int pipe[2];
    atomic_bool met;
};

/* Needs the only token while the other job waits, and ends that wait. */
ANYSYNC_BLOCKING(void, ends_wait, (struct meeting *, meeting))
{
    atomic_store(&meeting->met, true);
    CHECK_EQ(write(meeting->pipe[1], "x", 1), 1);
    open_gate(meeting->gate);
    return 0;
}

ANYSYNC_COROUTINE(void, passes, (struct anysync_future *, gate))
{
    return anysync_future_wait(gate, ANYSYNC_FOREVER);
}

ANYSYNC_BLOCKING(void, waits, (struct meeting *, meeting), (enum wait, wait))
{
    struct anysync_offload_options options = {.limiter = narrow};
    struct anysync_future *gate = meeting->gate;
    size_t index;
    char byte;

    CHECK_EQ(figures(narrow).borrowed, 1);
    CHECK_EQ(ends_wait_start_with(&options, NULL, meeting), 0);
    CHECK_EQ(figures(narrow).waiting, 1);
    switch (wait) {
    case WAIT:
        CHECK_EQ(anysync_future_wait(gate, ANYSYNC_FOREVER), 0);
        break;
    case WAIT_ANY:
        CHECK_EQ(anysync_wait_any(&gate, 1, ANYSYNC_FOREVER, &index), 0);
        break;
    case RUN:
        CHECK_EQ(passes_run(gate), 0);
        break;
    case SLEEP:
        while (!atomic_load(&meeting->met))
            CHECK_EQ(anysync_sleep(anysync_in_ms(1)), 0);
        break;
    case READ:
        CHECK_EQ(anysync_read(meeting->pipe[0], &byte, 1, ANYSYNC_FOREVER), 1);
        break;
    case RUN_HERE:
        CHECK_EQ(passes_run_here(gate), 0);
        break;
    case RUN_BACK:
        CHECK_EQ(passes_run_back(gate), 0);
        break;
    case ACQUIRE:
        CHECK_EQ(anysync_limiter_acquire(narrow, ANYSYNC_FOREVER), 0);
        anysync_limiter_release(narrow);
        break;
    case WAITS:
        break;
    }
    CHECK(atomic_load(&meeting->met));
    pass_gate(gate); /* and so the other one is about to give its token back */
    return 0;
}

static void check_waits(void)
{
    narrow = new_limiter(1);
    for (enum wait wait = WAIT; wait < WAITS; wait++) {
        if (wait == RUN && world_now == NESTED)
            continue; /* there the global worker is blocked */
        struct meeting meeting = {.gate = new_gate()};
        struct anysync_offload_options options = {.limiter = narrow};
        CHECK_EQ(pipe(meeting.pipe), 0);
        CHECK_EQ(waits_offload(&options, &meeting, wait), 0);
        while (figures(narrow).borrowed > 0)
            CHECK_EQ(anysync_yield(), 0);
        close(meeting.pipe[0]);
        close(meeting.pipe[1]);
        anysync_future_unref(meeting.gate);
    }
    anysync_limiter_unref(narrow);
}

TEST(h7_each_wait_gives_the_token_back)
{
    in_worlds(IN_COROUTINES, check_waits);
}

ANYSYNC_BLOCKING(
        void, waits_and_looks, (struct anysync_future *, begun), (struct anysync_future *, gate))
{
    CHECK_EQ(figures(narrow).borrowed, 1);
    open_gate(begun);
    pass_gate(gate);
    CHECK_EQ(figures(narrow).borrowed, 1);
    return 0;
}

TEST(h7_a_token_is_taken_again_after_a_wait)
{
    struct anysync_future *begun = new_gate(), *gate = new_gate();
    struct anysync_offload_options options = {.limiter = narrow = new_limiter(1)};
    ANYSYNC_SCOPED_FUTURE(waits_and_looks, soon);

    CHECK_EQ(waits_and_looks_start_with(&options, &soon, begun, gate), 0);
    pass_gate(begun);
    while (figures(narrow).borrowed > 0)
        nap();
    open_gate(gate);
    CHECK_EQ(waits_and_looks_wait(&soon, ANYSYNC_FOREVER), 0);
    CHECK_EQ(figures(narrow).borrowed, 0);
    anysync_limiter_unref(narrow);
    anysync_future_unref(begun);
    anysync_future_unref(gate);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

ANYSYNC_BLOCKING(void, locks, (struct anysync_future *, locked), (struct anysync_future *, gate))
{
    CHECK_EQ(pthread_mutex_lock(&mutex), 0);
    if (locked)
        open_gate(locked);
    if (gate)
        pass_gate(gate);
    CHECK_EQ(pthread_mutex_unlock(&mutex), 0);
    return 0;
}

/* The second has the only token and waits for the mutex of the first, which wants the token. */
TEST(h7_a_lock_between_jobs_is_no_deadlock)
{
    struct anysync_future *locked = new_gate(), *gate = new_gate();
    struct anysync_offload_options options = {.limiter = narrow = new_limiter(1)};
    locks_future first, second;

    CHECK_EQ(locks_start_with(&options, &first, locked, gate), 0);
    pass_gate(locked);
    CHECK_EQ(locks_start_with(&options, &second, NULL, NULL), 0);
    while (figures(narrow).waiting > 0)
        nap();
    open_gate(gate);
    CHECK_EQ(locks_wait(&first, ANYSYNC_FOREVER), 0);
    CHECK_EQ(locks_wait(&second, ANYSYNC_FOREVER), 0);
    CHECK_EQ(figures(narrow).borrowed, 0);
    locks_drop(&first);
    locks_drop(&second);
    anysync_limiter_unref(narrow);
    anysync_future_unref(locked);
    anysync_future_unref(gate);
}

static void nest_often(void *argument, int index)
{
    (void)argument;
    for (long i = test_scaled(30); i > 0; i--) {
        struct anysync_offload_options options = {.limiter = narrow};
        int depth = 0;
        CHECK_EQ(nested_offload(&options, &depth, index), 0);
        CHECK_EQ(depth, index + 1);
    }
}

TEST(h7_stress_nested_jobs_end)
{
    narrow = new_limiter(2);
    test_together(6, nest_often, NULL);
    CHECK_EQ(figures(narrow).borrowed, 0);
    CHECK_EQ(figures(narrow).waiting, 0);
    anysync_limiter_unref(narrow);
}

/* --- H8 --------------------------------------------------------------------------------------- */

static void check_one_thread(void)
{
    struct anysync_offload_options options = {.pool = new_pool(0)};
    unsigned first = 0, serial = 0;

    CHECK_EQ(where_offload(&options, &first), 0);
    for (int i = 0; i < 100; i++) {
        CHECK_EQ(where_offload(&options, &serial), 0);
        CHECK_EQ(serial, first);
    }
    CHECK_EQ(threads_of(options.pool).threads, 1);
    anysync_pool_unref(options.pool);
}

TEST(h8_one_at_a_time_has_one_thread)
{
    in_worlds(EVERYWHERE_AND_POOL, check_one_thread);
}

TEST(h8_idle_threads_end)
{
    struct anysync_offload_options options = {.pool = new_pool(1)};

    for (int i = 0; i < 20; i++) {
        CHECK_EQ(where_offload(&options, NULL), 0);
        while (threads_of(options.pool).threads > 0)
            nap();
    }
    anysync_pool_unref(options.pool);
}

TEST(h8_a_thousand_jobs_share_the_threads)
{
    enum { TOTAL = 5 };
    struct anysync_limiter *limiter = new_limiter(TOTAL);
    struct anysync_offload_options options = {.limiter = limiter, .pool = new_pool(0)};
    unsigned first = anysync_thread_serial(), most = 0;
    static where_future soon[1000];

    CHECK_EQ(first, 1);
    for (int i = 0; i < 1000; i++)
        CHECK_EQ(where_start_with(&options, &soon[i]), 0);
    for (int i = 0; i < 1000; i++) {
        unsigned serial = 0;
        CHECK_EQ(where_wait(&soon[i], &serial, ANYSYNC_FOREVER), 0);
        most = serial > most ? serial : most;
        where_drop(&soon[i]);
        CHECK_GE(TOTAL, threads_of(options.pool).threads);
    }
    CHECK_GE(first + TOTAL, most); /* serials are never used again */
    anysync_limiter_unref(limiter);
    anysync_pool_unref(options.pool);
}

ANYSYNC_BLOCKING(void, check_name, (const char *, expected))
{
    char name[16];

    CHECK_EQ(pthread_getname_np(pthread_self(), name, sizeof(name)), 0);
    CHECK_STR(name, expected);
    return 0;
}

TEST(h8_a_pool_has_threads_of_its_own)
{
    struct anysync_pool_options named = {.name = "files"}, wrong = {.idle_ns = -1};
    struct anysync_offload_options options = {.pool = NULL};
    unsigned common = 0, own = 0;

    CHECK_EQ(check_name_offload(&options, "anysync-pool"), 0);
    CHECK_EQ(where_offload(&options, &common), 0);
    CHECK_EQ(anysync_pool_new(&named, &options.pool), 0);
    CHECK_EQ(check_name_offload(&options, "files"), 0);
    CHECK_EQ(where_offload(&options, &own), 0);
    CHECK_NE(common, own);
    CHECK(anysync_pool_unref(options.pool) == NULL);
    CHECK(anysync_pool_unref(NULL) == NULL);
    CHECK_EQ(anysync_pool_new(&wrong, &options.pool), -EINVAL);
    CHECK_EQ(threads_of(NULL).threads, 1);
}

static void use_pools(void *argument, int index)
{
    (void)argument;
    (void)index;
    for (long i = test_scaled(100); i > 0; i--) {
        struct anysync_offload_options options = {.pool = new_pool(i % 3 ? 0 : 1)};
        where_future soon[3];
        for (int j = 0; j < 3; j++)
            CHECK_EQ(where_start_with(&options, &soon[j]), 0);
        anysync_pool_unref(options.pool);
        for (int j = 0; j < 3; j++) {
            CHECK_EQ(where_wait(&soon[j], NULL, ANYSYNC_FOREVER), 0);
            where_drop(&soon[j]);
        }
    }
}

TEST(h8_stress_pools_come_and_go)
{
    test_together(4, use_pools, NULL);
}
