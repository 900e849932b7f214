/* SPDX-License-Identifier: MIT */
/*
 * Contract A: how many threads calls take that call calls.  (The rest: test_where.c.)
 *
 * Promised                                       Tested by
 *   A4  README scenario 1 by run_here: f on main,  a4_scenario_1_takes_1_thread_besides_main
 *       g on the worker
 *       scenario 2: h on a fresh one each time     a4_scenario_2_takes_3_threads_besides_main
 *   A5  scenario 1 by run                          a5_scenario_1_by_run_takes_3_besides_main
 *       scenario 2 by run                          a5_scenario_2_by_run_takes_5_besides_main
 *   A6  recursion, outermost run_here              a6_recursion_from_run_here_takes_as_many_threads
 *       recursion, outermost run                   a6_recursion_from_run_takes_as_many_threads
 *       the same from several threads at once      a6_stress_recursion_from_many_threads
 *
 * Threads are told apart by anysync_thread_serial(): the system uses its numbers again.
 */
#include "worlds.h"

#include <pthread.h>

enum { MOST_THREADS = 2000 };

/* Who ran where. */
struct log {
    pthread_mutex_t lock;
    bool seen[MOST_THREADS]; /* thread number: something ran there */
    unsigned f, g, h;        /* thread number of the latest run of each */
    int runs;
};

static unsigned note(struct log *log)
{
    unsigned serial = anysync_thread_serial();

    CHECK_GE(MOST_THREADS - 1, serial);
    pthread_mutex_lock(&log->lock);
    log->seen[serial] = true;
    log->runs++;
    pthread_mutex_unlock(&log->lock);
    return serial;
}

/* How many threads something ran on, the calling one counted only if WITH_MAIN. */
static int threads_seen(const struct log *log, bool with_main)
{
    unsigned here = anysync_thread_serial();
    int count = 0;

    for (unsigned i = 0; i < MOST_THREADS; i++)
        count += log->seen[i] && (with_main || i != here);
    return count;
}

/* --- AnySync's README: f calls g, and in scenario 2 g calls h --------------------------------- */

ANYSYNC_COROUTINE(void, h, (struct log *, log))
{
    log->h = note(log);
    return 0;
}

ANYSYNC_COROUTINE(void, g, (struct log *, log), (bool, calls_h))
{
    log->g = note(log);
    return calls_h ? h_run(log) : 0;
}

ANYSYNC_COROUTINE(void, f, (struct log *, log), (bool, calls_h))
{
    log->f = note(log);
    return g_run(log, calls_h);
}

TEST(a4_scenario_1_takes_1_thread_besides_main)
{
    struct log log = {.lock = PTHREAD_MUTEX_INITIALIZER};

    for (int i = 0; i < 2; i++) {
        CHECK_EQ(f_run_here(&log, false), 0);
        CHECK_EQ(log.f, anysync_thread_serial());
        CHECK_EQ(log.g, stats_of(NULL).worker_serial);
    }
    CHECK_EQ(log.runs, 4);
    CHECK_EQ(threads_seen(&log, false), 1);
}

TEST(a4_scenario_2_takes_3_threads_besides_main)
{
    struct log log = {.lock = PTHREAD_MUTEX_INITIALIZER};
    unsigned h_before = 0;

    for (int i = 0; i < 2; i++) {
        CHECK_EQ(f_run_here(&log, true), 0);
        CHECK_EQ(log.f, anysync_thread_serial());
        CHECK_EQ(log.g, stats_of(NULL).worker_serial);
        CHECK_NE(log.h, log.f);
        CHECK_NE(log.h, log.g);
        CHECK_NE(log.h, h_before);
        h_before = log.h;
    }
    CHECK_EQ(log.runs, 6);
    CHECK_EQ(threads_seen(&log, false), 3);
}

TEST(a5_scenario_1_by_run_takes_3_besides_main)
{
    struct log log = {.lock = PTHREAD_MUTEX_INITIALIZER};

    for (int i = 0; i < 2; i++) {
        CHECK_EQ(f_run(&log, false), 0);
        CHECK_EQ(log.f, stats_of(NULL).worker_serial);
    }
    CHECK_EQ(log.runs, 4);
    CHECK_EQ(threads_seen(&log, true), 3);
    CHECK_EQ(threads_seen(&log, false), 3);
}

TEST(a5_scenario_2_by_run_takes_5_besides_main)
{
    struct log log = {.lock = PTHREAD_MUTEX_INITIALIZER};

    for (int i = 0; i < 2; i++) {
        CHECK_EQ(f_run(&log, true), 0);
        CHECK_EQ(log.f, stats_of(NULL).worker_serial);
    }
    CHECK_EQ(log.runs, 6);
    CHECK_EQ(threads_seen(&log, true), 5);
    CHECK_EQ(threads_seen(&log, false), 5);
}

/* --- recursion -------------------------------------------------------------------------------- */

/* DEPTH levels, each of which calls the next WIDTH times. */
ANYSYNC_COROUTINE(void, recurse, (struct log *, log), (int, depth), (int, width))
{
    note(log);
    for (int i = 0; depth > 1 && i < width; i++) {
        int error = recurse_run(log, depth - 1, width);
        if (error)
            return error;
    }
    return 0;
}

/* w^from + ... + w^to; 0 if there is nothing in between. */
static int powers(int w, int from, int to)
{
    int sum = 0, power = 1;

    for (int exponent = 0; exponent <= to; exponent++, power *= w)
        sum += exponent >= from ? power : 0;
    return sum;
}

struct shape {
    int depth, width, calls;
    int here; /* threads, main included, that run_here takes */
    int run;  /* threads besides main that run takes */
};

/* The last two columns are the contract's numbers where it gives them, else its formulas. */
static const struct shape shapes[] = {
        {1, 2, 2, 1, 1},
        {2, 2, 2, 2, 1 + 2 * 2},
        {3, 2, 2, 10, 13},
        {4, 2, 2, 26, 1 + 2 * (2 + 4 + 8)},
        {3, 3, 2, 2 + 2 * 9, 1 + 2 * (3 + 9)},
        {5, 1, 3, 2 + 3 * 3, 1 + 3 * 4},
        {2, 5, 1, 2, 1 + 5},
};

enum { SHAPES = sizeof(shapes) / sizeof(*shapes) };

static void check_shape(const struct shape *shape, bool here)
{
    struct log log = {.lock = PTHREAD_MUTEX_INITIALIZER};

    for (int i = 0; i < shape->calls; i++) {
        if (here)
            CHECK_EQ(recurse_run_here(&log, shape->depth, shape->width), 0);
        else
            CHECK_EQ(recurse_run(&log, shape->depth, shape->width), 0);
    }
    CHECK_EQ(log.runs, shape->calls * powers(shape->width, 0, shape->depth - 1));
    CHECK_EQ(threads_seen(&log, here), here ? shape->here : shape->run);
}

TEST(a6_recursion_from_run_here_takes_as_many_threads)
{
    for (int i = 0; i < SHAPES; i++)
        check_shape(&shapes[i], true);
}

TEST(a6_recursion_from_run_takes_as_many_threads)
{
    for (int i = 0; i < SHAPES; i++)
        check_shape(&shapes[i], false);
}

struct crowd {
    struct log log;
    int rounds;
};

static void recurse_in_crowd(void *argument, int index)
{
    struct crowd *crowd = argument;

    (void)index;
    for (int i = 0; i < crowd->rounds; i++)
        CHECK_EQ(recurse_run(&crowd->log, 3, 2), 0);
}

TEST(a6_stress_recursion_from_many_threads)
{
    enum { CROWD = 4 };
    struct crowd crowd = {.log = {.lock = PTHREAD_MUTEX_INITIALIZER}};

    crowd.rounds = (int)test_scaled(40);
    test_together(CROWD, recurse_in_crowd, &crowd);
    int calls = CROWD * crowd.rounds;
    CHECK_EQ(crowd.log.runs, calls * powers(2, 0, 2));
    CHECK_EQ(threads_seen(&crowd.log, false), 1 + calls * powers(2, 1, 2));
}
